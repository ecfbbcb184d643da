//! `matchConditions` of webhooks and policies.
//!
//! After `pkg/admission/plugin/webhook/matchconditions`: one condition that is false decides, whatever others fail in.

use serde_json::Value;

use super::expression::{self, Params, Seen};
use crate::core::crd::cel::types::Type;
use crate::core::crd::cel::value::{Fault, Val};

/// What an expression of a condition does wrong; nothing where it can be run.
pub fn fault(source: &str, params: Params) -> Option<String> {
    expression::compile(source, &expression::names(params), &[Type::Bool]).err()
}

/// Whether all conditions hold; when one cannot be decided and none is false, `failurePolicy` decides.
///
/// # Errors
/// The faults of the conditions, where the policy is to fail.
pub fn hold(holder: &Value, params: Params, seen: &Seen<'_>, budget: &mut u64) -> Result<bool, String> {
    let mut faults = Vec::new();
    let names = expression::names(params);
    for condition in holder["matchConditions"].as_array().into_iter().flatten() {
        let source = condition["expression"].as_str().unwrap_or_default();
        let program = match expression::compile(source, &names, &[Type::Bool]) {
            Ok((program, _)) => program,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        match expression::run(source, &program, seen.variables(), budget) {
            Ok(Val::Bool(true)) => {}
            Ok(Val::Bool(false)) => return Ok(false),
            Ok(_) => faults.push(format!("expression '{source}' must evaluate to bool")),
            Err(Fault::Error(text)) => faults.push(text),
            Err(Fault::Limit) => faults.push("operation cancelled: actual cost limit exceeded".to_owned()),
        }
    }
    match (&faults[..], holder["failurePolicy"].as_str()) {
        ([], _) => Ok(true),
        (_, Some("Ignore")) => Ok(false),
        ([one], _) => Err(one.clone()),
        (many, _) => Err(format!("[{}]", many.join(", "))),
    }
}
