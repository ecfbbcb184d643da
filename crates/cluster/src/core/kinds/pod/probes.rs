//! Probes and lifecycle hooks of a container, and what they do.
//!
//! After `validateLifecycle` and the probe validations of `pkg/apis/core/validation/validation.go`.

use serde_json::Value;

use super::super::names;
use super::super::place::Place;
use super::super::value::{get, integer, items, maybe_text, number, present, text};
use super::containers::{nonnegative, port_number_or_name};
use super::spec::Scope;
use crate::core::field::{ErrorList, FieldError};

/// Checks `lifecycle` and the three probes of a container.
pub fn validate(container: &Value, scope: &Scope, place: &Place, errors: &mut ErrorList) {
    let lifecycle = get(container, "lifecycle");
    let lifecycle_place = place.child("lifecycle");
    for hook in ["postStart", "preStop"] {
        if present(lifecycle, hook) {
            let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
            handler(get(lifecycle, hook), &kinds, scope, &lifecycle_place.child(hook), errors);
        }
    }
    if let Some(signal) = maybe_text(lifecycle, "stopSignal") {
        stop_signal(signal, scope, &lifecycle_place.child("stopSignal"), errors);
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let value = get(container, name);
        if !value.is_null() {
            probe(value, name, scope, &place.child(name), errors);
        }
    }
}

fn stop_signal(signal: &str, scope: &Scope, place: &Place, errors: &mut ErrorList) {
    match scope.os {
        None => {
            let detail = "may not be set for containers with empty `spec.os.name`";
            errors.push(FieldError::forbidden(place, detail));
        }
        Some("windows") if !matches!(signal, "SIGKILL" | "SIGTERM") => {
            errors.push(FieldError::not_supported(place, signal, &["SIGKILL", "SIGTERM"]));
        }
        Some(_) => {}
    }
}

fn probe(probe: &Value, name: &str, scope: &Scope, place: &Place, errors: &mut ErrorList) {
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], scope, place, errors);
    for key in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        nonnegative(integer(probe, key), &place.child(key), errors);
    }
    let grace = number(probe, "terminationGracePeriodSeconds");
    let grace_place = place.child("terminationGracePeriodSeconds");
    if let Some(seconds) = grace.filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(grace_place, seconds, "must be greater than 0"));
    }
    if name == "readinessProbe" {
        if let Some(seconds) = grace {
            errors.push(FieldError::invalid(grace_place, seconds, "must not be set for readinessProbes"));
        }
    } else if integer(probe, "successThreshold") != 1 {
        let place = place.child("successThreshold");
        errors.push(FieldError::invalid(place, integer(probe, "successThreshold"), "must be 1"));
    }
}

fn handler(handler: &Value, kinds: &[&str], scope: &Scope, place: &Place, errors: &mut ErrorList) {
    let mut count = 0;
    for kind in kinds {
        let action = get(handler, kind);
        if action.is_null() {
            continue;
        }
        let place = place.child(kind);
        if count > 0 {
            errors.push(FieldError::forbidden(place, "may not specify more than 1 handler type"));
            continue;
        }
        count += 1;
        match *kind {
            "exec" => {
                if items(action, "command").is_empty() {
                    errors.push(FieldError::required(place.child("command"), ""));
                }
            }
            "httpGet" => http_get(action, &place, errors),
            "sleep" => sleep(action, scope, &place, errors),
            _ => port_number_or_name(get(action, "port"), &place.child("port"), errors),
        }
    }
    if count == 0 {
        errors.push(FieldError::required(place, "must specify a handler type"));
    }
}

fn http_get(action: &Value, place: &Place, errors: &mut ErrorList) {
    if text(action, "path").is_empty() {
        errors.push(FieldError::required(place.child("path"), ""));
    }
    port_number_or_name(get(action, "port"), &place.child("port"), errors);
    let scheme = text(action, "scheme");
    if !matches!(scheme, "HTTP" | "HTTPS") {
        errors.push(FieldError::not_supported(place.child("scheme"), scheme, &["HTTP", "HTTPS"]));
    }
    for header in items(action, "httpHeaders") {
        let name = text(header, "name");
        for fault in names::http_header_name(name) {
            errors.push(FieldError::invalid(place.child("httpHeaders"), name, fault));
        }
    }
}

fn sleep(action: &Value, scope: &Scope, place: &Place, errors: &mut ErrorList) {
    let seconds = integer(action, "seconds");
    if let Some(grace) = scope.grace_period.filter(|grace| seconds < 0 || seconds > *grace) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(FieldError::invalid(place, seconds, detail));
    }
}
