"""The OpenAPI documents."""

import gzip
import json

from kit import case, check, repeat, same


@case
def the_index_names_a_document_for_each_group_version(k):
    paths = k.get("/openapi/v3").ok()["paths"]
    for name in ("api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "apis/batch/v1", "version"):
        url = paths[name]["serverRelativeURL"]
        check(url.startswith(f"/openapi/v3/{name}?hash="), url)


@case
def a_document_describes_paths_actions_and_kinds(k):
    document = k.get("/openapi/v3/apis/apps/v1").ok()
    check(document["openapi"].startswith("3.0"), document["openapi"])
    item = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["post"]
    same(item["x-kubernetes-action"], "post")
    same(item["x-kubernetes-group-version-kind"], {"group": "apps", "version": "v1", "kind": "Deployment"})
    check({"dryRun", "fieldManager", "fieldValidation"} <= {one["name"] for one in item["parameters"]}, item["parameters"])
    schema = document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"]
    same(schema["x-kubernetes-group-version-kind"], [{"group": "apps", "version": "v1", "kind": "Deployment"}])
    check("spec" in schema["properties"], schema)


@case
def merge_keys_are_in_the_schemas(k):
    schemas = k.get("/openapi/v3/api/v1").ok()["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    same((containers["x-kubernetes-patch-merge-key"], containers["x-kubernetes-patch-strategy"]), ("name", "merge"))
    same((containers["x-kubernetes-list-type"], containers["x-kubernetes-list-map-keys"]), ("map", ["name"]))
    ports = schemas["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"]
    same(ports["x-kubernetes-list-map-keys"], ["port", "protocol"])


@case
def every_reference_of_a_document_is_in_it(k):
    for path in ("api/v1", "apis/batch/v1", "apis/apiextensions.k8s.io/v1"):
        reply = k.get(f"/openapi/v3/{path}")
        schemas = reply.ok()["components"]["schemas"]
        wanted = {part.split('"', 1)[0] for part in reply.text().split('"#/components/schemas/')[1:]}
        same(sorted(wanted - set(schemas)), [], path)


@case
def a_document_is_cached_by_its_hash(k):
    url = k.get("/openapi/v3").ok()["paths"]["apis/apps/v1"]["serverRelativeURL"]
    reply = k.get(url)
    same(reply.status, 200)
    tag = reply.headers.get("ETag")
    check(tag, "no ETag")
    same(k.get("/openapi/v3/apis/apps/v1", headers={"If-None-Match": tag}).status, 304)
    same(url.split("hash=")[1], tag.strip('"'))


@case
def a_document_of_nothing_is_404(k):
    same(k.get("/openapi/v3/apis/none.example.com/v1").status, 404)


@case
def the_second_version_is_one_document_in_json(k):
    reply = k.get("/openapi/v2")
    document = reply.ok()
    same(document["swagger"], "2.0")
    check("io.k8s.api.core.v1.Pod" in document["definitions"], "no Pod")
    check("/apis/apps/v1/namespaces/{namespace}/deployments" in document["paths"], "no path")
    tag = reply.headers.get("ETag")
    check(tag, "no ETag")
    unchanged = k.get("/openapi/v2", headers={"If-None-Match": tag})
    # Another case may have made a definition in between.
    check(unchanged.status == 304 or unchanged.headers.get("ETag") != tag, unchanged.status)


@case
def a_document_can_be_compressed(k):
    reply = k.get("/openapi/v2", headers={"Accept-Encoding": "gzip"})
    same(reply.headers.get("Content-Encoding"), "gzip")
    same(json.loads(gzip.decompress(reply.body))["swagger"], "2.0")


@case
def a_big_list_can_be_compressed(k):
    for name in ("a", "b", "c"):
        k.config_map(name, data={"k": "x" * 60_000}, labels={"mine": ""})
    reply = k.get(k.core("configmaps"), headers={"Accept-Encoding": "gzip"})
    same(reply.headers.get("Content-Encoding"), "gzip")
    check(len(json.loads(gzip.decompress(reply.body))["items"]) >= 3, "items")


@case
def a_custom_kind_joins_both_documents(k):
    from .custom import definition

    widgets = definition(k)
    schema_of = lambda: k.get(f"/openapi/v3/apis/{widgets.group}/v1")
    found = until(schema_of, lambda reply: reply.status == 200).ok()
    name = next(name for name in found["components"]["schemas"] if name.endswith(".v1.Widget"))
    check("size" in found["components"]["schemas"][name]["properties"]["spec"]["properties"], "its schema")
    until(lambda: k.get("/openapi/v2"), lambda reply: name in reply.ok()["definitions"])


def until(ask, wanted):
    """Asks until the answer is as wanted. Documents follow a definition after a moment, and nothing can be watched."""
    reply = repeat(ask, wanted)
    check(wanted(reply), lambda: f"{reply.request}: never as wanted: {reply.text()[:300]}")
    return reply
