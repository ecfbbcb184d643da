//! What a webhook answers, and the words in which a request is refused for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::core::{go_json, status::Failure};

/// Warnings longer than this are cut; all of a request together too: 4096 bytes a response, as upstream.
const WARNING_BYTES: usize = 4096;

/// Whether a webhook may change the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Mutating,
    Validating,
}

/// A webhook's verdict.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub allowed: bool,
    /// Steps of a JSON patch.
    pub patch: Vec<u8>,
    pub warnings: Vec<String>,
    /// The `Status` of a denial, where the webhook gives one.
    pub status: Value,
}

/// Reads the answer to the review `uid` of a version.
///
/// # Errors
/// What is wrong with it, in upstream's words.
pub fn read(body: &[u8], version: &str, uid: &str, sort: Sort) -> Result<Verdict, String> {
    let review: Value = serde_json::from_slice(body)
        .map_err(|error| go_json::fault(body).unwrap_or_else(|| error.to_string()))
        .map_err(|fault| format!("failed to call webhook: {fault}"))?;
    verdict(&review, version, uid, sort).map_err(|fault| format!("received invalid webhook response: {fault}"))
}

fn verdict(review: &Value, version: &str, uid: &str, sort: Sort) -> Result<Verdict, String> {
    let response = review.get("response").filter(|response| response.is_object());
    let response = response.ok_or("webhook response was absent")?;
    if version == "v1" {
        check_identity(review, response, uid)?;
    }
    let text = |name: &str| response.get(name).and_then(Value::as_str);
    let patch = text("patch").unwrap_or_default();
    let patch = STANDARD.decode(patch).map_err(|error| format!("response.patch is no base64: {error}"))?;
    if version == "v1" {
        check_patch(&patch, text("patchType"), sort)?;
    }
    let warnings = response["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Ok(Verdict {
        allowed: response["allowed"] == true,
        patch: if sort == Sort::Mutating { patch } else { Vec::new() },
        warnings: warnings.map(cut).collect(),
        status: response.get("status").cloned().unwrap_or_default(),
    })
}

fn check_identity(review: &Value, response: &Value, uid: &str) -> Result<(), String> {
    let given = response["uid"].as_str().unwrap_or_default();
    if given != uid {
        return Err(format!("expected response.uid={uid:?}, got {given:?}"));
    }
    let (api_version, kind) = (review["apiVersion"].as_str(), review["kind"].as_str());
    if (api_version, kind) != (Some("admission.k8s.io/v1"), Some("AdmissionReview")) {
        let (api_version, kind) = (api_version.unwrap_or_default(), kind.unwrap_or_default());
        // A group, version and kind as Go writes them.
        let api_version = if api_version.contains('/') { api_version.to_owned() } else { format!("/{api_version}") };
        return Err(format!(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {api_version}, Kind={kind}"
        ));
    }
    Ok(())
}

fn check_patch(patch: &[u8], patch_type: Option<&str>, sort: Sort) -> Result<(), String> {
    let fault = match (sort, patch.is_empty(), patch_type) {
        (Sort::Validating, false, _) => "validating webhook may not return response.patch".to_owned(),
        (Sort::Validating, true, Some(_)) => "validating webhook may not return response.patchType".to_owned(),
        (Sort::Mutating, false, None) => "webhook returned response.patch but not response.patchType".to_owned(),
        (Sort::Mutating, true, Some(_)) => "webhook returned response.patchType but not response.patch".to_owned(),
        (Sort::Mutating, false, Some("")) => "webhook returned invalid response.patchType of \"\"".to_owned(),
        (Sort::Mutating, false, Some(other)) if other != "JSONPatch" => format!("unsupported patch type {other:?}"),
        _ => return Ok(()),
    };
    Err(fault)
}

fn cut(warning: &str) -> String {
    let mut end = warning.len().min(WARNING_BYTES);
    while !warning.is_char_boundary(end) {
        end -= 1;
    }
    warning[..end].to_owned()
}

/// The refusal of a request that a webhook denies.
pub fn denial(hook: &str, status: &Value) -> Box<Failure> {
    let mut status = if status.is_object() { status.clone() } else { json!({}) };
    let denied = format!("admission webhook {hook:?} denied the request");
    let text = |name: &str| status[name].as_str().filter(|text| !text.is_empty());
    let message = match (text("message"), text("reason")) {
        (Some(message), _) => format!("{denied}: {message}"),
        (None, Some(reason)) => format!("{denied}: {reason}"),
        (None, None) => format!("{denied} without explanation"),
    };
    status["message"] = message.into();
    // A refusal is no success, whatever its code says.
    let code = status["code"].as_u64().filter(|code| (400..600).contains(code)).unwrap_or(400);
    status["code"] = code.into();
    Failure::of_another(&status)
}

/// The refusal of a dry run that a webhook does not support.
pub fn no_dry_run(hook: &str) -> Box<Failure> {
    Failure::bad_request(format!("admission webhook {hook:?} does not support dry run"))
}

/// The refusal of a request about which a webhook could not be asked.
pub fn uncalled(hook: &str, reason: &str) -> Box<Failure> {
    Failure::internal(format!("failed calling webhook {hook:?}: {reason}"))
}

/// Whether a webhook may be asked at a dry run.
pub fn allows_dry_run(hook: &Value) -> bool {
    matches!(hook["sideEffects"].as_str(), Some("None" | "NoneOnDryRun"))
}
