//! Merging of lists: by value for scalars, by merge key for objects, and `$setElementOrder`.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::merge::{
    DIRECTIVE, ListUse, element_order_field, go_kind, lookup_list, objects, unknown_directive, without_directives,
};
use super::order::{Items, normalize, type_of_items};
use super::{Error, Object, print};
use crate::core::schema::{Field, NodeId, Table};

/// A merged list.
pub(super) struct Merged {
    pub(super) list: Vec<Value>,
    /// What upstream's original list has become under the merge. Deleting items moves the others in
    /// place and appending reuses the room, which decides the order of items that both sides have.
    backing: Vec<Value>,
}

/// Merges or replaces the list of a field.
pub(super) fn merge_field(
    table: &Table,
    field: &Field,
    items: NodeId,
    original: Vec<Value>,
    patch: Vec<Value>,
    list_use: ListUse,
) -> Result<Merged, Error> {
    if !field.patch.merge && list_use == ListUse::Merge {
        return Ok(Merged { list: patch, backing: original });
    }
    if original.is_empty() && patch.is_empty() {
        return Ok(Merged { list: Vec::new(), backing: original });
    }
    let merge_key = field.patch_merge_key.as_deref().unwrap_or_default();
    match type_of_items(&[&original, &patch])? {
        Items::Objects if merge_key.is_empty() => {
            let kind = go_kind(table, items);
            Err(Error::internal(format!("cannot merge lists without merge key for {kind}")))
        }
        Items::Objects => merge_objects(table, items, merge_key, original, patch),
        Items::Scalars if list_use == ListUse::Delete => {
            let deleted: HashSet<String> = patch.iter().map(Value::to_string).collect();
            let list = original.iter().filter(|item| !deleted.contains(&item.to_string())).cloned().collect();
            Ok(Merged { list, backing: original })
        }
        Items::Scalars => merge_scalars(merge_key, original, patch),
    }
}

fn merge_scalars(merge_key: &str, original: Vec<Value>, patch: Vec<Value>) -> Result<Merged, Error> {
    let mut seen = HashSet::new();
    let mut merged: Vec<Value> = original.iter().chain(&patch).cloned().collect();
    merged.retain(|item| seen.insert(item.to_string()));
    let (of_patch, others) = partition(merged, &patch, merge_key)?;
    let list = normalize(of_patch, others, &patch, &original, merge_key, Items::Scalars)?;
    Ok(Merged { list, backing: original })
}

fn merge_objects(
    table: &Table,
    items: NodeId,
    merge_key: &str,
    original: Vec<Value>,
    patch: Vec<Value>,
) -> Result<Merged, Error> {
    let mut slots = Slots { length: original.len(), backing: original, detached: None };
    let additions = match apply_item_directives(&mut slots, patch, merge_key)? {
        Additions::Merge(additions) => additions,
        Additions::Replace(list) => {
            let list = normalize(Vec::new(), list.clone(), &[], &list, merge_key, Items::Objects)?;
            return Ok(Merged { list, backing: slots.backing });
        }
    };
    let survivors = slots.list().to_vec();
    let mut keys = Keys::of(&survivors, merge_key);
    for addition in &additions {
        add(table, items, &mut keys, &mut slots, addition)?;
    }
    let merged = slots.list().to_vec();
    let (of_patch, others) = partition(merged, &additions, merge_key)?;
    let list = normalize(of_patch, others, &additions, &survivors, merge_key, Items::Objects)?;
    Ok(Merged { list, backing: slots.backing })
}

/// Merges an item into the one with its key, or appends it.
fn add(table: &Table, items: NodeId, keys: &mut Keys<'_>, slots: &mut Slots, addition: &Value) -> Result<(), Error> {
    let Value::Object(addition) = addition else { return Err(bad_type("map[string]interface {}", addition)) };
    let Some(key) = addition.get(keys.merge_key) else { return Err(no_merge_key(addition, keys.merge_key)) };
    let Some(index) = keys.find(key)? else {
        keys.push(key);
        slots.push(Value::Object(addition.clone()));
        return Ok(());
    };
    let Value::Object(present) = slots.list()[index].clone() else { return Ok(()) };
    let merged = objects(table, items, present, addition.clone())?;
    slots.set(index, Value::Object(merged));
    Ok(())
}

/// What of a patch list is left when its directives are carried out.
enum Additions {
    Merge(Vec<Value>),
    Replace(Vec<Value>),
}

fn apply_item_directives(slots: &mut Slots, patch: Vec<Value>, merge_key: &str) -> Result<Additions, Error> {
    let mut additions = Vec::new();
    let mut replace = false;
    for item in patch {
        let Value::Object(members) = &item else { return Err(bad_type("map[string]interface {}", &item)) };
        let Some(directive) = members.get(DIRECTIVE) else {
            additions.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let key = members.get(merge_key).ok_or_else(|| no_merge_key(members, merge_key))?;
                while let Some(index) = find(slots.list(), merge_key, key)? {
                    slots.remove(index);
                }
            }
            Some("replace") => replace = true,
            Some("merge") => return Err(Error::internal("merging lists cannot yet be specified in the patch")),
            _ => return Err(unknown_directive(directive, members)),
        }
    }
    Ok(if replace { Additions::Replace(additions) } else { Additions::Merge(additions) })
}

/// A list as a Go slice: removing shifts in place, and appending overwrites the room that is left.
struct Slots {
    backing: Vec<Value>,
    length: usize,
    /// The list after it has outgrown its room.
    detached: Option<Vec<Value>>,
}

impl Slots {
    fn list(&self) -> &[Value] {
        self.detached.as_deref().unwrap_or(&self.backing[..self.length])
    }

    fn remove(&mut self, index: usize) {
        self.backing[index..self.length].rotate_left(1);
        self.length -= 1;
        // The last slot keeps the item that was moved down from it.
        if index < self.length {
            self.backing[self.length] = self.backing[self.length - 1].clone();
        }
    }

    fn push(&mut self, item: Value) {
        if let Some(list) = &mut self.detached {
            list.push(item);
        } else if self.length < self.backing.len() {
            self.backing[self.length] = item;
            self.length += 1;
        } else {
            let mut list = self.backing.clone();
            list.push(item);
            self.detached = Some(list);
        }
    }

    fn set(&mut self, index: usize, item: Value) {
        match &mut self.detached {
            Some(list) => list[index] = item,
            None => self.backing[index] = item,
        }
    }
}

/// Carries out the `$setElementOrder` directives of a patch and removes them and their lists from it.
pub(super) fn apply_element_orders(
    table: &Table,
    node: NodeId,
    original: &mut Object,
    patch: &mut Object,
) -> Result<(), Error> {
    let directives: Vec<String> = patch.keys().filter(|key| element_order_field(key).is_some()).cloned().collect();
    for directive in directives {
        let Some(order) = patch.remove(&directive) else { continue };
        let Value::Array(order) = order else { return Err(bad_type("[]interface {}", &order)) };
        let Some(name) = element_order_field(&directive).transpose()? else { continue };
        let original_list = take_list(original.get(name))?;
        let patch_list = take_list(patch.get(name))?;
        let (field, items) = lookup_list(table, node, name)?;
        let merge_key = field.patch_merge_key.as_deref().unwrap_or_default();
        check_order(patch_list.as_deref().unwrap_or_default(), &order, merge_key)?;
        let kinds = [original_list.clone().unwrap_or_default(), patch_list.clone().unwrap_or_default()];
        let merged = match (original_list, patch_list) {
            (None, None) => continue,
            (Some(list), None) => Merged { backing: list.clone(), list },
            (None, Some(list)) => {
                let list = list.into_iter().filter_map(without_directives).collect();
                Merged { list, backing: Vec::new() }
            }
            (Some(original), Some(list)) => merge_field(table, field, items, original, list, ListUse::Merge)?,
        };
        let (ordered, others) = partition(merged.list, &order, merge_key)?;
        let items = type_of_items(&[&kinds[0], &kinds[1]])?;
        let list = normalize(ordered, others, &order, &merged.backing, merge_key, items)?;
        original.insert(name.to_owned(), Value::Array(list));
        patch.remove(name);
    }
    Ok(())
}

fn take_list(value: Option<&Value>) -> Result<Option<Vec<Value>>, Error> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items.clone())),
        Some(other) => Err(bad_type("[]interface {}", other)),
    }
}

/// The items of a patch list must stand in the order list, in the same order; deletions do not count.
fn check_order(patch: &[Value], order: &[Value], merge_key: &str) -> Result<(), Error> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut kept = Vec::new();
    for item in patch {
        match item {
            Value::Object(members) if !merge_key.is_empty() => {
                if members.get(DIRECTIVE).and_then(Value::as_str) != Some("delete") {
                    kept.push(item);
                }
            }
            _ if merge_key.is_empty() => kept.push(item),
            other => return Err(bad_type("map[string]interface {}", other)),
        }
    }
    let (mut at, mut place) = (0, 0);
    while at < kept.len() && place < order.len() {
        if kept[at].get(DIRECTIVE).is_some() {
            at += 1;
            continue;
        }
        if same(kept[at], &order[place], merge_key)? {
            at += 1;
        }
        place += 1;
    }
    if at < kept.len() && place >= order.len() {
        return Err(Error::internal(format!(
            "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
            print::list(patch),
            print::list(order)
        )));
    }
    Ok(())
}

fn same(left: &Value, right: &Value, merge_key: &str) -> Result<bool, Error> {
    if merge_key.is_empty() {
        return Ok(left == right);
    }
    Ok(key_of(left, merge_key)? == key_of(right, merge_key)?)
}

/// The value of an item's merge key.
pub(super) fn key_of<'a>(item: &'a Value, merge_key: &str) -> Result<&'a Value, Error> {
    let Value::Object(members) = item else { return Err(bad_type("map[string]interface {}", item)) };
    members.get(merge_key).ok_or_else(|| no_merge_key(members, merge_key))
}

/// Splits a list into the items that another list has, and the others.
fn partition(list: Vec<Value>, by: &[Value], merge_key: &str) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let mut listed = (Vec::new(), Vec::new());
    if merge_key.is_empty() {
        // Upstream panics here.
        if list.iter().chain(by).any(|item| item.is_object() || item.is_array()) {
            return Err(Error::set_element_order());
        }
        let by: HashSet<String> = by.iter().map(Value::to_string).collect();
        return Ok(list.into_iter().partition(|item| by.contains(&item.to_string())));
    }
    let keys = Keys::of(by, merge_key);
    for item in list {
        let found = keys.find(key_of(&item, merge_key)?)?.is_some();
        if found { listed.0.push(item) } else { listed.1.push(item) }
    }
    Ok(listed)
}

/// Where the items of a list stand by their merge key, so that long lists merge in linear time.
struct Keys<'a> {
    merge_key: &'a str,
    length: usize,
    first: HashMap<String, usize>,
    /// The first item that is no object; a search that comes to it fails.
    stop: Option<usize>,
}

impl<'a> Keys<'a> {
    fn of(list: &[Value], merge_key: &'a str) -> Self {
        let stop = list.iter().position(|item| !item.is_object());
        let mut keys = Self { merge_key, length: 0, first: HashMap::new(), stop };
        for item in list {
            match item.get(merge_key) {
                Some(key) => keys.push(key),
                None => keys.length += 1,
            }
        }
        keys
    }

    fn push(&mut self, key: &Value) {
        self.first.entry(key.to_string()).or_insert(self.length);
        self.length += 1;
    }

    fn find(&self, key: &Value) -> Result<Option<usize>, Error> {
        let found = self.first.get(&key.to_string()).copied();
        match self.stop {
            Some(stop) if found.is_none_or(|found| stop < found) => Err(not_a_map(stop)),
            _ => Ok(found),
        }
    }
}

fn not_a_map(index: usize) -> Error {
    Error::internal(format!("value for key {index} is not a map"))
}

/// The first item with a merge key's value; every item up to it must be an object.
fn find(list: &[Value], merge_key: &str, key: &Value) -> Result<Option<usize>, Error> {
    for (index, item) in list.iter().enumerate() {
        let Value::Object(members) = item else {
            return Err(not_a_map(index));
        };
        if members.get(merge_key) == Some(key) {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

pub(super) fn bad_type(expected: &str, actual: &Value) -> Error {
    Error::internal(format!("expected a {expected}, but received a {}", print::type_name(actual)))
}

pub(super) fn no_merge_key(members: &Object, merge_key: &str) -> Error {
    Error::internal(format!("map: {} does not contain declared merge key: {merge_key}", print::object(members)))
}
