"""Server-side apply and managed fields."""

from kit import case, check, same, subset


def managers(found):
    return [(one["manager"], one["operation"], one.get("subresource", "")) for one in found["metadata"].get("managedFields", [])]


def body(data, **meta):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **meta}, "data": data}


@case
def applying_what_is_not_there_creates_it(k):
    reply = k.apply(k.core("configmaps", "a"), body({"k": "v"}))
    found = reply.ok(201)
    same(found["data"], {"k": "v"})
    subset(found["metadata"]["managedFields"][0], {
        "manager": "one", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:k": {}}},
    })


@case
def applying_again_is_200_and_changes_nothing(k):
    first = k.apply(k.core("configmaps", "a"), body({"k": "v"})).ok(201)
    again = k.apply(k.core("configmaps", "a"), body({"k": "v"})).ok(200)
    same(again, first)


@case
def what_is_no_longer_applied_is_removed(k):
    k.apply(k.core("configmaps", "a"), body({"k": "v", "l": "w"})).ok()
    same(k.apply(k.core("configmaps", "a"), body({"k": "v"})).ok(200)["data"], {"k": "v"})


@case
def what_another_manager_also_owns_stays(k):
    k.apply(k.core("configmaps", "a"), body({"k": "v", "l": "w"})).ok()
    k.apply(k.core("configmaps", "a"), body({"l": "w"}), manager="two").ok()
    same(k.apply(k.core("configmaps", "a"), body({"k": "v"})).ok(200)["data"], {"k": "v", "l": "w"})
    same(k.apply(k.core("configmaps", "a"), body({}), manager="two").ok(200)["data"], {"k": "v"})


@case
def a_conflict_names_the_manager_and_the_field(k):
    k.apply(k.core("configmaps", "a"), body({"k": "v", "m": "1"})).ok()
    reply = k.apply(k.core("configmaps", "a"), body({"k": "w"}), manager="two")
    status = reply.fails(409, "Conflict", 'Apply failed with 1 conflict: conflict with "one": .data.k', causes=[("FieldManagerConflict", ".data.k")])
    same(status["details"]["causes"][0]["message"], 'conflict with "one"')


@case
def several_conflicts_are_listed(k):
    k.apply(k.core("configmaps", "a"), body({"k": "v", "m": "1"})).ok()
    reply = k.apply(k.core("configmaps", "a"), body({"k": "w", "m": "2"}), manager="two")
    reply.fails(409, "Conflict", 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.k\n- .data.m', causes=[("FieldManagerConflict", ".data.k"), ("FieldManagerConflict", ".data.m")])


@case
def a_conflict_with_an_update_says_when_and_how(k):
    k.post(k.core("configmaps"), body({"k": "v"}), {"fieldManager": "editor"}).ok(201)
    reply = k.apply(k.core("configmaps", "a"), body({"k": "w"}))
    reply.fails(409, "Conflict", contains=['Apply failed with 1 conflict: conflict with "editor" using v1: .data.k'])


@case
def force_takes_fields_over(k):
    k.apply(k.core("configmaps", "a"), body({"k": "v", "l": "w"})).ok()
    found = k.apply(k.core("configmaps", "a"), body({"k": "x"}), manager="two", force=True).ok(200)
    same(found["data"], {"k": "x", "l": "w"})
    owners = {one["manager"]: sorted(one["fieldsV1"]["f:data"]) for one in found["metadata"]["managedFields"]}
    same(owners, {"one": ["f:l"], "two": ["f:k"]})


@case
def the_same_value_is_shared_without_conflict(k):
    k.apply(k.core("configmaps", "a"), body({"k": "v"})).ok()
    found = k.apply(k.core("configmaps", "a"), body({"k": "v"}), manager="two").ok(200)
    same(sorted(managers(found)), [("one", "Apply", ""), ("two", "Apply", "")])


@case
def a_manager_is_required(k):
    reply = k.request("PATCH", k.core("configmaps", "a"), body({}), content="application/apply-patch+yaml")
    reply.fails(422, "Invalid", 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch', causes=[("FieldValueRequired", "fieldManager")])


@case
def force_is_for_apply_alone(k):
    k.config_map()
    k.merge(k.core("configmaps", "a"), {}, {"force": "true"}).fails(422, "Invalid", contains="force: Forbidden: may not be specified for non-apply patch")


@case
def managed_fields_must_be_empty_in_an_apply(k):
    sent = body({}, managedFields=[{"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}])
    k.apply(k.core("configmaps", "a"), sent).fails(400, "BadRequest", contains="metadata.managedFields must be nil")


@case
def an_apply_needs_its_kind_and_version(k):
    reply = k.apply(k.core("configmaps", "a"), {"metadata": {"name": "a"}})
    check(reply.status in (400, 500), f"{reply.status} {reply.text()}")


@case
def yaml_is_applied(k):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: |\n    two\n    lines\n"
    same(k.apply(k.core("configmaps", "a"), text).ok(201)["data"], {"k": "two\nlines\n"})


@case
def broken_yaml_is_refused(k):
    k.apply(k.core("configmaps", "a"), "a: [b").fails(400, "BadRequest", contains="error decoding YAML")


@case
def another_name_than_that_of_the_path_is_refused(k):
    reply = k.apply(k.core("configmaps", "b"), body({}))
    check(reply.status == 400, f"{reply.status} {reply.text()}")


@case
def an_apply_with_a_uid_never_creates(k):
    k.apply(k.core("configmaps", "a"), body({}, uid="00000000-0000-0000-0000-000000000000")).fails(409, "Conflict")


@case
def updates_are_owned_by_the_manager_or_the_agent(k):
    k.config_map()
    found = k.put(k.core("configmaps", "a"), body({"k": "w"}), {"fieldManager": "mine"}).ok()
    same(managers(found)[-1], ("mine", "Update", ""))
    check(("conformance", "Update", "") in managers(k.merge(k.core("configmaps", "a"), {"data": {"n": "1"}}).ok()), "the agent owns nothing")


@case
def a_status_write_is_owned_by_its_subresource(k):
    path = k.url("apps/v1", "deployments")
    sent = {"metadata": {"name": "d"}, "spec": {"replicas": 0, "paused": True, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}
    k.post(path, sent).ok(201)
    condition = {"type": "Custom", "status": "True", "lastUpdateTime": "2024-01-01T00:00:00Z", "lastTransitionTime": "2024-01-01T00:00:00Z", "reason": "r", "message": "m"}
    found = k.strategic(path + "/d/status", {"status": {"conditions": [condition]}}, {"fieldManager": "reporter"}).ok()
    check(("reporter", "Update", "status") in managers(found), managers(found))


@case
def managed_fields_are_cleared_on_request(k):
    k.config_map()
    found = k.merge(k.core("configmaps", "a"), {"metadata": {"managedFields": [{}]}}).ok()
    check("managedFields" not in found["metadata"], found["metadata"])


@case
def a_bad_manager_is_refused(k):
    k.apply(k.core("configmaps", "a"), body({}), manager="x" * 129).fails(422, "Invalid", contains="fieldManager: Too long: may not be more than 128 bytes")


@case
def lists_with_keys_are_shared_by_element(k):
    def sent(*ports):
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": list(ports)}}
    path = k.core("services", "s")
    k.apply(path, sent({"name": "a", "port": 80, "protocol": "TCP"})).ok(201)
    found = k.apply(path, sent({"name": "b", "port": 81, "protocol": "TCP"}), manager="two").ok(200)
    same([port["port"] for port in found["spec"]["ports"]], [80, 81])
    owned = next(one for one in found["metadata"]["managedFields"] if one["manager"] == "two")["fieldsV1"]["f:spec"]["f:ports"]
    same(owned, {'k:{"port":81,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}}})
    found = k.apply(path, sent({"name": "c", "port": 82, "protocol": "TCP"}), manager="two").ok(200)
    same([port["port"] for port in found["spec"]["ports"]], [80, 82])


@case
def duplicate_keys_of_a_list_are_refused(k):
    port = {"port": 80, "protocol": "TCP"}
    sent = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{**port, "name": "a"}, {**port, "name": "b"}]}}
    reply = k.apply(k.core("services", "s"), sent)
    check(reply.status in (400, 422, 500), reply.status)
    check("duplicate entries for key" in reply.text(), reply.text()[:300])


@case
def a_field_that_is_not_in_the_schema_is_refused(k):
    reply = k.apply(k.core("configmaps", "a"), {**body({}), "nothing": 1})
    check(reply.status in (400, 500) and "field not declared in schema" in reply.text(), f"{reply.status} {reply.text()[:300]}")


@case
def an_apply_can_be_a_dry_run(k):
    k.apply(k.core("configmaps", "a"), body({"k": "v"}), query={"dryRun": "All"}).ok(201)
    same(k.get(k.core("configmaps", "a")).status, 404)


@case
def an_applied_status_leaves_the_spec_alone(k):
    path = k.url("apps/v1", "deployments", "d")
    sent = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}
    k.apply(path, sent).ok(201)
    status = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 7}, "status": {"collisionCount": 3}}
    found = k.apply(path + "/status", status, manager="reporter").ok(200)
    same((found["spec"]["replicas"], found["status"].get("collisionCount")), (0, 3))
