//! Warnings about pods and templates that are valid and yet unlikely to do what their author means.
//!
//! After `pkg/api/pod/warnings.go`.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::super::place::Place;
use super::super::value::{entries, get, indexed, integer, items, map_of, number, present, text};
use super::super::{address, resources};
use super::profiles;
use super::spec::{Whose, each_container};

const NODE_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];
const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];
const SOURCES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Why a node label should no longer be used.
pub fn deprecated_node_label(key: &str) -> Option<&'static str> {
    NODE_LABELS.iter().find(|(label, _)| *label == key).map(|(_, message)| *message)
}

/// Warnings about a pod or a template at a place; a pod stands at [`Place::OBJECT`].
pub fn of_template(template: &Value, place: &Place, warnings: &mut Vec<String>) {
    let (meta, spec) = (get(template, "metadata"), get(template, "spec"));
    let spec_place = place.child("spec");
    node_labels(spec, &spec_place, warnings);
    spread(spec, &spec_place, warnings);
    let annotations = place.child("metadata");
    let annotations = annotations.child("annotations");
    for (key, message) in ANNOTATIONS {
        if entries(meta, "annotations").contains_key(key) {
            warnings.push(format!("{}: {message}", annotations.key(key)));
        }
    }
    let whose = if place.is_object() { Whose::Pod } else { Whose::Template };
    profiles::warn(template, place, whose, warnings);
    volumes(spec, &spec_place, warnings);
    duplicates(spec, &spec_place, warnings);
    each_container(spec, &spec_place, |container, place| {
        fractions(container, place, warnings);
        variables(container, place, warnings);
    });
    ports(spec, &spec_place, warnings);
    if number(spec, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        warnings.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            spec_place.child("terminationGracePeriodSeconds")
        ));
    }
    null_selectors(spec, &spec_place, warnings);
    addresses(spec, &spec_place, warnings);
}

fn node_labels(spec: &Value, place: &Place, warnings: &mut Vec<String>) {
    let selector = place.child("nodeSelector");
    for key in entries(spec, "nodeSelector").keys() {
        if let Some(message) = deprecated_node_label(key) {
            warnings.push(format!("{}: {message}", selector.key(key)));
        }
    }
    let affinity = get(get(spec, "affinity"), "nodeAffinity");
    let place = place.child("affinity");
    let place = place.child("nodeAffinity");
    let required = place.child("requiredDuringSchedulingIgnoredDuringExecution");
    let required = required.child("nodeSelectorTerms");
    let terms = get(affinity, "requiredDuringSchedulingIgnoredDuringExecution");
    for (index, term) in indexed(terms, "nodeSelectorTerms") {
        of_node_term(term, TermKind::Required, &required.index(index), warnings);
    }
    let preferred = place.child("preferredDuringSchedulingIgnoredDuringExecution");
    for (index, term) in indexed(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
        let place = preferred.index(index);
        of_node_term(get(term, "preference"), TermKind::Preferred, &place.child("preference"), warnings);
    }
}

/// Whether a node selector term must hold; values of one that must have been checked already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermKind {
    Required,
    Preferred,
}

/// Warnings about the labels of a node selector term.
pub fn of_node_term(term: &Value, kind: TermKind, place: &Place, warnings: &mut Vec<String>) {
    let expressions = place.child("matchExpressions");
    for (index, expression) in indexed(term, "matchExpressions") {
        let place = expressions.index(index);
        let key = text(expression, "key");
        if let Some(message) = deprecated_node_label(key) {
            warnings.push(format!("{}: {key} is {message}", place.child("key")));
        }
        if kind == TermKind::Required {
            continue;
        }
        let values = place.child("values");
        for (index, value) in indexed(expression, "values") {
            let value = value.as_str().unwrap_or("");
            for fault in super::super::names::label_value(value) {
                warnings.push(format!("{}: {value} is invalid, {fault}", values.index(index)));
            }
        }
    }
}

fn spread(spec: &Value, place: &Place, warnings: &mut Vec<String>) {
    let list = place.child("topologySpreadConstraints");
    for (index, constraint) in indexed(spec, "topologySpreadConstraints") {
        let place = list.index(index);
        let key = text(constraint, "topologyKey");
        if let Some(message) = deprecated_node_label(key) {
            warnings.push(format!("{}: {key} is {message}", place.child("topologyKey")));
        }
        null_selector(constraint, &place, warnings);
    }
}

fn null_selector(term: &Value, place: &Place, warnings: &mut Vec<String>) {
    if !present(term, "labelSelector") {
        warnings.push(format!("{}: a null labelSelector results in matching no pod", place.child("labelSelector")));
    }
}

fn null_selectors(spec: &Value, place: &Place, warnings: &mut Vec<String>) {
    let place = place.child("affinity");
    for key in ["podAffinity", "podAntiAffinity"] {
        let terms = get(get(spec, "affinity"), key);
        let place = place.child(key);
        let required = place.child("requiredDuringSchedulingIgnoredDuringExecution");
        for (index, term) in indexed(terms, "requiredDuringSchedulingIgnoredDuringExecution") {
            null_selector(term, &required.index(index), warnings);
        }
        let preferred = place.child("preferredDuringSchedulingIgnoredDuringExecution");
        for (index, term) in indexed(terms, "preferredDuringSchedulingIgnoredDuringExecution") {
            let place = preferred.index(index);
            null_selector(get(term, "podAffinityTerm"), &place.child("podAffinityTerm"), warnings);
        }
    }
}

fn volumes(spec: &Value, place: &Place, warnings: &mut Vec<String>) {
    let list = place.child("volumes");
    for (index, volume) in indexed(spec, "volumes") {
        let place = list.index(index);
        for (field, shown, message) in SOURCES {
            if present(volume, field) {
                warnings.push(format!("{}: {message}", place.child(shown)));
            }
        }
        let claim = get(get(get(volume, "ephemeral"), "volumeClaimTemplate"), "spec");
        let place = place.child("ephemeral");
        let place = place.child("volumeClaimTemplate");
        super::super::storage_claims::warn_spec(claim, &place.child("spec"), warnings);
    }
    for volume in items(spec, "volumes") {
        overlaps(volume, warnings);
    }
}

/// A path inside a volume and, in projected volumes, where its content comes from.
#[derive(Clone, PartialEq)]
struct Mapped {
    path: String,
    source: String,
}

impl std::fmt::Display for Mapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.source.is_empty() {
            write!(f, "{:?}", self.path)
        } else {
            write!(f, "{:?} ({})", self.path, self.source)
        }
    }
}

fn mapped(source: &Value, label: &str) -> Vec<Mapped> {
    items(source, "items")
        .iter()
        .map(|item| Mapped { path: text(item, "path").trim_end_matches('/').to_owned(), source: label.to_owned() })
        .collect()
}

fn collisions(paths: Vec<Mapped>) -> Vec<String> {
    let inside = |outer: &str, inner: &str| format!("{inner}/").starts_with(&format!("{outer}/"));
    let mut found = Vec::new();
    for (index, path) in paths.iter().enumerate().filter(|(_, path)| !path.path.is_empty()) {
        for other in paths[..index].iter().filter(|other| !other.path.is_empty()) {
            if other == path || inside(&path.path, &other.path) || inside(&other.path, &path.path) {
                found.push(format!("{path} with {other}"));
            }
        }
    }
    found
}

fn overlaps(volume: &Value, warnings: &mut Vec<String>) {
    let name = text(volume, "name");
    let mut warn = |what: String, found: Vec<String>| {
        for body in found {
            warnings.push(format!("volume {name:?} ({what}): overlapping paths: {body}"));
        }
    };
    let (config_map, secret) = (get(volume, "configMap"), get(volume, "secret"));
    warn(format!("ConfigMap {:?}", text(config_map, "name")), collisions(mapped(config_map, "")));
    warn(format!("Secret {:?}", text(secret, "secretName")), collisions(mapped(secret, "")));
    warn("DownwardAPI".to_owned(), collisions(mapped(get(volume, "downwardAPI"), "")));
    let mut projected = Vec::new();
    let mut empty = 0;
    for source in items(get(volume, "projected"), "sources") {
        let (config_map, secret) = (get(source, "configMap"), get(source, "secret"));
        if map_of(source).values().all(Value::is_null) {
            empty += 1;
        } else if !items(config_map, "items").is_empty() {
            projected.extend(mapped(config_map, &format!("ConfigMap {:?}", text(config_map, "name"))));
        } else if !items(secret, "items").is_empty() {
            projected.extend(mapped(secret, &format!("Secret {:?}", text(secret, "name"))));
        } else if !items(get(source, "downwardAPI"), "items").is_empty() {
            projected.extend(mapped(get(source, "downwardAPI"), "DownwardAPI"));
        } else if present(source, "serviceAccountToken") {
            let path = text(get(source, "serviceAccountToken"), "path").trim_end_matches('/').to_owned();
            projected.push(Mapped { path, source: "ServiceAccountToken".to_owned() });
        }
    }
    warn("Projected".to_owned(), collisions(projected));
    for _ in 0..empty {
        warnings.push(format!("volume {name:?} (Projected) has no sources provided"));
    }
}

fn duplicates(spec: &Value, place: &Place, warnings: &mut Vec<String>) {
    let mut seen = HashSet::new();
    let aliases = place.child("hostAliases");
    for (index, alias) in indexed(spec, "hostAliases") {
        let ip = text(alias, "ip");
        if !seen.insert(ip) {
            warnings.push(format!("{}: duplicate ip {ip:?}", aliases.index(index).child("ip")));
        }
    }
    let mut seen = HashSet::new();
    let secrets = place.child("imagePullSecrets");
    for (index, secret) in indexed(spec, "imagePullSecrets") {
        let name = text(secret, "name");
        if !seen.insert(name) {
            warnings.push(format!("{}: duplicate name {name:?}", secrets.index(index).child("name")));
        }
    }
    for (index, secret) in indexed(spec, "imagePullSecrets") {
        if text(secret, "name").is_empty() {
            warnings.push(format!("{}: invalid empty name \"\"", secrets.index(index).child("name")));
        }
    }
    fraction(entries(spec, "overhead"), &place.child("overhead"), warnings);
}

fn fraction(list: &serde_json::Map<String, Value>, place: &Place, warnings: &mut Vec<String>) {
    for name in ["memory", "ephemeral-storage"] {
        let amount = resources::amount_of(list, name);
        if let Some(amount) = amount.filter(resources::is_fractional) {
            warnings.push(format!(
                "{}: fractional byte value \"{amount}\" is invalid, must be an integer",
                place.key(name)
            ));
        }
    }
}

fn fractions(container: &Value, place: &Place, warnings: &mut Vec<String>) {
    let requirements = get(container, "resources");
    let place = place.child("resources");
    for which in ["limits", "requests"] {
        fraction(entries(requirements, which), &place.child(which), warnings);
    }
}

fn variables(container: &Value, place: &Place, warnings: &mut Vec<String>) {
    let list = place.child("env");
    let mut seen = HashSet::new();
    for (index, variable) in indexed(container, "env") {
        let (name, value) = (text(variable, "name"), text(variable, "value"));
        if seen.insert(name) {
            continue;
        }
        let reference = format!("$({name})");
        if present(variable, "valueFrom") || value == reference || !value.contains(&reference) {
            warnings.push(format!(
                "{}: hides previous definition of {name:?}, which may be dropped when using apply",
                list.index(index)
            ));
        }
    }
}

/// A port that a container has defined, and where.
struct Port {
    place: String,
    host_ip: String,
    host_port: i64,
}

fn ports(spec: &Value, place: &Place, warnings: &mut Vec<String>) {
    let mut known: HashMap<String, Vec<Port>> = HashMap::new();
    each_container(spec, place, |container, place| {
        let list = place.child("ports");
        for (index, port) in indexed(container, "ports") {
            let own = Port {
                place: list.index(index).to_string(),
                host_ip: text(port, "hostIP").to_owned(),
                host_port: integer(port, "hostPort"),
            };
            let key = format!("{}/{}", integer(port, "containerPort"), text(port, "protocol"));
            let others = known.entry(key).or_default();
            for other in others.iter() {
                if let Some(relation) = relation(&own, other) {
                    warnings.push(format!("{}: {relation} port definition with {}", own.place, other.place));
                }
            }
            others.push(own);
        }
    });
    let mut named: HashMap<String, String> = HashMap::new();
    each_container(spec, place, |container, place| {
        let list = place.child("ports");
        for (index, port) in indexed(container, "ports") {
            let (name, own) = (text(port, "name"), list.index(index).to_string());
            match named.get(name).filter(|_| !name.is_empty()) {
                Some(other) => warnings.push(format!(
                    "{own}: duplicate port name {name:?} with {other}, services and probes that select ports by name will use {other}"
                )),
                None => {
                    named.insert(name.to_owned(), own);
                }
            }
        }
    });
}

fn relation(own: &Port, other: &Port) -> Option<&'static str> {
    if own.host_ip == other.host_ip && own.host_port == other.host_port {
        Some("duplicate")
    } else if own.host_port == 0 || other.host_port == 0 {
        Some("overlapping")
    } else if own.host_port == other.host_port && (own.host_ip.is_empty() != other.host_ip.is_empty()) {
        Some("dangerously ambiguous")
    } else {
        None
    }
}

fn addresses(spec: &Value, place: &Place, warnings: &mut Vec<String>) {
    let config = place.child("dnsConfig");
    let servers = config.child("nameservers");
    for (index, server) in indexed(get(spec, "dnsConfig"), "nameservers") {
        address::warn(server.as_str().unwrap_or(""), &servers.index(index), warnings);
    }
    let aliases = place.child("hostAliases");
    for (index, alias) in indexed(spec, "hostAliases") {
        let place = aliases.index(index);
        address::warn(text(alias, "ip"), &place.child("ip"), warnings);
    }
}
