"""The requests: a label, a method, a path below the server, a body and its media type.

Each is sent in order to a namespace of its own, in which `prepare` has made a few objects. A label is unique.
"""

import json

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
APPLY = "application/apply-patch+yaml"
PATCHES = {"merge": "application/merge-patch+json", "strategic": "application/strategic-merge-patch+json", "json": "application/json-patch+json"}

# No object at all, or one that says too little of itself.
SHAPES = ["", "5", "1.5", "[]", "[1,2]", "null", '"x"', "true", "{}", " ", "{", '{"kind":5}', '{"apiVersion":[]}', '{"kind":null}', '"abc']

GROUP = "faults.example.org"


def definition(group):
    """A custom resource with status and scale; `group` is the test's own."""
    spec = {"type": "object", "properties": {"n": {"type": "integer"}, "l": {"type": "array", "items": {"type": "string"}}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    scale = {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}, "scale": scale}}
    names = {"plural": "odds", "singular": "odd", "kind": "Odd", "listKind": "OddList"}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"odds.{group}"}, "spec": spec}


class Paths:
    """Where things are."""

    def __init__(self, namespace, group):
        self.group = group
        self.core = f"/api/v1/namespaces/{namespace}"
        self.maps = f"{self.core}/configmaps"
        self.odds = f"/apis/{group}/v1/namespaces/{namespace}/odds"
        self.deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"


def prepare(paths):
    """The objects that the requests are about: path and object."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    yield paths.maps, {"metadata": {"name": "odd"}, "data": {"k": "v"}}
    yield paths.odds, {"apiVersion": f"{paths.group}/v1", "kind": "Odd", "metadata": {"name": "odd"}, "spec": {"n": 1}}
    yield paths.deployments, {"metadata": {"name": "odd"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}}
    yield f"{paths.core}/serviceaccounts", {"metadata": {"name": "odd"}}
    # Nobody schedules it, so that every cluster leaves it as it is.
    pod = {"containers": [{"name": "c", "image": "i"}], "schedulerName": "nobody", "serviceAccountName": "odd", "automountServiceAccountToken": False}
    yield f"{paths.core}/pods", {"metadata": {"name": "odd"}, "spec": pod}


def requests(paths):
    for part in (bodies, customs, scales, patches, steps, queries, deletions, reviews, subresources):
        for name, method, path, body, content in part(paths):
            text = body if isinstance(body, str) else json.dumps(body)
            shown = repr(body) if isinstance(body, str) else text
            yield f"{part.__name__}: {name} {shown}", method, path, text, content


def bodies(paths):
    for name, content in (("json", JSON), ("yaml", YAML), ("protobuf", PROTOBUF)):
        for body in SHAPES:
            yield f"post {name}", "POST", paths.maps, body, content
    for body in SHAPES:
        yield "put", "PUT", f"{paths.maps}/odd?dryRun=All", body, JSON
        yield "put what is not there", "PUT", f"{paths.maps}/nope", body, JSON
        for name, content in (*PATCHES.items(), ("apply", APPLY)):
            manager = "&fieldManager=m" if name == "apply" else ""
            yield f"patch {name}", "PATCH", f"{paths.maps}/odd?dryRun=All{manager}", body, content
            yield f"patch {name} what is not there", "PATCH", f"{paths.maps}/nope?dryRun=All{manager}", body, content
    for body in ({"kind": "ConfigMap"}, {"apiVersion": "v1"}, {"metadata": 5}, {"apiVersion": "v2"}, {"apiVersion": "v1", "kind": "Nope"}):
        yield "post", "POST", paths.maps, body, JSON


def customs(paths):
    own = {"apiVersion": f"{paths.group}/v1", "kind": "Odd"}
    named = {**own, "metadata": {"name": "a"}}
    faulty = [*SHAPES, {"kind": "Odd"}, {"apiVersion": own["apiVersion"]}, own, {**own, "metadata": 5}, {**own, "metadata": {"name": 5}}]
    faulty += [{**own, "metadata": {"name": "a", "labels": {"x": 5}}}, {**named, "spec": {"l": [5]}}, {**named, "spec": {"n": "x"}}]
    faulty += [{**named, "apiVersion": f"{paths.group}/v2"}, {**named, "apiVersion": "other/v1"}, {**named, "kind": "Other"}]
    for body in faulty:
        yield "post", "POST", paths.odds, body, JSON
        yield "put", "PUT", f"{paths.odds}/odd", body, JSON
        yield "put status", "PUT", f"{paths.odds}/odd/status", body, JSON


def scales(paths):
    own = {"kind": "Scale", "apiVersion": "autoscaling/v1"}
    faulty = [*SHAPES, {"spec": 5}, {"spec": {"replicas": "x"}}, {"kind": "Scale", "apiVersion": "v1"}, own, {**own, "spec": {"replicas": "x"}}]
    faulty += [{**own, "metadata": {"name": name, "namespace": namespace}, "spec": {"replicas": replicas}} for name, namespace, replicas in (("odd", "", -1), ("nope", "", -1), ("odd", "other", 1))]
    for body in faulty:
        for where in ("odd", "nope"):
            yield f"put {where}", "PUT", f"{paths.deployments}/{where}/scale", body, JSON
    for body in ("", "5", "[]", "{", {"spec": 5}, {"spec": {"replicas": "x"}}, {"spec": {"replicas": -1}}):
        for name, content in PATCHES.items():
            for where in ("odd", "nope"):
                yield f"patch {name} {where}", "PATCH", f"{paths.deployments}/{where}/scale", body, content
    for replicas in (-1, "x"):
        yield "put custom", "PUT", f"{paths.odds}/odd/scale", {**own, "metadata": {"name": "odd"}, "spec": {"replicas": replicas}}, JSON
        yield "patch custom", "PATCH", f"{paths.odds}/odd/scale", {"spec": {"replicas": replicas}}, PATCHES["merge"]


CHANGES = [
    {"data": 5}, {"data": {"k": 5}}, {"metadata": 5}, {"metadata": {"labels": 5}}, {"metadata": {"labels": {"a": 5}}},
    {"metadata": {"name": "other"}}, {"metadata": {"namespace": "other"}}, {"metadata": {"uid": "x"}}, {"metadata": {"resourceVersion": "x"}},
    {"metadata": {"resourceVersion": "1"}}, {"metadata": {"name": None}}, {"metadata": None}, {"kind": "Pod"}, {"apiVersion": "v2"},
    {"kind": 5}, {"unknown": 1}, {"metadata": {"unknown": 1}}, {"binaryData": {"k": "!"}}, {"immutable": "x"},
]


def patches(paths):
    for change in CHANGES:
        yield "merge", "PATCH", f"{paths.maps}/odd?dryRun=All", change, PATCHES["merge"]
        yield "strategic", "PATCH", f"{paths.maps}/odd?dryRun=All", change, PATCHES["strategic"]
        yield "merge custom", "PATCH", f"{paths.odds}/odd?dryRun=All", change, PATCHES["merge"]
        whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "odd"}, **change}
        if isinstance(change.get("metadata"), dict):
            whole["metadata"] = {"name": "odd", **change["metadata"]}
        yield "put", "PUT", f"{paths.maps}/odd?dryRun=All", whole, JSON
        yield "apply", "PATCH", f"{paths.maps}/odd?dryRun=All&fieldManager=m&force=true", whole, APPLY
    for body in ({"metadata": {"name": "odd"}}, {"metadata": {}}, {}):
        yield "apply to another name", "PATCH", f"{paths.maps}/nope?dryRun=All&fieldManager=m", {"apiVersion": "v1", "kind": "ConfigMap", **body}, APPLY


STEPS = [
    {"op": "replace", "path": "/data", "value": 5}, {"op": "nope", "path": "/data"}, {"op": "remove", "path": "/nope"}, {"op": "remove", "path": "data"},
    {"op": "add", "path": "/data/x"}, {"op": 5, "path": "/data"}, {"op": "move", "from": "/nope", "path": "/data"}, {"op": "test", "path": "/data/k", "value": "zz"},
    {"op": "replace", "path": "/metadata/name", "value": "x"}, {"op": "remove", "path": "/metadata"}, {"op": "add", "path": "/data/-", "value": "x"},
    {"op": "replace", "path": "/immutable", "value": False}, {"op": "replace", "path": "/data/x", "value": "y"}, {"op": "replace", "path": "/binaryData/x", "value": "y"},
    {"op": "test", "path": "/nope", "value": None}, {"op": "test", "path": "/nope", "value": 5}, {"op": "test", "path": "/data/k"}, {"op": "copy", "from": "/nope", "path": "/data/z"},
    {"op": "add", "path": "/nope/x", "value": "y"}, {"op": "add", "path": "/metadata/finalizers/-", "value": "a/b"}, {"op": "remove", "path": "/metadata/labels/z"}, None, 5, [],
]


def steps(paths):
    for step in STEPS:
        yield "json", "PATCH", f"{paths.maps}/odd?dryRun=All", [step], PATCHES["json"]


def queries(paths):
    for query in ("dryRun=x", "fieldValidation=x", "fieldManager=" + "a" * 200, "pretty=x"):
        yield f"post {query[:20]}", "POST", f"{paths.maps}?{query}", {"metadata": {"generateName": "q-"}}, JSON
        yield f"put {query[:20]}", "PUT", f"{paths.maps}/odd?{query}", {"metadata": {"name": "odd"}, "data": {"k": "v"}}, JSON
        yield f"patch {query[:20]}", "PATCH", f"{paths.maps}/odd?{query}", {"data": {}}, PATCHES["merge"]
        yield f"delete {query[:20]}", "DELETE", f"{paths.maps}/nope?{query}", "", JSON
    for query in ("resourceVersion=x", "resourceVersion=-1", "resourceVersion=1.5", "resourceVersion=99999999999999999999999"):
        for verb, method, path in (("list", "GET", paths.maps), ("get", "GET", f"{paths.maps}/odd"), ("watch", "GET", f"{paths.maps}?watch=1&timeoutSeconds=1"), ("delete many", "DELETE", paths.maps)):
            yield f"{verb} {query}", method, path + ("&" if "?" in path else "?") + query, "", JSON
    for query in ("limit=x", "limit=-1", "timeoutSeconds=x", "labelSelector=%21", "labelSelector=a%3D%3D%3Db", "labelSelector=a+in+%28", "fieldSelector=x", "fieldSelector=x%3Dy", "fieldSelector=metadata.name%3Da%3Db", "resourceVersionMatch=Exact", "resourceVersion=0&resourceVersionMatch=Exact", "sendInitialEvents=true", "watch=1&sendInitialEvents=true&timeoutSeconds=1"):
        yield f"list {query}", "GET", f"{paths.maps}?{query}", "", JSON


def deletions(paths):
    for query in ("gracePeriodSeconds=x", "gracePeriodSeconds=-1", "propagationPolicy=x", "propagationPolicy=Orphan&orphanDependents=true"):
        for where, path in (("what is not there", f"{paths.maps}/nope"), ("many", f"{paths.core}/secrets")):
            yield f"{where} {query}", "DELETE", f"{path}?{query}", "", JSON
    options = [*SHAPES[1:], {"propagationPolicy": "x"}, {"propagationPolicy": 5}, {"preconditions": 5}, {"preconditions": {"uid": 5}}, {"preconditions": {"uid": "x"}}, {"preconditions": {"resourceVersion": "1"}}]
    options += [{"dryRun": ["x"]}, {"dryRun": "All"}, {"orphanDependents": "x"}, {"gracePeriodSeconds": "x"}, {"gracePeriodSeconds": 1.5}, {"orphanDependents": True, "propagationPolicy": "Orphan"}]
    options += [{"apiVersion": "v1", "kind": "DeleteOptions"}, {"apiVersion": "x/v1", "kind": "DeleteOptions"}, {"apiVersion": "v1", "kind": "Nope"}]
    for body in options:
        yield "what is not there", "DELETE", f"{paths.maps}/nope", body, JSON
        yield "many", "DELETE", f"{paths.core}/secrets", body, JSON
    for body in ({"preconditions": {"uid": "x"}}, {"preconditions": {"resourceVersion": "1"}}):
        yield "a map", "DELETE", f"{paths.maps}/odd", body, JSON
        yield "a custom resource", "DELETE", f"{paths.odds}/odd", body, JSON


def reviews(paths):
    access = "authorization.k8s.io/v1"
    specs = [{}, {"user": "x"}, {"user": 5}, {"resourceAttributes": {}}, {"resourceAttributes": {"verb": 5}}, {"nonResourceAttributes": {}}, {"resourceAttributes": {}, "nonResourceAttributes": {}}]
    for kind in ("selfsubjectaccessreviews", "subjectaccessreviews"):
        for body in (*SHAPES, *({"spec": spec} for spec in specs), {"spec": 5}, {"kind": "Nope"}, {"metadata": {"name": "x"}}):
            yield kind, "POST", f"/apis/{access}/{kind}", body, JSON
    for body in ("{}", {"spec": {}}, {"spec": 5}):
        yield "rules", "POST", f"/apis/{access}/selfsubjectrulesreviews", body, JSON
        yield "token", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", body, JSON
    yield "token", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": 5}}, JSON


def subresources(paths):
    pod = f"{paths.core}/pods/odd"
    named = {"metadata": {"name": "odd"}}
    for body in (*SHAPES, named, {**named, "target": 5}, {**named, "target": {}}, {**named, "target": {"kind": "Pod", "name": "x"}}, {"metadata": {"name": "odd", "namespace": "y"}, "target": {"name": "n"}}, {"metadata": {"name": "x"}, "target": {"name": "n"}}):
        yield "binding", "POST", f"{pod}/binding", body, JSON
    for body in (named, {**named, "target": {}}, {**named, "target": {"kind": "Pod", "name": "x"}}):
        yield "bindings", "POST", f"{paths.core}/bindings?dryRun=All", body, JSON
    for body in (*SHAPES, {**named, "deleteOptions": 5}, {**named, "deleteOptions": {"dryRun": ["x"]}}, {**named, "deleteOptions": {"preconditions": {"uid": "x"}}}, {"metadata": {"name": "odd", "namespace": "y"}}, {"apiVersion": "policy/v2", "kind": "Eviction", **named}, {"apiVersion": "policy/v1beta1", "kind": "Eviction", **named, "deleteOptions": {"dryRun": ["All"]}}):
        yield "eviction", "POST", f"{pod}/eviction", body, JSON
    tokens = [{"expirationSeconds": 5}, {"expirationSeconds": "x"}, {"expirationSeconds": 99999999999}, {"audiences": "x"}, {"audiences": [5]}]
    tokens += [{"boundObjectRef": reference} for reference in ({}, {"kind": "Pod", "name": "nope"}, {"kind": "ConfigMap", "name": "odd"}, {"kind": "Pod", "name": "odd", "uid": "x"})]
    for body in (*SHAPES, *({"spec": spec} for spec in tokens), {"spec": 5}, {"metadata": {"name": "x"}}, {"metadata": {"namespace": "x"}}):
        yield "token", "POST", f"{paths.core}/serviceaccounts/odd/token", body, JSON
    for part in ("status", "ephemeralcontainers", "resize"):
        for body in ({}, {**named, "status": 5}, {**named, "status": {"phase": 5}}, {**named, "spec": 5}):
            yield f"put pod's {part}", "PUT", f"{pod}/{part}", body, JSON
            yield f"patch pod's {part}", "PATCH", f"{pod}/{part}", body, PATCHES["strategic"]
