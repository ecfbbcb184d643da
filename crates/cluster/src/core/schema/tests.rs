use serde_json::json;

use super::*;

fn field<'a>(table: &'a Table, id: NodeId, path: &str) -> &'a Field {
    let mut id = id;
    let mut found = None;
    for name in path.split('.') {
        while let Node::List { items: inner, .. } | Node::Map { values: inner, .. } = table.node(id) {
            id = *inner;
        }
        let field = &table.object(id).unwrap().fields[name];
        id = field.node;
        found = Some(field);
    }
    found.unwrap()
}

fn builtin(group: &str, version: &str, kind: &str, path: &str) -> &'static Field {
    let table = Table::builtin();
    field(table, table.kind(group, version, kind).unwrap(), path)
}

#[test]
fn every_line_of_the_schema_text_is_understood() {
    let (table, faults) = load::parse(include_str!("../../../data/schema.txt"));
    assert_eq!(faults, Vec::<String>::new());
    assert!(table.definitions.len() > 450, "{}", table.definitions.len());
}

#[test]
fn every_definition_that_is_named_is_there() {
    let table = Table::builtin();
    for (name, id) in &table.definitions {
        let special = ["FieldsV1", "RawExtension", "Patch", "JSON"];
        let free = special.iter().any(|end| name.ends_with(end)) || name.contains("JSONSchemaPropsOr");
        assert_eq!(matches!(table.node(*id), Node::Any), free, "{name}");
    }
}

#[test]
fn every_served_kind_has_a_shape() {
    for row in crate::core::resource::builtin() {
        assert!(Table::builtin().kind(&row.group, &row.version, &row.kind).is_some(), "{}", row.kind);
        if row.stored() {
            assert!(Table::builtin().kind(&row.group, &row.version, &row.list_kind).is_some(), "{}", row.list_kind);
        }
        for (group, version, kind) in row.subresources.iter().filter_map(|one| one.kind.as_ref()) {
            if !kind.ends_with("Options") {
                assert!(Table::builtin().kind(group, version, kind).is_some(), "{kind}");
            }
        }
    }
}

#[test]
fn container_ports_are_keyed_by_port_and_protocol() {
    let ports = builtin("", "v1", "Pod", "spec.containers.ports");
    let Node::List { list_type, items } = Table::builtin().node(ports.node) else { panic!("no list") };
    assert_eq!(*list_type, ListType::Map(vec!["containerPort".to_owned(), "protocol".to_owned()]));
    assert_eq!(ports.patch_merge_key.as_deref(), Some("containerPort"));
    assert!(ports.patch.merge);
    assert_eq!(field(Table::builtin(), *items, "protocol").default, Some(json!("TCP")));
}

#[test]
fn volumes_merge_by_name_and_retain_keys() {
    let volumes = builtin("apps", "v1", "Deployment", "spec.template.spec.volumes");
    assert_eq!(volumes.patch, PatchStrategy { merge: true, replace: false, retain_keys: true });
    assert_eq!(volumes.patch_merge_key.as_deref(), Some("name"));
    assert_eq!(volumes.proto_number, 1);
}

#[test]
fn go_tags_tell_what_is_written_for_zero_values() {
    let presence = |path| builtin("apps", "v1", "Deployment", path).presence;
    assert_eq!(presence("spec.replicas"), Presence::Explicit);
    assert_eq!(presence("spec.paused"), Presence::OmitEmpty);
    assert_eq!(presence("spec.strategy"), Presence::Always);
    assert_eq!(presence("spec.template.spec.containers"), Presence::AlwaysNull);
    assert_eq!(presence("metadata.creationTimestamp"), Presence::OmitEmpty);
    assert_eq!(builtin("", "v1", "Pod", "status.conditions.lastProbeTime").presence, Presence::AlwaysNull);
    assert_eq!(builtin("", "v1", "Pod", "spec.restartPolicy").go_type.as_deref(), Some("v1.RestartPolicy"));
}

#[test]
fn inlined_messages_keep_their_number() {
    let volume = Table::builtin().definition("io.k8s.api.core.v1.Volume").unwrap();
    let object = Table::builtin().object(volume).unwrap();
    assert_eq!(object.fields["emptyDir"].proto_number, 0);
    let (number, source) = object.inline[0];
    assert_eq!(number, 2);
    assert_eq!(Table::builtin().object(source).unwrap().fields["emptyDir"].proto_number, 2);
    assert!(Table::builtin().definition("io.k8s.api.core.v1.VolumeSource").is_none());
}

#[test]
fn a_field_may_override_the_map_type_of_its_definition() {
    let map_type = |field: &Field| Table::builtin().object(field.node).unwrap().map_type;
    assert_eq!(map_type(builtin("", "v1", "PersistentVolume", "spec.claimRef")), MapType::Granular);
    assert_eq!(map_type(builtin("", "v1", "Event", "involvedObject")), MapType::Atomic);
}

#[test]
fn delete_options_are_a_kind_of_every_group() {
    let table = Table::builtin();
    assert_eq!(table.kind("apps", "v1", "DeleteOptions"), table.kind("", "v1", "DeleteOptions"));
    assert!(table.kind("", "v1", "DeleteOptions").is_some());
}

#[test]
fn a_structural_schema_becomes_a_table() {
    let schema = json!({
        "type": "object",
        "properties": {
            "metadata": {"type": "object"},
            "spec": {"type": "object", "required": ["size"], "properties": {
                "size": {"x-kubernetes-int-or-string": true, "default": 3},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "anything": {"x-kubernetes-preserve-unknown-fields": true},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic"},
                "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"],
                    "items": {"type": "object", "properties": {"port": {"type": "integer", "nullable": true}}}},
                "template": {"type": "object", "x-kubernetes-embedded-resource": true,
                    "x-kubernetes-preserve-unknown-fields": true}
            }}
        }
    });
    let table = Table::from_crd(&schema, "example.com", "v1", "Thing");
    let root = table.kind("example.com", "v1", "Thing").unwrap();
    let at = |path: &str| field(&table, root, path);
    assert!(matches!(table.node(at("spec.size").node), Node::Scalar(Scalar::IntOrString)));
    assert!(at("spec.size").required);
    assert_eq!(at("spec.size").default, Some(json!(3)));
    assert!(table.object(at("spec.free").node).unwrap().preserve_unknown);
    assert!(matches!(table.node(at("spec.anything").node), Node::Any));
    assert!(matches!(table.node(at("spec.labels").node), Node::Map { map_type: MapType::Atomic, .. }));
    assert!(at("spec.ports.port").nullable);
    assert!(table.object(at("spec.template").node).unwrap().embedded_resource);
    assert!(table.object(at("spec.template.metadata").node).unwrap().fields.contains_key("ownerReferences"));
    assert!(table.object(at("metadata").node).unwrap().fields.contains_key("managedFields"));
    assert!(matches!(table.node(at("apiVersion").node), Node::Scalar(Scalar::String)));
}

#[test]
fn a_definition_without_schema_keeps_everything_below_its_metadata() {
    let table = Table::from_crd(&Value::Null, "example.com", "v1", "Thing");
    let root = table.object(table.kind("example.com", "v1", "Thing").unwrap()).unwrap();
    assert!(root.preserve_unknown);
    assert_eq!(root.fields.len(), 3);
}
