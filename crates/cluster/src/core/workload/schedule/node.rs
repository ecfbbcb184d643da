//! Node selectors and node affinity: does a pod want this node, and how much?

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

use crate::core::workload::pods;
use crate::core::workload::selector::contains;

/// Whether a pod's `nodeSelector` and its required node affinity match the node.
pub fn matches_required(spec: &PodSpec, node: &Node) -> bool {
    if !contains(node.metadata.labels.as_ref(), spec.node_selector.as_ref()) {
        return false;
    }
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|required| required.node_selector_terms.iter().any(|term| term_matches(term, node)))
}

/// The nodes that a pod's required affinity names by `metadata.name`; `None` when some term names none.
pub fn named(spec: &PodSpec) -> Option<Vec<String>> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let mut names = Vec::new();
    for term in terms {
        let mut fields = term.match_fields.iter().flatten();
        let by_name = fields.find(|field| field.key == "metadata.name" && field.operator == "In")?;
        names.extend(by_name.values.iter().flatten().cloned());
    }
    (!terms.is_empty()).then_some(names)
}

/// The weights of the preferred terms that match the node, together.
pub fn preference(spec: &PodSpec, node: &Node) -> i64 {
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let preferred =
        affinity.and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref());
    let matching = preferred.into_iter().flatten().filter(|one| term_matches(&one.preference, node));
    matching.map(|one| i64::from(one.weight)).sum()
}

/// A term without requirements matches nothing.
fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let label = |key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let field = |key: &str| (key == "metadata.name").then(|| pods::name(&node.metadata));
    expressions.iter().all(|one| requirement_matches(one, label(&one.key)))
        && fields.iter().all(|one| requirement_matches(one, field(&one.key)))
}

fn requirement_matches(requirement: &NodeSelectorRequirement, found: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = |found: &str| values.iter().any(|value| value == found);
    let compared = || -> Option<std::cmp::Ordering> {
        let limit: i64 = values.first()?.parse().ok()?;
        Some(found?.parse::<i64>().ok()?.cmp(&limit))
    };
    match requirement.operator.as_str() {
        "In" => found.is_some_and(listed),
        "NotIn" => !found.is_some_and(listed),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compared() == Some(std::cmp::Ordering::Greater),
        "Lt" => compared() == Some(std::cmp::Ordering::Less),
        _ => false,
    }
}
