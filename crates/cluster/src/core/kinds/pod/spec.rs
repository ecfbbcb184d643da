//! The specification of a pod, alone or in a template.
//!
//! After `ValidatePodSpec` and its callers in `pkg/apis/core/validation/validation.go`.

use serde_json::{Value, json};

use super::super::names::{self, Faults};
use super::super::place::Place;
use super::super::value::{
    entries, flag, get, indexed, items, map_of, maybe_flag, maybe_text, number, present, strings, text,
};
use super::super::{address, labels, resources, volumes as sources};
use super::volumes::{self, Volumes};
use super::{containers, scheduling, security};
use crate::core::field::{ErrorList, FieldError};

/// Whether the specification is that of a pod itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Pod,
    Template,
}

/// What the parts of a specification need to know of the whole.
pub struct Scope<'a> {
    pub spec: &'a Value,
    pub volumes: Volumes<'a>,
    pub claims: Vec<&'a str>,
    pub grace_period: Option<i64>,
    /// False when the pod has a user namespace of its own.
    pub host_users: bool,
    pub os: Option<&'a str>,
}

/// Calls for each container with its place: init containers first, as upstream visits them.
pub fn each_container(spec: &Value, place: &Place, mut visit: impl FnMut(&Value, &Place)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let place = place.child(list);
        for (index, container) in indexed(spec, list) {
            visit(container, &place.index(index));
        }
    }
}

/// Checks a `PodSpec`; `meta` is that of the pod, null for templates.
pub fn validate(spec: &Value, meta: &Value, whose: Whose, place: &Place, errors: &mut ErrorList) {
    if !present(spec, "terminationGracePeriodSeconds") {
        errors.push(FieldError::required(place.child("terminationGracePeriodSeconds"), ""));
    }
    let scope = Scope {
        spec,
        volumes: volumes::validate(spec, meta, place, errors),
        claims: items(spec, "resourceClaims")
            .iter()
            .map(|claim| text(claim, "name"))
            .filter(|name| !name.is_empty())
            .collect(),
        grace_period: number(spec, "terminationGracePeriodSeconds"),
        host_users: maybe_flag(spec, "hostUsers") != Some(false),
        os: maybe_text(get(spec, "os"), "name"),
    };
    resource_claims(spec, &place.child("resourceClaims"), errors);
    containers::validate(&scope, place, errors);
    containers::validate_init(&scope, place, errors);
    containers::validate_ephemeral(&scope, place, errors);
    pod_resources(&scope, place, errors);
    host_network_ports(spec, whose, place, errors);
    policies(spec, place, errors);
    labels::validate(get(spec, "nodeSelector"), &place.child("nodeSelector"), errors);
    security::validate_pod(spec, place, errors);
    scheduling::validate_affinity(get(spec, "affinity"), &place.child("affinity"), errors);
    dns_config(spec, place, errors);
    scheduling::validate_gates(spec, place, errors);
    scheduling::validate_spread(spec, place, errors);
    security::validate_host_process(spec, place, errors);
    security::validate_host_users(&scope, place, errors);
    plain_fields(spec, place, errors);
    security::validate_os(spec, place, errors);
}

fn resource_claims(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, claim) in indexed(spec, "resourceClaims") {
        let place = place.index(index);
        let name = text(claim, "name");
        if name.is_empty() {
            errors.push(FieldError::required(place.child("name"), ""));
        } else if seen.contains(&name) {
            errors.push(FieldError::duplicate(place.child("name"), name));
        } else {
            fault_list(names::dns_label(name), name, &place.child("name"), errors);
            seen.push(name);
        }
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        let shown = || {
            let of = |key| get(claim, key).clone();
            json!({ "Name": name, "ResourceClaimName": of(sources[0]), "ResourceClaimTemplateName": of(sources[1]) })
        };
        match sources.iter().filter(|key| present(claim, key)).count() {
            0 => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.push(FieldError::invalid(place, shown(), detail));
            }
            2 => {
                let detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.push(FieldError::invalid(place, shown(), detail));
            }
            _ => {}
        }
        for key in sources {
            if let Some(name) = maybe_text(claim, key) {
                fault_list(names::dns_subdomain(name), name, &place.child(key), errors);
            }
        }
    }
}

/// Adds an error a fault.
pub fn fault_list(faults: Faults, value: &str, place: &Place, errors: &mut ErrorList) {
    errors.extend(faults.into_iter().map(|fault| FieldError::invalid(place, value, fault)));
}

fn pod_resources(scope: &Scope, place: &Place, errors: &mut ErrorList) {
    let requirements = get(scope.spec, "resources");
    if requirements.is_null() {
        return;
    }
    let place = place.child("resources");
    if scope.os == Some("windows") {
        errors.push(FieldError::forbidden(place, "may not be set for a windows pod"));
        return;
    }
    if present(requirements, "claims") {
        let detail = "claims may not be set for Resources at pod-level";
        errors.push(FieldError::forbidden(place.child("claims"), detail));
    }
    resources::validate_requirements(requirements, &scope.claims, resources::Level::Pod, &place, errors);
    let requests = place.child("requests");
    for (name, total) in resources::aggregate(scope.spec, "requests") {
        if let Some(pod) = resources::amount_of(entries(requirements, "requests"), &name).filter(|pod| total > *pod) {
            let detail = format!("must be greater than or equal to aggregate container requests of {total}");
            errors.push(FieldError::invalid(requests.key(&name), pod.to_string(), detail));
        }
    }
    let containers = place.child("containers");
    for (index, container) in indexed(scope.spec, "containers") {
        for (name, limit) in entries(get(container, "resources"), "limits") {
            let limit = resources::amount(limit);
            let pod = resources::amount_of(entries(requirements, "limits"), name);
            if let Some(pod) = pod.filter(|pod| limit > *pod) {
                let place = containers.index(index);
                let place = place.key(name);
                let detail = format!("must be less than or equal to pod limits of {pod}");
                errors.push(FieldError::invalid(place.child("limits"), limit.to_string(), detail));
            }
        }
    }
}

fn host_network_ports(spec: &Value, whose: Whose, place: &Place, errors: &mut ErrorList) {
    if !flag(spec, "hostNetwork") {
        return;
    }
    let list = place.child("containers");
    for (index, container) in indexed(spec, "containers") {
        let place = list.index(index);
        let ports = place.child("ports");
        for (index, port) in indexed(container, "ports") {
            let (host, own) = (number(port, "hostPort").unwrap_or(0), number(port, "containerPort").unwrap_or(0));
            if (whose == Whose::Pod || host != 0) && host != own {
                let place = ports.index(index);
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(place.child("hostPort"), host, detail));
            }
        }
    }
}

fn policies(spec: &Value, place: &Place, errors: &mut ErrorList) {
    const RESTART: [&str; 3] = ["Always", "OnFailure", "Never"];
    const DNS: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    for (key, values) in [("restartPolicy", RESTART.as_slice()), ("dnsPolicy", DNS.as_slice())] {
        match text(spec, key) {
            "" => errors.push(FieldError::required(place.child(key), "")),
            value if values.contains(&value) => {}
            value => errors.push(FieldError::not_supported(place.child(key), value, values)),
        }
    }
}

fn dns_config(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let config = get(spec, "dnsConfig");
    let place = place.child("dnsConfig");
    let (servers, searches) = (place.child("nameservers"), place.child("searches"));
    if text(spec, "dnsPolicy") == "None" {
        if config.is_null() {
            errors.push(FieldError::required(place, "must provide `dnsConfig` when `dnsPolicy` is None"));
            return;
        }
        if items(config, "nameservers").is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(FieldError::required(servers, detail));
            return;
        }
    }
    if items(config, "nameservers").len() > 3 {
        let given = get(config, "nameservers").clone();
        errors.push(FieldError::invalid(servers, given, "must not have more than 3 nameservers"));
    }
    for (index, server) in indexed(config, "nameservers") {
        address::validate_legacy(server.as_str().unwrap_or(""), &servers.index(index), errors);
    }
    let given: Vec<&str> = strings(config, "searches").collect();
    if given.len() > 32 {
        let detail = "must not have more than 32 search paths";
        errors.push(FieldError::invalid(searches, get(config, "searches").clone(), detail));
    }
    if given.join(" ").len() > 2048 {
        let detail = "must not have more than 2048 characters (including spaces) in the search list";
        errors.push(FieldError::invalid(searches, get(config, "searches").clone(), detail));
    }
    for (index, search) in given.iter().enumerate().filter(|(_, search)| **search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        fault_list(names::dns_subdomain_with_underscore(search), search, &searches.index(index), errors);
    }
    let options = place.child("options");
    for (index, option) in indexed(config, "options") {
        if text(option, "name").is_empty() {
            errors.push(FieldError::required(options.index(index), "must not be empty"));
        }
    }
}

fn plain_fields(spec: &Value, place: &Place, errors: &mut ErrorList) {
    type Rule = fn(&str) -> Faults;
    const NAMES: [(&str, Rule); 2] = [("serviceAccountName", names::dns_subdomain), ("nodeName", names::dns_subdomain)];
    const LABELS: [(&str, Rule); 2] = [("hostname", names::dns_label), ("subdomain", names::dns_label)];
    let check = |rules: &[(&str, Rule)], errors: &mut ErrorList| {
        for (key, rule) in rules {
            let value = text(spec, key);
            if !value.is_empty() {
                fault_list(rule(value), value, &place.child(key), errors);
            }
        }
    };
    check(&NAMES, errors);
    if let Some(seconds) = number(spec, "activeDeadlineSeconds")
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let place = place.child("activeDeadlineSeconds");
        errors.push(FieldError::invalid(place, seconds, names::range(1, i64::from(i32::MAX))));
    }
    check(&LABELS, errors);
    scheduling::validate_tolerations(get(spec, "tolerations"), &place.child("tolerations"), errors);
    host_aliases(spec, &place.child("hostAliases"), errors);
    check(&[("priorityClassName", names::dns_subdomain)], errors);
    if let Some(class) = maybe_text(spec, "runtimeClassName") {
        fault_list(names::dns_subdomain(class), class, &place.child("runtimeClassName"), errors);
    }
    match maybe_text(spec, "preemptionPolicy") {
        None | Some("PreemptLowerPriority" | "Never") => {}
        Some("") => errors.push(FieldError::required(place.child("preemptionPolicy"), "")),
        Some(other) => {
            let policies = ["PreemptLowerPriority", "Never"];
            errors.push(FieldError::not_supported(place.child("preemptionPolicy"), other, &policies));
        }
    }
    validate_overhead(get(spec, "overhead"), &place.child("overhead"), errors);
}

/// Checks the amounts that a runtime takes for itself.
pub fn validate_overhead(overhead: &Value, place: &Place, errors: &mut ErrorList) {
    let limits = place.child("limits");
    for (name, value) in map_of(overhead) {
        let place = limits.key(name);
        resources::validate_container_name(name, &place, errors);
        resources::validate_amount(name, &resources::amount(value), &place, errors);
    }
}

fn host_aliases(spec: &Value, place: &Place, errors: &mut ErrorList) {
    for (index, alias) in indexed(spec, "hostAliases") {
        let place = place.index(index);
        address::validate_legacy(text(alias, "ip"), &place.child("ip"), errors);
        let hostnames = place.child("hostnames");
        for (index, hostname) in indexed(alias, "hostnames") {
            let hostname = hostname.as_str().unwrap_or("");
            fault_list(names::dns_subdomain(hostname), hostname, &hostnames.index(index), errors);
        }
    }
}

/// Annotations that mean something to a pod.
pub fn validate_annotations(meta: &Value, spec: &Value, place: &Place, errors: &mut ErrorList) {
    const MIRROR: &str = "kubernetes.io/config.mirror";
    const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
    const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
    const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
    let place = place.child("annotations");
    for (key, value) in entries(meta, "annotations") {
        let value = value.as_str().unwrap_or("");
        if key == MIRROR && text(spec, "nodeName").is_empty() {
            let detail = "must set spec.nodeName if mirror pod annotation is set";
            errors.push(FieldError::invalid(place.key(MIRROR), value, detail));
        }
        if key == DELETION_COST && !is_deletion_cost(value) {
            errors.push(FieldError::invalid(place.key(DELETION_COST), value, "must be a 32bit integer"));
        }
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            seccomp_annotation(value, &place.child(key), errors);
        }
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            let place = place.key(key);
            let lists = ["initContainers", "containers", "ephemeralContainers"];
            if !lists.iter().flat_map(|list| items(spec, list)).any(|other| text(other, "name") == container) {
                errors.push(FieldError::invalid(place, container, "container not found"));
            }
            if !matches!(value, "" | "runtime/default" | "unconfined") && !value.starts_with("localhost/") {
                errors.push(FieldError::invalid(place, value, format!("invalid AppArmor profile name: {value:?}")));
            }
        }
    }
}

fn is_deletion_cost(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let plain = !value.starts_with('+') && (digits == "0" || !digits.starts_with('0'));
    plain && value.parse::<i32>().is_ok()
}

fn seccomp_annotation(value: &str, place: &Place, errors: &mut ErrorList) {
    match value {
        "runtime/default" | "docker/default" | "unconfined" => {}
        _ => match value.strip_prefix("localhost/") {
            Some(path) => sources::local_descending_path(path, place, errors),
            None => errors.push(FieldError::invalid(place, value, "must be a valid seccomp profile")),
        },
    }
}

/// Checks a `PodTemplateSpec`.
pub fn validate_template(template: &Value, place: &Place, errors: &mut ErrorList) {
    let (meta, spec) = (get(template, "metadata"), get(template, "spec"));
    labels::validate(get(meta, "labels"), &place.child("labels"), errors);
    super::super::meta::validate_annotations(get(meta, "annotations"), &place.child("annotations"), errors);
    validate_annotations(meta, spec, place, errors);
    let spec_place = place.child("spec");
    validate(spec, &Value::Null, Whose::Template, &spec_place, errors);
    if !items(spec, "ephemeralContainers").is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(spec_place.child("ephemeralContainers"), detail));
    }
}
