//! HorizontalPodAutoscalers of `autoscaling/v1`: what that version has no field for lies in annotations.
//!
//! Follows `pkg/apis/autoscaling/v1/conversion.go`. Nothing is lost on the way there and back.

mod text;

use serde_json::{Map, Value, json};

use super::value::{at, ensure, get, get_mut, items, present, put, remove, text};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// What an autoscaler without metrics aims at, in percent of the requested processor time.
const DEFAULT_UTILIZATION: i64 = 80;

/// A type of metric, its field, and where the values of `v2` stand in `v1`.
struct Metric {
    name: &'static str,
    field: &'static str,
    target: &'static [(&'static [&'static str], &'static str)],
    current: &'static [(&'static [&'static str], &'static str)],
}

const METRIC_TYPES: [Metric; 5] = [
    Metric {
        name: "Object",
        field: "object",
        target: &[
            (&["describedObject"], "target"),
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "selector"),
            (&["target", "value"], "targetValue"),
            (&["target", "averageValue"], "averageValue"),
        ],
        current: &[
            (&["describedObject"], "target"),
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "selector"),
            (&["current", "value"], "currentValue"),
            (&["current", "averageValue"], "averageValue"),
        ],
    },
    Metric {
        name: "Pods",
        field: "pods",
        target: &[
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "selector"),
            (&["target", "averageValue"], "targetAverageValue"),
        ],
        current: &[
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "selector"),
            (&["current", "averageValue"], "currentAverageValue"),
        ],
    },
    Metric {
        name: "Resource",
        field: "resource",
        target: &[
            (&["name"], "name"),
            (&["target", "averageUtilization"], "targetAverageUtilization"),
            (&["target", "averageValue"], "targetAverageValue"),
        ],
        current: &[
            (&["name"], "name"),
            (&["current", "averageUtilization"], "currentAverageUtilization"),
            (&["current", "averageValue"], "currentAverageValue"),
        ],
    },
    Metric {
        name: "ContainerResource",
        field: "containerResource",
        target: &[
            (&["name"], "name"),
            (&["container"], "container"),
            (&["target", "averageUtilization"], "targetAverageUtilization"),
            (&["target", "averageValue"], "targetAverageValue"),
        ],
        current: &[
            (&["name"], "name"),
            (&["container"], "container"),
            (&["current", "averageUtilization"], "currentAverageUtilization"),
            (&["current", "averageValue"], "currentAverageValue"),
        ],
    },
    Metric {
        name: "External",
        field: "external",
        target: &[
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "metricSelector"),
            (&["target", "value"], "targetValue"),
            (&["target", "averageValue"], "targetAverageValue"),
        ],
        current: &[
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "metricSelector"),
            (&["current", "value"], "currentValue"),
            (&["current", "averageValue"], "currentAverageValue"),
        ],
    },
];

type Moves = &'static [(&'static [&'static str], &'static str)];

fn metric_type(metric: &Value) -> Option<&'static Metric> {
    METRIC_TYPES.iter().find(|known| known.name == text(metric, "type"))
}

/// A metric of `v2` in the form of `v1`.
fn metric_to_v1(metric: &Value, moves: fn(&Metric) -> Moves) -> Value {
    let Some(known) = metric_type(metric) else { return metric.clone() };
    let own = get(metric, known.field);
    let mut moved = Map::new();
    for (path, key) in moves(known) {
        let value = at(own, path);
        if !value.is_null() {
            moved.insert((*key).to_owned(), value.clone());
        }
    }
    json!({"type": known.name, known.field: moved})
}

/// A metric of `v1` in the form of `v2`.
fn metric_from_v1(metric: &Value, moves: fn(&Metric) -> Moves) -> Value {
    let Some(known) = metric_type(metric) else { return metric.clone() };
    let own = get(metric, known.field);
    let mut moved = json!({});
    for (path, key) in moves(known) {
        let value = get(own, key);
        match *path {
            _ if value.is_null() => {}
            [outer, inner] => {
                if let Some(part) = ensure(&mut moved, outer) {
                    put(part, inner, value.clone());
                }
            }
            [name] => put(&mut moved, name, value.clone()),
            _ => {}
        }
    }
    if let Some(target) = get_mut(&mut moved, "target") {
        let aim = aim(target, known.name);
        put(target, "type", aim);
    }
    json!({"type": known.name, known.field: moved})
}

/// The type of a target, which `v1` does not say.
fn aim(target: &Value, metric: &str) -> &'static str {
    if present(target, "averageUtilization") {
        "Utilization"
    } else if metric == "External" && present(target, "value") {
        "Value"
    } else if present(target, "averageValue") || metric != "Object" {
        "AverageValue"
    } else {
        "Value"
    }
}

fn is_processor(metric: &Value) -> bool {
    text(metric, "type") == "Resource" && text(get(metric, "resource"), "name") == "cpu"
}

/// A stored autoscaler, which is one of `v2`, in the form of `v1`.
pub fn to_v1(stored: &Value) -> Value {
    let mut object = stored.clone();
    put(&mut object, "apiVersion", "autoscaling/v1");
    drop_annotations(&mut object);
    let (spec, status) = (get(stored, "spec"), get(stored, "status"));
    let utilization = |metric: &Value| at(metric, &["resource", "target", "averageUtilization"]).clone();
    let is_simple = |metric: &&Value| is_processor(metric) && !utilization(metric).is_null();
    let simple = items(spec, "metrics").iter().find(is_simple).map(utilization);
    let others: Vec<Value> = items(spec, "metrics")
        .iter()
        .filter(|metric| !is_simple(metric))
        .map(|metric| metric_to_v1(metric, |known| known.target))
        .collect();
    annotate(&mut object, METRICS, Value::from(others));
    let current = items(status, "currentMetrics").iter().map(|metric| metric_to_v1(metric, |known| known.current));
    annotate(&mut object, CURRENT_METRICS, current.collect());
    annotate(&mut object, CONDITIONS, get(status, "conditions").clone());
    annotate(&mut object, BEHAVIOR, internal_behavior(get(spec, "behavior")));
    if let Some(spec) = get_mut(&mut object, "spec") {
        remove(spec, "metrics");
        remove(spec, "behavior");
        if let Some(simple) = simple {
            put(spec, "targetCPUUtilizationPercentage", simple);
        }
    }
    if let Some(shown) = get_mut(&mut object, "status") {
        let used = items(status, "currentMetrics").iter().filter(|metric| is_processor(metric));
        let used =
            used.map(|metric| at(metric, &["resource", "current", "averageUtilization"])).find(|used| !used.is_null());
        remove(shown, "currentMetrics");
        remove(shown, "conditions");
        super::value::default_to(shown, "currentReplicas", 0);
        if let Some(used) = used {
            put(shown, "currentCPUUtilizationPercentage", used.clone());
        }
    }
    object
}

/// An autoscaler of `v1` in the stored form, which is that of `v2`.
pub fn from_v1(object: &Value) -> Value {
    let mut stored = object.clone();
    put(&mut stored, "apiVersion", "autoscaling/v2");
    drop_annotations(&mut stored);
    let target = get(get(object, "spec"), "targetCPUUtilizationPercentage");
    let processor = |percent: Value| {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    };
    let mut metrics: Vec<Value> =
        annotated_items(object, METRICS).iter().map(|metric| metric_from_v1(metric, |known| known.target)).collect();
    if !target.is_null() {
        metrics.push(processor(target.clone()));
    } else if metrics.is_empty() {
        metrics.push(processor(DEFAULT_UTILIZATION.into()));
    }
    if let Some(spec) = get_mut(&mut stored, "spec") {
        remove(spec, "targetCPUUtilizationPercentage");
        put(spec, "metrics", metrics);
        let behavior = without_nulls(with_first_letters(&annotated(object, BEHAVIOR), char::to_ascii_lowercase));
        if behavior.is_object() {
            put(spec, "behavior", behavior);
        }
    }
    if let Some(status) = get_mut(&mut stored, "status") {
        let current: Vec<Value> = annotated_items(object, CURRENT_METRICS)
            .iter()
            .map(|metric| metric_from_v1(metric, |known| known.current))
            .collect();
        let used = get(status, "currentCPUUtilizationPercentage").clone();
        remove(status, "currentCPUUtilizationPercentage");
        let current = match (current.is_empty(), used) {
            (true, Value::Null) => Value::Null,
            (true, used) => {
                let current = json!({"averageUtilization": used});
                json!([{"type": "Resource", "resource": {"name": "cpu", "current": current}}])
            }
            (false, _) => current.into(),
        };
        put(status, "currentMetrics", current);
        let conditions = annotated_items(object, CONDITIONS);
        if !conditions.is_empty() {
            put(status, "conditions", conditions);
        }
        if super::value::integer(status, "currentReplicas") == 0 {
            remove(status, "currentReplicas");
        }
    }
    stored
}

fn drop_annotations(object: &mut Value) {
    let Some(metadata) = get_mut(object, "metadata") else { return };
    let Some(annotations) = get_mut(metadata, "annotations") else { return };
    for name in [METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR] {
        remove(annotations, name);
    }
    if annotations.as_object().is_some_and(Map::is_empty) {
        remove(metadata, "annotations");
    }
}

/// A behaviour in the form that no version names, in which nothing is left out.
fn internal_behavior(behavior: &Value) -> Value {
    let mut internal = with_first_letters(behavior, char::to_ascii_uppercase);
    if internal.is_object() {
        for direction in ["ScaleUp", "ScaleDown"] {
            super::value::default_to(&mut internal, direction, Value::Null);
            if let Some(rules) = get_mut(&mut internal, direction) {
                super::value::default_to(rules, "Tolerance", Value::Null);
            }
        }
    }
    internal
}

fn without_nulls(mut behavior: Value) -> Value {
    if let Value::Object(directions) = &mut behavior {
        directions.retain(|_, rules| !rules.is_null());
        for rules in directions.values_mut().filter_map(Value::as_object_mut) {
            rules.retain(|_, value| !value.is_null());
        }
    }
    behavior
}

fn annotate(object: &mut Value, name: &str, value: Value) {
    let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    if is_empty {
        return;
    }
    let annotations = ensure(object, "metadata").and_then(|metadata| ensure(metadata, "annotations"));
    if let Some(annotations) = annotations {
        put(annotations, name, text::go_text(&value));
    }
}

fn annotated(object: &Value, name: &str) -> Value {
    let text = text(at(object, &["metadata", "annotations"]), name);
    serde_json::from_str(text).unwrap_or_default()
}

fn annotated_items(object: &Value, name: &str) -> Vec<Value> {
    match annotated(object, name) {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// The annotation of a behavior has the names of Go fields: every name's first letter is changed.
fn with_first_letters(value: &Value, change: fn(&char) -> char) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| {
                let mut letters = name.chars();
                let first = letters.next().map(|first| change(&first));
                (first.into_iter().chain(letters).collect::<String>(), with_first_letters(value, change))
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|item| with_first_letters(item, change)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn autoscaler() -> Value {
        let resource = |percent: i64| {
            let target = json!({"type": "Utilization", "averageUtilization": percent});
            json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
        };
        let pods = json!({"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "5"}});
        let described = json!({"kind": "Service", "name": "s", "apiVersion": "v1"});
        let object = json!({
            "describedObject": described, "metric": {"name": "load", "selector": {}}, "target": {"type": "Value", "value": "1"},
        });
        json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h", "annotations": {"own": "stays"}},
            "spec": {
                "minReplicas": 1,
                "maxReplicas": 3,
                "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                "metrics": [{"type": "Pods", "pods": pods}, {"type": "Object", "object": object}, resource(60)],
                "behavior": {"scaleUp": {"stabilizationWindowSeconds": 3, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}},
            },
            "status": {
                "desiredReplicas": 2,
                "conditions": [{"type": "AbleToScale", "status": "True"}],
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7, "averageValue": "70m"}}}],
            },
        })
    }

    #[test]
    fn the_older_version_shows_the_processor_target_in_a_field_of_its_own() {
        let shown = to_v1(&autoscaler());
        assert_eq!(shown["apiVersion"], "autoscaling/v1");
        assert_eq!(shown["spec"]["targetCPUUtilizationPercentage"], 60);
        assert_eq!(shown["spec"].get("metrics"), None);
        assert_eq!(shown["status"]["currentCPUUtilizationPercentage"], 7);
        assert_eq!(shown["status"]["currentReplicas"], 0);
        let behavior = shown["metadata"]["annotations"][BEHAVIOR].as_str().unwrap();
        assert!(behavior.starts_with(r#"{"ScaleUp":{"StabilizationWindowSeconds":3,"Policies":[{"#), "{behavior}");
    }

    #[test]
    fn nothing_is_lost_on_the_way_there_and_back() {
        assert_eq!(from_v1(&to_v1(&autoscaler())), autoscaler());
    }

    #[test]
    fn an_older_autoscaler_without_a_target_aims_at_eighty_percent() {
        let given = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 3}});
        let stored = from_v1(&given);
        assert_eq!(stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
        assert_eq!(to_v1(&stored)["spec"]["targetCPUUtilizationPercentage"], 80);
    }
}
