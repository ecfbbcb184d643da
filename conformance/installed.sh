#!/bin/sh
# Ferroflow installed in the cluster of KUBECONFIG, with PostgreSQL and S3, for as long as a command runs.
#
#   installed.sh COMMAND…
#
# Wants what install.sh wants, and removes all that it has made. The command is given FERROFLOW_GATEWAY, the address of the
# installed Service, FERROFLOW_TOKEN, of an administrator of the cluster, KF_PIPELINES_ENDPOINT, for clients that find the server
# by themselves, and FERROFLOW_BINARY. The cluster gets volumes of the class `standard` (volumes.sh).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
binary=${FERROFLOW_BINARY:-${CARGO_TARGET_DIR:-$(dirname "$here")/target}/release/ferroflow}
[ -n "${KUBECONFIG:-}" ] || { echo "installed.sh: KUBECONFIG names no cluster" >&2; exit 1; }
[ -x "$binary" ] || (cd "$(dirname "$here")" && cargo build --release --package ferroflow >&2)
python=$("$here/clients/environment.sh" "$here/kfp")
"$here/volumes.sh"
exec env PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 "$python" -W ignore "$here/install/within.py" --binary "$binary" -- "$@"
