#!/bin/sh
# Ferroflow in a cluster while things go wrong: two servers, installed by `ferroflow install` with PostgreSQL and S3, carry out
# runs whose steps count themselves, while leaders are killed and paused, the API server, PostgreSQL and S3 are away, a node is
# drained and a kubelet stands still. Then every run has ended as it would have, no step that had succeeded has run again, and
# nothing is lost of what was acknowledged.
#
#   chaos.sh [--short] [--runs N] [--kills N] [--pauses N] [--outages N] [--seed N] [WORD…]
#
# 30 runs (150 steps), 20 kills, 5 pauses and each outage once where nothing else is said; 10 runs, 3 kills and 1 pause with
# `--short`. The seed decides the order; where words are given, only what holds one of them goes wrong (drain, kill_process,
# delete_pod, pause, postgres …). Wants what install.sh wants, and to be root on the machine of a cluster that `cargo xtask
# cluster up` has started, whose processes it stops and kills: what it cannot find is skipped. The API server is stopped for 10 s,
# its connections are refused for as long, and it is killed and started again; a kubelet is stopped for 15 s, and killed as well.
# Prints a line a disturbance, a table, a line a check and `N passed, N failed, N skipped`.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
binary=${FERROFLOW_BINARY:-${CARGO_TARGET_DIR:-$(dirname "$here")/target}/release/ferroflow}
[ -n "${KUBECONFIG:-}" ] || { echo "chaos.sh: KUBECONFIG names no cluster" >&2; exit 1; }
[ -x "$binary" ] || (cd "$(dirname "$here")" && cargo build --release --package ferroflow >&2)
python=$("$here/clients/environment.sh" "$here/kfp")
exec env PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 "$python" -W ignore "$here/install/chaos.py" --binary "$binary" "$@"
