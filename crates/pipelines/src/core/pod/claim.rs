//! Claims of storage: those that tasks make and delete without a pod, and the workspace of a run.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::core::{
    fault::Fault,
    ir::{Container, Workspace},
    resolve::Facts,
    value::{Values, describe, text},
};

/// A claim of storage that a task makes or deletes.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The object; its name is the output `name`.
    Create(Value),
    /// A claim's name.
    Delete(String),
}

const ACCESS_MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];

/// The claim that a container stands for, where it is one of the stubs of `kfp-kubernetes`.
///
/// A claim without a name of its own gets one that follows from run and task: `<run>-<hash>[-<suffix>]`, so that a task
/// that is looked at twice makes one claim, and two tasks of a loop make two.
///
/// # Errors
/// Where an input is missing or of another type; in upstream's words where there are some.
pub fn claim(container: &Container, inputs: &Values, facts: &Facts, task_id: &str) -> Result<Option<Claim>, Fault> {
    match container.image.as_str() {
        "argostub/createpvc" => create(inputs, facts, task_id).map(|claim| Some(Claim::Create(claim))),
        "argostub/deletepvc" => match word(inputs, "pvc_name")? {
            Some(name) => Ok(Some(Claim::Delete(name))),
            None => Err(missing("delete", "pvc_name")),
        },
        _ => Ok(None),
    }
}

fn create(inputs: &Values, facts: &Facts, task_id: &str) -> Result<Value, Fault> {
    let (own, suffix) = (word(inputs, "pvc_name")?, word(inputs, "pvc_name_suffix")?);
    let hash = short_hash(&[&facts.run_id, task_id]);
    let name = match (own, suffix) {
        (Some(_), Some(_)) => {
            let what = "failed to create pvc: at most one of pvc_name and pvc_name_suffix can be non-empty";
            return Err(Fault::new("inputs.parameters.pvc_name", what));
        }
        (Some(name), None) => name,
        (None, Some(suffix)) => format!("{}-{hash}-{}", facts.resource_name, suffix.trim_start_matches('-')),
        (None, None) => format!("{}-{hash}", facts.resource_name),
    };
    let modes = match inputs.parameters.get("access_modes") {
        Some(Value::Array(modes)) if !modes.is_empty() => modes.clone(),
        Some(Value::Null) | None => return Err(missing("create", "access_modes")),
        Some(other) => return Err(wrong("access_modes", "a list with something in it", other)),
    };
    if let Some(mode) = modes.iter().find(|mode| !ACCESS_MODES.iter().any(|known| *mode == known)) {
        return Err(wrong("access_modes", &format!("of {}", ACCESS_MODES.join(", ")), mode));
    }
    let size = word(inputs, "size")?.ok_or_else(|| missing("create", "size"))?;
    let mut spec = json!({"accessModes": modes, "resources": {"requests": {"storage": size}}});
    let volume = word(inputs, "volume_name")?;
    match (word(inputs, "storage_class_name")?, &volume) {
        (Some(class), _) => spec["storageClassName"] = class.into(),
        // A volume that is named is bound to without a class; else the cluster's default counts.
        (None, Some(_)) => spec["storageClassName"] = "".into(),
        (None, None) => {}
    }
    if let Some(volume) = volume {
        spec["volumeName"] = volume.into();
    }
    match inputs.parameters.get("data_source") {
        None | Some(Value::Null) => {}
        Some(Value::Object(source)) if source.is_empty() => {}
        Some(Value::Object(source)) => spec["dataSource"] = camel(source),
        Some(other) => return Err(wrong("data_source", "an object", other)),
    }
    let mut metadata = json!({"name": name});
    match inputs.parameters.get("annotations") {
        None | Some(Value::Null) => {}
        Some(Value::Object(annotations)) => {
            let annotations: Map<_, _> =
                annotations.iter().map(|(name, value)| (name.clone(), text(value).into())).collect();
            metadata["annotations"] = annotations.into();
        }
        Some(other) => return Err(wrong("annotations", "an object", other)),
    }
    Ok(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}))
}

/// A reference with the names that the API has.
fn camel(source: &Map<String, Value>) -> Value {
    let name = |name: &str| if name == "api_group" { "apiGroup".to_owned() } else { name.to_owned() };
    source.iter().map(|(field, value)| (name(field), value.clone())).collect::<Map<_, _>>().into()
}

/// Text of an input; `None` where it has none or is empty.
fn word(inputs: &Values, name: &str) -> Result<Option<String>, Fault> {
    match inputs.parameters.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(other) => Err(wrong(name, "a string", other)),
    }
}

fn missing(verb: &str, name: &str) -> Fault {
    let what = format!("failed to {verb} pvc: parameter {name} not provided");
    Fault::new(format!("inputs.parameters.{name}"), what)
}

fn wrong(name: &str, wanted: &str, found: &Value) -> Fault {
    Fault::new(format!("inputs.parameters.{name}"), format!("must be {wanted}, not {}", describe(found)))
}

/// Ten hexadecimal digits that follow from text.
pub fn short_hash(parts: &[&str]) -> String {
    let hash = Sha256::digest(parts.join("\0").as_bytes());
    hash.iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a run's workspace claim, as upstream has it.
pub fn workspace_name(facts: &Facts) -> String {
    format!("{}-kfp-workspace", facts.resource_name)
}

/// The claim of a run's workspace. Without `accessModes` in the patch it is `ReadWriteOnce`, where upstream refuses.
pub fn workspace_claim(workspace: &Workspace, facts: &Facts) -> Value {
    let mut spec = workspace.claim_patch.clone();
    spec.entry("accessModes").or_insert_with(|| json!(["ReadWriteOnce"]));
    let mut resources = spec.get("resources").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    if !resources["requests"].is_object() {
        resources["requests"] = json!({});
    }
    resources["requests"]["storage"] = workspace.size.clone().into();
    spec.insert("resources".to_owned(), resources);
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": workspace_name(facts)},
        "spec": spec,
    })
}
