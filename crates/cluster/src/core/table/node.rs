//! Nodes, and the RuntimeClasses of `node.k8s.io`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::column::{AGE, NAME, Printer, text, wide};
use super::view::View;

pub(super) const PRINTERS: &[Printer] = &[
    Printer::new(
        "",
        "Node",
        &[
            NAME,
            text("Status", "Whether the node is ready, and whether pods are scheduled to it"),
            text("Roles", "Roles of the node, from its labels"),
            AGE,
            text("Version", "Version of the node's kubelet"),
            wide("Internal-IP", "First internal address of the node"),
            wide("External-IP", "First external address of the node"),
            wide("OS-Image", "Operating system of the node"),
            wide("Kernel-Version", "Kernel of the node"),
            wide("Container-Runtime", "Container runtime of the node"),
        ],
        node,
    ),
    Printer::new(
        "node.k8s.io",
        "RuntimeClass",
        &[NAME, text("Handler", "Configuration of the container runtime"), AGE],
        |class| vec![class.name(), Value::from(class.text("/handler")), class.age()],
    ),
];

const ROLE_LABEL_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";

fn node(node: &View<'_>) -> Vec<Value> {
    let ready = node.parts("/status/conditions").rfind(|condition| condition.text("/type") == "Ready");
    let mut status = match ready.map(|condition| condition.text("/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.boolean("/spec/unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    let info = node.part("/status/nodeInfo");
    let or_unknown = |path: &str| Value::from(info.text_or(path, "<unknown>"));
    vec![
        node.name(),
        Value::from(status),
        Value::from(roles(node)),
        node.age(),
        Value::from(info.text("/kubeletVersion")),
        address(node, "InternalIP"),
        address(node, "ExternalIP"),
        or_unknown("/osImage"),
        or_unknown("/kernelVersion"),
        or_unknown("/containerRuntimeVersion"),
    ]
}

fn roles(node: &View<'_>) -> String {
    let role = |(key, value): (&str, &Value)| match key.strip_prefix(ROLE_LABEL_PREFIX) {
        Some(role) => role.to_owned(),
        None if key == ROLE_LABEL => value.as_str().unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let roles: BTreeSet<String> = node.members("/metadata/labels").map(role).filter(|role| !role.is_empty()).collect();
    let roles: Vec<String> = roles.into_iter().collect();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

fn address(node: &View<'_>, kind: &str) -> Value {
    let address = node.condition("/status/addresses", kind);
    Value::from(address.map_or("<none>", |address| address.text("/address")))
}
