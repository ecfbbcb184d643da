"""Raw protocol cases against the cluster of KUBECONFIG: `python3 -m raw [WORD…]`."""

import importlib
import pkgutil
import sys

import raw
from kit import main

for module in pkgutil.iter_modules(raw.__path__):
    if not module.name.startswith("__"):
        importlib.import_module(f"raw.{module.name}")
sys.exit(main(sys.argv[1:]))
