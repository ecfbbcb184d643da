#!/usr/bin/env bash
# Three replicas behind a Service on the cluster of KUBECONFIG: requests are spread over all, one that is taken away under
# load is replaced and no request fails; and what kubectl shows of them. The Service is a load balancer's: where the
# cluster has one, requests go to its address, and else to the Service's own, which this machine must reach then.
set -euo pipefail
cd "$(dirname "$0")"

kubectl() { command kubectl "$@" 2> >(grep -v '^WARNING: version difference' >&2); }
work="$(mktemp -d)"
export PYTHONPATH="$PWD" PYTHONDONTWRITEBYTECODE=1
forward="" load=""
finish() {
    status=$?
    [ -z "$forward" ] || kill "$forward" 2>/dev/null || true
    [ -z "$load" ] || kill "$load" 2>/dev/null || true
    kubectl delete -f replicas.yaml --ignore-not-found --wait=false >/dev/null 2>&1 || true
    rm -rf "$work"
    exit $status
}
trap finish EXIT

. ../facts.sh
holds() { # TEXT COMMAND…: the output has a line with the text
    local text="$1"
    shift
    "$@" >"$work/text" 2>&1 || { cat "$work/text"; return 1; }
    grep -q -e "$text" "$work/text" || { cat "$work/text"; return 1; }
}
first_pod() { kubectl get pods -l app=replicas -o jsonpath='{.items[0].metadata.name}'; }
start_load() { # asks until stop_load
    rm -f "$work/hold"
    mkfifo "$work/hold"
    python3 load.py "http://$address/" <"$work/hold" >"$work/load.json" &
    load=$!
    exec 7>"$work/hold"
}
stop_load() {
    exec 7>&-
    wait "$load"
    load=""
    cat "$work/load.json"
}
asked() { # EXPRESSION over `answers` and `failures`
    python3 -c '
import json, sys
load = json.load(open(sys.argv[1]))
answers, failures = load["answers"], load["failures"]
sys.exit(0 if eval(sys.argv[2]) else f"{len(failures)} failures {failures[:3]}, answers {answers}")' "$work/load.json" "$1"
}
answered() { # COUNT: so many replicas have answered within a bound; nodes learn of new ones a moment after they are ready
    timeout 30 python3 - "$1" "$address" <<'END'
import sys, urllib.parse
import load
names = set()
while len(names) < int(sys.argv[1]):
    try:
        names.add(load.ask(urllib.parse.urlsplit(f"http://{sys.argv[2]}/")))
    except ConnectionRefusedError:
        pass
END
}

kubectl apply -f replicas.yaml
fact "rollout status tells when all are ready" \
    holds 'successfully rolled out' kubectl rollout status deployment/replicas --timeout=90s
address="$(kubectl get service replicas -o jsonpath='{.status.loadBalancer.ingress[0].ip}')"
[ -n "$address" ] || address="$(kubectl get service replicas -o jsonpath='{.spec.clusterIP}')"
printf 'requests go to %s\n' "$address"
fact "every replica answers behind the service's address" answered 3

victim="$(first_pod)"
start_load
fact "every replica answers under load" answered 3
fact "a replica is taken away under load" kubectl delete pod "$victim" --timeout=60s
fact "it is replaced" kubectl wait --for=condition=Available deployment/replicas --timeout=60s
fact "the deployment has three ready replicas again" \
    kubectl wait --for=jsonpath='{.status.readyReplicas}'=3 deployment/replicas --timeout=60s
fact "every replica answers again" answered 3
stop_load
fact "no request on a fresh connection failed" asked 'not failures and sum(answers.values()) > 100'
fact "requests were spread over all four that lived" asked 'len(answers) >= 4'

one="$(first_pod)"
fact "exec runs a command in a replica" holds "$one" kubectl exec "$one" -- sh -c 'echo $POD_NAME'
fact "describe tells the image and events" holds 'Started' kubectl describe pod "$one"
fact "logs tell what a replica said" holds "$one serves" kubectl logs "$one"
kubectl exec "$one" -- python3 -c 'import os, signal; os.kill(1, signal.SIGTERM)' || true
fact "a container that ended is started again" \
    kubectl wait --for=jsonpath='{.status.containerStatuses[0].restartCount}'=1 "pod/$one" --timeout=60s
fact "logs --previous are those of the container before" holds "$one serves" kubectl logs --previous "$one"
fact "it is ready again" kubectl wait --for=condition=Ready "pod/$one" --timeout=60s

mkfifo "$work/forward"
exec 8<>"$work/forward"
command kubectl port-forward "pod/$one" :8080 >&8 2>"$work/forward.log" &
forward=$!
read -r -t 20 told <&8 || told="$(cat "$work/forward.log")"
port="$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' <<<"$told")"
fact "port-forward leads to one replica" holds "$one" \
    python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())' \
    "http://127.0.0.1:$port/"

fact "scale asks for five" holds 'scaled' kubectl scale deployment/replicas --replicas=5
fact "and five get ready" kubectl wait --for=jsonpath='{.status.readyReplicas}'=5 deployment/replicas --timeout=90s
fact "all five answer" answered 5
fact "scale goes down again" kubectl scale deployment/replicas --replicas=3
fact "a change rolls out" kubectl set env deployment/replicas GREETING=hello
fact "rollout status waits for it" kubectl rollout status deployment/replicas --timeout=120s
fact "rollout undo goes back" kubectl rollout undo deployment/replicas
fact "and waits too" kubectl rollout status deployment/replicas --timeout=120s

kubectl delete -f replicas.yaml --timeout=60s >/dev/null
fact "nothing is left" kubectl wait --for=delete pod -l app=replicas --timeout=60s
say_facts
