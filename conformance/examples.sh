#!/usr/bin/env bash
# Runs examples on an embedded cluster, each on one of its own, with the images that the real cluster has.
#
#   examples.sh [EXAMPLE…]     replicas, distributed
#
# FERROFLOW_USER is the user that the clusters run as, where that is another than who calls, and FERROFLOW_UP has options
# of `ferroflow up`, as --pod-network private. The last line sums up what the
# examples print.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/need.sh

[ $# -gt 0 ] || set -- replicas distributed
program="$(xtask_program)"
export FERROFLOW_LOAD="${FERROFLOW_LOAD:-$("$program" cluster images)}"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
passed=0 failed=0 skipped=0
for example; do
    printf '\n== %s on the embedded cluster\n' "$example"
    load="$FERROFLOW_LOAD"
    [ "$example" != distributed ] || load="$("$program" cluster images distributed)"
    status=0
    FERROFLOW_LOAD="$load" conformance/embedded.sh exec ${FERROFLOW_UP:-} -- "examples/$example/run.sh" 2>&1 | tee "$log" || status=$?
    # The cluster's own last words come after those of the example.
    if [[ $(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -1) =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
        passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + BASH_REMATCH[3]))
        [ "$status" = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || failed=$((failed + 1))
    else
        failed=$((failed + 1))
    fi
done
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
