#!/usr/bin/env bash
# All set-up and every test. Each part prints `N passed, N failed, N skipped`; the last line sums the parts up.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/need.sh
need_all
need go "install Go 1.24 or newer"
with_uv
with_registry
with_postgres
passed=0 failed=0 skipped=0
summary=""
part() { # NAME COMMAND...
    local name="$1" began=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        passed=$((passed + 1))
        summary+="  ok      $name ($((SECONDS - began)) s)"$'\n'
    else
        failed=$((failed + 1))
        summary+="  FAILED  $name ($((SECONDS - began)) s)"$'\n'
    fi
}
skip() { # NAME REASON
    skipped=$((skipped + 1))
    summary+="  skipped $1: $2"$'\n'
}

part "format" cargo fmt --check
part "lint" cargo clippy --quiet --workspace --all-targets -- -D warnings
part "oracle program" conformance/oracle/build.sh
export FERROFLOW_ORACLE="$PWD/target/oracle/oracle"
part "unit, property, oracle and crash tests" cargo test --quiet --workspace
part "the node, as an ordinary user" scripts/as_user.sh
# With the dependencies that are built already; a fault is planted in crates of a path of their own.
part "planted faults" env CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}" conformance/oracle/mutants/run.sh
part "release build" cargo build --quiet --release --package ferroflow
reports="$PWD/target/reports"
rm -rf "$reports"
if lacking="$(cargo xtask cluster lacking --with s3 --with postgres)"; then
    # The same images for both kinds of cluster.
    images="$(cargo xtask cluster images | tr '\n' ' ')"
    part "clients" env FERROFLOW_LOAD="$images" FERROFLOW_REPORT="$reports/embedded" conformance/clients.sh
    part "official suite, a shard" env FERROFLOW_LOAD="$images" conformance/official.sh shard
    part "official suite, as an ordinary user" \
        env FERROFLOW_LOAD="$images" FERROFLOW_CONFORMANCE_WRITE= conformance/official.sh user
    part "kfp cases" env FERROFLOW_LOAD="$images" conformance/kfp.sh
    part "examples" env FERROFLOW_LOAD="$images" conformance/examples.sh
    part "demo" scripts/demo.sh
    part "real cluster" env FERROFLOW_REPORT="$reports/real" conformance/real.sh
else
    lacking="missing here: ${lacking//$'\n'/, }"
    part "clients" env FERROFLOW_REPORT="$reports/embedded" conformance/clients.sh
    part "kfp cases" conformance/kfp.sh
    skip "official suite" "its images cannot be made; $lacking"
    skip "examples" "their images cannot be made; $lacking"
    part "demo" scripts/demo.sh
    skip "real cluster" "$lacking"
fi
part "the table of both clusters" python3 conformance/table.py check "$reports"
part "fuzzing" fuzz/run.sh 100000

printf '\n%s%d passed, %d failed, %d skipped\n' "$summary" "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
