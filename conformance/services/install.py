"""What a pod installed with pip is what the index has, and nothing else can be had."""
import subprocess
import sys
from importlib import metadata

import numpy
import requests

assert numpy.__file__.startswith("/usr/local/"), f"numpy is Debian's: {numpy.__file__}"
assert int((numpy.arange(4) * 2).sum()) == 12
print("numpy", metadata.version("numpy"), "requests", requests.__version__)

page = requests.get("http://packages.kube-system/simple/", timeout=10)
assert page.ok and "numpy" in page.text, page.text

absent = subprocess.run([sys.executable, "-m", "pip", "install", "left-pad"], capture_output=True, text=True, timeout=20)
assert absent.returncode == 1 and "No matching distribution found for left-pad" in absent.stderr, absent
