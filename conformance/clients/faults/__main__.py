"""Compares answers to faulty requests with recorded ones: `python3 -m faults [--record]`, against KUBECONFIG."""

import json
import os
import re
import sys
import time

from kit import Client, repeat, report

from . import requests

FOLDER = os.path.dirname(__file__)
ANSWERS = os.path.join(FOLDER, "answers.json")
# Requests of which only status and reason are compared: `beginning of the label | why`.
WORDS = os.path.join(FOLDER, "words.txt")
# What differs from one cluster or run to the next.
VARYING = [
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"in record \(\d+\)"), "in record (N)"),
    # The beginning of a body, cut off within a name that is the run's own.
    (re.compile(r'\(\{"apiVersion": "x\S* \.\.\.\)'), "(BODY ...)"),
    # The whole object as it would be, in the order of Go's fields.
    (re.compile(r'patch: Invalid value: "\{.*\}": '), "patch: Invalid value: OBJECT: "),
]


def answer(client, method, path, body, content, own):
    """Status, reason and message of a request, without what is the run's own."""
    reply = client.request(method, path, body, content=content)
    try:
        status = json.loads(reply.body)
    except ValueError:
        status = {}
    if reply.status < 300 or not isinstance(status, dict) or status.get("kind") != "Status":
        return [reply.status, "", ""]
    message = status.get("message") or ""
    for text, name in own.items():
        message = message.replace(text, name)
    for pattern, name in VARYING:
        message = pattern.sub(name, message)
    return [reply.status, status.get("reason") or "", message]


def start(client):
    """A namespace and a kind of the run's own, with the objects in them."""
    suffix = f"{os.getpid():x}{time.time_ns() % 0xFFFFFF:x}"
    namespace, group = f"faults-{suffix}", f"x{suffix}.{requests.GROUP}"
    client.post("/api/v1/namespaces", {"metadata": {"name": namespace}}).ok(201)
    client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", requests.definition(group)).ok(201)
    paths = requests.Paths(namespace, group)
    for path, object in requests.prepare(paths):
        # A kind is served a moment after it is defined.
        repeat(lambda: client.post(path, object), lambda reply: reply.status != 404).ok(201)
    return namespace, group, paths


def stop(client, namespace, group):
    client.delete(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/odds.{group}")
    client.delete(f"/api/v1/namespaces/{namespace}")


def run(client):
    namespace, group, paths = start(client)
    own = {group: "GROUP", namespace: "NAMESPACE"}
    try:
        found = {}
        for label, method, path, body, content in requests.requests(paths):
            label = label.replace(group, "GROUP").replace(namespace, "NAMESPACE")
            assert label not in found, f"two requests are called {label!r}"
            found[label] = answer(client, method, path, body, content, own)
        return found
    finally:
        stop(client, namespace, group)


def read_words():
    with open(WORDS) as file:
        lines = [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]
    for line in lines:
        assert " | " in line, f"words.txt: {line!r} has no reason"
    return dict(line.split(" | ", 1) for line in lines)


def compare(found, expected, words):
    failed = in_other_words = 0
    used, results = set(), []
    for label, wanted in expected.items():
        got = found.get(label, [0, "", "no such request: record again"])
        loose = next((start for start in words if label.startswith(start)), None)
        if got == wanted:
            results.append((label, "passed", ""))
            continue
        if loose is not None and got[:2] == wanted[:2]:
            used.add(loose)
            in_other_words += 1
            results.append((label, "different", words[loose]))
            continue
        failed += 1
        results.append((label, "failed", f"{got} for {wanted}"))
        print(f"FAILED  {label}\n  expected {wanted}\n  got      {got}")
    for label in found.keys() - expected.keys():
        failed += 1
        print(f"FAILED  {label}\n  has no recorded answer: record again")
    if in_other_words:
        print(f"{in_other_words} have the same status and reason in other words, see words.txt")
    report("faults", results)
    return failed, used


def main():
    client = Client()
    found = run(client)
    if "--record" in sys.argv[1:]:
        with open(ANSWERS, "w") as file:
            json.dump(found, file, indent=0, ensure_ascii=False)
            file.write("\n")
        print(f"{len(found)} passed, 0 failed, 0 skipped")
        return 0
    with open(ANSWERS) as file:
        expected = json.load(file)
    words = read_words()
    failed, used = compare(found, expected, words)
    # A real cluster differs in nothing, so that only the embedded one can tell what is no longer needed.
    unused = [start for start in words if start not in used] if os.environ.get("FERROFLOW_DIFFERENCES") else []
    for start in unused:
        print(f"FAILED  words.txt: {start!r} differs in nothing any more: take it out")
    print(f"{len(expected) - failed} passed, {failed + len(unused)} failed, 0 skipped")
    return 1 if failed or unused else 0


sys.exit(main())
