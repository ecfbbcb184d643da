//! Kinds of the group `policy`.

use serde_json::Value;

use super::column::{AGE, NAME, Printer, integer, text};
use super::view::{View, plain};

pub(super) const PRINTERS: &[Printer] = &[Printer::new(
    "policy",
    "PodDisruptionBudget",
    &[
        NAME,
        text("Min Available", "Pods that must stay available"),
        text("Max Unavailable", "Pods that may be unavailable"),
        integer("Allowed Disruptions", "Pods that may be disrupted now"),
        AGE,
    ],
    pod_disruption_budget,
)];

fn pod_disruption_budget(budget: &View<'_>) -> Vec<Value> {
    let or_none = |path: &str| Value::from(budget.get(path).map_or_else(|| "N/A".to_owned(), plain));
    vec![
        budget.name(),
        or_none("/spec/minAvailable"),
        or_none("/spec/maxUnavailable"),
        Value::from(budget.integer("/status/disruptionsAllowed")),
        budget.age(),
    ]
}
