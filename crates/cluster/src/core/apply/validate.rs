//! Whether a value has its shape, in the words that clients of a real API server read.
//!
//! Only what server-side apply itself refuses: wrong types, undeclared fields, list items without or with
//! repeated keys. It never judges a field's content. Rules follow `structured-merge-diff/typed/validate.go`.

use std::borrow::Cow;

use serde_json::Value;

use super::element::Element;
use super::go;
use super::shape::{Form, ListShape, MapShape, ScalarKind, Shape, Shapes};

/// A fault at a path; printed as `.spec.replicas: expected numeric …`.
#[derive(Clone, Debug)]
pub struct Fault {
    path: String,
    message: String,
}

impl Fault {
    /// A fault at the value that is being checked.
    pub fn new(message: String) -> Self {
        Self { path: String::new(), message }
    }

    fn line(&self) -> String {
        if self.path.is_empty() { self.message.clone() } else { format!("{}: {}", self.path, self.message) }
    }
}

/// Puts the faults into one text: alone on the line, or as a list.
pub fn faults_text(faults: &[Fault]) -> String {
    match faults {
        [only] => only.line(),
        many => many.iter().fold("errors:".to_owned(), |text, fault| format!("{text}\n  {}", fault.line())),
    }
}

/// Sets and associative lists whose items repeat: stored objects may hold them, applied ones may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    Allowed,
    Refused,
}

/// Checks a whole object.
///
/// # Errors
/// All faults, as one text.
pub fn validate(shapes: &Shapes<'_>, shape: Shape, value: &Value, duplicates: Duplicates) -> Result<(), String> {
    let mut walk = Walk { shapes, duplicates, faults: Vec::new() };
    walk.value(shape, value);
    walk.end()
}

/// Checks what an object does not have in common with a valid one.
///
/// # Errors
/// As [`validate`].
pub fn validate_change(shapes: &Shapes<'_>, shape: Shape, valid: &Value, value: &Value) -> Result<(), String> {
    let mut walk = Walk { shapes, duplicates: Duplicates::Allowed, faults: Vec::new() };
    match (shapes.atom(shape).form(Some(value)), valid, value) {
        (Form::Map(map), Value::Object(valid), Value::Object(fields)) => {
            walk.fields(&map, fields.iter().filter(|(name, field)| valid.get(*name) != Some(*field)));
        }
        _ => walk.value(shape, value),
    }
    walk.end()
}

struct Walk<'s, 't> {
    shapes: &'s Shapes<'t>,
    duplicates: Duplicates,
    faults: Vec<Fault>,
}

impl<'t> Walk<'_, 't> {
    fn end(self) -> Result<(), String> {
        if self.faults.is_empty() { Ok(()) } else { Err(faults_text(&self.faults)) }
    }

    fn fault(&mut self, message: impl Into<String>) {
        self.faults.push(Fault::new(message.into()));
    }

    /// Puts a step before the paths of all faults since `known`.
    fn prefix(&mut self, known: usize, element: &Element<'_>) {
        for fault in &mut self.faults[known..] {
            let mut path = String::new();
            element.write(&mut path);
            path.push_str(&fault.path);
            fault.path = path;
        }
    }

    fn value(&mut self, shape: Shape, value: &Value) {
        match self.shapes.atom(shape).form(Some(value)) {
            Form::Map(map) => self.map(&map, value),
            Form::List(list) => self.list(&list, value),
            Form::Scalar(scalar) => {
                if let Err(message) = check_scalar(scalar, Some(value), "") {
                    self.fault(message);
                }
            }
            Form::Nothing => self.fault("schema error: invalid atom: inlined"),
        }
    }

    fn map(&mut self, map: &MapShape<'t>, value: &Value) {
        let fields = match value {
            Value::Null => return,
            Value::Object(fields) => fields,
            other => return self.fault(format!("expected map, got {}", go::wrapped(other))),
        };
        self.fields(map, fields.iter());
    }

    fn fields<'v>(&mut self, map: &MapShape<'t>, fields: impl Iterator<Item = (&'v String, &'v Value)>) {
        for (name, field) in fields {
            let known = self.faults.len();
            match map.below(name) {
                (Some(shape), _) => self.value(shape, field),
                (None, _) => self.fault("field not declared in schema"),
            }
            if self.faults.len() > known {
                self.prefix(known, &Element::Field(name));
            }
        }
    }

    fn list(&mut self, list: &ListShape<'t>, value: &Value) {
        let items = match value {
            Value::Null => return,
            Value::Array(items) => items,
            other => return self.fault(format!("expected list, got {}", go::wrapped(other))),
        };
        let mut elements = Vec::with_capacity(items.len());
        let mut nameless = None;
        for (position, item) in (0_i64..).zip(items) {
            if !list.associative {
                elements.push(Element::Index(position));
                continue;
            }
            match item_element(self.shapes, list, item) {
                Ok(element) => elements.push(element),
                Err(message) => {
                    nameless = Some(format!("element {position}: {message}"));
                    break;
                }
            }
        }
        let refused = list.associative && self.duplicates == Duplicates::Refused;
        let repeated = if refused { repeats(&elements) } else { vec![false; elements.len()] };
        for ((element, item), repeated) in elements.iter().zip(items).zip(repeated) {
            if repeated {
                let mut text = String::from("duplicate entries for key ");
                element.write(&mut text);
                self.fault(text);
            }
            let known = self.faults.len();
            self.value(list.items, item);
            if self.faults.len() > known {
                self.prefix(known, element);
            }
        }
        // What cannot be told from others ends the list.
        if let Some(message) = nameless {
            self.fault(message);
        }
    }
}

/// Which elements have stood before.
fn repeats(elements: &[Element<'_>]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..elements.len()).collect();
    order.sort_by(|a, b| elements[*a].order(&elements[*b]));
    let mut repeated = vec![false; elements.len()];
    for pair in order.windows(2) {
        repeated[pair[1]] = elements[pair[0]].order(&elements[pair[1]]).is_eq();
    }
    repeated
}

/// Whether a value is the scalar it should be; absent and null always are.
///
/// # Errors
/// The fault's message, after `prefix`.
pub fn check_scalar(scalar: ScalarKind, value: Option<&Value>, prefix: &str) -> Result<(), String> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(()) };
    match scalar {
        ScalarKind::Numeric if !value.is_number() => {
            Err(format!("{prefix}expected numeric (int or float), got {}", go::type_name(value)))
        }
        ScalarKind::String if !value.is_string() => {
            Err(format!("{prefix}expected string, got {}", go::wrapped_syntax(value)))
        }
        ScalarKind::Boolean if !value.is_boolean() => {
            Err(format!("{prefix}expected boolean, got {}", go::wrapped(value)))
        }
        ScalarKind::Any if value.is_array() || value.is_object() => {
            Err(format!("{prefix}expected any scalar, got {}", go::wrapped(value)))
        }
        _ => Ok(()),
    }
}

/// The step that leads to an item of an associative list.
///
/// # Errors
/// Says why the item cannot be told from others.
pub fn item_element<'a>(shapes: &Shapes<'a>, list: &ListShape<'a>, item: &'a Value) -> Result<Element<'a>, String> {
    if !list.associative {
        return Err("invalid indexing of non-associative list".to_owned());
    }
    if list.keys.is_empty() {
        return match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            scalar => Ok(Element::Item(Cow::Borrowed(scalar))),
        };
    }
    let fields = match item {
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        Value::Object(fields) => fields,
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let mut keys = Vec::with_capacity(list.keys.len());
    for name in list.keys {
        let value = match fields.get(name) {
            Some(value) => Some(value),
            None => shapes
                .key_default(list, name)
                .map_err(|fault| format!("couldn't find default value for {name}: {fault}"))?,
        };
        keys.extend(value.map(|value| (Cow::Borrowed(name.as_str()), Cow::Borrowed(value))));
    }
    if keys.is_empty() {
        let names: Vec<String> = list.keys.iter().map(|name| format!("\"{name}\"")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            names.join(" ")
        ));
    }
    keys.sort_by(|a: &(Cow<'_, str>, Cow<'_, Value>), b| a.0.cmp(&b.0));
    Ok(Element::Key(keys))
}
