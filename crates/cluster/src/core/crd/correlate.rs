//! Which old value a new value continues, and whether the two are equal.
//!
//! The basis of ratcheting: an error in a part that an update leaves as it was does not refuse the
//! update. This module never validates.

use serde_json::Value;

use super::structural::Schema;

/// A value beside the one it replaces.
#[derive(Clone, Copy, Debug)]
pub struct Correlation<'a> {
    pub new: &'a Value,
    pub old: Option<&'a Value>,
    pub schema: &'a Schema,
}

impl<'a> Correlation<'a> {
    /// The pair under a field, where both sides have it and the schema describes it.
    pub fn key(&self, field: &str) -> Option<Self> {
        let old = self.old?.as_object()?.get(field)?;
        let new = self.new.as_object()?.get(field)?;
        let schema = self.schema.properties.get(field).or_else(|| self.schema.additional_schema())?;
        Some(Self { new, old: Some(old), schema })
    }

    /// The pair at an index of the new list; only lists of type `map` correlate.
    pub fn index(&self, index: usize) -> Option<Self> {
        let old_items = self.old?.as_array()?;
        let new = self.new.as_array()?.get(index)?;
        if self.schema.list_type() != "map" {
            return None;
        }
        let old = MapList::new(self.schema, old_items).get(new)?;
        Some(Self { new, old: Some(old), schema: self.schema.items.as_deref()? })
    }

    /// Whether nothing changed, as far as old and new correlate.
    pub fn unchanged(&self) -> bool {
        let Some(old) = self.old else { return self.new.is_null() };
        match (old, self.new) {
            (Value::Array(old_items), Value::Array(new_items)) => {
                if old_items.len() != new_items.len() {
                    return false;
                }
                if self.schema.list_type() != "map" {
                    return old_items == new_items;
                }
                (0..new_items.len()).all(|index| self.index(index).is_some_and(|child| child.unchanged()))
            }
            (Value::Object(old_fields), Value::Object(new_fields)) => {
                old_fields.len() == new_fields.len()
                    && new_fields.keys().all(|key| self.key(key).is_some_and(|child| child.unchanged()))
            }
            _ => old == self.new,
        }
    }
}

/// A list of type `map`, addressed by its keys.
pub struct MapList<'a> {
    schema: &'a Schema,
    items: &'a [Value],
}

impl<'a> MapList<'a> {
    /// Wraps the items of a list; a list of another type finds nothing.
    pub fn new(schema: &'a Schema, items: &'a [Value]) -> Self {
        let usable = schema.type_name == "array" && schema.list_type() == "map" && !schema.list_map_keys.is_empty();
        Self { schema, items: if usable { items } else { &[] } }
    }

    /// The first item with the same keys.
    pub fn get(&self, item: &Value) -> Option<&'a Value> {
        if self.items.is_empty() || !self.has_keys(item) {
            return None;
        }
        self.items.iter().find(|candidate| self.same(candidate, item))
    }

    fn has_keys(&self, item: &Value) -> bool {
        let scalar = |value: &Value| matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_));
        self.schema.list_map_keys.iter().all(|key| item.get(key).is_some_and(scalar))
    }

    fn same(&self, candidate: &Value, item: &Value) -> bool {
        self.schema.list_map_keys.iter().all(|key| {
            let found = candidate.get(key);
            found.is_some() && found == item.get(key)
        })
    }
}
