"""Creating, reading and replacing objects."""

import re

from kit import case, check, same, subset


@case
def a_created_object_has_its_system_fields(k):
    made = k.config_map()
    meta = made["metadata"]
    subset(made, {"kind": "ConfigMap", "apiVersion": "v1", "data": {"k": "v"}})
    check(re.match(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", meta["uid"]), meta["uid"])
    check(re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", meta["creationTimestamp"]), meta["creationTimestamp"])
    check(int(meta["resourceVersion"]) > 0, meta["resourceVersion"])
    check("generation" not in meta, "a ConfigMap has no generation")
    same(k.get(k.core("configmaps", "a")).ok(), made)


@case
def system_fields_of_the_caller_are_ignored(k):
    made = k.config_map(uid="mine", creationTimestamp="2001-01-01T00:00:00Z", generation=7, selfLink="/x", deletionTimestamp="2001-01-01T00:00:00Z")
    check(made["metadata"]["uid"] != "mine" and not made["metadata"]["creationTimestamp"].startswith("2001"), made["metadata"])
    check("selfLink" not in made["metadata"] and "deletionTimestamp" not in made["metadata"], made["metadata"])


@case
def kind_and_version_may_be_left_out(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "x"}})
    subset(reply.ok(201), {"kind": "ConfigMap", "apiVersion": "v1"})


@case
def another_kind_than_that_of_the_path_is_refused(k):
    reply = k.post(k.core("configmaps"), {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "x"}})
    reply.fails(400, "BadRequest", contains="cannot be handled as a ConfigMap")


@case
def another_version_than_that_of_the_path_is_refused(k):
    body = {"kind": "Deployment", "apiVersion": "extensions/v1beta1", "metadata": {"name": "x"}}
    k.post(k.url("apps/v1", "deployments"), body).fails(
        400, "BadRequest", "the API version in the data (extensions/v1beta1) does not match the expected API version (apps/v1)")


@case
def a_second_create_is_already_exists(k):
    k.config_map()
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "a"}})
    reply.fails(409, "AlreadyExists", 'configmaps "a" already exists', details={"name": "a", "kind": "configmaps"})


@case
def a_missing_object_is_not_found(k):
    for method in ("GET", "DELETE"):
        reply = k.request(method, k.core("configmaps", "none"))
        reply.fails(404, "NotFound", 'configmaps "none" not found', details={"name": "none", "kind": "configmaps"})


@case
def details_of_a_grouped_kind_name_its_group(k):
    reply = k.get(k.url("apps/v1", "deployments", "none"))
    reply.fails(404, "NotFound", 'deployments.apps "none" not found', details={"name": "none", "kind": "deployments", "group": "apps"})


@case
def a_name_is_required(k):
    reply = k.post(k.core("configmaps"), {"metadata": {}})
    reply.fails(422, "Invalid", 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required', causes=[("FieldValueRequired", "metadata.name")])


@case
def a_bad_name_is_invalid(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "Not_Good"}})
    reply.fails(422, "Invalid", causes=[("FieldValueInvalid", "metadata.name")], contains=[
        'ConfigMap "Not_Good" is invalid: metadata.name: Invalid value: "Not_Good": a lowercase RFC 1123 subdomain must consist of',
        "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    ])


@case
def a_service_is_named_by_a_dns_label(k):
    reply = k.post(k.core("services"), {"metadata": {"name": "1abc"}, "spec": {"ports": [{"port": 80}]}})
    reply.fails(422, "Invalid", contains="a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character")


@case
def bad_labels_and_annotations_are_invalid(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "a", "labels": {"-x": "y", "ok": "not ok"}, "annotations": {"b c": ""}}})
    reply.fails(422, "Invalid", contains=["metadata.labels: Invalid value: \"-x\"", "metadata.labels: Invalid value: \"not ok\"", "metadata.annotations: Invalid value: \"b c\""])


@case
def the_namespace_of_the_body_must_be_that_of_the_path(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "a", "namespace": "other"}})
    reply.fails(400, "BadRequest", f"the namespace of the provided object does not match the namespace sent on the request")


@case
def a_missing_namespace_is_not_found(k):
    reply = k.post("/api/v1/namespaces/there-is-none/configmaps", {"metadata": {"name": "a"}})
    reply.fails(404, "NotFound", 'namespaces "there-is-none" not found', details={"name": "there-is-none", "kind": "namespaces"})


@case
def generate_name_adds_five_letters(k):
    made = k.post(k.core("configmaps"), {"metadata": {"generateName": "web-"}}).ok(201)["metadata"]
    check(re.match(r"^web-[bcdfghjklmnpqrstvwxz2456789]{5}$", made["name"]), made["name"])
    same(made["generateName"], "web-")


@case
def generate_name_cuts_a_long_stem(k):
    made = k.post(k.core("configmaps"), {"metadata": {"generateName": "x" * 70}}).ok(201)["metadata"]
    same(len(made["name"]), 63)


@case
def a_name_wins_over_generate_name(k):
    made = k.post(k.core("configmaps"), {"metadata": {"generateName": "web-", "name": "a"}}).ok(201)["metadata"]
    same(made["name"], "a")


@case
def resource_version_must_not_be_set_on_create(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "a", "resourceVersion": "1"}})
    reply.fails(400, "BadRequest", contains="resourceVersion should not be set on objects to be created") if reply.status == 400 else \
        reply.fails(500, contains="resourceVersion should not be set on objects to be created")


@case
def replacing_changes_the_resource_version_only_forward(k):
    made = k.config_map()
    made["data"] = {"k": "w"}
    next_one = k.put(k.core("configmaps", "a"), made).ok(200)
    check(int(next_one["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"]), "it did not grow")
    same(next_one["metadata"]["uid"], made["metadata"]["uid"])
    same(next_one["metadata"]["creationTimestamp"], made["metadata"]["creationTimestamp"])


@case
def replacing_with_the_same_changes_nothing(k):
    made = k.config_map()
    again = k.put(k.core("configmaps", "a"), made).ok(200)
    same(again["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"])


@case
def a_stale_replace_is_a_conflict(k):
    made = k.config_map()
    k.merge(k.core("configmaps", "a"), {"data": {"k": "w"}}).ok(200)
    made["data"] = {"k": "x"}
    k.put(k.core("configmaps", "a"), made).fails(
        409, "Conflict", 'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
        details={"name": "a", "kind": "configmaps"})


@case
def a_replace_without_resource_version_is_unconditional(k):
    k.config_map()
    same(k.put(k.core("configmaps", "a"), {"metadata": {"name": "a"}, "data": {"z": "1"}}).ok(200)["data"], {"z": "1"})


@case
def a_replace_with_another_uid_is_a_conflict(k):
    k.config_map()
    reply = k.put(k.core("configmaps", "a"), {"metadata": {"name": "a", "uid": "00000000-0000-0000-0000-000000000000"}})
    reply.fails(409, "Conflict", contains="Precondition failed: UID in precondition: 00000000-0000-0000-0000-000000000000, UID in object meta: ")


@case
def a_replace_of_nothing_is_not_found(k):
    k.put(k.core("configmaps", "none"), {"metadata": {"name": "none"}}).fails(404, "NotFound", 'configmaps "none" not found')


@case
def a_replace_under_another_name_is_refused(k):
    k.config_map()
    reply = k.put(k.core("configmaps", "a"), {"metadata": {"name": "b"}})
    reply.fails(400, "BadRequest", "the name of the object (b) does not match the name on the URL (a)")


@case
def a_lease_can_be_made_by_a_replace(k):
    reply = k.put(k.url("coordination.k8s.io/v1", "leases", "l"), {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}})
    same(reply.ok(201)["spec"]["holderIdentity"], "me")


@case
def a_bad_resource_version_in_an_object_is_refused(k):
    made = k.config_map()
    made["metadata"]["resourceVersion"] = "abc"
    reply = k.put(k.core("configmaps", "a"), made)
    check(reply.status in (400, 422, 409, 500), reply.status)
    check(k.get(k.core("configmaps", "a")).ok()["data"] == {"k": "v"}, "it was written")


@case
def dry_run_answers_and_stores_nothing(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "dry"}}, {"dryRun": "All"}).ok(201)
    check(reply["metadata"]["uid"], "no uid")
    same(k.get(k.core("configmaps", "dry")).status, 404)
    made = k.config_map()
    same(k.put(k.core("configmaps", "a"), {**made, "data": {"x": "y"}}, {"dryRun": "All"}).ok(200)["data"], {"x": "y"})
    same(k.merge(k.core("configmaps", "a"), {"data": {"n": "1"}}, {"dryRun": "All"}).ok(200)["data"], {"k": "v", "n": "1"})
    k.delete(k.core("configmaps", "a"), query={"dryRun": "All"}).ok(200)
    same(k.get(k.core("configmaps", "a")).ok(), made)


@case
def an_unknown_dry_run_is_invalid(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "dry"}}, {"dryRun": "Some"})
    reply.fails(422, "Invalid", contains='dryRun: Unsupported value: ["Some"]: supported values: "All"')


@case
def generation_grows_with_the_spec_alone(k):
    # A ReplicaSet, for a Deployment counts annotations too, and its controller makes one as soon as it sees it.
    path = k.url("apps/v1", "replicasets")
    body = {"metadata": {"name": "r"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}
    same(k.post(path, body).ok(201)["metadata"]["generation"], 1)
    same(k.merge(path + "/r", {"metadata": {"labels": {"x": "y"}, "annotations": {"x": "y"}}}).ok()["metadata"]["generation"], 1)
    same(k.merge(path + "/r", {"spec": {"minReadySeconds": 5}}).ok()["metadata"]["generation"], 2)
    same(k.merge(path + "/r/status", {"status": {"observedGeneration": 2}}).ok()["metadata"]["generation"], 2)


@case
def the_generation_of_a_deployment_grows_with_its_annotations_too(k):
    path = k.url("apps/v1", "deployments")
    body = {"metadata": {"name": "d"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}
    same(k.post(path, body).ok(201)["metadata"]["generation"], 1)
    check(k.merge(path + "/d", {"metadata": {"annotations": {"x": "y"}}}).ok()["metadata"]["generation"] >= 2, "no annotation counts")


@case
def yaml_is_a_body_too(k):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yes-it-is\ndata:\n  first: 'yes'\n"
    same(k.post(k.core("configmaps"), text, content="application/yaml").ok(201)["data"], {"first": "yes"})


@case
def yaml_can_be_asked_for(k):
    k.config_map()
    reply = k.get(k.core("configmaps", "a"), accept="application/yaml")
    same(reply.headers.get("Content-Type"), "application/yaml")
    check("kind: ConfigMap\n" in reply.text(), reply.text())


@case
def pretty_json_is_indented(k):
    k.config_map()
    text = k.get(k.core("configmaps", "a"), {"pretty": "true"}).text()
    check('\n  "kind": "ConfigMap"' in text, text[:80])


@case
def empty_collections_and_null_timestamps_of_go_clients_are_dropped(k):
    made = k.post(k.core("configmaps"), '{"metadata":{"name":"n","creationTimestamp":null,"labels":{},"annotations":null},"data":null}').ok(201)
    for field in ("labels", "annotations"):
        check(field not in made["metadata"], made["metadata"])
    check("data" not in made, made)


@case
def binary_data_must_be_base64(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "b"}, "binaryData": {"x": "%%%"}})
    reply.fails(400, "BadRequest", contains="illegal base64 data at input byte 0")


@case
def string_data_of_a_secret_is_written_as_data(k):
    made = k.post(k.core("secrets"), {"metadata": {"name": "s"}, "stringData": {"p": "word"}}).ok(201)
    subset(made, {"data": {"p": "d29yZA=="}, "type": "Opaque"})
    check("stringData" not in made, made)


@case
def what_is_immutable_cannot_be_changed(k):
    k.post(k.core("configmaps"), {"metadata": {"name": "i"}, "data": {"k": "v"}, "immutable": True}).ok(201)
    k.merge(k.core("configmaps", "i"), {"data": {"k": "w"}}).fails(422, "Invalid", contains="data: Forbidden: field is immutable when `immutable` is set")
    k.merge(k.core("configmaps", "i"), {"immutable": None}).fails(422, "Invalid", contains="immutable: Forbidden: field is immutable when `immutable` is set")
    k.merge(k.core("configmaps", "i"), {"metadata": {"labels": {"a": "b"}}}).ok(200)


@case
def both_spellings_of_events_are_one_store(k):
    body = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": k.ns}, "reason": "Test", "message": "hello", "type": "Normal"}
    k.post(k.core("events"), body).ok(201)
    found = k.get(k.url("events.k8s.io/v1", "events", "e")).ok()
    subset(found, {"kind": "Event", "apiVersion": "events.k8s.io/v1", "note": "hello", "regarding": {"kind": "Pod", "name": "p"}})
