//! Merging of objects: directives, `null`, and where the schema says how a field merges.

use serde_json::Value;

use super::{Error, Object, lists, print};
use crate::core::schema::{Field, Node, NodeId, Scalar, Table};

pub(super) const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";

/// Whether a list of a patch adds to the original's or takes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListUse {
    Merge,
    Delete,
}

/// Merges a patch into an object of the given shape.
pub(super) fn objects(table: &Table, node: NodeId, mut original: Object, mut patch: Object) -> Result<Object, Error> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Object::new()),
            _ => Err(unknown_directive(directive, &patch)),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    lists::apply_element_orders(table, node, &mut original, &mut patch)?;
    for (key, value) in patch {
        field(table, node, &mut original, key, value)?;
    }
    Ok(original)
}

pub(super) fn unknown_directive(directive: &Value, holder: &Object) -> Error {
    Error::internal(format!("unknown patch type: {} in map: {}", print::directive(directive), print::object(holder)))
}

/// Clears the fields that `$retainKeys` does not name; the patch may only set those that it names.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), Error> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(names) = directive else { return Err(Error::retain_keys()) };
    let named = |key: &str| names.iter().any(|name| name.as_str() == Some(key));
    let parallel = |key: &str| key.starts_with(DELETE_FROM_LIST) || key.starts_with(SET_ELEMENT_ORDER);
    if patch.iter().any(|(key, value)| !value.is_null() && !parallel(key) && !named(key)) {
        return Err(Error::retain_keys());
    }
    original.retain(|key, _| named(key));
    Ok(())
}

/// Merges one field of the patch.
fn field(table: &Table, node: NodeId, original: &mut Object, key: String, value: Value) -> Result<(), Error> {
    let (key, list_use) = if key.starts_with(DELETE_FROM_LIST) {
        match key.split_once('/') {
            // An empty name keeps the prefixed one, as upstream.
            Some((DELETE_FROM_LIST, "")) => (key, ListUse::Delete),
            Some((DELETE_FROM_LIST, name)) => (name.to_owned(), ListUse::Delete),
            _ => return Err(Error::primitive_list()),
        }
    } else {
        (key, ListUse::Merge)
    };
    if value.is_null() {
        original.remove(&key);
        return Ok(());
    }
    let Some(present) = original.get_mut(&key) else {
        return set_new(original, key, value, list_use);
    };
    match (present.take(), value) {
        (Value::Object(present), Value::Object(value)) => {
            let field = lookup(table, node, &key)?;
            let merged = if field.patch.replace { value } else { objects(table, field.node, present, value)? };
            original.insert(key, Value::Object(merged));
        }
        (Value::Array(present), Value::Array(value)) => {
            let (field, items) = lookup_list(table, node, &key)?;
            let merged = lists::merge_field(table, field, items, present, value, list_use)?;
            original.insert(key, Value::Array(merged.list));
        }
        (present, value) if print::type_name(&present) == print::type_name(&value) => {
            original.insert(key, value);
        }
        (present, _) if list_use == ListUse::Delete => {
            original.insert(key, present);
        }
        (_, value) => set_new(original, key, value, list_use)?,
    }
    Ok(())
}

/// Takes over a value that has nothing to merge with.
fn set_new(original: &mut Object, key: String, mut value: Value, list_use: ListUse) -> Result<(), Error> {
    if list_use == ListUse::Delete {
        return Ok(());
    }
    discard_nulls(&mut value);
    match without_directives(value) {
        Some(value) => original.insert(key, value),
        None => original.remove(&key),
    };
    Ok(())
}

/// Removes members that are null, at any depth; null list items stay.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// Drops objects that carry a `$patch` directive, at any depth.
pub(super) fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(members) if members.contains_key(DIRECTIVE) => None,
        Value::Object(members) => {
            let kept = members.into_iter().filter_map(|(key, member)| Some((key, without_directives(member)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        scalar => Some(scalar),
    }
}

/// The name behind `$setElementOrder/`, for a key that is such a directive.
pub(super) fn element_order_field(key: &str) -> Option<Result<&str, Error>> {
    key.starts_with(SET_ELEMENT_ORDER).then(|| match key.split_once('/') {
        Some((SET_ELEMENT_ORDER, name)) => Ok(name),
        _ => Err(Error::set_element_order()),
    })
}

/// The kind of the Go type that a shape has upstream.
pub(super) fn go_kind(table: &Table, node: NodeId) -> &'static str {
    match table.node(node) {
        Node::Map { .. } => "map",
        Node::List { .. } | Node::Scalar(Scalar::Bytes) => "slice",
        Node::Scalar(Scalar::String) => "string",
        Node::Scalar(Scalar::Integer) => "int64",
        Node::Scalar(Scalar::Number) => "float64",
        Node::Scalar(Scalar::Boolean) => "bool",
        Node::Object(_) | Node::Any | Node::Scalar(_) => "struct",
    }
}

/// The schema of a field, found as Go's JSON finds it: by its name, else regardless of case.
pub(super) fn lookup<'a>(table: &'a Table, node: NodeId, key: &str) -> Result<&'a Field, Error> {
    let unknown = |name: &str| {
        let key = crate::core::selector::go_quote(key);
        Err(Error::internal(format!("unable to find api field in struct {name} for the json field {key}")))
    };
    match table.node(node) {
        Node::Object(object) => {
            let same = || object.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, field)| field);
            let name = object.name.as_deref().and_then(|name| name.rsplit('.').next()).unwrap_or_default();
            object.fields.get(key).or_else(same).map_or_else(|| unknown(name), Ok)
        }
        Node::Any => unknown("RawExtension"),
        Node::Scalar(Scalar::IntOrString) => unknown("IntOrString"),
        Node::Scalar(Scalar::Quantity) => unknown("Quantity"),
        Node::Scalar(Scalar::Time) => unknown("Time"),
        Node::Scalar(Scalar::MicroTime) => unknown("MicroTime"),
        Node::Scalar(Scalar::Duration) => unknown("Duration"),
        Node::Map { .. } | Node::List { .. } | Node::Scalar(_) => {
            let text = "merging an object in json but data type is not struct, instead is";
            Err(Error::internal(format!("{text}: {}", go_kind(table, node))))
        }
    }
}

/// The schema of a field that is a list, and of its items.
pub(super) fn lookup_list<'a>(table: &'a Table, node: NodeId, key: &str) -> Result<(&'a Field, NodeId), Error> {
    let field = lookup(table, node, key)?;
    match table.node(field.node) {
        Node::List { items, .. } => match table.node(*items) {
            Node::List { .. } => Err(Error::internal("unexpected slice of slice")),
            _ => Ok((field, *items)),
        },
        _ => Err(Error::internal("expected slice or array type, but got: struct")),
    }
}
