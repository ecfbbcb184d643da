#!/bin/sh
# Runs the black-box suites against the cluster of KUBECONFIG; without KUBECONFIG against an embedded one of its own.
#
#   clients.sh [SUITE…]      raw, faults, answers, kubectl, python, model; all of them where none is named
#
# The embedded cluster has the images of FERROFLOW_LOAD, archives with spaces between them; where there are none, what
# stands for images is the host's.
#
# Every suite ends with `N passed, N failed, N skipped`; the last line sums them up. It fails when a case fails.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
all="raw faults answers kubectl python model"
[ $# -gt 0 ] || set -- $all
for suite; do
    case " $all " in *" $suite "*) ;; *) echo "clients.sh: no suite $suite; there are: $all" >&2; exit 1 ;; esac
done

if ! command -v "${KUBECTL:-kubectl}" >/dev/null; then
    programs=$("$here/kubernetes/build.sh" kubectl)
    PATH=$PATH:$programs
    export PATH
fi
if [ -z "${KUBECONFIG:-}" ]; then
    # What the embedded cluster is known to do otherwise is a skip with its reason; a real cluster has none.
    FERROFLOW_DIFFERENCES="$here/clients/differences.txt"
    export FERROFLOW_DIFFERENCES
    level=
    [ -n "${FERROFLOW_LOAD:-}" ] || level="--isolation environment"
    exec "$here/embedded.sh" exec $level -- "$0" "$@"
fi

results=$(mktemp "${TMPDIR:-/tmp}/ferroflow-clients-XXXXXX")
home=$(mktemp -d "${TMPDIR:-/tmp}/ferroflow-clients-home-XXXXXX")
trap 'rm -rf "$results" "$home"' EXIT
trap 'exit 1' HUP INT TERM
export PYTHONPATH="$here/clients" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# kubectl's discovery cache must not outlive the cluster that it describes.
export KUBECACHEDIR="$home/cache"

run_suite() { # SUITE
    interpreter=python3
    if [ -e "$here/clients/$1/requirements.txt" ]; then
        interpreter=$("$here/clients/environment.sh" "$here/clients/$1") || return 1
    fi
    "$interpreter" -m "$1"
}

status=0
for suite; do
    echo "== $suite =="
    run_suite "$suite" >"$results.$suite" 2>&1 || status=1
    cat "$results.$suite"
    tail -1 "$results.$suite" >>"$results"
    rm -f "$results.$suite"
done
awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p += $1; f += $3; s += $5; next } { f += 1 }
     END { printf "%d passed, %d failed, %d skipped\n", p, f, s }' "$results"
exit $status
