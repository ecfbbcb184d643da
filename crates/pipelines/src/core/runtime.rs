//! What a run is created with: parameters that the pipeline's root takes, and nothing else.

use serde_json::{Map, Value};

use super::{
    fault::Fault,
    ir::{InputParameter, ParameterType, Pipeline},
    value::{Parameters, describe, integral},
};

/// The root's input parameters: what is given, then defaults, then `null` for optional ones without.
///
/// `null` counts as not given. Nothing is coerced: `"5"` is no integer.
///
/// # Errors
/// Where a parameter is missing, unknown, of the wrong type or none of its literals; and where the root needs artifacts,
/// which a run cannot be given. The first two in the words of upstream's `validatePipelineJobInputs`.
pub fn parameters(pipeline: &Pipeline, given: Map<String, Value>) -> Result<Parameters, Fault> {
    let declared = &pipeline.root.inputs;
    let unknown: Vec<&str> =
        given.keys().filter(|name| !declared.parameters.contains_key(*name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        let known: Vec<&str> = declared.parameters.keys().map(String::as_str).collect();
        let known =
            if known.is_empty() { "it takes none".to_owned() } else { format!("it takes {}", known.join(", ")) };
        let what = format!("parameter(s) provided are not required by pipeline: {}; {known}", unknown.join(", "));
        return Err(Fault::new("runtime_config.parameters", what));
    }
    if let Some((name, _)) = declared.artifacts.iter().find(|(_, artifact)| !artifact.is_optional) {
        let what = format!(
            "the pipeline needs the input artifact {name:?}, and a run can only be given parameters; \
             import the artifact with dsl.importer, or call this pipeline from another one"
        );
        return Err(Fault::new("", what));
    }
    let mut given = given;
    let mut parameters = Parameters::new();
    for (name, declared) in &declared.parameters {
        let value = match given.remove(name).filter(|value| !value.is_null()) {
            Some(value) => checked(name, declared, integral(value))?,
            None => match &declared.default {
                Some(default) => default.clone(),
                None if declared.is_optional => Value::Null,
                None => {
                    let what = format!(
                        "parameter {name} is not optional, yet has neither default value nor user provided value"
                    );
                    return Err(Fault::new("runtime_config.parameters", what));
                }
            },
        };
        parameters.insert(name.clone(), value);
    }
    Ok(parameters)
}

fn checked(name: &str, declared: &InputParameter, value: Value) -> Result<Value, Fault> {
    let at = || format!("runtime_config.parameters.{name}");
    let is_fraction = declared.kind == ParameterType::Integer && value.is_f64();
    if !declared.kind.takes(&value) || is_fraction {
        let kind = declared.kind;
        let what = format!("must be {} ({}), not {}", kind.describe(), kind.name(), describe(&value));
        return Err(Fault::new(at(), what));
    }
    literal(declared, &value).map_err(|what| Fault::new(at(), what))?;
    Ok(value)
}

/// Whether a value is one of the literals of a parameter that has some.
///
/// # Errors
/// Where it is not, with what it may be.
pub fn literal(declared: &InputParameter, value: &Value) -> Result<(), String> {
    if declared.literals.is_empty() || declared.literals.contains(value) {
        return Ok(());
    }
    let literals: Vec<String> = declared.literals.iter().map(Value::to_string).collect();
    Err(format!("must be one of {}, not {}", literals.join(", "), describe(value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::ir::read;

    fn pipeline() -> Pipeline {
        let parameters = json!({
            "needed": {"parameterType": "NUMBER_INTEGER"},
            "default": {"parameterType": "STRING", "defaultValue": "d", "isOptional": true},
            "optional": {"parameterType": "LIST", "isOptional": true},
            "choice": {"parameterType": "STRING", "literals": ["a", "b"], "defaultValue": "a", "isOptional": true},
        });
        read::pipeline(&json!({
            "pipelineInfo": {"name": "p"}, "schemaVersion": "2.1.0",
            "root": {"dag": {}, "inputDefinitions": {"parameters": parameters}},
        }))
        .unwrap()
    }

    fn given(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn what_is_given_comes_before_defaults_and_nothing_is_null() {
        let parameters = parameters(&pipeline(), given(json!({"needed": 5.0, "default": null}))).unwrap();
        let expected = json!({"needed": 5, "default": "d", "optional": null, "choice": "a"});
        assert_eq!(serde_json::to_value(&parameters).unwrap(), expected);
        assert_eq!(parameters["needed"].to_string(), "5");
    }

    #[test]
    fn faults_name_the_parameter() {
        let at = "runtime_config.parameters";
        for (values, fault) in [
            (
                json!({}),
                format!(
                    "{at}: parameter needed is not optional, yet has neither default value nor user provided value"
                ),
            ),
            (
                json!({"needed": 1, "b": 1, "a": 1}),
                format!(
                    "{at}: parameter(s) provided are not required by pipeline: a, b; it takes choice, default, needed, optional"
                ),
            ),
            (json!({"needed": "5"}), format!("{at}.needed: must be an integer (NUMBER_INTEGER), not the string \"5\"")),
            (json!({"needed": 1.5}), format!("{at}.needed: must be an integer (NUMBER_INTEGER), not the number 1.5")),
            (json!({"needed": 1, "optional": {}}), format!("{at}.optional: must be a list (LIST), not an object")),
            (
                json!({"needed": 1, "choice": "c"}),
                format!("{at}.choice: must be one of \"a\", \"b\", not the string \"c\""),
            ),
        ] {
            let mut values = given(values);
            // Maps may keep the order they were given in.
            values.sort_keys();
            assert_eq!(parameters(&pipeline(), values).unwrap_err().to_string(), fault);
        }
    }

    #[test]
    fn a_root_that_needs_artifacts_cannot_be_run() {
        let pipeline = read::pipeline(&json!({
            "pipelineInfo": {"name": "p"}, "schemaVersion": "2.1.0",
            "root": {"dag": {}, "inputDefinitions": {"artifacts": {"data": {}}}},
        }))
        .unwrap();
        let fault = parameters(&pipeline, Map::new()).unwrap_err().to_string();
        assert!(fault.contains("needs the input artifact \"data\""), "{fault}");
    }
}
