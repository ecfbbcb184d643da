use serde_json::json;

use super::*;

fn apply(kind: &str, original: Value, patch: Value) -> Result<Value, Error> {
    let table = Table::builtin();
    let group = if kind == "Deployment" { "apps" } else { "" };
    let node = table.kind(group, "v1", kind).expect("the kind is built in");
    super::patch(table, node, &original, &patch)
}

fn check(kind: &str, original: Value, patch: Value, expected: Value) {
    assert_eq!(apply(kind, original, patch.clone()).unwrap(), expected, "{patch}");
}

#[test]
fn lists_merge_by_their_key_and_new_items_stand_first() {
    check(
        "Pod",
        json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}}),
        json!({"spec": {"containers": [{"name": "c"}, {"name": "a", "image": "2"}]}}),
        json!({"spec": {"containers": [{"name": "c"}, {"name": "a", "image": "2"}, {"name": "b"}]}}),
    );
}

#[test]
fn lists_of_scalars_merge_by_value() {
    let original = json!({"metadata": {"finalizers": ["a", "b"]}});
    check(
        "Pod",
        original.clone(),
        json!({"metadata": {"finalizers": ["c", "a"]}}),
        json!({"metadata": {"finalizers": ["c", "a", "b"]}}),
    );
    check(
        "Pod",
        original,
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
        json!({"metadata": {"finalizers": ["b"]}}),
    );
}

#[test]
fn lists_without_a_merge_key_are_replaced() {
    check(
        "Pod",
        json!({"spec": {"containers": [{"name": "a", "args": ["1", "2"]}], "tolerations": [{"key": "x"}]}}),
        json!({"spec": {"containers": [{"name": "a", "args": ["3"]}], "tolerations": []}}),
        json!({"spec": {"containers": [{"name": "a", "args": ["3"]}], "tolerations": []}}),
    );
}

#[test]
fn directives_delete_and_replace() {
    let original = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"x": "1"}}});
    check(
        "Pod",
        original.clone(),
        json!({"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}),
        json!({"spec": {"containers": [{"name": "b"}], "nodeSelector": {"x": "1"}}}),
    );
    check(
        "Pod",
        original.clone(),
        json!({"spec": {"containers": [{"name": "z"}, {"$patch": "replace"}]}}),
        json!({"spec": {"containers": [{"name": "z"}], "nodeSelector": {"x": "1"}}}),
    );
    check(
        "Pod",
        original.clone(),
        json!({"spec": {"nodeSelector": {"y": "2", "$patch": "replace"}}}),
        json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"y": "2"}}}),
    );
    check("Pod", original, json!({"spec": {"$patch": "delete"}}), json!({"spec": {}}));
}

#[test]
fn null_deletes_and_is_dropped_where_nothing_was() {
    check(
        "Pod",
        json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
        json!({"metadata": {"labels": {"a": null}, "annotations": {"c": null, "d": "4"}}}),
        json!({"metadata": {"labels": {"b": "2"}, "annotations": {"d": "4"}}}),
    );
}

#[test]
fn retained_keys_clear_the_others() {
    check(
        "Deployment",
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        json!({"spec": {"strategy": {"type": "Recreate"}}}),
    );
    let error = apply(
        "Deployment",
        json!({"spec": {"strategy": {"type": "RollingUpdate"}}}),
        json!({"spec": {"strategy": {"$retainKeys": ["x"], "type": "Recreate"}}}),
    );
    assert_eq!(error.unwrap_err(), Error::bad_request("invalid patch format of retainKeys"));
}

#[test]
fn the_order_directive_sorts_what_the_patch_knows() {
    check(
        "Pod",
        json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}}),
        json!({"spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
            "containers": [{"name": "a", "image": "x"}],
        }}),
        json!({"spec": {"containers": [{"name": "b"}, {"name": "c"}, {"name": "a", "image": "x"}]}}),
    );
}

#[test]
fn faults_say_what_upstream_says() {
    let pod = json!({"spec": {"containers": [{"name": "a"}], "securityContext": {"seLinuxOptions": {"user": "u"}}}});
    for (patch, message) in [
        (
            json!({"spec": {"containers": [{"image": "x"}]}}),
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (json!({"spec": {"$patch": "merge"}}), "unknown patch type: merge in map: map[$patch:merge]"),
        (
            json!({"spec": {"containers": [{"name": "a"}, "b"]}}),
            "list element types are not identical: [[map[name:a]] [map[name:a] b]]",
        ),
        (
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}}),
            "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
        ),
        (json!({"spec": {"$setElementOrder/containers": 1}}), "expected a []interface {}, but received a int64"),
        (
            json!({"spec": {"$setElementOrder/nothing": []}}),
            "unable to find api field in struct PodSpec for the json field \"nothing\"",
        ),
        (json!({"metadata": {"$deleteFromPrimitiveListx": []}}), "invalid patch format of primitive list"),
    ] {
        let mut original = pod.clone();
        original["metadata"] = json!({"name": "p"});
        assert_eq!(apply("Pod", original, patch).unwrap_err().to_string(), message);
    }
}
