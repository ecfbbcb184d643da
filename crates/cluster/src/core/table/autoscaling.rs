//! Kinds of the group `autoscaling`: HorizontalPodAutoscalers and the scale subresource.

use serde_json::Value;

use super::column::{AGE, Column, NAME, NAME_DESCRIPTION, Printer, integer, text};
use super::view::View;

pub(super) const PRINTERS: &[Printer] = &[
    Printer::new(
        "autoscaling",
        "HorizontalPodAutoscaler",
        &[
            NAME,
            text("Reference", "The object that is scaled"),
            text("Targets", "Each metric and the value to hold it at"),
            text("MinPods", "Least number of pods"),
            text("MaxPods", "Greatest number of pods"),
            text("Replicas", "Number of pods that there are"),
            AGE,
        ],
        horizontal_pod_autoscaler,
    ),
    Printer::new(
        "autoscaling",
        "Scale",
        &[
            Column { format: "", description: NAME_DESCRIPTION, ..NAME },
            integer("Desired", "Pods that there should be"),
            integer("Available", "Pods that there are"),
            Column { kind: "string", ..AGE },
        ],
        scale,
    ),
];

/// How the scale of a custom resource is printed, whose columns come from elsewhere upstream.
pub(super) const CUSTOM_SCALE: Printer = Printer::new(
    "autoscaling",
    "Scale",
    &[
        NAME,
        integer("Desired", "Pods that there should be"),
        integer("Available", "Pods that there are"),
        Column { kind: "date", ..AGE },
    ],
    scale,
);

fn scale(scale: &View<'_>) -> Vec<Value> {
    let (desired, available) = (scale.integer("/spec/replicas"), scale.integer("/status/replicas"));
    vec![scale.name(), Value::from(desired), Value::from(available), scale.age()]
}

/// How many metrics a cell lists.
const LISTED_MAX: usize = 2;

fn horizontal_pod_autoscaler(autoscaler: &View<'_>) -> Vec<Value> {
    let target = autoscaler.part("/spec/scaleTargetRef");
    let min = autoscaler.get("/spec/minReplicas").map_or_else(|| "<unset>".to_owned(), Value::to_string);
    vec![
        autoscaler.name(),
        Value::from(format!("{}/{}", target.text("/kind"), target.text("/name"))),
        Value::from(metrics(autoscaler)),
        Value::from(min),
        Value::from(autoscaler.integer("/spec/maxReplicas")),
        Value::from(autoscaler.integer("/status/currentReplicas")),
        autoscaler.age(),
    ]
}

fn metrics(autoscaler: &View<'_>) -> String {
    let all: Vec<String> = autoscaler
        .parts("/spec/metrics")
        .enumerate()
        .map(|(index, metric)| metric_text(&metric, &autoscaler.part(&format!("/status/currentMetrics/{index}"))))
        .collect();
    let listed = all[..all.len().min(LISTED_MAX)].join(", ");
    match all.len() {
        0 => "<none>".to_owned(),
        1..=LISTED_MAX => listed,
        count => format!("{listed} + {} more...", count - LISTED_MAX),
    }
}

/// `cpu: 40%/80%`, `10/20 (avg)`.
fn metric_text(metric: &View<'_>, status: &View<'_>) -> String {
    let (source, named) = match metric.text("/type") {
        "External" => ("/external", false),
        "Object" => ("/object", false),
        "Pods" => {
            return format!("{}/{}", current(status, "/pods", "averageValue"), target(metric, "/pods", "averageValue"));
        }
        "Resource" => ("/resource", true),
        "ContainerResource" => ("/containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let by_average = metric.has(&format!("{source}/target/averageValue"));
    let name = metric.text(&format!("{source}/name"));
    match (named, by_average) {
        (true, true) => {
            format!("{name}: {}/{}", current(status, source, "averageValue"), target(metric, source, "averageValue"))
        }
        (true, false) => {
            let goal = metric.get(&format!("{source}/target/averageUtilization"));
            let goal = goal.map_or_else(|| "<auto>".to_owned(), |percent| format!("{percent}%"));
            format!("{name}: {}/{goal}", utilization(status, source))
        }
        (false, true) => {
            let average = current_if_set(status, source, "averageValue");
            format!("{average}/{} (avg)", target(metric, source, "averageValue"))
        }
        (false, false) => format!("{}/{}", current(status, source, "value"), target(metric, source, "value")),
    }
}

fn target(metric: &View<'_>, source: &str, field: &str) -> String {
    quantity(metric, &format!("{source}/target"), field)
}

/// A quantity, as Go prints a pointer to one.
fn quantity(view: &View<'_>, path: &str, field: &str) -> String {
    if view.has(&format!("{path}/{field}")) { view.quantity(path, field) } else { "<nil>".to_owned() }
}

/// A current value; `<unknown>` without a status of the metric.
fn current(status: &View<'_>, source: &str, field: &str) -> String {
    match status.has(source) {
        true => quantity(status, &format!("{source}/current"), field),
        false => "<unknown>".to_owned(),
    }
}

fn current_if_set(status: &View<'_>, source: &str, field: &str) -> String {
    match status.has(&format!("{source}/current/{field}")) {
        true => current(status, source, field),
        false => "<unknown>".to_owned(),
    }
}

fn utilization(status: &View<'_>, source: &str) -> String {
    let percent = status.get(&format!("{source}/current/averageUtilization"));
    percent.map_or_else(|| "<unknown>".to_owned(), |percent| format!("{percent}%"))
}
