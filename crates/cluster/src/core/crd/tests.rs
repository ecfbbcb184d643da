//! Definitions and their objects, by what an API server answers.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::compiled::{CompiledVersion, Error};
use super::definition;
use super::rows::rows;
use super::status::{self, NamesInUse, Termination};
use crate::core::field::ErrorList;

fn crd_with(schema: Value) -> Value {
    let mut crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "gadgets", "kind": "Gadget", "shortNames": ["gd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    });
    definition::default(&mut crd);
    definition::prepare_create(&mut crd);
    crd
}

fn gadgets() -> Value {
    crd_with(json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "x-kubernetes-validations": [
                    {"rule": "self.a < self.b", "message": "a below b"},
                    {"rule": "self.a == oldSelf.a"},
                ],
                "properties": {
                    "a": {"type": "integer", "default": 1, "minimum": 1},
                    "b": {"type": "integer"},
                    "replicas": {"type": "integer"},
                    "e": {"type": "string", "enum": ["x", "y"]},
                    "when": {"type": "string", "format": "date-time"},
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                },
            },
            "status": {
                "type": "object",
                "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}},
            },
        },
    }))
}

fn gadget(spec: Value) -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Gadget",
        "metadata": {"name": "one", "namespace": "default"},
        "spec": spec,
    })
}

fn compiled() -> CompiledVersion {
    CompiledVersion::compile(&gadgets(), "v1").unwrap()
}

fn texts(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn faults_of(schema: Value) -> Vec<String> {
    texts(&definition::validate(&crd_with(schema)))
}

#[test]
fn a_definition_gets_its_singular_list_kind_and_conversion() {
    let crd = gadgets();
    assert_eq!(crd["spec"]["names"]["singular"], "gadget");
    assert_eq!(crd["spec"]["names"]["listKind"], "GadgetList");
    assert_eq!(crd["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(crd["metadata"]["generation"], 1);
    assert_eq!(texts(&definition::validate(&crd)), Vec::<String>::new());
}

#[test]
fn a_definition_is_named_by_its_plural_and_group() {
    let mut crd = gadgets();
    crd["metadata"]["name"] = json!("widgets.example.com");
    let found = texts(&definition::validate(&crd));
    assert_eq!(
        found,
        [r#"metadata.name: Invalid value: "widgets.example.com": must be spec.names.plural+"."+spec.group"#]
    );
}

#[test]
fn one_version_is_stored() {
    let mut crd = gadgets();
    crd["spec"]["versions"][0]["storage"] = json!(false);
    let found = texts(&definition::validate(&crd));
    assert!(
        found.iter().any(|text| text.contains("must have exactly one version marked as storage version")),
        "{found:?}"
    );
}

#[test]
fn a_schema_is_structural() {
    let found = faults_of(json!({"type": "object", "properties": {"spec": {"properties": {"a": {"type": "string"}}}}}));
    assert_eq!(
        found,
        [
            "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields"
        ]
    );
    let found = faults_of(json!({"type": "object", "anyOf": [{"properties": {"a": {"type": "string"}}}]}));
    assert!(
        found
            .iter()
            .any(|text| text.contains("anyOf[0].properties[a].type: Forbidden: must be empty to be structural"))
    );
}

#[test]
fn a_default_satisfies_its_own_schema() {
    let found = faults_of(json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}));
    assert_eq!(
        found,
        [
            r#"spec.validation.openAPIV3Schema.properties[a].default: Invalid value: "string":  in body must be of type integer: "string""#
        ]
    );
}

#[test]
fn a_rule_that_does_not_compile_refuses_the_definition() {
    let found = faults_of(json!({
        "type": "object",
        "x-kubernetes-validations": [{"rule": "self.nope == 1"}],
    }));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("compilation failed: ERROR: <input>:1:5: undefined field 'nope'"), "{found:?}");
}

#[test]
fn a_rule_over_unbounded_lists_is_too_expensive() {
    let list =
        json!({"type": "array", "items": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}});
    let found = faults_of(json!({
        "type": "object",
        "properties": {"l": list},
        "x-kubernetes-validations": [{"rule": "self.l.all(x, x.all(y, y.all(z, z.contains('kitten'))))"}],
    }));
    assert!(found[0].contains("estimated rule cost exceeds budget by factor of more than 100x"), "{found:?}");
    assert!(found[1].contains("contributed to estimated rule cost total exceeding cost limit"), "{found:?}");
}

#[test]
fn scope_and_group_of_a_definition_stay() {
    let mut old = gadgets();
    old["status"] = json!({"conditions": [{"type": "Established", "status": "True"}], "storedVersions": ["v1"]});
    let mut new = old.clone();
    new["spec"]["scope"] = json!("Cluster");
    let found = texts(&definition::validate_update(&new, &old));
    assert_eq!(found, [r#"spec.scope: Invalid value: "Cluster": field is immutable"#]);
}

#[test]
fn a_stored_version_stays_in_the_spec() {
    let mut old = gadgets();
    old["status"] = json!({"storedVersions": ["v0", "v1"]});
    let found = texts(&definition::validate_update(&old, &old));
    assert!(
        found.contains(&r#"status.storedVersions[0]: Invalid value: "v0": missing from spec.versions; v0 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes v0 from status.storedVersions"#.to_owned()),
        "{found:?}"
    );
}

#[test]
fn free_names_are_accepted_and_established() {
    let status = status::conditions(&gadgets(), &NamesInUse::default(), now());
    assert_eq!(
        status,
        json!({
            "acceptedNames": {
                "kind": "Gadget", "listKind": "GadgetList", "plural": "gadgets", "shortNames": ["gd"],
                "singular": "gadget",
            },
            "conditions": [
                {
                    "lastTransitionTime": "2026-01-02T03:04:05Z", "message": "no conflicts found",
                    "reason": "NoConflicts", "status": "True", "type": "NamesAccepted",
                },
                {
                    "lastTransitionTime": "2026-01-02T03:04:05Z",
                    "message": "the initial names have been accepted", "reason": "InitialNamesAccepted",
                    "status": "True", "type": "Established",
                },
            ],
            "storedVersions": ["v1"],
        })
    );
}

#[test]
fn a_name_in_use_is_not_accepted() {
    let mut other = gadgets();
    other["metadata"]["name"] = json!("things.example.com");
    other["spec"]["names"] = json!({"plural": "things", "kind": "Thing", "shortNames": ["gd"]});
    definition::default(&mut other);
    other["status"] = status::conditions(&other, &NamesInUse::default(), now());
    let used = NamesInUse::of([&other], "example.com", "gadgets.example.com");
    let status = status::conditions(&gadgets(), &used, now());
    assert_eq!(status["conditions"][0]["type"], "NamesAccepted");
    assert_eq!(status["conditions"][0]["status"], "False");
    assert_eq!(status["conditions"][0]["reason"], "ShortNamesConflict");
    assert_eq!(status["conditions"][0]["message"], r#""gd" is already in use"#);
    assert_eq!(status["conditions"][1]["status"], "False");
}

#[test]
fn a_protected_group_needs_an_approval() {
    let mut crd = gadgets();
    crd["spec"]["group"] = json!("example.k8s.io");
    crd["metadata"]["name"] = json!("gadgets.example.k8s.io");
    let found = texts(&definition::validate(&crd));
    assert!(found.iter().any(|text| text.contains("api-approved.kubernetes.io")), "{found:?}");
}

#[test]
fn a_deleted_definition_is_terminating() {
    let mut crd = gadgets();
    crd["status"] = status::conditions(&crd, &NamesInUse::default(), now());
    let status = status::terminating(&crd, Termination::InProgress, now());
    let last = status["conditions"].as_array().unwrap().last().unwrap();
    assert_eq!(last["type"], "Terminating");
    assert_eq!(last["reason"], "InstanceDeletionInProgress");
    assert_eq!(last["message"], "CustomResource deletion is in progress");
}

#[test]
fn an_established_definition_has_a_row_for_each_served_version() {
    let mut crd = gadgets();
    assert!(rows(&crd).is_empty());
    crd["status"] = status::conditions(&crd, &NamesInUse::default(), now());
    let found = rows(&crd);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].plural.as_str(), found[0].kind.as_str(), found[0].version.as_str()),
        ("gadgets", "Gadget", "v1")
    );
    let names: Vec<&str> = found[0].subresources.iter().map(|subresource| subresource.name.as_str()).collect();
    assert_eq!(names, ["status", "scale"]);
    assert!(found[0].custom);
}

#[test]
fn unknown_fields_are_pruned_and_told() {
    let mut object = gadget(json!({"b": 5, "nope": 1, "when": null}));
    let unknown = compiled().prune(&mut object).unwrap();
    assert_eq!(unknown, ["spec.nope"]);
    assert_eq!(object["spec"], json!({"b": 5}));
}

#[test]
fn defaults_are_filled_in() {
    let mut object = gadget(json!({"b": 5}));
    compiled().default(&mut object);
    assert_eq!(object["spec"], json!({"a": 1, "b": 5}));
    let mut empty = gadget(json!({}));
    empty.as_object_mut().unwrap().remove("spec");
    compiled().default(&mut empty);
    assert!(empty.get("spec").is_none());
}

#[test]
fn faults_are_worded_as_upstream_words_them() {
    let compiled = compiled();
    let found = |spec: Value| texts(&compiled.validate(&gadget(spec), None));
    assert_eq!(
        found(json!({"a": "s", "b": 5})),
        [
            r#"spec.a: Invalid value: "string": spec.a in body must be of type integer: "string""#,
            "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
             correct the existing errors to complete validation",
        ]
    );
    assert_eq!(found(json!({"a": 5, "b": 2})), [r#"spec: Invalid value: "object": a below b"#]);
    assert_eq!(
        found(json!({"a": 0, "b": 2})),
        ["spec.a: Invalid value: 0: spec.a in body should be greater than or equal to 1"]
    );
    assert_eq!(
        found(json!({"a": 1, "b": 2, "e": "z"}))[0],
        r#"spec.e: Unsupported value: "z": supported values: "x", "y""#
    );
    assert_eq!(
        found(json!({"a": 1, "b": 2, "when": "now"}))[0],
        r#"spec.when: Invalid value: "now": spec.when in body must be of type date-time: "now""#
    );
    assert_eq!(found(json!({"a": 1, "b": 2, "tags": ["t", "t"]})), [r#"spec.tags[1]: Duplicate value: "t""#]);
}

#[test]
fn a_transition_rule_holds_only_updates() {
    let compiled = compiled();
    let old = gadget(json!({"a": 1, "b": 5}));
    let new = gadget(json!({"a": 3, "b": 5}));
    assert_eq!(texts(&compiled.validate(&new, None)), Vec::<String>::new());
    assert_eq!(
        texts(&compiled.validate(&new, Some(&old))),
        [r#"spec: Invalid value: "object": failed rule: self.a == oldSelf.a"#]
    );
}

#[test]
fn what_was_invalid_before_and_is_unchanged_is_tolerated() {
    let compiled = compiled();
    let old = gadget(json!({"a": 1, "b": 5, "e": "z"}));
    let mut new = old.clone();
    new["spec"]["b"] = json!(6);
    assert_eq!(texts(&compiled.validate(&new, Some(&old))), Vec::<String>::new());
    new["spec"]["e"] = json!("w");
    assert_eq!(
        texts(&compiled.validate(&new, Some(&old)))[0],
        r#"spec.e: Unsupported value: "w": supported values: "x", "y""#
    );
}

#[test]
fn the_status_is_written_alone() {
    let compiled = compiled();
    let mut old = gadget(json!({"a": 1, "b": 5}));
    old["metadata"]["generation"] = json!(4);
    let mut new = gadget(json!({"a": 1, "b": 6}));
    new["status"] = json!({"replicas": 3});
    let mut status = new.clone();
    compiled.prepare_status_update(&mut status, &old);
    assert_eq!((&status["spec"], &status["status"]), (&old["spec"], &new["status"]));
    compiled.prepare_update(&mut new, &old);
    assert_eq!((new.get("status"), &new["metadata"]["generation"]), (None, &json!(5)));
}

#[test]
fn a_custom_resource_is_scaled_by_its_paths() {
    let compiled = compiled();
    let scale = compiled.scale.as_ref().unwrap();
    let mut object = gadget(json!({"a": 1, "b": 5, "replicas": 2}));
    object["status"] = json!({"replicas": 1, "selector": "app=x"});
    let found = scale.to_scale(&object).unwrap();
    assert_eq!(
        (&found["spec"], &found["status"]),
        (&json!({"replicas": 2}), &json!({"replicas": 1, "selector": "app=x"}))
    );
    scale.apply_scale(&mut object, &json!({"spec": {"replicas": 7}})).unwrap();
    assert_eq!(object["spec"]["replicas"], 7);
}

#[test]
fn versions_convert_by_their_name() {
    let mut crd = gadgets();
    let mut second = crd["spec"]["versions"][0].clone();
    second["name"] = json!("v2");
    second["storage"] = json!(false);
    crd["spec"]["versions"].as_array_mut().unwrap().push(second);
    let mut object = gadget(json!({"a": 1, "b": 5}));
    CompiledVersion::compile(&crd, "v2").unwrap().convert(&mut object).unwrap();
    assert_eq!(object["apiVersion"], "example.com/v2");
    crd["spec"]["conversion"] = json!({"strategy": "Webhook"});
    let refused = CompiledVersion::compile(&crd, "v1").unwrap().convert(&mut object);
    assert!(matches!(refused, Err(Error::WebhookConversion { .. })));
}

#[test]
fn a_deprecated_version_names_its_successor() {
    let mut crd = gadgets();
    let mut second = crd["spec"]["versions"][0].clone();
    second["name"] = json!("v2");
    crd["spec"]["versions"][0]["deprecated"] = json!(true);
    crd["spec"]["versions"].as_array_mut().unwrap().push(second);
    assert_eq!(
        CompiledVersion::compile(&crd, "v1").unwrap().deprecation_warning.as_deref(),
        Some("example.com/v1 Gadget is deprecated; use example.com/v2 Gadget")
    );
    assert_eq!(CompiledVersion::compile(&crd, "v2").unwrap().deprecation_warning, None);
}

#[test]
fn a_stored_object_is_read_with_the_defaults_of_today() {
    let mut object = gadget(json!({"b": 5, "gone": true}));
    compiled().read(&mut object).unwrap();
    assert_eq!(object["spec"], json!({"a": 1, "b": 5}));
    assert_eq!(object["metadata"]["generation"], 1);
}
