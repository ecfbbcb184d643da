//! The table of one version of a CustomResourceDefinition, made from its structural schema.
//!
//! `metadata` has the built-in shape at the root and in embedded resources, whatever the schema says of it.
//! The schema is taken as valid: what a definition may say is judged where definitions are validated.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::load::OBJECT_META;
use super::{Field, Gvk, ListType, MapType, Node, NodeId, Object, Scalar, Table};

/// Deeper schemas are cut off as free-form; the limit of nested JSON in requests is far below.
const MAX_DEPTH: usize = 512;

impl Table {
    /// The shape of one version of a custom kind from its `openAPIV3Schema`; null stands for no schema at all.
    pub fn from_crd(open_api_v3_schema: &Value, group: &str, version: &str, kind: &str) -> Table {
        let mut table = Table::default();
        let metadata = copy(Table::builtin(), OBJECT_META, &mut table);
        let mut builder = Builder { table, metadata };
        let mut root = match open_api_v3_schema {
            Value::Object(_) => builder.object(open_api_v3_schema, 0),
            _ => Object { preserve_unknown: true, ..Object::default() },
        };
        builder.add_resource_fields(&mut root);
        root.embedded_resource = true;
        root.map_type = MapType::Granular;
        let mut table = builder.table;
        let id = table.push(Node::Object(root));
        let gvk = Gvk { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() };
        table.kinds.insert(gvk, id);
        table
    }
}

struct Builder {
    table: Table,
    metadata: NodeId,
}

impl Builder {
    fn node(&mut self, schema: &Value, depth: usize) -> NodeId {
        if depth > MAX_DEPTH {
            return self.table.push(Node::Any);
        }
        let set = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
        if set("x-kubernetes-int-or-string") {
            return self.table.push(Node::Scalar(Scalar::IntOrString));
        }
        let node = match schema.get("type").and_then(Value::as_str) {
            Some("object") => self.object_or_map(schema, depth),
            Some("array") => {
                let items = match schema.get("items") {
                    Some(items) => self.node(items, depth + 1),
                    None => self.table.push(Node::Any),
                };
                Node::List { items, list_type: list_type(schema) }
            }
            Some("string") => Node::Scalar(Scalar::String),
            Some("integer") => Node::Scalar(Scalar::Integer),
            Some("number") => Node::Scalar(Scalar::Number),
            Some("boolean") => Node::Scalar(Scalar::Boolean),
            _ => Node::Any,
        };
        self.table.push(node)
    }

    fn object_or_map(&mut self, schema: &Value, depth: usize) -> Node {
        match schema.get("additionalProperties") {
            Some(Value::Object(values)) => {
                let values = self.node(&Value::Object(values.clone()), depth + 1);
                Node::Map { values, map_type: map_type(schema) }
            }
            Some(Value::Bool(true)) => {
                let values = self.table.push(Node::Any);
                Node::Map { values, map_type: map_type(schema) }
            }
            _ => Node::Object(self.object(schema, depth)),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Object {
        let set = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
        let mut object = Object {
            map_type: map_type(schema),
            preserve_unknown: set("x-kubernetes-preserve-unknown-fields"),
            embedded_resource: set("x-kubernetes-embedded-resource"),
            ..Object::default()
        };
        let required: BTreeSet<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let node = self.node(property, depth + 1);
            object.fields.insert(name.clone(), field(node, name, property, &required));
        }
        if object.embedded_resource {
            self.add_resource_fields(&mut object);
        }
        object
    }

    fn add_resource_fields(&mut self, object: &mut Object) {
        for name in ["apiVersion", "kind"] {
            let node = self.table.push(Node::Scalar(Scalar::String));
            let known = object.fields.remove(name).unwrap_or_default();
            object.fields.insert(name.to_owned(), Field { node, ..known });
        }
        let known = object.fields.remove("metadata").unwrap_or_default();
        object.fields.insert("metadata".to_owned(), Field { node: self.metadata, ..known });
    }
}

fn field(node: NodeId, name: &str, schema: &Value, required: &BTreeSet<&str>) -> Field {
    Field {
        node,
        required: required.contains(name),
        nullable: schema.get("nullable").and_then(Value::as_bool) == Some(true),
        default: schema.get("default").cloned(),
        ..Field::default()
    }
}

fn map_type(schema: &Value) -> MapType {
    match schema.get("x-kubernetes-map-type").and_then(Value::as_str) {
        Some("atomic") => MapType::Atomic,
        _ => MapType::Granular,
    }
}

fn list_type(schema: &Value) -> ListType {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListType::Set,
        Some("map") => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            ListType::Map(keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        _ => ListType::Atomic,
    }
}

/// Copies a definition with all that it refers to into another table.
fn copy(from: &Table, name: &str, to: &mut Table) -> NodeId {
    let mut copies = HashMap::new();
    match from.definition(name) {
        Some(id) => copy_node(from, id, to, &mut copies),
        None => to.push(Node::Any),
    }
}

fn copy_node(from: &Table, id: NodeId, to: &mut Table, copies: &mut HashMap<NodeId, NodeId>) -> NodeId {
    if let Some(copy) = copies.get(&id) {
        return *copy;
    }
    let target = to.push(Node::Any);
    copies.insert(id, target);
    let node = match from.node(id) {
        Node::Object(object) => {
            let mut fields = BTreeMap::new();
            for (name, field) in &object.fields {
                let node = copy_node(from, field.node, to, copies);
                fields.insert(name.clone(), Field { node, ..field.clone() });
            }
            let inline = object.inline.iter().map(|(number, id)| (*number, copy_node(from, *id, to, copies))).collect();
            Node::Object(Object { fields, inline, ..object.clone() })
        }
        Node::Map { values, map_type } => {
            Node::Map { values: copy_node(from, *values, to, copies), map_type: *map_type }
        }
        Node::List { items, list_type } => {
            Node::List { items: copy_node(from, *items, to, copies), list_type: list_type.clone() }
        }
        Node::Scalar(scalar) => Node::Scalar(*scalar),
        Node::Any => Node::Any,
    };
    if let Some(slot) = to.nodes.get_mut(target.0 as usize) {
        *slot = node;
    }
    target
}
