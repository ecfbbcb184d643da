"""Runs the cases of `api/`: what the API does besides running pipelines, as the unmodified `kfp` client sees it.

    behaviour.py --host URL --token TOKEN [WORD…]
    behaviour.py --kubeconfig FILE [WORD…]
    behaviour.py --part beside --parallel 1 --host URL --token TOKEN [WORD…]     beside another cluster (../beside.sh)

Prints a line a case and `N passed, N failed, N skipped`.
"""

import argparse
import importlib
import logging
import os
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True

from api.kit import CASES, Failure, Kit, Skip  # noqa: E402
from kit.server import ApiException, Server, reason  # noqa: E402

PARTS = ("access", "experiments", "pipelines", "runs", "recurring", "quota")


def judged(function, server, work, namespace):
    began = time.monotonic()
    try:
        function(Kit(server, work, namespace))
        return "passed", "", time.monotonic() - began
    except Skip as skip:
        return "skipped", str(skip), 0.0
    except Failure as failure:
        return "failed", f"{failure}\n{traceback.format_exc(limit=-2).splitlines()[-3].strip()}", time.monotonic() - began
    except ApiException as error:
        where = [line for line in traceback.format_exc().splitlines() if "/api/" in line]
        return "failed", "the server answered %s: %s" % reason(error) + "\n" + "\n".join(where[-2:]), time.monotonic() - began
    except Exception:
        return "failed", traceback.format_exc(limit=-6), time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only cases whose name holds one of these words")
    parser.add_argument("--host", help="where the API is, with /pipeline")
    parser.add_argument("--token", default=os.environ.get("KFP_TOKEN"), help="the bearer token; KFP_TOKEN where it is not given")
    parser.add_argument("--kubeconfig", help="the way to the API where no host is given")
    parser.add_argument("--namespace", default="kubeflow")
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--part", action="append", help=f"a file of api/; where none is named: {', '.join(PARTS)}")
    options = parser.parse_intermixed_args()
    for part in options.part or PARTS:
        importlib.import_module(f"api.{part}")
    if options.kubeconfig:
        os.environ["KUBECONFIG"] = options.kubeconfig
    logging.disable(logging.INFO)
    server = Server(options.host, options.token)
    chosen = [(name, function) for name, function in CASES if not options.words or any(word in name for word in options.words)]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    # The client prints links for notebooks.
    quiet = open(os.devnull, "w")
    out, sys.stdout = sys.stdout, quiet
    with tempfile.TemporaryDirectory() as work, ThreadPoolExecutor(options.parallel) as pool:
        results = [(name, pool.submit(judged, function, server, work, options.namespace)) for name, function in chosen]
        for name, result in results:
            outcome, why, seconds = result.result()
            counts[outcome] += 1
            word = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}[outcome]
            print(f"{word:8} {name} ({seconds:.1f} s)", file=out, flush=True)
            if why:
                print("         " + why.rstrip().replace("\n", "\n         "), file=out, flush=True)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts), file=out)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
