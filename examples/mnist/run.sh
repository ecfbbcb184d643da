#!/usr/bin/env bash
# Runs the training job on the cluster of KUBECONFIG with kubectl, as its manifest stands, and checks what it learned.
# The cluster needs a device nvidia.com/gpu on a node, and something that stands for the image.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# kubectl tells on every call when its version is not the server's; once is enough.
kubectl() { command kubectl "$@" 2> >(grep -v '^WARNING: version difference' >&2); }
log="$(mktemp)"
trap 'rm -f "$log"' EXIT

kubectl get nodes -o custom-columns='NODE:.metadata.name,GPUS:.status.allocatable.nvidia\.com/gpu'
say "kubectl create -f examples/mnist/mnist-demo.yaml"
kubectl create -f mnist-demo.yaml
kubectl wait --for=jsonpath='{.status.phase}'=Running pod -l app=mnist-demo --timeout=60s >/dev/null ||
    kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod -l app=mnist-demo --timeout=1s >/dev/null
say "kubectl logs -f job/mnist-demo"
kubectl logs -f job/mnist-demo | tee "$log"
say "kubectl get jobs"
kubectl wait --for=condition=Complete job/mnist-demo --timeout=60s >/dev/null
kubectl get jobs
say "kubectl delete -f examples/mnist/mnist-demo.yaml"
kubectl delete -f mnist-demo.yaml
kubectl wait --for=delete pod -l app=mnist-demo --timeout=60s >/dev/null
kubectl get pods

accuracy="$(sed -n 's/^Accuracy at step 490: //p' "$log")"
say "Accuracy at step 490: $accuracy (0.945 is wanted)"
python3 -c 'import sys; sys.exit(0 if float(sys.argv[1]) >= 0.945 else 1)' "${accuracy:-0}"
