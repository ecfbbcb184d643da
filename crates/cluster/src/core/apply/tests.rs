use serde_json::{Value, json};

use super::element::{Decoded, decode};
use super::*;

const OWNERS_OF_NOTHING: &Value = &Value::Null;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_704_067_200 + second).expect("a time")
}

/// The shape of a kind with a request's manager.
struct Kind {
    table: Table,
    node: NodeId,
    api_version: &'static str,
    reset: ResetFields,
}

impl Kind {
    fn builtin(group: &'static str, kind: &str, api_version: &'static str) -> Self {
        let node = Table::builtin().kind(group, "v1", kind).expect("a built-in kind");
        Self { table: Table::builtin().clone(), node, api_version, reset: ResetFields::builtin(group, kind, "") }
    }

    fn config_map() -> Self {
        Self::builtin("", "ConfigMap", "v1")
    }

    fn deployment() -> Self {
        Self::builtin("apps", "Deployment", "apps/v1")
    }

    fn custom(spec: Value) -> Self {
        let schema = json!({ "type": "object", "properties": { "spec": spec } });
        let table = Table::from_crd(&schema, "example.com", "v1", "Thing");
        let node = table.kind("example.com", "v1", "Thing").expect("the custom kind");
        Self { table, node, api_version: "example.com/v1", reset: ResetFields::None }
    }

    fn manager<'a>(&self, name: &'a str, second: i64) -> Manager<'a> {
        Manager { name, api_version: self.api_version, subresource: "", now: at(second) }
    }

    fn update(&self, live: Option<&Value>, new: Value, name: &str, second: i64) -> Value {
        update(&self.table, self.node, live, new, &self.manager(name, second), &self.reset)
    }

    fn apply(&self, live: Option<&Value>, config: &Value, name: &str, second: i64) -> Result<Value, ApplyError> {
        apply(&self.table, self.node, live, config, &self.manager(name, second), Force::No, &self.reset)
    }

    fn force(&self, live: &Value, config: &Value, name: &str, second: i64) -> Value {
        apply(&self.table, self.node, Some(live), config, &self.manager(name, second), Force::Yes, &self.reset)
            .expect("a forced apply meets no conflict")
    }
}

fn config_map(data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x", "namespace": "n" }, "data": data })
}

fn thing(spec: Value) -> Value {
    json!({ "apiVersion": "example.com/v1", "kind": "Thing", "metadata": { "name": "x" }, "spec": spec })
}

/// What a manager owns, or null.
fn owned<'v>(object: &'v Value, manager: &str, operation: &str) -> &'v Value {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let mut of_manager = entries.filter(|entry| entry["manager"] == manager && entry["operation"] == operation);
    of_manager.next().map_or(OWNERS_OF_NOTHING, |entry| &entry["fieldsV1"])
}

fn with_uid(mut object: Value) -> Value {
    object["metadata"]["uid"] = json!("u");
    object
}

fn message(error: &ApplyError) -> String {
    error.to_string()
}

#[test]
fn a_create_owns_what_it_states_but_not_the_name() {
    let created = Kind::config_map().update(None, with_uid(config_map(json!({ "a": "1" }))), "kubectl-create", 0);
    let entry = json!({
        "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": { "f:data": { ".": {}, "f:a": {} } },
        "manager": "kubectl-create", "operation": "Update", "time": "2024-01-01T00:00:00Z",
    });
    assert_eq!(created["metadata"]["managedFields"], json!([entry]));
}

#[test]
fn parts_that_a_built_in_kind_always_has_are_not_owned_as_a_whole_and_status_is_reset() {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "x" },
        "spec": { "replicas": 1, "strategy": { "rollingUpdate": { "maxSurge": 1 } }, "template": { "spec": {
            "containers": [{ "name": "c", "ports": [{ "containerPort": 80 }] }] } } },
        "status": { "replicas": 1 },
    });
    let created = Kind::deployment().update(None, deployment, "m", 0);
    let expected = json!({ "f:spec": {
        "f:replicas": {},
        "f:strategy": { "f:rollingUpdate": { ".": {}, "f:maxSurge": {} } },
        "f:template": { "f:spec": { "f:containers": { "k:{\"name\":\"c\"}": {
            ".": {}, "f:name": {},
            "f:ports": { ".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:containerPort": {} } },
        } } } },
    } });
    assert_eq!(owned(&created, "m", "Update"), &expected);
}

#[test]
fn a_custom_kind_has_no_parts_before_it_is_created() {
    let kind = Kind::custom(json!({ "type": "object", "properties": { "a": { "type": "string" } } }));
    let created = kind.update(None, thing(json!({ "a": "1" })), "m", 0);
    assert_eq!(owned(&created, "m", "Update"), &json!({ "f:spec": { ".": {}, "f:a": {} } }));
}

#[test]
fn who_changes_a_field_takes_it_from_its_owner() {
    let kind = Kind::config_map();
    let live = kind.update(None, with_uid(config_map(json!({ "a": "1", "b": "1" }))), "first", 0);
    let mut new = live.clone();
    new["data"] = json!({ "a": "2" });
    let new = kind.update(Some(&live), new, "second", 1);
    assert_eq!(owned(&new, "first", "Update"), &json!({ "f:data": {} }));
    assert_eq!(owned(&new, "second", "Update"), &json!({ "f:data": { "f:a": {} } }));
}

#[test]
fn an_update_that_changes_nothing_keeps_all_entries_and_their_times() {
    let kind = Kind::config_map();
    let live = kind.update(None, with_uid(config_map(json!({ "a": "1" }))), "first", 0);
    assert_eq!(kind.update(Some(&live), live.clone(), "second", 60), live);
}

#[test]
fn managed_fields_that_a_client_leaves_out_are_kept_and_an_empty_list_forgets_them() {
    let kind = Kind::config_map();
    let live = kind.update(None, with_uid(config_map(json!({ "a": "1" }))), "first", 0);
    for (given, kept) in
        [(Value::Null, true), (json!([{ "operation": "Patch" }]), true), (json!([]), false), (json!([{}]), false)]
    {
        let mut new = live.clone();
        new["metadata"]["managedFields"] = given;
        let new = kind.update(Some(&live), new, "second", 1);
        assert_eq!(new["metadata"].get("managedFields").is_some(), kept);
    }
}

#[test]
fn the_oldest_of_more_than_ten_updaters_are_merged() {
    let kind = Kind::config_map();
    let mut live = kind.update(None, with_uid(config_map(json!({ "k0": "1" }))), "m0", 0);
    for second in 1..=11 {
        let mut new = live.clone();
        new["data"][format!("k{second}")] = json!("1");
        live = kind.update(Some(&live), new, &format!("m{second}"), second);
    }
    assert_eq!(live["metadata"]["managedFields"].as_array().map(Vec::len), Some(10));
    let merged = json!({ "f:data": { ".": {}, "f:k0": {}, "f:k1": {}, "f:k2": {} } });
    assert_eq!(owned(&live, "ancient-changes", "Update"), &merged);
    assert_eq!(live["metadata"]["managedFields"][0]["time"], "2024-01-01T00:00:02Z");
}

#[test]
fn an_apply_to_nothing_makes_the_object() {
    let applied = Kind::config_map().apply(None, &config_map(json!({ "a": "1" })), "alpha", 0).unwrap();
    assert_eq!(applied["data"], json!({ "a": "1" }));
    assert_eq!(owned(&applied, "alpha", "Apply"), &json!({ "f:data": { "f:a": {} } }));
}

#[test]
fn another_value_of_an_owned_field_is_a_conflict_that_force_wins() {
    let kind = Kind::config_map();
    let live = kind.update(None, with_uid(config_map(json!({ "a": "1", "b": "1" }))), "first", 0);
    let error = kind.apply(Some(&live), &config_map(json!({ "a": "2" })), "alpha", 1).unwrap_err();
    assert_eq!(message(&error), "Apply failed with 1 conflict: conflict with \"first\" using v1: .data.a");
    let cause = Cause { message: "conflict with \"first\" using v1".to_owned(), field: ".data.a".to_owned() };
    assert!(matches!(error, ApplyError::Conflict { causes, .. } if causes == [cause]));
    let won = kind.force(&live, &config_map(json!({ "a": "2" })), "alpha", 1);
    assert_eq!(won["data"], json!({ "a": "2", "b": "1" }));
    assert_eq!(owned(&won, "first", "Update"), &json!({ "f:data": { ".": {}, "f:b": {} } }));
}

#[test]
fn conflicts_with_several_managers_are_listed_by_manager() {
    let kind = Kind::config_map();
    let one = kind.apply(None, &config_map(json!({ "a": "1", "b": "1" })), "zeta", 0).unwrap();
    let two = kind.apply(Some(&one), &config_map(json!({ "c": "1" })), "beta", 1).unwrap();
    let error = kind.apply(Some(&two), &config_map(json!({ "a": "2", "b": "2", "c": "2" })), "alpha", 2).unwrap_err();
    let expected = "Apply failed with 3 conflicts: conflicts with \"beta\":\n- .data.c\nconflicts with \"zeta\":\n- .data.a\n- .data.b";
    assert_eq!(message(&error), expected);
}

#[test]
fn what_is_no_longer_applied_goes_unless_someone_else_owns_it() {
    let kind = Kind::config_map();
    let one = kind.apply(None, &config_map(json!({ "a": "1", "b": "1", "c": "1" })), "alpha", 0).unwrap();
    let two = kind.apply(Some(&one), &config_map(json!({ "b": "1" })), "beta", 1).unwrap();
    let three = kind.apply(Some(&two), &config_map(json!({ "a": "1" })), "alpha", 2).unwrap();
    assert_eq!(three["data"], json!({ "a": "1", "b": "1" }));
    let four = kind.apply(Some(&three), &config_map(json!({})), "alpha", 3).unwrap();
    assert_eq!(four["data"], json!({ "b": "1" }));
    assert_eq!(owned(&four, "alpha", "Apply"), &json!({ "f:data": {} }));
}

#[test]
fn an_applier_of_nothing_is_no_manager() {
    let kind = Kind::config_map();
    let mut empty = config_map(json!({}));
    let one = kind.apply(None, &config_map(json!({ "a": "1" })), "alpha", 0).unwrap();
    empty.as_object_mut().unwrap().remove("data");
    let two = kind.apply(Some(&one), &empty, "alpha", 1).unwrap();
    assert_eq!(two["metadata"].get("managedFields"), None);
}

#[test]
fn a_second_owner_of_the_same_value_leaves_the_object_as_it_is() {
    let kind = Kind::config_map();
    let one = kind.apply(None, &config_map(json!({ "a": "1" })), "alpha", 0).unwrap();
    let two = kind.apply(Some(&one), &config_map(json!({ "a": "1" })), "beta", 1).unwrap();
    assert_eq!(two["metadata"]["managedFields"].as_array().map(Vec::len), Some(2));
    let again = kind.apply(Some(&two), &config_map(json!({ "a": "1" })), "beta", 2).unwrap();
    assert_eq!(again, two);
}

#[test]
fn what_was_there_before_the_first_apply_has_an_owner_of_its_own() {
    let kind = Kind::config_map();
    let live = with_uid(config_map(json!({ "a": "1", "b": "1" })));
    let applied = kind.apply(Some(&live), &config_map(json!({ "a": "1" })), "alpha", 0).unwrap();
    let before = json!({ "f:data": { ".": {}, "f:a": {}, "f:b": {} } });
    assert_eq!(owned(&applied, "before-first-apply", "Update"), &before);
}

#[test]
fn list_items_are_merged_by_key_in_the_applied_order() {
    let items = json!({ "type": "object", "properties": { "name": { "type": "string" }, "v": { "type": "integer" } } });
    let list = json!({ "type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] });
    let kind = Kind::custom(json!({ "type": "object", "properties": { "items": list } }));
    let spec = |items: Value| thing(json!({ "items": items }));
    let one = kind
        .apply(None, &spec(json!([{ "name": "a" }, { "name": "b", "v": 1 }, { "name": "c" }])), "alpha", 0)
        .unwrap();
    let two = kind.apply(Some(&one), &spec(json!([{ "name": "d" }, { "name": "b", "v": 1 }])), "beta", 1).unwrap();
    assert_eq!(
        two["spec"]["items"],
        json!([{ "name": "a" }, { "name": "d" }, { "name": "b", "v": 1 }, { "name": "c" }])
    );
    let three = kind.apply(Some(&two), &spec(json!([{ "name": "c" }])), "alpha", 2).unwrap();
    assert_eq!(three["spec"]["items"], json!([{ "name": "d" }, { "name": "b", "v": 1 }, { "name": "c" }]));
}

#[test]
fn kubectl_takes_over_what_its_annotation_explains() {
    let kind = Kind::config_map();
    let mut live = with_uid(config_map(json!({ "a": "1" })));
    let last = config_map(json!({ "a": "1" })).to_string();
    live["metadata"]["annotations"] = json!({ "kubectl.kubernetes.io/last-applied-configuration": last });
    let live = kind.update(None, live, "kubectl-client-side-apply", 0);
    let config = config_map(json!({ "a": "2" }));
    assert!(kind.apply(Some(&live), &config, "other", 1).is_err());
    let applied = kind.apply(Some(&live), &config, "kubectl", 1).unwrap();
    assert_eq!(applied["data"]["a"], "2");
    let text = applied["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap();
    assert_eq!(text, format!("{config}\n"));
}

#[test]
fn a_configuration_that_does_not_fit_is_refused_as_upstream_words_it() {
    let kind = Kind::config_map();
    let mut other = config_map(json!({}));
    other["kind"] = json!("Secret");
    let mut managed = config_map(json!({}));
    managed["metadata"]["managedFields"] = json!([]);
    let mut undeclared = config_map(json!({}));
    undeclared["spec"] = json!({});
    let prefix = "failed to create typed patch object (n/x; /v1, Kind=ConfigMap): ";
    for (config, expected) in [
        (other, ApplyError::BadRequest("invalid object type: /v1, Kind=Secret".to_owned())),
        (managed, ApplyError::BadRequest("metadata.managedFields must be nil".to_owned())),
        (undeclared, ApplyError::Internal(format!("{prefix}.spec: field not declared in schema"))),
        (
            config_map(json!({ "a": 1 })),
            ApplyError::Internal(format!("{prefix}.data.a: expected string, got &value.valueUnstructured{{Value:1}}")),
        ),
    ] {
        assert_eq!(kind.apply(None, &config, "alpha", 0), Err(expected));
    }
}

#[test]
fn the_owner_of_replicas_is_seen_through_scale_and_back() {
    let paths = [ScalePath { api_version: "apps/v1", path: &["spec", "replicas"] }];
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "x" }, "spec": { "replicas": 1, "paused": true } });
    let live = Kind::deployment().apply(None, &deployment, "alpha", 0).unwrap();
    let parent = &live["metadata"]["managedFields"];
    let scale = to_scale(Some(parent), &paths).unwrap();
    assert_eq!(scale[0]["apiVersion"], "autoscaling/v1");
    assert_eq!(scale[0]["fieldsV1"], json!({ "f:spec": { "f:replicas": {} } }));
    let taken = json!([{
        "apiVersion": "autoscaling/v1", "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:replicas": {} } },
        "manager": "scaler", "operation": "Update", "subresource": "scale",
    }]);
    let fields = to_parent(Some(parent), Some(&taken), "apps/v1", &paths).unwrap();
    let object = json!({ "metadata": { "managedFields": fields } });
    assert_eq!(owned(&object, "alpha", "Apply"), &json!({ "f:spec": { "f:paused": {} } }));
    assert_eq!(owned(&object, "scaler", "Update"), &json!({ "f:spec": { "f:replicas": {} } }));
    assert_eq!(to_parent(Some(parent), Some(&scale), "apps/v1", &paths).as_ref(), Ok(parent));
}

#[test]
fn objects_that_differ_in_times_only_are_told_from_others() {
    let kind = Kind::config_map();
    let live = kind.update(None, with_uid(config_map(json!({ "a": "1" }))), "m", 0);
    let mut later = live.clone();
    later["metadata"]["managedFields"][0]["time"] = json!("2024-01-01T00:01:00Z");
    assert!(differs_in_times_only(&live, &later));
    assert!(!differs_in_times_only(&live, &live));
    later["data"]["a"] = json!("2");
    assert!(!differs_in_times_only(&live, &later));
}

#[test]
fn the_pod_resize_path_owns_nothing_but_resources() {
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "x", "labels": { "a": "b" } }, "spec": {
        "nodeName": "n", "containers": [{ "name": "c", "image": "i", "resources": { "limits": { "cpu": "1" } } }] } });
    let mut kind = Kind::builtin("", "Pod", "v1");
    kind.reset = ResetFields::builtin("", "Pod", "resize");
    let resources = json!({ ".": {}, "f:limits": { ".": {}, "f:cpu": {} } });
    let expected =
        json!({ "f:spec": { "f:containers": { "k:{\"name\":\"c\"}": { ".": {}, "f:resources": resources } } } });
    assert_eq!(owned(&kind.update(None, pod, "m", 0), "m", "Update"), &expected);
}

#[test]
fn field_sets_survive_their_json_form() {
    let fields = json!({
        "f:a": { ".": {}, "f:b": {} },
        "f:list": { "k:{\"name\":\"x\\u003cy\",\"port\":80}": {}, "v:1": {}, "v:\"s\"": {}, "v:1.5": {}, "i:3": {} },
    });
    let set = Set::decode(&fields).unwrap();
    assert_eq!(set.encode(), fields);
    let mut paths = Vec::new();
    set.each(&mut |path| paths.push(path_text(path)));
    let expected =
        [".a", ".a.b", ".list[name=\"x<y\",port=80]", ".list[=1]", ".list[=1.5]", ".list[=\"s\"]", ".list[3]"];
    assert_eq!(paths, expected);
}

#[test]
fn keys_of_field_sets_that_cannot_be_read_are_refused_and_unknown_ones_dropped() {
    assert_eq!(decode("f").err().as_deref(), Some("key must be 2 characters long:"));
    assert_eq!(decode("field").err().as_deref(), Some("missing colon: field"));
    assert!(matches!(decode("x:1"), Ok(Decoded::Unknown)));
    assert!(decode("v:{").is_err());
    assert!(decode("i:one").is_err());
}

#[test]
fn set_operations_keep_parents_and_children_apart() {
    let left = Set::of_fields(&[&["a"], &["a", "b"], &["c", "d"], &["e"]]);
    let right = Set::of_fields(&[&["a"], &["c"], &["e", "f"]]);
    assert_eq!(left.difference(&right).encode(), json!({ "f:a": { "f:b": {} }, "f:c": { "f:d": {} }, "f:e": {} }));
    assert_eq!(left.recursive_difference(&right).encode(), json!({ "f:e": {} }));
    assert_eq!(left.intersection(&right).encode(), json!({ "f:a": {} }));
    let union = json!({ "f:a": { ".": {}, "f:b": {} }, "f:c": { ".": {}, "f:d": {} }, "f:e": { ".": {}, "f:f": {} } });
    assert_eq!(left.union(&right).encode(), union);
}
