"""What the server says that it serves. What upstream serves and the embedded cluster does not is in `left_out.txt`."""

import os

from .asking import JSON, Ask

LEFT_OUT = os.path.join(os.path.dirname(__file__), "left_out.txt")
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def left_out():
    """`group`, `group/version` or `group/version/resource` and the reason, a line each; the core group is `core`."""
    with open(LEFT_OUT) as file:
        lines = [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]
    for line in lines:
        assert " | " in line, f"left_out.txt: {line!r} has no reason"
    return {line.split(" | ")[0] for line in lines}


def requests(run):
    out = left_out()
    for path in ("/api", "/apis", "/api/v1"):
        yield Ask(f"discovery: {path}", "GET", path, part="served")
    for path in ("/api", "/apis"):
        yield Ask(f"discovery: {path} aggregated", "GET", path, accept=AGGREGATED, part="served")
        yield Ask(f"discovery: {path} aggregated, or plain", "GET", path, accept=f"{AGGREGATED},{JSON}", part="kind")
    for version in VERSIONS:
        group = version.partition("/")[0]
        yield Ask(f"discovery: /apis/{version}", "GET", f"/apis/{version}", part="served")
        if f"/apis/{group}" not in {f"/apis/{other.partition('/')[0]}" for other in VERSIONS[: VERSIONS.index(version)]}:
            yield Ask(f"discovery: /apis/{group}", "GET", f"/apis/{group}", part="served")
    yield Ask("discovery: /version", "GET", "/version", part="shape")
    assert not out & {*VERSIONS, *GROUPS}, "left_out.txt names what is compared"


VERSIONS = [
    "apiregistration.k8s.io/v1", "apps/v1", "events.k8s.io/v1", "authentication.k8s.io/v1", "authorization.k8s.io/v1", "autoscaling/v2", "autoscaling/v1", "batch/v1", "certificates.k8s.io/v1",
    "networking.k8s.io/v1", "policy/v1", "rbac.authorization.k8s.io/v1", "storage.k8s.io/v1", "admissionregistration.k8s.io/v1", "apiextensions.k8s.io/v1", "scheduling.k8s.io/v1", "coordination.k8s.io/v1",
    "node.k8s.io/v1", "discovery.k8s.io/v1",
]
GROUPS = {version.partition("/")[0] for version in VERSIONS} | {""}


def served(body):
    """A document of discovery without what is left out, and without groups that are somebody's own."""
    out = left_out()
    kind = body["kind"]
    if kind == "APIVersions":
        return {**body, "serverAddressByClientCIDRs": "OWN"}
    if kind == "APIGroupList":
        return {**body, "groups": [group(one, out) for one in body["groups"] if is_known(one["name"], out)]}
    if kind == "APIGroup":
        return group(body, out)
    if kind == "APIResourceList":
        return {**body, "resources": [one for one in body["resources"] if f"{core(body['groupVersion'])}/{one['name']}" not in out]}
    items = []
    for item in body["items"]:
        name = item["metadata"].get("name", "")
        if is_known(name, out):
            versions = [one for one in item["versions"] if f"{name}/{one['version']}" not in out]
            items.append({**item, "versions": [of_version(name, one, out) for one in versions]})
    return {**body, "items": items}


def core(version):
    return version if "/" in version else f"core/{version}"


def is_known(name, out):
    """A group of upstream that is not left out; others, of custom resources, are the cluster's own."""
    return name not in out and (name in GROUPS or "." not in name or name.endswith(".k8s.io"))


def group(body, out):
    return {**body, "versions": [one for one in body["versions"] if one["groupVersion"] not in out]}


def of_version(name, body, out):
    prefix = f"{name or 'core'}/{body['version']}"
    resources = []
    for one in body["resources"]:
        if f"{prefix}/{one['resource']}" not in out:
            subs = [sub for sub in one.get("subresources", []) if f"{prefix}/{one['resource']}/{sub['subresource']}" not in out]
            resources.append({**one, **({"subresources": subs} if subs else {})})
    return {**body, "resources": resources}
