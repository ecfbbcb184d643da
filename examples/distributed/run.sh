#!/usr/bin/env bash
# Two processes of one headless StatefulSet find each other by name and sum up, with PyTorch over gloo and with Open MPI, on
# the cluster of KUBECONFIG. Its nodes have the image already: cargo xtask cluster images distributed makes it.
set -euo pipefail
cd "$(dirname "$0")"

kubectl() { command kubectl "$@" 2> >(grep -v '^WARNING: version difference' >&2); }
work="$(mktemp -d)"
finish() {
    status=$?
    kubectl delete -f launcher.yaml -f distributed.yaml --ignore-not-found --wait=false >/dev/null 2>&1 || true
    kubectl delete configmap distributed-program --ignore-not-found >/dev/null 2>&1 || true
    rm -rf "$work"
    exit $status
}
trap finish EXIT

. ../facts.sh
says() { # TEXT OBJECT: the object's log has a line with the text
    kubectl logs "$2" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }
    grep -q -e "$1" "$work/log" || { cat "$work/log"; kubectl describe "$2"; return 1; }
}

kubectl delete configmap distributed-program --ignore-not-found >/dev/null
kubectl create configmap distributed-program --from-file=allreduce.py --from-file=ring.py --from-file=kubexec.sh \
    --from-file=hostfile
kubectl apply -f distributed.yaml
fact "both workers have summed up and are ready" kubectl rollout status statefulset/worker --timeout=120s
fact "gloo: rank 0 has the sum of both" says 'rank 0 of 2: the sum of 1048576 numbers is 3 each' pod/worker-0
fact "gloo: rank 1 has the sum of both" says 'rank 1 of 2: the sum of 1048576 numbers is 3 each' pod/worker-1
kubectl create -f launcher.yaml
fact "mpirun reaches the pods of its hostfile and ends well" \
    kubectl wait --for=condition=Complete job/launcher --timeout=120s
fact "MPI: two processes in two pods have the sum of both" \
    says '2 processes on worker-0 worker-1: the sum is 3 each' job/launcher
say_facts
