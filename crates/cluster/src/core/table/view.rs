//! Reading an object for its row: what is missing has the empty value of its type, as in Go.

use jiff::Timestamp;
use serde_json::Value;

use super::duration;
use crate::core::selector::labels::Selector;

/// An object, or a part of one, and the time at which it is printed.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) value: &'a Value,
    pub(super) now: Timestamp,
}

impl<'a> View<'a> {
    pub(super) fn new(value: &'a Value, now: Timestamp) -> Self {
        Self { value, now }
    }

    /// What stands at a JSON pointer; null counts as nothing.
    pub(super) fn get(&self, path: &str) -> Option<&'a Value> {
        self.value.pointer(path).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.get(path).is_some()
    }

    pub(super) fn part(&self, path: &str) -> View<'a> {
        View::new(self.value.pointer(path).unwrap_or(&Value::Null), self.now)
    }

    pub(super) fn text(&self, path: &str) -> &'a str {
        self.get(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// A text, or another one where it is missing or empty.
    pub(super) fn text_or(&self, path: &str, empty: &'a str) -> &'a str {
        Some(self.text(path)).filter(|text| !text.is_empty()).unwrap_or(empty)
    }

    /// A text, or another one where it is missing; an empty text stays.
    pub(super) fn optional_text(&self, path: &str, missing: &'a str) -> &'a str {
        self.get(path).and_then(Value::as_str).unwrap_or(missing)
    }

    pub(super) fn integer(&self, path: &str) -> i64 {
        self.get(path).and_then(Value::as_i64).unwrap_or_default()
    }

    pub(super) fn boolean(&self, path: &str) -> bool {
        self.get(path).and_then(Value::as_bool).unwrap_or_default()
    }

    pub(super) fn list(&self, path: &str) -> &'a [Value] {
        self.get(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn parts(&self, path: &str) -> impl DoubleEndedIterator<Item = View<'a>> + use<'a> {
        let now = self.now;
        self.list(path).iter().map(move |value| View::new(value, now))
    }

    pub(super) fn texts(&self, path: &str) -> Vec<&'a str> {
        self.list(path).iter().filter_map(Value::as_str).collect()
    }

    pub(super) fn members(&self, path: &str) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        let members = self.get(path).and_then(Value::as_object).into_iter().flatten();
        members.map(|(name, value)| (name.as_str(), value))
    }

    pub(super) fn count(&self, path: &str) -> i64 {
        match self.get(path) {
            Some(Value::Array(items)) => items.len() as i64,
            Some(Value::Object(members)) => members.len() as i64,
            _ => 0,
        }
    }

    pub(super) fn name(&self) -> Value {
        Value::from(self.text("/metadata/name"))
    }

    pub(super) fn age(&self) -> Value {
        Value::from(self.since("/metadata/creationTimestamp"))
    }

    pub(super) fn deleted(&self) -> bool {
        self.has("/metadata/deletionTimestamp")
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&'a str> {
        self.get("/metadata/annotations")?.get(name)?.as_str()
    }

    pub(super) fn time(&self, path: &str) -> Option<Timestamp> {
        parse_time(self.text(path))
    }

    /// The time since a timestamp, for people.
    pub(super) fn since(&self, path: &str) -> String {
        self.time(path).map_or_else(|| "<unknown>".to_owned(), |time| self.human_since(time))
    }

    pub(super) fn human_since(&self, time: Timestamp) -> String {
        duration::human(duration::between(time, self.now))
    }

    /// A quantity at a member whose name may hold any character; `0` where there is none.
    pub(super) fn quantity(&self, path: &str, name: &str) -> String {
        self.get(path).and_then(|values| values.get(name)).map_or_else(|| "0".to_owned(), plain)
    }

    /// Labels as `a=b,c=d`; `<none>` for none.
    pub(super) fn labels(&self, path: &str) -> String {
        let mut pairs: Vec<String> =
            self.members(path).map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
        pairs.sort();
        if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
    }

    /// A `metav1.LabelSelector` as text; `<none>` for an empty or missing one.
    pub(super) fn selector(&self, path: &str) -> String {
        match Selector::from_json(self.part(path).value) {
            Ok(selector) => Some(selector.to_string()).filter(|text| !text.is_empty()),
            Err(_) => Some("<error>".to_owned()),
        }
        .unwrap_or_else(|| "<none>".to_owned())
    }

    /// Names and images of containers, each joined by commas.
    pub(super) fn containers(&self, path: &str) -> [Value; 2] {
        let join = |field: &str| {
            let texts: Vec<&str> = self.parts(path).map(|container| container.text(field)).collect();
            Value::from(texts.join(","))
        };
        [join("/name"), join("/image")]
    }

    /// The condition of a type among the conditions at a path.
    pub(super) fn condition(&self, path: &str, kind: &str) -> Option<View<'a>> {
        self.parts(path).find(|condition| condition.text("/type") == kind)
    }
}

/// A text as it is, anything else as JSON.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// An RFC 3339 time; the zero time of Go is none.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|_| !text.starts_with("0001-01-01T00:00:00"))
}
