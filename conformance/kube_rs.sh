#!/bin/sh
# Runs the cases of kube-rs against the cluster of KUBECONFIG, through `kubectl proxy`: the test program speaks http.
#
# FERROFLOW_KUBE_RS names the test program where it is built already. Ends with `N passed, N failed, N skipped`.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
: "${KUBECONFIG:?it names the cluster to run against}"

if [ -z "${FERROFLOW_KUBE_RS:-}" ]; then
    FERROFLOW_KUBE_RS=$("$here/kube_rs_program.sh")
fi
if ! command -v kubectl >/dev/null; then
    PATH=$PATH:$("$here/kubernetes/build.sh" kubectl)
    export PATH
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/ferroflow-kube-rs-XXXXXX")
proxy=
finish() {
    status=$?
    trap - EXIT HUP INT TERM
    [ -z "$proxy" ] || kill "$proxy" 2>/dev/null || true
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# Without the filter it lets commands in pods through; it listens on loopback and ends with this script.
mkfifo "$work/says"
kubectl proxy --port=0 --disable-filter=true >"$work/says" 2>"$work/errors" &
proxy=$!
read -r line <"$work/says" || { cat "$work/errors" >&2; exit 1; }
address=${line##* }
cat >"$work/kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: proxy
contexts: [{name: proxy, context: {cluster: proxy, user: proxy}}]
clusters: [{name: proxy, cluster: {server: "http://$address"}}]
users: [{name: proxy, user: {}}]
END

status=0
FERROFLOW_TEST_KUBECONFIG=$work/kubeconfig "$FERROFLOW_KUBE_RS" through_a_socket --nocapture >"$work/log" 2>&1 || status=1
[ "$status" = 0 ] || cat "$work/log"
# A case that finds nothing to look at says so, and counts as passed to the test program.
sed -n 's/^.*\(skipped a.*\)$/\1/p' "$work/log"
skipped=$(grep -c 'skipped a' "$work/log") || true
if [ -n "${FERROFLOW_REPORT:-}" ]; then
    mkdir -p "$FERROFLOW_REPORT"
    python3 - "$work/log" >"$FERROFLOW_REPORT/kube-rs.json" <<'END'
import json, re, sys
log = open(sys.argv[1]).read()
skipped = dict(re.findall(r"skipped (a_\w+)[ :]*(.*)", log))
rows = []
for case, result in sorted(re.findall(r"^test through_a_socket::(\w+) \.\.\. (ok|FAILED)$", log, re.MULTILINE)):
    reason = skipped.get(case, "")
    result = "skipped" if case in skipped else {"ok": "passed", "FAILED": "failed"}[result]
    rows.append({"name": case.replace("_", " "), "result": result, "reason": reason})
json.dump(rows, sys.stdout, indent=0)
END
fi
sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed;.*/\1 \2/p' "$work/log" |
    while read -r passed failed; do echo "$((passed - skipped)) passed, $failed failed, $skipped skipped"; done
exit $status
