#!/bin/sh
# An embedded cluster of its own for a suite.
#
#   embedded.sh start DIRECTORY [OPTION…]      starts one with its data there; its kubeconfig is DIRECTORY/kubeconfig
#   embedded.sh stop DIRECTORY                 stops it and its pods
#   embedded.sh exec [OPTION… --] COMMAND…     runs a command with KUBECONFIG set, then removes the cluster
#
# OPTIONs are those of `ferroflow up`. FERROFLOW_BINARY names the binary; without it target/release/ferroflow is taken,
# and built where it is missing. FERROFLOW_LOAD names archives of images that the cluster has from the start, with spaces
# between them. FERROFLOW_USER, a number, is the user that it runs as, where that is another than who calls.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")

program=${FERROFLOW_BINARY:-${CARGO_TARGET_DIR:-$root/target}/release/ferroflow}

build() { [ -x "$program" ] || (cd "$root" && cargo build --release --package ferroflow >&2); }

ferroflow() { # ARGUMENTS, the first two of which are --data-dir DIRECTORY
    if [ -z "${FERROFLOW_USER:-}" ]; then
        "$program" "$@"
    else
        HOME=$2 setpriv --reuid "$FERROFLOW_USER" --regid "$FERROFLOW_USER" --clear-groups --inh-caps=-all \
            --bounding-set=-all "$program" "$@"
    fi
}

start() { # DIRECTORY OPTIONS
    directory=$1
    shift
    build
    mkdir -p "$directory"
    [ -z "${FERROFLOW_USER:-}" ] || chown "$FERROFLOW_USER:$FERROFLOW_USER" "$directory"
    for archive in ${FERROFLOW_LOAD:-}; do
        ferroflow --data-dir "$directory" images load - <"$archive" >/dev/null
    done
    ferroflow --data-dir "$directory" up --detach --port 0 --http-port 0 --gateway-port 0 "$@" >&2
}

stop() { [ ! -d "$1" ] || ferroflow --data-dir "$1" down >&2 || true; }

remove() {
    status=$?
    trap - EXIT HUP INT TERM
    [ -z "$command" ] || kill "$command" 2>/dev/null || true
    stop "$work/cluster"
    rm -rf "$work"
    exit "$status"
}

execute() {
    options=
    for word; do
        if [ "$word" = -- ]; then
            while [ "$1" != -- ]; do options="$options $1"; shift; done
            shift
            break
        fi
    done
    command=
    work=$(mktemp -d "${TMPDIR:-/tmp}/ferroflow-embedded-XXXXXX")
    trap remove EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    start "$work/cluster" $options
    KUBECONFIG=$work/cluster/kubeconfig "$@" &
    command=$!
    wait "$command" && status=0 || status=$?
    command=
    exit "$status"
}

verb=${1:-}
[ $# -gt 0 ] && shift
case $verb in
start) start "$@" ;;
stop) stop "$1" ;;
exec) execute "$@" ;;
*) echo "embedded.sh: say start, stop or exec" >&2; exit 1 ;;
esac
