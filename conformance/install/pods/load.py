"""Sends twenty requests a second to the server until the file STOP is there, and prints what became of them.

    load.py URL TOKENFILE STOP EXPERIMENT-STEM

Half of them by a connection of their own, half by the pool of connections that the client has; a tenth writes a record.
"""

import http.client
import json
import sys
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import urllib3

URL, TOKEN, STOP, STEM = sys.argv[1:]
EVERY = 0.05
# A request may wait for a leader for 20 s.
PATIENCE = 40
# Of the whole, should nobody say stop.
LIMIT = 300
BASE = "/pipeline/apis/v2beta1"

address = urllib.parse.urlsplit(URL)
headers = {"Authorization": f"Bearer {Path(TOKEN).read_text().strip()}", "Content-Type": "application/json"}
pool = urllib3.PoolManager(maxsize=32)


def alone(method, path, body):
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, {**headers, "Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def pooled(method, path, body):
    answer = pool.request(method, f"{URL}{path}", body=body, headers=headers, timeout=PATIENCE)
    return answer.status, answer.data


def send(number):
    """What failed, or the id of what was written, or nothing."""
    began = time.monotonic()
    is_write = number % 10 == 0
    body = json.dumps({"display_name": f"{STEM}-{number}", "namespace": "kubeflow"}) if is_write else None
    path = f"{BASE}/experiments" if is_write else f"{BASE}/runs?namespace=kubeflow&page_size=5"
    ask = alone if is_write or number % 2 else pooled
    try:
        status, text = ask("POST" if is_write else "GET", path, body)
    except Exception as error:
        status, text = type(error).__name__, str(error).encode()
    took = time.monotonic() - began
    if status != 200:
        return {"failed": f"{number} {ask.__name__} {path} after {took:.2f} s: {status} {text[:300].decode(errors='replace')}"}
    return {"took": took, **({"written": json.loads(text)["experiment_id"]} if is_write else {})}


began = time.monotonic()
sent = []
with ThreadPoolExecutor(64) as threads:
    while not Path(STOP).exists() and time.monotonic() - began < LIMIT:
        sent.append(threads.submit(send, len(sent)))
        if len(sent) == 20:
            print("begun", flush=True)
        time.sleep(max(0.0, began + len(sent) * EVERY - time.monotonic()))
results = [one.result() for one in sent]
summary = {
    "requests": len(results),
    "seconds": time.monotonic() - began,
    "longest": max(one.get("took", 0) for one in results),
    "failed": [one["failed"] for one in results if "failed" in one],
    "written": [one["written"] for one in results if "written" in one],
}
print(json.dumps(summary))
