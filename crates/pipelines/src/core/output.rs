//! What a step has made, by the report of its launcher.
//!
//! The rules are those of upstream's `launcher_v2.go`: what the executor output says comes first, then the file of each
//! parameter, read by its type; a parameter that is declared and nowhere to be found fails the step.

use serde_json::{Map, Value};

use super::{
    executor::{self, Step},
    fault::Fault,
    ir::ParameterType,
    step::Report,
    value::{Artifact, Values, describe, integral},
};

/// The outputs of a step that has succeeded; artifacts without ids.
///
/// # Errors
/// Where a parameter is missing or not of its type, where the executor output has another shape than it should, and
/// where an artifact claims a place in the run's storage that is neither the step's own nor that of one of its inputs.
pub fn read(step: &Step<'_>, report: &Report) -> Result<Values, Fault> {
    let mut values = Values::default();
    let nothing = Map::new();
    let output = match &report.output {
        None | Some(Value::Null) => &nothing,
        Some(Value::Object(output)) => output,
        Some(other) => {
            return Err(Fault::new("executor output", format!("must be an object, not {}", describe(other))));
        }
    };
    let section = |name: &str| match output.get(name) {
        None | Some(Value::Null) => Ok(&nothing),
        Some(Value::Object(section)) => Ok(section),
        Some(other) => {
            Err(Fault::new(name, format!("must be an object in the executor output, not {}", describe(other))))
        }
    };
    let said = section("parameterValues")?;
    for (name, kind) in &step.component.outputs.parameters {
        let at = || format!("outputs.parameters.{name}");
        let value = match (said.get(name), report.parameters.get(name)) {
            (Some(value), _) => typed(*kind, value.clone()),
            (None, Some(text)) => parse(*kind, text),
            (None, None) => Err(format!(
                "failed to read output parameter {name:?}: the step has left it neither in its executor output nor in {}",
                step.parameter_path(name)
            )),
        };
        values.parameters.insert(name.clone(), value.map_err(|what| Fault::new(at(), what))?);
    }
    let said = section("artifacts")?;
    for (name, declared) in &step.component.outputs.artifacts {
        let entries = said.get(name).and_then(|list| list.get("artifacts")).and_then(Value::as_array);
        let entries = entries.map_or(&[][..], Vec::as_slice);
        let count = if declared.is_list { entries.len().max(1) } else { 1 };
        let mut artifacts = Vec::with_capacity(count);
        for index in 0..count {
            artifacts.push(artifact(step, name, entries.get(index))?);
        }
        values.artifacts.insert(name.clone(), artifacts);
    }
    Ok(values)
}

/// An artifact by what is declared, and what the program says of it.
fn artifact(step: &Step<'_>, name: &str, said: Option<&Value>) -> Result<Artifact, Fault> {
    let mut artifact = executor::output_artifact(step, name);
    super::uri::check(format!("outputs.artifacts.{name}"), &artifact.uri)?;
    if artifact.schema_title.is_empty() {
        "system.Artifact".clone_into(&mut artifact.schema_title);
    }
    let Some(said) = said else { return Ok(artifact) };
    if let Some(Value::Object(metadata)) = said.get("metadata") {
        let metadata = metadata.iter().map(|(name, value)| (name.clone(), integral(value.clone())));
        artifact.metadata.extend(metadata);
    }
    if let Some(uri) = said.get("uri").and_then(Value::as_str).filter(|uri| !uri.is_empty()) {
        let uri = step.place().uri(uri);
        super::uri::check(format!("outputs.artifacts.{name}"), &uri)?;
        check_claim(step, name, &uri)?;
        artifact.uri = uri;
    }
    Ok(artifact)
}

/// What lies in the run's storage belongs to the step that made it; others may only hand on what they were given. Whose
/// it is that lies elsewhere is known to the store alone.
fn check_claim(step: &Step<'_>, name: &str, uri: &str) -> Result<(), Fault> {
    let is_within = |above: &str| {
        let above = above.trim_end_matches('/');
        uri.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let leads_out = uri.split('/').any(|part| part == "..");
    let is_own = is_within(step.uri) && !leads_out;
    let is_given = || step.inputs.artifacts.values().flatten().any(|artifact| is_within(&artifact.uri));
    if is_own || !is_within(&step.facts.root) || (is_given() && !leads_out) {
        return Ok(());
    }
    let what = format!("claims to lie at {uri}, which is neither below {} nor one of the step's inputs", step.uri);
    Err(Fault::new(format!("outputs.artifacts.{name}"), what))
}

/// A value of the executor output by its type. `null` is what an optional result without a value is.
fn typed(kind: ParameterType, value: Value) -> Result<Value, String> {
    let value = integral(value);
    if value.is_null() || kind == ParameterType::String || kind.takes(&value) {
        return Ok(value);
    }
    Err(format!("output parameter type mismatch: expect {}, got {}", kind.name(), describe(&value)))
}

/// The text of a parameter's file by its type; a string with the end of its last line, as upstream has it.
fn parse(kind: ParameterType, text: &str) -> Result<Value, String> {
    let wrong = |what: &str| format!("the file holds no {what} ({}) but {}", kind.name(), describe(&text.into()));
    let word = text.trim();
    match kind {
        ParameterType::String => Ok(text.into()),
        ParameterType::Integer => word.parse::<i64>().map(Value::from).map_err(|_| wrong("integer")),
        ParameterType::Double => match word.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(integral(number.into())),
            _ => Err(wrong("number")),
        },
        // Go's `strconv.ParseBool`.
        ParameterType::Boolean => match word {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true.into()),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false.into()),
            _ => Err(wrong("boolean")),
        },
        ParameterType::List | ParameterType::Struct | ParameterType::TaskFinalStatus | ParameterType::TaskConfig => {
            let value = serde_json::from_str::<Value>(word).map_err(|_| wrong("JSON"))?;
            if kind.takes(&value) {
                Ok(integral(value))
            } else {
                Err(wrong(if kind == ParameterType::List { "list" } else { "object" }))
            }
        }
    }
}

#[cfg(test)]
mod tests;
