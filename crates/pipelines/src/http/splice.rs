//! JSON text that is stored, put into JSON that is written: nothing is parsed that only passes through.

use std::fmt::Write;

use serde::Serialize;

use super::failure::{Code, Failure, Outcome};

/// An object as JSON with further fields, whose values are JSON text already.
///
/// # Errors
/// Code 13 for what cannot be written as JSON.
pub fn object(value: &impl Serialize, fields: &[(&str, Option<&str>)]) -> Outcome<String> {
    let mut json = serde_json::to_string(value).map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    for (name, text) in fields {
        let Some(text) = text else { continue };
        if json.pop() != Some('}') {
            return Err(Failure::new(Code::Internal, "only an object takes further fields"));
        }
        let comma = if json.len() > 1 { "," } else { "" };
        // Writing to a String does not fail.
        let _ = write!(json, "{comma}\"{name}\":{text}}}");
    }
    Ok(json)
}

/// A list of objects that are JSON already, under a name, with the total and the token of the next page.
pub fn list(name: &str, objects: &[String], total: i64, next: &str) -> String {
    let mut json = String::with_capacity(objects.iter().map(|one| one.len() + 1).sum::<usize>() + 200);
    json.push('{');
    if !objects.is_empty() {
        let _ = write!(json, "\"{name}\":[");
        for (number, object) in objects.iter().enumerate() {
            json.push_str(if number > 0 { "," } else { "" });
            json.push_str(object);
        }
        json.push(']');
    }
    if total != 0 {
        let comma = if json.len() > 1 { "," } else { "" };
        let _ = write!(json, "{comma}\"total_size\":{total}");
    }
    if !next.is_empty() {
        // A token is base64, in which nothing is escaped.
        let _ = write!(json, ",\"next_page_token\":\"{next}\"");
    }
    json.push('}');
    json
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stored_text_stands_where_a_field_would() {
        let one = object(&json!({"a": 1}), &[("b", Some("{\"c\":2}")), ("d", None), ("e", Some("[]"))]).unwrap();
        assert_eq!(one, r#"{"a":1,"b":{"c":2},"e":[]}"#);
        assert_eq!(object(&json!({}), &[("b", Some("1"))]).unwrap(), r#"{"b":1}"#);
        assert_eq!(
            list("runs", &[one], 7, "dG8="),
            r#"{"runs":[{"a":1,"b":{"c":2},"e":[]}],"total_size":7,"next_page_token":"dG8="}"#
        );
        assert_eq!(list("runs", &[], 0, ""), "{}");
        assert_eq!(list("runs", &[], 3, ""), r#"{"total_size":3}"#);
    }
}
