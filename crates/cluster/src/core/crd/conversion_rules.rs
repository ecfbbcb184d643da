//! How a definition converts between its versions, and what is wrong there.
//!
//! Answers the faults of `spec.conversion`. No webhook is ever called.

use serde_json::Value;

use super::definition::{list, text};
use super::definition_parts::enumeration;
use super::go::quote;
use super::status;
use crate::core::field::{ErrorList, FieldError, Path};
use crate::core::kinds::names;

/// What an update forgives in webhook conversions.
#[derive(Clone, Copy)]
pub(super) struct ConversionOptions {
    require_recognized: bool,
    allow_invalid_ca: bool,
}

impl Default for ConversionOptions {
    fn default() -> Self {
        Self { require_recognized: true, allow_invalid_ca: true }
    }
}

impl ConversionOptions {
    pub(super) fn for_update(old: &Value, established: bool) -> Self {
        let webhook = &old["spec"]["conversion"]["webhook"];
        let reviewed = list(webhook, "conversionReviewVersions");
        let bundle = webhook.pointer("/clientConfig/caBundle").and_then(Value::as_str).unwrap_or_default();
        Self {
            require_recognized: reviewed.is_empty()
                || reviewed.iter().any(|version| *version == "v1" || *version == "v1beta1"),
            allow_invalid_ca: !established || (!bundle.is_empty() && !status::is_ca_bundle(bundle)),
        }
    }
}

/// The faults of `spec.conversion`.
pub(super) fn conversion_errors(spec: &Value, path: &Path, options: ConversionOptions) -> ErrorList {
    let Some(conversion) = spec.get("conversion").filter(|conversion| conversion.is_object()) else {
        return Vec::new();
    };
    let path = path.child("conversion");
    let strategy = text(conversion, "strategy");
    let mut errors: ErrorList =
        enumeration(&path.child("strategy"), strategy, &["None", "Webhook"]).into_iter().collect();
    if strategy != "None" && spec["preserveUnknownFields"] == true {
        let detail = "must be None if spec.preserveUnknownFields is true";
        errors.push(FieldError::invalid(path.child("strategy"), strategy, detail));
    }
    let webhook = conversion.get("webhook").filter(|webhook| webhook.is_object());
    let client = webhook.and_then(|webhook| webhook.get("clientConfig")).filter(|client| client.is_object());
    let reviewed = webhook.map(|webhook| list(webhook, "conversionReviewVersions")).unwrap_or_default();
    let client_path = path.child("webhookClientConfig");
    let reviewed_path = path.child("conversionReviewVersions");
    if strategy != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        if client.is_some() {
            errors.push(FieldError::forbidden(client_path, detail));
        }
        if !reviewed.is_empty() {
            errors.push(FieldError::forbidden(reviewed_path, detail));
        }
        return errors;
    }
    match client {
        None => errors.push(FieldError::required(client_path, "required when strategy is set to Webhook")),
        Some(client) => errors.extend(client_errors(client, &client_path, options)),
    }
    errors.extend(review_version_errors(reviewed, &reviewed_path, options));
    errors
}

fn client_errors(client: &Value, path: &Path, options: ConversionOptions) -> ErrorList {
    let mut errors = Vec::new();
    let url = client.get("url").and_then(Value::as_str);
    let service = client.get("service").filter(|service| service.is_object());
    match (url, service) {
        (Some(url), None) => errors.extend(webhook_url_errors(url, &path.child("url"))),
        (None, Some(service)) => errors.extend(webhook_service_errors(service, &path.child("service"))),
        _ => errors.push(FieldError::required(path, "exactly one of url or service is required")),
    }
    let bundle = text(client, "caBundle");
    if !bundle.is_empty() && !options.allow_invalid_ca && !status::is_ca_bundle(bundle) {
        let detail = "unable to load root certificates: unable to parse bytes as PEM block";
        errors.push(FieldError::invalid(path.child("caBundle"), bundle, detail));
    }
    errors
}

fn webhook_url_errors(url: &str, path: &Path) -> ErrorList {
    const FORM: &str = "; desired format: https://host[/path]";
    let mut errors = Vec::new();
    let (address, fragment) = url.split_once('#').unwrap_or((url, ""));
    let parsed = match super::go_url::parse(address) {
        Ok(parsed) => parsed,
        Err(error) => {
            let detail = format!("url must be a valid URL: parse {}: {error}{FORM}", quote(url));
            return vec![FieldError::required(path, detail)];
        }
    };
    if parsed.scheme != "https" {
        let detail = format!("'https' is the only allowed URL scheme{FORM}");
        errors.push(FieldError::invalid(path, parsed.scheme.as_str(), detail));
    }
    if parsed.host.is_empty() {
        errors.push(FieldError::invalid(path, "", format!("host must be specified{FORM}")));
    }
    let authority = address.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
    if let Some((user, _)) = authority.rsplit_once('@') {
        errors.push(FieldError::invalid(path, user, "user information is not permitted in the URL"));
    }
    if !fragment.is_empty() {
        errors.push(FieldError::invalid(path, fragment, "fragments are not permitted in the URL"));
    }
    if !parsed.query.is_empty() {
        errors.push(FieldError::invalid(path, parsed.query.as_str(), "query parameters are not permitted in the URL"));
    }
    errors
}

/// Upstream hands name and namespace over in the wrong order, so each is missed under the other's name.
fn webhook_service_errors(service: &Value, path: &Path) -> ErrorList {
    let mut errors = Vec::new();
    if text(service, "namespace").is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    if text(service, "name").is_empty() {
        errors.push(FieldError::required(path.child("namespace"), ""));
    }
    let port = service.get("port").and_then(Value::as_i64).unwrap_or_default();
    if !(1..=65_535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(path.child("port"), port, detail));
    }
    let url_path = text(service, "path");
    let field = path.child("path");
    if url_path.is_empty() || url_path == "/" {
        return errors;
    }
    if url_path == "//" {
        errors.push(FieldError::invalid(field, url_path, "segment[0] may not be empty"));
        return errors;
    }
    if !url_path.starts_with('/') {
        errors.push(FieldError::invalid(&field, url_path, "must start with a '/'"));
    }
    let mut rest = url_path.chars();
    rest.next();
    let rest = rest.as_str();
    for (index, segment) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if segment.is_empty() {
            errors.push(FieldError::invalid(&field, url_path, format!("segment[{index}] may not be empty")));
            continue;
        }
        for fault in names::dns_subdomain(segment) {
            errors.push(FieldError::invalid(&field, url_path, format!("segment[{index}]: {fault}")));
        }
    }
    errors
}

fn review_version_errors(versions: &[Value], path: &Path, options: ConversionOptions) -> ErrorList {
    if versions.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        let name = version.as_str().unwrap_or_default();
        if versions[..index].contains(version) {
            errors.push(FieldError::invalid(path.index(index), name, "duplicate version"));
            continue;
        }
        let faults = names::dns1035_label(name);
        errors.extend(faults.into_iter().map(|fault| FieldError::invalid(path.index(index), name, fault)));
    }
    let recognized = versions.iter().any(|version| *version == "v1" || *version == "v1beta1");
    if options.require_recognized && !recognized {
        let detail = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(path, versions.to_vec(), detail));
    }
    errors
}
