#!/bin/sh
# Artifacts in S3: servers of their own, embedded, beside an S3 server that is stopped and started under a run. And a server
# whose disk is full for a while, a small one in memory, in a mount namespace of this script's own; only root has that.
#
#   storage.sh [WORD…]      cases whose names contain a word; all where none is given
#
# FERROFLOW_BINARY names the binary, else target/release/ferroflow is taken. Prints `N passed, N failed, N skipped`.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
binary=${FERROFLOW_BINARY:-${CARGO_TARGET_DIR:-$(dirname "$here")/target}/release/ferroflow}
[ -x "$binary" ] || (cd "$(dirname "$here")" && cargo build --release --package ferroflow >&2)
if ! directory=$("$here/kubernetes/build.sh" versitygw); then
    echo "the S3 server cannot be built here"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
python=$("$here/clients/environment.sh" "$here/kfp")
own=
if [ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null; then own="unshare --mount --propagation private"; fi
exec $own env FERROFLOW_MAY_MOUNT="${own:+yes}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    "$python" -W ignore "$here/kfp/storage.py" --binary "$binary" --s3 "$directory/versitygw" "$@"
