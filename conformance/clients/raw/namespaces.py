"""The life of a namespace."""

from kit import case, check, same, subset


@case
def a_namespace_is_active_with_its_finalizer_and_its_name_as_a_label(k):
    found = k.get(f"/api/v1/namespaces/{k.ns}").ok()
    same(found["spec"], {"finalizers": ["kubernetes"]})
    same(found["status"], {"phase": "Active"})
    same(found["metadata"]["labels"], {"kubernetes.io/metadata.name": k.ns})


@case
def the_namespaces_of_the_system_are_there(k):
    names = {item["metadata"]["name"] for item in k.get("/api/v1/namespaces").ok()["items"]}
    check({"default", "kube-system", "kube-public", "kube-node-lease"} <= names, names)


@case
def the_name_label_cannot_be_changed(k):
    found = k.merge(f"/api/v1/namespaces/{k.ns}", {"metadata": {"labels": {"kubernetes.io/metadata.name": "other"}}}).ok()
    same(found["metadata"]["labels"]["kubernetes.io/metadata.name"], k.ns)


@case
def a_namespace_is_named_by_a_label(k):
    reply = k.post("/api/v1/namespaces", {"metadata": {"name": "a.b"}})
    reply.fails(422, "Invalid", contains='metadata.name: Invalid value: "a.b": must not contain dots')


@case
def the_system_namespaces_cannot_be_deleted(k):
    for name in ("default", "kube-system", "kube-public"):
        k.delete(f"/api/v1/namespaces/{name}").fails(403, "Forbidden", f'namespaces "{name}" is forbidden: this namespace may not be deleted')


@case
def a_namespace_that_goes_takes_nothing_new(k):
    k.config_map(finalizers=["example.com/wait"])
    found = k.delete(f"/api/v1/namespaces/{k.ns}").ok(200)
    same((found["kind"], found["status"]["phase"]), ("Namespace", "Terminating"))
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "late"}})
    status = reply.fails(403, "Forbidden", f'configmaps "late" is forbidden: unable to create new content in namespace {k.ns} because it is being terminated')
    same(status["details"]["causes"], [{"reason": "NamespaceTerminating", "message": f"namespace {k.ns} is being terminated", "field": "metadata.namespace"}])
    k.merge(k.core("configmaps", "a"), {"metadata": {"finalizers": None}}).ok(200)


@case
def finalize_removes_the_finalizer_of_the_spec(k):
    name = k.post("/api/v1/namespaces", {"metadata": {"generateName": "conformance-"}, "spec": {"finalizers": ["kubernetes", "example.com/mine"]}}).ok(201)["metadata"]["name"]
    found = k.get(f"/api/v1/namespaces/{name}").ok()
    same(found["spec"]["finalizers"], ["kubernetes", "example.com/mine"])
    k.delete(f"/api/v1/namespaces/{name}").ok(200)
    found = k.get(f"/api/v1/namespaces/{name}").ok()
    found["spec"]["finalizers"] = []
    found["metadata"].pop("resourceVersion")
    k.put(f"/api/v1/namespaces/{name}/finalize", found).ok(200)
    reply = k.get(f"/api/v1/namespaces/{name}")
    check(reply.status == 404 or reply.json()["spec"].get("finalizers", []) == [], reply.text())


@case
def a_replace_leaves_the_finalizers_of_the_spec(k):
    found = k.get(f"/api/v1/namespaces/{k.ns}").ok()
    found["spec"]["finalizers"] = []
    same(k.put(f"/api/v1/namespaces/{k.ns}", found).ok(200)["spec"]["finalizers"], ["kubernetes"])


@case
def the_phase_is_a_field_selector(k):
    found = k.get("/api/v1/namespaces", {"fieldSelector": f"status.phase=Active,metadata.name={k.ns}"}).ok()["items"]
    same(len(found), 1)


@case(needs="controllers")
def a_namespace_goes_with_all_that_it_holds(k):
    k.config_map()
    k.post(k.core("secrets"), {"metadata": {"name": "s"}}).ok(201)
    k.post(k.url("batch/v1", "jobs"), {"metadata": {"name": "j"}, "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}).ok(201)
    k.delete(f"/api/v1/namespaces/{k.ns}").ok(200)
    k.wait_gone("/api/v1/namespaces", k.ns)
    same(k.get(k.core("configmaps", "a")).status, 404)


@case(needs="controllers")
def what_holds_a_namespace_up_is_told_in_its_conditions(k):
    k.config_map(finalizers=["example.com/wait"])
    k.delete(f"/api/v1/namespaces/{k.ns}").ok(200)

    def told(found):
        conditions = {one["type"]: one for one in found["status"].get("conditions", [])}
        return conditions.get("NamespaceFinalizersRemaining", {}).get("status") == "True"

    found = k.wait_for("/api/v1/namespaces", k.ns, told)
    conditions = {one["type"]: one for one in found["status"]["conditions"]}
    subset(conditions["NamespaceContentRemaining"], {"status": "True", "reason": "SomeResourcesRemain", "message": "Some resources are remaining: configmaps. has 1 resource instances"})
    subset(conditions["NamespaceFinalizersRemaining"], {"reason": "SomeFinalizersRemain", "message": "Some content in the namespace has finalizers remaining: example.com/wait in 1 resource instances"})
    same(conditions["NamespaceDeletionDiscoveryFailure"]["status"], "False")
    k.merge(k.core("configmaps", "a"), {"metadata": {"finalizers": None}}).ok(200)
    k.wait_gone("/api/v1/namespaces", k.ns, seconds=60)


@case(needs="controllers")
def a_namespace_gets_its_root_certificate_and_service_account(k):
    found = k.wait_for(k.core("configmaps"), "kube-root-ca.crt")
    check(found["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE-----"), found["data"])
    k.delete(k.core("serviceaccounts", "default")).ok(200)
    k.wait_for(k.core("serviceaccounts"), "default")
