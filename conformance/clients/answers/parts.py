"""Parts of objects with addresses of their own, and questions that are answered and not kept."""

from .asking import APPLY, JSON, MERGE, PARTIAL, PARTIAL_LIST, STEPS, STRATEGIC, TABLE, Ask
from .objects.certificates import CERTIFICATE
from .objects.pods import CONTAINER, pod
from .objects.small import EARLY, FINE

SCALED = (("apps/v1", "deployments"), ("apps/v1", "replicasets"), ("apps/v1", "statefulsets"), ("v1", "replicationcontrollers"))


def kept(run):
    """A namespace with limits, in which pods and claims are made."""
    container = {"type": "Container", "default": {"cpu": "1000m", "memory": "1Gi"}, "defaultRequest": {"cpu": "250m"}, "max": {"memory": "2048Mi"}}
    yield run.url("v1", "limitranges", namespace=limited(run)), {"metadata": {"name": "a"}, "spec": {"limits": [container, {"type": "PersistentVolumeClaim", "max": {"storage": "2Gi"}}]}}
    yield run.url("v1", "pods"), {"metadata": {"name": "account"}, **pod(serviceAccountName="kept")}


def limited(run):
    return f"{run.mark}-limited"


def requests(run):
    yield from scales(run)
    yield from of_pods(run)
    yield from with_limits(run)
    yield from approvals(run)
    yield from tokens(run)
    yield from reviews(run)
    yield from events(run)
    yield from lists(run)


def scales(run):
    for version, plural in SCALED:
        path = run.url(version, plural, "kept", "scale")
        scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "kept"}, "spec": {"replicas": 4}}
        yield Ask(f"parts: scale of {plural}", "GET", path)
        yield Ask(f"parts: scale of {plural} put", "PUT", path + "?dryRun=All&fieldManager=two", scale)
        for word, content, body in (("merged", MERGE, {"spec": {"replicas": 3}}), ("patched", STRATEGIC, {"spec": {"replicas": 3}}), ("in steps", STEPS, [{"op": "replace", "path": "/spec/replicas", "value": 2}]), ("applied", APPLY, scale)):
            force = "&force=true" if word == "applied" else ""
            yield Ask(f"parts: scale of {plural} {word}", "PATCH", f"{path}?dryRun=All&fieldManager=two{force}", body, content)
        yield Ask(f"parts: scale of {plural} as a row", "GET", path, accept=TABLE, part="table")
        yield Ask(f"parts: scale of {plural} as metadata", "GET", path, accept=PARTIAL)


def of_pods(run):
    one = run.url("v1", "pods", "kept")
    dry = "?dryRun=All&fieldManager=two"
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "kept"}, "target": {"kind": "Node", "name": "none"}}
    yield Ask("parts: a pod bound", "POST", f"{one}/binding{dry}", binding)
    yield Ask("parts: a pod bound by its namespace", "POST", run.url("v1", "bindings") + dry, binding)
    yield Ask("parts: a pod evicted", "POST", f"{one}/eviction?dryRun=All", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "kept"}})
    for sub in ("ephemeralcontainers", "resize", "status"):
        yield Ask(f"parts: {sub} of a pod", "GET", f"{one}/{sub}")
        yield Ask(f"parts: {sub} of a pod merged with nothing", "PATCH", f"{one}/{sub}{dry}", {}, MERGE)
    debugger = {"name": "e", "image": "i", "stdin": True, "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}
    yield Ask("parts: a debugger", "PATCH", f"{one}/ephemeralcontainers{dry}", {"spec": {"ephemeralContainers": [debugger]}}, STRATEGIC)
    yield Ask("parts: a pod deleted softly", "DELETE", f"{one}?dryRun=All&gracePeriodSeconds=7", part="deleted")
    yield Ask("parts: a pod deleted in the foreground", "DELETE", f"{one}?dryRun=All&propagationPolicy=Foreground", part="deleted")
    yield Ask("parts: maps deleted", "DELETE", run.url("v1", "configmaps") + "?dryRun=All&labelSelector=none%3Dsuch", part="list")


def with_limits(run):
    path = run.url("v1", "pods", namespace=limited(run)) + "?dryRun=All&fieldManager=one"
    bare = pod()
    some = pod({**CONTAINER, "resources": {"requests": {"memory": "1Mi"}}}, {"name": "d", "image": "i", "resources": {"limits": {"cpu": "0.5", "memory": "1Gi"}}}, initContainers=[{"name": "x", "image": "i"}])
    whole = pod({**CONTAINER, "resources": {"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"cpu": "1", "memory": "1Mi"}}})
    for label, body in (("no resources", bare), ("some resources", some), ("all resources", whole)):
        yield Ask(f"parts: a pod with {label} within limits", "POST", path, {"metadata": {"name": "p"}, **body})


def approvals(run):
    path = run.url("certificates.k8s.io/v1", "certificatesigningrequests", run.name("row", "cluster"), scope="cluster")
    condition = {"type": "Approved", "status": "True", "reason": "R", "message": "m"}
    yield Ask("parts: a request approved", "PATCH", f"{path}/approval?dryRun=All&fieldManager=two", {"status": {"conditions": [condition]}}, MERGE, part="requested")
    yield Ask("parts: a request approved, as a row", "PATCH", f"{path}/approval?dryRun=All&includeObject=None", {"status": {"conditions": [condition]}}, MERGE, TABLE, "cells")
    for kind in ("Approved", "Denied"):
        other = run.url("certificates.k8s.io/v1", "certificatesigningrequests", run.name(f"row-{kind.lower()}", "cluster"), scope="cluster")
        yield Ask(f"parts: a request {kind.lower()} for good", "PATCH", f"{other}/approval?fieldManager=two", {"status": {"conditions": [{**condition, "type": kind}]}}, MERGE, part="requested")
        yield Ask(f"parts: a request {kind.lower()} for good, as a row", "GET", other + "?includeObject=None", accept=TABLE, part="cells")
        yield Ask(f"parts: a request {kind.lower()} and issued, as a row", "PATCH", f"{other}/status?dryRun=All&includeObject=None", {"status": {"certificate": CERTIFICATE}}, MERGE, TABLE, "cells")
    yield Ask("parts: a request issued", "PATCH", f"{path}/status?dryRun=All&fieldManager=two", {"status": {"certificate": CERTIFICATE}}, MERGE, part="requested")


def tokens(run):
    path = run.url("v1", "serviceaccounts", "kept", "token")
    group = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    yield Ask("parts: a token", "POST", path, {**group, "spec": {"audiences": ["example.org"], "expirationSeconds": 900}}, part="token")
    yield Ask("parts: a token of a pod", "POST", path, {**group, "spec": {"audiences": ["example.org"], "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "account"}}}, part="token")
    yield Ask("parts: a token by default", "POST", path, {}, part="token")
    yield Ask("parts: a token nobody gave", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "x.y.z", "audiences": ["example.org"]}}, part="whole")


def reviews(run):
    version = "authorization.k8s.io/v1"
    attributes = {"verb": "get", "group": "apps", "resource": "deployments", "namespace": run.mark, "name": "x", "subresource": "scale"}
    user = {"user": "nobody", "groups": ["none"], "uid": "u", "extra": {"k": ["v"]}}
    for label, spec in (("attributes", {"resourceAttributes": attributes}), ("a path", {"nonResourceAttributes": {"path": "/nowhere", "verb": "get"}}), ("a selector", {"resourceAttributes": {**attributes, "labelSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}}})):
        yield Ask(f"parts: access of a user to {label}", "POST", f"/apis/{version}/subjectaccessreviews", {"spec": {**spec, **user}}, part="whole")
        yield Ask(f"parts: access of my own to {label}", "POST", f"/apis/{version}/selfsubjectaccessreviews", {"spec": spec}, part="whole")
    yield Ask("parts: access within a namespace", "POST", run.url(version, "localsubjectaccessreviews"), {"metadata": {"namespace": run.mark}, "spec": {"resourceAttributes": attributes, **user}}, part="whole")
    yield Ask("parts: rules of my own", "POST", f"/apis/{version}/selfsubjectrulesreviews", {"spec": {"namespace": run.mark}}, part="shape")
    yield Ask("parts: who I am", "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, part="shape")


def events(run):
    """An event of either group is one of the other as well."""
    about = {"kind": "Pod", "namespace": run.mark, "name": "p", "uid": "u"}
    core, new = run.url("v1", "events"), run.url("events.k8s.io/v1", "events")
    old = {"metadata": {"name": "old"}, "involvedObject": about, "reason": "R", "message": "m", "type": "Normal", "source": {"component": "c", "host": "h"}, "firstTimestamp": EARLY, "lastTimestamp": EARLY, "count": 2}
    fresh = {"metadata": {"name": "fresh"}, "regarding": about, "reason": "R", "action": "A", "note": "n", "type": "Warning", "eventTime": FINE, "reportingController": "example.org/c", "reportingInstance": "i", "series": {"count": 3, "lastObservedTime": FINE}}
    yield Ask("parts: an event of the core group", "POST", core + "?fieldManager=one", old)
    yield Ask("parts: an event of the new group", "POST", new + "?fieldManager=one", fresh)
    for path, group in ((core, "core"), (new, "new")):
        for name in ("old", "fresh"):
            yield Ask(f"parts: the {name} event read in the {group} group", "GET", f"{path}/{name}")
            yield Ask(f"parts: the {name} event of the {group} group as a row", "GET", f"{path}/{name}", accept=TABLE, part="table")
            yield Ask(f"parts: the {name} event merged in the {group} group", "PATCH", f"{path}/{name}?dryRun=All&fieldManager=two", {"metadata": {"labels": {"a": "b"}}}, MERGE)


def lists(run):
    maps = run.url("v1", "configmaps", namespace=limited(run)) + "?labelSelector=listed"
    for number in range(3):
        yield Ask(f"parts: a map listed {number}", "POST", maps.partition("?")[0] + "?fieldManager=one", {"metadata": {"name": f"listed-{number}", "labels": {"listed": str(number)}}}, part="metadata")
    for word, accept, part in (("whole", JSON, "list"), ("as a table", TABLE, "table"), ("as metadata", PARTIAL_LIST, "list")):
        yield Ask(f"parts: a list {word}", "GET", maps, accept=accept, part=part)
        yield Ask(f"parts: a page {word}", "GET", maps.partition("?")[0] + "?limit=1&fieldSelector=metadata.name!%3Dkube-root-ca.crt", accept=accept, part="page")
    yield Ask("parts: an empty list", "GET", run.url("v1", "secrets", namespace=limited(run)) + "?labelSelector=none", part="list")
    yield Ask("parts: an empty table", "GET", run.url("v1", "secrets", namespace=limited(run)) + "?labelSelector=none", accept=TABLE, part="table")
    yield Ask("parts: a list since any version", "GET", maps + "&resourceVersion=0", part="list")
    yield Ask("parts: maps deleted together", "DELETE", maps, part="list")
    yield Ask("parts: a map deleted", "DELETE", run.url("v1", "configmaps", "kept") + "?dryRun=All", part="deleted")
