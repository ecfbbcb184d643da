"""Patches of lists and maps within objects that stay, with the directives of each kind of patch. All are dry runs."""

from .asking import APPLY, MERGE, STEPS, STRATEGIC, Ask
from .objects.pods import CONTAINER, LABELS, pod

PORTS = [{"name": "a", "containerPort": 80}, {"name": "b", "containerPort": 81, "protocol": "UDP"}]
VOLUMES = [{"name": "x", "emptyDir": {}}, {"name": "y", "configMap": {"name": "m"}}]
SIDE = {"name": "d", "image": "j:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "ports": PORTS, "volumeMounts": [{"name": "x", "mountPath": "/x"}]}


def kept(run):
    template = {"metadata": {"labels": LABELS, "annotations": {"k": "v"}}, "spec": {"containers": [CONTAINER, SIDE], "volumes": VOLUMES, "tolerations": [{"key": "t", "operator": "Exists"}], "nodeSelector": {"a": "b"}}}
    revision = {"deployment.kubernetes.io/revision": "1"}
    spec = {"replicas": 0, "selector": {"matchLabels": LABELS}, "template": template, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2}}}
    yield run.url("apps/v1", "deployments"), {"metadata": {"name": "patched", "annotations": revision, "finalizers": ["example.org/b"]}, "spec": spec}
    meta = {"name": "patched", "labels": {"a": "1", "b": "2"}, "finalizers": ["example.org/a", "example.org/b"], "ownerReferences": [owner("one"), owner("two")]}
    yield run.url("v1", "configmaps"), {"metadata": meta, "data": {"k": "v", "l": "w"}}
    yield run.url("v1", "pods"), {"metadata": {"name": "patched"}, **pod(CONTAINER, SIDE, volumes=VOLUMES)}


def owner(name):
    return {"apiVersion": "v1", "kind": "Nothing", "name": name, "uid": f"{len(name)}0000000-0000-0000-0000-00000000{sum(map(ord, name)):04}"}


def containers(*items, **more):
    return {"spec": {"template": {"spec": {"containers": list(items), **more}}}}


STRATEGIC_OF_A_DEPLOYMENT = {
    "an item changed": containers({"name": "d", "image": "k"}),
    "an item added": containers({"name": "new", "image": "k"}),
    "an item deleted": containers({"name": "d", "$patch": "delete"}),
    "a list replaced": containers({"$patch": "replace"}, {"name": "c", "image": "k"}),
    "an order set": {"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "d"}, {"name": "c"}]}}}},
    "an item added in an order": {"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "d"}, {"name": "new"}, {"name": "c"}], "containers": [{"name": "new", "image": "k"}]}}}},
    "variables": containers({"name": "d", "env": [{"name": "B", "$patch": "delete"}, {"name": "C", "value": "3"}]}),
    "ports": containers({"name": "d", "ports": [{"containerPort": 81, "name": "other"}, {"containerPort": 82}]}),
    "a volume of another type": {"spec": {"template": {"spec": {"volumes": [{"name": "x", "secret": {"secretName": "s"}, "$retainKeys": ["name", "secret"]}]}}}},
    "tolerations": {"spec": {"template": {"spec": {"tolerations": [{"key": "u", "operator": "Exists"}]}}}},
    "a map entry taken away": {"spec": {"template": {"metadata": {"annotations": {"k": None, "n": "o"}}, "spec": {"nodeSelector": {"a": None}}}}},
    "a map replaced": {"spec": {"template": {"metadata": {"annotations": {"$patch": "replace", "n": "o"}}}}},
    "a map deleted": {"spec": {"template": {"metadata": {"annotations": {"$patch": "delete"}}}}},
    "another strategy": {"spec": {"strategy": {"type": "Recreate", "$retainKeys": ["type"]}}},
    "a strategy without its numbers": {"spec": {"strategy": {"rollingUpdate": None, "type": "Recreate"}}},
    "replicas by default": {"spec": {"replicas": None}},
    "mounts": containers({"name": "d", "volumeMounts": [{"mountPath": "/y", "name": "y"}]}),
}
STRATEGIC_OF_A_MAP = {
    "finalizers added": {"metadata": {"finalizers": ["example.org/c"]}},
    "finalizers deleted": {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.org/a"]}},
    "finalizers in an order": {"metadata": {"$setElementOrder/finalizers": ["example.org/b", "example.org/a"]}},
    "an owner deleted": {"metadata": {"ownerReferences": [{"uid": owner("one")["uid"], "$patch": "delete"}]}},
    "an owner changed": {"metadata": {"ownerReferences": [{**owner("two"), "name": "changed"}]}},
    "entries": {"data": {"k": None, "m": "x"}},
    "all replaced": {"$patch": "replace", "metadata": {"name": "patched"}, "data": {"z": "1"}},
}
STEPS_OF_A_MAP = {
    "an entry moved": [{"op": "move", "from": "/data/k", "path": "/data/moved"}],
    "an entry copied": [{"op": "copy", "from": "/data/k", "path": "/data/copied"}],
    "an entry tested and replaced": [{"op": "test", "path": "/data/k", "value": "v"}, {"op": "replace", "path": "/data/k", "value": "x"}],
    "a label with a slash": [{"op": "add", "path": "/metadata/labels/example.org~1x", "value": "y"}],
    "a finalizer in front": [{"op": "add", "path": "/metadata/finalizers/0", "value": "example.org/z"}],
    "a finalizer taken": [{"op": "remove", "path": "/metadata/finalizers/1"}],
    "an owner behind": [{"op": "add", "path": "/metadata/ownerReferences/-", "value": owner("three")}],
    "all data": [{"op": "remove", "path": "/data"}, {"op": "add", "path": "/data", "value": {"n": "1"}}],
}


def requests(run):
    dry = "?dryRun=All&fieldManager=two"
    deployment, maps, one = run.url("apps/v1", "deployments", "patched") + dry, run.url("v1", "configmaps", "patched") + dry, run.url("v1", "pods", "patched") + dry
    for label, body in STRATEGIC_OF_A_DEPLOYMENT.items():
        yield Ask(f"patches: a deployment: strategic: {label}", "PATCH", deployment, body, STRATEGIC, part="still")
    for label in ("an item changed", "a map entry taken away", "a strategy without its numbers", "replicas by default"):
        yield Ask(f"patches: a deployment: merge: {label}", "PATCH", deployment, STRATEGIC_OF_A_DEPLOYMENT[label], MERGE, part="still")
    for label, body in STRATEGIC_OF_A_MAP.items():
        yield Ask(f"patches: a map: strategic: {label}", "PATCH", maps, body, STRATEGIC)
    for label in ("finalizers added", "entries"):
        yield Ask(f"patches: a map: merge: {label}", "PATCH", maps, STRATEGIC_OF_A_MAP[label], MERGE)
    for label, body in STEPS_OF_A_MAP.items():
        yield Ask(f"patches: a map: steps: {label}", "PATCH", maps, body, STEPS)
    for label, image in (("strategic", STRATEGIC), ("apply", APPLY)):
        named = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "patched"}} if label == "apply" else {}
        yield Ask(f"patches: a pod: {label}: an image", "PATCH", one + ("&force=true" if label == "apply" else ""), {**named, "spec": {"containers": [{"name": "d", "image": "k:2"}]}}, image)
    yield from applied(run, deployment)


def applied(run, deployment):
    """Configurations of a second writer, which keep what they leave out."""
    own = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "patched"}}
    rows = {
        "an item added": containers({"name": "new", "image": "k", "ports": [{"containerPort": 1}]}),
        "an item's port": containers({"name": "d", "ports": [{"containerPort": 82, "protocol": "SCTP"}]}),
        "a volume": {"spec": {"template": {"spec": {"volumes": [{"name": "z", "hostPath": {"path": "/z"}}]}}}},
        "tolerations, which are one": {"spec": {"template": {"spec": {"tolerations": [{"key": "u", "operator": "Exists"}]}}}},
        "labels": {"metadata": {"name": "patched", "labels": {"n": "o"}, "finalizers": ["example.org/c"]}},
    }
    for label, body in rows.items():
        yield Ask(f"patches: a deployment: apply: {label}", "PATCH", deployment + "&force=true", {**own, **body}, APPLY, part="still")
