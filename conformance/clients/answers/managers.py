"""Who owns which fields, as writers come one after another. Here every write is kept."""

import json

from .asking import APPLY, MERGE, STEPS, STRATEGIC, YAML, Ask
from .objects.batch import ONCE
from .objects.pods import CONTAINER, LABELS


def requests(run):
    yield from of_a_map(run)
    yield from of_a_job(run)
    yield from of_a_service(run)
    yield from of_a_pod(run)
    yield from of_a_scale(run)


def chain(label, path, steps):
    """Steps in order: word, method, what is added to the path, body, media type, and what is kept of the answer.

    A body that is put gets the version of what is there.
    """
    for number, (word, method, more, body, content, *part) in enumerate(steps, 1):
        yield Ask(f"managers: {label}: {number:02} {word}", method, path + more, body, content, part=part[0] if part else "managers", there="fresh" if method == "PUT" and isinstance(body, dict) else "")


def of_a_map(run):
    path, name = run.url("v1", "configmaps"), "managed"
    own = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    one = f"/{name}"
    yield from chain("a map", path, [
        ("applied", "PATCH", f"{one}?fieldManager=one", {**own, "data": {"a": "1", "b": "1"}}, APPLY),
        ("applied again", "PATCH", f"{one}?fieldManager=one", {**own, "data": {"a": "1", "b": "1"}}, APPLY),
        ("applied by a second, the same", "PATCH", f"{one}?fieldManager=two", {**own, "data": {"b": "1", "c": "1"}}, APPLY, "whole"),
        ("applied by a second, in conflict", "PATCH", f"{one}?fieldManager=two", {**own, "data": {"a": "2"}}, APPLY),
        ("applied by a second, by force", "PATCH", f"{one}?fieldManager=two&force=true", {**own, "data": {"a": "2", "b": "1"}}, APPLY, "whole"),
        ("given up in part by the first", "PATCH", f"{one}?fieldManager=one", {**own, "data": {}}, APPLY, "whole"),
        ("merged by a third", "PATCH", f"{one}?fieldManager=three", {"data": {"a": "3", "z": "1"}, "metadata": {"labels": {"l": "m"}}}, MERGE),
        ("merged with nothing", "PATCH", f"{one}?fieldManager=four", {}, MERGE),
        ("patched by a third", "PATCH", f"{one}?fieldManager=three", {"metadata": {"annotations": {"n": "o"}}}, STRATEGIC),
        ("patched in steps by a fourth", "PATCH", f"{one}?fieldManager=four", [{"op": "add", "path": "/data/y", "value": "1"}, {"op": "remove", "path": "/data/z"}], STEPS),
        ("put by nobody named", "PUT", one, {**own, "data": {"a": "3", "new": "1"}}, "application/json", "whole"),
        ("put in yaml", "PUT", f"{one}?fieldManager=five", json.dumps({**own, "data": {"a": "3", "new": "2"}}), YAML, "whole"),
        ("without its managers", "PATCH", f"{one}?fieldManager=five", {"metadata": {"managedFields": [{}]}}, MERGE),
        ("changed after that", "PATCH", f"{one}?fieldManager=five", {"data": {"v": "1"}}, MERGE),
        ("applied after that", "PATCH", f"{one}?fieldManager=one&force=true", {**own, "data": {"v": "2"}}, APPLY),
        ("with finalizers and owners", "PATCH", f"{one}?fieldManager=two", {**own, "metadata": {"name": name, "finalizers": ["example.org/f"], "ownerReferences": [{"apiVersion": "v1", "kind": "Nothing", "name": "n", "uid": "22222222-2222-2222-2222-222222222222", "controller": True}]}}, APPLY, "whole"),
        ("freed", "PATCH", f"{one}?fieldManager=two", {"metadata": {"finalizers": None, "ownerReferences": None}}, MERGE, "whole"),
        ("deleted", "DELETE", one, None, "application/json", "deleted"),
    ])


def of_a_job(run):
    """A job that no controller counts has a specification, a status, and keys in its lists."""
    path, one = run.url("batch/v1", "jobs"), "/managed"
    spec = {"suspend": True, "managedBy": "example.org/nobody", "template": ONCE}
    own = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "managed"}}
    condition = {"type": "Suspended", "status": "True", "lastTransitionTime": "2021-02-03T04:05:06Z"}
    status = {"conditions": [condition], "startTime": "2021-02-03T04:05:06Z"}
    yield from chain("a job", path, [
        ("created", "POST", "?fieldManager=one", {**own, "spec": spec}, "application/json"),
        ("applied by a second", "PATCH", f"{one}?fieldManager=two", {**own, "spec": {"parallelism": 1}}, APPLY),
        ("applied by a second, in conflict", "PATCH", f"{one}?fieldManager=two", {**own, "spec": {"suspend": False, "parallelism": 2}}, APPLY),
        ("applied by a second, by force", "PATCH", f"{one}?fieldManager=two&force=true", {**own, "spec": {"parallelism": 2, "backoffLimit": 3}}, APPLY, "whole"),
        ("its status merged", "PATCH", f"{one}/status?fieldManager=three", {"status": {"active": 1, "ready": 0, "uncountedTerminatedPods": {}}}, MERGE, "whole"),
        ("its status applied", "PATCH", f"{one}/status?fieldManager=four", {**own, "status": {"failed": 1, "active": 1}}, APPLY),
        ("its status put", "PUT", f"{one}/status?fieldManager=five", {**own, "spec": spec, "status": {"failed": 2}}, "application/json", "whole"),
        ("its status with conditions", "PATCH", f"{one}/status?fieldManager=three", {"status": status}, STRATEGIC),
        ("changed through its status", "PATCH", f"{one}/status?fieldManager=three", {"spec": {"parallelism": 5}, "metadata": {"labels": {"a": "b"}}}, MERGE, "whole"),
        ("given up by the second", "PATCH", f"{one}?fieldManager=two", own, APPLY, "whole"),
        ("read", "GET", one, None, "application/json", "whole"),
    ])


def of_a_service(run):
    """A service has a list with two keys, and defaults that nobody owns."""
    path, one = run.url("v1", "services"), "/managed"
    own = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "managed"}}
    ports = [{"port": 80, "name": "a"}, {"port": 81, "name": "b", "protocol": "UDP"}]
    yield from chain("a service", path, [
        ("applied", "PATCH", f"{one}?fieldManager=one", {**own, "spec": {"ports": ports}}, APPLY, "whole"),
        ("applied by a second", "PATCH", f"{one}?fieldManager=two", {**own, "spec": {"ports": [{"port": 80, "name": "a"}, {"port": 82, "name": "c"}], "selector": {"a": "b"}}}, APPLY),
        ("one port fewer", "PATCH", f"{one}?fieldManager=one", {**own, "spec": {"ports": ports[:1]}}, APPLY, "whole"),
        ("patched in a list", "PATCH", f"{one}?fieldManager=three", {"spec": {"ports": [{"port": 82, "targetPort": 8082}]}}, STRATEGIC, "whole"),
        ("its status", "PATCH", f"{one}/status?fieldManager=four", {"status": {"loadBalancer": {"ingress": []}, "conditions": [{"type": "X", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2021-02-03T04:05:06Z"}]}}, MERGE, "whole"),
        ("another type", "PATCH", f"{one}?fieldManager=three", {"spec": {"type": "NodePort"}}, MERGE, "whole"),
        ("and back", "PATCH", f"{one}?fieldManager=three", {"spec": {"type": "ClusterIP"}}, MERGE, "whole"),
        ("an external name", "PATCH", f"{one}?fieldManager=three", {"spec": {"type": "ExternalName", "externalName": "a.example.org", "clusterIP": None, "clusterIPs": None}}, MERGE, "whole"),
        ("deleted", "DELETE", one, None, "application/json", "deleted"),
    ])


def of_a_pod(run):
    """A pod has lists within lists, and parts that are written on their own."""
    path, one = run.url("v1", "pods"), "/managed"
    own = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "managed"}}
    containers = [{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}], "ports": [{"containerPort": 80}], "resources": {"requests": {"cpu": "1"}}}, {"name": "d", "image": "i"}]
    spec = {"schedulerName": "nobody", "automountServiceAccountToken": False, "containers": containers}
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2021-02-03T04:05:06Z"}
    debugger = [{"name": "e", "image": "i", "targetContainerName": "c"}]
    yield from chain("a pod", path, [
        ("applied", "PATCH", f"{one}?fieldManager=one", {**own, "spec": spec}, APPLY),
        ("an image by a second", "PATCH", f"{one}?fieldManager=two", {"spec": {"containers": [{"name": "c", "image": "j:1"}]}}, STRATEGIC),
        ("a toleration", "PATCH", f"{one}?fieldManager=two", [{"op": "add", "path": "/spec/tolerations/-", "value": {"key": "k", "operator": "Exists"}}], STEPS, "whole"),
        ("its status", "PATCH", f"{one}/status?fieldManager=three", {"status": {"phase": "Running", "conditions": [ready], "podIP": "10.9.9.9", "podIPs": [{"ip": "10.9.9.9"}]}}, STRATEGIC, "whole"),
        ("its status applied", "PATCH", f"{one}/status?fieldManager=four", {**own, "status": {"conditions": [{"type": "Other", "status": "True"}]}}, APPLY),
        ("a debugger", "PATCH", f"{one}/ephemeralcontainers?fieldManager=four", {"spec": {"ephemeralContainers": debugger}}, STRATEGIC, "whole"),
        ("resized", "PATCH", f"{one}/resize?fieldManager=five", {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]}}, STRATEGIC, "whole"),
        # No label that a set selects: it would adopt the pod, and delete it.
        ("labels alone", "PATCH", f"{one}?fieldManager=five", {"metadata": {"labels": {"managed": "yes"}}}, MERGE),
        ("deleted at once", "DELETE", f"{one}?gracePeriodSeconds=0", None, "application/json", "deleted"),
    ])


def of_a_scale(run):
    """A scale writes one field of what it is the scale of. No node takes the pods."""
    path, one = run.url("apps/v1", "replicasets"), "/managed"
    own = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "managed"}}
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "managed"}, "spec": {"replicas": 2}}
    template = {"metadata": {"labels": LABELS}, "spec": {"schedulerName": "nobody", "containers": [CONTAINER]}}
    spec = {"replicas": 0, "selector": {"matchLabels": LABELS}, "template": template}
    yield from chain("a scale", path, [
        ("applied", "PATCH", f"{one}?fieldManager=one", {**own, "spec": spec}, APPLY),
        ("merged", "PATCH", f"{one}/scale?fieldManager=two", {"spec": {"replicas": 1}}, MERGE, "scaled"),
        ("read", "GET", one, None, "application/json", "still"),
        ("put", "PUT", f"{one}/scale?fieldManager=three", scale, "application/json", "scaled"),
        ("read after that", "GET", one, None, "application/json", "still"),
        ("put by the same", "PUT", f"{one}/scale?fieldManager=three", {**scale, "spec": {"replicas": 0}}, "application/json", "scaled"),
        ("read after that too", "GET", one, None, "application/json", "still"),
        ("applied in conflict", "PATCH", f"{one}?fieldManager=one", {**own, "spec": spec | {"replicas": 3}}, APPLY),
        ("applied to it", "PATCH", f"{one}/scale?fieldManager=four&force=true", {**scale, "spec": {"replicas": 1}}, APPLY, "scaled"),
        ("read at last", "GET", one, None, "application/json", "still"),
    ])
