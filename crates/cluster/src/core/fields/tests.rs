use serde_json::{Value, json};

use super::*;
use crate::core::schema::{NodeId, Table};

fn node(group: &str, kind: &str) -> NodeId {
    Table::builtin().kind(group, "v1", kind).unwrap()
}

fn decoded(group: &str, kind: &str, value: Value) -> Value {
    let mut value = value;
    assert_eq!(decode(Table::builtin(), node(group, kind), &mut value), Ok(()));
    value
}

fn fault(group: &str, kind: &str, value: Value) -> String {
    let mut value = value;
    decode(Table::builtin(), node(group, kind), &mut value).unwrap_err()
}

fn strict(kind: &str, text: &str) -> Vec<String> {
    strict_errors(text.as_bytes(), Table::builtin(), node("", kind))
}

#[test]
fn a_wrong_type_is_worded_as_go_words_it() {
    let spec = |spec: Value| fault("apps", "Deployment", json!({"spec": spec}));
    for (found, expect) in [
        (
            spec(json!({"replicas": "3"})),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            spec(json!({"replicas": 1.5})),
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            spec(json!({"replicas": 3_000_000_000_u64})),
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            spec(json!({"template": {"spec": {"containers": {}}}})),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
        (
            spec(json!({"template": {"spec": {"containers": ["x"]}}})),
            "json: cannot unmarshal string into Go struct field PodSpec.spec.template.spec.containers of type v1.Container",
        ),
        (
            spec(json!({"template": {"spec": {"restartPolicy": 1}}})),
            "json: cannot unmarshal number into Go struct field PodSpec.spec.template.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            fault("", "ConfigMap", json!({"data": {"a": 1}})),
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            fault("", "ConfigMap", json!({"metadata": {"labels": {"a": true}}})),
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (fault("", "Pod", json!([])), "json: cannot unmarshal array into Go value of type v1.Pod"),
        (
            fault("", "Service", json!({"spec": {"ports": [{"targetPort": true}]}})),
            "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
        (
            fault("", "ResourceQuota", json!({"spec": {"hard": {"cpu": "many"}}})),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (fault("", "Secret", json!({"data": {"a": "a*bc"}})), "illegal base64 data at input byte 1"),
    ] {
        assert_eq!(found, expect);
    }
}

#[test]
fn times_that_cannot_be_read_are_worded_as_go_words_it() {
    let time = |text: &str| fault("", "Pod", json!({"metadata": {"deletionTimestamp": text}}));
    for (text, expect) in [
        ("soon", " as \"2006-01-02T15:04:05Z07:00\": cannot parse \"soon\" as \"2006\""),
        ("2024-01-01", " as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"T\""),
        ("2024-01-01T00:00:00", " as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"Z07:00\""),
        ("2024-13-01T00:00:00Z", ": month out of range"),
        ("2024-02-30T00:00:00Z", ": day out of range"),
        ("2024-01-01T25:00:00Z", ": hour out of range"),
        ("2024-01-01T00:00:00+25:00", ": time zone offset hour out of range"),
        ("2024-01-01T00:00:00Zx", ": extra text: \"x\""),
    ] {
        assert_eq!(time(text), format!("parsing time \"{text}\"{expect}"));
    }
}

#[test]
fn a_micro_time_has_exactly_six_digits() {
    let time = |text: &str| fault("coordination.k8s.io", "Lease", json!({"spec": {"renewTime": text}}));
    for (text, expect) in [
        ("2024-01-01", "cannot parse \"\" as \"T\""),
        ("2024-01-01T00:00:00Z", "cannot parse \"Z\" as \".000000\""),
        ("2024-01-01T00:00:00.123Z", "cannot parse \".123Z\" as \".000000\""),
        ("2024-01-01T00:00:00.123456789Z", "cannot parse \"789Z\" as \"Z07:00\""),
    ] {
        assert_eq!(time(text), format!("parsing time \"{text}\" as \"2006-01-02T15:04:05.000000Z07:00\": {expect}"));
    }
    let number = fault("coordination.k8s.io", "Lease", json!({"spec": {"renewTime": 1}}));
    assert_eq!(number, "json: cannot unmarshal number into Go struct field LeaseSpec.spec.renewTime of type string");
}

#[test]
fn the_first_wrong_type_is_the_one_that_is_told() {
    let found = fault("", "Pod", json!({"metadata": {"name": 1}, "spec": {"nodeName": 2}}));
    assert_eq!(found, "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string");
}

#[test]
fn decoding_writes_plain_structs_and_drops_nulls_zeros_and_unknown_fields() {
    let found = decoded(
        "apps",
        "Deployment",
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "extra": 1,
            "metadata": {"name": "a", "creationTimestamp": null, "labels": {}},
            "spec": {"replicas": 0, "paused": false, "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"creationTimestamp": null},
                    "spec": {"containers": [{"name": "c", "imagee": "x", "command": null}]}}}}),
    );
    assert_eq!(
        found,
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "strategy": {},
                "template": {"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {}}]}}},
            "status": {}})
    );
}

#[test]
fn quantities_times_and_bytes_take_their_canonical_form() {
    let found =
        decoded("", "ResourceQuota", json!({"spec": {"hard": {"cpu": 0.5, "memory": "1024Mi", "pods": "1e3"}}}));
    assert_eq!(found["spec"]["hard"], json!({"cpu": "500m", "memory": "1Gi", "pods": "1e3"}));
    let found = decoded("", "Secret", json!({"data": {"a": "YWJj\nZGVm\n"}}));
    assert_eq!(found["data"]["a"], json!("YWJjZGVm"));
    let found = decoded("", "Pod", json!({"metadata": {"deletionTimestamp": "2024-01-01T02:00:00.5+02:00"}}));
    assert_eq!(found["metadata"]["deletionTimestamp"], json!("2024-01-01T00:00:00Z"));
    let found =
        decoded("coordination.k8s.io", "Lease", json!({"spec": {"renewTime": "2024-01-01T01:00:00.123000+01:00"}}));
    assert_eq!(found["spec"]["renewTime"], json!("2024-01-01T00:00:00.123000Z"));
}

#[test]
fn decoding_twice_changes_nothing() {
    let once = decoded("", "Pod", json!({"spec": {"containers": [{"name": "a", "ports": [null]}, null]}}));
    assert_eq!(decoded("", "Pod", once.clone()), once);
}

#[test]
fn free_form_json_stays_as_it_is() {
    let data = json!({"a": null, "b": [0, ""], "c": {}});
    let found = decoded("apps", "ControllerRevision", json!({"data": data, "revision": 0}));
    assert_eq!(found, json!({"metadata": {}, "data": data, "revision": 0}));
}

#[test]
fn schemas_below_the_unions_are_decoded_too() {
    let schema = json!({"type": "object", "additionalProperties": {"type": "string", "unknown": 1, "title": ""},
        "properties": {"l": {"items": {"type": "string", "nullable": false}}}});
    let found = decoded(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}}),
    );
    assert_eq!(
        found["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
        json!({"type": "object", "additionalProperties": {"type": "string"},
            "properties": {"l": {"items": {"type": "string"}}}})
    );
}

#[test]
fn unknown_fields_are_told_with_their_path() {
    let value = json!({"specc": 1, "metadata": {"nme": "x"}, "spec": {"containers": [{"name": "a"}, {"imagee": "x"}],
        "nodeSelector": {"any": "thing"}}});
    assert_eq!(
        unknown_fields(Table::builtin(), node("", "Pod"), &value),
        ["unknown field \"metadata.nme\"", "unknown field \"spec.containers[1].imagee\"", "unknown field \"specc\""]
    );
    let mut pruned = value;
    prune_unknown(Table::builtin(), node("", "Pod"), &mut pruned);
    assert_eq!(
        pruned,
        json!({"metadata": {}, "spec": {"containers": [{"name": "a"}, {}], "nodeSelector": {"any": "thing"}}})
    );
}

#[test]
fn unknown_fields_of_custom_kinds_start_with_those_of_the_metadata() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "object"}, "z": {"type": "object",
        "x-kubernetes-preserve-unknown-fields": true}}});
    let table = Table::from_crd(&schema, "example.com", "v1", "Thing");
    let root = table.kind("example.com", "v1", "Thing").unwrap();
    let value = json!({"a": {"b": 1}, "metadata": {"x": 1}, "z": {"free": 1}});
    assert_eq!(unknown_fields(&table, root, &value), ["unknown field \"metadata.x\"", "unknown field \"a.b\""]);
}

#[test]
fn strict_errors_come_in_the_order_of_the_text() {
    let text = r#"{"spec": {"zzz": {"deep": 1}, "containers": [{"name": "a", "name": "b", "bad": []}], "containers": []},
        "aaa": 1, "spec": {"zzz": 2}, "metadata": {"labels": {"k": "1", "k": "2"}, "labels": {}}}"#;
    assert_eq!(
        strict("Pod", text),
        [
            "unknown field \"spec.zzz\"",
            "duplicate field \"spec.containers[0].name\"",
            "unknown field \"spec.containers[0].bad\"",
            "duplicate field \"spec.containers\"",
            "unknown field \"aaa\"",
            "duplicate field \"spec\"",
            "duplicate field \"metadata.labels.k\"",
            "duplicate field \"metadata.labels\"",
        ]
    );
}

#[test]
fn json_that_decodes_itself_is_not_searched() {
    let text = r#"{"data": {"a": 1, "a": 2}, "revision": 1}"#;
    let found = strict_errors(text.as_bytes(), Table::builtin(), node("apps", "ControllerRevision"));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn escaped_keys_are_the_keys_they_stand_for() {
    assert_eq!(strict("Pod", r#"{"sp\u0065c": {}, "spec": {}}"#), ["duplicate field \"spec\""]);
}

#[test]
fn duplicates_are_found_at_any_depth() {
    let text = br#"{"a": [{"b": 1, "b": 2}], "c": {"d": "\"}", "d": 1}, "c": 1}"#;
    assert_eq!(duplicates(text), ["duplicate field \"a[0].b\"", "duplicate field \"c.d\"", "duplicate field \"c\""]);
}

#[test]
fn texts_that_are_no_json_end_the_search() {
    for text in ["", "{", "{\"a", "{\"a\":", "[1,", "{\"a\":1,}", "nonsense", "{\"a\":\"\\", "]", "{]"] {
        assert_eq!(duplicates(text.as_bytes()), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn at_most_a_hundred_errors_are_told() {
    let fields: Vec<String> = (0..500).map(|index| format!("\"x{index}\": 1")).collect();
    assert_eq!(strict("Pod", &format!("{{{}}}", fields.join(","))).len(), 100);
}

#[test]
fn many_keys_are_compared_without_being_confused() {
    let mut keys: Vec<String> = (0..200).map(|index| format!("\"x{index}\": 1")).collect();
    keys.push("\"x5\": 1".to_owned());
    keys.push("\"x150\": 1".to_owned());
    let text = format!("{{{}}}", keys.join(","));
    assert_eq!(duplicates(text.as_bytes()), ["duplicate field \"x5\"", "duplicate field \"x150\""]);
}

#[test]
fn messages_name_the_kind_and_version_that_were_sent() {
    let strict = strict_decoding_error(&["unknown field \"a\"".to_owned(), "duplicate field \"b\"".to_owned()]);
    assert_eq!(
        decode_error("Deployment", "v1", "Deployment", &strict, b"{}"),
        "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"a\", \
         duplicate field \"b\""
    );
    assert_eq!(
        decode_error("", "", "Pod", "bad", b"{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        "the object provided is unrecognized (must be of type Pod): bad ({\"aaaaaaaaaaaaaaaaaaaaaaaaaaaa ...)"
    );
    assert_eq!(
        decode_error("", "", "Pod", "bad", b"ab"),
        "the object provided is unrecognized (must be of type Pod): bad (6162)"
    );
}
