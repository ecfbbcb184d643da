//! Decoding as Go does: one pass that checks types, drops what is unknown or zero and writes what Go always writes.

use serde_json::{Map, Value};

use super::scalar;
use crate::core::schema::{Field, Node, NodeId, Object, Presence, Scalar, Table};

const INTEGER: Node = Node::Scalar(Scalar::Integer);
const SCHEMA_PROPS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// Brings a value of a built-in kind into the form in which an upstream server would write it again.
///
/// # Errors
/// The text of the error that Go's decoder gives, such as
/// `json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`.
/// The value then lacks what could not be decoded.
pub fn decode(table: &Table, node: NodeId, value: &mut Value) -> Result<(), String> {
    let mut decoder = Decoder { table, path: Vec::new(), fault: None, abort: None };
    decoder.value(node, value, Place::Root);
    match decoder.abort.or(decoder.fault) {
        None => Ok(()),
        Some(fault) => Err(fault),
    }
}

/// As [`decode`], for a value whose types are known to be right.
pub fn normalize(table: &Table, node: NodeId, value: &mut Value) {
    // A value of a wrong type is left out, as Go leaves the field at its zero.
    let _ = decode(table, node, value);
}

/// Only the type check of [`decode`].
///
/// # Errors
/// The text of the error that Go's decoder gives.
pub fn check_types(table: &Table, node: NodeId, value: &Value) -> Result<(), String> {
    decode(table, node, &mut value.clone())
}

/// What the Go type of a value is called, found out only when an error wants to tell.
#[derive(Clone, Copy)]
enum Place<'a> {
    Root,
    /// The value of a field, or of an item so many lists and maps below it.
    Field {
        field: &'a Field,
        depth: usize,
    },
}

impl<'a> Place<'a> {
    fn item(self) -> Self {
        match self {
            Self::Root => Self::Root,
            Self::Field { field, depth } => Self::Field { field, depth: depth + 1 },
        }
    }

    fn field(self) -> Option<&'a Field> {
        match self {
            Self::Root => None,
            Self::Field { field, .. } => Some(field),
        }
    }
}

struct Decoder<'a> {
    table: &'a Table,
    /// Structs and the fields that were entered: the definition's name and the field's.
    path: Vec<(&'a Object, &'a str)>,
    /// The first wrong type; decoding goes on after it.
    fault: Option<String>,
    /// The first error of a type that decodes itself; Go stops there.
    abort: Option<String>,
}

impl<'a> Decoder<'a> {
    fn value(&mut self, node: NodeId, value: &mut Value, place: Place<'a>) {
        let table = self.table;
        match table.node(node) {
            Node::Any => self.free_form(value, place),
            Node::Scalar(scalar) => self.scalar(*scalar, node, value, place),
            Node::Object(object) => match value {
                Value::Object(map) => self.object(object, map),
                Value::Null => {
                    *value = Value::Object(Map::new());
                    self.value(node, value, place);
                }
                _ => self.mismatch(node, value, place),
            },
            Node::List { items, .. } => match value {
                Value::Array(list) => {
                    for item in list {
                        self.value(*items, item, place.item());
                    }
                }
                Value::Null => {}
                _ => self.mismatch(node, value, place),
            },
            Node::Map { values, .. } => match value {
                Value::Object(map) => {
                    for (_, item) in map.iter_mut() {
                        self.value(*values, item, place.item());
                    }
                }
                Value::Null => {}
                _ => self.mismatch(node, value, place),
            },
        }
    }

    fn object(&mut self, object: &'a Object, map: &mut Map<String, Value>) {
        map.retain(|name, value| {
            let Some((name, field)) = object.fields.get_key_value(name) else { return object.preserve_unknown };
            if value.is_null() {
                return false;
            }
            self.path.push((object, name));
            self.value(field.node, value, Place::Field { field, depth: 0 });
            self.path.pop();
            match field.presence {
                Presence::OmitEmpty => !is_zero(value),
                _ => !value.is_null(),
            }
        });
        for (name, field) in &object.fields {
            let zero = match field.presence {
                Presence::Explicit | Presence::OmitEmpty => continue,
                Presence::Always | Presence::AlwaysNull if map.contains_key(name) => continue,
                Presence::AlwaysNull => Value::Null,
                Presence::Always => self.zero(field.node),
            };
            map.insert(name.clone(), zero);
        }
    }

    fn zero(&mut self, node: NodeId) -> Value {
        let table = self.table;
        match table.node(node) {
            Node::Object(object) => {
                let mut map = Map::new();
                self.object(object, &mut map);
                Value::Object(map)
            }
            Node::Scalar(scalar) => scalar::zero(*scalar),
            Node::Any | Node::List { .. } | Node::Map { .. } => Value::Null,
        }
    }

    fn scalar(&mut self, scalar: Scalar, node: NodeId, value: &mut Value, place: Place<'a>) {
        if value.is_null() {
            *value = scalar::zero(scalar);
            return;
        }
        let narrow = place.field().and_then(|field| field.proto_type.as_deref()) == Some("int32");
        match scalar::canonical(scalar, narrow, value) {
            Ok(()) => {}
            Err(scalar::Fault::Type) => self.mismatch(node, value, place),
            Err(scalar::Fault::Inner(wanted)) => {
                let found = describe(value, if wanted == "int32" { &INTEGER } else { &Node::Any });
                let message = self.cannot_unmarshal(&found, wanted);
                self.abort.get_or_insert(message);
                *value = Value::Null;
            }
            Err(scalar::Fault::Text(text)) => {
                self.fault.get_or_insert(text);
                *value = Value::Null;
            }
            Err(scalar::Fault::Abort(text)) => {
                self.abort.get_or_insert(text);
                *value = Value::Null;
            }
        }
    }

    /// The unions of JSON schemas hold schemas; all else that is free-form stays as it is.
    fn free_form(&mut self, value: &mut Value, place: Place<'a>) {
        let kind = place.field().and_then(|field| field.proto_type.as_deref()).unwrap_or_default();
        if !kind.starts_with("JSONSchemaPropsOr") {
            return;
        }
        let Some(node) = self.table.definition(SCHEMA_PROPS) else { return };
        // The union decodes itself: what it reports starts from its own root.
        let path = std::mem::take(&mut self.path);
        match value {
            Value::Object(_) => self.value(node, value, Place::Root),
            Value::Array(list) if kind == "JSONSchemaPropsOrArray" => {
                for item in list {
                    self.value(node, item, Place::Root);
                }
            }
            Value::Bool(_) | Value::Null => {}
            _ if kind == "JSONSchemaPropsOrBool" => {
                self.abort.get_or_insert_with(|| "boolean or JSON schema expected".to_owned());
                *value = Value::Null;
            }
            _ => {}
        }
        self.path = path;
    }

    /// Records a wrong type and takes the value away.
    fn mismatch(&mut self, node: NodeId, value: &mut Value, place: Place<'a>) {
        if self.fault.is_none() {
            let found = describe(value, self.table.node(node));
            let wanted = self.type_name(node, place);
            self.fault = Some(self.cannot_unmarshal(&found, &wanted));
        }
        *value = Value::Null;
    }

    fn cannot_unmarshal(&self, found: &str, wanted: &str) -> String {
        let into = match self.path.last() {
            None => "value".to_owned(),
            Some((object, _)) => {
                let owner = object.name.as_deref().unwrap_or_default().rsplit('.').next().unwrap_or_default();
                let names: Vec<&str> = self.path.iter().map(|(_, name)| *name).collect();
                format!("struct field {owner}.{}", names.join("."))
            }
        };
        format!("json: cannot unmarshal {found} into Go {into} of type {wanted}")
    }

    fn type_name(&self, node: NodeId, place: Place<'a>) -> String {
        let (field, depth) = match place {
            Place::Root => return self.derived_type(node, None),
            Place::Field { field, depth } => (field, depth),
        };
        if let Some(declared) = &field.go_type {
            let mut text = declared.as_str();
            let mut found = true;
            for _ in 0..depth {
                let item = text
                    .strip_prefix("[]")
                    .or_else(|| text.strip_prefix("map[").and_then(|rest| Some(rest.split_once(']')?.1)));
                found &= item.is_some();
                text = item.unwrap_or(text);
            }
            if found {
                return text.trim_start_matches('*').to_owned();
            }
        }
        self.derived_type(node, field.proto_type.as_deref())
    }

    fn derived_type(&self, node: NodeId, proto_type: Option<&str>) -> String {
        match self.table.node(node) {
            Node::Object(object) => {
                let name = object.name.as_deref().unwrap_or_default();
                let mut parts = name.rsplit('.');
                let kind = parts.next().unwrap_or_default();
                format!("{}.{kind}", parts.next().unwrap_or_default())
            }
            Node::List { items, .. } => format!("[]{}", self.derived_type(*items, proto_type)),
            Node::Map { values, .. } => format!("map[string]{}", self.derived_type(*values, proto_type)),
            Node::Scalar(scalar) => scalar::go_type(*scalar, proto_type).to_owned(),
            Node::Any => "interface {}".to_owned(),
        }
    }
}

/// Whether Go's `omitempty` leaves the value out.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// How Go names the JSON that it found; numbers are quoted where a number of another sort was wanted.
fn describe(value: &Value, wanted: &Node) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if matches!(wanted, Node::Scalar(Scalar::Integer | Scalar::Number)) => {
            format!("number {number}")
        }
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    }
}
