"""JSON patch, merge patch and strategic merge patch."""

from kit import case, check, same, subset


def deployment(k, **spec):
    body = {
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [
                    {"name": "one", "image": "i1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}], "args": ["a", "b"]},
                    {"name": "two", "image": "i2", "ports": [{"containerPort": 80}]},
                ]},
            },
            **spec,
        },
    }
    k.post(k.url("apps/v1", "deployments"), body).ok(201)
    return k.url("apps/v1", "deployments", "d")


def containers(reply):
    return reply.ok(200)["spec"]["template"]["spec"]["containers"]


def pod_patch(*items):
    return {"spec": {"template": {"spec": {"containers": list(items)}}}}


@case
def a_merge_patch_sets_and_removes(k):
    k.config_map(data={"a": "1", "b": "2"}, labels={"x": "y"})
    reply = k.merge(k.core("configmaps", "a"), {"data": {"a": None, "c": "3"}, "metadata": {"labels": None}}).ok(200)
    same(reply["data"], {"b": "2", "c": "3"})
    check("labels" not in reply["metadata"], reply["metadata"])


@case
def a_merge_patch_replaces_lists(k):
    path = deployment(k)
    same([one["name"] for one in containers(k.merge(path, pod_patch({"name": "three", "image": "i"})))], ["three"])


@case
def a_json_patch_runs_its_steps_in_order(k):
    k.config_map(data={"a": "1", "b": "2"})
    steps = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "one"},
        {"op": "copy", "from": "/data/b", "path": "/data/c"},
        {"op": "move", "from": "/data/b", "path": "/data/d"},
        {"op": "add", "path": "/metadata/labels", "value": {"x/y": "z"}},
        {"op": "replace", "path": "/metadata/labels/x~1y", "value": "w"},
        {"op": "remove", "path": "/data/d"},
    ]
    reply = k.json_patch(k.core("configmaps", "a"), steps).ok(200)
    same(reply["data"], {"a": "one", "c": "2"})
    same(reply["metadata"]["labels"], {"x/y": "w"})


@case
def a_failed_test_of_a_json_patch_is_422(k):
    k.config_map()
    reply = k.json_patch(k.core("configmaps", "a"), [{"op": "test", "path": "/data/k", "value": "other"}])
    reply.fails(422, "Invalid", contains="the server rejected our request due to an error in our request")


@case
def a_json_patch_guarded_by_the_revision_fails_when_it_is_old(k):
    made = k.config_map()
    guard = {"op": "test", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]}
    k.json_patch(k.core("configmaps", "a"), [guard, {"op": "add", "path": "/data/n", "value": "1"}]).ok(200)
    k.json_patch(k.core("configmaps", "a"), [guard, {"op": "add", "path": "/data/m", "value": "1"}]).fails(422, "Invalid")


@case
def a_missing_path_of_a_json_patch_is_422(k):
    k.config_map()
    k.json_patch(k.core("configmaps", "a"), [{"op": "remove", "path": "/data/none"}]).fails(422, "Invalid")


@case
def a_malformed_patch_is_400(k):
    k.config_map()
    path = k.core("configmaps", "a")
    k.json_patch(path, {"op": "add"}).fails(400, "BadRequest")
    k.merge(path, b"{not json").fails(400, "BadRequest")
    k.strategic(path, b"[]").fails(400, "BadRequest")


@case
def a_patch_type_that_is_not_known_is_415(k):
    k.config_map()
    reply = k.request("PATCH", k.core("configmaps", "a"), {"data": {}}, content="application/json")
    reply.fails(415, "UnsupportedMediaType", "415: Unsupported Media Type")


@case
def a_strategic_patch_merges_containers_by_name(k):
    path = deployment(k)
    found = containers(k.strategic(path, pod_patch({"name": "two", "image": "new"}, {"name": "three", "image": "i3"})))
    same({one["name"]: one["image"] for one in found}, {"one": "i1", "two": "new", "three": "i3"})


@case
def a_strategic_patch_deletes_an_element(k):
    path = deployment(k)
    found = containers(k.strategic(path, pod_patch({"name": "two", "$patch": "delete"})))
    same([one["name"] for one in found], ["one"])


@case
def a_strategic_patch_merges_nested_lists_by_their_keys(k):
    path = deployment(k)
    found = containers(k.strategic(path, pod_patch({"name": "one", "env": [{"name": "Y", "value": "3"}, {"name": "X", "$patch": "delete"}]})))
    same(next(one for one in found if one["name"] == "one")["env"], [{"name": "Y", "value": "3"}])


@case
def a_strategic_patch_replaces_lists_without_a_key(k):
    path = deployment(k)
    found = containers(k.strategic(path, pod_patch({"name": "one", "args": ["c"]})))
    same(next(one for one in found if one["name"] == "one")["args"], ["c"])


@case
def a_strategic_patch_replaces_where_it_says_so(k):
    path = deployment(k)
    found = containers(k.strategic(path, pod_patch({"$patch": "replace"}, {"name": "only", "image": "i"})))
    same([one["name"] for one in found], ["only"])
    reply = k.strategic(path, {"metadata": {"labels": {"x": "y"}}}).ok()
    reply = k.strategic(path, {"metadata": {"labels": {"$patch": "replace", "z": "w"}}}).ok()
    same(reply["metadata"]["labels"], {"z": "w"})


@case
def a_strategic_patch_orders_elements(k):
    path = deployment(k)
    patch = pod_patch({"name": "two"}, {"name": "one"})
    patch["spec"]["template"]["spec"]["$setElementOrder/containers"] = [{"name": "two"}, {"name": "one"}]
    same([one["name"] for one in containers(k.strategic(path, patch))], ["two", "one"])


@case
def a_strategic_patch_deletes_from_a_primitive_list(k):
    made = k.config_map(finalizers=["example.com/a", "example.com/b"])
    same(len(made["metadata"]["finalizers"]), 2)
    reply = k.strategic(k.core("configmaps", "a"), {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}}).ok()
    same(reply["metadata"]["finalizers"], ["example.com/b"])
    reply = k.strategic(k.core("configmaps", "a"), {"metadata": {"finalizers": ["example.com/c"]}}).ok()
    same(sorted(reply["metadata"]["finalizers"]), ["example.com/b", "example.com/c"])
    k.merge(k.core("configmaps", "a"), {"metadata": {"finalizers": None}}).ok()


@case
def a_strategic_patch_retains_the_keys_that_it_names(k):
    path = deployment(k, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    reply = k.strategic(path, {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}).ok()
    same(reply["spec"]["strategy"], {"type": "Recreate"})


@case
def a_null_in_a_strategic_patch_removes(k):
    k.config_map(data={"a": "1", "b": "2"})
    same(k.strategic(k.core("configmaps", "a"), {"data": {"a": None}}).ok()["data"], {"b": "2"})


@case
def ports_are_merged_by_port_and_protocol(k):
    body = {"metadata": {"name": "s"}, "spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}}
    k.post(k.core("services"), body).ok(201)
    reply = k.strategic(k.core("services", "s"), {"spec": {"ports": [{"port": 81, "name": "c"}]}}).ok()
    same(sorted((port["port"], port["name"]) for port in reply["spec"]["ports"]), [(80, "a"), (81, "c")])


@case
def an_unknown_patch_directive_is_refused(k):
    path = deployment(k)
    check(k.strategic(path, {"spec": {"$patch": "shred"}}).status >= 400, "it was accepted")


@case
def a_patch_with_an_old_revision_is_a_conflict(k):
    made = k.config_map()
    k.merge(k.core("configmaps", "a"), {"data": {"k": "w"}}).ok()
    body = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"k": "x"}}
    k.merge(k.core("configmaps", "a"), body).fails(409, "Conflict", contains="the object has been modified")


@case
def a_patch_that_changes_nothing_keeps_the_revision(k):
    made = k.config_map()
    for patch in (k.merge, k.strategic):
        same(patch(k.core("configmaps", "a"), {"data": {"k": "v"}}).ok()["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"])
    same(k.json_patch(k.core("configmaps", "a"), []).ok()["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"])


@case
def a_patch_cannot_rename_or_move(k):
    k.config_map()
    reply = k.merge(k.core("configmaps", "a"), {"metadata": {"name": "b"}})
    reply.fails(400, "BadRequest", "the name of the object (b) does not match the name on the URL (a)")
    reply = k.merge(k.core("configmaps", "a"), {"metadata": {"namespace": "elsewhere"}})
    reply.fails(400, "BadRequest", contains="the namespace of the provided object does not match the namespace sent on the request")


@case
def a_patch_of_nothing_is_not_found(k):
    for patch in (k.merge, k.strategic):
        patch(k.core("configmaps", "none"), {}).fails(404, "NotFound", 'configmaps "none" not found')


@case
def the_result_of_a_patch_is_validated(k):
    path = deployment(k)
    k.merge(path, {"spec": {"replicas": -1}}).fails(422, "Invalid", contains="spec.replicas: Invalid value: -1: must be greater than or equal to 0")
    k.strategic(path, {"spec": {"selector": {"matchLabels": {"a": "c"}}}}).fails(422, "Invalid", contains="spec.selector: Invalid value:")


@case
def a_value_of_the_wrong_type_is_refused(k):
    path = deployment(k)
    reply = k.merge(path, {"spec": {"replicas": "many"}})
    check(reply.status in (400, 422), f"{reply.status} {reply.text()[:200]}")
    subset(k.get(path).ok(), {"spec": {"replicas": 0}})
