//! Places in a document: values that know where they stand, read as protobuf's JSON is read.
//!
//! Fields may be written in camelCase or in snake_case, `null` stands for nothing, 64-bit numbers may be text. What is
//! not known is refused by name. It knows nothing of pipelines.

use serde_json::{Map, Value};

use crate::core::{fault::Fault, value};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    pub value: &'a Value,
    pub at: String,
}

/// An object whose fields are all known.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    fields: &'a Map<String, Value>,
    pub at: String,
}

impl<'a> Node<'a> {
    /// A value at a place; the empty place is the whole document.
    pub fn new(value: &'a Value, at: impl Into<String>) -> Self {
        Self { value, at: at.into() }
    }

    /// A fault here.
    pub fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::new(self.at.clone(), what)
    }

    fn expected(&self, what: &str) -> Fault {
        self.fault(format!("must be {what}, not {}", value::describe(self.value)))
    }

    /// This as an object with no other fields than `known`, which are camelCase.
    ///
    /// # Errors
    /// Where it is no object, has a field that is not known, or one in both spellings.
    pub fn fields(&self, known: &[&str]) -> Result<Fields<'a>, Fault> {
        let fields = self.map()?;
        for name in fields.keys() {
            let Some(field) = known.iter().find(|field| matches_name(field, name)) else {
                return Err(self.unknown(name, known));
            };
            if name != field && fields.contains_key(*field) {
                return Err(self.fault(format!("has both {field} and {name}, which are the same field; keep one")));
            }
        }
        Ok(Fields { fields, at: self.at.clone() })
    }

    fn unknown(&self, name: &str, known: &[&str]) -> Fault {
        let near = known.iter().min_by_key(|field| distance(&field.to_lowercase(), &name.to_lowercase()));
        let near = near.filter(|field| distance(&field.to_lowercase(), &name.to_lowercase()) * 2 <= field.len());
        let hint = match near {
            Some(field) => format!("did you mean {field:?}?"),
            None => format!("known are {}", known.join(", ")),
        };
        self.fault(format!("unknown field {name:?}; {hint}"))
    }

    /// This as an object with any keys.
    ///
    /// # Errors
    /// Where it is none.
    pub fn map(&self) -> Result<&'a Map<String, Value>, Fault> {
        self.value.as_object().ok_or_else(|| self.expected("an object"))
    }

    /// The members of an object with any keys; members that are `null` are refused.
    ///
    /// # Errors
    /// Where it is no object.
    pub fn members(&self) -> Result<Vec<(&'a str, Node<'a>)>, Fault> {
        let members = self.map()?.iter();
        Ok(members.map(|(name, value)| (name.as_str(), Node::new(value, join(&self.at, name)))).collect())
    }

    /// The items of a list.
    ///
    /// # Errors
    /// Where it is none.
    pub fn items(&self) -> Result<Vec<Node<'a>>, Fault> {
        let items = self.value.as_array().ok_or_else(|| self.expected("a list"))?;
        Ok(items.iter().enumerate().map(|(i, item)| Node::new(item, format!("{}[{i}]", self.at))).collect())
    }

    /// This as text.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn text(&self) -> Result<&'a str, Fault> {
        self.value.as_str().ok_or_else(|| match self.value {
            Value::Number(_) | Value::Bool(_) => {
                self.fault(format!("must be a string, not {}; put it in quotes", value::describe(self.value)))
            }
            _ => self.expected("a string"),
        })
    }

    /// This as a boolean.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn bool(&self) -> Result<bool, Fault> {
        self.value.as_bool().ok_or_else(|| self.expected("true or false"))
    }

    /// This as a number that may be text, as 64-bit integers are.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn double(&self) -> Result<f64, Fault> {
        let number = match self.value {
            Value::String(text) => text.parse().ok(),
            value => value.as_f64(),
        };
        number.filter(|number: &f64| number.is_finite()).ok_or_else(|| self.expected("a number"))
    }

    /// This as an integer from `least` to `most`.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn integer(&self, least: i64, most: i64) -> Result<i64, Fault> {
        let wrong = || self.expected(&format!("an integer from {least} to {most}"));
        let text = match self.value {
            Value::String(text) => text.clone(),
            value => value::integral(value.clone()).to_string(),
        };
        let number: i64 = text.parse().map_err(|_| wrong())?;
        if (least..=most).contains(&number) { Ok(number) } else { Err(wrong()) }
    }

    /// One of the names of an enumeration, or its number: the index in `names`.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn one_of(&self, names: &[&str]) -> Result<usize, Fault> {
        let found = match self.value {
            Value::String(text) => names.iter().position(|name| name == text),
            Value::Number(_) => {
                let value = value::integral(self.value.clone());
                value.as_u64().and_then(|index| usize::try_from(index).ok()).filter(|index| *index < names.len())
            }
            _ => None,
        };
        found.ok_or_else(|| self.expected(&format!("one of {}", names.join(", "))))
    }

    /// A protobuf duration such as `3600s` or `0.5s`, in milliseconds.
    ///
    /// # Errors
    /// Where it is something else, or negative.
    pub fn duration_ms(&self) -> Result<u64, Fault> {
        let wrong = || self.expected("a duration in seconds such as \"30s\" or \"0.5s\"");
        let seconds = self.value.as_str().and_then(|text| text.strip_suffix('s')).ok_or_else(wrong)?;
        let seconds: f64 = seconds.parse().map_err(|_| wrong())?;
        if !(0.0..=MAX_DURATION_S).contains(&seconds) {
            return Err(wrong());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was checked to fit")]
        Ok((seconds * 1000.0).round() as u64)
    }

    /// Any JSON value; integral numbers become integers.
    pub fn json(&self) -> Value {
        value::integral(self.value.clone())
    }

    /// An object of any JSON.
    ///
    /// # Errors
    /// Where it is none.
    pub fn object(&self) -> Result<Map<String, Value>, Fault> {
        let fields = self.map()?;
        Ok(fields.iter().map(|(name, value)| (name.clone(), value::integral(value.clone()))).collect())
    }
}

/// The longest duration of protobuf: 10,000 years.
const MAX_DURATION_S: f64 = 315_576_000_000.0;

impl<'a> Fields<'a> {
    /// A field that is set; `null` counts as not set.
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        self.raw(name).filter(|node| !node.value.is_null())
    }

    /// A field that is there, if only as `null`.
    pub fn raw(&self, name: &str) -> Option<Node<'a>> {
        let found = self.fields.iter().find(|(field, _)| matches_name(name, field));
        found.map(|(_, value)| Node::new(value, join(&self.at, name)))
    }

    /// A field that must be set.
    ///
    /// # Errors
    /// Where it is not.
    pub fn need(&self, name: &str) -> Result<Node<'a>, Fault> {
        self.get(name).ok_or_else(|| Fault::new(join(&self.at, name), "is missing"))
    }

    /// A field's text; empty where it is not set.
    ///
    /// # Errors
    /// Where it is no text.
    pub fn text(&self, name: &str) -> Result<String, Fault> {
        self.get(name).map_or(Ok(String::new()), |node| node.text().map(str::to_owned))
    }

    /// A field's text, which must be set and not empty.
    ///
    /// # Errors
    /// Where it is missing, empty or no text.
    pub fn need_text(&self, name: &str) -> Result<String, Fault> {
        let node = self.need(name)?;
        match node.text()? {
            "" => Err(node.fault("must not be empty")),
            text => Ok(text.to_owned()),
        }
    }

    /// A field's boolean; false where it is not set.
    ///
    /// # Errors
    /// Where it is no boolean.
    pub fn bool(&self, name: &str) -> Result<bool, Fault> {
        self.get(name).map_or(Ok(false), |node| node.bool())
    }

    /// The items of a list; none where it is not set.
    ///
    /// # Errors
    /// Where it is no list.
    pub fn items(&self, name: &str) -> Result<Vec<Node<'a>>, Fault> {
        self.get(name).map_or(Ok(Vec::new()), |node| node.items())
    }

    /// The members of a map; none where it is not set.
    ///
    /// # Errors
    /// Where it is no object.
    pub fn members(&self, name: &str) -> Result<Vec<(&'a str, Node<'a>)>, Fault> {
        self.get(name).map_or(Ok(Vec::new()), |node| node.members())
    }

    /// The one of several fields that is set.
    ///
    /// # Errors
    /// Where none or more than one is set.
    pub fn choice(&self, names: &[&'static str]) -> Result<(&'static str, Node<'a>), Fault> {
        let set: Vec<_> = names.iter().filter_map(|name| Some((*name, self.raw(name)?))).collect();
        match <[_; 1]>::try_from(set) {
            Ok([one]) => Ok(one),
            Err(set) if set.is_empty() => {
                Err(Fault::new(self.at.clone(), format!("needs one of {}", names.join(", "))))
            }
            Err(set) => {
                let set: Vec<_> = set.iter().map(|(name, _)| *name).collect();
                Err(Fault::new(self.at.clone(), format!("has {}, of which only one may be set", set.join(" and "))))
            }
        }
    }
}

/// A place below another: `root.dag`, with quotes where the name itself holds a dot.
pub fn join(at: &str, name: &str) -> String {
    let name = if name.contains('.') { format!("{name:?}") } else { name.to_owned() };
    if at.is_empty() { name } else { format!("{at}.{name}") }
}

/// A place below another by a path that stands fixed: `dag.tasks`.
pub fn under(at: &str, path: &str) -> String {
    format!("{at}.{path}")
}

/// Whether a written name is that of a camelCase field, in either of the spellings that protobuf's JSON takes.
fn matches_name(field: &str, written: &str) -> bool {
    if field == written {
        return true;
    }
    let mut snake = String::with_capacity(field.len() + 4);
    for letter in field.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake == written
}

/// How many letters must change to make one name of the other.
fn distance(a: &str, b: &str) -> usize {
    // Names of fields are short; a long name is no slip of the pen.
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX / 4;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut left_above = row[0];
        row[0] = i + 1;
        for j in 0..b.len() {
            let change = left_above + usize::from(letter != b[j]);
            left_above = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_known_in_both_spellings_and_others_are_named() {
        let value = json!({"display_name": "a", "x": null});
        let fields = Node::new(&value, "t").fields(&["displayName", "x"]).unwrap();
        assert_eq!(fields.text("displayName").unwrap(), "a");
        assert!(fields.get("x").is_none() && fields.raw("x").is_some());
        for (value, fault) in [
            (json!({"displayname": 1}), "t: unknown field \"displayname\"; did you mean \"displayName\"?"),
            (json!({"zzz": 1}), "t: unknown field \"zzz\"; known are displayName, items"),
            (
                json!({"displayName": "a", "display_name": "b"}),
                "t: has both displayName and display_name, which are the same field; keep one",
            ),
            (json!([]), "t: must be an object, not a list"),
        ] {
            let error = Node::new(&value, "t").fields(&["displayName", "items"]).unwrap_err();
            assert_eq!(error.to_string(), fault);
        }
    }

    #[test]
    fn numbers_may_be_text_and_durations_are_seconds() {
        for (value, number) in [(json!(3), Some(3)), (json!("3"), Some(3)), (json!(3.0), Some(3)), (json!(3.5), None)] {
            assert_eq!(Node::new(&value, "n").integer(0, 9).ok(), number, "{value}");
        }
        for (value, ms) in [("2s", Some(2000)), ("0.5s", Some(500)), ("-1s", None), ("2", None), ("1e99s", None)] {
            assert_eq!(Node::new(&json!(value), "d").duration_ms().ok(), ms, "{value}");
        }
    }
}
