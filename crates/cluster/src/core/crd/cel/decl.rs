//! The types that a schema declares for expressions, with bounds on their sizes.
//!
//! Answers the declared type of a schema node, for the checker, and how large its values can become,
//! for the cost estimate. The bounds follow upstream's `SchemaDeclType`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::types::{ObjectType, Type};
use crate::core::crd::structural::Schema;

/// The largest request, which bounds what a schema leaves unbounded.
const MAX_REQUEST_BYTES: i64 = 3 * 1024 * 1024;
const MAX_DURATION_BYTES: i64 = 32;
const MAX_DATE_TIME_BYTES: i64 = 32;
const DATE_BYTES: i64 = 12;
const MIN_DURATION_BYTES: i64 = 3;
const MIN_DATE_TIME_BYTES: i64 = 21;
const MIN_STRING_BYTES: i64 = 2;
const MIN_BOOL_BYTES: i64 = 4;
const MIN_NUMBER_BYTES: i64 = 1;

/// A declared type.
#[derive(Clone, Debug)]
pub struct DeclType {
    pub shape: Shape,
    /// The most elements, or characters, that a value can have.
    pub max_elements: i64,
    /// The fewest bytes of a value in JSON.
    pub min_bytes: i64,
}

#[derive(Clone, Debug)]
pub enum Shape {
    Simple(Type),
    List(Box<DeclType>),
    Map(Box<DeclType>),
    /// Fields by their escaped names.
    Object(BTreeMap<String, DeclType>),
}

impl DeclType {
    fn simple(kind: Type, max_elements: i64, min_bytes: i64) -> Self {
        Self { shape: Shape::Simple(kind), max_elements, min_bytes }
    }

    /// The declaration of a schema node; `is_resource` adds type and object metadata.
    pub fn of(schema: &Schema, is_resource: bool) -> Option<Self> {
        if schema.int_or_string {
            let max = schema.max_length.map_or(MAX_REQUEST_BYTES - 2, |max| max.max(0).saturating_mul(4));
            return Some(Self::simple(Type::Dyn, max, 1));
        }
        match schema.type_name.as_str() {
            "array" => {
                let items = schema.items.as_deref()?;
                let decl = Self::of(items, items.embedded_resource)?;
                let max = schema.max_items.map_or((MAX_REQUEST_BYTES - 2) / (decl.min_bytes + 1), |max| max.max(0));
                Some(Self { shape: Shape::List(Box::new(decl)), max_elements: max, min_bytes: 2 })
            }
            "object" => Self::object(schema, is_resource),
            "string" => Some(Self::text(schema)),
            "boolean" => Some(Self::simple(Type::Bool, 0, MIN_BOOL_BYTES)),
            "number" => Some(Self::simple(Type::Double, 0, MIN_NUMBER_BYTES)),
            "integer" => Some(Self::simple(Type::Int, 0, MIN_NUMBER_BYTES)),
            _ => None,
        }
    }

    fn text(schema: &Schema) -> Self {
        let length = schema.max_length.map(|max| max.max(0));
        match schema.format.as_str() {
            "byte" => Self::simple(Type::Bytes, length.unwrap_or(MAX_REQUEST_BYTES - 2), MIN_STRING_BYTES),
            "duration" => Self::simple(Type::Duration, MAX_DURATION_BYTES, MIN_DURATION_BYTES),
            "date" => Self::simple(Type::Timestamp, DATE_BYTES, DATE_BYTES),
            "date-time" => Self::simple(Type::Timestamp, MAX_DATE_TIME_BYTES, MIN_DATE_TIME_BYTES),
            _ => {
                let longest = schema.enumeration.iter().filter_map(|value| value.as_str()).map(str::len).max();
                let of_enum =
                    (!schema.enumeration.is_empty()).then(|| i64::try_from(longest.unwrap_or(0)).unwrap_or(i64::MAX));
                let max = length.map(|max| max.saturating_mul(4)).or(of_enum).unwrap_or(MAX_REQUEST_BYTES - 2);
                Self::simple(Type::Text, max, MIN_STRING_BYTES)
            }
        }
    }

    fn object(schema: &Schema, is_resource: bool) -> Option<Self> {
        if let Some(values) = schema.additional_schema() {
            let decl = Self::of(values, values.embedded_resource)?;
            let max = schema.max_properties.map_or((MAX_REQUEST_BYTES - 2) / (decl.min_bytes + 6), |max| max.max(0));
            return Some(Self { shape: Shape::Map(Box::new(decl)), max_elements: max, min_bytes: 2 });
        }
        let mut fields = BTreeMap::new();
        let mut min_bytes: i64 = 2;
        let meta = if is_resource { Some(meta_fields()) } else { None };
        for (name, property) in &schema.properties {
            if meta.is_some() && crate::core::crd::prune::META_FIELDS.contains(&name.as_str()) {
                continue;
            }
            let Some(decl) = Self::of(property, property.embedded_resource) else { continue };
            if schema.required.contains(name) && property.default.is_none() {
                min_bytes += i64::try_from(name.len()).unwrap_or(0) + decl.min_bytes + 4;
            }
            if let Some(escaped) = escape(name) {
                fields.insert(escaped, decl);
            }
        }
        for (name, decl) in meta.into_iter().flatten() {
            if schema.required.iter().any(|required| required == name) {
                min_bytes += i64::try_from(name.len()).unwrap_or(0) + decl.min_bytes + 4;
            }
            fields.insert(name.to_owned(), decl);
        }
        Some(Self { shape: Shape::Object(fields), max_elements: 0, min_bytes })
    }

    /// The declaration of the items of a list or the values of a map.
    pub fn element(&self) -> Option<&Self> {
        match &self.shape {
            Shape::List(element) | Shape::Map(element) => Some(element),
            Shape::Simple(_) | Shape::Object(_) => None,
        }
    }

    /// The declaration of a field by its escaped name.
    pub fn field(&self, escaped: &str) -> Option<&Self> {
        match &self.shape {
            Shape::Object(fields) => fields.get(escaped),
            Shape::Simple(_) | Shape::List(_) | Shape::Map(_) => None,
        }
    }

    /// The type for the checker; objects are named after where they stand.
    pub fn checked_type(&self, name: &str) -> Type {
        match &self.shape {
            Shape::Simple(kind) => kind.clone(),
            Shape::List(items) => Type::list(items.checked_type(&format!("{name}.@idx"))),
            Shape::Map(values) => Type::map(Type::Text, values.checked_type(&format!("{name}.@elem"))),
            Shape::Object(fields) => {
                let typed =
                    |(field, decl): (&String, &Self)| (field.clone(), decl.checked_type(&format!("{name}.{field}")));
                let fields = Some(fields.iter().map(typed).collect());
                Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields }))
            }
        }
    }

    /// How large the value at a path below can become; the path starts at `self`.
    pub fn size_at(&self, path: &[String]) -> Option<u64> {
        let mut decl = self;
        for (index, step) in path.iter().enumerate().skip(1) {
            decl = match (step.as_str(), &decl.shape) {
                ("@items", Shape::List(inner))
                | ("@values", Shape::Map(inner))
                | ("@items", Shape::Map(inner))
                | ("@values", Shape::List(inner)) => inner,
                // Keys are plain strings, which declare no size of their own.
                ("@keys", Shape::Map(_)) => return (index + 1 == path.len()).then_some(0),
                (name, Shape::Object(fields)) => fields.get(name)?,
                _ => return None,
            };
        }
        Some(decl.max_elements.max(0).unsigned_abs())
    }
}

/// Type and object metadata as every resource has them.
fn meta_fields() -> Vec<(&'static str, DeclType)> {
    let text = || DeclType::simple(Type::Text, MAX_REQUEST_BYTES - 2, MIN_STRING_BYTES);
    let names = BTreeMap::from([("name".to_owned(), text()), ("generateName".to_owned(), text())]);
    let metadata = DeclType { shape: Shape::Object(names), max_elements: 0, min_bytes: 2 };
    vec![("apiVersion", text()), ("kind", text()), ("metadata", metadata)]
}

/// Words of the language that a field name must not be.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The name by which expressions select a field, where there is one.
pub fn escape(name: &str) -> Option<String> {
    let first = name.chars().next()?;
    if first.is_ascii_digit() {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(char) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("__") {
            out.push_str("__underscores__");
            rest = after;
            continue;
        }
        match char {
            '.' => out.push_str("__dot__"),
            '-' => out.push_str("__dash__"),
            '/' => out.push_str("__slash__"),
            '_' | 'a'..='z' | 'A'..='Z' | '0'..='9' => out.push(char),
            _ => return None,
        }
        rest = &rest[char.len_utf8()..];
    }
    Some(out)
}

/// The field name behind a name in an expression.
pub fn unescape(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find("__") {
        let after = &rest[at + 2..];
        let Some(end) = after.find('_').filter(|end| *end > 0 && after[*end..].starts_with("__")) else {
            out.push_str(&rest[..=at]);
            rest = &rest[at + 1..];
            continue;
        };
        out.push_str(&rest[..at]);
        let word = &after[..end];
        let whole = at == 0 && out.is_empty() && after.len() == end + 2;
        match word {
            "underscores" => out.push_str("__"),
            "dot" => out.push('.'),
            "dash" => out.push('-'),
            "slash" => out.push('/'),
            _ if RESERVED.contains(&word) && whole => out.push_str(word),
            _ => return None,
        }
        rest = &after[end + 2..];
    }
    out.push_str(rest);
    Some(out)
}
