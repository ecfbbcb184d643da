#!/bin/sh
# Runs the release binary in the image that is made of it, on the cluster of KUBECONFIG: as no root, with nothing else in
# the image.
set -eu

kubectl delete pod ferroflow-image --ignore-not-found >/dev/null
trap 'kubectl delete pod ferroflow-image --ignore-not-found --wait=false >/dev/null' EXIT
kubectl run ferroflow-image --image=ferroflow:dev --restart=Never \
    --overrides='{"spec":{"securityContext":{"runAsNonRoot":true}}}' -- version
kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/ferroflow-image --timeout=60s
kubectl logs ferroflow-image | tee /dev/stderr | grep -q '[0-9]\.[0-9]'
