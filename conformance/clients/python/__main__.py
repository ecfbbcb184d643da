"""The Python clients against the cluster of KUBECONFIG: `python -m python [WORD…]`."""

import importlib
import sys

from kit import main

for name in ("typed", "loose", "streams", "operators"):
    importlib.import_module(f"python.{name}")
sys.exit(main(sys.argv[1:]))
