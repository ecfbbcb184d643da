#!/bin/sh
# Runs conformance specs of the official Kubernetes suite against the embedded cluster, or a real one.
#
#   official.sh all                 every spec of official/conformance.txt; writes its column of official/results.md
#   official.sh shard               the specs of official/shard.txt
#   official.sh user [FILE]         the specs of official/user.txt, or of a file, on a cluster that an ordinary user runs;
#                                   writes its column of official/results.md
#   official.sh FILE                the specs of a file, one name a line
#   official.sh real [FILE]         the specs of official/conformance.txt, or of a file, on a real cluster with two nodes;
#                                   writes its column of official/results.md
#
# Two passes: in parallel what is not [Serial], then [Serial] alone; FERROFLOW_CONFORMANCE_PASSES chooses among them. It
# ends with `N passed, N failed, N skipped` and fails when a spec fails that official/results.md calls passing.
# FERROFLOW_CONFORMANCE_KUBECONFIG points the run at another cluster, FERROFLOW_CONFORMANCE_PROCESSES sets how many
# specs run at a time.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
out=${FERROFLOW_CONFORMANCE_OUT:-$root/target/conformance}

fail() { echo "official.sh: $1" >&2; exit 1; }

kind=embedded write=
case ${1:-} in
all) list=$here/official/conformance.txt write=--write ;;
shard) list=$here/official/shard.txt ;;
user) list=${2:-$here/official/user.txt} kind=user write=${FERROFLOW_CONFORMANCE_WRITE---write} ;;
real) list=${2:-$here/official/conformance.txt} kind=real write=--write ;;
"") fail "say all, shard, user, real, or a file with names of specs" ;;
*) list=$1 ;;
esac
[ -r "$list" ] || fail "cannot read $list"
passes=${FERROFLOW_CONFORMANCE_PASSES:-parallel serial}

if [ "$kind" = real ] && [ -z "${FERROFLOW_CONFORMANCE_KUBECONFIG:-}" ]; then
    (cd "$root" && cargo build --quiet --bin xtask)
    xtask=${CARGO_TARGET_DIR:-$root/target}/debug/xtask
    "$here/kubernetes/build.sh" ginkgo e2e.test >/dev/null
    trap '"$xtask" cluster down' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # Some specs want two nodes.
    FERROFLOW_CONFORMANCE_KUBECONFIG=$("$xtask" cluster up --nodes 2)
    export FERROFLOW_CONFORMANCE_KUBECONFIG
    "$xtask" cluster exec -- "$0" "$@"
    exit
fi

programs=$("$here/kubernetes/build.sh" ginkgo e2e.test kubectl)
work=$(mktemp -d "${TMPDIR:-/tmp}/ferroflow-official-XXXXXX")
cluster= running=
stop() {
    status=$?
    trap - EXIT HUP INT TERM
    [ -z "$running" ] || { kill "$running" && wait "$running"; } 2>/dev/null || true
    [ -z "$cluster" ] || "$here/embedded.sh" stop "$work/cluster"
    rm -rf "$work"
    exit "$status"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -n "${FERROFLOW_CONFORMANCE_KUBECONFIG:-}" ]; then
    KUBECONFIG=$FERROFLOW_CONFORMANCE_KUBECONFIG
else
    # The images of the suite are made once, which needs root; a user's cluster gets them as archives, too.
    [ -n "${FERROFLOW_LOAD:-}" ] || FERROFLOW_LOAD=$(cd "$root" && cargo xtask cluster images | tr '\n' ' ')
    export FERROFLOW_LOAD
    if [ "$kind" = user ]; then
        # Anyone who is nobody else here will do. The cluster's directory is its own; the path to it must be open.
        FERROFLOW_USER=${FERROFLOW_USER:-54321}
        export FERROFLOW_USER
    fi
    chmod 755 "$work"
    cluster=started
    "$here/embedded.sh" start "$work/cluster" ${FERROFLOW_UP:-}
    KUBECONFIG=$work/cluster/kubeconfig
fi
export KUBECONFIG

rm -rf "$out"
mkdir -p "$out"
processes=${FERROFLOW_CONFORMANCE_PROCESSES:-$(($(nproc) * 3))}

run_pass() { # NAME PROCESSES
    python3 "$here/official/results.py" focus "$1" "$list" >"$work/focus"
    [ -s "$work/focus" ] || return 0
    echo "== $1 ==" >&2
    # ginkgo's exit status says no more than the report does.
    PATH=$programs:$PATH "$programs/ginkgo" --procs="$2" --no-color --silence-skips --timeout=90m \
        --focus="$(cat "$work/focus")" --output-dir="$out" --junit-report="$1.xml" "$programs/e2e.test" -- \
        --kubeconfig "$KUBECONFIG" --provider local --kubectl-path "$programs/kubectl" \
        --disable-log-dump >"$out/$1.log" 2>&1 </dev/null &
    running=$!
    wait "$running" || true
    running=
    [ -s "$out/$1.xml" ] || { tail -40 "$out/$1.log" >&2; fail "the $1 pass gave no report"; }
}

: >"$work/ran"
for pass in $passes; do
    case $pass in
    parallel) run_pass parallel "$processes" ;;
    serial) run_pass serial 1 ;;
    *) fail "no pass $pass; there are: parallel serial" ;;
    esac
    python3 "$here/official/results.py" names "$pass" "$list" >>"$work/ran"
done
python3 "$here/official/results.py" report "$kind" "$work/ran" "$here/official" $write "$out"/*.xml
