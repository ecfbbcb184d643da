//! Kinds of the group `apps`.

use serde_json::Value;

use super::column::{AGE, CONTAINERS, IMAGES, NAME, Printer, SELECTOR, integer, text};
use super::view::View;
use crate::core::selector::labels::Selector;

pub(super) const PRINTERS: &[Printer] = &[
    Printer::new(
        "apps",
        "Deployment",
        &[
            NAME,
            text("Ready", "Pods that are ready, of those that there should be"),
            text("Up-to-date", "Pods of the current template"),
            text("Available", "Pods that have been ready long enough"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        deployment,
    ),
    Printer::new(
        "apps",
        "ReplicaSet",
        &[
            NAME,
            integer("Desired", "Pods that there should be"),
            integer("Current", "Pods that there are"),
            integer("Ready", "Pods that are ready"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        replica_set,
    ),
    Printer::new(
        "apps",
        "StatefulSet",
        &[NAME, text("Ready", "Pods that are ready, of those that there should be"), AGE, CONTAINERS, IMAGES],
        stateful_set,
    ),
    Printer::new(
        "apps",
        "DaemonSet",
        &[
            NAME,
            integer("Desired", "Nodes that should run the pod"),
            integer("Current", "Nodes that run the pod and should"),
            integer("Ready", "Nodes on which the pod is ready"),
            integer("Up-to-date", "Nodes that run the pod of the current template"),
            integer("Available", "Nodes on which the pod has been ready long enough"),
            text("Node Selector", "Labels of the nodes that run the pod"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        daemon_set,
    ),
    Printer::new(
        "apps",
        "ControllerRevision",
        &[
            NAME,
            text("Controller", "The object whose history this is"),
            text("Revision", "Number of the revision"),
            AGE,
        ],
        controller_revision,
    ),
];

const TEMPLATE_CONTAINERS: &str = "/spec/template/spec/containers";

fn deployment(deployment: &View<'_>) -> Vec<Value> {
    let ready = deployment.integer("/status/readyReplicas");
    let selector = Selector::from_json(deployment.part("/spec/selector").value);
    let mut cells = vec![
        deployment.name(),
        Value::from(format!("{ready}/{}", deployment.integer("/spec/replicas"))),
        Value::from(deployment.integer("/status/updatedReplicas")),
        Value::from(deployment.integer("/status/availableReplicas")),
        deployment.age(),
    ];
    cells.extend(deployment.containers(TEMPLATE_CONTAINERS));
    cells.push(Value::from(selector.map_or_else(|_| "<invalid>".to_owned(), |selector| selector.to_string())));
    cells
}

fn replica_set(set: &View<'_>) -> Vec<Value> {
    let mut cells = vec![
        set.name(),
        Value::from(set.integer("/spec/replicas")),
        Value::from(set.integer("/status/replicas")),
        Value::from(set.integer("/status/readyReplicas")),
        set.age(),
    ];
    cells.extend(set.containers(TEMPLATE_CONTAINERS));
    cells.push(Value::from(set.selector("/spec/selector")));
    cells
}

fn stateful_set(set: &View<'_>) -> Vec<Value> {
    let ready = set.integer("/status/readyReplicas");
    let mut cells = vec![set.name(), Value::from(format!("{ready}/{}", set.integer("/spec/replicas"))), set.age()];
    cells.extend(set.containers(TEMPLATE_CONTAINERS));
    cells
}

fn daemon_set(set: &View<'_>) -> Vec<Value> {
    let mut cells = vec![
        set.name(),
        Value::from(set.integer("/status/desiredNumberScheduled")),
        Value::from(set.integer("/status/currentNumberScheduled")),
        Value::from(set.integer("/status/numberReady")),
        Value::from(set.integer("/status/updatedNumberScheduled")),
        Value::from(set.integer("/status/numberAvailable")),
        Value::from(set.labels("/spec/template/spec/nodeSelector")),
        set.age(),
    ];
    cells.extend(set.containers(TEMPLATE_CONTAINERS));
    cells.push(Value::from(set.selector("/spec/selector")));
    cells
}

fn controller_revision(revision: &View<'_>) -> Vec<Value> {
    let controller = revision
        .parts("/metadata/ownerReferences")
        .find(|owner| owner.boolean("/controller"))
        .map_or_else(|| "<none>".to_owned(), |owner| controller_name(&owner));
    vec![revision.name(), Value::from(controller), Value::from(revision.integer("/revision")), revision.age()]
}

/// `statefulset.apps/web`, or `pod/web` for the core group.
fn controller_name(owner: &View<'_>) -> String {
    let (kind, name) = (owner.text("/kind"), owner.text("/name"));
    let kind = match owner.text("/apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}"),
        None => kind.to_owned(),
    };
    if kind.is_empty() { name.to_owned() } else { format!("{}/{name}", kind.to_lowercase()) }
}
