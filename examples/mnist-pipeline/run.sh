#!/usr/bin/env bash
# The pipeline on the cluster of KUBECONFIG, by the unmodified kfp client: compiled, run twice, and once with a gate that is
# too high. The cluster needs something that stands for the image of the steps (../mnist/images.toml).
#
#   run.sh [DATA]     where the MNIST files are for the steps, where their image does not say so
set -euo pipefail
cd "$(dirname "$0")"
python="$(../../conformance/clients/environment.sh ../../conformance/kfp)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1
"$python" -c '
import sys
from kfp import compiler
import pipeline
compiler.Compiler().compile(pipeline.mnist, sys.argv[1])' "$work/mnist.yaml"
"$python" check.py "$work/mnist.yaml" "$@"
