#!/bin/sh
# Builds the oracle from its Go module and prints its path: target/oracle/oracle.
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
out="$(cd "$here/../.." && pwd)/target/oracle"
command -v go >/dev/null || { echo "error: Go 1.24 or newer is needed to build the oracle" >&2; exit 1; }
mkdir -p "$out"
cd "$here"
CGO_ENABLED=0 go build -trimpath -o "$out/oracle" .
echo "$out/oracle"
