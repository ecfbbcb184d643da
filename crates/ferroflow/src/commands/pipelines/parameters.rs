//! Parameters of a run from the command line: text becomes what the pipeline declares.

use std::collections::BTreeMap;

use ferroflow_pipelines::core::ir::{InputParameter, ParameterType, Pipeline};
use serde_json::{Map, Value};

use crate::problem::Problem;

/// The values of a run's parameters.
///
/// # Errors
/// For the first that the pipeline does not have, that is no value of its type, or that is required and missing.
pub fn typed(pipeline: &Pipeline, given: &[(String, String)]) -> anyhow::Result<Map<String, Value>> {
    let declared = &pipeline.root.inputs.parameters;
    let mut values = Map::new();
    for (name, text) in given {
        let Some(parameter) = declared.get(name) else {
            let what = format!("the pipeline {} has no parameter {name:?}", pipeline.name);
            return Err(Problem::new(what, described(declared)).into());
        };
        let value = value(parameter.kind, text).ok_or_else(|| {
            let kind = kind_name(parameter.kind);
            let what = format!("parameter {name:?} is {}, and {text:?} is not", with_article(kind));
            Problem::new(what, example(name, parameter.kind))
        })?;
        values.insert(name.clone(), value);
    }
    let missing = |(name, parameter): &(&String, &InputParameter)| {
        parameter.default.is_none() && !parameter.is_optional && !values.contains_key(*name)
    };
    if let Some((name, parameter)) = declared.iter().find(missing) {
        let what = format!("the pipeline {} needs a value for the parameter {name:?}", pipeline.name);
        return Err(Problem::new(what, example(name, parameter.kind)).into());
    }
    Ok(values)
}

/// The value that `text` is; `None` where it is none of that type.
fn value(kind: ParameterType, text: &str) -> Option<Value> {
    let json = || serde_json::from_str::<Value>(text).ok();
    match kind {
        ParameterType::String => Some(text.into()),
        ParameterType::Integer => text.trim().parse::<i64>().ok().map(Value::from),
        // What is not finite is no JSON.
        ParameterType::Double => text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        ParameterType::Boolean => match text.trim().to_ascii_lowercase().as_str() {
            "true" => Some(true.into()),
            "false" => Some(false.into()),
            _ => None,
        },
        ParameterType::List => json().filter(Value::is_array),
        ParameterType::Struct | ParameterType::TaskFinalStatus | ParameterType::TaskConfig => {
            json().filter(Value::is_object)
        }
    }
}

/// A type as people call it.
pub fn kind_name(kind: ParameterType) -> &'static str {
    match kind {
        ParameterType::String => "text",
        ParameterType::Integer => "integer",
        ParameterType::Double => "number",
        ParameterType::Boolean => "boolean",
        ParameterType::List => "list",
        ParameterType::Struct => "struct",
        ParameterType::TaskFinalStatus => "task's final status",
        ParameterType::TaskConfig => "task's configuration",
    }
}

fn with_article(kind: &str) -> String {
    match kind {
        "text" => kind.to_owned(),
        "integer" => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

fn example(name: &str, kind: ParameterType) -> String {
    let value = match kind {
        ParameterType::String => "TEXT",
        ParameterType::Integer => "3",
        ParameterType::Double => "0.5",
        ParameterType::Boolean => "true",
        ParameterType::List => "'[1, 2]'",
        ParameterType::Struct | ParameterType::TaskFinalStatus | ParameterType::TaskConfig => "'{\"key\": \"value\"}'",
    };
    format!("write -p {name}={value}")
}

fn described(declared: &BTreeMap<String, InputParameter>) -> String {
    if declared.is_empty() {
        return "it has none".to_owned();
    }
    let each = declared.iter().map(|(name, parameter)| format!("{name} ({})", kind_name(parameter.kind)));
    format!("it has {}", each.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_becomes_what_is_declared() {
        use ParameterType::{Boolean, Double, Integer, List, String, Struct};
        for (kind, text, expected) in [
            (String, "5", json!("5")),
            (String, "", json!("")),
            (Integer, "-5", json!(-5)),
            (Double, "5", json!(5.0)),
            (Double, "1e3", json!(1000.0)),
            (Boolean, "True", json!(true)),
            (List, "[1, \"a\"]", json!([1, "a"])),
            (Struct, "{\"a\": null}", json!({"a": null})),
        ] {
            assert_eq!(value(kind, text), Some(expected), "{kind:?} {text}");
        }
        for (kind, text) in [
            (Integer, "5.5"),
            (Integer, "five"),
            (Double, "inf"),
            (Boolean, "yes"),
            (List, "1, 2"),
            (List, "{}"),
            (Struct, "[]"),
        ] {
            assert_eq!(value(kind, text), None, "{kind:?} {text}");
        }
    }
}
