#!/usr/bin/env bash
# The node's tests that start containers, as a user who is not root: namespaces, images, networks and escape attempts are
# other ones then. First a user with one id, then one with a range of them (newuidmap), whose pods have several. For root,
# who runs them as root too; nothing of the machine is changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/need.sh
[ "$(id -u)" = 0 ] || { echo "0 passed, 0 failed, 1 skipped"; exit 0; }
user=54321
built="$(cargo test --quiet --workspace --no-run --message-format=json |
    python3 -c '
import json, sys
rows = (json.loads(line) for line in sys.stdin if line.startswith("{"))
print([row["executable"] for row in rows if row.get("executable") and row["target"]["name"] == "ferroflow_node" and row["profile"]["test"]][-1])')"
xtask="$(xtask_program)"
work="$(mktemp -d "${TMPDIR:-/tmp}/ferroflow-user-XXXXXX")"
trap 'rm -rf "$work"' EXIT
cp "$built" "$work/tests"
mkdir "$work/tmp"
chown -R "$user:$user" "$work"
chmod 755 "$work" "$work/tests"
cd "$work"
as_user() { # OPTIONS of setpriv, then a command
    HOME="$work" TMPDIR="$work/tmp" setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all "$@"
}
# A test that lacks something says so and passes: that is shown.
shown() { # COMMAND…
    "$@" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }
    grep '^test result' "$work/log"
    "$xtask" skips <"$work/log"
}
shown as_user --bounding-set=-all "$work/tests" --show-output runtime:: shim::

programs="$(uidmap_programs)"
if [ -z "$programs" ]; then
    echo "skipped with a range of user ids: there is no newuidmap here (Debian: apt-get install uidmap)"
    exit 0
fi
# The user, the range and the two programs, which are root's, are there in a mount namespace of this command alone.
export user work programs
shown unshare --mount --propagation private bash -euo pipefail -c '
    cp -a /etc "$work/etc"
    echo "ferroflow-test:x:$user:$user::/nonexistent:/bin/sh" >>"$work/etc/passwd"
    for file in subuid subgid; do echo "$user:600000:65536" >>"$work/etc/$file"; done
    mount --bind "$work/etc" /etc
    mkdir "$work/programs"
    mount -t tmpfs -o mode=755 programs "$work/programs"
    install -m 4755 "$programs/newuidmap" "$programs/newgidmap" "$work/programs"
    mount --bind "$work/programs" /usr/local/bin
    # The programs may do for the user what root may: its bounding set stays whole, as after a login.
    HOME="$work" TMPDIR="$work/tmp" FERROFLOW_TEST_RANGE=1 setpriv --reuid "$user" --regid "$user" --clear-groups \
        --inh-caps=-all "$work/tests" --show-output runtime::jail_tests runtime::escape_tests runtime::network_tests
'
