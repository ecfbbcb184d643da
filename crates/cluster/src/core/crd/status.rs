//! What the server says about a definition in its status: accepted names and conditions.
//!
//! Answers the status that a definition should have beside the other definitions of its group; it
//! never writes it, and never decides when an object of a deleted definition goes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::default_rules::aggregate;
use super::definition::versions;
use super::go::quote;
use super::structural_rules;
use crate::core::field::{FieldError, Path};

/// Names that other definitions of the same group hold.
#[derive(Clone, Debug, Default)]
pub struct NamesInUse {
    /// Plurals, singulars and short names.
    pub resources: BTreeSet<String>,
    /// Kinds and list kinds.
    pub kinds: BTreeSet<String>,
}

impl NamesInUse {
    /// Collects the accepted names of definitions of a group, without those of the one named `except`.
    pub fn of<'a>(definitions: impl IntoIterator<Item = &'a Value>, group: &str, except: &str) -> Self {
        let mut names = Self::default();
        for crd in definitions {
            if crd["spec"]["group"] != group || crd["metadata"]["name"] == except {
                continue;
            }
            let accepted = &crd["status"]["acceptedNames"];
            let text = |key: &str| accepted.get(key).and_then(Value::as_str).map(str::to_owned);
            names.resources.extend(text("plural").into_iter().chain(text("singular")));
            let short = accepted.get("shortNames").and_then(Value::as_array);
            names.resources.extend(short.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
            names.kinds.extend(text("kind").into_iter().chain(text("listKind")));
        }
        names
    }
}

/// The status of a definition: names, conditions, stored versions. Equal to the present status when
/// nothing is to be changed.
pub fn conditions(crd: &Value, others: &NamesInUse, now: Timestamp) -> Value {
    let mut status = crd.get("status").filter(|status| status.is_object()).cloned().unwrap_or_else(|| json!({}));
    let names = &crd["spec"]["names"];
    if let Some(condition) = approval_condition(crd) {
        set_condition(&mut status, condition, now);
    }
    match structural_condition(crd) {
        Some(condition) => set_condition(&mut status, condition, now),
        None => remove_condition(&mut status, "NonStructuralSchema"),
    }
    if Some(names) != status.get("acceptedNames") {
        accept_names(&mut status, names, others, now);
    }
    if is_true(&status, "NamesAccepted") && !is_true(&status, "Established") {
        let bundle = crd.pointer("/spec/conversion/webhook/clientConfig/caBundle").and_then(Value::as_str);
        let condition = if bundle.is_some_and(|bundle| !bundle.is_empty() && !is_ca_bundle(bundle)) {
            condition("Established", "False", "InvalidCABundle", "The conversion webhook CABundle is invalid")
        } else {
            condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
        };
        set_condition(&mut status, condition, now);
    }
    status
}

/// The condition of a definition that is being deleted.
pub fn terminating(crd: &Value, stage: Termination, now: Timestamp) -> Value {
    let mut status = crd.get("status").filter(|status| status.is_object()).cloned().unwrap_or_else(|| json!({}));
    let (value, reason, message) = match stage {
        Termination::Pending => (
            "True",
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        ),
        Termination::InProgress => ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress"),
        Termination::Completed => ("False", "InstanceDeletionCompleted", "removed all instances"),
        Termination::NeverEstablished => ("False", "NeverEstablished", "resource was never established"),
    };
    set_condition(&mut status, condition("Terminating", value, reason, message), now);
    status
}

/// How far the deletion of a definition's objects has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    Pending,
    InProgress,
    Completed,
    NeverEstablished,
}

/// The finalizer under which the objects of a deleted definition are removed.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Whether a condition of a definition is `True`.
pub fn condition_is_true(crd: &Value, kind: &str) -> bool {
    crd.get("status").is_some_and(|status| is_true(status, kind))
}

fn is_true(status: &Value, kind: &str) -> bool {
    find(status, kind).is_some_and(|condition| condition["status"] == "True")
}

fn find<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status.get("conditions")?.as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

fn set_condition(status: &mut Value, mut new: Value, now: Timestamp) {
    new["lastTransitionTime"] = Value::from(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    match conditions.iter_mut().find(|condition| condition["type"] == new["type"]) {
        None => conditions.push(new),
        Some(known) => {
            if known["status"] == new["status"] && known["lastTransitionTime"].is_string() {
                new["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            *known = new;
        }
    }
}

fn remove_condition(status: &mut Value, kind: &str) {
    if let Some(Value::Array(conditions)) = status.get_mut("conditions") {
        conditions.retain(|condition| condition["type"] != kind);
    }
}

fn accept_names(status: &mut Value, requested: &Value, others: &NamesInUse, now: Timestamp) {
    let mut accepted =
        status.get("acceptedNames").filter(|names| names.is_object()).cloned().unwrap_or_else(|| json!({}));
    let mut conflict: Option<(&str, String)> = None;
    let fields = [
        ("plural", "PluralConflict", &others.resources),
        ("singular", "SingularConflict", &others.resources),
        ("shortNames", "ShortNamesConflict", &others.resources),
        ("kind", "KindConflict", &others.kinds),
        ("listKind", "ListKindConflict", &others.kinds),
    ];
    for (key, reason, used) in fields {
        match conflicts(requested.get(key), accepted.get(key), used) {
            Some(message) => conflict = Some((reason, message)),
            None => copy(requested, &mut accepted, key),
        }
    }
    copy(requested, &mut accepted, "categories");
    status["acceptedNames"] = accepted;
    let (value, reason, message) = match &conflict {
        None => ("True", "NoConflicts", "no conflicts found"),
        Some((reason, message)) => ("False", *reason, message.as_str()),
    };
    set_condition(status, condition("NamesAccepted", value, reason, message), now);
    if find(status, "Established").is_none() {
        let condition = match conflict {
            None => condition("Established", "False", "Installing", "the initial names have been accepted"),
            Some(_) => condition("Established", "False", "NotAccepted", "not all names are accepted"),
        };
        set_condition(status, condition, now);
    }
}

fn copy(from: &Value, to: &mut Value, key: &str) {
    match (from.get(key), to.as_object_mut()) {
        (Some(value), Some(to)) => {
            to.insert(key.to_owned(), value.clone());
        }
        (None, Some(to)) => {
            to.remove(key);
        }
        _ => {}
    }
}

fn conflicts(requested: Option<&Value>, accepted: Option<&Value>, used: &BTreeSet<String>) -> Option<String> {
    let message = |name: &str| format!("{} is already in use", quote(name));
    match requested? {
        Value::String(name) => {
            let own = accepted.and_then(Value::as_str) == Some(name);
            (!own && used.contains(name)).then(|| message(name))
        }
        Value::Array(names) => {
            let own = accepted.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let taken = |name: &&Value| !own.contains(name) && name.as_str().is_some_and(|name| used.contains(name));
            let texts: Vec<String> = names.iter().filter(taken).filter_map(Value::as_str).map(message).collect();
            match texts.as_slice() {
                [] => None,
                [one] => Some(one.clone()),
                many => Some(format!("[{}]", many.join(", "))),
            }
        }
        _ => None,
    }
}

fn structural_condition(crd: &Value) -> Option<Value> {
    let mut errors = Vec::new();
    if crd["spec"]["preserveUnknownFields"] == true {
        errors.push(FieldError::invalid(Path::root("spec").child("preserveUnknownFields"), true, "must be false"));
    }
    for (index, version) in versions(crd).iter().enumerate() {
        let Some(schema) = &version.schema else { continue };
        if let Some(error) = schema.structural_error() {
            let message = format!("failed to check validation schema for version {}: {error}", version.name);
            return Some(condition("NonStructuralSchema", "Unknown", "StructuralError", &message));
        }
        let path = Path::root("spec").child("versions").index(index).child("schema").child("openAPIV3Schema");
        errors.extend(structural_rules::validate(schema, &path));
    }
    aggregate(&errors).map(|message| condition("NonStructuralSchema", "True", "Violations", &message))
}

/// The state of the approval annotation that groups under `k8s.io` and `kubernetes.io` need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    Invalid,
    Approved,
    Bypassed,
    Missing,
}

/// The approval of a protected group with its reason; nothing for other groups.
pub fn approval(crd: &Value) -> Option<(Approval, String)> {
    let group = crd["spec"]["group"].as_str().unwrap_or_default();
    let protected = |domain: &str| group == domain || group.ends_with(&format!(".{domain}"));
    if !protected("k8s.io") && !protected("kubernetes.io") {
        return None;
    }
    let annotation = crd["metadata"]["annotations"]["api-approved.kubernetes.io"].as_str().unwrap_or_default();
    let more = "see https://github.com/kubernetes/enhancements/pull/1111";
    let must = "protected groups must have approval annotation \"api-approved.kubernetes.io\"";
    Some(if annotation.is_empty() {
        (Approval::Missing, format!("{must}, {more}"))
    } else if annotation.starts_with("unapproved") {
        (Approval::Bypassed, format!("not approved: {}", quote(annotation)))
    } else if super::definition::is_approval_url(annotation) {
        (Approval::Approved, format!("approved in {annotation}"))
    } else {
        (Approval::Invalid, format!("{must} with either a URL or a reason starting with \"unapproved\", {more}"))
    })
}

fn approval_condition(crd: &Value) -> Option<Value> {
    let (state, reason) = approval(crd)?;
    let (status, name) = match state {
        Approval::Invalid => ("False", "InvalidAnnotation"),
        Approval::Missing => ("False", "MissingAnnotation"),
        Approval::Approved => ("True", "ApprovedAnnotation"),
        Approval::Bypassed => ("False", "UnapprovedAnnotation"),
    };
    Some(condition("KubernetesAPIApprovalPolicyConformant", status, name, &reason))
}

/// Whether a base64 text holds at least one PEM block with a certificate.
pub(super) fn is_ca_bundle(base64_text: &str) -> bool {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(base64_text).unwrap_or_default();
    let text = String::from_utf8_lossy(&decoded);
    let Some((_, rest)) = text.split_once("-----BEGIN CERTIFICATE-----") else { return false };
    let Some((body, _)) = rest.split_once("-----END CERTIFICATE-----") else { return false };
    let body: String = body.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(body).is_ok_and(|der| der.first() == Some(&0x30))
}
