//! Sets of field paths, as managed fields hold them, and their FieldsV1 form.
//!
//! A set is a trie: each step says whether the path that ends here is a member and which paths go on.
//! Sets are values; every operation makes a new one. Names and values are borrowed from the objects the
//! set was taken from. Rules follow `structured-merge-diff/fieldpath`.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::element::{Decoded, Element, decode};

/// A set of field paths.
#[derive(Clone, Debug, Default)]
pub struct Set<'a> {
    steps: Vec<Step<'a>>,
}

/// One step with what lies below it. A step is a member, has paths below, or both.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// The step itself.
    pub element: Element<'a>,
    /// The path that ends here is in the set.
    pub member: bool,
    /// The paths that go on from here.
    pub below: Set<'a>,
}

impl<'a> Step<'a> {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl<'a> Set<'a> {
    /// The set without members.
    pub const fn new() -> Self {
        Self { steps: Vec::new() }
    }

    /// The set of these paths of plain field names.
    pub fn of_fields(paths: &[&[&'a str]]) -> Self {
        let mut set = Self::new();
        for path in paths {
            let elements: Vec<Element<'a>> = path.iter().map(|name| Element::Field(name)).collect();
            set.insert(&elements);
        }
        set
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step<'a>] {
        &self.steps
    }

    /// Whether nothing is a member.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Adds a path; the empty path, which is the object itself, is never kept.
    pub fn insert(&mut self, path: &[Element<'a>]) {
        let Some((first, rest)) = path.split_first() else { return };
        let step = self.step_mut(first);
        if rest.is_empty() {
            step.member = true;
        } else {
            step.below.insert(rest);
        }
    }

    /// Adds a step with what is below it; empty ones are left out, known ones are united.
    pub fn add(&mut self, element: Element<'a>, member: bool, below: Set<'a>) {
        if !member && below.is_empty() {
            return;
        }
        if self.steps.last().is_none_or(|last| last.element.order(&element).is_lt()) {
            self.steps.push(Step { element, member, below });
            return;
        }
        let step = self.step_mut(&element);
        step.member |= member;
        if step.below.is_empty() {
            step.below = below;
        } else {
            step.below = step.below.union(&below);
        }
    }

    /// The set of these steps, in any order; equal ones are united.
    pub fn from_steps(mut steps: Vec<Step<'a>>) -> Self {
        if !steps.is_sorted_by(|a, b| a.element.order(&b.element).is_lt()) {
            steps.sort_by(|a, b| a.element.order(&b.element));
        }
        let mut set = Self { steps: Vec::with_capacity(steps.len()) };
        steps.into_iter().for_each(|step| set.add(step.element, step.member, step.below));
        set
    }

    fn step_mut(&mut self, element: &Element<'a>) -> &mut Step<'a> {
        let place = match self.find(element) {
            Ok(place) => place,
            Err(place) => {
                self.steps.insert(place, Step { element: element.clone(), member: false, below: Set::new() });
                place
            }
        };
        &mut self.steps[place]
    }

    fn find(&self, element: &Element<'_>) -> Result<usize, usize> {
        self.steps.binary_search_by(|step| step.element.order(element))
    }

    /// What is known of the first step of some path.
    pub fn get(&self, element: &Element<'_>) -> Option<&Step<'a>> {
        self.find(element).ok().map(|place| &self.steps[place])
    }

    /// Whether the path is a member.
    pub fn contains(&self, path: &[Element<'_>]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        match self.get(first) {
            None => false,
            Some(step) if rest.is_empty() => step.member,
            Some(step) => step.below.contains(rest),
        }
    }

    /// Members of either set.
    pub fn union(&self, other: &Set<'a>) -> Set<'a> {
        let mut steps = Vec::with_capacity(self.steps.len().max(other.steps.len()));
        zip(self, other, |left, right| match (left, right) {
            (Some(left), Some(right)) => steps.push(Step {
                element: right.element.clone(),
                member: left.member || right.member,
                below: left.below.union(&right.below),
            }),
            (Some(step), None) | (None, Some(step)) => steps.push(step.clone()),
            (None, None) => {}
        });
        Set { steps }
    }

    /// Members of both sets.
    pub fn intersection(&self, other: &Set<'_>) -> Set<'a> {
        let mut result = Set::new();
        zip(self, other, |left, right| {
            if let (Some(left), Some(right)) = (left, right) {
                result.keep(left, left.member && right.member, || left.below.intersection(&right.below));
            }
        });
        result
    }

    /// Members of this set that are not members of the other; what lies below a path stays.
    pub fn difference(&self, other: &Set<'_>) -> Set<'a> {
        self.without(other, Depth::Path)
    }

    /// Members of this set that are not, and do not lie below, members of the other.
    pub fn recursive_difference(&self, other: &Set<'_>) -> Set<'a> {
        self.without(other, Depth::Subtree)
    }

    fn without(&self, other: &Set<'_>, depth: Depth) -> Set<'a> {
        if other.is_empty() {
            return self.clone();
        }
        let mut result = Set::new();
        zip(self, other, |left, right| match (left, right) {
            (Some(_), Some(right)) if right.member && depth == Depth::Subtree => {}
            (Some(left), Some(right)) => {
                result.keep(left, left.member && !right.member, || left.below.without(&right.below, depth));
            }
            (Some(left), None) => result.steps.push(left.clone()),
            (None, _) => {}
        });
        result
    }

    fn keep(&mut self, step: &Step<'a>, member: bool, below: impl FnOnce() -> Set<'a>) {
        let kept = Step { element: step.element.clone(), member, below: below() };
        if !kept.is_empty() {
            self.steps.push(kept);
        }
    }

    /// Calls `visit` with every member: first those of a level, then those below, as upstream lists them.
    pub fn each(&self, visit: &mut impl FnMut(&[Element<'a>])) {
        self.each_below(&mut Vec::new(), visit);
    }

    fn each_below(&self, path: &mut Vec<Element<'a>>, visit: &mut impl FnMut(&[Element<'a>])) {
        for step in self.steps.iter().filter(|step| step.member) {
            path.push(step.element.clone());
            visit(path);
            path.pop();
        }
        for step in &self.steps {
            path.push(step.element.clone());
            step.below.each_below(path, visit);
            path.pop();
        }
    }

    /// The FieldsV1 form.
    pub fn encode(&self) -> Value {
        let mut fields = Map::new();
        for step in &self.steps {
            let mut below = match step.below.encode() {
                Value::Object(below) => below,
                _ => Map::new(),
            };
            if step.member && !below.is_empty() {
                below.insert(".".to_owned(), Value::Object(Map::new()));
            }
            fields.insert(step.element.encode(), Value::Object(below));
        }
        Value::Object(fields)
    }

    /// Reads the FieldsV1 form.
    ///
    /// # Errors
    /// Says which key cannot be read, or that the form is not an object of objects.
    pub fn decode(fields: &'a Value) -> Result<Set<'a>, String> {
        match fields {
            Value::Null => Ok(Set::new()),
            Value::Object(fields) => Ok(decode_level(fields)?.0.unwrap_or_default()),
            _ => Err("ReadMapCB: expect { or n, but found something else".to_owned()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Path,
    Subtree,
}

/// Walks two sets in order; both sides are given where a step is in both.
fn zip<'s, 'a, 'b>(
    left: &'s Set<'a>,
    right: &'s Set<'b>,
    mut visit: impl FnMut(Option<&'s Step<'a>>, Option<&'s Step<'b>>),
) {
    let (mut i, mut j) = (0, 0);
    while i < left.steps.len() && j < right.steps.len() {
        match left.steps[i].element.order(&right.steps[j].element) {
            Ordering::Less => {
                visit(Some(&left.steps[i]), None);
                i += 1;
            }
            Ordering::Greater => {
                visit(None, Some(&right.steps[j]));
                j += 1;
            }
            Ordering::Equal => {
                visit(Some(&left.steps[i]), Some(&right.steps[j]));
                i += 1;
                j += 1;
            }
        }
    }
    left.steps[i..].iter().for_each(|step| visit(Some(step), None));
    right.steps[j..].iter().for_each(|step| visit(None, Some(step)));
}

/// The steps of one level, and whether the level itself is a member of its parent.
fn decode_level(fields: &Map<String, Value>) -> Result<(Option<Set<'_>>, bool), String> {
    let mut steps = Vec::with_capacity(fields.len());
    let mut member = false;
    for (key, value) in fields {
        if key == "." {
            member = true;
            continue;
        }
        let element = match decode(key)? {
            Decoded::Unknown => continue,
            Decoded::Element(element) => element,
        };
        let (below, is_member) = match value {
            Value::Object(below) => decode_level(below)?,
            Value::Null => (None, true),
            _ => return Err("ReadMapCB: expect { or n, but found something else".to_owned()),
        };
        steps.push(Step { element, member: is_member, below: below.unwrap_or_default() });
    }
    let set = (!steps.is_empty()).then(|| Set::from_steps(steps));
    let member = member || set.is_none();
    Ok((set, member))
}

/// A path as a person reads it: `.spec.containers[name="web"].image`.
pub fn path_text(path: &[Element<'_>]) -> String {
    let mut text = String::new();
    path.iter().for_each(|element| element.write(&mut text));
    text
}
