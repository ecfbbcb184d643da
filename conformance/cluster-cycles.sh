#!/usr/bin/env bash
# Starts and removes a real cluster again and again, with S3 and PostgreSQL in it; every other start is killed at a random
# moment. Nothing may stay, and the next one must come up.
#
#   cluster-cycles.sh [COUNT [NODES]]      20 times one node where nothing is said
set -euo pipefail
cd "$(dirname "$0")/.."
count="${1:-20}"
nodes="${2:-1}"
beside=(--with s3 --with postgres)
. scripts/need.sh
program="$(realpath "$(xtask_program)")"
xtask() { "$program" cluster "$@"; }
state="${XDG_STATE_HOME:-/var/tmp}/ferroflow-cluster"
work="$(mktemp -d)"
finish() {
    status=$?
    xtask down 2>/dev/null || status=1
    rm -rf "$work"
    exit $status
}
trap finish EXIT

traces() { # everything of a cluster that the machine shows
    for environment in /proc/[0-9]*/environ; do
        ! grep -qsz "^FERROFLOW_CLUSTER=$state\$" "$environment" || echo "process ${environment%/environ}"
    done
    pgrep -af "containerd-shim.*k8s.io|$state/" | grep -v pgrep || true
    grep -F "$state" /proc/self/mountinfo || true
    find /sys/fs/cgroup -type d -name 'ferroflow-????????' || true
    ls -d "$state" 2>/dev/null || true
    ls -d /run/netns/cni-* /run/containerd /var/lib/cni /var/lib/kubelet /var/log/pods /var/log/containers 2>/dev/null || true
    pgrep -af 'pypiserver|bin/postgres|/versitygw --port' | grep -v pgrep || true
    ls -d /dev/shm/PostgreSQL.* 2>/dev/null || true
    ip -o link | cut -d: -f2 | grep -E '^ (node-|pods|veth)' || true
    cat /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic /proc/sys/kernel/panic_on_oops
}

xtask build "${beside[@]}"
xtask down
kubectl="$(conformance/kubernetes/build.sh kubectl)/kubectl"
traces >"$work/before"
passed=0 failed=0
for cycle in $(seq "$count"); do
    if [ $((cycle % 2)) = 0 ]; then
        # Between nothing and a little more than a whole start.
        moment="$((RANDOM % 15)).$((RANDOM % 10))"
        timeout -s KILL "$moment" "$program" cluster up --nodes "$nodes" "${beside[@]}" >"$work/log" 2>&1 || true
        first="$(sed -n 's/.*"firstProcess":\([0-9]*\).*/\1/p' "$state/record.json" 2>/dev/null || true)"
        # Half of them lose the first process of the namespaces as well.
        [ $((RANDOM % 2)) = 0 ] || [ -z "$first" ] || kill -KILL "$first" 2>/dev/null || true
        what="killed after $moment s"
        good=true
    else
        what="up and down"
        good=false
        if xtask up --nodes "$nodes" "${beside[@]}" >"$work/log" 2>&1 &&
            xtask exec -- "$kubectl" run cycle --image=busybox \
                --image-pull-policy=Never --restart=Never --command -- sleep 600 >>"$work/log" 2>&1 &&
            xtask exec -- "$kubectl" wait --for=condition=Ready pod/cycle \
                --timeout=60s >>"$work/log" 2>&1; then
            good=true
            what="$what, $(sed -n 's/^the cluster is ready after/ready after/p' "$work/log")"
        fi
    fi
    # The next start removes what a crash left; every fourth crash is removed by hand.
    if [ $((cycle % 4)) != 2 ]; then
        xtask down >>"$work/log" 2>&1 || good=false
        traces >"$work/after"
        diff "$work/before" "$work/after" >"$work/left" || good=false
    else
        : >"$work/left"
    fi
    if $good; then
        passed=$((passed + 1))
        echo "ok      $cycle: $what"
    else
        failed=$((failed + 1))
        echo "FAILED  $cycle: $what"
        cat "$work/left"
        tail -20 "$work/log"
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
