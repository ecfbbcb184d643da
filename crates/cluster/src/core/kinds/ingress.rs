//! Ingress and IngressClass.

use super::jobs::domain_prefixed_path;
use super::meta::{self, immutable};
use super::place::Place;
use super::pod::containers::port_number;
use super::pod::spec::fault_list;
use super::service::ingress_host;
use super::strategy::Context;
use super::value::{
    default_to, elements, ensure, get, get_mut, indexed, integer, items, maybe_text, present, put, strings, text,
};
use super::{address, names};
use crate::core::field::{ErrorList, FieldError};
use serde_json::{Value, json};

/// Clears the status of an Ingress.
pub fn prepare_ingress(object: &mut Value, _: &Context) {
    put(object, "status", json!({"loadBalancer": {}}));
}

/// Defaults of an Ingress: the parts that are always shown.
pub fn default_ingress(object: &mut Value) {
    ensure(object, "spec");
    ensure(object, "status").and_then(|status| ensure(status, "loadBalancer"));
}

const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

/// Checks an Ingress.
pub fn validate_ingress(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let backend = get(spec, "defaultBackend");
    if items(spec, "rules").is_empty() && backend.is_null() {
        let given = get(spec, "rules").clone();
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(place, given, detail));
    }
    if !backend.is_null() {
        ingress_backend(backend, &place.child("defaultBackend"), errors);
    }
    let list = place.child("rules");
    for (index, rule) in indexed(spec, "rules") {
        ingress_rule(rule, &list.index(index), errors);
    }
    let list = place.child("tls");
    for (index, tls) in indexed(spec, "tls") {
        let place = list.index(index);
        let hosts = place.child("hosts");
        for (index, host) in strings(tls, "hosts").enumerate() {
            fault_list(host_faults(host), host, &hosts.index(index), errors);
        }
        let secret = text(tls, "secretName");
        if !secret.is_empty() {
            fault_list(names::dns_subdomain(secret), secret, &place.child("secretName"), errors);
        }
    }
    if let Some(class) = maybe_text(spec, "ingressClassName") {
        fault_list(names::dns_subdomain(class), class, &place.child("ingressClassName"), errors);
    }
}

/// Checks what only holds for a new Ingress.
pub fn validate_ingress_create(object: &Value, errors: &mut ErrorList) {
    validate_ingress(object, errors);
    let class = maybe_text(get(object, "spec"), "ingressClassName");
    if let (Some(annotated), Some(class)) = (meta::annotation(object, INGRESS_CLASS), class)
        && annotated != class
    {
        let place = Place::root("annotations");
        let detail = "must match `ingressClassName` when both are specified";
        errors.push(FieldError::invalid(place.child(INGRESS_CLASS), annotated, detail));
    }
}

fn host_faults(host: &str) -> names::Faults {
    if host.contains('*') { names::wildcard_subdomain(host) } else { names::dns_subdomain(host) }
}

fn ingress_rule(rule: &Value, place: &Place, errors: &mut ErrorList) {
    let host = text(rule, "host");
    if !host.is_empty() {
        if address::parse_sloppy(host).is_some() {
            errors.push(FieldError::invalid(place.child("host"), host, "must be a DNS name, not an IP address"));
        }
        fault_list(host_faults(host), host, &place.child("host"), errors);
    }
    let http = get(rule, "http");
    if http.is_null() {
        return;
    }
    let place = place.child("http");
    let list = place.child("paths");
    if items(http, "paths").is_empty() {
        errors.push(FieldError::required(list, ""));
    }
    for (index, path) in indexed(http, "paths") {
        ingress_path(path, &list.index(index), errors);
    }
}

fn ingress_path(path: &Value, place: &Place, errors: &mut ErrorList) {
    let Some(kind) = maybe_text(path, "pathType") else {
        errors.push(FieldError::required(place.child("pathType"), "pathType must be specified"));
        return;
    };
    let value = text(path, "path");
    let path_place = place.child("path");
    let absolute = "must be an absolute path";
    match kind {
        "Exact" | "Prefix" => {
            if !value.starts_with('/') {
                errors.push(FieldError::invalid(path_place, value, absolute));
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|part| value.contains(*part)) {
                errors.push(FieldError::invalid(path_place, value, format!("must not contain '{part}'")));
            }
            for end in ["/..", "/."].iter().filter(|end| value.ends_with(*end)) {
                errors.push(FieldError::invalid(path_place, value, format!("cannot end with '{end}'")));
            }
        }
        "ImplementationSpecific" => {
            if !value.is_empty() && !value.starts_with('/') {
                errors.push(FieldError::invalid(path_place, value, absolute));
            }
        }
        _ => {
            let kinds = ["Exact", "ImplementationSpecific", "Prefix"];
            errors.push(FieldError::not_supported(place.child("pathType"), kind, &kinds));
        }
    }
    ingress_backend(get(path, "backend"), &place.child("backend"), errors);
}

fn ingress_backend(backend: &Value, place: &Place, errors: &mut ErrorList) {
    let (resource, service) = (get(backend, "resource"), get(backend, "service"));
    match (resource.is_null(), service.is_null()) {
        (false, false) => {
            errors.push(FieldError::invalid(place, "", "cannot set both resource and service backends"));
        }
        (false, true) => typed_reference(resource, &place.child("resource"), errors),
        (true, false) => service_backend(service, place, errors),
        (true, true) => errors.push(FieldError::invalid(place, "", "resource or service backend is required")),
    }
}

fn service_backend(service: &Value, place: &Place, errors: &mut ErrorList) {
    let own = place.child("service");
    let name = text(service, "name");
    if name.is_empty() {
        errors.push(FieldError::required(own.child("name"), ""));
    } else {
        fault_list(names::dns1035_label(name), name, &own.child("name"), errors);
    }
    let port = get(service, "port");
    let port_place = own.child("port");
    match (text(port, "name"), integer(port, "number")) {
        ("", 0) => errors.push(FieldError::required(place, "port name or number is required")),
        ("", number) => port_number(number, &port_place.child("number"), errors),
        (name, 0) => fault_list(names::port_name(name), name, &port_place.child("name"), errors),
        _ => errors.push(FieldError::invalid(place, "", "cannot set both port name & port number")),
    }
}

fn typed_reference(reference: &Value, place: &Place, errors: &mut ErrorList) {
    if let Some(group) = maybe_text(reference, "apiGroup") {
        fault_list(names::dns_subdomain(group), group, &place.child("apiGroup"), errors);
    }
    for key in ["kind", "name"] {
        path_segment(reference, key, place, errors);
    }
}

pub(super) fn path_segment(reference: &Value, key: &str, place: &Place, errors: &mut ErrorList) {
    let value = text(reference, key);
    if value.is_empty() {
        errors.push(FieldError::required(place.child(key), ""));
    } else {
        fault_list(names::path_segment(value), value, &place.child(key), errors);
    }
}

/// Checks a write of an Ingress's status.
pub fn validate_ingress_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let points = |object: &'_ Value| get(get(get(object, "status"), "loadBalancer"), "ingress").clone();
    let (given, before) = (points(new), points(old));
    let place = Place::root("status");
    let place = place.child("loadBalancer");
    let list = place.child("ingress");
    for (index, point) in elements(&given).iter().enumerate() {
        let place = list.index(index);
        let ip = text(point, "ip");
        if !ip.is_empty() && !elements(&before).iter().any(|old| text(old, "ip") == ip) {
            address::validate_legacy(ip, &place.child("ip"), errors);
        }
        ingress_host(text(point, "hostname"), &place.child("hostname"), errors);
    }
}

/// Warnings about a new Ingress.
pub fn warn_ingress(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    let annotated = meta::annotation(object, INGRESS_CLASS).is_some();
    if old.is_none() && annotated && !present(get(object, "spec"), "ingressClassName") {
        warnings
            .push(format!("annotation {INGRESS_CLASS:?} is deprecated, please use 'spec.ingressClassName' instead"));
    }
}

/// Defaults of an IngressClass.
pub fn default_ingress_class(object: &mut Value) {
    if let Some(parameters) = ensure(object, "spec").and_then(|spec| get_mut(spec, "parameters")) {
        default_to(parameters, "scope", "Cluster");
    }
}

/// Checks an IngressClass.
pub fn validate_ingress_class(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let controller = text(spec, "controller");
    if controller.len() > 250 {
        errors.push(FieldError::too_long(place.child("controller"), 250));
    }
    domain_prefixed_path(controller, &place.child("controller"), errors);
    let parameters = get(spec, "parameters");
    if parameters.is_null() {
        return;
    }
    let place = place.child("parameters");
    typed_reference(parameters, &place, errors);
    let namespace = maybe_text(parameters, "namespace");
    let namespace_place = place.child("namespace");
    match (maybe_text(parameters, "scope"), namespace) {
        (None, _) => errors.push(FieldError::required(place.child("scope"), "")),
        (Some("Namespace"), None) => {
            errors.push(FieldError::required(namespace_place, "`parameters.scope` is set to 'Namespace'"));
        }
        (Some("Namespace"), Some(namespace)) => {
            fault_list(names::dns_label(namespace), namespace, &namespace_place, errors);
        }
        (Some("Cluster"), Some(_)) => {
            errors.push(FieldError::forbidden(namespace_place, "`parameters.scope` is set to 'Cluster'"));
        }
        (Some("Cluster"), None) => {}
        (Some(other), _) => {
            errors.push(FieldError::not_supported(place.child("scope"), other, &["Cluster", "Namespace"]));
        }
    }
}

/// The controller of an IngressClass stays.
pub fn validate_ingress_class_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let of = |object: &'_ Value| Value::from(text(get(object, "spec"), "controller"));
    immutable(&of(new), &of(old), &place.child("controller"), errors);
}
