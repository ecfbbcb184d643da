//! Schemas of definitions: those of the table, rendered, and those of custom resources, looked up.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::{CustomSchema, Dialect, custom, describe};
use crate::core::schema::{Field, Gvk, ListType, MapType, Node, NodeId, Object, Scalar, Table};

/// All definitions that a document may refer to.
pub(super) struct Definitions<'a> {
    table: &'a Table,
    pub(super) dialect: Dialect,
    names: HashMap<NodeId, &'a str>,
    kinds: HashMap<NodeId, Vec<&'a Gvk>>,
    /// Definitions of custom kinds by their name.
    custom: BTreeMap<String, Value>,
    /// The definition's name of each custom kind.
    custom_kinds: HashMap<Gvk, String>,
}

impl<'a> Definitions<'a> {
    pub(super) fn new(table: &'a Table, customs: &[CustomSchema<'_>], dialect: Dialect) -> Self {
        let names = table.definitions.iter().map(|(name, id)| (*id, name.as_str())).collect();
        let mut kinds: HashMap<NodeId, Vec<&Gvk>> = HashMap::new();
        for (gvk, id) in &table.kinds {
            kinds.entry(*id).or_default().push(gvk);
        }
        for list in kinds.values_mut() {
            list.sort();
        }
        let mut definitions =
            Self { table, dialect, names, kinds, custom: BTreeMap::new(), custom_kinds: HashMap::new() };
        for one in customs {
            let row = &one.row;
            for (kind, schema) in [
                (&row.kind, custom::kind_schema(row, one.schema, dialect)),
                (&row.list_kind, custom::list_schema(row, dialect)),
            ] {
                let name = custom::definition_name(&row.group, &row.version, kind);
                let gvk = Gvk { group: row.group.clone(), version: row.version.clone(), kind: kind.clone() };
                definitions.custom_kinds.insert(gvk, name.clone());
                definitions.custom.insert(name, schema);
            }
        }
        definitions
    }

    /// The name of a kind's definition.
    pub(super) fn name_of(&self, group: &str, version: &str, kind: &str) -> Option<String> {
        if let Some(id) = self.table.kind(group, version, kind) {
            return self.names.get(&id).map(|name| (*name).to_owned());
        }
        let gvk = Gvk { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() };
        self.custom_kinds.get(&gvk).cloned()
    }

    /// Every definition that `from` refers to, directly or through others, and those named in `more`.
    pub(super) fn referred(&self, from: &Value, more: &[String]) -> Map<String, Value> {
        let mut found = Map::new();
        let mut open: BTreeSet<String> = more.iter().cloned().collect();
        self.references(from, &mut open);
        while let Some(name) = open.pop_first() {
            if found.contains_key(&name) {
                continue;
            }
            let Some(schema) = self.schema(&name) else { continue };
            self.references(&schema, &mut open);
            found.insert(name, schema);
        }
        found
    }

    fn references(&self, value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value.as_str().and_then(|text| text.strip_prefix(self.dialect.prefix())) {
                        Some(name) if key == "$ref" => {
                            into.insert(name.to_owned());
                        }
                        _ => self.references(value, into),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| self.references(value, into)),
            _ => {}
        }
    }

    /// The schema of a definition.
    fn schema(&self, name: &str) -> Option<Value> {
        if let Some(schema) = self.custom.get(name) {
            return Some(schema.clone());
        }
        let id = self.table.definition(name)?;
        let mut schema = match self.table.node(id) {
            Node::Object(object) => self.object(name, object),
            Node::Scalar(scalar) => self.named_scalar(*scalar),
            _ if name.contains(".JSON") => json!({}),
            _ => json!({"type": "object"}),
        };
        if let Some(kinds) = self.kinds.get(&id) {
            let kinds: Vec<Value> = kinds.iter().map(|gvk| kind_value(gvk)).collect();
            schema["x-kubernetes-group-version-kind"] = Value::Array(kinds);
        }
        Some(schema)
    }

    fn object(&self, name: &str, object: &Object) -> Value {
        let mut schema = Map::from_iter([("type".to_owned(), json!("object"))]);
        if let Some(text) = describe::definition(name) {
            schema.insert("description".to_owned(), json!(text));
        }
        if object.map_type == MapType::Atomic {
            schema.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        }
        let required: Vec<&String> =
            object.fields.iter().filter(|(_, field)| field.required).map(|(name, _)| name).collect();
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        let mut properties = Map::new();
        for (field_name, field) in &object.fields {
            properties.insert(field_name.clone(), self.field(name, field_name, field));
        }
        if !properties.is_empty() {
            schema.insert("properties".to_owned(), Value::Object(properties));
        }
        Value::Object(schema)
    }

    fn field(&self, definition: &str, name: &str, field: &Field) -> Value {
        let mut schema = self.node(field.node, field.proto_type.as_deref());
        add_enum(&mut schema, &field.enum_values);
        let mut more = Map::new();
        if let Some(text) = describe::field(definition, name) {
            more.insert("description".to_owned(), json!(text));
        }
        if let (Some(default), Dialect::V3) = (&field.default, self.dialect) {
            more.insert("default".to_owned(), default.clone());
        }
        let patch = field.patch;
        let strategies: Vec<&str> =
            [(patch.merge, "merge"), (patch.replace, "replace"), (patch.retain_keys, "retainKeys")]
                .into_iter()
                .filter_map(|(set, name)| set.then_some(name))
                .collect();
        if !strategies.is_empty() {
            more.insert("x-kubernetes-patch-strategy".to_owned(), json!(strategies.join(",")));
        }
        if let Some(key) = &field.patch_merge_key {
            more.insert("x-kubernetes-patch-merge-key".to_owned(), json!(key));
        }
        if let Node::Object(object) = self.table.node(field.node)
            && !self.names.contains_key(&field.node)
        {
            more.insert("x-kubernetes-map-type".to_owned(), json!(map_type_name(object.map_type)));
        }
        // Beside a reference nothing else may stand in version 3.
        if self.dialect == Dialect::V3 && schema.get("$ref").is_some() && !more.is_empty() {
            schema = json!({"allOf": [schema]});
        }
        if let Value::Object(schema) = &mut schema {
            schema.append(&mut more);
        }
        schema
    }

    /// A type expression: a reference where the node has a name.
    fn node(&self, id: NodeId, proto_type: Option<&str>) -> Value {
        if let Some(name) = self.names.get(&id) {
            return self.dialect.reference(name);
        }
        match self.table.node(id) {
            Node::Object(object) => match &object.name {
                Some(name) => self.dialect.reference(name),
                None => json!({"type": "object"}),
            },
            Node::Map { values, map_type } => {
                let mut schema = json!({"type": "object", "additionalProperties": self.node(*values, proto_type)});
                if *map_type == MapType::Atomic {
                    schema["x-kubernetes-map-type"] = json!("atomic");
                }
                schema
            }
            Node::List { items, list_type } => {
                let mut schema = json!({"type": "array", "items": self.node(*items, proto_type)});
                schema["x-kubernetes-list-type"] = match list_type {
                    ListType::Atomic => json!("atomic"),
                    ListType::Set => json!("set"),
                    ListType::Map(keys) => {
                        schema["x-kubernetes-list-map-keys"] = json!(keys);
                        json!("map")
                    }
                };
                schema
            }
            Node::Scalar(scalar) => match scalar {
                Scalar::Integer => json!({"type": "integer", "format": proto_type.unwrap_or("int64")}),
                Scalar::Number => json!({"type": "number", "format": "double"}),
                Scalar::Boolean => json!({"type": "boolean"}),
                Scalar::Bytes => json!({"type": "string", "format": "byte"}),
                _ => json!({"type": "string"}),
            },
            Node::Any => json!({}),
        }
    }

    fn named_scalar(&self, scalar: Scalar) -> Value {
        match (scalar, self.dialect) {
            (Scalar::Quantity, Dialect::V3) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            (Scalar::IntOrString, Dialect::V3) => {
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
            }
            (Scalar::IntOrString, Dialect::V2) => json!({"type": "string", "format": "int-or-string"}),
            (Scalar::Time | Scalar::MicroTime, _) => json!({"type": "string", "format": "date-time"}),
            _ => json!({"type": "string"}),
        }
    }
}

/// Adds the values of an enumeration to the strings that a type expression ends in.
fn add_enum(schema: &mut Value, values: &[String]) {
    if values.is_empty() {
        return;
    }
    for below in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(below) {
            return add_enum(inner, values);
        }
    }
    schema["enum"] = json!(values);
}

fn map_type_name(map_type: MapType) -> &'static str {
    match map_type {
        MapType::Granular => "granular",
        MapType::Atomic => "atomic",
    }
}

/// `{group, version, kind}` as extensions carry it.
pub(super) fn kind_value(gvk: &Gvk) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}
