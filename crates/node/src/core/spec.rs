//! Reading a pod's specification: which containers it has and how each is to be treated.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that keeps running beside the main ones.
    Sidecar,
    Main,
    /// Added to a running pod; never restarted.
    Ephemeral,
}

/// `spec.restartPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    /// That of a pod; `Always` where it says nothing.
    pub fn of(spec: &PodSpec) -> Self {
        match spec.restart_policy.as_deref() {
            Some("OnFailure") => Self::OnFailure,
            Some("Never") => Self::Never,
            _ => Self::Always,
        }
    }
}

/// All containers of a pod with their roles: init containers first, in their order.
pub fn containers(spec: &PodSpec) -> Vec<(Role, Container)> {
    let init = spec.init_containers.iter().flatten().map(|container| {
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        (if sidecar { Role::Sidecar } else { Role::Init }, container.clone())
    });
    let main = spec.containers.iter().map(|container| (Role::Main, container.clone()));
    let ephemeral = spec.ephemeral_containers.iter().flatten().filter_map(|container| {
        // Both have the same fields; an ephemeral one has one more, that a container does not know.
        let value = serde_json::to_value(container).ok()?;
        Some((Role::Ephemeral, serde_json::from_value(value).ok()?))
    });
    init.chain(main).chain(ephemeral).collect()
}

/// Whether a pod's status says that all of it has ended.
pub fn has_ended(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}

/// How a pod's events and messages name it: `name_namespace(uid)`.
pub fn full_name(pod: &Pod) -> String {
    let meta = &pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    format!("{}_{}({})", text(&meta.name), text(&meta.namespace), text(&meta.uid))
}

/// Seconds that a pod's containers get to end by themselves.
pub fn grace_seconds(spec: &PodSpec) -> i64 {
    spec.termination_grace_period_seconds.unwrap_or(30).max(1)
}

/// Where an event about a container points to.
pub fn field_path(role: Role, name: &str) -> String {
    match role {
        Role::Init | Role::Sidecar => format!("spec.initContainers{{{name}}}"),
        Role::Main => format!("spec.containers{{{name}}}"),
        Role::Ephemeral => format!("spec.ephemeralContainers{{{name}}}"),
    }
}
