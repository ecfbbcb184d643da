//! CertificateSigningRequest: requests, their approval, their certificates. After `pkg/apis/certificates`.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::names;
use super::place::Place;
use super::strategy::Context;
use super::value::{
    ensure, get, indexed, items, items_mut, keep, number, present, put, remove, same, same_field, strings, text,
};
use crate::core::field::{ErrorList, FieldError};

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// Which write is checked, and so what it may change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Whole,
    Status,
    Approval,
}

/// A new request names who asks.
pub fn prepare(object: &mut Value, ctx: &Context) {
    put(object, "status", json!({}));
    let Some(spec) = ensure(object, "spec") else { return };
    for key in ["username", "uid", "groups", "extra"] {
        match ctx.user.map(|user| get(user, key)).filter(|value| !super::value::is_empty(value)) {
            Some(value) => put(spec, key, value.clone()),
            None => remove(spec, key),
        }
    }
}

/// Nothing but metadata changes.
pub fn prepare_update(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "spec");
    keep(new, old, "status");
}

/// The certificate and other conditions change; approval does not.
pub fn prepare_status(new: &mut Value, old: &Value, ctx: &Context) {
    keep(new, old, "spec");
    let before = items(get(old, "status"), "conditions");
    if let Some(status) = ensure(new, "status") {
        for kind in ["Approved", "Denied"] {
            let of_kind = |condition: &Value| text(condition, "type") == kind;
            let known: Vec<&Value> = before.iter().filter(|condition| of_kind(condition)).collect();
            if items(status, "conditions").iter().filter(|condition| of_kind(condition)).count() != known.len() {
                continue;
            }
            let given = items_mut(status, "conditions").iter_mut().filter(|condition| of_kind(condition));
            for (condition, old) in given.zip(known) {
                *condition = old.clone();
            }
        }
    }
    stamp(new, old, ctx);
}

/// The conditions change; the certificate does not.
pub fn prepare_approval(new: &mut Value, old: &Value, ctx: &Context) {
    stamp(new, old, ctx);
    let conditions = get(get(new, "status"), "conditions").clone();
    keep(new, old, "spec");
    keep(new, old, "status");
    if let Some(status) = ensure(new, "status") {
        put(status, "conditions", conditions);
    }
}

fn stamp(new: &mut Value, old: &Value, ctx: &Context) {
    let before = items(get(old, "status"), "conditions");
    let Some(status) = ensure(new, "status") else { return };
    for condition in items_mut(status, "conditions") {
        if text(condition, "lastUpdateTime").is_empty() {
            put(condition, "lastUpdateTime", ctx.now_text());
        }
        if text(condition, "lastTransitionTime").is_empty() {
            let known = before.iter().find(|old| {
                same_field(old, condition, "type")
                    && same_field(old, condition, "status")
                    && !text(old, "lastTransitionTime").is_empty()
            });
            let time = known.map_or_else(|| ctx.now_text(), |old| text(old, "lastTransitionTime").to_owned());
            put(condition, "lastTransitionTime", time);
        }
    }
}

/// Checks a new request.
pub fn validate(object: &Value, errors: &mut ErrorList) {
    whole(object, None, errors);
}

/// Checks an update of metadata.
pub fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    changes(new, old, Write::Whole, errors);
}

/// Checks a write of the status.
pub fn validate_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    changes(new, old, Write::Status, errors);
}

/// Checks a write of `approval`.
pub fn validate_approval(new: &Value, old: &Value, errors: &mut ErrorList) {
    changes(new, old, Write::Approval, errors);
}

/// The labels of all PEM blocks of a text.
pub fn pem_labels(mut text: &str) -> Vec<String> {
    let mut labels = Vec::new();
    while let Some((label, _, after)) = pem_block(text) {
        labels.push(label.to_owned());
        text = after;
    }
    labels
}

/// The first PEM block of a text: its label and its bytes.
fn pem_block(text: &str) -> Option<(&str, Vec<u8>, &str)> {
    let start = text.find("-----BEGIN ")?;
    let (label, rest) = text[start + 11..].split_once("-----")?;
    let end = format!("-----END {label}-----");
    let (body, after) = rest.split_once(&end)?;
    let body: String = body.chars().filter(|letter| !letter.is_whitespace()).collect();
    Some((label, STANDARD.decode(body).ok()?, after))
}

fn request_fault(request: &str) -> Option<&'static str> {
    let bytes = STANDARD.decode(request).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    match pem_block(&text) {
        Some(("CERTIFICATE REQUEST", der, _)) => {
            // Signature and structure are checked by whoever signs.
            (der.first() != Some(&0x30)).then_some("asn1: structure error: tags don't match")
        }
        _ => Some("PEM block type must be CERTIFICATE REQUEST"),
    }
}

fn certificate_fault(certificate: &str) -> Option<String> {
    let bytes = STANDARD.decode(certificate).unwrap_or_default();
    if bytes.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (mut rest, mut blocks) = (text.as_str(), 0);
    while let Some((label, _, after)) = pem_block(rest) {
        if label != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {label:?}"));
        }
        blocks += 1;
        rest = after;
    }
    (blocks == 0).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

fn whole(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, status, place) = (get(object, "spec"), get(object, "status"), Place::root("spec"));
    if let Some(fault) = request_fault(text(spec, "request")) {
        errors.push(FieldError::invalid(place.child("request"), text(spec, "request"), fault));
    }
    let list = place.child("usages");
    if items(spec, "usages").is_empty() {
        errors.push(FieldError::required(list, ""));
    }
    for (index, usage) in strings(spec, "usages").enumerate().filter(|(_, usage)| !USAGES.contains(usage)) {
        errors.push(FieldError::not_supported(list.index(index), usage, &USAGES));
    }
    let mut seen = HashSet::new();
    for (index, usage) in strings(spec, "usages").enumerate() {
        if !seen.insert(usage) {
            errors.push(FieldError::duplicate(list.index(index), usage));
        }
    }
    let signer = text(spec, "signerName");
    if signer == "kubernetes.io/legacy-unknown" && old.is_none() {
        let detail = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid(place.child("signerName"), signer, detail));
    } else {
        signer_name(signer, &place.child("signerName"), errors);
    }
    if let Some(seconds) = number(spec, "expirationSeconds").filter(|seconds| *seconds < 600) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(place.child("expirationSeconds"), seconds, detail));
    }
    let place = Place::root("status");
    conditions(status, &place.child("conditions"), errors);
    let untouched = old.is_some_and(|old| same_field(get(old, "status"), status, "certificate"));
    if let Some(fault) = certificate_fault(text(status, "certificate")).filter(|_| !untouched) {
        errors.push(FieldError::invalid(place.child("certificate"), "<certificate data>", fault));
    }
}

/// Checks `domain/path` of a signer.
pub fn signer_name(name: &str, place: &Place, errors: &mut ErrorList) {
    if name.is_empty() {
        errors.push(FieldError::required(place, ""));
        return;
    }
    let Some((domain, path)) = name.split_once('/').filter(|(_, path)| !path.contains('/')) else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid(place, name, detail));
        return;
    };
    if domain.len() > 253 {
        errors.push(FieldError::too_long(place, 253));
    }
    let mut labels = |part: &str, rule: fn(&str) -> names::Faults| {
        if let Some(label) = part.split('.').find(|label| !rule(label).is_empty()) {
            for fault in rule(label) {
                errors.push(FieldError::invalid(place, part, format!("validating label {label:?}: {fault}")));
            }
        }
    };
    labels(domain, names::dns_label);
    labels(path, names::dns_subdomain);
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(place, domain, detail));
    }
    // Domain, slash, and a path of a subdomain, a dot and a label: 253 + 1 + 253 + 1 + 63.
    if name.len() > 571 {
        errors.push(FieldError::too_long(place, 571));
    }
}

fn conditions(status: &Value, list: &Place, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (index, condition) in indexed(status, "conditions") {
        let place = list.index(index);
        let (kind, value) = (text(condition, "type"), text(condition, "status"));
        if kind.is_empty() {
            errors.push(FieldError::required(place.child("type"), ""));
        }
        let allowed: &[&str] =
            if matches!(kind, "Approved" | "Denied" | "Failed") { &["True"] } else { &["False", "True", "Unknown"] };
        if value.is_empty() {
            errors.push(FieldError::required(place.child("status"), ""));
        } else if !allowed.contains(&value) {
            errors.push(FieldError::not_supported(place.child("status"), value, allowed));
        }
        let other = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !other.is_empty() && seen.contains(other) {
            errors.push(FieldError::invalid(list, kind, "Approved and Denied conditions are mutually exclusive"));
        }
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(place.child("type"), kind));
        }
    }
}

fn of_kind<'a>(object: &'a Value, kind: &str) -> Vec<&'a Value> {
    items(get(object, "status"), "conditions").iter().filter(|condition| text(condition, "type") == kind).collect()
}

fn changes(new: &Value, old: &Value, write: Write, errors: &mut ErrorList) {
    whole(new, Some(old), errors);
    let place = Place::root("status");
    let conditions = place.child("conditions");
    for kind in ["Approved", "Denied", "Failed"] {
        if of_kind(new, kind).len() < of_kind(old, kind).len() {
            let detail = format!("updates may not remove a condition of type {kind:?}");
            errors.push(FieldError::forbidden(conditions, detail));
        }
    }
    if write != Write::Approval {
        for kind in ["Approved", "Denied"] {
            let (after, before) = (of_kind(new, kind), of_kind(old, kind));
            if after.len() > before.len() {
                let detail = format!("updates may not add a condition of type {kind:?}");
                errors.push(FieldError::forbidden(conditions, detail));
            } else if after.len() == before.len() && !after.iter().zip(&before).all(|(new, old)| same(new, old)) {
                let detail = format!("updates may not modify a condition of type {kind:?}\n");
                errors.push(FieldError::forbidden(conditions, detail));
            }
        }
    }
    if !same_field(get(new, "status"), get(old, "status"), "certificate") {
        let place = place.child("certificate");
        if write != Write::Status {
            errors.push(FieldError::forbidden(place, "updates may not set certificate content"));
        } else if present(get(old, "status"), "certificate") {
            let detail = "updates may not modify existing certificate content";
            errors.push(FieldError::forbidden(place, detail));
        }
    }
}
