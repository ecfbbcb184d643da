//! Fields of a parsed value that a shape does not name.

use std::fmt::Write as _;

use serde_json::Value;

use crate::core::schema::{Node, NodeId, Table};

/// Upstream stops counting here.
const MAX_ERRORS: usize = 100;

/// One message (`unknown field "spec.x"`) for each field that the shape does not name, at most a hundred.
///
/// A parsed value has lost the order of the text: fields come sorted, those below `metadata` first in custom kinds.
pub fn unknown_fields(table: &Table, node: NodeId, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(table, node, value, &mut String::new(), &mut found);
    let custom = table.object(node).is_some_and(|object| object.embedded_resource);
    if custom {
        found.sort_by_key(|path| !path.starts_with("metadata."));
    }
    found.truncate(MAX_ERRORS);
    found.into_iter().map(|path| format!("unknown field \"{path}\"")).collect()
}

fn walk(table: &Table, node: NodeId, value: &Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match (table.node(node), value) {
        (Node::Object(object), Value::Object(map)) => {
            for (name, value) in map {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(name);
                match object.fields.get(name) {
                    Some(field) => walk(table, field.node, value, path, found),
                    None if object.preserve_unknown => {}
                    None => found.push(path.clone()),
                }
                path.truncate(length);
            }
        }
        (Node::Map { values, .. }, Value::Object(map)) => {
            for (name, value) in map {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(name);
                walk(table, *values, value, path, found);
                path.truncate(length);
            }
        }
        (Node::List { items, .. }, Value::Array(list)) => {
            for (index, value) in list.iter().enumerate() {
                // Writing to a string cannot fail.
                let _ = write!(path, "[{index}]");
                walk(table, *items, value, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// Removes every field that the shape does not name, and nothing else.
pub fn prune_unknown(table: &Table, node: NodeId, value: &mut Value) {
    match (table.node(node), value) {
        (Node::Object(object), Value::Object(map)) => map.retain(|name, value| match object.fields.get(name) {
            Some(field) => {
                prune_unknown(table, field.node, value);
                true
            }
            None => object.preserve_unknown,
        }),
        (Node::Map { values, .. }, Value::Object(map)) => {
            for (_, value) in map.iter_mut() {
                prune_unknown(table, *values, value);
            }
        }
        (Node::List { items, .. }, Value::Array(list)) => {
            for value in list {
                prune_unknown(table, *items, value);
            }
        }
        _ => {}
    }
}
