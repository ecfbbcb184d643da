//! What a delete request does to an object: removes it, marks it, or leaves it as it is.
//!
//! Grace, finalizers and the three propagation policies as in `k8s.io/apiserver` (registry/rest and
//! registry/generic/registry). Who removes a marked object later (node, garbage collector,
//! controllers) is not decided here.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{field::FieldError, resource::Resource};

/// The finalizer of a deletion that leaves dependants alone.
pub const ORPHAN: &str = "orphan";
/// The finalizer of a deletion that waits for dependants.
pub const FOREGROUND: &str = "foregroundDeletion";

/// `metav1.DeleteOptions`, from the body or the query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    pub propagation_policy: Option<String>,
    pub orphan_dependents: Option<bool>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub dry_run: bool,
    /// Values of `dryRun` that are none; all of them are told together.
    pub bad_dry_run: Option<Value>,
}

impl DeleteOptions {
    /// Reads a `DeleteOptions` object.
    pub fn from_value(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            grace_period_seconds: value["gracePeriodSeconds"].as_i64(),
            propagation_policy: text(&value["propagationPolicy"]),
            orphan_dependents: value["orphanDependents"].as_bool(),
            uid: text(&value["preconditions"]["uid"]),
            resource_version: text(&value["preconditions"]["resourceVersion"]),
            dry_run: value["dryRun"].as_array().is_some_and(|all| !all.is_empty()),
            bad_dry_run: Some(&value["dryRun"])
                .filter(|all| all.as_array().is_some_and(|all| all.iter().any(|one| one != "All")))
                .cloned(),
        }
    }

    /// The faults of the options.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(values) = &self.bad_dry_run {
            errors.push(FieldError::not_supported("dryRun", values.clone(), &["All"]));
        }
        if let (Some(policy), Some(_)) = (&self.propagation_policy, self.orphan_dependents) {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(FieldError::invalid("propagationPolicy", policy.as_str(), detail));
        }
        if let Some(policy) = &self.propagation_policy
            && !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan")
        {
            let known = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported("propagationPolicy", policy.as_str(), &known));
        }
        errors
    }

    /// Why the object is not the one that the client means; `None` when it is.
    pub fn mismatch(&self, object: &Value) -> Option<String> {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        if let Some(wanted) = self.uid.as_deref().filter(|wanted| *wanted != uid) {
            return Some(format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might \
                 have been deleted and then recreated"
            ));
        }
        let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let wanted = self.resource_version.as_deref().filter(|wanted| *wanted != version)?;
        Some(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
             ({version}). The object might have been modified"
        ))
    }

    fn orphans(&self, finalizers: &[String]) -> bool {
        match (self.orphan_dependents, self.propagation_policy.as_deref()) {
            (Some(orphan), _) => orphan,
            (None, Some(policy)) => policy == "Orphan",
            (None, None) => finalizers.iter().any(|own| own == ORPHAN),
        }
    }

    fn waits(&self, finalizers: &[String]) -> bool {
        match (self.orphan_dependents, self.propagation_policy.as_deref()) {
            (Some(_), _) => false,
            (None, Some(policy)) => policy == "Foreground",
            (None, None) => finalizers.iter().any(|own| own == FOREGROUND),
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Nothing holds the object: it goes now, and this is its last state.
    Remove(Value),
    /// The object stays, in this state, until what holds it is done.
    Mark(Value),
    /// It is being deleted already and nothing changes.
    Pending,
}

/// Decides a deletion of `object` at `now`.
pub fn plan(resource: &Resource, object: &Value, options: &DeleteOptions, now: Timestamp) -> Plan {
    let mut marked = object.clone();
    let graceful = match grace(resource, object, options) {
        Grace::None => false,
        Grace::Period(seconds) => match object["metadata"]["deletionTimestamp"].as_str() {
            None => {
                mark(&mut marked, now, seconds);
                true
            }
            Some(at) => return shorten(marked, at, seconds, options, now),
        },
    };
    let changed_finalizers = set_collector_finalizers(&mut marked, options);
    let held = !finalizers(&marked).is_empty() || holds_namespace(resource, &marked);
    if graceful {
        return Plan::Mark(marked);
    }
    if !held {
        // A pod is given no time, and says so.
        if is_graceful(resource) {
            mark(&mut marked, now, 0);
        }
        return Plan::Remove(marked);
    }
    let was_marked = object["metadata"]["deletionTimestamp"].is_string();
    let had_grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64().is_some_and(|grace| grace > 0);
    if !was_marked || had_grace {
        mark(&mut marked, now, 0);
    }
    if resource.kind == "Namespace" && resource.group.is_empty() {
        marked["status"]["phase"] = "Terminating".into();
    }
    if was_marked && !changed_finalizers && !had_grace { Plan::Pending } else { Plan::Mark(marked) }
}

/// A namespace stays while `spec.finalizers` holds it.
fn holds_namespace(resource: &Resource, object: &Value) -> bool {
    resource.kind == "Namespace"
        && resource.group.is_empty()
        && object["spec"]["finalizers"].as_array().is_some_and(|all| !all.is_empty())
}

enum Grace {
    None,
    Period(i64),
}

fn is_graceful(resource: &Resource) -> bool {
    resource.kind == "Pod" && resource.group.is_empty()
}

/// Only pods are deleted gracefully: one that a node runs gets the period that was asked for, or its own.
fn grace(resource: &Resource, object: &Value, options: &DeleteOptions) -> Grace {
    if !is_graceful(resource) {
        return Grace::None;
    }
    let is_over = matches!(object["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    let is_unscheduled = object["spec"]["nodeName"].as_str().unwrap_or_default().is_empty();
    if is_over || is_unscheduled {
        return Grace::None;
    }
    let own = || object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    match options.grace_period_seconds.unwrap_or_else(own) {
        0 => Grace::None,
        seconds if seconds < 0 => Grace::Period(1),
        seconds => Grace::Period(seconds),
    }
}

fn time(at: Timestamp) -> Value {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()
}

fn mark(object: &mut Value, now: Timestamp, seconds: i64) {
    let is_new = !object["metadata"]["deletionTimestamp"].is_string();
    let at = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
    object["metadata"]["deletionTimestamp"] = time(at);
    object["metadata"]["deletionGracePeriodSeconds"] = seconds.into();
    if is_new && let Some(generation) = object["metadata"]["generation"].as_i64().filter(|generation| *generation > 0) {
        object["metadata"]["generation"] = (generation + 1).into();
    }
}

/// A pod that is being deleted may only be given less time.
fn shorten(mut object: Value, at: &str, seconds: i64, options: &DeleteOptions, now: Timestamp) -> Plan {
    let current = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    if current == 0 {
        return Plan::Remove(object);
    }
    if options.grace_period_seconds.is_none() || seconds >= current {
        return Plan::Pending;
    }
    let at: Timestamp = at.parse().unwrap_or(now);
    let sooner = at.checked_sub(SignedDuration::from_secs(current - seconds)).unwrap_or(now);
    let (at, seconds) = if sooner < now { (now, 1) } else { (sooner, seconds) };
    object["metadata"]["deletionTimestamp"] = time(at);
    object["metadata"]["deletionGracePeriodSeconds"] = seconds.into();
    Plan::Mark(object)
}

fn finalizers(object: &Value) -> Vec<String> {
    let all = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Sets or removes the two finalizers of the garbage collector; whether anything changed.
fn set_collector_finalizers(object: &mut Value, options: &DeleteOptions) -> bool {
    let before = finalizers(object);
    let mut after = before.clone();
    for (name, wanted) in [(ORPHAN, options.orphans(&before)), (FOREGROUND, options.waits(&before))] {
        after.retain(|own| own != name);
        if wanted {
            after.push(name.to_owned());
        }
    }
    let same = before.len() == after.len() && before.iter().all(|own| after.contains(own));
    if same {
        return false;
    }
    if after.is_empty() {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("finalizers");
        }
    } else {
        object["metadata"]["finalizers"] = json!(after);
    }
    true
}

/// Whether an updated object that is being deleted has nothing left that holds it.
pub fn is_released(resource: &Resource, object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
        && object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && finalizers(object).is_empty()
        && !holds_namespace(resource, object)
}
