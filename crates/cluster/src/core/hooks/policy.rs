//! ValidatingAdmissionPolicy: what its expressions say of one request.
//!
//! After `pkg/admission/plugin/policy/validating` of `k8s.io/apiserver`. Which bindings and parameters there are is
//! looked up by the shell. Annotations for an audit log, which there is none of, are compiled and not evaluated.

use serde_json::{Value, json};

use super::expression::{self, POLICY_BUDGET, Params, Plan, Seen, object_type};
use super::{Attributes, conditions};
use crate::core::crd::cel::types::Type;
use crate::core::crd::cel::value::{Fault, Outcome, Val};
use crate::core::status::Failure;

/// The longest message that an expression may make.
const MESSAGE_BYTES: usize = 5 * 1024;

/// Something that speaks against a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub message: String,
    pub reason: String,
}

impl Denial {
    /// One that is no matter of an expression.
    pub fn of_fault(message: impl Into<String>) -> Self {
        Self { message: message.into(), reason: String::new() }
    }
}

/// Whether a fault of a policy speaks against the request.
pub fn fails_closed(policy: &Value) -> bool {
    policy["spec"]["failurePolicy"] != "Ignore"
}

/// Whether expressions of a policy may name `params`.
pub fn params_of(spec: &Value) -> Params {
    if spec["paramKind"].is_object() { Params::Given } else { Params::None }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// The names that expressions may use, and the programs of the variables.
struct Environment<'p> {
    names: Vec<(String, Type)>,
    /// Name with its prefix, source, program.
    variables: Vec<(String, &'p str, Plan)>,
}

/// A fault of an expression: the field below `spec`, the expression, what is wrong.
pub type ExpressionFault = (String, String, String);

fn environment<'p>(spec: &'p Value, faults: &mut Vec<ExpressionFault>) -> Environment<'p> {
    let names = expression::names(params_of(spec));
    let mut environment = Environment { names, variables: Vec::new() };
    let mut fields: Vec<(String, Type)> = Vec::new();
    for (index, variable) in items(spec, "variables").enumerate() {
        let (name, source) = (text(variable, "name"), text(variable, "expression"));
        match expression::compile(source, &environment.names, &[]) {
            Ok((program, kind)) => {
                fields.push((name.to_owned(), kind.clone()));
                environment.names.retain(|(name, _)| name != "variables");
                environment.names.push(("variables".to_owned(), object_type("kubernetes.variables", fields.clone())));
                environment.names.push((format!("variables.{name}"), kind));
                environment.variables.push((format!("variables.{name}"), source, program));
            }
            Err(fault) => faults.push((format!("variables[{index}].expression"), source.to_owned(), fault)),
        }
    }
    environment
}

/// The faults of a policy's expressions; conditions are looked at elsewhere.
pub fn faults(spec: &Value) -> Vec<ExpressionFault> {
    let mut faults = Vec::new();
    let environment = environment(spec, &mut faults);
    let mut check = |list: &str, field: &str, wanted: &[Type]| {
        for (index, one) in items(spec, list).enumerate() {
            let source = text(one, field);
            if source.trim().is_empty() {
                continue;
            }
            if let Err(fault) = expression::compile(source, &environment.names, wanted) {
                faults.push((format!("{list}[{index}].{field}"), source.to_owned(), fault));
            }
        }
    };
    check("validations", "expression", &[Type::Bool]);
    check("validations", "messageExpression", &[Type::Text]);
    check("auditAnnotations", "valueExpression", &[Type::Text, Type::Null]);
    faults
}

/// What a policy has against a request with one parameter, or none.
pub fn judge(policy: &Value, seen: &Seen<'_>) -> Vec<Denial> {
    let spec = &policy["spec"];
    let closed = fails_closed(policy);
    let mut budget = POLICY_BUDGET;
    match conditions::hold(spec, params_of(spec), seen, &mut budget) {
        Ok(true) => {}
        Ok(false) => return Vec::new(),
        Err(fault) => return closed.then(|| Denial::of_fault(fault)).into_iter().collect(),
    }
    let mut compile_faults = Vec::new();
    let environment = environment(spec, &mut compile_faults);
    let mut variables: Vec<(&str, Outcome<Val<'_>>)> = seen.variables();
    let mut values: Vec<(&str, Outcome<Val<'_>>)> = Vec::new();
    for (name, source, program) in &environment.variables {
        let before = variables.iter().chain(&values).cloned().collect();
        values.push((name.as_str(), expression::run(source, program, before, &mut budget)));
    }
    variables.extend(values);
    let mut denials = Vec::new();
    for validation in items(spec, "validations") {
        match outcome(text(validation, "expression"), &environment, &variables, &mut budget) {
            Ok(true) => {}
            Ok(false) => denials.push(failed(validation, &environment, &variables, &mut budget)),
            Err(fault) if closed => denials.push(Denial::of_fault(fault)),
            Err(_) => {}
        }
    }
    denials
}

fn outcome<'a>(
    source: &str,
    environment: &Environment<'_>,
    variables: &[(&'a str, Outcome<Val<'a>>)],
    budget: &mut u64,
) -> Result<bool, String> {
    let (program, _) = expression::compile(source, &environment.names, &[Type::Bool])?;
    match expression::run(source, &program, variables.to_vec(), budget) {
        Ok(value) => Ok(matches!(value, Val::Bool(true))),
        Err(Fault::Error(text)) => Err(text),
        Err(Fault::Limit) => Err("operation cancelled: actual cost limit exceeded".to_owned()),
    }
}

fn failed<'a>(
    validation: &Value,
    environment: &Environment<'_>,
    variables: &[(&'a str, Outcome<Val<'a>>)],
    budget: &mut u64,
) -> Denial {
    let source = text(validation, "messageExpression");
    let made =
        expression::compile(source, &environment.names, &[Type::Text]).ok().filter(|_| !source.trim().is_empty());
    // Messages do not see the authorizer, which a message has no use for.
    let made = made.and_then(|(program, _)| expression::run(source, &program, variables.to_vec(), budget).ok());
    let made = match &made {
        Some(Val::Text(text)) => text.trim(),
        _ => "",
    };
    let made = if made.len() > MESSAGE_BYTES || made.contains('\n') { "" } else { made };
    let message = match (made, text(validation, "message").trim()) {
        ("", "") => format!("failed expression: {}", text(validation, "expression").trim()),
        ("", message) => message.to_owned(),
        (made, _) => made.to_owned(),
    };
    Denial { message, reason: text(validation, "reason").to_owned() }
}

/// The refusal of a request that a policy denies.
pub fn refusal(
    attributes: &Attributes,
    object: Option<&Value>,
    policy: &str,
    binding: Option<&str>,
    denial: &Denial,
) -> Box<Failure> {
    let with = binding.map(|binding| format!(" with binding '{binding}'")).unwrap_or_default();
    let message = format!("ValidatingAdmissionPolicy '{policy}'{with} denied request: {}", denial.message);
    let metadata = object.map_or(&Value::Null, |object| &object["metadata"]);
    let names = [Some(attributes.name.as_str()), metadata["name"].as_str(), metadata["generateName"].as_str()];
    let name = names.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or("Unknown");
    let (group, plural) = (&attributes.resource.group, &attributes.resource.plural);
    let resource = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
    let (reason, code) = match denial.reason.as_str() {
        "Forbidden" => ("Forbidden", 403),
        "Unauthorized" => ("Unauthorized", 401),
        "RequestEntityTooLarge" => ("RequestEntityTooLarge", 413),
        _ => ("Invalid", 422),
    };
    let mut details = json!({"name": name, "kind": plural, "causes": [{"message": message}]});
    if !group.is_empty() {
        details["group"] = group.as_str().into();
    }
    Failure::of_another(&json!({
        "message": format!("{resource} {name:?} is forbidden: {message}"),
        "reason": reason, "code": code, "details": details,
    }))
}
