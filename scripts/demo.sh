#!/usr/bin/env bash
# The main job: brings MNIST, starts a cluster with four simulated GPUs, runs the training job with kubectl, and then a pipeline
# of the same data by the command line and by the kfp client.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/need.sh
need_all
with_uv

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# FERROFLOW_BINARY names a binary that is built already.
ferroflow="${FERROFLOW_BINARY:-${CARGO_TARGET_DIR:-target}/release/ferroflow}"
if [ -z "${FERROFLOW_BINARY:-}" ]; then
    say "Building ferroflow"
    cargo build --quiet --release --package ferroflow
fi
say "Fetching MNIST (once)"
MNIST_DATA="$(examples/mnist/fetch_data.sh)"
export MNIST_DATA
echo "$MNIST_DATA"

data="$(mktemp -d)"
finish() {
    status=$?
    "$ferroflow" --data-dir "$data" down 2>/dev/null || true
    rm -rf "$data"
    exit $status
}
trap finish EXIT
say "Starting a cluster with four simulated GPUs"
"$ferroflow" --data-dir "$data" up --detach --port 0 --http-port 0 --gateway-port 0 \
    --simulate nvidia.com/gpu=4 --images examples/mnist/images.toml
eval "$("$ferroflow" --data-dir "$data" env)"
examples/mnist/run.sh
say "ferroflow run examples/mnist-pipeline/pipeline.py"
"$ferroflow" --data-dir "$data" run examples/mnist-pipeline/pipeline.py --experiment demo
say "The same by the kfp client: once more from the cache, and with a gate that is too high"
examples/mnist-pipeline/run.sh
say "ferroflow runs list"
"$ferroflow" --data-dir "$data" runs list
