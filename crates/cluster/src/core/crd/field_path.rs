//! Paths such as `.spec.color` and `.labels['a.b']` against a schema, as rules and selectable fields
//! name their field. Answers the schema at the end of a path; it never reads an object.

use std::sync::OnceLock;

use super::structural::Schema;
use crate::core::field::Path;

/// Whether `['key']` may stand in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrays {
    Allowed,
    Refused,
}

/// Follows a path; returns it in the form of field errors, with the schema it leads to.
///
/// # Errors
/// Why the path leads nowhere, in upstream's words.
pub fn resolve<'a>(text: &str, schema: &'a Schema, arrays: Arrays) -> Result<(Path, &'a Schema), String> {
    let tokens = tokens(text);
    let mut path = Path::root("");
    let mut schema = schema;
    let mut at = tokens.iter();
    while let Some(token) = at.next() {
        let end = || "unexpected end of JSON path".to_owned();
        match *token {
            "[" if arrays == Arrays::Refused => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = at.next().ok_or_else(end)?;
                let inner = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                let inner = inner.ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
                (path, schema) = step(&path, schema, &unescape(inner)?)?;
                let close = at.next().ok_or_else(end)?;
                if *close != "]" {
                    return Err(format!("expected ] but got {close}"));
                }
            }
            "." => {
                let name = at.next().ok_or_else(end)?;
                (path, schema) = step(&path, schema, name)?;
            }
            other => return Err(format!("expected [ or . but got: {other}")),
        }
    }
    Ok((path, schema))
}

fn step<'a>(path: &Path, schema: &'a Schema, name: &str) -> Result<(Path, &'a Schema), String> {
    let nowhere = || "does not refer to a valid field".to_owned();
    if !schema.properties.is_empty() {
        let property = schema.properties.get(name).ok_or_else(nowhere)?;
        return Ok((path.child(name), property));
    }
    let values = schema.additional.as_ref().ok_or_else(nowhere)?;
    Ok((path.key(name), values.schema.as_deref().unwrap_or_else(|| anything())))
}

/// What a bare `additionalProperties: true` says of the values.
fn anything() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(Schema::default)
}

/// Splits at `.`, `[` and `]`, which are tokens of their own; quoted strings stay whole.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let bytes = rest.as_bytes();
        let end = if bytes[0] == b'\'' {
            let close = (1..bytes.len()).find(|at| bytes[*at] == b'\'' && bytes[at - 1] != b'\\');
            close.map_or(rest.len(), |close| close + 1)
        } else {
            match rest.find(['.', '[', ']']) {
                Some(0) => 1,
                Some(end) => end,
                None => rest.len(),
            }
        };
        tokens.push(&rest[..end]);
        rest = &rest[end..];
    }
    tokens
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        let Some(escape) = chars.next() else {
            out.push('\\');
            break;
        };
        out.push(match escape {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '\'' => '\'',
            '\\' => '\\',
            other => return Err(format!("invalid string literal: invalid escape char \\{other}")),
        });
    }
    Ok(out)
}
