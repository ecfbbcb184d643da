#!/bin/sh
# A real etcd and kube-apiserver, alone, on ports of their own: the truth that the suites are compared with.
#
#   reference.sh                      runs in the foreground and prints the path of its kubeconfig
#   reference.sh --exec COMMAND…      runs a command with KUBECONFIG set, then stops everything; its exit status is ours
#
# There are no controllers and no node, so nothing collects garbage, empties a namespace or runs a pod.
# FERROFLOW_KUBE_CONTROLLER_MANAGER may name a kube-controller-manager to start as well.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

fail() { echo "reference.sh: $1" >&2; exit 1; }

need_etcd() {
    command -v etcd >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing etcd-server" >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q etcd-server >&2 || {
            apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q etcd-server >&2
        }
    fi
    command -v etcd >/dev/null || fail "etcd is not on the PATH: install the package etcd-server"
}

free_ports() { # COUNT: they are held together, so that all differ
    python3 -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in held))' "$1"
}

certificate() { # NAME SUBJECT [ALTERNATIVE-NAMES]
    extension=$work/pki/$1.ext
    printf 'extendedKeyUsage=clientAuth,serverAuth\n%s\n' "${3:+subjectAltName=$3}" >"$extension"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$work/pki/$1.key" -subj "$2" \
        -out "$work/pki/$1.csr" 2>/dev/null
    openssl x509 -req -in "$work/pki/$1.csr" -CA "$work/pki/ca.crt" -CAkey "$work/pki/ca.key" -CAcreateserial -days 2 \
        -extfile "$extension" -out "$work/pki/$1.crt" 2>/dev/null
}

write_pki() {
    mkdir -p "$work/pki"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$work/pki/ca.key" \
        -out "$work/pki/ca.crt" -days 2 -subj /CN=reference-ca 2>/dev/null
    certificate server /CN=kube-apiserver \
        "IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
    certificate admin /O=system:masters/CN=kubernetes-admin
    openssl genrsa -out "$work/pki/service-account.key" 2048 2>/dev/null
}

write_kubeconfig() {
    base() { base64 -w0 <"$work/pki/$1"; }
    cat >"$work/kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: reference
contexts:
- {name: reference, context: {cluster: reference, user: admin}}
clusters:
- {name: reference, cluster: {server: "https://127.0.0.1:$api_port", certificate-authority-data: $(base ca.crt)}}
users:
- {name: admin, user: {client-certificate-data: $(base admin.crt), client-key-data: $(base admin.key)}}
END
}

start_etcd() {
    etcd --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$etcd_port" \
        --advertise-client-urls "http://127.0.0.1:$etcd_port" --listen-peer-urls "http://127.0.0.1:$peer_port" \
        --unsafe-no-fsync >"$work/etcd.log" 2>&1 </dev/null &
    children="$children $!"
}

start_api() {
    # The address that is advertised must not be loopback; nothing answers there, and no suite asks it to.
    "$programs/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd_port" --bind-address=127.0.0.1 \
        --secure-port="$api_port" --advertise-address=192.0.2.1 --endpoint-reconciler-type=none \
        --client-ca-file="$work/pki/ca.crt" --tls-cert-file="$work/pki/server.crt" \
        --tls-private-key-file="$work/pki/server.key" --authorization-mode=Node,RBAC --allow-privileged \
        --service-cluster-ip-range=10.96.0.0/16 --service-account-issuer=https://kubernetes.default.svc \
        --service-account-key-file="$work/pki/service-account.key" \
        --service-account-signing-key-file="$work/pki/service-account.key" \
        --enable-admission-plugins=ExtendedResourceToleration --event-ttl=1h >"$work/apiserver.log" 2>&1 </dev/null &
    api=$!
    children="$api $children"
}

start_controllers() {
    [ -n "${FERROFLOW_KUBE_CONTROLLER_MANAGER:-}" ] || return 0
    "$FERROFLOW_KUBE_CONTROLLER_MANAGER" --kubeconfig="$work/kubeconfig" --bind-address=127.0.0.1 --secure-port=0 \
        --use-service-account-credentials --service-account-private-key-file="$work/pki/service-account.key" \
        --root-ca-file="$work/pki/ca.crt" --leader-elect=false --cluster-signing-cert-file="$work/pki/ca.crt" \
        --cluster-signing-key-file="$work/pki/ca.key" >"$work/controllers.log" 2>&1 </dev/null &
    children="$! $children"
}

# Answers once the server is ready; its own start hooks take a second or two.
wait_ready() {
    python3 - "https://127.0.0.1:$api_port/readyz" "$work/pki/ca.crt" "$api" <<'END' || {
import os, ssl, sys, time, urllib.request
url, authority, process = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
end = time.monotonic() + 60
while time.monotonic() < end:
    os.kill(int(process), 0)
    try:
        with urllib.request.urlopen(url, context=context, timeout=5) as reply:
            sys.exit(0 if reply.status == 200 else 1)
    except OSError:
        time.sleep(0.05)
sys.exit(1)
END
        tail -5 "$work/etcd.log" "$work/apiserver.log" >&2
        fail "kube-apiserver did not become ready"
    }
}

stop() {
    status=$?
    trap - EXIT HUP INT TERM
    for child in $command $children; do kill "$child" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
    exit "$status"
}

need_etcd
command -v openssl >/dev/null || fail "openssl is not on the PATH"
command -v python3 >/dev/null || fail "python3 is not on the PATH"
programs=$("$here/build.sh" kube-apiserver)
children= command=
work=$(mktemp -d "${TMPDIR:-/tmp}/ferroflow-reference-XXXXXX")
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
ports=$(free_ports 3)
etcd_port=${ports%% *} rest=${ports#* } api_port=${ports##* }
peer_port=${rest%% *}
write_pki
start_etcd
start_api
write_kubeconfig
wait_ready
start_controllers
export KUBECONFIG="$work/kubeconfig"
if [ "${1:-}" = --exec ]; then
    shift
    "$@" &
    command=$!
    wait "$command" && status=0 || status=$?
    command=
    exit "$status"
fi
echo "KUBECONFIG=$KUBECONFIG"
echo "kube-apiserver at https://127.0.0.1:$api_port; stop with Ctrl-C" >&2
wait "$api"
