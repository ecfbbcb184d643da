//! Kinds of the group `scheduling.k8s.io`.

use serde_json::Value;

use super::column::{AGE, NAME, Printer, boolean, integer, text};
use super::view::View;

pub(super) const PRINTERS: &[Printer] = &[Printer::new(
    "scheduling.k8s.io",
    "PriorityClass",
    &[
        NAME,
        integer("Value", "Priority of the pods of the class"),
        boolean("Global-Default", "Whether pods without a class get this one"),
        AGE,
        text("PreemptionPolicy", "Whether pods of the class make others go"),
    ],
    priority_class,
)];

fn priority_class(class: &View<'_>) -> Vec<Value> {
    vec![
        class.name(),
        Value::from(class.integer("/value")),
        Value::from(class.boolean("/globalDefault")),
        class.age(),
        Value::from(class.text("/preemptionPolicy")),
    ]
}
