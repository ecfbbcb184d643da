//! The object that stands for "nothing there yet": what a decoder of the kind makes of an empty document.
//!
//! Built-in kinds have parts that are always there (`spec` of a Deployment); custom kinds have none. The
//! difference shows in managed fields, where only parts that came to be are owned as a whole.

use serde_json::{Map, Value};

use crate::core::schema::{Node, NodeId, Presence, Scalar, Table};

/// Parts nest a few levels; deeper ones cannot be in a table made from Go types.
const MAX_DEPTH: usize = 32;

/// The empty object of a kind.
pub fn zero(table: &Table, node: NodeId) -> Value {
    part(table, node, 0).unwrap_or_else(|| Value::Object(Map::new()))
}

fn part(table: &Table, node: NodeId, depth: usize) -> Option<Value> {
    let object = match table.node(node) {
        Node::Object(object) => object,
        Node::Scalar(scalar) => return Some(zero_scalar(*scalar)),
        Node::Map { .. } | Node::List { .. } | Node::Any => return None,
    };
    let mut fields = Map::new();
    for (name, field) in &object.fields {
        let value = match field.presence {
            Presence::Always if depth < MAX_DEPTH => part(table, field.node, depth + 1),
            Presence::AlwaysNull => Some(Value::Null),
            Presence::Always | Presence::Explicit | Presence::OmitEmpty => None,
        };
        if let Some(value) = value {
            fields.insert(name.clone(), value);
        }
    }
    Some(Value::Object(fields))
}

fn zero_scalar(scalar: Scalar) -> Value {
    match scalar {
        Scalar::String | Scalar::Bytes => Value::from(""),
        Scalar::Integer | Scalar::Number | Scalar::IntOrString => Value::from(0),
        Scalar::Boolean => Value::from(false),
        Scalar::Quantity => Value::from("0"),
        Scalar::Duration => Value::from("0s"),
        Scalar::Time | Scalar::MicroTime => Value::Null,
    }
}
