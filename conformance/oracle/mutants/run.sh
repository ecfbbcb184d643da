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

CGO_ENABLED=0 go build -C "$here/.." -o "$work/oracle" .
export FERROFLOW_ORACLE="$work/oracle"
export FERROFLOW_ORACLE_CASES="${FERROFLOW_ORACLE_CASES:-2000}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target/mutants}"

files() { # of the tree, each ended by a NUL: without what is built, also where this is no checkout
	git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
		find . -name target -prune -o -type f -print0
}

copy_tree() {
	rm -rf "$work/tree"
	mkdir "$work/tree"
	(cd "$root" && files | tar --null -T - -cf - 2>/dev/null) |
		tar -C "$work/tree" -xmf - # with new times: cargo does not see a file that goes back to an old one
	cd "$work/tree"
}

copy_tree
cargo test --quiet -p ferroflow-cluster --test oracle >"$work/log" 2>&1 || {
	cat "$work/log" >&2
	echo "error: the oracle's tests fail without any fault" >&2
	exit 1
}
caught=0
missed=0
for fault in "$here"/*.patch; do
	name=$(basename "$fault" .patch)
	copy_tree
	patch -p1 --quiet <"$fault"
	cargo test --quiet -p ferroflow-cluster --test oracle --no-run >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		echo "error: $name does not compile" >&2
		exit 1
	}
	if cargo test --quiet -p ferroflow-cluster --test oracle "${name%%.*}" >"$work/log" 2>&1; then
		echo "missed: $name"
		missed=$((missed + 1))
	else
		echo "caught: $name"
		caught=$((caught + 1))
	fi
done
echo "$caught passed, $missed failed, 0 skipped"
[ "$missed" -eq 0 ]
