#!/bin/sh
# Plants each fault of this folder in a copy of the tree. The oracle's test must fail on every one, and pass without.
#
# A patch is named TEST.WHAT.patch; TEST is the beginning of the name of the test that must catch it.
# A patch that does not apply, or does not compile, fails the run: bring it up to date.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -z "${FERROFLOW_ORACLE:-}" ]; then
	FERROFLOW_ORACLE=$("$here/../build.sh")
fi
export FERROFLOW_ORACLE
export FERROFLOW_ORACLE_CASES="${FERROFLOW_ORACLE_CASES:-2000}"
mkdir -p "${CARGO_TARGET_DIR:=$root/target/mutants}"
CARGO_TARGET_DIR=$(cd "$CARGO_TARGET_DIR" && pwd)
export CARGO_TARGET_DIR
# A fault changes one file of many.
export CARGO_INCREMENTAL=1
# Always the same place, so that a run leaves no more behind than the last one did.
tree=$CARGO_TARGET_DIR/tree

files() { # of the tree, each ended by a NUL: without what is built, also where this is no checkout
	git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
		find . -name target -prune -o -type f -print0
}
# The whole workspace is named, since one package alone would have other features of third-party crates; but for the one
# that has a test of this name of its own.
oracle_test() { # WORDS
	cargo test --quiet --workspace --exclude ferroflow-pipelines --test oracle "$@" >"$work/log" 2>&1
}

rm -rf "$tree"
mkdir -p "$tree"
(cd "$root" && files | tar --null -T - -cf - 2>/dev/null) |
	tar -C "$tree" -xmf - # with new times: cargo does not see a file that goes back to an old one
cd "$tree"
oracle_test || {
	cat "$work/log" >&2
	echo "error: the oracle's tests fail without any fault" >&2
	exit 1
}
caught=0
missed=0
for fault in "$here"/*.patch; do
	name=$(basename "$fault" .patch)
	patch -p1 --quiet --no-backup-if-mismatch <"$fault"
	oracle_test --no-run || {
		cat "$work/log" >&2
		echo "error: $name does not compile" >&2
		exit 1
	}
	if oracle_test "${name%%.*}"; then
		echo "missed: $name"
		missed=$((missed + 1))
	else
		echo "caught: $name"
		caught=$((caught + 1))
	fi
	patch -p1 --quiet --reverse --no-backup-if-mismatch <"$fault"
done
echo "$caught passed, $missed failed, 0 skipped"
[ "$missed" -eq 0 ]
