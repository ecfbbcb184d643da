//! The objects of `metrics.k8s.io`, from what a node has measured.

use std::{sync::Arc, time::Duration};

use ferroflow_platform::kubelet::{NodeFigures, PodFigures};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::resource::{Resource, ResourceRef, Scope};

pub const GROUP: &str = "metrics.k8s.io";
pub const VERSION: &str = "v1beta1";

/// The resources of the group, as a metrics server has them.
pub fn rows() -> Vec<ResourceRef> {
    let row = |plural: &str, kind: &str, scope: Scope| {
        Arc::new(Resource {
            group: GROUP.to_owned(),
            version: VERSION.to_owned(),
            kind: kind.to_owned(),
            list_kind: format!("{kind}List"),
            plural: plural.to_owned(),
            singular: String::new(),
            short_names: Vec::new(),
            categories: Vec::new(),
            scope,
            verbs: vec!["get".to_owned(), "list".to_owned()],
            subresources: Vec::new(),
            selectable_fields: Vec::new(),
            storage: String::new(),
            // Behind the built-in groups, as one that is served from elsewhere.
            custom: true,
        })
    };
    vec![row("nodes", "NodeMetrics", Scope::Cluster), row("pods", "PodMetrics", Scope::Namespaced)]
}

/// A list of objects.
pub fn list(row: &Resource, items: Vec<Value>) -> Value {
    json!({"kind": row.list_kind, "apiVersion": row.api_version(), "metadata": {}, "items": items})
}

/// What a pod uses.
pub fn pod(figures: &PodFigures, labels: Value, now: Timestamp) -> Value {
    let containers = figures.containers.iter().map(
        |container| json!({"name": container.name, "usage": usage(container.cpu_nanocores, container.memory_bytes)}),
    );
    json!({
        "kind": "PodMetrics", "apiVersion": format!("{GROUP}/{VERSION}"),
        "metadata": {"name": figures.name, "namespace": figures.namespace, "creationTimestamp": seconds(now),
            "labels": labels},
        "timestamp": seconds(figures.at), "window": window(figures.window),
        "containers": containers.collect::<Vec<_>>(),
    })
}

/// What a node uses.
pub fn node(figures: &NodeFigures, labels: Value, now: Timestamp) -> Value {
    json!({
        "kind": "NodeMetrics", "apiVersion": format!("{GROUP}/{VERSION}"),
        "metadata": {"name": figures.name, "creationTimestamp": seconds(now), "labels": labels},
        "timestamp": seconds(figures.at), "window": window(figures.window),
        "usage": usage(figures.cpu_nanocores, figures.memory_bytes),
    })
}

fn usage(cpu_nanocores: u64, memory_bytes: u64) -> Value {
    json!({"cpu": format!("{cpu_nanocores}n"), "memory": format!("{}Ki", memory_bytes / 1024)})
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// As Go prints a duration.
fn window(window: Duration) -> String {
    let millis = window.as_millis();
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use ferroflow_platform::kubelet::ContainerFigures;

    use super::*;

    #[test]
    fn figures_are_shown_as_a_metrics_server_shows_them() {
        let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        let containers = vec![ContainerFigures { name: "c".to_owned(), cpu_nanocores: 250, memory_bytes: 4096 }];
        let window = Duration::from_millis(10_030);
        let figures = PodFigures { namespace: "n".to_owned(), name: "p".to_owned(), at: at(0), window, containers };
        let shown = pod(&figures, json!({"app": "x"}), at(3));
        assert_eq!(
            shown,
            json!({
                "kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
                "metadata": {"name": "p", "namespace": "n", "creationTimestamp": "2023-11-14T22:13:23Z",
                    "labels": {"app": "x"}},
                "timestamp": "2023-11-14T22:13:20Z", "window": "10.03s",
                "containers": [{"name": "c", "usage": {"cpu": "250n", "memory": "4Ki"}}],
            })
        );
        assert_eq!(list(&rows()[1], vec![shown])["kind"], "PodMetricsList");
    }
}
