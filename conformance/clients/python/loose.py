"""`kubernetes`: the dynamic client, and custom objects."""

import os
import tempfile

from kubernetes import client, dynamic, watch

from kit import case, check, same

from .shared import api_client, refused

KIND = {"plural": "trials", "singular": "trial", "kind": "Trial", "shortNames": ["tr"]}


def define(k, **version):
    """A definition of its own group; answers the group."""
    group = k.unique("g").replace("-", "") + ".python.example.com"
    schema = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    body = {
        "metadata": {"name": f"trials.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": KIND, "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}]},
    }
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    k.post(definitions, body).ok(201)
    k.finally_delete(f"{definitions}/trials.{group}")
    k.wait_for(definitions, f"trials.{group}", lambda one: any(c["type"] == "Established" and c["status"] == "True" for c in one.get("status", {}).get("conditions") or []))
    return group


def trial(group, name="t", **spec):
    return {"apiVersion": f"{group}/v1", "kind": "Trial", "metadata": {"name": name}, "spec": spec}


@case
def custom_objects_live(k):
    group = define(k, subresources={"status": {}})
    api = client.CustomObjectsApi(api_client())
    place = (group, "v1", k.ns, "trials")
    api.create_namespaced_custom_object(*place, trial(group, size=1))
    same(api.patch_namespaced_custom_object(*place, "t", {"spec": {"more": [1]}})["spec"], {"size": 1, "more": [1]})
    api.patch_namespaced_custom_object_status(*place, "t", {"status": {"phase": "Done"}})
    found = api.get_namespaced_custom_object(*place, "t")
    same(found["status"], {"phase": "Done"})
    found["spec"] = {"size": 2}
    same(api.replace_namespaced_custom_object(*place, "t", found)["metadata"]["generation"], 3)
    same(len(api.list_namespaced_custom_object(*place)["items"]), 1)
    same(len(api.list_cluster_custom_object(group, "v1", "trials")["items"]), 1)
    api.delete_namespaced_custom_object(*place, "t")
    refused(lambda: api.get_namespaced_custom_object(*place, "t"), 404, "NotFound")


@case
def custom_objects_are_watched(k):
    group = define(k)
    api = client.CustomObjectsApi(api_client())
    api.create_namespaced_custom_object(group, "v1", k.ns, "trials", trial(group))
    watcher, seen = watch.Watch(), []
    for event in watcher.stream(api.list_namespaced_custom_object, group, "v1", k.ns, "trials", timeout_seconds=20):
        seen.append(event["type"])
        if len(seen) == 1:
            api.delete_namespaced_custom_object(group, "v1", k.ns, "trials", "t")
        else:
            watcher.stop()
    same(seen, ["ADDED", "DELETED"])


def open_dynamic(folder):
    return dynamic.DynamicClient(api_client(), cache_file=os.path.join(folder, "cache"))


@case
def the_dynamic_client_finds_kinds_by_itself(k):
    with tempfile.TemporaryDirectory() as folder:
        api = open_dynamic(folder)
        maps = api.resources.get(prefix="api", api_version="v1", kind="ConfigMap")
        maps.create(body={"metadata": {"name": "d"}, "data": {"k": "v"}}, namespace=k.ns)
        same(maps.get(name="d", namespace=k.ns).data.k, "v")
        maps.patch(name="d", namespace=k.ns, body={"data": {"k": "w"}}, content_type="application/merge-patch+json")
        same(maps.get(name="d", namespace=k.ns).to_dict()["data"], {"k": "w"})
        maps.delete(name="d", namespace=k.ns)
        check(api.resources.get(api_version="apps/v1", kind="Deployment").namespaced, "namespaced")


@case
def the_dynamic_client_applies_on_the_server(k):
    with tempfile.TemporaryDirectory() as folder:
        maps = open_dynamic(folder).resources.get(prefix="api", api_version="v1", kind="ConfigMap")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}, "data": {"k": "v"}}
        same(maps.server_side_apply(body=body, namespace=k.ns, field_manager="python").data.k, "v")
        body["data"] = {"l": "w"}
        same(maps.server_side_apply(body=body, namespace=k.ns, field_manager="python").to_dict()["data"], {"l": "w"})


@case
def the_dynamic_client_knows_custom_kinds(k):
    group = define(k)
    with tempfile.TemporaryDirectory() as folder:
        trials = open_dynamic(folder).resources.get(api_version=f"{group}/v1", kind="Trial")
        trials.create(body=trial(group, size=3), namespace=k.ns)
        same([one.spec.size for one in trials.get(namespace=k.ns).items], [3])
