//! Priority: the number behind a pod's priority class, and at most one class for pods without one.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Denied, Lookup, Operation, Request, child, set, text};

const GROUP: &str = "scheduling.k8s.io";

/// The classes that exist from the start: name, value, description.
pub fn system_classes() -> [(&'static str, i64, &'static str); 2] {
    [
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if \
             necessary.",
        ),
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    ]
}

/// Sets `spec.priority` and `spec.preemptionPolicy` of a new pod; an update keeps what stands.
pub(super) fn set_priority(
    request: &Request,
    lookup: &dyn Lookup,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<(), Denied> {
    if !request.is_object("", "pods") {
        return Ok(());
    }
    match request.operation {
        Operation::Create => set_on_create(request, lookup, object),
        Operation::Update => {
            for field in ["priority", "preemptionPolicy"] {
                let before = old.map_or(&Value::Null, |old| &old["spec"][field]);
                if object["spec"][field].is_null() && !before.is_null() && object["spec"].is_object() {
                    set(&mut object["spec"], field, before.clone());
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn set_on_create(request: &Request, lookup: &dyn Lookup, object: &mut Value) -> Result<(), Denied> {
    let (name, value, policy) = match text(&object["spec"], "priorityClassName") {
        Some(name) => {
            let Some(class) = lookup.get(GROUP, "priorityclasses", "", name) else {
                let cause = format!("no PriorityClass with name {name} was found");
                return Err(Denied::forbidden(request, Some(object), cause));
            };
            (None, class["value"].as_i64().unwrap_or(0), text(&class, "preemptionPolicy").map(str::to_owned))
        }
        None => match default_class(lookup) {
            Some(class) => (
                text(&class["metadata"], "name").map(str::to_owned),
                class["value"].as_i64().unwrap_or(0),
                text(&class, "preemptionPolicy").map(str::to_owned),
            ),
            None => (None, 0, Some("PreemptLowerPriority".to_owned())),
        },
    };
    if let Some(given) = object["spec"]["priority"].as_i64().filter(|given| *given != value) {
        let cause = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        );
        return Err(Denied::forbidden(request, Some(object), cause));
    }
    if let (Some(given), Some(policy)) = (text(&object["spec"], "preemptionPolicy"), &policy)
        && given != policy
    {
        let cause = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        );
        return Err(Denied::forbidden(request, Some(object), cause));
    }
    let Some(spec) = child(object, "spec") else { return Ok(()) };
    set(spec, "priority", json!(value));
    if let Some(name) = name {
        set(spec, "priorityClassName", json!(name));
    }
    if let Some(policy) = policy {
        set(spec, "preemptionPolicy", json!(policy));
    }
    Ok(())
}

/// Of several default classes, the one with the lowest value counts.
fn default_class(lookup: &dyn Lookup) -> Option<Arc<Value>> {
    let classes = lookup.list(GROUP, "priorityclasses", "").into_iter();
    classes.filter(|class| class["globalDefault"] == true).min_by_key(|class| class["value"].as_i64().unwrap_or(0))
}

/// Refuses a second default class.
pub(super) fn check_class(
    request: &Request,
    lookup: &dyn Lookup,
    object: &Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    if !request.is_object(GROUP, "priorityclasses") || object["globalDefault"] != true {
        return Ok(());
    }
    let Some(class) = default_class(lookup) else { return Ok(()) };
    let name = text(&class["metadata"], "name").unwrap_or_default();
    let own = request.operation == Operation::Update && object["metadata"]["name"] == name;
    if own {
        return Ok(());
    }
    let cause = format!("PriorityClass {name} is already marked as default. Only one default can exist");
    Err(Denied::forbidden(request, Some(object), cause))
}
