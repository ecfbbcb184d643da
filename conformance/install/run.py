"""Runs the cases of what is installed into a cluster (../install.sh).

    run.py --binary PROGRAM [WORD…]

Prints a line a case and `N passed, N failed, N skipped`.
"""

import argparse
import importlib
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kfp")]

from api.kit import CASES, Skip  # noqa: E402
from cluster import CORE  # noqa: E402
from kit.server import ApiException, reason  # noqa: E402
from setting import Setting  # noqa: E402

# In this order: what is installed is removed last.
PARTS = ("installation", "callers", "tenants", "moving", "outages", "removal", "volume")


def lacking(setting):
    """What the cluster was not given, in words."""
    wanted = {"postgres": "PGHOST", "s3": "AWS_ENDPOINT_URL"}
    return [name for name, variable in wanted.items() if variable not in os.environ and not setting.kube.find(f"{CORE}/namespaces/kube-system/services/{name}")]


def judged(function, setting):
    began = time.monotonic()
    try:
        function(setting)
        return "passed", "", time.monotonic() - began
    except Skip as skip:
        return "skipped", str(skip), 0.0
    except ApiException as error:
        return "failed", "the server answered %s: %s" % reason(error) + "\n" + traceback.format_exc(limit=-3), time.monotonic() - began
    except Exception:
        return "failed", traceback.format_exc(limit=-6), time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only cases whose name holds one of these words")
    parser.add_argument("--binary", required=True)
    options = parser.parse_intermixed_args()
    for part in PARTS:
        importlib.import_module(part)
    logging.disable(logging.INFO)
    # What was made is removed as well where the cases are told to end.
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    # The client prints links for notebooks.
    out, sys.stdout = sys.stdout, open(os.devnull, "w")
    with tempfile.TemporaryDirectory(prefix="ferroflow-install-") as work:
        setting = Setting(options.binary, work)
        if missing := lacking(setting):
            print(f"the cluster has no {' and no '.join(missing)} (cargo xtask cluster up --with s3 --with postgres)", file=out)
            print("0 passed, 0 failed, 1 skipped", file=out)
            return 0
        if setting.before:
            print(f"there is something of Ferroflow already: {sorted(setting.before)}", file=out)
            print("0 passed, 1 failed, 0 skipped", file=out)
            return 1
        try:
            for name, function in CASES:
                if options.words and not any(word in name for word in options.words):
                    continue
                outcome, why, seconds = judged(function, setting)
                counts[outcome] += 1
                word = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}[outcome]
                print(f"{word:8} {name} ({seconds:.1f} s)", file=out, flush=True)
                if why:
                    print("         " + why.rstrip().replace("\n", "\n         "), file=out, flush=True)
            if counts["failed"] and setting.left():
                print(setting.told(), file=out)
        finally:
            setting.finish()
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts), file=out)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
