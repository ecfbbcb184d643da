#!/bin/sh
# Plants each fault of this folder in a copy of the pure part of pipelines. Its unit tests must fail on every one, and
# pass without.
#
# A patch is named MODULE.WHAT.patch; tests of core::MODULE must catch it. It asks `crate::is_planted("MODULE.WHAT")`, so
# that all are built at once. A patch that does not apply, or does not compile, fails the run: bring it up to date.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}/mutants"
export RUST_MIN_STACK=16777216 PROPTEST_FAILURE_PERSISTENCE=off

for path in Cargo.toml Cargo.lock crates/pipelines/src/core crates/pipelines/tests crates/platform/src/cron.rs crates/api/src/names.rs \
    conformance/kfp/mutants conformance/kfp/cases conformance/kfp/invalid; do
    [ ! -e "$root/$path" ] || { mkdir -p "$work/$(dirname "$path")" && cp -R "$root/$path" "$work/$path"; }
done
sed -i 's|^members = .*|members = ["conformance/kfp/mutants"]|' "$work/Cargo.toml"
cd "$work"
for fault in "$here"/*.patch; do
    name=$(basename "$fault" .patch)
    patch -p1 --quiet --no-backup-if-mismatch <"$fault" || { echo "error: $name does not apply" >&2; exit 1; }
    grep -qr "is_planted(\"$name\")" crates/pipelines/src/core || { echo "error: $name does not ask whether it is planted" >&2; exit 1; }
done
# Rows of data must catch them: random runs and thousands of iterations take most of the tests' time.
quick="--skip ::property:: --skip a_loop_of_thousands"
# Dependencies are not worth optimizing here.
cargo test --quiet --lib --no-run --message-format=json --config 'profile.dev.package."*".opt-level=0' >"$work/built" 2>"$work/log" || {
    cat "$work/log" >&2
    echo "error: the faults do not compile" >&2
    exit 1
}
tests=$(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' "$work/built" | tail -1)
cd "$work/conformance/kfp/mutants"
"$tests" --quiet $quick >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    echo "error: the tests fail without any fault" >&2
    exit 1
}
caught=0 missed=0
for fault in "$here"/*.patch; do
    name=$(basename "$fault" .patch)
    if FERROFLOW_FAULT=$name "$tests" --quiet "core::${name%%.*}::" $quick >"$work/log" 2>&1; then
        echo "missed: $name"
        missed=$((missed + 1))
    else
        echo "caught: $name by $(sed -n 's/^test \([^ ]*\) .*FAILED$/\1/p; s/^    \(core::[a-z_:]*\)$/\1/p' "$work/log" | sort -u | wc -l) tests"
        caught=$((caught + 1))
    fi
done
echo "$caught passed, $missed failed, 0 skipped"
[ "$missed" -eq 0 ]
