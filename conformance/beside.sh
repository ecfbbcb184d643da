#!/bin/sh
# `ferroflow serve` as a process beside the cluster of KUBECONFIG, for as long as a command runs.
#
#   beside.sh COMMAND…
#
# It has the rights of examples/beside/rights.yaml and no others, its data in a directory of its own, and is started again
# where it was killed by SIGKILL, as whatever keeps servers running would do. It listens where pods reach it: at the address
# of the first node, on whose network this has to run (`cargo xtask cluster exec`), port 8800. The command is given
# FERROFLOW_GATEWAY and FERROFLOW_TOKEN as `ferroflow env` prints them, FERROFLOW_DATA_DIR and FERROFLOW_BINARY. The cluster
# gets volumes of the class `standard` (volumes.sh).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
FERROFLOW_BINARY=${FERROFLOW_BINARY:-${CARGO_TARGET_DIR:-$root/target}/release/ferroflow}
export FERROFLOW_BINARY
kubectl() { command kubectl "$@" 2>"$work/said" || { cat "$work/said" >&2; return 1; }; }

serve() {
    trap - EXIT
    while :; do
        "$FERROFLOW_BINARY" --data-dir "$work/data" serve --kubeconfig "$work/kubeconfig" --listen "$address:8800" \
            --advertise "http://$address:8800" --launcher-image ferroflow-launcher:dev >>"$work/log" 2>&1 && code=0 || code=$?
        [ "$code" = 137 ] || break
    done
    exit "$code"
}

finish() {
    status=$?
    trap - EXIT HUP INT TERM
    [ -z "$command" ] || kill "$command" 2>/dev/null || true
    if kill -0 "$server" 2>/dev/null; then
        "$FERROFLOW_BINARY" --data-dir "$work/data" down >>"$work/log" 2>&1 || status=1
        wait "$server" || { echo "error: ferroflow serve ended with $?" >&2; status=1; }
    fi
    [ "$status" = 0 ] || { echo "the end of the server's log:"; tail -40 "$work/log"; } >&2 || true
    rm -rf "$work"
    exit "$status"
}

server= command=
work=$(mktemp -d "${TMPDIR:-/tmp}/ferroflow-beside-XXXXXX")
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
: >"$work/log"
address=$(kubectl get nodes -o 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
"$here/volumes.sh"
kubectl apply -f "$root/examples/beside/rights.yaml" >/dev/null
"$root/examples/beside/kubeconfig.sh" "$work/kubeconfig" 12h

serve &
server=$!
# Its record is written once it listens.
limit=$(($(date +%s) + 30))
until [ -s "$work/data/server.json" ]; do
    kill -0 "$server" 2>/dev/null && [ "$(date +%s)" -lt "$limit" ] || { echo "error: ferroflow serve does not start" >&2; exit 1; }
    sleep 0.05
done
environment=$("$FERROFLOW_BINARY" --data-dir "$work/data" env)
eval "$environment"
export FERROFLOW_DATA_DIR="$work/data"
"$@" &
command=$!
wait "$command" && status=0 || status=$?
command=
exit "$status"
