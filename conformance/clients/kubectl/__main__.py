"""`kubectl` from PATH against the cluster of KUBECONFIG: `python3 -m kubectl [WORD…]`."""

import importlib
import pkgutil
import sys

import kubectl
from kit import main

for module in pkgutil.iter_modules(kubectl.__path__):
    if not module.name.startswith("__") and module.name != "tool":
        importlib.import_module(f"kubectl.{module.name}")
sys.exit(main(sys.argv[1:]))
