//! What storing makes of an object: upstream stores protobuf, in which an empty list and none are the same.

use serde_json::Value;

use crate::core::schema::{Node, NodeId, Presence, Table};

/// Brings a decoded value of a built-in kind into the form in which it is read again: empty lists and maps are
/// null where the field is always written, and gone elsewhere.
pub fn store(table: &Table, node: NodeId, value: &mut Value) {
    match (table.node(node), value) {
        (Node::Object(object), Value::Object(fields)) => fields.retain(|name, value| {
            let Some(field) = object.fields.get(name) else { return true };
            store(table, field.node, value);
            let is_gone = match value {
                Value::Array(items) => items.is_empty(),
                Value::Object(entries) => entries.is_empty() && matches!(table.node(field.node), Node::Map { .. }),
                _ => false,
            };
            match field.presence {
                Presence::AlwaysNull if is_gone => *value = Value::Null,
                Presence::OmitEmpty if is_gone => return false,
                _ => {}
            }
            true
        }),
        (Node::List { items: item, .. }, Value::Array(items)) => {
            items.iter_mut().for_each(|value| store(table, *item, value));
        }
        (Node::Map { values, .. }, Value::Object(entries)) => {
            entries.values_mut().for_each(|value| store(table, *values, value));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn empty_lists_are_null_or_gone_once_they_are_stored() {
        let table = Table::builtin();
        let mut slice = json!({"addressType": "IPv4", "endpoints": [], "ports": [], "metadata": {"finalizers": []}});
        let node = table.kind("discovery.k8s.io", "v1", "EndpointSlice").unwrap();
        store(table, node, &mut slice);
        assert_eq!(slice, json!({"addressType": "IPv4", "endpoints": null, "ports": null, "metadata": {}}));
    }

    #[test]
    fn what_has_no_shape_stays_as_it_is() {
        let table = Table::builtin();
        let mut revision = json!({"revision": 1, "data": {"a": [], "b": {}}});
        let before = revision.clone();
        store(table, table.kind("apps", "v1", "ControllerRevision").unwrap(), &mut revision);
        assert_eq!(revision, before);
    }
}
