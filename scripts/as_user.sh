#!/usr/bin/env bash
# The node's tests that start containers, as a user who is not root: namespaces, images, networks and escape attempts are
# other ones then. For root, who runs them as root too.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "0 passed, 0 failed, 1 skipped"; exit 0; }
user=54321
built="$(cargo test --quiet --package ferroflow-node --lib --no-run --message-format=json |
    python3 -c '
import json, sys
rows = (json.loads(line) for line in sys.stdin if line.startswith("{"))
print([row["executable"] for row in rows if row.get("executable") and row["target"]["name"] == "ferroflow_node"][-1])')"
work="$(mktemp -d "${TMPDIR:-/tmp}/ferroflow-user-XXXXXX")"
trap 'rm -rf "$work"' EXIT
cp "$built" "$work/tests"
mkdir "$work/tmp"
chown -R "$user:$user" "$work"
chmod 755 "$work" "$work/tests"
cd "$work"
HOME="$work" TMPDIR="$work/tmp" setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all --bounding-set=-all \
    "$work/tests" runtime:: shim::
