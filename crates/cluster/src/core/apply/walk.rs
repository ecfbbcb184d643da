//! Walks over one object: the set of paths it mentions, and an object without (or with only) some paths.
//!
//! Rules follow `structured-merge-diff/typed` (`tofieldset.go`, `remove.go`, `reconcile_schema.go`) and
//! `fieldpath.Set.EnsureNamedFieldsAreMembers`.

use serde_json::{Map, Value};

use super::element::Element;
use super::fieldset::{Set, Step};
use super::shape::{Form, ListShape, MapShape, Shape, Shapes};
use super::validate::item_element;

/// The set of every leaf and list item that a valid object mentions.
pub fn field_set<'a>(shapes: &Shapes<'a>, shape: Shape, value: &'a Value) -> Set<'a> {
    mentioned(shapes, shape, value).1
}

/// Whether the value itself is a leaf, and what it mentions below.
fn mentioned<'a>(shapes: &Shapes<'a>, shape: Shape, value: &'a Value) -> (bool, Set<'a>) {
    match shapes.atom(shape).form(Some(value)) {
        Form::Scalar(_) => (true, Set::new()),
        Form::Map(map) if map.atomic => (true, Set::new()),
        Form::List(list) if !list.associative => (true, Set::new()),
        Form::Map(map) => (false, mentioned_in_map(shapes, &map, value)),
        Form::List(list) => (false, mentioned_in_list(shapes, &list, value)),
        Form::Nothing => (false, Set::new()),
    }
}

fn mentioned_in_map<'a>(shapes: &Shapes<'a>, map: &MapShape<'a>, value: &'a Value) -> Set<'a> {
    let mut set = Set::new();
    let Value::Object(fields) = value else { return set };
    for (name, field) in fields {
        let (shape, named) = map.below(name);
        let Some(shape) = shape else { continue };
        let (leaf, below) = mentioned(shapes, shape, field);
        let empty = field.is_null() || field.as_object().is_some_and(Map::is_empty);
        set.add(Element::Field(name), leaf || empty || !named, below);
    }
    set
}

fn mentioned_in_list<'a>(shapes: &Shapes<'a>, list: &ListShape<'a>, value: &'a Value) -> Set<'a> {
    let Value::Array(items) = value else { return Set::new() };
    let mut elements: Vec<_> = items.iter().map(|item| (element_of(shapes, list, item), item)).collect();
    elements.sort_by(|a, b| a.0.order(&b.0));
    let mut set = Set::new();
    for same in elements.chunk_by(|a, b| a.0.order(&b.0).is_eq()) {
        // Repeated items are owned as one, without what is in them.
        let below = match same {
            [(_, item)] => mentioned(shapes, list.items, item).1,
            _ => Set::new(),
        };
        set.add(same[0].0.clone(), true, below);
    }
    set
}

fn element_of<'a>(shapes: &Shapes<'a>, list: &ListShape<'a>, item: &'a Value) -> Element<'a> {
    item_element(shapes, list, item).unwrap_or(Element::Nameless)
}

/// Adds the named fields on the way to a member, which sets leave out.
pub fn with_named_fields<'a>(shapes: &Shapes<'_>, shape: Option<Shape>, set: &Set<'a>) -> Set<'a> {
    let atom = shape.map(|shape| shapes.atom(shape)).unwrap_or_default();
    let mut result = Set::new();
    for step in set.steps() {
        let (below, named) = match (&step.element, atom.map, atom.list) {
            (Element::Field(name), Some(map), _) => map.below(name),
            (Element::Key(_), _, Some(list)) => (Some(list.items), false),
            _ => (None, false),
        };
        let member = step.member || (named && !step.below.is_empty());
        result.add(step.element.clone(), member, with_named_fields(shapes, below, &step.below));
    }
    result
}

/// The object without the paths of `removed`; maps and lists that lose everything become null.
pub fn remove<'a>(shapes: &Shapes<'a>, shape: Shape, value: &'a Value, removed: &Set<'_>) -> Value {
    match shapes.atom(shape).form(Some(value)) {
        Form::Scalar(_) => value.clone(),
        Form::Map(map) if !map.atomic => remove_fields(shapes, &map, value, removed),
        Form::List(list) if list.associative => remove_items(shapes, &list, value, removed),
        _ => Value::Null,
    }
}

fn remove_fields<'a>(shapes: &Shapes<'a>, map: &MapShape<'a>, value: &'a Value, removed: &Set<'_>) -> Value {
    let Value::Object(fields) = value else { return Value::Null };
    let mut kept = Map::new();
    for (name, field) in fields {
        let field = match (removed.get(&Element::Field(name)), map.below(name).0) {
            (Some(Step { member: true, .. }), _) => continue,
            (Some(step), Some(shape)) => remove(shapes, shape, field, &step.below),
            _ => field.clone(),
        };
        kept.insert(name.clone(), field);
    }
    if kept.is_empty() { Value::Null } else { Value::Object(kept) }
}

fn remove_items<'a>(shapes: &Shapes<'a>, list: &ListShape<'a>, value: &'a Value, removed: &Set<'_>) -> Value {
    let Value::Array(items) = value else { return Value::Null };
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        let item = match removed.get(&element_of(shapes, list, item)) {
            Some(step) if step.member => continue,
            Some(step) => remove(shapes, list.items, item, &step.below),
            None => item.clone(),
        };
        kept.push(item);
    }
    if kept.is_empty() { Value::Null } else { Value::Array(kept) }
}

/// Fits a set that was written under another schema: what is atomic today is owned as a whole.
///
/// None where nothing changes.
pub fn reconcile<'a>(shapes: &Shapes<'_>, shape: Shape, set: &Set<'a>) -> Option<Set<'a>> {
    let atom = shapes.atom(shape);
    let mut changed = false;
    let mut result = Set::new();
    for step in set.steps() {
        let below = match (atom.form(None), &step.element) {
            (Form::Map(map), Element::Field(name)) if !is_left_alone(shapes, &map) => map.below(name).0,
            (Form::Map(map), _) if !is_left_alone(shapes, &map) => map.others,
            (Form::List(list), _) => Some(list.items),
            _ => None,
        };
        let Some(below) = below.filter(|_| !step.below.is_empty()) else {
            result.add(step.element.clone(), step.member, step.below.clone());
            continue;
        };
        let atomic = match shapes.atom(below).form(None) {
            Form::Map(map) => map.atomic && !is_left_alone(shapes, &map),
            Form::List(list) => !list.associative,
            Form::Scalar(_) | Form::Nothing => false,
        };
        if atomic {
            changed = true;
            result.add(step.element.clone(), true, Set::new());
        } else if let Some(fitted) = reconcile(shapes, below, &step.below) {
            changed = true;
            result.add(step.element.clone(), step.member, fitted);
        } else {
            result.add(step.element.clone(), step.member, step.below.clone());
        }
    }
    changed.then_some(result)
}

/// Free-form maps have no schema that could have changed.
fn is_left_alone(shapes: &Shapes<'_>, map: &MapShape<'_>) -> bool {
    let unnamed = map.fields.is_none_or(|fields| fields.is_empty());
    unnamed
        && !map.atomic
        && map.others.map(|others| shapes.atom(others)).is_some_and(|atom| atom.map.is_some() && atom.list.is_some())
}
