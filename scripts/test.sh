#!/usr/bin/env bash
# All set-up and every test. Each part prints `N passed, N failed, N skipped`; the last lines sum the parts up, with the
# seconds each took, how many of a processor's those were (without what a cluster's own processes took), and what was
# skipped.
#
# What computes or fetches runs aside, behind what mostly waits: clusters, and tests that start them.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/need.sh
need_all
need go "install Go 1.24 or newer"
with_uv
with_registry
with_postgres
# A build from nothing has no use for what a next one could begin with, which costs a sixth of its time and half of its disk.
export CARGO_INCREMENTAL=0
target="${CARGO_TARGET_DIR:-$PWD/target}"
logs="$PWD/target/parts"
rm -rf "$logs"
mkdir -p "$logs"
passed=0 failed=0 skipped=0
summary=""
declare -A asides=()
TIMEFORMAT='%0R %0U %0S'

end_asides() {
    local pid
    for pid in "${asides[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
}
trap end_asides EXIT

log_of() { echo "$logs/${1//[^a-zA-Z0-9]/-}"; } # NAME
tell() { # NAME STATUS
    local real user system
    read -r real user system < <(tail -1 "$(log_of "$1").time")
    local times="$real s, $((user + system)) s of a processor"
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
        summary+="  ok      $1 ($times)"$'\n'
    else
        failed=$((failed + 1))
        summary+="  FAILED  $1 ($times)"$'\n'
    fi
}
part() { # NAME COMMAND…: runs it now
    local name="$1" log status=0
    log="$(log_of "$1")"
    shift
    printf '\n== %s\n' "$name"
    { time "$@" > >(tee "$log.log") 2>&1; } 2>"$log.time" || status=$?
    tell "$name" "$status"
}
aside() { # NICE NAME COMMAND…: begins it; what it says is shown by `await`
    local nice="$1" name="$2" log
    log="$(log_of "$2")"
    shift 2
    # A group of its own, by which it can be ended.
    set -m
    {
        [ "$nice" = 0 ] || renice -n "$nice" -p "$BASHPID" >/dev/null || true
        { time "$@" >"$log.log" 2>&1 </dev/null; } 2>"$log.time"
    } &
    set +m
    asides["$name"]=$!
}
await() { # NAME
    local status=0
    wait "${asides["$1"]}" || status=$?
    unset "asides[$1]"
    printf '\n== %s\n' "$1"
    cat "$(log_of "$1").log"
    tell "$1" "$status"
}
skip() { # NAME REASON
    skipped=$((skipped + 1))
    summary+="  skipped $1: $2"$'\n'
}

# What the tests call beside our own programs. What is missing of Debian's is installed, where a cluster can be had for it.
for_tests() {
    conformance/oracle/build.sh && conformance/kubernetes/build.sh versitygw &&
        { [ -n "$lacking" ] || "$FERROFLOW_XTASK" cluster install "${beside[@]}"; }
}
# What clusters and suites are made of; images that hold our own program come after it.
for_clusters() {
    conformance/clients/environment.sh conformance/clients/python && conformance/clients/environment.sh conformance/kfp &&
        if [ -n "$lacking" ]; then
            conformance/kubernetes/build.sh kubectl
        else
            conformance/kubernetes/build.sh ginkgo e2e.test && "$FERROFLOW_XTASK" cluster build "${beside[@]}" &&
                "$FERROFLOW_XTASK" cluster images distributed
        fi
}

# Ferroflow in it is a cluster of its own: a part of the cases, and all of them by `conformance/real.sh install`.
real_clusters() {
    FERROFLOW_REPORT="$reports/real" conformance/real.sh &&
        FERROFLOW_INSTALL="installation: manifest moving:" conformance/real.sh install
}

beside=(--with s3 --with postgres)
export FERROFLOW_XTASK="$target/debug/xtask"
part "xtask" cargo build --quiet --bin xtask
[ "$failed" = 0 ] || exit 1
lacking="$("$FERROFLOW_XTASK" cluster lacking "${beside[@]}")" || [ -n "$lacking" ]

aside 0 "programs for tests" for_tests
part "format" cargo fmt --check
part "lint" cargo clippy --quiet --workspace --all-targets -- -D warnings
part "build of all tests" cargo test --quiet --workspace --no-run
await "programs for tests"
aside 15 "programs and images for clusters" for_clusters
aside 10 "release build" cargo build --quiet --release --package ferroflow
export FERROFLOW_ORACLE="$PWD/target/oracle/oracle"
part "unit, property, oracle and crash tests" cargo xtask test
part "the node, as an ordinary user" scripts/as_user.sh
await "release build"
export FERROFLOW_BINARY="$target/release/ferroflow"
await "programs and images for clusters"

# With the dependencies that are built already; a fault is planted in crates of a path of their own.
aside 15 "planted faults" env CARGO_TARGET_DIR="$target" conformance/oracle/mutants/run.sh
aside 15 "fuzzing" fuzz/run.sh 100000
reports="$PWD/target/reports"
rm -rf "$reports"
if [ -z "$lacking" ]; then
    # The same images for both kinds of cluster.
    images="$("$FERROFLOW_XTASK" cluster images | tr '\n' ' ')"
    part "clients" env FERROFLOW_LOAD="$images" FERROFLOW_REPORT="$reports/embedded" conformance/clients.sh
    part "official suite, a shard" env FERROFLOW_LOAD="$images" conformance/official.sh shard
    part "official suite, as an ordinary user" \
        env FERROFLOW_LOAD="$images" FERROFLOW_CONFORMANCE_WRITE= conformance/official.sh user
    # It has a network of its own.
    aside 0 "real cluster" real_clusters
    part "kfp cases" env FERROFLOW_LOAD="$images" conformance/kfp.sh
    part "artifacts in S3" conformance/storage.sh
    part "examples" env FERROFLOW_LOAD="$images" conformance/examples.sh
    part "demo" scripts/demo.sh
    await "real cluster"
else
    lacking="missing here: ${lacking//$'\n'/, }"
    part "clients" env FERROFLOW_REPORT="$reports/embedded" conformance/clients.sh
    part "kfp cases" conformance/kfp.sh
    part "artifacts in S3" conformance/storage.sh
    skip "official suite" "its images cannot be made; $lacking"
    skip "examples" "their images cannot be made; $lacking"
    part "demo" scripts/demo.sh
    skip "real cluster" "$lacking"
fi
part "the table of both clusters" python3 conformance/table.py check "$reports"
await "planted faults"
await "fuzzing"

# Tests that pass without having looked, each with what was missing.
grep -h '^skipped ' "$logs"/*.log | sort -u || true
printf '\n%s%d passed, %d failed, %d skipped, after %d s\n' "$summary" "$passed" "$failed" "$skipped" "$SECONDS"
[ "$failed" = 0 ]
