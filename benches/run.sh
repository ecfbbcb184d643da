#!/bin/sh
# Measures the release build beside the real kube-apiserver on etcd, and writes target/bench.json.
#
#   run.sh [OPTION…]       options of ferroflow-bench, as --rounds 3 or --only list
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
target=${CARGO_TARGET_DIR:-$root/target}
cargo build --release --package ferroflow-bench >&2
if [ -z "${FERROFLOW_BINARY:-}" ]; then
    cargo build --release --package ferroflow >&2
    FERROFLOW_BINARY=$target/release/ferroflow
fi
programs=$("$root/conformance/kubernetes/build.sh" kube-apiserver)
# A watcher on a connection of its own costs two descriptors.
ulimit -n "$(ulimit -H -n)"
exec "$target/release/ferroflow-bench" --ferroflow "$FERROFLOW_BINARY" \
    --kube-apiserver "$programs/kube-apiserver" --out "$root/target/bench.json" "$@"
