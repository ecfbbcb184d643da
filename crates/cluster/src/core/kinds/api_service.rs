//! APIService: registrations of groups and versions. After `pkg/apis/apiregistration` of kube-aggregator.
//!
//! Nothing here serves a group of another server; a registration without a service is this server's own.

use serde_json::{Value, json};

use super::place::Place;
use super::pod::spec::fault_list;
use super::strategy::Context;
use super::value::{default_to, flag, get, get_mut, indexed, integer, keep, present, put, text};
use super::{meta, names};
use crate::core::field::{ErrorList, FieldError};

/// A group's service listens where HTTPS does.
const PORT: i64 = 443;
const GROUP_PRIORITY_MAX: i64 = 20_000;
const VERSION_PRIORITY_MAX: i64 = 1_000;

/// Defaults of a registration.
pub fn default_api_service(object: &mut Value) {
    if let Some(service) = get_mut(object, "spec").and_then(|spec| get_mut(spec, "service")) {
        default_to(service, "port", PORT);
    }
}

/// A registration of what the server itself serves is available at once.
pub fn prepare_api_service(object: &mut Value, ctx: &Context) {
    let mut status = json!({});
    if !present(get(object, "spec"), "service") {
        put(
            &mut status,
            "conditions",
            json!([{
                "type": "Available",
                "status": "True",
                "lastTransitionTime": ctx.now_text(),
                "reason": "Local",
                "message": "Local APIServices are always available",
            }]),
        );
    }
    put(object, "status", status);
}

/// Checks a registration; its name is made of its version and group.
pub fn validate_api_service(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let (group, version) = (text(spec, "group"), text(spec, "version"));
    let (name, wanted) = (text(get(object, "metadata"), "name"), format!("{version}.{group}"));
    if !name.is_empty() && name != wanted {
        let detail = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
        errors.push(FieldError::invalid(Place::root("metadata").child("name"), name, detail));
    }
    if group.is_empty() && version != "v1" {
        let detail = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(place.child("group"), detail));
    }
    if !group.is_empty() {
        fault_list(names::dns_subdomain(group), group, &place.child("group"), errors);
    }
    fault_list(names::dns1035_label(version), version, &place.child("version"), errors);
    for (key, most) in [("groupPriorityMinimum", GROUP_PRIORITY_MAX), ("versionPriority", VERSION_PRIORITY_MAX)] {
        let priority = integer(spec, key);
        if !(1..=most).contains(&priority) {
            let detail = format!("must be positive and less than {most}");
            errors.push(FieldError::invalid(place.child(key), priority, detail));
        }
    }
    backend(spec, &place, errors);
}

fn backend(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let (bundle, insecure) = (text(spec, "caBundle"), flag(spec, "insecureSkipTLSVerify"));
    if !present(spec, "service") {
        if !bundle.is_empty() {
            // In base64, four letters are three bytes.
            let bytes = bundle.trim_end_matches('=').len() * 3 / 4;
            let detail = "local APIServices may not have a caBundle";
            errors.push(FieldError::invalid(place.child("caBundle"), format!("{bytes} bytes"), detail));
        }
        if insecure {
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(FieldError::invalid(place.child("insecureSkipTLSVerify"), true, detail));
        }
        return;
    }
    let (service, own) = (get(spec, "service"), place.child("service"));
    for key in ["namespace", "name"] {
        if text(service, key).is_empty() {
            errors.push(FieldError::required(own.child(key), ""));
        }
    }
    let port = integer(service, "port");
    if !(1..=65535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(own.child("port"), port, detail));
    }
    if insecure && !bundle.is_empty() {
        let detail = "may not be true if caBundle is present";
        errors.push(FieldError::invalid(place.child("insecureSkipTLSVerify"), true, detail));
    }
}

/// Keeps the specification and the metadata.
pub fn prepare_api_service_status(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "spec");
    meta::reset_for_status(new, old);
}

/// Checks the conditions of a registration.
pub fn validate_api_service_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let place = Place::root("status");
    let list = place.child("conditions");
    for (index, condition) in indexed(get(new, "status"), "conditions") {
        let status = text(condition, "status");
        if !matches!(status, "True" | "False" | "Unknown") {
            let known = ["False", "True", "Unknown"];
            errors.push(FieldError::not_supported(list.index(index).child("status"), status, &known));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(object: &Value) -> Vec<String> {
        let mut errors = ErrorList::new();
        validate_api_service(object, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    fn registration(more: Value) -> Value {
        let mut spec = json!({"group": "x.org", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10});
        json_patch::merge(&mut spec, &more);
        json!({"metadata": {"name": "v1.x.org"}, "spec": spec})
    }

    #[test]
    fn a_service_listens_on_443_where_nothing_else_is_said() {
        let mut object = registration(json!({"service": {"namespace": "n", "name": "s"}}));
        default_api_service(&mut object);
        assert_eq!(object["spec"]["service"]["port"], 443);
        assert!(faults(&object).is_empty());
    }

    #[test]
    fn a_registration_is_named_by_its_version_and_group() {
        let found = faults(&registration(json!({"version": "v2", "versionPriority": 0})));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("must be `spec.version+\".\"+spec.group`: \"v2.x.org\""), "{found:?}");
    }
}
