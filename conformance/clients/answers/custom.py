"""A custom resource of three versions: defaults, pruning, columns, status, scale, lists with keys, and managers."""

from .asking import APPLY, MERGE, PARTIAL, STEPS, TABLE, Ask
from .managers import chain

PLURAL = "widgets"
COLUMNS = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "description": "how large"},
    {"name": "Ratio", "type": "number", "jsonPath": ".spec.ratio", "format": "double"},
    {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
    {"name": "Text", "type": "string", "jsonPath": ".spec.text"},
    {"name": "Since", "type": "date", "jsonPath": ".spec.since"},
    {"name": "First Part", "type": "string", "jsonPath": ".spec.parts[0].name", "priority": 1},
    {"name": "All Parts", "type": "string", "jsonPath": ".spec.parts[*].name"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Map", "type": "string", "jsonPath": ".spec.map"},
    {"name": "Nothing", "type": "string", "jsonPath": ".spec.nothing"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def typed(kind, **more):
    return {"type": kind, **more}


def fields():
    part = typed("object", required=["name"], properties={"name": typed("string"), "port": typed("integer", default=80), "note": typed("string", nullable=True)})
    return {
        "size": typed("integer", default=3, minimum=0), "ratio": typed("number"), "on": typed("boolean", default=True), "text": typed("string", default="t", maxLength=20),
        "since": typed("string", format="date-time"), "quantity": {"x-kubernetes-int-or-string": True}, "nothing": typed("string", nullable=True), "filled": typed("string", nullable=True, default="f"),
        "map": typed("object", additionalProperties=typed("string")), "free": typed("object", **{"x-kubernetes-preserve-unknown-fields": True}, properties={"known": typed("object", properties={"x": typed("integer")})}),
        "parts": typed("array", items=part, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
        "set": typed("array", items=typed("string"), **{"x-kubernetes-list-type": "set"}), "atoms": typed("array", items=typed("object", properties={"a": typed("integer", default=1)})),
        "atomic": typed("object", properties={"a": typed("string"), "b": typed("string")}, **{"x-kubernetes-map-type": "atomic"}),
        "nested": typed("object", default={}, properties={"deep": typed("object", default={"y": 1}, properties={"x": typed("string", default="d"), "y": typed("integer")})}),
        "embedded": typed("object", **{"x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}),
    }


def schema():
    condition = typed("object", properties={"type": typed("string"), "status": typed("string")})
    status = typed("object", properties={"replicas": typed("integer"), "selector": typed("string"), "phase": typed("string", default="New"), "conditions": typed("array", items=condition)})
    return {"openAPIV3Schema": typed("object", properties={"spec": typed("object", properties=fields()), "status": status})}


def definition(run):
    parts = {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}}
    whole = {"served": True, "schema": schema(), "subresources": parts}
    versions = [
        {**whole, "name": "v1", "storage": True, "additionalPrinterColumns": COLUMNS, "selectableFields": [{"jsonPath": ".spec.text"}]},
        {**whole, "name": "v1beta1", "storage": False, "deprecated": True},
        {"name": "v2alpha1", "served": True, "storage": False, "schema": {"openAPIV3Schema": typed("object", **{"x-kubernetes-preserve-unknown-fields": True})}, "deprecated": True, "deprecationWarning": "take v1"},
        {**whole, "name": "v0", "storage": False, "served": False},
    ]
    names = {"plural": PLURAL, "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wi", "wg"], "categories": ["all", "things"]}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{PLURAL}.{run.group}"}, "spec": {"group": run.group, "scope": "Namespaced", "names": names, "versions": versions}}


RICH = {
    "size": 5, "ratio": 1.5, "on": False, "text": "hello", "since": "2021-02-03T04:05:06Z", "quantity": "5", "nothing": None, "filled": None, "map": {"b": "2", "a": "1"},
    "free": {"anything": [1], "known": {"x": 1}}, "parts": [{"name": "p", "note": None}, {"name": "q", "port": 8}], "set": ["b", "a"], "atoms": [{}, {"a": 2}], "atomic": {"a": "x"},
    "nested": {"deep": {}}, "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n"}, "spec": {"x": 1}},
}
PRUNED = {"unknown": 1, "free": {"known": {"x": 1, "pruned": 2}}, "parts": [{"name": "p", "other": 1}], "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n", "unknown": 1}}}


def widget(run, name, spec=None, version="v1", **more):
    return {"apiVersion": f"{run.group}/{version}", "kind": "Widget", "metadata": {"name": name, **more.pop("metadata", {})}, **({} if spec is None else {"spec": spec}), **more}


def url(run, name=None, sub=None, version="v1"):
    return run.url(f"{run.group}/{version}", PLURAL, name, sub)


def kept(run):
    yield url(run), widget(run, "kept", RICH)


def requests(run):
    yield Ask("custom: the definition", "GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{PLURAL}.{run.group}")
    column = {"op": "add", "path": "/spec/versions/0/additionalPrinterColumns/-", "value": {"name": "N", "type": "integer", "jsonPath": ".spec.n"}}
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{PLURAL}.{run.group}?dryRun=All&fieldManager=two"
    yield Ask("custom: the definition with another column", "PATCH", path, [column], STEPS)
    yield Ask("custom: the definition with a label", "PATCH", path, {"metadata": {"labels": {"a": "b"}}}, MERGE, part="managers")
    yield Ask("custom: the definition with other names", "PATCH", path, {"spec": {"names": {"shortNames": ["w"], "categories": None}}}, MERGE)
    yield from made(run)
    yield from read(run)
    yield from written(run)
    yield from scaled(run)


def made(run):
    objects = {
        "minimal": widget(run, "new"), "an empty specification": widget(run, "new", {}), "rich": widget(run, "new", RICH),
        "with a status": widget(run, "new", {}, status={"phase": "Old", "replicas": 3}), "with labels": widget(run, "new", metadata={"labels": {"a": "b"}, "annotations": {}}),
    }
    dry = "?dryRun=All&fieldManager=one"
    for label, body in objects.items():
        yield Ask(f"custom: {label}: created", "POST", url(run) + dry, body)
        yield Ask(f"custom: {label}: as a row", "POST", url(run) + dry + "&includeObject=None", body, accept=TABLE, part="described" if label == "minimal" else "cells")
        yield Ask(f"custom: {label}: applied", "PATCH", url(run, "new") + "?dryRun=All&fieldManager=two", body, APPLY)
        yield Ask(f"custom: {label}: strictly", "POST", url(run) + dry + "&fieldValidation=Strict", body, part="managers")
    for label, body in (("within", widget(run, "new", PRUNED)), ("beside", widget(run, "new", other=1, metadata={"unknown": 1}))):
        for validation in ("Ignore", "Warn", "Strict"):
            yield Ask(f"custom: what no schema knows {label} its specification: {validation}", "POST", f"{url(run)}{dry}&fieldValidation={validation}", body)
    yield Ask("custom: applied with what no schema knows", "PATCH", url(run, "new") + "?dryRun=All&fieldManager=two", widget(run, "new", {"unknown": 1}), APPLY)
    for version in ("v1beta1", "v2alpha1"):
        yield Ask(f"custom: created as {version}", "POST", url(run, version=version) + dry, widget(run, "new", RICH, version))
        yield Ask(f"custom: a row of {version}", "POST", url(run, version=version) + dry + "&includeObject=None", widget(run, "new", {}, version), accept=TABLE, part="table")


def read(run):
    for version in ("v1", "v1beta1", "v2alpha1"):
        yield Ask(f"custom: read as {version}", "GET", url(run, "kept", version=version))
        yield Ask(f"custom: listed as {version}", "GET", url(run, version=version), part="list")
    yield Ask("custom: not served", "GET", url(run, "kept", version="v0"))
    yield Ask("custom: as metadata", "GET", url(run, "kept"), accept=PARTIAL)
    yield Ask("custom: selected", "GET", url(run) + "?fieldSelector=spec.text%3Dhello", part="list")
    for path in (f"/apis/{run.group}", f"/apis/{run.group}/v1", f"/apis/{run.group}/v2alpha1"):
        yield Ask(f"custom: {path.replace(run.mark, 'RUN')}", "GET", path, part="unhashed")


def written(run):
    one = "/written"
    own = widget(run, "written")
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Up"}
    yield from chain("a custom resource", url(run), [
        ("applied", "PATCH", f"{one}?fieldManager=one", {**own, "spec": {"size": 1, "parts": [{"name": "p"}], "set": ["a"], "map": {"k": "v"}, "atomic": {"a": "1"}}}, APPLY, "whole"),
        ("applied by a second", "PATCH", f"{one}?fieldManager=two", {**own, "spec": {"parts": [{"name": "q", "port": 3}], "set": ["b"], "map": {"l": "v"}}}, APPLY, "whole"),
        ("an atom in conflict", "PATCH", f"{one}?fieldManager=two", {**own, "spec": {"atomic": {"b": "1"}}}, APPLY),
        ("applied by its first writer with less", "PATCH", f"{one}?fieldManager=one", {**own, "spec": {"size": 1}}, APPLY, "whole"),
        ("merged", "PATCH", f"{one}?fieldManager=three", {"spec": {"parts": [{"name": "r"}], "text": None}}, MERGE, "whole"),
        ("patched in steps", "PATCH", f"{one}?fieldManager=three", [{"op": "add", "path": "/spec/free", "value": {"a": {"b": 1}}}], STEPS, "whole"),
        ("its status merged", "PATCH", f"{one}/status?fieldManager=four", {"status": ready, "spec": {"size": 9}, "metadata": {"labels": {"a": "b"}}}, MERGE, "whole"),
        ("its status applied", "PATCH", f"{one}/status?fieldManager=five", {**own, "status": {"replicas": 2}}, APPLY, "whole"),
        ("its scale", "PATCH", f"{one}/scale?fieldManager=five", {"spec": {"replicas": 6}}, MERGE, "whole"),
        ("after its scale", "GET", one, None, "application/json", "whole"),
        ("put", "PUT", f"{one}?fieldManager=two", {**own, "spec": {"size": 6, "unknown": 1}}, "application/json", "whole"),
        ("put as it is", "PUT", f"{one}?fieldManager=one", {**own, "spec": {"size": 6}}, "application/json", "whole"),
        ("its metadata changed", "PATCH", f"{one}?fieldManager=one", {"metadata": {"annotations": {"a": "b"}}}, MERGE, "whole"),
        ("changed in another version", "PATCH", f"{one}?fieldManager=four&dryRun=All", {"spec": {"size": 7}}, MERGE, "whole"),
        ("deleted", "DELETE", one, None, "application/json", "whole"),
    ])
    beta = widget(run, "kept", version="v1beta1")
    yield Ask("custom: applied in another version", "PATCH", url(run, "kept", version="v1beta1") + "?fieldManager=two&dryRun=All&force=true", {**beta, "spec": {"size": 8}}, APPLY, part="managers")
    yield Ask("custom: a row with its state", "PATCH", url(run, "kept", "status") + "?dryRun=All&includeObject=None", {"status": ready}, MERGE, TABLE, "cells")


def scaled(run):
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "kept"}, "spec": {"replicas": 4}}
    path = url(run, "kept", "scale")
    yield Ask("custom: its scale", "GET", path)
    yield Ask("custom: its scale put", "PUT", path + "?dryRun=All", scale)
    yield Ask("custom: its scale merged", "PATCH", path + "?dryRun=All", {"spec": {"replicas": 0}}, MERGE)
    yield Ask("custom: its scale applied", "PATCH", path + "?dryRun=All&fieldManager=two&force=true", scale, APPLY)
    yield Ask("custom: its scale as a row", "GET", path, accept=TABLE, part="table")
