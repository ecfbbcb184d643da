use std::sync::Arc;

use super::*;
use crate::core::resource::{Resource, Scope, Subresource, builtin};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/{namespace}/deployments";

fn custom_row() -> ResourceRef {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<String>>();
    Arc::new(Resource {
        group: "stable.example.com".to_owned(),
        version: "v1".to_owned(),
        kind: "CronTab".to_owned(),
        list_kind: "CronTabList".to_owned(),
        plural: "crontabs".to_owned(),
        singular: "crontab".to_owned(),
        short_names: vec![],
        categories: vec![],
        scope: Scope::Namespaced,
        verbs: words("create delete deletecollection get list patch update watch"),
        subresources: vec![Subresource { name: "status".to_owned(), kind: None, verbs: words("get patch update") }],
        selectable_fields: vec![".spec.color".to_owned()],
        storage: "crontabs.stable.example.com".to_owned(),
        custom: true,
    })
}

fn document(group: &str, version: &str) -> Value {
    document_v3(Table::builtin(), &builtin(), &[], group, version).unwrap()
}

/// The published schema of a custom kind with the schema.
fn published(schema: &Value, dialect: Dialect) -> Value {
    let row = custom_row();
    let customs = [CustomSchema { row: row.clone(), schema }];
    let name = "com.example.stable.v1.CronTab";
    match dialect {
        Dialect::V2 => document_v2(Table::builtin(), &[row], &customs, "v")["definitions"][name].clone(),
        Dialect::V3 => {
            let document = document_v3(Table::builtin(), &[row], &customs, "stable.example.com", "v1").unwrap();
            document["components"]["schemas"][name].clone()
        }
    }
}

/// A published schema without what every kind has.
fn own_part(schema: &Value, dialect: Dialect) -> Value {
    let mut found = published(schema, dialect);
    let map = found.as_object_mut().unwrap();
    map.remove("x-kubernetes-group-version-kind");
    map.remove("x-kubernetes-selectable-fields");
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.retain(|name, _| !["apiVersion", "kind", "metadata"].contains(&name.as_str()));
    }
    found
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn the_index_names_every_document_with_its_hash() {
    let documents = [(index_path("", "v1"), "AB".to_owned()), (index_path("apps", "v1"), "CD".to_owned())];
    assert_eq!(
        index(&documents),
        json!({"paths": {
            "api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=AB"},
            "apis/apps/v1": {"serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=CD"}}})
    );
}

#[test]
fn operations_are_named_as_upstream_names_them() {
    let id = |group: &str, path: &str, method: &str| {
        let document = document(group, "v1");
        document["paths"][path][method]["operationId"].as_str().unwrap_or_else(|| panic!("{path}")).to_owned()
    };
    let one = format!("{DEPLOYMENTS}/{{name}}");
    for (found, expect) in [
        (id("apps", "/apis/apps/v1/", "get"), "getAppsV1APIResources"),
        (id("apps", "/apis/apps/v1/deployments", "get"), "listAppsV1DeploymentForAllNamespaces"),
        (id("apps", DEPLOYMENTS, "get"), "listAppsV1NamespacedDeployment"),
        (id("apps", DEPLOYMENTS, "delete"), "deleteAppsV1CollectionNamespacedDeployment"),
        (id("apps", &one, "patch"), "patchAppsV1NamespacedDeployment"),
        (id("apps", &format!("{one}/scale"), "put"), "replaceAppsV1NamespacedDeploymentScale"),
        (id("", "/api/v1/namespaces/{name}/finalize", "put"), "replaceCoreV1NamespaceFinalize"),
        (id("", "/api/v1/namespaces/{namespace}/pods/{name}/exec", "post"), "connectCoreV1PostNamespacedPodExec"),
        (
            id("rbac.authorization.k8s.io", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "post"),
            "createRbacAuthorizationV1ClusterRole",
        ),
    ] {
        assert_eq!(found, expect);
    }
}

#[test]
fn a_patch_operation_tells_what_kubectl_looks_for() {
    let document = document("apps", "v1");
    let patch = &document["paths"][format!("{DEPLOYMENTS}/{{name}}")]["patch"];
    assert_eq!(patch["x-kubernetes-action"], "patch");
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    assert_eq!(names(&patch["parameters"]), ["dryRun", "fieldManager", "fieldValidation", "force"]);
    let types: Vec<&String> = patch["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert_eq!(types.len(), 4);
    assert_eq!(
        patch["responses"]["200"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/io.k8s.api.apps.v1.Deployment"
    );
}

#[test]
fn parameters_that_all_operations_share_stand_on_the_path() {
    let document = document("", "v1");
    let path = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/eviction"];
    assert_eq!(
        names(&path["parameters"]),
        ["dryRun", "fieldManager", "fieldValidation", "name", "namespace", "pretty"]
    );
    assert_eq!(path["post"].get("parameters"), None);
}

#[test]
fn schemas_carry_the_extensions_of_lists_maps_and_patches() {
    let document = document("", "v1");
    let schemas = &document["components"]["schemas"];
    let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
    assert_eq!(
        *ports,
        json!({"type": "array", "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.ContainerPort"},
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
            "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "containerPort"})
    );
    assert_eq!(schemas["io.k8s.api.core.v1.LocalObjectReference"]["x-kubernetes-map-type"], "atomic");
    let claim = &schemas["io.k8s.api.core.v1.PersistentVolumeSpec"]["properties"]["claimRef"];
    assert_eq!(claim["x-kubernetes-map-type"], "granular");
    let port = &schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"];
    assert_eq!(*port, json!({"type": "string", "default": "TCP", "enum": ["SCTP", "TCP", "UDP"]}));
    assert_eq!(schemas["io.k8s.api.core.v1.ContainerPort"]["required"], json!(["containerPort"]));
    assert_eq!(
        schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"],
        json!([{"group": "", "version": "v1", "kind": "Pod"}])
    );
}

fn check_references(value: &Value, prefix: &str, schemas: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(prefix)) {
                assert!(schemas.get(name).is_some(), "{name}");
            }
            map.values().for_each(|value| check_references(value, prefix, schemas));
        }
        Value::Array(list) => list.iter().for_each(|value| check_references(value, prefix, schemas)),
        _ => {}
    }
}

#[test]
fn every_reference_of_a_document_leads_somewhere() {
    for row in builtin() {
        let document = document(&row.group, &row.version);
        check_references(&document, "#/components/schemas/", &document["components"]["schemas"]);
    }
    let document = document_v2(Table::builtin(), &builtin(), &[], "v1.34.4");
    check_references(&document, "#/definitions/", &document["definitions"]);
    check_references(&document, "#/parameters/", &document["parameters"]);
}

#[test]
fn version_two_names_its_body_and_types_in_its_own_way() {
    let document = document_v2(Table::builtin(), &builtin(), &[], "v1.34.4");
    let post = &document["paths"][DEPLOYMENTS]["post"];
    assert_eq!(
        post["parameters"][0],
        json!({"in": "body", "name": "body", "required": true,
            "schema": {"$ref": "#/definitions/io.k8s.api.apps.v1.Deployment"}})
    );
    let int_or_string = &document["definitions"]["io.k8s.apimachinery.pkg.util.intstr.IntOrString"];
    assert_eq!(*int_or_string, json!({"type": "string", "format": "int-or-string"}));
    assert_eq!(document["swagger"], "2.0");
}

#[test]
fn a_group_version_that_is_not_served_has_no_document() {
    assert_eq!(document_v3(Table::builtin(), &builtin(), &[], "apps", "v2"), None);
}

#[test]
fn a_custom_kind_is_published_with_the_fields_of_every_resource() {
    let schema = json!({"type": "object", "description": "Foo CRD for Testing",
        "properties": {"spec": {"type": "object", "properties": {"bars": {"type": "array", "items": {
            "type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}}}}}});
    for dialect in [Dialect::V2, Dialect::V3] {
        assert_eq!(own_part(&schema, dialect), schema);
        let found = published(&schema, dialect);
        assert_eq!(
            found["x-kubernetes-group-version-kind"],
            json!([{"group": "stable.example.com", "version": "v1", "kind": "CronTab"}])
        );
        assert_eq!(found["x-kubernetes-selectable-fields"], json!([{"fieldPath": "spec.color"}]));
        assert_eq!(found["properties"]["apiVersion"]["type"], "string");
    }
    let found = published(&schema, Dialect::V3);
    assert_eq!(
        found["properties"]["metadata"]["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
}

#[test]
fn texts_that_the_official_suite_asks_of_explain_are_there() {
    let document = document("", "v1");
    let meta = &document["components"]["schemas"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"];
    let created = meta["properties"]["creationTimestamp"]["description"].as_str().unwrap();
    assert!(created.starts_with("CreationTimestamp is a timestamp"));
    let schema = json!({"type": "object"});
    let found = published(&schema, Dialect::V3);
    let text = |name: &str| found["properties"][name]["description"].as_str().unwrap().to_owned();
    assert!(text("apiVersion").starts_with("APIVersion defines"));
    assert!(text("metadata").starts_with("Standard object's metadata"));
}

#[test]
fn a_root_that_preserves_unknown_fields_is_an_empty_object_in_version_two() {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"spec": {"type": "object"}}});
    assert_eq!(own_part(&schema, Dialect::V2), json!({"type": "object"}));
    assert_eq!(own_part(&schema, Dialect::V3), schema);
    assert_eq!(own_part(&Value::Null, Dialect::V2), json!({"type": "object"}));
    assert_eq!(own_part(&Value::Null, Dialect::V3), json!({"type": "object"}));
}

#[test]
fn version_two_drops_what_it_cannot_say() {
    let part = |schema: Value| {
        let root = json!({"type": "object", "properties": {"a": schema}});
        own_part(&root, Dialect::V2)["properties"]["a"].clone()
    };
    for (schema, expect) in [
        (json!({"type": "string", "nullable": true}), json!({})),
        (json!({"type": "object", "nullable": true, "properties": {"b": {"type": "string"}}}), json!({})),
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"b": {"type": "string"}}}),
            json!({"x-kubernetes-preserve-unknown-fields": true}),
        ),
        (
            json!({"type": "object", "required": ["b", "c"], "properties": {
                "b": {"type": "string", "nullable": true}, "c": {"type": "string"}}}),
            json!({"type": "object", "required": ["c"], "properties": {"b": {}, "c": {"type": "string"}}}),
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
            json!({"x-kubernetes-int-or-string": true}),
        ),
        (
            json!({"type": "string", "enum": ["a"], "pattern": "a", "oneOf": [{"minLength": 1}], "maxLength": 3}),
            json!({"type": "string", "enum": ["a"], "pattern": "a", "maxLength": 3}),
        ),
    ] {
        assert_eq!(part(schema), expect);
    }
}

#[test]
fn version_three_spells_out_what_an_int_or_string_is() {
    let part = |schema: Value| {
        let root = json!({"type": "object", "properties": {"a": schema}});
        own_part(&root, Dialect::V3)["properties"]["a"].clone()
    };
    let choice = json!([{"type": "integer"}, {"type": "string"}]);
    assert_eq!(part(json!({"x-kubernetes-int-or-string": true}))["anyOf"], choice);
    let found = part(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"minimum": 1}]}));
    assert_eq!(found["allOf"], json!([{"anyOf": choice}]));
    assert_eq!(found["anyOf"], json!([{"minimum": 1}]));
}

#[test]
fn embedded_resources_require_their_type() {
    let root =
        json!({"type": "object", "properties": {"a": {"type": "object", "x-kubernetes-embedded-resource": true}}});
    let found = own_part(&root, Dialect::V3)["properties"]["a"].clone();
    assert_eq!(found["required"], json!(["kind", "apiVersion"]));
    assert!(found["properties"]["metadata"].is_object());
}

#[test]
fn custom_resources_have_paths_without_a_strategic_patch() {
    let schema = json!({"type": "object"});
    let row = custom_row();
    let customs = [CustomSchema { row: row.clone(), schema: &schema }];
    let document = document_v3(Table::builtin(), &[row], &customs, "stable.example.com", "v1").unwrap();
    let path = "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}";
    let patch = &document["paths"][path]["patch"];
    assert_eq!(patch["operationId"], "patchStableExampleComV1NamespacedCronTab");
    let types: Vec<&String> = patch["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert!(!types.iter().any(|name| name.contains("strategic")), "{types:?}");
    assert!(document["paths"][format!("{path}/status")]["put"].is_object());
    let list = &document["components"]["schemas"]["com.example.stable.v1.CronTabList"];
    assert_eq!(list["properties"]["items"]["items"]["$ref"], "#/components/schemas/com.example.stable.v1.CronTab");
    check_references(&document, "#/components/schemas/", &document["components"]["schemas"]);
}

#[test]
fn paths_above_group_versions_have_documents_of_their_own() {
    let rows = builtin();
    let paths = root_paths(&rows);
    for path in ["api", "apis", "apis/apps", "apis/rbac.authorization.k8s.io", "version", "openid/v1/jwks"] {
        assert!(paths.iter().any(|known| known == path), "{path} in {paths:?}");
    }
    for path in &paths {
        let document = document_of_root(&rows, path).unwrap();
        assert_eq!(document["paths"][format!("/{path}/")]["get"]["responses"]["401"]["description"], "Unauthorized");
        let text = document.to_string();
        for name in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document["components"]["schemas"][name].is_object(), "{name} of {path}");
        }
    }
    let operation = |path: &str| document_of_root(&rows, path).unwrap()["paths"][format!("/{path}/")]["get"].clone();
    let rbac = operation("apis/rbac.authorization.k8s.io");
    assert_eq!(
        (&rbac["operationId"], &rbac["tags"][0]),
        (&json!("getRbacAuthorizationAPIGroup"), &json!("rbacAuthorization"))
    );
    assert_eq!(document_of_root(&rows, "apis/none.example.com"), None);
    assert_eq!(
        document_of_root(&[custom_row()], "apis/stable.example.com"),
        None,
        "as upstream, which has none for them"
    );
}
