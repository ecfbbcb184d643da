//! JSON text that is stored, put into JSON that is written: nothing is parsed that only passes through.

use std::io::Write;

use serde::Serialize;

use super::failure::{Code, Failure, Outcome};

/// Bytes that the JSON of a run of a few steps takes, so that it is written without being moved.
const USUAL_BYTES: usize = 4096;

/// What `write` appends.
///
/// # Errors
/// Those of `write`.
pub fn alone(write: impl FnOnce(&mut Vec<u8>) -> Outcome<()>) -> Outcome<Vec<u8>> {
    let mut json = Vec::with_capacity(USUAL_BYTES);
    write(&mut json)?;
    Ok(json)
}

/// Appends an object as JSON with further fields, whose values are JSON text already.
///
/// # Errors
/// Code 13 for what cannot be written as JSON.
pub fn object(json: &mut Vec<u8>, value: &impl Serialize, fields: &[(&str, Option<&str>)]) -> Outcome<()> {
    let first = json.len() + 1;
    serde_json::to_writer(&mut *json, value).map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    for (name, text) in fields {
        let Some(text) = text else { continue };
        if json.pop() != Some(b'}') {
            return Err(Failure::new(Code::Internal, "only an object takes further fields"));
        }
        json.extend_from_slice(if json.len() > first { b",\"" } else { b"\"" });
        for part in [name, "\":", text, "}"] {
            json.extend_from_slice(part.as_bytes());
        }
    }
    Ok(())
}

/// A list of objects, each of which `write` appends, under a name, with the total and the token of the next page.
///
/// # Errors
/// Those of `write`.
pub fn list<T>(
    name: &str,
    objects: &[T],
    write: impl Fn(&mut Vec<u8>, &T) -> Outcome<()>,
    total: i64,
    next: &str,
) -> Outcome<Vec<u8>> {
    let mut json = Vec::with_capacity(USUAL_BYTES);
    json.push(b'{');
    // Writing to a Vec does not fail.
    if let Some((first, others)) = objects.split_first() {
        let _ = write!(json, "\"{name}\":[");
        write(&mut json, first)?;
        // Objects of a list are of about one length.
        json.reserve(json.len().saturating_mul(others.len()));
        for object in others {
            json.push(b',');
            write(&mut json, object)?;
        }
        json.push(b']');
    }
    if total != 0 {
        let comma = if json.len() > 1 { "," } else { "" };
        let _ = write!(json, "{comma}\"total_size\":{total}");
    }
    if !next.is_empty() {
        // A token is base64, in which nothing is escaped.
        let _ = write!(json, ",\"next_page_token\":\"{next}\"");
    }
    json.push(b'}');
    Ok(json)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spliced(value: &Value, fields: &[(&str, Option<&str>)]) -> String {
        String::from_utf8(alone(|json| object(json, value, fields)).unwrap()).unwrap()
    }

    fn listed(objects: &[Value], total: i64, next: &str) -> String {
        let write = |json: &mut Vec<u8>, one: &Value| object(json, one, &[("b", Some("[]"))]);
        String::from_utf8(list("runs", objects, write, total, next).unwrap()).unwrap()
    }

    #[test]
    fn stored_text_stands_where_a_field_would() {
        let fields = [("b", Some("{\"c\":2}")), ("d", None), ("e", Some("[]"))];
        assert_eq!(spliced(&json!({"a": 1}), &fields), r#"{"a":1,"b":{"c":2},"e":[]}"#);
        assert_eq!(spliced(&json!({}), &[("b", Some("1"))]), r#"{"b":1}"#);
        assert!(alone(|json| object(json, &json!([]), &[("b", Some("1"))])).is_err());
    }

    #[test]
    fn lists_have_their_total_and_the_next_page() {
        assert_eq!(listed(&[json!({})], 1, ""), r#"{"runs":[{"b":[]}],"total_size":1}"#);
        assert_eq!(
            listed(&[json!({"a": 1}), json!({}), json!({"a": 2})], 7, "dG8="),
            r#"{"runs":[{"a":1,"b":[]},{"b":[]},{"a":2,"b":[]}],"total_size":7,"next_page_token":"dG8="}"#
        );
        assert_eq!(listed(&[], 0, ""), "{}");
        assert_eq!(listed(&[], 3, ""), r#"{"total_size":3}"#);
    }
}
