//! The order of merged lists: the patch's items in the patch's order, the others in the original's,
//! and both interleaved by the original's where it has them.

use std::collections::HashMap;

use serde_json::Value;

use super::lists::key_of;
use super::merge::DIRECTIVE;
use super::{Error, print};

/// What the items of lists are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Items {
    Objects,
    Scalars,
}

/// The common type of all items of some lists.
pub(super) fn type_of_items(lists: &[&[Value]]) -> Result<Items, Error> {
    let mut items = lists.iter().flat_map(|list| list.iter());
    let Some(first) = items.next() else { return Err(Error::internal("no elements in any of the given slices")) };
    match first {
        Value::Array(_) => return Err(Error::lists_of_lists()),
        Value::Null => return Err(Error::internal("list elements must not be null")),
        _ => {}
    }
    if items.any(|item| print::type_name(item) != print::type_name(first)) {
        let lists: Vec<String> = lists.iter().map(|list| print::list(list)).collect();
        return Err(Error::internal(format!("list element types are not identical: [{}]", lists.join(" "))));
    }
    Ok(if first.is_object() { Items::Objects } else { Items::Scalars })
}

/// Sorts the two parts of a list and interleaves them.
pub(super) fn normalize(
    of_patch: Vec<Value>,
    others: Vec<Value>,
    patch_order: &[Value],
    original_order: &[Value],
    merge_key: &str,
    items: Items,
) -> Result<Vec<Value>, Error> {
    let of_patch = sort(of_patch, patch_order, merge_key, items)?;
    let others = sort(others, original_order, merge_key, items)?;
    let places = Places::of(original_order, merge_key, items);
    let mut merged = Vec::with_capacity(of_patch.len() + others.len());
    let mut of_patch = of_patch.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    while let (Some(other), Some(item)) = (others.peek(), of_patch.peek()) {
        let before = places.get(other).zip(places.get(item)).is_some_and(|(other, item)| other < item);
        merged.extend(if before { others.next() } else { of_patch.next() });
    }
    merged.extend(of_patch);
    merged.extend(others);
    Ok(merged)
}

/// Sorts a list by the order of another one. Items marked for deletion go last.
fn sort(list: Vec<Value>, order: &[Value], merge_key: &str, items: Items) -> Result<Vec<Value>, Error> {
    let (mut list, deleted) = match items {
        Items::Scalars => (list, Vec::new()),
        Items::Objects => {
            for item in list.iter().chain(order) {
                key_of(item, merge_key)?;
            }
            list.into_iter().partition(|item| item.get(DIRECTIVE).and_then(Value::as_str) != Some("delete"))
        }
    };
    let places = Places::of(order, merge_key, items);
    let ranks: Vec<Option<usize>> = list.iter().map(|item| places.get(item)).collect();
    if ranks.iter().all(Option::is_some) {
        list.sort_by_key(|item| places.get(item));
    } else {
        let sorted = insertion_sort(&ranks);
        let mut slots: Vec<Option<Value>> = list.into_iter().map(Some).collect();
        list = sorted.into_iter().filter_map(|index| slots[index].take()).collect();
    }
    list.extend(deleted);
    Ok(list)
}

/// Upstream's comparison says "before" whenever one of the two has no place. Only the algorithm then
/// decides the outcome; this is Go's for lists of up to twenty items.
fn insertion_sort(ranks: &[Option<usize>]) -> Vec<usize> {
    let before = |left: usize, right: usize| match (ranks[left], ranks[right]) {
        (Some(left), Some(right)) => left < right,
        _ => true,
    };
    let mut sorted: Vec<usize> = (0..ranks.len()).collect();
    for end in 1..sorted.len() {
        let mut at = end;
        while at > 0 && before(sorted[at], sorted[at - 1]) {
            sorted.swap(at, at - 1);
            at -= 1;
        }
    }
    sorted
}

/// Where the items of a list stand, by merge key or by value; the first of equals counts.
struct Places<'a> {
    merge_key: &'a str,
    items: Items,
    places: HashMap<String, usize>,
}

impl<'a> Places<'a> {
    fn of(list: &[Value], merge_key: &'a str, items: Items) -> Self {
        let mut places = Self { merge_key, items, places: HashMap::with_capacity(list.len()) };
        for (index, item) in list.iter().enumerate() {
            let name = places.name(item);
            places.places.entry(name).or_insert(index);
        }
        places
    }

    fn get(&self, item: &Value) -> Option<usize> {
        self.places.get(&self.name(item)).copied()
    }

    fn name(&self, item: &Value) -> String {
        match self.items {
            Items::Scalars => item.to_string(),
            Items::Objects => item.get(self.merge_key).map_or_else(String::new, Value::to_string),
        }
    }
}
