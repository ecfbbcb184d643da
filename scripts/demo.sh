#!/usr/bin/env bash
# The main job: brings MNIST, starts a cluster with four simulated GPUs, and runs the training job with kubectl.
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
"$ferroflow" --data-dir "$data" up --detach --port 0 --http-port 0 \
    --simulate nvidia.com/gpu=4 --images examples/mnist/images.toml
eval "$("$ferroflow" --data-dir "$data" env)"
# kubectl tells on every call when its version is not the server's; once is enough.
kubectl() { command kubectl "$@" 2> >(grep -v '^WARNING: version difference' >&2); }

kubectl get nodes -o custom-columns='NODE:.metadata.name,GPUS:.status.allocatable.nvidia\.com/gpu'
say "kubectl create -f examples/mnist/mnist-demo.yaml"
kubectl create -f examples/mnist/mnist-demo.yaml
kubectl wait --for=jsonpath='{.status.phase}'=Running pod -l app=mnist-demo --timeout=60s >/dev/null ||
    kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod -l app=mnist-demo --timeout=1s >/dev/null
say "kubectl logs -f job/mnist-demo"
kubectl logs -f job/mnist-demo | tee "$data/training.log"
say "kubectl get jobs"
kubectl wait --for=condition=Complete job/mnist-demo --timeout=60s >/dev/null
kubectl get jobs
say "kubectl delete -f examples/mnist/mnist-demo.yaml"
kubectl delete -f examples/mnist/mnist-demo.yaml
kubectl wait --for=delete pod -l app=mnist-demo --timeout=30s >/dev/null
kubectl get pods

accuracy="$(sed -n 's/^Accuracy at step 490: //p' "$data/training.log")"
say "Accuracy at step 490: $accuracy (0.945 is wanted)"
python3 -c 'import sys; sys.exit(0 if float(sys.argv[1]) >= 0.945 else 1)' "${accuracy:-0}"
