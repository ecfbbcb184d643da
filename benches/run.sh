#!/bin/sh
# Measures the release build beside the real kube-apiserver on etcd, and beside a whole real cluster where one can be
# started, and writes target/bench.json.
#
#   run.sh [OPTION…]       options of ferroflow-bench, as --rounds 3 or --only list
#
# With --only, nothing is measured inside of the whole cluster, except for --only node and --only node-…: those rows run
# beside the kube-apiserver and again inside. The node's unpacking has a peer where umoci is installed, its starts where
# containerd and runc are.
#
# The machine should have nothing else to do. FERROFLOW_BINARY names a binary that is built already.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
cd "$root"

install() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing $2" >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$2" >&2 || {
            apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$2" >&2
        }
    fi
    command -v "$1" >/dev/null || { echo "run.sh: $1 is not on the PATH: install the package $2" >&2; exit 1; }
}

install etcd etcd-server
install strace strace
bash -c '. scripts/need.sh && with_postgres'
target=${CARGO_TARGET_DIR:-$root/target}
cargo build --release --package ferroflow-bench >&2
if [ -z "${FERROFLOW_BINARY:-}" ]; then
    cargo build --release --package ferroflow >&2
    FERROFLOW_BINARY=$target/release/ferroflow
fi
programs=$("$root/conformance/kubernetes/build.sh" kube-apiserver)
# A watcher on a connection of its own costs two descriptors.
ulimit -n "$(ulimit -H -n)"
out=$root/target/bench.json
bench() { "$target/release/ferroflow-bench" --ferroflow "$FERROFLOW_BINARY" --out "$out" "$@"; }

# A whole real cluster is a further peer where one can be started: outside of its network how long it takes and what it
# weighs, inside of it what it does.
cargo build --quiet --bin xtask
xtask=$target/debug/xtask
if lacking=$("$xtask" cluster lacking); then
    archive=$("$xtask" cluster images | grep /images-)
    bench --kube-apiserver "$programs/kube-apiserver" --xtask "$xtask" --archive "$archive" "$@"
else
    bench --kube-apiserver "$programs/kube-apiserver" "$@"
    echo "left out: a whole cluster as the peer; missing here: $(echo $lacking)"
    exit
fi
inside='--only node --only create --only watch'
case " $* " in
*" --only node"*) inside= ;;
*" --only "*) exit ;;
esac
kubeconfig=
trap 'rm -f "$kubeconfig"; "$xtask" cluster down' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
"$xtask" cluster up --durable >/dev/null
PATH=$PATH:$("$root/conformance/kubernetes/build.sh" kubectl)
export PATH
kubeconfig=$(mktemp)
"$xtask" cluster exec -- sh -eu -c '
    kubectl create serviceaccount bench --namespace kube-system
    kubectl create clusterrolebinding bench --clusterrole cluster-admin --serviceaccount kube-system:bench
    token=$(kubectl create token bench --namespace kube-system --duration 4h)
    kubectl config view --raw --flatten --minify >"$1"
    kubectl --kubeconfig "$1" config unset users
    kubectl --kubeconfig "$1" config set-credentials bench --token "$token"
    kubectl --kubeconfig "$1" config set-context --current --user bench' sh "$kubeconfig" >/dev/null
"$xtask" cluster exec -- "$target/release/ferroflow-bench" --ferroflow "$FERROFLOW_BINARY" --out "$out" --append \
    --real "$kubeconfig" --archive "$archive" $inside "$@"
