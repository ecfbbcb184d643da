#!/bin/sh
# Builds the test program of kube-rs and prints its path.
set -eu
cd "$(dirname "$0")/.."
cargo test --quiet --package ferroflow-cluster --test kube_rs --no-run --message-format=json |
    python3 -c '
import json, sys
messages = (json.loads(line) for line in sys.stdin if line.startswith("{"))
print(*(one["executable"] for one in messages if one.get("executable") and one["target"]["name"] == "kube_rs"))'
