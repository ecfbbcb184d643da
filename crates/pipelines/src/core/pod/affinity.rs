//! Affinity of nodes and of pods, from the terms of the platform document.

use serde_json::{Map, Value, json};

use super::entries;
use crate::core::fault::Fault;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The pod's affinity; `null` where there is none.
///
/// # Errors
/// Where a term lacks its topology key.
pub fn affinity(settings: &Map<String, Value>) -> Result<Value, Fault> {
    let mut affinity = Map::new();
    if let Some(node) = node_affinity(settings) {
        affinity.insert("nodeAffinity".to_owned(), node);
    }
    for (field, is_anti) in [("podAffinity", false), ("podAntiAffinity", true)] {
        if let Some(pods) = pod_affinity(settings, is_anti)? {
            affinity.insert(field.to_owned(), pods);
        }
    }
    Ok(if affinity.is_empty() { Value::Null } else { affinity.into() })
}

/// A term with a weight is a preference, one without is required.
fn node_affinity(settings: &Map<String, Value>) -> Option<Value> {
    let (mut required, mut preferred) = (Vec::new(), Vec::new());
    for item in entries(settings, "nodeAffinity") {
        if let Some(whole) = item.get("nodeAffinityJson") {
            required.extend(list(&whole[REQUIRED]["nodeSelectorTerms"]));
            preferred.extend(list(&whole[PREFERRED]));
            continue;
        }
        let term: Map<String, Value> = ["matchExpressions", "matchFields"]
            .into_iter()
            .filter_map(|field| Some((field.to_owned(), item.get(field)?.clone())))
            .collect();
        if term.is_empty() {
            continue;
        }
        match item.get("weight") {
            Some(weight) => preferred.push(json!({"weight": weight, "preference": term})),
            None => required.push(term.into()),
        }
    }
    let mut affinity = Map::new();
    if !required.is_empty() {
        affinity.insert(REQUIRED.to_owned(), json!({"nodeSelectorTerms": required}));
    }
    if !preferred.is_empty() {
        affinity.insert(PREFERRED.to_owned(), preferred.into());
    }
    (!affinity.is_empty()).then(|| affinity.into())
}

fn pod_affinity(settings: &Map<String, Value>, is_anti: bool) -> Result<Option<Value>, Fault> {
    let (mut required, mut preferred) = (Vec::new(), Vec::new());
    for (index, item) in entries(settings, "podAffinity").iter().enumerate() {
        if (item.get("anti") == Some(&Value::Bool(true))) != is_anti {
            continue;
        }
        if item.get("topologyKey").and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(Fault::new(format!("platforms.kubernetes.podAffinity[{index}]"), "needs a topologyKey"));
        }
        let mut term = json!({"topologyKey": item["topologyKey"]});
        if let Some(selector) = selector(item, "matchPodLabels", "matchPodExpressions") {
            term["labelSelector"] = selector;
        }
        if let Some(selector) = selector(item, "matchNamespaceLabels", "matchNamespaceExpressions") {
            term["namespaceSelector"] = selector;
        }
        if let Some(namespaces) = item.get("namespaces") {
            term["namespaces"] = namespaces.clone();
        }
        match item.get("weight") {
            Some(weight) => preferred.push(json!({"weight": weight, "podAffinityTerm": term})),
            None => required.push(term),
        }
    }
    let mut affinity = Map::new();
    for (field, terms) in [(REQUIRED, required), (PREFERRED, preferred)] {
        if !terms.is_empty() {
            affinity.insert(field.to_owned(), terms.into());
        }
    }
    Ok((!affinity.is_empty()).then(|| affinity.into()))
}

fn selector(item: &Value, labels: &str, expressions: &str) -> Option<Value> {
    let (labels, expressions) = (item.get(labels), item.get(expressions));
    if labels.is_none() && expressions.is_none() {
        return None;
    }
    let mut selector = json!({});
    if let Some(labels) = labels {
        selector["matchLabels"] = labels.clone();
    }
    if let Some(expressions) = expressions {
        selector["matchExpressions"] = expressions.clone();
    }
    Some(selector)
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}
