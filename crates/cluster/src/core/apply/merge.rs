//! Puts an applied configuration over a stored object.
//!
//! Nothing is ever taken away here; where both say something, the applied side wins. Lists keep the applied
//! order for what it names. Rules follow `structured-merge-diff/typed/merge.go`. Both sides are taken as
//! valid, and only the stored one may hold repeated list items.

use serde_json::{Map, Value};

use super::element::Element;
use super::shape::{Form, ListShape, MapShape, Shape, Shapes};
use super::validate::{check_scalar, item_element};

/// The merged object.
pub fn merge(shapes: &Shapes<'_>, shape: Shape, stored: &Value, applied: &Value) -> Value {
    value(shapes, shape, Some(stored), Some(applied)).unwrap_or(Value::Null)
}

fn value<'a>(shapes: &Shapes<'a>, shape: Shape, left: Option<&'a Value>, right: Option<&'a Value>) -> Option<Value> {
    let atom = shapes.atom(shape);
    let decisive = if right.is_some() { right } else { left };
    match atom.form(decisive) {
        Form::Scalar(scalar) => {
            let unfit = check_scalar(scalar, left, "").is_err() && check_scalar(scalar, right, "").is_err();
            if unfit { None } else { decisive.cloned() }
        }
        Form::Map(map) => {
            let (old, new) = (left.and_then(Value::as_object), right.and_then(Value::as_object));
            if map.atomic || (old.is_none_or(Map::is_empty) && new.is_none_or(Map::is_empty)) {
                return decisive.cloned();
            }
            merge_maps(shapes, &map, old, new)
        }
        Form::List(list) => {
            let (old, new) = (left.and_then(Value::as_array), right.and_then(Value::as_array));
            if !list.associative || (old.is_none_or(Vec::is_empty) && new.is_none_or(Vec::is_empty)) {
                return decisive.cloned();
            }
            let empty: &'a [Value] = &[];
            merge_lists(shapes, &list, old.map_or(empty, Vec::as_slice), new.map_or(empty, Vec::as_slice))
        }
        Form::Nothing => None,
    }
}

fn merge_maps<'a>(
    shapes: &Shapes<'a>,
    map: &MapShape<'a>,
    left: Option<&'a Map<String, Value>>,
    right: Option<&'a Map<String, Value>>,
) -> Option<Value> {
    let mut merged = Map::new();
    for (name, old) in left.into_iter().flatten() {
        let Some(shape) = map.below(name).0 else { continue };
        let new = right.and_then(|right| right.get(name));
        if let Some(value) = value(shapes, shape, Some(old), new) {
            merged.insert(name.clone(), value);
        }
    }
    for (name, new) in right.into_iter().flatten() {
        if left.is_some_and(|left| left.contains_key(name)) {
            continue;
        }
        let Some(shape) = map.below(name).0 else { continue };
        if let Some(value) = value(shapes, shape, None, Some(new)) {
            merged.insert(name.clone(), value);
        }
    }
    if merged.is_empty() { None } else { Some(Value::Object(merged)) }
}

/// The items of one list by element.
struct Index<'a> {
    /// In the list's order.
    elements: Vec<Element<'a>>,
    /// Sorted; repeated items stand for nothing that could be merged.
    sorted: Vec<(Element<'a>, &'a Value)>,
}

static REPEATED: Value = Value::Null;

impl<'a> Index<'a> {
    fn of(shapes: &Shapes<'a>, list: &ListShape<'a>, items: &'a [Value]) -> Self {
        let mut elements = Vec::with_capacity(items.len());
        let mut sorted: Vec<(Element<'a>, &'a Value)> = Vec::with_capacity(items.len());
        for item in items {
            let Ok(element) = item_element(shapes, list, item) else { continue };
            sorted.push((element.clone(), item));
            elements.push(element);
        }
        sorted.sort_by(|a, b| a.0.order(&b.0));
        sorted.dedup_by(|later, first| {
            let repeated = later.0.order(&first.0).is_eq();
            if repeated {
                first.1 = &REPEATED;
            }
            repeated
        });
        Self { elements, sorted }
    }

    fn place(&self, element: &Element<'_>) -> Result<usize, usize> {
        self.sorted.binary_search_by(|known| known.0.order(element))
    }

    fn get(&self, element: &Element<'_>) -> Option<&'a Value> {
        self.place(element).ok().map(|place| self.sorted[place].1)
    }

    fn has(&self, element: &Element<'_>) -> bool {
        self.place(element).is_ok()
    }
}

fn merge_lists<'a>(shapes: &Shapes<'a>, list: &ListShape<'a>, left: &'a [Value], right: &'a [Value]) -> Option<Value> {
    let old = Index::of(shapes, list, left);
    let new = Index::of(shapes, list, right);
    let mut shared = new.elements.iter().filter(|element| old.has(element));
    let mut next_shared = shared.next();
    let mut taken = vec![false; new.sorted.len()];
    let mut merged = Vec::with_capacity(left.len().max(right.len()));
    let (mut i, mut j) = (0, 0);
    while i < old.elements.len() || j < new.elements.len() {
        if let (Some(a), Some(b)) = (old.elements.get(i), new.elements.get(j)) {
            if a.order(b).is_eq() {
                mark(&new, b, &mut taken);
                merged.extend(value(shapes, list.items, old.get(a), new.get(b)));
                next_shared = shared.next();
                (i, j) = (i + 1, j + 1);
                continue;
            }
            // A shared item that is not the next one in the applied order is put where that order has it.
            if new.has(a) && next_shared.is_some_and(|next| next.order(a).is_ne()) {
                i += 1;
                continue;
            }
        }
        if let Some(a) = old.elements.get(i) {
            match new.place(a) {
                Err(_) => {
                    merged.extend(value(shapes, list.items, left.get(i), None));
                    i += 1;
                    continue;
                }
                Ok(place) if taken[place] => i += 1,
                Ok(_) => {}
            }
        }
        if let Some(b) = new.elements.get(j) {
            mark(&new, b, &mut taken);
            merged.extend(value(shapes, list.items, old.get(b), new.get(b)));
            j += 1;
            if next_shared.is_some_and(|next| next.order(b).is_eq()) {
                next_shared = shared.next();
            }
        }
    }
    if merged.is_empty() { None } else { Some(Value::Array(merged)) }
}

fn mark(index: &Index<'_>, element: &Element<'_>, taken: &mut [bool]) {
    if let Ok(place) = index.place(element) {
        taken[place] = true;
    }
}
