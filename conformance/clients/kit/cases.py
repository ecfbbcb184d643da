"""Cases and their runner: a fresh namespace a case, bounded waits, one line of counts at the end."""

import json
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from .client import Client, Skip

CASES = []
# Long enough for a busy machine; nothing waits this long when it goes well.
WAIT_SECONDS = 30
PARALLEL = int(os.environ.get("FERROFLOW_CASES_PARALLEL", "8"))


class Failure(AssertionError):
    """The cluster answered something else than a Kubernetes does."""


def case(function=None, *, needs=()):
    """Registers a case: a function whose name is a fact. `needs`: "controllers", "node"."""
    if function is None:
        return lambda inner: case(inner, needs=needs)
    needs = (needs,) if isinstance(needs, str) else needs
    group = function.__module__.rsplit(".", 1)[-1]
    CASES.append((group, function.__name__.replace("_", " "), needs, function))
    return function


def check(truth, text):
    if not truth:
        raise Failure(text() if callable(text) else text)


def same(found, expected, what="value"):
    if found != expected:
        raise Failure(f"{what}:\n  expected {json.dumps(expected, default=str)}\n  got      {json.dumps(found, default=str)}")


def subset(found, expected, path=""):
    """Every field of `expected` is in `found` with that value; lists are compared whole."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            check(key in found, f"{path}.{key} is missing; there are {sorted(found)}")
            subset(found[key], value, f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, value in enumerate(expected):
            subset(found[index], value, f"{path}[{index}]")
    else:
        same(found, expected, path or "object")


def wait_for_one(client, path, name, wanted, seconds):
    """The object once `wanted` holds for it, or once it is gone where `wanted` is None; None when that takes too long.

    A server may end a watch at any time, so the list and the watch are repeated until the time is over.
    """
    end = time.monotonic() + seconds
    query = {"fieldSelector": f"metadata.name={name}"}
    while (left := end - time.monotonic()) > 0:
        listed = client.get(path, query).ok(200)
        for item in listed.get("items") or []:
            if wanted is not None and wanted(item):
                return item
        if wanted is None and not listed.get("items"):
            return listed
        since = {"resourceVersion": listed["metadata"]["resourceVersion"], "timeoutSeconds": max(1, int(left))}
        with client.watch(path, **query, **since) as watch:
            for event in iter(watch.next, None):
                if event["type"] == "DELETED" and wanted is None:
                    return event["object"]
                if event["type"] in ("ADDED", "MODIFIED") and wanted is not None and wanted(event["object"]):
                    return event["object"]
    return None


class Cluster:
    """What is known of the cluster that the cases run against."""

    def __init__(self, client):
        self.client = client
        self.lock = threading.Lock()
        self.known = {}

    def has(self, ability):
        with self.lock:
            if ability not in self.known:
                self.known[ability] = getattr(self, f"has_{ability}")()
            return self.known[ability]

    def has_controllers(self):
        """Controllers give a new namespace its service account."""
        name = self.client.post("/api/v1/namespaces", {"metadata": {"generateName": "conformance-probe-"}}).ok()["metadata"]["name"]
        found = wait_for_one(self.client, f"/api/v1/namespaces/{name}/serviceaccounts", "default", lambda _: True, WAIT_SECONDS)
        self.client.delete(f"/api/v1/namespaces/{name}")
        return found is not None

    def has_node(self):
        nodes = self.client.get("/api/v1/nodes").ok()["items"]
        conditions = [one for node in nodes for one in node.get("status", {}).get("conditions", [])]
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def repeat(ask, wanted, seconds=WAIT_SECONDS):
    """Asks until the answer is as wanted, and returns the last one: for what no watch tells. The time has a bound."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if wanted(answer) or time.monotonic() > end:
            return answer


class Kit:
    """What a case is handed: the client, and objects that go when the case is over."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.client = cluster.client
        self.namespaces = []
        self.cleanups = []

    def __getattr__(self, name):
        return getattr(self.client, name)

    @property
    def ns(self):
        if not self.namespaces:
            self.new_namespace()
        return self.namespaces[0]

    def new_namespace(self, labels=None):
        meta = {"generateName": "conformance-", **({"labels": labels} if labels else {})}
        name = self.client.post("/api/v1/namespaces", {"metadata": meta}).ok(201)["metadata"]["name"]
        self.namespaces.append(name)
        path = f"/api/v1/namespaces/{name}/serviceaccounts"
        if self.cluster.has("controllers"):
            self.wait_for(path, "default")
        else:
            self.client.post(path, {"metadata": {"name": "default"}}).ok(201)
        return name

    def unique(self, stem):
        """A name that no other run uses."""
        return f"{stem}-{os.getpid()}-{time.monotonic_ns() % 10**9}-{threading.get_ident() % 9973}"

    def core(self, plural, name=None, sub=None, ns=None):
        return self.url("v1", plural, name, sub, ns)

    def url(self, group_version, plural, name=None, sub=None, ns=None):
        root = "/api/v1" if group_version == "v1" else f"/apis/{group_version}"
        return "/".join(part for part in (root, "namespaces", ns or self.ns, plural, name, sub) if part)

    def config_map(self, name="a", data=None, **meta):
        """Creates a ConfigMap and returns it."""
        body = {"metadata": {"name": name, **meta}, "data": {"k": "v"} if data is None else data}
        return self.client.post(self.core("configmaps"), body).ok(201)

    def wait_for(self, path, name, wanted=lambda _: True, seconds=WAIT_SECONDS):
        """The object of a collection once it is as wanted; fails when it is not in time."""
        found = wait_for_one(self.client, path, name, wanted, seconds)
        check(found is not None, lambda: f"{path}/{name}: not as wanted within {seconds} s: {self.client.get(f'{path}/{name}').text()[:1500]}")
        return found

    def wait_gone(self, path, name, seconds=WAIT_SECONDS):
        """Returns once the object is no longer there."""
        gone = wait_for_one(self.client, path, name, None, seconds)
        check(gone is not None, lambda: f"{path}/{name}: still there after {seconds} s: {self.client.get(f'{path}/{name}').text()[:1500]}")

    def until(self, probe, text, seconds=WAIT_SECONDS):
        """Repeats a probe until it is true."""
        check(repeat(probe, bool, seconds), lambda: f"not within {seconds} s: {text}")

    def finally_delete(self, path):
        self.cleanups.append(path)

    def close(self):
        for path in reversed(self.cleanups):
            self.client.delete(path)
        for name in self.namespaces:
            self.client.delete(f"/api/v1/namespaces/{name}")


def run_case(cluster, needs, function):
    lacking = [ability for ability in needs if not cluster.has(ability)]
    if lacking:
        return "skipped", f"this cluster has no {' and no '.join(lacking)}"
    kit = Kit(cluster)
    try:
        function(kit)
        return "passed", ""
    except Skip as skip:
        return "skipped", str(skip)
    except AssertionError as failure:
        frames = [frame for frame in traceback.extract_tb(failure.__traceback__) if frame.name == function.__name__]
        line = frames[-1].lineno if frames else 0
        return "failed", f"line {line}: {failure}"
    except Exception:  # a case that breaks is a case that fails; the others go on
        return "failed", "".join(traceback.format_exc(limit=-3, chain=False))
    finally:
        try:
            kit.close()
        except Exception as error:
            print(f"clean-up: {error}", file=sys.stderr)


def known_differences():
    """Cases that are known to fail on this cluster, with the reason, from the file that FERROFLOW_DIFFERENCES names."""
    path = os.environ.get("FERROFLOW_DIFFERENCES")
    if not path:
        return {}
    with open(path, encoding="utf-8") as file:
        rows = [line.split(" | ", 1) for line in file.read().splitlines() if " | " in line and not line.startswith("#")]
    return {name.strip(): reason.strip() for name, reason in rows}


def report(suite, results):
    """Writes what became of each case to the folder of FERROFLOW_REPORT, from which `table.py` makes the table."""
    folder = os.environ.get("FERROFLOW_REPORT")
    if not folder:
        return
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f"{suite}.json"), "w", encoding="utf-8") as file:
        json.dump([{"name": name, "result": result, "reason": reason} for name, result, reason in results], file, indent=0)


def main(arguments):
    """Runs the cases whose `group: name` holds every word that is given."""
    known = known_differences()
    results = []
    chosen = [one for one in CASES if all(word in f"{one[0]}: {one[1]}" for word in arguments)]
    cluster = Cluster(Client())
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    cluster.has("controllers")
    with ThreadPoolExecutor(PARALLEL) as pool:
        futures = [(group, name, pool.submit(run_case, cluster, needs, function)) for group, name, needs, function in chosen]
        for group, name, future in futures:
            result, reason = future.result()
            if (known_reason := known.get(f"{group}: {name}")) is not None:
                if result == "failed":
                    result, reason = "skipped", f"a known difference: {known_reason}"
                elif result == "passed":
                    print(f"mended: {group}: {name}: take it out of the known differences")
            counts[result] += 1
            is_different = result == "skipped" and known_reason is not None
            results.append((f"{group}: {name}", "different" if is_different else result, known_reason if is_different else reason))
            if result != "passed":
                print(f"{result}: {group}: {name}\n    " + reason.replace("\n", "\n    "))
    if chosen and not arguments:
        report(chosen[0][3].__module__.split(".")[0], results)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0
