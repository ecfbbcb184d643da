"""Discovery in both forms, versions and health."""

import re

from kit import case, check, same, subset

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def resources(k, path):
    return {one["name"]: one for one in k.get(path).ok()["resources"]}


@case
def the_core_versions_are_listed(k):
    reply = k.get("/api").ok()
    subset(reply, {"kind": "APIVersions", "versions": ["v1"]})
    check(reply["serverAddressByClientCIDRs"], "no server address")


@case
def the_groups_are_listed_with_their_preferred_version(k):
    reply = k.get("/apis").ok()
    subset(reply, {"kind": "APIGroupList", "apiVersion": "v1"})
    groups = {group["name"]: group for group in reply["groups"]}
    for name in ("apps", "batch", "rbac.authorization.k8s.io", "apiextensions.k8s.io", "coordination.k8s.io", "events.k8s.io"):
        same(groups[name]["preferredVersion"]["version"], "v1", name)
    check({"groupVersion": "autoscaling/v2", "version": "v2"} in groups["autoscaling"]["versions"], "autoscaling/v2")


@case
def one_group_can_be_read(k):
    reply = k.get("/apis/apps").ok()
    subset(reply, {"kind": "APIGroup", "apiVersion": "v1", "name": "apps"})
    same(reply["versions"], [{"groupVersion": "apps/v1", "version": "v1"}])
    same(reply["preferredVersion"], {"groupVersion": "apps/v1", "version": "v1"})


@case
def core_resources_carry_names_verbs_and_short_names(k):
    found = resources(k, "/api/v1")
    subset(found["pods"], {"singularName": "pod", "namespaced": True, "kind": "Pod", "shortNames": ["po"], "categories": ["all"]})
    same(sorted(found["pods"]["verbs"]), ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"])
    subset(found["namespaces"], {"namespaced": False, "kind": "Namespace", "shortNames": ["ns"]})
    subset(found["configmaps"], {"shortNames": ["cm"], "singularName": "configmap"})
    check("deletecollection" not in found["namespaces"]["verbs"], "namespaces have no deletecollection")


@case
def subresources_are_listed_with_their_own_kinds(k):
    core, apps = resources(k, "/api/v1"), resources(k, "/apis/apps/v1")
    same(core["pods/log"]["verbs"], ["get"])
    subset(core["pods/eviction"], {"kind": "Eviction", "group": "policy", "version": "v1", "verbs": ["create"]})
    subset(core["pods/binding"], {"kind": "Binding", "verbs": ["create"]})
    subset(core["serviceaccounts/token"], {"kind": "TokenRequest", "group": "authentication.k8s.io", "version": "v1"})
    subset(apps["deployments/scale"], {"kind": "Scale", "group": "autoscaling", "version": "v1"})
    same(sorted(apps["deployments/status"]["verbs"]), ["get", "patch", "update"])
    for name in ("pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "pods/status", "pods/ephemeralcontainers"):
        check(name in core, f"{name} is not listed")


@case
def reviews_can_only_be_created(k):
    found = resources(k, "/apis/authorization.k8s.io/v1")
    for name in ("subjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "localsubjectaccessreviews"):
        same(found[name]["verbs"], ["create"], name)


@case
def the_aggregated_form_is_given_when_it_is_asked_for(k):
    for path in ("/api", "/apis"):
        reply = k.get(path, accept=AGGREGATED + ",application/json")
        same(reply.headers.get("Content-Type"), AGGREGATED, path)
        subset(reply.ok(), {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2"})
        check(reply.headers.get("ETag"), "no ETag")
        check("Accept" in (reply.headers.get("Vary") or ""), "no Vary: Accept")


@case
def the_aggregated_form_nests_versions_resources_and_subresources(k):
    groups = {one["metadata"].get("name", ""): one for one in k.get("/apis", accept=AGGREGATED).ok()["items"]}
    version = groups["apps"]["versions"][0]
    same(version["version"], "v1")
    same(version["freshness"], "Current")
    found = {one["resource"]: one for one in version["resources"]}
    subset(found["deployments"], {
        "responseKind": {"group": "", "version": "", "kind": "Deployment"},
        "scope": "Namespaced", "singularResource": "deployment", "shortNames": ["deploy"], "categories": ["all"],
    })
    nested = {one["subresource"]: one for one in found["deployments"]["subresources"]}
    same(nested["scale"]["responseKind"], {"group": "autoscaling", "version": "v1", "kind": "Scale"})


@case
def an_unchanged_aggregated_document_is_304(k):
    tag = k.get("/apis", accept=AGGREGATED).headers.get("ETag")
    reply = k.get("/apis", accept=AGGREGATED, headers={"If-None-Match": tag})
    # Another case may have made a custom resource in between.
    check(reply.status == 304 or reply.headers.get("ETag") != tag, f"status {reply.status} with the same ETag")


@case
def any_accept_gives_the_legacy_form(k):
    for accept in ("*/*", "application/json", None):
        same(k.get("/apis", accept=accept).ok()["kind"], "APIGroupList", str(accept))


@case
def an_unknown_group_and_an_unknown_version_are_404(k):
    for path in ("/apis/nothing.example.com", "/apis/nothing.example.com/v1", "/apis/apps/v1beta1", "/api/v2"):
        reply = k.get(path)
        same(reply.status, 404, path)


@case
def the_version_is_that_of_a_kubernetes(k):
    version = k.get("/version").ok()
    check(re.match(r"^v\d+\.\d+\.\d+", version["gitVersion"]), version["gitVersion"])
    for field in ("major", "minor", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"):
        check(field in version, field)


@case
def health_answers_ok(k):
    for path in ("/healthz", "/livez", "/readyz"):
        reply = k.get(path, accept="*/*")
        same((reply.status, reply.text()), (200, "ok"), path)


@case
def health_in_words_names_its_checks(k):
    text = k.get("/readyz?verbose", accept="*/*").text()
    check("[+]ping ok" in text and "readyz check passed" in text, text)


@case
def the_root_lists_paths(k):
    paths = k.get("/").ok()["paths"]
    for path in ("/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/version", "/openapi/v2", "/openapi/v3", "/healthz"):
        check(path in paths, path)


@case
def the_legacy_list_carries_the_group_version_of_the_path(k):
    reply = k.get("/apis/batch/v1").ok()
    subset(reply, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "batch/v1"})
    check("storageVersionHash" in reply["resources"][0], "no storageVersionHash")
