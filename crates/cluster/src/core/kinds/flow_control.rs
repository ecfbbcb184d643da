//! FlowSchema and PriorityLevelConfiguration: their defaults, their form, and those that every cluster has.
//!
//! After `pkg/apis/flowcontrol` and the bootstrap objects of `k8s.io/apiserver`. Nothing here holds up a request: the
//! server answers all requests alike, whatever these objects say.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::names;
use super::place::Place;
use super::pod::spec::fault_list;
use super::value::{default_number, ensure, get, get_mut, indexed, integer, items, number, present, strings, text};
use super::volumes::sources::supported;
use crate::core::field::{ErrorList, FieldError};

/// The group of both kinds.
pub const GROUP: &str = "flowcontrol.apiserver.k8s.io";

const PRECEDENCE_MAX: i64 = 10_000;
const QUEUES_MAX: i64 = 10_000_000;
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// Defaults of a FlowSchema.
pub fn default_schema(object: &mut Value) {
    if let Some(spec) = ensure(object, "spec") {
        default_number(spec, "matchingPrecedence", 1000);
    }
}

/// Defaults of a PriorityLevelConfiguration.
pub fn default_level(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    for (part, shares) in [("limited", 30), ("exempt", 0)] {
        let Some(part) = get_mut(spec, part) else { continue };
        for (key, value) in [("nominalConcurrencyShares", shares), ("lendablePercent", 0)] {
            if !present(part, key) {
                part[key] = value.into();
            }
        }
        if let Some(queuing) = get_mut(part, "limitResponse").and_then(|response| get_mut(response, "queuing")) {
            for (key, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                if integer(queuing, key) == 0 {
                    queuing[key] = value.into();
                }
            }
        }
    }
}

/// Checks a FlowSchema.
pub fn validate_schema(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let name = text(get(object, "metadata"), "name");
    let precedence = integer(spec, "matchingPrecedence");
    let fault = match precedence {
        ..=0 => Some("must be a positive value".to_owned()),
        1 if name != "exempt" => Some("only the schema named 'exempt' may have matchingPrecedence 1".to_owned()),
        1..=PRECEDENCE_MAX => None,
        _ => Some(format!("must not be greater than {PRECEDENCE_MAX}")),
    };
    errors.extend(fault.map(|fault| FieldError::invalid(place.child("matchingPrecedence"), precedence, fault)));
    if present(spec, "distinguisherMethod") {
        let own = place.child("distinguisherMethod");
        supported(get(spec, "distinguisherMethod"), "type", &["ByNamespace", "ByUser"], &own, errors);
    }
    let level = text(get(spec, "priorityLevelConfiguration"), "name");
    let reference = place.child("priorityLevelConfiguration");
    let own = reference.child("name");
    if level.is_empty() {
        errors.push(FieldError::required(own, "must reference a priority level"));
    } else {
        fault_list(names::dns_subdomain(level), level, &own, errors);
    }
    let list = place.child("rules");
    for (index, rule) in indexed(spec, "rules") {
        rule_faults(rule, &list.index(index), errors);
    }
    fixed(object, name, schemas(), "", errors);
    conditions(object, errors);
}

fn rule_faults(rule: &Value, place: &Place, errors: &mut ErrorList) {
    let list = place.child("subjects");
    if items(rule, "subjects").is_empty() {
        errors.push(FieldError::required(list, "subjects must contain at least one value"));
    }
    for (index, subject) in indexed(rule, "subjects") {
        subject_faults(subject, &list.index(index), errors);
    }
    if items(rule, "resourceRules").is_empty() && items(rule, "nonResourceRules").is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(place, detail));
    }
    let list = place.child("resourceRules");
    for (index, rule) in indexed(rule, "resourceRules") {
        let place = list.index(index);
        verbs(rule, &place, errors);
        for (key, one, many) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
            let missing = format!("resource rules must supply at least one {one}");
            wildcard(rule, key, &missing, many, &place, errors);
        }
        if items(rule, "namespaces").is_empty() && rule["clusterScope"] != true {
            let detail = "resource rules that are not cluster scoped must supply at least one namespace";
            errors.push(FieldError::required(place.child("namespaces"), detail));
        }
    }
    let list = place.child("nonResourceRules");
    for (index, rule) in indexed(rule, "nonResourceRules") {
        let place = list.index(index);
        verbs(rule, &place, errors);
        let missing = "nonResourceURLs must contain at least one value";
        wildcard(rule, "nonResourceURLs", missing, "non-resource URLs", &place, errors);
    }
}

fn subject_faults(subject: &Value, place: &Place, errors: &mut ErrorList) {
    let kind = text(subject, "kind");
    let parts = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let Some((_, own)) = parts.iter().find(|(known, _)| *known == kind) else {
        let known = ["Group", "ServiceAccount", "User"];
        errors.push(FieldError::not_supported(place.child("kind"), kind, &known));
        return;
    };
    let part = get(subject, own);
    if part.is_null() {
        let detail = format!("{own} is required when subject kind is '{kind}'");
        errors.push(FieldError::required(place.child(own), detail));
    } else {
        if text(part, "name").is_empty() {
            errors.push(FieldError::required(place.child(own).child("name"), ""));
        }
        if kind == "ServiceAccount" && text(part, "namespace").is_empty() {
            let detail = "must specify namespace for service account";
            errors.push(FieldError::required(place.child(own).child("namespace"), detail));
        }
    }
    for (other, key) in parts.iter().filter(|(other, key)| *other != kind && present(subject, key)) {
        let detail = format!("{key} is forbidden when subject kind is not '{other}'");
        errors.push(FieldError::forbidden(place.child(key), detail));
    }
}

fn verbs(rule: &Value, place: &Place, errors: &mut ErrorList) {
    wildcard(rule, "verbs", "verbs must contain at least one value", "verbs", place, errors);
    let own = || strings(rule, "verbs");
    if !own().any(|verb| verb == "*") && own().any(|verb| !VERBS.contains(&verb)) {
        let given: Vec<&str> = own().collect();
        errors.push(FieldError::not_supported(place.child("verbs"), given, &VERBS));
    }
}

fn wildcard(rule: &Value, key: &str, missing: &str, words: &str, place: &Place, errors: &mut ErrorList) {
    let given = items(rule, key);
    if given.is_empty() {
        errors.push(FieldError::required(place.child(key), missing));
    } else if given.len() > 1 && given.iter().any(|one| one == "*") {
        let detail = format!("if '*' is present, must not specify other {words}");
        errors.push(FieldError::invalid(place.child(key), given.to_vec(), detail));
    }
}

/// Checks a PriorityLevelConfiguration.
pub fn validate_level(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let (name, kind) = (text(get(object, "metadata"), "name"), text(spec, "type"));
    if (name == "exempt") != (kind == "Exempt") {
        let detail = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(FieldError::invalid(place.child("type"), kind, detail));
    }
    let (limited, exempt) = (get(spec, "limited"), get(spec, "exempt"));
    match kind {
        "Exempt" => {
            if !limited.is_null() {
                errors.push(FieldError::forbidden(place.child("limited"), "must be nil if the type is not Limited"));
            }
            shares(exempt, &place.child("exempt"), errors);
        }
        "Limited" => {
            if !exempt.is_null() {
                errors.push(FieldError::forbidden(place.child("exempt"), "must be nil if the type is Limited"));
            }
            let own = place.child("limited");
            if limited.is_null() {
                errors.push(FieldError::required(own, "must not be empty when type is Limited"));
            } else {
                shares(limited, &own, errors);
                response(get(limited, "limitResponse"), &own.child("limitResponse"), errors);
                let borrowed = number(limited, "borrowingLimitPercent").filter(|percent| *percent < 0);
                let detail = "if specified, must be a non-negative integer";
                let fault = |percent| FieldError::invalid(own.child("borrowingLimitPercent"), percent, detail);
                errors.extend(borrowed.map(fault));
            }
        }
        _ => supported(spec, "type", &["Exempt", "Limited"], &place, errors),
    }
    let but = if name == "exempt" { "exempt" } else { "" };
    fixed(object, name, levels(), but, errors);
    conditions(object, errors);
}

fn shares(part: &Value, place: &Place, errors: &mut ErrorList) {
    if let Some(shares) = number(part, "nominalConcurrencyShares").filter(|shares| *shares < 0) {
        let detail = "must be a non-negative integer";
        errors.push(FieldError::invalid(place.child("nominalConcurrencyShares"), shares, detail));
    }
    if let Some(percent) = number(part, "lendablePercent").filter(|percent| !(0..=100).contains(percent)) {
        let detail = "must be between 0 and 100, inclusive";
        errors.push(FieldError::invalid(place.child("lendablePercent"), percent, detail));
    }
}

fn response(response: &Value, place: &Place, errors: &mut ErrorList) {
    let (queuing, own) = (get(response, "queuing"), place.child("queuing"));
    match text(response, "type") {
        "Reject" if !queuing.is_null() => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(FieldError::forbidden(own, detail));
        }
        "Reject" => {}
        "Queue" if queuing.is_null() => {
            let detail = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(FieldError::required(own, detail));
        }
        "Queue" => queues(queuing, &own, errors),
        _ => supported(response, "type", &["Queue", "Reject"], place, errors),
    }
}

fn queues(queuing: &Value, place: &Place, errors: &mut ErrorList) {
    let (limit, queues, hand) =
        (integer(queuing, "queueLengthLimit"), integer(queuing, "queues"), integer(queuing, "handSize"));
    let mut invalid = |key: &str, value: i64, detail: String| {
        errors.push(FieldError::invalid(place.child(key), value, detail));
    };
    if limit <= 0 {
        invalid("queueLengthLimit", limit, "must be positive".to_owned());
    }
    match queues {
        ..=0 => invalid("queues", queues, "must be positive".to_owned()),
        1..=QUEUES_MAX => {}
        _ => invalid("queues", queues, format!("must not be greater than {QUEUES_MAX}")),
    }
    if hand <= 0 {
        invalid("handSize", hand, "must be positive".to_owned());
    } else if hand > queues {
        invalid("handSize", hand, format!("should not be greater than queues ({queues})"));
    } else {
        let bits = entropy_bits(queues, hand);
        if bits > HASH_BITS {
            let detail = format!(
                "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
            );
            invalid("handSize", hand, detail);
        }
    }
}

/// Bits of the hash by which a flow is dealt its queues.
const HASH_BITS: u32 = 60;

/// Bits that a hand of this size is dealt by: those of the number of ways to deal it.
fn entropy_bits(deck: i64, hand: i64) -> u32 {
    let ways: f64 = (0..hand.min(i64::from(HASH_BITS) + 1)).map(|dealt| ((deck - dealt).max(1) as f64).log2()).sum();
    ways.ceil() as u32
}

/// Objects that every cluster must have keep their specification, but for one part of it.
fn fixed(object: &Value, name: &str, own: Vec<Value>, but: &str, errors: &mut ErrorList) {
    if !MANDATORY.contains(&name) {
        return;
    }
    let Some(mandatory) = own.iter().find(|one| one["metadata"]["name"] == name) else { return };
    let mut spec = get(object, "spec").clone();
    let except = if but.is_empty() { String::new() } else { format!(" except the 'spec.{but}' field") };
    if !but.is_empty() && spec.is_object() {
        spec[but] = mandatory["spec"][but].clone();
    }
    if spec != mandatory["spec"] {
        let detail = format!("spec of '{name}'{except} must equal the fixed value");
        errors.push(FieldError::invalid("spec", get(object, "spec").clone(), detail));
    }
}

fn conditions(object: &Value, errors: &mut ErrorList) {
    let status = Place::root("status");
    let list = status.child("conditions");
    let mut seen = HashSet::new();
    for (index, condition) in indexed(get(object, "status"), "conditions") {
        let (item, kind) = (list.index(index), text(condition, "type"));
        let own = item.child("type");
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(own, kind));
        }
        if kind.is_empty() {
            errors.push(FieldError::required(own, ""));
        }
    }
}

/// Checks the status of either kind.
pub fn validate_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    conditions(new, errors);
}

/// Without these a request could be of no level.
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

/// The levels that every cluster has.
pub fn levels() -> Vec<Value> {
    let level = |name: &str, spec: Value| {
        json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
            "metadata": {"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}}, "spec": spec})
    };
    let queued = |name: &str, shares: i64, lendable: i64, queues: i64, hand: i64| {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": 50});
        let limited = json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable,
            "limitResponse": {"type": "Queue", "queuing": queuing}});
        level(name, json!({"type": "Limited", "limited": limited}))
    };
    vec![
        level("exempt", json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}})),
        level(
            "catch-all",
            json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0,
                "limitResponse": {"type": "Reject"}}}),
        ),
        queued("system", 30, 33, 64, 6),
        queued("node-high", 40, 25, 64, 6),
        queued("leader-election", 10, 0, 16, 4),
        queued("workload-high", 40, 50, 128, 6),
        queued("workload-low", 100, 90, 128, 6),
        queued("global-default", 20, 50, 128, 6),
    ]
}

/// Name, level, precedence and distinguisher of the schemas that every cluster has, and whom they are about.
type SchemaRow = (&'static str, &'static str, i64, &'static str, &'static [(&'static str, &'static str)]);

const EVERYBODY: &[(&str, &str)] = &[("Group", "system:unauthenticated"), ("Group", "system:authenticated")];
const NODES: &[(&str, &str)] = &[("Group", "system:nodes")];
const SCHEMAS: [SchemaRow; 11] = [
    ("exempt", "exempt", 1, "", &[("Group", "system:masters")]),
    ("catch-all", "catch-all", 10_000, "ByUser", EVERYBODY),
    ("system-nodes", "system", 500, "ByUser", NODES),
    ("system-node-high", "node-high", 400, "ByUser", NODES),
    ("probes", "exempt", 2, "", EVERYBODY),
    (
        "system-leader-election",
        "leader-election",
        100,
        "ByUser",
        &[("User", "system:kube-controller-manager"), ("User", "system:kube-scheduler"), ("ServiceAccount", "*")],
    ),
    ("kube-controller-manager", "workload-high", 800, "ByNamespace", &[("User", "system:kube-controller-manager")]),
    ("kube-scheduler", "workload-high", 800, "ByNamespace", &[("User", "system:kube-scheduler")]),
    ("kube-system-service-accounts", "workload-high", 900, "ByNamespace", &[("ServiceAccount", "*")]),
    ("service-accounts", "workload-low", 9000, "ByUser", &[("Group", "system:serviceaccounts")]),
    ("global-default", "global-default", 9900, "ByUser", EVERYBODY),
];

/// The schemas that every cluster has.
pub fn schemas() -> Vec<Value> {
    let schema = |(name, level, precedence, distinguisher, subjects): &SchemaRow| {
        let mut rule = of_schema(name);
        rule["subjects"] = subjects.iter().map(|(kind, name)| subject(kind, name)).collect();
        let mut spec = json!({"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence,
            "rules": [rule]});
        if !distinguisher.is_empty() {
            spec["distinguisherMethod"] = json!({"type": distinguisher});
        }
        json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
            "metadata": {"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}}, "spec": spec})
    };
    SCHEMAS.iter().map(schema).collect()
}

/// What the requests of a schema are for.
fn of_schema(name: &str) -> Value {
    let leases = |verbs: Value| json!({"verbs": verbs, "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "namespaces": ["*"]});
    match name {
        "probes" => {
            json!({"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]})
        }
        "system-leader-election" => json!({"resourceRules": [leases(json!(["get", "create", "update"]))]}),
        "system-node-high" => {
            let nodes = json!({"verbs": ["*"], "apiGroups": [""], "resources": ["nodes", "nodes/status"],
                "clusterScope": true, "namespaces": ["*"]});
            json!({"resourceRules": [nodes, leases(json!(["*"]))]})
        }
        _ => json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true,
                "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }),
    }
}

fn subject(kind: &str, name: &str) -> Value {
    match kind {
        "User" => json!({"kind": kind, "user": {"name": name}}),
        "Group" => json!({"kind": kind, "group": {"name": name}}),
        _ => json!({"kind": kind, "serviceAccount": {"name": name, "namespace": "kube-system"}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(check: fn(&Value, &mut ErrorList), object: &Value) -> Vec<String> {
        let mut errors = ErrorList::new();
        check(object, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_every_cluster_has_is_valid() {
        for object in schemas() {
            assert_eq!(faults(validate_schema, &object), Vec::<String>::new(), "{}", object["metadata"]["name"]);
        }
        for object in levels() {
            assert_eq!(faults(validate_level, &object), Vec::<String>::new(), "{}", object["metadata"]["name"]);
        }
    }

    #[test]
    fn mandatory_objects_keep_their_specification() {
        let mut catch_all = levels().remove(1);
        catch_all["spec"]["limited"]["nominalConcurrencyShares"] = 7.into();
        let found = faults(validate_level, &catch_all);
        assert!(
            found.iter().any(|fault| fault.ends_with("spec of 'catch-all' must equal the fixed value")),
            "{found:?}"
        );
        let mut exempt = levels().remove(0);
        exempt["spec"]["exempt"]["nominalConcurrencyShares"] = 7.into();
        assert_eq!(faults(validate_level, &exempt), Vec::<String>::new());
    }

    #[test]
    fn a_level_is_completed_and_its_hand_bounded() {
        let mut level = json!({"metadata": {"name": "l"}, "spec": {"type": "Limited",
            "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}});
        default_level(&mut level);
        assert_eq!(level["spec"]["limited"]["nominalConcurrencyShares"], 30);
        assert_eq!(level["spec"]["limited"]["limitResponse"]["queuing"]["queues"], 64);
        assert_eq!(faults(validate_level, &level), Vec::<String>::new());
        level["spec"]["limited"]["limitResponse"]["queuing"]["handSize"] = 63.into();
        assert!(faults(validate_level, &level)[0].contains("required entropy bits of deckSize 64 and handSize 63"));
    }
}
