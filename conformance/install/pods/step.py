"""A step of the chaos: counts itself when it begins and before it ends, and checks what it was handed.

    step.py PLACE NAME SECONDS FAILURES GOT WANTED OUT

PLACE is a URL of the counter for each run. The step fails as often as FAILURES says, which it counts as well, and with another
code where it was not handed what the steps before it have made. GOT may be a file, or a list; OUT is a file.
"""

import json
import os
import pathlib
import sys
import time
import urllib.parse
import urllib.request

PLACE, NAME, SECONDS, FAILURES, GOT, WANTED, OUT = sys.argv[1:]


def count(what):
    """Counts this attempt, which is called as its pod, and returns all that was counted."""
    request = urllib.request.Request(f"{PLACE}/{NAME}/{os.environ['HOSTNAME']}/{what}", data=b"", method="POST")
    return json.load(urllib.request.urlopen(request, timeout=20))


counted = count("begin")
got = pathlib.Path(GOT).read_text() if GOT.startswith("/") else GOT
if got.startswith("["):
    got = "".join(json.loads(got))
if got != WANTED:
    count("wrong")
    sys.exit(f"handed {got!r}, not {WANTED!r}")
time.sleep(float(SECONDS))
mine = f"{urllib.parse.urlsplit(PLACE).path}/{NAME}/"
if sum(path.startswith(mine) and path.endswith("/fail") for path in counted) < int(FAILURES):
    count("fail")
    sys.exit(3)
out = pathlib.Path(OUT)
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(got + NAME)
count("end")
