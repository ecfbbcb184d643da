//! The rules of a ClusterRole that collects those of others by label.

use std::sync::Arc;

use serde_json::Value;

use super::Rule;
use crate::core::selector::labels::Selector;

/// The rules that an aggregated role should have, where they differ from those that it has. A selector
/// that cannot be read selects nothing.
pub fn rules(role: &Value, all: &[Arc<Value>]) -> Option<Value> {
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array()?;
    let mut sorted: Vec<&Arc<Value>> = all.iter().collect();
    sorted.sort_by_key(|other| other["metadata"]["name"].as_str().unwrap_or_default());
    let mut collected: Vec<Rule> = Vec::new();
    for selector in selectors {
        let Ok(selector) = Selector::from_json(selector) else { continue };
        let chosen = sorted.iter().filter(|other| other["metadata"]["name"] != role["metadata"]["name"]);
        for other in chosen.filter(|other| selector.matches_object(other)) {
            for rule in Rule::list(&other["rules"]) {
                if !collected.contains(&rule) {
                    collected.push(rule);
                }
            }
        }
    }
    (collected != Rule::list(&role["rules"])).then(|| collected.iter().map(Rule::to_json).collect())
}
