//! Situations that several subjects must reach, and how a case is known to have reached one.

use ferroflow_cluster::core::schema::{Field, ListType, Node, NodeId, Table};
use serde_json::Value;

pub const REMOVAL: &str = "removal";
pub const KEYED_MERGE: &str = "keyed-list merge";
pub const VALIDATION: &str = "validation error";

/// Whether something of the first is missing in the second.
pub fn loses(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => a
            .iter()
            .filter(|(name, _)| *name != "managedFields")
            .any(|(name, value)| b.get(name).is_none_or(|other| loses(value, other))),
        (Value::Array(a), Value::Array(b)) => a.len() > b.len(),
        (Value::Null, _) => false,
        (_, Value::Null) => true,
        _ => false,
    }
}

/// What makes a list one that is merged by keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// The list type, as server-side apply has it.
    OfLists,
    /// The patch strategy of the field, as strategic merge patches have it.
    OfPatches,
}

/// Whether both objects have items in the same list that is merged by keys.
pub fn shares_items(table: &Table, node: NodeId, keys: Keys, left: &Value, right: &Value) -> bool {
    match (table.node(node), left, right) {
        (Node::Object(object), Value::Object(a), Value::Object(b)) => {
            let shares = |field: &Field, a: &Value, b: &Value| {
                let keyed = keys == Keys::OfPatches && field.patch.merge && field.patch_merge_key.is_some();
                keyed && both_have_items(a, b) || shares_items(table, field.node, keys, a, b)
            };
            let common = object.fields.iter().filter_map(|(name, field)| Some((field, a.get(name)?, b.get(name)?)));
            common.into_iter().any(|(field, a, b)| shares(field, a, b))
        }
        (Node::Map { values, .. }, Value::Object(a), Value::Object(b)) => {
            a.iter().any(|(name, a)| b.get(name).is_some_and(|b| shares_items(table, *values, keys, a, b)))
        }
        (Node::List { list_type: ListType::Map(_), .. }, a, b) => keys == Keys::OfLists && both_have_items(a, b),
        _ => false,
    }
}

fn both_have_items(left: &Value, right: &Value) -> bool {
    let items = |value: &Value| value.as_array().is_some_and(|items| !items.is_empty());
    items(left) && items(right)
}
