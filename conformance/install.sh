#!/bin/sh
# Ferroflow in a cluster: `ferroflow install`, `doctor` and `uninstall`, and the manifests of deploy/kubernetes, on the real
# cluster of KUBECONFIG; it is to have S3, PostgreSQL and two nodes (`cargo xtask cluster up --nodes 2 --with s3 --with
# postgres`). Runs on the network of the first node (`cargo xtask cluster exec`), from where services are reached.
#
#   install.sh [WORD…]      cases whose names contain a word; all where none is given
#
# FERROFLOW_BINARY names the binary, else target/release/ferroflow is taken; FERROFLOW_IMAGE and FERROFLOW_LAUNCHER_IMAGE the
# images that nodes have, else `ferroflow:dev` and `ferroflow-launcher:dev`. PGHOST, AWS_ENDPOINT_URL and so on say how pods
# reach PostgreSQL and S3, where it is not as in that cluster. It makes databases and a bucket of its own, and removes all
# that it has made. Prints a line a case and `N passed, N failed, N skipped`.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
binary=${FERROFLOW_BINARY:-${CARGO_TARGET_DIR:-$(dirname "$here")/target}/release/ferroflow}
[ -n "${KUBECONFIG:-}" ] || { echo "install.sh: KUBECONFIG names no cluster" >&2; exit 1; }
[ -x "$binary" ] || (cd "$(dirname "$here")" && cargo build --release --package ferroflow >&2)
python=$("$here/clients/environment.sh" "$here/kfp")
exec env PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 "$python" -W ignore "$here/install/run.py" --binary "$binary" "$@"
