//! Label selectors: `app=web,tier in (a, b),!debug,size>3`, and the JSON form `metav1.LabelSelector`.
//!
//! Follows `k8s.io/apimachinery/pkg/labels`. Whether a selector is allowed somewhere (a Deployment's
//! may not be empty) is not decided here.

mod parser;
mod syntax;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use self::syntax::{label_value_faults, qualified_name_faults};
use super::{Error, go_quote};

/// How a label relates to the values of a [`Requirement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `key in (a,b)`.
    In,
    /// `key notin (a,b)`.
    NotIn,
    /// `key=a`.
    Equals,
    /// `key==a`.
    DoubleEquals,
    /// `key!=a`.
    NotEquals,
    /// `key`.
    Exists,
    /// `!key`.
    DoesNotExist,
    /// `key>1`.
    GreaterThan,
    /// `key<1`.
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

/// Requirements that must all hold; sorted by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// None selects nothing at all.
    requirements: Option<Vec<Requirement>>,
}

/// Something that has labels.
pub trait Labels {
    /// The value of a label, where the label is set.
    fn label(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Labels for Map<String, Value> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

/// A JSON object of labels; anything else has none.
impl Labels for Value {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

impl<T: Labels> Labels for Option<T> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref().and_then(|labels| labels.label(key))
    }
}

impl<T: Labels + ?Sized> Labels for &T {
    fn label(&self, key: &str) -> Option<&str> {
        (*self).label(key)
    }
}

impl Selector {
    /// Selects every object.
    pub fn everything() -> Self {
        Self { requirements: Some(Vec::new()) }
    }

    /// Selects no object.
    pub fn nothing() -> Self {
        Self { requirements: None }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// The message that upstream's parser gives.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parser::parse(text).map(Self::of)
    }

    /// Reads the JSON form `{matchLabels, matchExpressions}`. Null selects nothing, an empty object
    /// everything.
    ///
    /// # Errors
    /// A bad key, operator or list of values, in upstream's words.
    pub fn from_json(selector: &Value) -> Result<Self, Error> {
        if selector.is_null() {
            return Ok(Self::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let values = vec![value.as_str().unwrap_or_default().to_owned()];
            requirements.push(Requirement::new(key, Operator::Equals, values)?);
        }
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            requirements.push(Requirement::from_json(expression)?);
        }
        Ok(Self::of(requirements))
    }

    /// Selects objects that carry every one of the labels; the labels are not checked. No labels
    /// select everything, as `labels.SelectorFromSet` does.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let requirements = labels
            .into_iter()
            .map(|(key, value)| Requirement {
                key: key.to_owned(),
                operator: Operator::Equals,
                values: vec![value.to_owned()],
            })
            .collect();
        Self::of(requirements)
    }

    /// As [`Selector::from_labels`], from a JSON object such as a Service's `spec.selector`.
    pub fn from_labels_json(labels: &Value) -> Self {
        let pairs = labels.as_object().into_iter().flatten();
        Self::from_labels(pairs.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))))
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &impl Labels) -> bool {
        let Some(requirements) = &self.requirements else { return false };
        requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether an object is selected by its `metadata.labels`.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(&object.pointer("/metadata/labels"))
    }

    /// Whether there is no condition. [`Selector::nothing`] is not empty.
    pub fn is_empty(&self) -> bool {
        self.requirements.as_ref().is_some_and(Vec::is_empty)
    }

    /// The conditions, sorted by key; none at all for [`Selector::nothing`].
    pub fn requirements(&self) -> &[Requirement] {
        self.requirements.as_deref().unwrap_or_default()
    }

    /// The one value that the selector requires of a label, if there is one.
    pub fn exact_match(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements().iter().find(|requirement| requirement.key == key)?;
        match (requirement.operator, requirement.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [value]) => Some(value),
            _ => None,
        }
    }

    fn of(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|left, right| left.key.cmp(&right.key));
        Self { requirements: Some(requirements) }
    }
}

impl Requirement {
    /// A checked condition.
    ///
    /// # Errors
    /// A key that is no qualified name, a value that is no label value, or a number of values that
    /// does not fit the operator.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, Error> {
        let mut faults = Vec::new();
        faults.extend(key_fault("key", key));
        faults.extend(count_fault(operator, &values));
        if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
            for (index, value) in values.iter().enumerate().filter(|(_, value)| value.parse::<i64>().is_err()) {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                faults.push(invalid(&format!("values[{index}]"), &go_quote(value), detail));
            }
        }
        for (index, value) in values.iter().enumerate() {
            let details = label_value_faults(value);
            if !details.is_empty() {
                faults.push(invalid(&format!("values[{index}][{key}]"), &go_quote(value), &details.join("; ")));
            }
        }
        match aggregate(faults) {
            Some(fault) => Err(Error(fault)),
            None => Ok(Self { key: key.to_owned(), operator, values }),
        }
    }

    fn from_json(expression: &Value) -> Result<Self, Error> {
        let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
        let operator = match text("operator") {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => return Err(Error(format!("{} is not a valid label selector operator", go_quote(other)))),
        };
        let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
        Self::new(text("key"), operator, values.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// The label's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How the label relates to the values.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values, in the order given; a parsed text gives them sorted.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Whether the condition holds.
    pub fn matches(&self, labels: &impl Labels) -> bool {
        let label = labels.label(&self.key);
        let listed = |value: &str| self.values.iter().any(|listed| listed == value);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => label.is_some_and(listed),
            Operator::NotIn | Operator::NotEquals => !label.is_some_and(listed),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan => self.compares(label, |label, limit| label > limit),
            Operator::LessThan => self.compares(label, |label, limit| label < limit),
        }
    }

    fn compares(&self, label: Option<&str>, holds: fn(i64, i64) -> bool) -> bool {
        let number = label.and_then(|label| label.parse::<i64>().ok());
        let limit = self.values.first().and_then(|value| value.parse::<i64>().ok());
        number.zip(limit).is_some_and(|(number, limit)| holds(number, limit))
    }
}

/// The fault of a number of values that the operator does not take.
fn count_fault(operator: Operator, values: &[String]) -> Option<String> {
    let (fits, detail) = match operator {
        Operator::In | Operator::NotIn => {
            (!values.is_empty(), "for 'in', 'notin' operators, values set can't be empty")
        }
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals => {
            (values.len() == 1, "exact-match compatibility requires one single value")
        }
        Operator::Exists | Operator::DoesNotExist => {
            (values.is_empty(), "values set must be empty for exists and does not exist")
        }
        Operator::GreaterThan | Operator::LessThan => {
            (values.len() == 1, "for 'Gt', 'Lt' operators, exactly one value is required")
        }
    };
    let shown = if values.is_empty() { "null".to_owned() } else { go_json(values) };
    (!fits).then(|| invalid("values", &shown, detail))
}

/// A list as Go's `encoding/json` writes it, which escapes `<`, `>` and `&`.
fn go_json(values: &[String]) -> String {
    let text = Value::from(values).to_string();
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn key_fault(field: &str, key: &str) -> Option<String> {
    let details = qualified_name_faults(key);
    (!details.is_empty()).then(|| invalid(field, &go_quote(key), &details.join("; ")))
}

fn invalid(field: &str, value: &str, detail: &str) -> String {
    format!("{field}: Invalid value: {value}: {detail}")
}

/// Several faults as one text: alone as they are, together in brackets, repeated ones once.
fn aggregate(faults: Vec<String>) -> Option<String> {
    let mut distinct: Vec<String> = Vec::new();
    for fault in faults {
        if !distinct.contains(&fault) {
            distinct.push(fault);
        }
    }
    match distinct.len() {
        0 => None,
        1 => distinct.pop(),
        _ => Some(format!("[{}]", distinct.join(", "))),
    }
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements().iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.values.clone();
        sorted.sort();
        let (key, values) = (&self.key, sorted.join(","));
        match self.operator {
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}
