#!/usr/bin/env bash
# What stands beside Kubernetes in a real cluster, asked from within pods by the names of its services: pip installs
# packages, boto3 keeps objects over S3, psycopg keeps a table in PostgreSQL. On the cluster of KUBECONFIG, which was
# started with `--with s3 --with postgres`.
set -euo pipefail
cd "$(dirname "$0")/services"

namespace=services-$$
kubectl() { command kubectl --namespace "$namespace" "$@" 2> >(grep -v '^WARNING: version difference' >&2); }
log="$(mktemp)"
finish() {
    status=$?
    rm -f "$log"
    command kubectl delete namespace "$namespace" --ignore-not-found --wait=false >/dev/null 2>&1 || true
    exit $status
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

passed=0 failed=0
fact() { # NAME POD: the pod ends well
    local name="$1" pod="$2"
    if kubectl wait --for=jsonpath='{.status.containerStatuses[0].state.terminated.exitCode}' "pod/$pod" \
        --timeout=180s >"$log" 2>&1 && kubectl logs "pod/$pod" >"$log" 2>&1 &&
        [ "$(kubectl get pod "$pod" -o jsonpath='{.status.containerStatuses[0].state.terminated.exitCode}')" = 0 ]; then
        passed=$((passed + 1))
        printf 'ok      %s (%s)\n' "$name" "$(tail -1 "$log")"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$name"
        kubectl describe pod "$pod" | tail -8 >>"$log" || true
        sed 's/^/        /' "$log"
    fi
}

kubectl create namespace "$namespace" >/dev/null
kubectl create configmap services --from-file=. >/dev/null
# A pod of a namespace that is new may have to wait for its service account.
kubectl wait --for=create serviceaccount/default --timeout=30s >/dev/null
kubectl create -f pods.yaml >/dev/null
fact "a pod installs packages with pip and imports them" install
fact "a pod puts, lists and gets objects over S3" objects
fact "a pod writes and reads a table in PostgreSQL" tables
printf '%d passed, %d failed, 0 skipped\n' "$passed" "$failed"
[ "$failed" = 0 ]
