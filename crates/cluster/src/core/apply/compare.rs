//! What differs between two objects of one shape: three sets of paths.
//!
//! Rules follow `structured-merge-diff/typed/compare.go`. Both objects are taken as valid.

use serde_json::{Map, Value};

use super::element::{Element, same};
use super::fieldset::Set;
use super::shape::{Form, ListShape, MapShape, Shape, Shapes};
use super::validate::{check_scalar, item_element};

/// The paths that differ; none is in more than one set.
#[derive(Clone, Debug, Default)]
pub struct Comparison<'a> {
    pub removed: Set<'a>,
    pub modified: Set<'a>,
    pub added: Set<'a>,
}

impl<'a> Comparison<'a> {
    /// Paths whose value the right-hand object decides.
    pub fn changed(&self) -> Set<'a> {
        match (self.modified.is_empty(), self.added.is_empty()) {
            (true, _) => self.added.clone(),
            (_, true) => self.modified.clone(),
            _ => self.modified.union(&self.added),
        }
    }
}

/// Compares two objects.
pub fn compare<'a>(shapes: &Shapes<'a>, shape: Shape, left: &'a Value, right: &'a Value) -> Comparison<'a> {
    Walk { shapes }.value(shape, Some(left), Some(right)).below
}

/// What differs at and below one path.
#[derive(Default)]
struct Difference<'a> {
    removed: bool,
    modified: bool,
    added: bool,
    below: Comparison<'a>,
}

impl<'a> Difference<'a> {
    fn leaf(left: Option<&Value>, right: Option<&Value>) -> Self {
        let mut difference = Self::default();
        match (left, right) {
            (None, _) => difference.added = true,
            (_, None) => difference.removed = true,
            (Some(left), Some(right)) => difference.modified = !same(left, right),
        }
        difference
    }

    fn join(mut self, other: Self) -> Self {
        self.removed |= other.removed;
        self.modified |= other.modified;
        self.added |= other.added;
        self.below.removed = self.below.removed.union(&other.below.removed);
        self.below.modified = self.below.modified.union(&other.below.modified);
        self.below.added = self.below.added.union(&other.below.added);
        self
    }
}

impl<'a> Comparison<'a> {
    fn add(&mut self, element: Element<'a>, difference: Difference<'a>) {
        let Difference { removed, modified, added, below } = difference;
        if removed || !below.removed.is_empty() {
            self.removed.add(element.clone(), removed, below.removed);
        }
        if modified || !below.modified.is_empty() {
            self.modified.add(element.clone(), modified, below.modified);
        }
        if added || !below.added.is_empty() {
            self.added.add(element, added, below.added);
        }
    }
}

/// Whether a walk over a value went below it, or took it as one.
enum Walked<'a> {
    Leaf(Difference<'a>),
    Below(Difference<'a>),
}

struct Walk<'s, 'a> {
    shapes: &'s Shapes<'a>,
}

impl<'a> Walk<'_, 'a> {
    fn value(&self, shape: Shape, left: Option<&'a Value>, right: Option<&'a Value>) -> Difference<'a> {
        // Most of an object stays as it is.
        if left.is_some() && left == right {
            return Difference::default();
        }
        let atom = self.shapes.atom(shape);
        let mut other = None;
        let walked = match (left, right) {
            (_, None) => self.form(&atom.form(left), left, right),
            (Some(old), Some(new)) if !atom.same_form(old, new) => {
                other = match self.form(&atom.form(left), left, right) {
                    Walked::Leaf(difference) | Walked::Below(difference) => Some(difference),
                };
                self.form(&atom.form(right), left, right)
            }
            _ => self.form(&atom.form(right), left, right),
        };
        let difference = match walked {
            Walked::Leaf(difference) => difference,
            Walked::Below(mut difference) => {
                difference.added |= left.is_none();
                difference.removed |= left.is_some() && right.is_none();
                difference
            }
        };
        match other {
            Some(other) => difference.join(other),
            None => difference,
        }
    }

    fn form(&self, form: &Form<'a>, left: Option<&'a Value>, right: Option<&'a Value>) -> Walked<'a> {
        match form {
            Form::Scalar(scalar) => {
                if check_scalar(*scalar, left, "").is_err() && check_scalar(*scalar, right, "").is_err() {
                    return Walked::Below(Difference::default());
                }
                Walked::Leaf(Difference::leaf(left, right))
            }
            Form::Map(map) => {
                let (old, new) = (left.and_then(Value::as_object), right.and_then(Value::as_object));
                if map.atomic || (old.is_none_or(Map::is_empty) && new.is_none_or(Map::is_empty)) {
                    return Walked::Leaf(Difference::leaf(left, right));
                }
                Walked::Below(Difference { below: self.map(map, old, new), ..Difference::default() })
            }
            Form::List(list) => {
                let (old, new) = (left.and_then(Value::as_array), right.and_then(Value::as_array));
                if !list.associative || (old.is_none_or(Vec::is_empty) && new.is_none_or(Vec::is_empty)) {
                    return Walked::Leaf(Difference::leaf(left, right));
                }
                Walked::Below(Difference { below: self.list(list, old, new), ..Difference::default() })
            }
            Form::Nothing => Walked::Below(Difference::default()),
        }
    }

    fn map(
        &self,
        map: &MapShape<'a>,
        left: Option<&'a Map<String, Value>>,
        right: Option<&'a Map<String, Value>>,
    ) -> Comparison<'a> {
        let mut comparison = Comparison::default();
        let mut visit = |name: &'a str, old: Option<&'a Value>, new: Option<&'a Value>| {
            if let Some(shape) = map.below(name).0 {
                comparison.add(Element::Field(name), self.value(shape, old, new));
            }
        };
        let mut old = left.into_iter().flatten().peekable();
        let mut new = right.into_iter().flatten().peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let a = if order.is_le() { old.next() } else { None };
            let b = if order.is_ge() { new.next() } else { None };
            if let Some((name, _)) = a.or(b) {
                visit(name, a.map(|(_, value)| value), b.map(|(_, value)| value));
            }
        }
        comparison
    }

    fn list(
        &self,
        list: &ListShape<'a>,
        left: Option<&'a Vec<Value>>,
        right: Option<&'a Vec<Value>>,
    ) -> Comparison<'a> {
        let mut items: Vec<(Element<'a>, Side, &'a Value)> = Vec::new();
        for (side, list_items) in [(Side::Left, left), (Side::Right, right)] {
            for item in list_items.into_iter().flatten() {
                items.extend(item_element(self.shapes, list, item).ok().map(|element| (element, side, item)));
            }
        }
        items.sort_by(|a, b| a.0.order(&b.0));
        let mut comparison = Comparison::default();
        for same_element in items.chunk_by(|a, b| a.0.order(&b.0).is_eq()) {
            let of = |side| same_element.iter().filter(move |item| item.1 == side).map(|item| item.2);
            let (old, new): (Vec<&Value>, Vec<&Value>) = (of(Side::Left).collect(), of(Side::Right).collect());
            let difference = match (old.as_slice(), new.as_slice()) {
                ([], []) => continue,
                ([] | [_], [] | [_]) => self.value(list.items, old.first().copied(), new.first().copied()),
                ([_, _, ..], [_, _, ..]) => {
                    let equal = old.len() == new.len() && old.iter().zip(&new).all(|(a, b)| same(a, b));
                    Difference { modified: !equal, ..Difference::default() }
                }
                ([_, _, ..], rest) => {
                    let single = rest.first().map(|new| self.value(list.items, None, Some(new)));
                    Difference { removed: true, ..single.unwrap_or_default() }
                }
                (rest, _) => {
                    let single = rest.first().map(|old| self.value(list.items, Some(old), None));
                    Difference { added: true, ..single.unwrap_or_default() }
                }
            };
            comparison.add(same_element[0].0.clone(), difference);
        }
        comparison
    }
}

/// Which of the two lists an item is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}
