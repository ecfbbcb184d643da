"""Runs a command with Ferroflow installed (../installed.sh).

    within.py --binary PROGRAM -- COMMAND…
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kfp")]

from cluster import kubectl  # noqa: E402
from setting import Setting  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="ferroflow-installed-") as work:
        setting = Setting(options.binary, work)
        try:
            setting.need()
            # Cases make namespaces and accounts, and ask as them.
            setting.kube.namespace(setting.name)
            kubectl("--namespace", setting.name, "create", "serviceaccount", "administrator")
            kubectl("create", "clusterrolebinding", setting.name, "--clusterrole=cluster-admin", f"--serviceaccount={setting.name}:administrator")
            token = kubectl("--namespace", setting.name, "create", "token", "administrator", "--duration=12h")[0].strip()
            told = {"FERROFLOW_GATEWAY": setting.url, "FERROFLOW_TOKEN": token, "FERROFLOW_BINARY": options.binary}
            told["KF_PIPELINES_ENDPOINT"] = f"{setting.url}/pipeline"
            done = subprocess.run(options.command, env={**os.environ, **told})
            if done.returncode:
                print(setting.told(), file=sys.stderr)
        finally:
            setting.finish()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
