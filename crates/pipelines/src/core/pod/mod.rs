//! The pod of a step: the container that the pipeline names, under the launcher, with what the platform document adds.
//!
//! Parts are made as JSON of Kubernetes and become typed at the end, since the same JSON is what a `dsl.TaskConfig`
//! input is given. [`settings`] comes first: it resolves what the platform document refers to.

mod affinity;
mod claim;
mod parts;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};

pub use claim::{Claim, claim, workspace_claim, workspace_name};
pub use settings::settings;

use super::{
    executor::Step,
    fault::Fault,
    ir::Component,
    place::{IMAGE_SCHEME, IN_WORKSPACE, MODELS, Place, SCHEMES},
    resolve::WORKSPACE,
    step::{BIN, ENDPOINT_VARIABLE, LAUNCHER, TOKEN_VARIABLE, WORK, WORK_VARIABLE},
    value::Artifact,
};
use parts::Parts;

/// The volume of a step's own directory.
pub const WORK_VOLUME: &str = "ferroflow-work";
/// The volume that the launcher's program is in.
pub const BIN_VOLUME: &str = "ferroflow-bin";
/// The container that the step is, as upstream's is called.
pub const MAIN: &str = "main";

/// Where a step's pod finds the launcher's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LauncherSource {
    /// A directory of the node, mounted read-only.
    HostPath(String),
    /// An image whose program installs itself into an `emptyDir` first.
    Image(String),
}

/// How a step's pod is made, beside what it is.
#[derive(Clone, Debug)]
pub struct Placement<'a> {
    /// The pod's name.
    pub name: &'a str,
    /// Labels and annotations that the engine needs; they win over those of the platform document.
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Empty for the namespace's default.
    pub service_account: &'a str,
    pub launcher: &'a LauncherSource,
    /// Where the launcher reaches the control plane.
    pub endpoint: &'a str,
    /// The step's token.
    pub token: &'a str,
    /// `KFP_RETRY_INDEX`, where the task has a retry policy.
    pub retry: Option<u32>,
}

/// Which fields of a component's task config go to the pod, and which to the `dsl.TaskConfig` input.
fn goes_to_pod(component: &Component, field: &str) -> bool {
    let passthrough = component.passthroughs.iter().find(|passthrough| passthrough.field == field);
    passthrough.is_none_or(|passthrough| passthrough.apply_to_task)
}

/// The value of a `dsl.TaskConfig` input: parts of the pod that the component passes through, as Kubernetes has them.
///
/// # Errors
/// Where the platform document's settings make no pod.
pub fn task_config(step: &Step<'_>) -> Result<Value, Fault> {
    let parts = Parts::of(step)?;
    let wants = |field: &str| step.component.passthroughs.iter().any(|passthrough| passthrough.field == field);
    let when = |field: &str, value: Value| if wants(field) { value } else { Value::Null };
    let (mut volumes, mut mounts) = (parts.volumes, parts.mounts);
    if uses_workspace(step) {
        volumes.push(workspace_volume(step));
        mounts.push(json!({"name": "kfp-workspace", "mountPath": WORKSPACE}));
    }
    Ok(json!({
        "affinity": when("KUBERNETES_AFFINITY", parts.affinity),
        "tolerations": when("KUBERNETES_TOLERATIONS", parts.tolerations.into()),
        "nodeSelector": when("KUBERNETES_NODE_SELECTOR", parts.node_selector),
        "env": when("ENV", parts.env.into()),
        "volumes": when("KUBERNETES_VOLUMES", volumes.into()),
        "volumeMounts": when("KUBERNETES_VOLUMES", mounts.into()),
        "resources": if wants("RESOURCES") { parts.resources } else { json!({}) },
    }))
}

/// The pod of a step.
///
/// # Errors
/// Where the image is empty, or the settings of the platform document make no pod; the fault names the field.
pub fn build(step: &Step<'_>, placement: &Placement<'_>) -> Result<Pod, Fault> {
    let image = step.expand(&step.container.image);
    if image.trim().is_empty() {
        return Err(Fault::new("container.image", "is empty"));
    }
    let parts = Parts::of(step)?;
    let to_pod = |field: &str| goes_to_pod(step.component, field);
    let mut container = json!({
        "name": MAIN,
        "image": image,
        "command": [LAUNCHER],
        "terminationMessagePolicy": "File",
    });
    let mut volumes = parts.own_volumes;
    let mut mounts = parts.own_mounts;
    if to_pod("KUBERNETES_VOLUMES") {
        add_volumes(&mut volumes, parts.volumes);
        mounts.extend(parts.mounts);
    }
    add_own(step, placement, &mut volumes, &mut mounts);
    let models = models(step);
    for (number, model) in models.iter().enumerate() {
        volumes.push(json!({"name": model_volume(number), "emptyDir": {}}));
        mounts.push(json!({"name": model_volume(number), "mountPath": model.directory, "readOnly": true}));
    }
    let user_env = if to_pod("ENV") { parts.env } else { Vec::new() };
    container["env"] = env(placement, user_env).into();
    container["volumeMounts"] = mounts.into();
    if to_pod("RESOURCES") {
        container["resources"] = parts.resources;
    }
    if let Some(policy) = step.platform.get("imagePullPolicy") {
        container["imagePullPolicy"] = policy.clone();
    }
    if !parts.security.is_null() {
        container["securityContext"] = parts.security;
    }
    let mut spec = json!({"restartPolicy": "Never", "containers": [container], "volumes": volumes});
    let mut inits = launcher_init(placement);
    inits.extend(models.iter().enumerate().map(|(number, model)| model_init(number, model)));
    inits.extend(parts.init_containers);
    let optional = [
        ("initContainers", Value::from(inits)),
        ("imagePullSecrets", parts.pull_secrets.into()),
        ("serviceAccountName", placement.service_account.into()),
        ("activeDeadlineSeconds", step.platform.get("activeDeadlineSeconds").cloned().unwrap_or_default()),
        ("tolerations", if to_pod("KUBERNETES_TOLERATIONS") { parts.tolerations.into() } else { Value::Null }),
        ("nodeSelector", if to_pod("KUBERNETES_NODE_SELECTOR") { parts.node_selector } else { Value::Null }),
        ("affinity", if to_pod("KUBERNETES_AFFINITY") { parts.affinity } else { Value::Null }),
    ];
    for (name, value) in optional.into_iter().filter(|(_, value)| !is_nothing(value)) {
        spec[name] = value;
    }
    let pod = json!({"metadata": metadata(step, placement), "spec": spec});
    serde_json::from_value(pod).map_err(|error| Fault::new("platforms.kubernetes", format!("makes no pod: {error}")))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(_) => false,
    }
}

fn metadata(step: &Step<'_>, placement: &Placement<'_>) -> Value {
    let merged = |field: &str, own: &BTreeMap<String, String>| {
        let given = step.platform.get("podMetadata").and_then(|metadata| metadata.get(field));
        let mut all = given.and_then(Value::as_object).cloned().unwrap_or_default();
        all.extend(own.iter().map(|(name, value)| (name.clone(), value.clone().into())));
        all
    };
    json!({
        "name": placement.name,
        "namespace": step.facts.namespace,
        "labels": merged("labels", &placement.labels),
        "annotations": merged("annotations", &placement.annotations),
    })
}

/// The user's variables, after what they may refer to and before what they may not change.
fn env(placement: &Placement<'_>, user: Vec<Value>) -> Vec<Value> {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let mut env = vec![field("KFP_POD_NAME", "metadata.name"), field("KFP_POD_UID", "metadata.uid")];
    env.extend(placement.retry.map(|retry| json!({"name": "KFP_RETRY_INDEX", "value": retry.to_string()})));
    env.extend(user);
    for (name, value) in
        [(WORK_VARIABLE, WORK), (ENDPOINT_VARIABLE, placement.endpoint), (TOKEN_VARIABLE, placement.token)]
    {
        env.push(json!({"name": name, "value": value}));
    }
    env
}

/// The step's own directory, the launcher's program and, where it is used, the workspace.
fn add_own(step: &Step<'_>, placement: &Placement<'_>, volumes: &mut Vec<Value>, mounts: &mut Vec<Value>) {
    volumes.push(json!({"name": WORK_VOLUME, "emptyDir": {}}));
    mounts.push(json!({"name": WORK_VOLUME, "mountPath": WORK}));
    let uris = || step.inputs.artifacts.values().flatten().map(|artifact| artifact.uri.as_str()).chain([step.uri]);
    for (scheme, directory) in SCHEMES {
        if uris().any(|uri| uri.starts_with(scheme)) {
            let path = format!("/{directory}");
            mounts.push(json!({"name": WORK_VOLUME, "mountPath": path, "subPath": directory}));
        }
    }
    volumes.push(match placement.launcher {
        LauncherSource::HostPath(path) => json!({"name": BIN_VOLUME, "hostPath": {"path": path, "type": "Directory"}}),
        LauncherSource::Image(_) => json!({"name": BIN_VOLUME, "emptyDir": {}}),
    });
    mounts.push(json!({"name": BIN_VOLUME, "mountPath": BIN, "readOnly": true}));
    if uses_workspace(step) && goes_to_pod(step.component, "KUBERNETES_VOLUMES") {
        add_volumes(volumes, vec![workspace_volume(step)]);
        mounts.push(json!({"name": "kfp-workspace", "mountPath": WORKSPACE}));
    }
}

/// Adds volumes whose names are not there yet: one claim may be mounted at several places.
fn add_volumes(volumes: &mut Vec<Value>, more: Vec<Value>) {
    for volume in more {
        if !volumes.iter().any(|other| other["name"] == volume["name"]) {
            volumes.push(volume);
        }
    }
}

fn launcher_init(placement: &Placement<'_>) -> Vec<Value> {
    match placement.launcher {
        LauncherSource::HostPath(_) => Vec::new(),
        // It asks for no more than a namespace that enforces the profile `restricted` gives, whatever its step asks for.
        LauncherSource::Image(image) => vec![json!({
            "name": "ferroflow-launcher",
            "image": image,
            "command": ["/ferroflow-launcher", "install", BIN],
            "volumeMounts": [{"name": BIN_VOLUME, "mountPath": BIN}],
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        })],
    }
}

/// A model that is an image.
struct Model {
    image: String,
    /// Where the SDK looks for what the image has.
    directory: String,
}

/// The images among a step's inputs, in their order, each once.
fn models(step: &Step<'_>) -> Vec<Model> {
    let place = Place { root: None };
    let uris: BTreeSet<&str> = step.inputs.artifacts.values().flatten().map(|artifact| artifact.uri.as_str()).collect();
    let model = |uri: &str| {
        let (directory, image) = (place.model_directory(uri)?, uri.strip_prefix(IMAGE_SCHEME)?.to_owned());
        Some(Model { image, directory })
    };
    uris.into_iter().filter_map(model).collect()
}

fn model_volume(number: usize) -> String {
    format!("ferroflow-model-{number}")
}

/// Copies a model out of its image before the step starts, by the launcher: upstream runs the image beside the step and
/// reaches into it by links of `/proc`, for which both need a shell, one user and one view of processes.
fn model_init(number: usize, model: &Model) -> Value {
    let own = "/ferroflow/model";
    json!({
        "name": model_volume(number),
        "image": model.image,
        "command": [LAUNCHER, "copy", MODELS, format!("{own}{MODELS}")],
        "volumeMounts": [
            {"name": BIN_VOLUME, "mountPath": BIN, "readOnly": true},
            {"name": model_volume(number), "mountPath": own},
        ],
    })
}

fn workspace_volume(step: &Step<'_>) -> Value {
    json!({"name": "kfp-workspace", "persistentVolumeClaim": {"claimName": workspace_name(step.facts)}})
}

/// Whether a step's inputs lead into the workspace: the rule of upstream's `needsWorkspaceMount`, for every artifact, and
/// for text at any depth.
pub fn uses_workspace(step: &Step<'_>) -> bool {
    let is_there = |artifact: &Artifact| artifact.metadata.get(IN_WORKSPACE) == Some(&Value::Bool(true));
    let defaults = step.component.inputs.parameters.iter().filter_map(|(name, declared)| {
        let is_given = step.inputs.parameters.get(name).is_some_and(|value| !value.is_null());
        if is_given { None } else { declared.default.as_ref() }
    });
    step.inputs.artifacts.values().flatten().any(is_there)
        || step.inputs.parameters.values().chain(defaults).any(names_workspace)
        || [&step.container.command, &step.container.args].into_iter().flatten().any(says_workspace)
}

fn names_workspace(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(WORKSPACE) || text.contains("{{$.workspace_path}}"),
        Value::Array(items) => items.iter().any(names_workspace),
        Value::Object(fields) => fields.values().any(names_workspace),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a word of a command has the placeholder; the path alone may stand in a program's text for other reasons.
fn says_workspace(word: &Value) -> bool {
    word.to_string().contains("{{$.workspace_path}}")
}

/// A name that volumes may have; others get one that follows from theirs.
fn volume_name(name: &str) -> String {
    let is_label = |text: &str| {
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        text.len() <= 63
            && !text.is_empty()
            && text.bytes().all(is_part)
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    if is_label(name) { name.to_owned() } else { format!("volume-{}", claim::short_hash(&[name])) }
}

/// The claims that settings mount, by name.
pub fn claims(settings: &Map<String, Value>) -> impl Iterator<Item = String> {
    entries(settings, "pvcMount").iter().filter_map(|mount| mount.get("pvcName")?.as_str().map(str::to_owned))
}

/// The objects of a list field; none where it is not set.
fn entries<'a>(settings: &'a Map<String, Value>, field: &str) -> &'a [Value] {
    settings.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
