"""What is kept of an answer, with marks in place of what is a run's or a cluster's own."""

import json
import re

from . import discovery

# Managers of our requests; entries of others are a cluster's controllers.
MANAGERS = {"conformance", "one", "two", "three", "four", "five"}
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Times that requests give are of before 2025.
TIME = re.compile(r"20(2[5-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
TEXTS = [
    (UID, "UID"),
    (TIME, "TIME"),
    (re.compile(r"10\.96\.\d+\.\d+"), "CLUSTER-IP"),
    (re.compile(r"kube-api-access-[a-z0-9]{5}"), "kube-api-access-RANDOM"),
    (re.compile(r"(?<=generated-)[a-z0-9]{5}\b"), "RANDOM"),
    (re.compile(r"\d+[ydhms](\d+[dhms])?(?= ago)"), "AGE"),
    # The time since a day that a request gives is another one every day.
    (re.compile(r"\b\d+y\d+d\b"), "YEARS"),
    (re.compile(r"(?<=:)3[0-2]\d{3}(?=/)"), "PORT"),
    # The whole object as it would be, in the order of Go's fields.
    (re.compile(r'patch: Invalid value: "\{.*\}": '), "patch: Invalid value: OBJECT: "),
    (re.compile(r'patch: Invalid value: "map\[.*\]": '), "patch: Invalid value: MAP: "),
]
# Columns whose cells are ages.
AGES = {"Age", "Last Schedule", "Last Seen", "First Seen", "Created At"}
AGE = re.compile(r"^\d+[ydhms](\d+[dhms])?")
# Fields that a server fills in as it likes: their values are marked wherever a request leaves them out.
OWN = {"resourceVersion", "nodePort", "healthCheckNodePort", "continue"}


class Marks:
    """Replaces what is a run's own."""

    def __init__(self, mark):
        self.mark = mark

    def text(self, text):
        text = text.replace(self.mark, "RUN")
        for pattern, name in TEXTS:
            text = pattern.sub(name, text)
        return text

    def value(self, value, key=""):
        if isinstance(value, dict):
            return {self.text(name): self.value(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        if key in OWN and value not in ("", None):
            return "OWN"
        return self.text(value) if isinstance(value, str) else value

    def answer(self, ask, reply):
        """Status, warnings and what `ask.part` keeps of the body."""
        warnings = sorted(self.text(text) for text in reply.warnings())
        try:
            body = json.loads(reply.body) if reply.body else None
        except ValueError:
            body = reply.body.decode(errors="replace")
        if reply.status < 300:
            body = self.value(PARTS[ask.part](body))
        elif isinstance(body, dict):
            body = self.value({"reason": body.get("reason"), "message": body.get("message")})
        return {"status": reply.status, **({"warnings": warnings} if warnings else {}), "body": body}


def ours(body):
    """The object, without what controllers have written meanwhile into its managed fields."""
    meta = body.get("metadata") if isinstance(body, dict) else None
    if isinstance(meta, dict) and "managedFields" in meta:
        entries = [entry for entry in in_order(meta["managedFields"]) if entry.get("manager") in MANAGERS]
        return {**body, "metadata": {**meta, "managedFields": entries}}
    return body


def in_order(entries):
    """Managed fields come by operation, second and manager: once that is seen, the second no longer matters."""

    def key(entry, *more):
        return (entry["operation"], *more, entry["manager"], entry["apiVersion"], entry.get("subresource", ""))

    if entries != sorted(entries, key=lambda entry: key(entry, entry.get("time", ""))):
        return [{"manager": "conformance", "out of order": True}, *entries]
    return sorted(entries, key=key)


def still(body):
    """The object without its status."""
    return {key: value for key, value in ours(body).items() if key != "status"}


def metadata(body):
    return ours(body)["metadata"]


def managers(body):
    """Generation and managed fields."""
    meta = ours(body)["metadata"]
    return {key: meta.get(key) for key in ("generation", "managedFields")}


def table(body):
    """Columns and rows. The descriptions of columns are each server's own words."""
    columns = body.get("columnDefinitions") or []
    shown = [{key: value for key, value in column.items() if key != "description"} for column in columns]
    return {**body, "columnDefinitions": shown, "rows": rows(body)}


def described(body):
    """As `table`, with the descriptions that a definition gives; the name's is the server's own."""
    columns = [table(body)["columnDefinitions"][0], *body["columnDefinitions"][1:]]
    return {**body, "columnDefinitions": columns, "rows": rows(body)}


def cells(body):
    """Rows alone, where another answer has the columns."""
    return rows(body)


def rows(body):
    names = [column["name"] for column in body.get("columnDefinitions") or []]
    found = []
    for row in body.get("rows") or []:
        cells = [aged(name, cell) for name, cell in zip(names, row["cells"])]
        found.append({**row, "cells": cells + row["cells"][len(names):]})
    return found


def aged(name, cell):
    if name == "Requestor":
        return "USER"
    return AGE.sub("AGE", cell) if name in AGES and isinstance(cell, str) else cell


def state(body):
    """The status, and who owns what."""
    return {"status": body.get("status"), **managers(body)}


def scaled(body):
    """What a scale asks for; how many there are is a controller's to say."""
    return {key: value for key, value in body.items() if key != "status"}


def requested(body):
    """A signing request, without the user that asked."""
    body = ours(body)
    if "spec" not in body:
        return body
    spec = {key: ("USER" if key in ("username", "uid", "groups", "extra") else value) for key, value in body["spec"].items()}
    for key in ("uid", "extra"):
        spec.pop(key, None)
    return {**body, "spec": spec}


def deleted(body):
    """A status, or of an object what does not depend on its controllers."""
    if body.get("kind") == "Status":
        return body
    meta = body["metadata"]
    return {"kind": body["kind"], "metadata": {key: meta.get(key) for key in ("name", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "finalizers")}}


def listed(body):
    """A list, whose objects are as `ours`."""
    if "items" not in body:
        return deleted(body)
    return {**body, "items": sorted((ours(item) for item in body["items"]), key=lambda item: item["metadata"]["name"])}


def page(body):
    """What a page says of itself; which object comes first is the cluster's own."""
    return {key: value for key, value in body.items() if key in ("kind", "apiVersion", "metadata")}


def token(body):
    body = ours(body)
    return {**body, "status": shape(body["status"])}


def unhashed(body):
    """Discovery of a group of the run's own, whose hash comes from its name."""
    resources = [{**one, "storageVersionHash": "OWN"} if "storageVersionHash" in one else one for one in body.get("resources", [])]
    return {**body, **({"resources": resources} if resources else {})}


def kind(body):
    return {"kind": body["kind"], "apiVersion": body["apiVersion"]}


def shape(body):
    """Every field with the type of its value."""
    if isinstance(body, dict):
        return {key: shape(value) for key, value in body.items()}
    if isinstance(body, list):
        return [shape(value) for value in body[:1]]
    return type(body).__name__


PARTS = {
    "whole": ours, "still": still, "metadata": metadata, "managers": managers, "table": table, "described": described,
    "cells": cells, "requested": requested, "deleted": deleted, "scaled": scaled, "state": state, "list": listed, "page": page,
    "token": token, "unhashed": unhashed, "kind": kind, "shape": shape, "served": discovery.served,
}
