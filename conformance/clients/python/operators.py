"""`kopf`: a small operator, run as a process of its own, that must come to rest."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time

from kit import case, check, same

from .loose import define, trial

OPERATOR = '''
import os
import kopf

GROUP = os.environ["GROUP"]


@kopf.on.startup()
def configure(settings, **_):
    settings.posting.enabled = True
    settings.watching.server_timeout = 60
    settings.persistence.finalizer = "python.example.com/finalizer"


@kopf.on.create(GROUP, "v1", "trials")
def create(spec, body, **_):
    kopf.info(body, reason="Seen", message=f"size is {spec.get('size')}")
    return {"size": spec.get("size")}


@kopf.on.update(GROUP, "v1", "trials", field="spec.size")
def grow(old, new, patch, **_):
    patch.status["grown"] = f"{old} to {new}"


@kopf.on.delete(GROUP, "v1", "trials")
def delete(name, namespace, logger, **_):
    logger.info("deleted %s/%s", namespace, name)
'''


@contextlib.contextmanager
def operator(k, group):
    with tempfile.TemporaryDirectory() as folder:
        path, log = os.path.join(folder, "operator.py"), os.path.join(folder, "log")
        with open(path, "w", encoding="utf-8") as file:
            file.write(OPERATOR)
        with open(log, "w", encoding="utf-8") as out:
            words = [sys.executable, "-m", "kopf", "run", "--standalone", "--namespace", k.ns, "--verbose", path]
            child = subprocess.Popen(words, stdout=out, stderr=out, env={**os.environ, "GROUP": group})
        try:
            yield
        except AssertionError as failure:
            with open(log, encoding="utf-8") as file:
                raise AssertionError(f"{failure}\nthe operator's log ends with:\n" + "".join(file.readlines()[-15:])) from failure
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def settle(k, group, wanted):
    return k.wait_for(k.url(f"{group}/v1", "trials"), "t", wanted, seconds=60)


def comes_to_rest(k, group):
    """No change is seen for two seconds: an operator that patches for ever never gets here."""
    since = k.get(k.url(f"{group}/v1", "trials", "t")).ok()["metadata"]["resourceVersion"]
    path = k.url(f"{group}/v1", "trials")
    for _ in range(10):
        with k.watch(path, fieldSelector="metadata.name=t", resourceVersion=since, timeoutSeconds=2) as watch:
            began, events = time.monotonic(), watch.rest()
        if not events and time.monotonic() - began > 1:
            return
        if events:
            since = events[-1]["object"]["metadata"]["resourceVersion"]
    raise AssertionError("the operator and the server never come to rest")


@case
def an_operator_handles_creation_and_change_and_comes_to_rest(k):
    group = define(k)
    with operator(k, group):
        k.post(k.url(f"{group}/v1", "trials"), trial(group, size=1)).ok(201)
        found = settle(k, group, lambda one: one.get("status", {}).get("create") == {"size": 1})
        check("python.example.com/finalizer" in found["metadata"]["finalizers"], found["metadata"])
        comes_to_rest(k, group)
        k.merge(k.url(f"{group}/v1", "trials", "t"), {"spec": {"size": 2}}).ok()
        found = settle(k, group, lambda one: "grown" in one.get("status", {}))
        same(found["status"]["grown"], "1 to 2")
        comes_to_rest(k, group)
        events = k.get(k.core("events"), {"fieldSelector": "involvedObject.name=t"}).ok()["items"]
        check(any(one["reason"] == "Seen" and one["message"] == "size is 1" for one in events), [one["message"] for one in events])


@case
def an_operator_lets_go_of_its_finalizer(k):
    group = define(k, subresources={"status": {}})
    with operator(k, group):
        k.post(k.url(f"{group}/v1", "trials"), trial(group, size=1)).ok(201)
        settle(k, group, lambda one: "create" in one.get("status", {}))
        k.delete(k.url(f"{group}/v1", "trials", "t")).ok(200)
        k.wait_gone(k.url(f"{group}/v1", "trials"), "t", seconds=60)


@case
def an_operator_takes_up_what_is_already_there(k):
    group = define(k)
    k.post(k.url(f"{group}/v1", "trials"), trial(group, size=9)).ok(201)
    with operator(k, group):
        settle(k, group, lambda one: one.get("status", {}).get("create") == {"size": 9})
        comes_to_rest(k, group)
