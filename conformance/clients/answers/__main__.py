"""Compares answers to good requests with recorded ones: `python3 -m answers [--record] [WORD…]`, against KUBECONFIG.

Words choose the requests that are compared, by what their labels hold; all are sent, since some build on others.
"""

import json
import os
import sys
import time

from kit import Client, repeat

from . import compare, custom, discovery, kinds, managers, parts, patches, tables, warnings
from .asking import Run, merged
from .marks import Marks

ANSWERS = os.path.join(os.path.dirname(__file__), "answers.json")
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def kept(run):
    """Every object that stays as long as the run: path and object."""
    yield run.url("v1", "serviceaccounts"), {"metadata": {"name": "default"}}
    yield run.url("v1", "serviceaccounts", namespace=parts.limited(run)), {"metadata": {"name": "default"}}
    for part in (kinds, parts, patches, tables, custom):
        yield from part.kept(run)


def start(client):
    """Namespaces, a definition and objects of the run's own; the paths of those that no namespace holds."""
    run = Run(f"answers-{os.getpid():x}{time.time_ns() % 0xFFFFFF:x}")
    for name in (run.mark, parts.limited(run)):
        client.post("/api/v1/namespaces?fieldManager=one", {"metadata": {"name": name}}).ok(201)
    client.post(DEFINITIONS + "?fieldManager=one", custom.definition(run)).ok(201)
    paths = []
    for path, body in kept(run):
        # A kind is served, and a namespace has its account, a moment after it is made.
        reply = repeat(lambda: client.post(path + "?fieldManager=one", body), lambda reply: reply.status not in (403, 404))
        reply.ok(201, *([409] if path.endswith("/serviceaccounts") else []))
        paths += [] if "/namespaces/" in path else [f"{path}/{body['metadata']['name']}"]
    # Its conditions are written a moment after it is served, by the server itself.
    repeat(lambda: client.get(f"{DEFINITIONS}/{custom.PLURAL}.{run.group}").ok(), lambda made: len(made["status"].get("conditions", [])) > 1)
    return run, paths


def stop(client, run, paths):
    for path in (f"{DEFINITIONS}/{custom.PLURAL}.{run.group}", *paths, *(f"/api/v1/namespaces/{name}" for name in (run.mark, parts.limited(run)))):
        client.delete(path)


def ask(client, marks, one):
    def send():
        return client.request(one.method, one.path, body_of(client, one), content=one.content, accept=one.accept)

    # A controller may write between what is read and what is put.
    reply = repeat(send, lambda reply: not (one.there and reply.status == 409))
    return marks.answer(one, reply)


def body_of(client, one):
    if not one.there:
        return one.body
    found = client.get(one.path.partition("?")[0]).ok()
    if one.there == "onto":
        return merged(found, one.body)
    return merged(one.body, {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}})


def collect(client):
    run, paths = start(client)
    marks = Marks(run.mark)
    try:
        found = {}
        for part in (kinds, patches, tables, warnings, managers, custom, parts, discovery):
            for one in part.requests(run):
                label = one.label.replace(run.mark, "RUN")
                assert label not in found, f"two requests are called {label!r}"
                found[label] = ask(client, marks, one)
        return found
    finally:
        stop(client, run, paths)


def record(found):
    """A line for each answer, so that a change of one is read as one."""
    lines = [f"{json.dumps(label)}: {json.dumps(answer, ensure_ascii=False, sort_keys=True, separators=(',', ':'))}" for label, answer in found.items()]
    with open(ANSWERS, "w") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


def main(arguments):
    found = collect(Client())
    if "--record" in arguments:
        record(found)
        for label, answer in found.items():
            if answer["status"] >= 300:
                print(f"{answer['status']}  {label}: {answer['body']}")
        print(f"{len(found)} passed, 0 failed, 0 skipped")
        return 0
    with open(ANSWERS) as file:
        expected = json.load(file)
    # A real cluster differs in nothing; the embedded one may where `words.txt` says so, and nowhere that it does not.
    words = compare.read_words() if os.environ.get("FERROFLOW_DIFFERENCES") else []
    passed, failed = compare.report(found, expected, words, arguments)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


sys.exit(main(sys.argv[1:]))
