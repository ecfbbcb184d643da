#!/bin/sh
# Runs the clients' suites on the embedded cluster and on a real one, and makes the table of both: results.md.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
reports=$(dirname "$here")/target/reports
rm -rf "$reports"
status=0
# A case that fails on either stands in the table as it is. Both have the same images.
FERROFLOW_LOAD=$(cd "$here/.." && cargo xtask cluster images | tr '\n' ' ')
export FERROFLOW_LOAD
FERROFLOW_KUBE_RS=$("$here/kube_rs_program.sh")
export FERROFLOW_KUBE_RS
FERROFLOW_REPORT=$reports/embedded "$here/clients.sh" || status=1
FERROFLOW_REPORT=$reports/embedded "$here/embedded.sh" exec -- "$here/kube_rs.sh" || status=1
FERROFLOW_REPORT=$reports/real "$here/real.sh" raw faults answers kubectl python model kube-rs || status=1
python3 "$here/table.py" write "$reports"
exit $status
