//! Placeholders: `{{$.inputs.parameters['lr']}}` and the like, anywhere in text, each replaced once.
//!
//! What is put in is not looked at again, so the result does not depend on an order, and what a user's value holds is
//! never taken for a placeholder. Text that is a JSON object or list stays one: what goes into its strings is escaped.
//! What is not known stays as it is, as upstream leaves it. The forms are those of
//! `sdk/python/kfp/local/placeholder_utils.py`.

use serde_json::Value;

use super::value;

/// What a placeholder names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placeholder<'a> {
    /// `{{$}}`: the whole executor input.
    Whole,
    /// `{{$.pipeline_job_name}}` and the others without a key: the name behind `$.`.
    Fact(&'a str),
    /// `{{$.inputs.parameters['x']}}`
    InputParameter(&'a str),
    /// `{{$.inputs.artifacts['x']…}}`
    InputArtifact(&'a str, Field<'a>),
    /// `{{$.outputs.artifacts['x']…}}`
    OutputArtifact(&'a str, Field<'a>),
    /// `{{$.outputs.parameters['x'].output_file}}`
    OutputFile(&'a str),
}

/// A part of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// The artifact as JSON.
    Whole,
    Name,
    Uri,
    Path,
    Metadata,
    /// `metadata['key']`
    MetadataKey(&'a str),
}

/// Values of placeholders: `None` for one that stays as it is.
pub type Lookup<'a> = dyn Fn(&Placeholder<'_>) -> Option<Value> + 'a;

/// The text with its placeholders replaced.
pub fn expand(text: &str, lookup: &Lookup<'_>) -> String {
    if !text.contains("{{$") {
        return text.to_owned();
    }
    let is_json = text.trim_start().starts_with(['{', '['])
        && !text.trim_start().starts_with("{{$")
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{$") {
        let (before, from) = rest.split_at(start);
        result.push_str(before);
        // Text within JSON has its quotes escaped.
        let Some(end) = from.find("}}") else {
            result.push_str(from);
            return result;
        };
        // A bare quote within JSON ends the string: what seems to be one placeholder are parts of several.
        let is_torn = is_json && from[3..end].replace("\\\\", "").replace("\\\"", "").contains('"');
        let inner = from[3..end].replace("\\\"", "\"");
        match parse(&inner)
            .filter(|_| !is_torn)
            .and_then(|(placeholder, escapes)| Some((lookup(&placeholder)?, escapes)))
        {
            Some((found, escapes)) => {
                let times = escapes + usize::from(is_json);
                result.push_str(&(0..times).fold(value::text(&found), |text, _| escape(&text)));
                rest = &from[end + 2..];
            }
            None => {
                // What is not known may still hold one that is.
                result.push_str("{{$");
                rest = &from[3..];
            }
        }
    }
    result.push_str(rest);
    result
}

/// A value with the placeholders in its strings and its keys replaced.
pub fn expand_value(given: &Value, lookup: &Lookup<'_>) -> Value {
    match given {
        Value::String(text) => expand(text, lookup).into(),
        Value::Array(items) => items.iter().map(|item| expand_value(item, lookup)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (expand(name, lookup), expand_value(value, lookup))).collect()
        }
        other => other.clone(),
    }
}

/// The one placeholder that a text consists of.
pub fn sole(text: &str) -> Option<Placeholder<'_>> {
    let inner = text.strip_prefix("{{$")?.strip_suffix("}}")?;
    if inner.contains("}}") { None } else { parse(inner).map(|(placeholder, _)| placeholder) }
}

/// Text as the content of a JSON string.
fn escape(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// At most this many escapes: each can double a text.
const MAX_ESCAPES: usize = 4;

/// What stands between `{{$` and `}}`, and how often its value is to be escaped (`json_escape[1]`).
fn parse(inner: &str) -> Option<(Placeholder<'_>, usize)> {
    let (inner, escapes) = match inner.rsplit_once(".json_escape[") {
        Some((before, count)) => (before, count.strip_suffix(']')?.parse().ok().filter(|count| *count <= MAX_ESCAPES)?),
        None => (inner, 0),
    };
    if inner.is_empty() {
        return Some((Placeholder::Whole, escapes));
    }
    let path = inner.strip_prefix('.')?;
    let placeholder = if let Some(rest) = path.strip_prefix("inputs.parameters") {
        let (name, rest) = key(rest)?;
        rest.is_empty().then_some(Placeholder::InputParameter(name))?
    } else if let Some(rest) = path.strip_prefix("inputs.artifacts") {
        let (name, rest) = key(rest)?;
        Placeholder::InputArtifact(name, field(rest)?)
    } else if let Some(rest) = path.strip_prefix("outputs.artifacts") {
        let (name, rest) = key(rest)?;
        Placeholder::OutputArtifact(name, field(rest)?)
    } else if let Some(rest) = path.strip_prefix("outputs.parameters") {
        let (name, rest) = key(rest)?;
        (rest == ".output_file" || rest == ".outputFile").then_some(Placeholder::OutputFile(name))?
    } else {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        path.chars().all(is_name).then_some(Placeholder::Fact(path))?
    };
    Some((placeholder, escapes))
}

/// The key in `['key']`, also with double or doubled quotes, and what follows.
fn key(text: &str) -> Option<(&str, &str)> {
    for (open, close) in [("[''", "'']"), ("['", "']"), ("[\"", "\"]")] {
        if let Some(rest) = text.strip_prefix(open) {
            let end = rest.find(close)?;
            return Some((&rest[..end], &rest[end + close.len()..]));
        }
    }
    None
}

fn field(text: &str) -> Option<Field<'_>> {
    match text {
        "" => Some(Field::Whole),
        ".name" => Some(Field::Name),
        ".uri" => Some(Field::Uri),
        ".path" => Some(Field::Path),
        ".metadata" => Some(Field::Metadata),
        _ => {
            let (name, rest) = key(text.strip_prefix(".metadata")?)?;
            rest.is_empty().then_some(Field::MetadataKey(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn lookup(placeholder: &Placeholder<'_>) -> Option<Value> {
        match placeholder {
            Placeholder::Whole => Some(json!({"inputs": {"parameterValues": {"s": "a\"b"}}})),
            Placeholder::Fact("pipeline_job_name") => Some(json!("run")),
            Placeholder::InputParameter("s") => Some(json!("a\"b")),
            Placeholder::InputParameter("again") => Some(json!("{{$.inputs.parameters['s']}}")),
            Placeholder::InputParameter("n") => Some(json!(1)),
            Placeholder::InputParameter("list") => Some(json!([1, "x"])),
            Placeholder::InputParameter("none") => Some(Value::Null),
            Placeholder::InputParameter("\", \"") => Some(json!("torn")),
            Placeholder::OutputFile("o") => Some(json!("/out/o")),
            Placeholder::InputArtifact("a", Field::Path) => Some(json!("/minio/a")),
            Placeholder::OutputArtifact("m", Field::MetadataKey("k")) => Some(json!("v")),
            _ => None,
        }
    }

    #[test]
    fn placeholders_are_replaced_anywhere_and_once() {
        for (text, expanded) in [
            ("x-{{$.pipeline_job_name}}-{{$.inputs.parameters['n']}}", "x-run-1"),
            ("{{$.inputs.parameters[\"s\"]}}{{$.inputs.parameters[''n'']}}", "a\"b1"),
            ("{{$.inputs.parameters['again']}}", "{{$.inputs.parameters['s']}}"),
            ("{{$.inputs.parameters['list']}}", "[1,\"x\"]"),
            ("{{$.inputs.parameters['none']}}", "null"),
            ("{{$.outputs.parameters['o'].output_file}}:{{$.inputs.artifacts['a'].path}}", "/out/o:/minio/a"),
            ("{{$.outputs.artifacts['m'].metadata['k']}}", "v"),
            ("{{$}}", "{\"inputs\":{\"parameterValues\":{\"s\":\"a\\\"b\"}}}"),
            ("{{$.json_escape[1]}}", "{\\\"inputs\\\":{\\\"parameterValues\\\":{\\\"s\\\":\\\"a\\\\\\\"b\\\"}}}"),
            // Within JSON.
            ("{\"a\": \"{{$.inputs.parameters['s']}}\"}", "{\"a\": \"a\\\"b\"}"),
            ("[\"{{$.inputs.parameters[\\\"s\\\"]}}\"]", "[\"a\\\"b\"]"),
            ("{\"a\": {{$.inputs.parameters['n']}}}", "{\"a\": 1}"),
            ("[\"{{$.inputs.parameters['\", \"']}}\"]", "[\"{{$.inputs.parameters['\", \"']}}\"]"),
            // What is not known stays.
            ("{{$.nothing}} {{$.inputs.parameters['nil']}} {{$", "{{$.nothing}} {{$.inputs.parameters['nil']}} {{$"),
            ("{{$ {{$.pipeline_job_name}}", "{{$ run"),
        ] {
            assert_eq!(expand(text, &lookup), expanded, "{text}");
        }
    }

    #[test]
    fn a_text_may_be_one_placeholder() {
        assert_eq!(sole("{{$.inputs.parameters['n']}}"), Some(Placeholder::InputParameter("n")));
        assert_eq!(sole("{{$.inputs.parameters['n']}}{{$}}"), None);
        assert_eq!(sole("x{{$}}"), None);
    }

    proptest! {
        #[test]
        fn what_was_json_stays_json(name in ".{0,8}", value in ".{0,20}", text in "[a-z\"\\\\{}]{0,8}") {
            let json = json!({text.clone(): [format!("{text}{{{{$.inputs.parameters['x']}}}}{text}"), 1]});
            let given = value.clone();
            let lookup = move |placeholder: &Placeholder<'_>| {
                (*placeholder == Placeholder::InputParameter("x")).then(|| given.clone().into())
            };
            let expanded = expand(&json.to_string(), &lookup);
            let read: Value = serde_json::from_str(&expanded).unwrap();
            prop_assert_eq!(&read[&text][0], &json!(format!("{text}{value}{text}")));
            // And text without placeholders stays as it is.
            prop_assume!(!name.contains("{{$"));
            prop_assert_eq!(expand(&name, &lookup), name);
        }
    }
}
