#!/bin/sh
# Fuzzes every target with N inputs each, from seeds that are made anew, and reports the edges that were reached.
#
#   run.sh [N [TARGET…]]      1,000,000 inputs and all targets where nothing is said
#
# A fault's input stays in target/fuzz/TARGET; `target/fuzz/release/TARGET FILE` runs it again.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
runs=${1:-1000000}
[ $# -eq 0 ] || shift
own="pipeline expression placeholder request" # those of the package in pipelines/
[ $# -gt 0 ] || set -- path selector patch protobuf definition object $own
build=${CARGO_TARGET_DIR:-$root/target}/fuzz
corpus=$build/corpus

if ! command -v c++ >/dev/null; then
    for target; do echo "skipped $target: the engine needs a C++ compiler, and c++ is not on the PATH"; done
    echo "0 passed, 0 failed, $# skipped"
    exit 0
fi

cd "$here"
bins=
for target; do bins="$bins --bin $target"; done
RUSTC_WORKSPACE_WRAPPER="$here/instrument.sh" CARGO_TARGET_DIR="$build" cargo build --release --quiet --workspace $bins
rm -rf "$corpus"
mkdir -p "$corpus"
for target; do FERROFLOW_FUZZ_SEEDS=$corpus "$build/release/$target"; done
passed=0 failed=0
for target; do
    mkdir -p "$build/$target"
    log=$build/$target/log
    began=$(date +%s)
    case " $own " in *" $target "*) words=pipelines.dict ;; *) words=words.dict ;; esac
    # The seed is fixed, so that a run that failed fails again; -fork is not used, so that the counts add up.
    if "$build/release/$target" -runs="$runs" -seed=1 -max_len=4096 -timeout=20 -rss_limit_mb=2048 -dict="$corpus/$words" \
        -artifact_prefix="$build/$target/" -print_final_stats=1 "$corpus/$target" >"$log" 2>&1; then
        passed=$((passed + 1))
        edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
        of=$(sed -n 's/.*Loaded .* PC tables (\([0-9]*\) PCs).*/\1/p' "$log" | tail -1)
        echo "ok $target: $runs inputs, $edges of ${of:-?} edges reached, $(($(date +%s) - began)) s"
    else
        failed=$((failed + 1))
        echo "FAILED $target; its log is $log:"
        grep -m 5 -E "panicked|ERROR|SUMMARY|Test unit written" "$log" || tail -5 "$log"
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
