//! The pods a job asks for: its template, with owner, finalizer and, for Indexed jobs, the index.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::pods::{COMPLETION_INDEX, INDEX_FAILURE_COUNT, INDEX_IGNORED_FAILURE_COUNT, TRACKING_FINALIZER};

/// The longest base of a generated name: 63 less the five random characters.
const MAX_GENERATED_BASE: usize = 58;
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// What sets the pod of one index apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub index: usize,
    /// Counted and ignored failures of the index, where the job limits failures per index.
    pub failures: Option<(i32, i32)>,
}

/// The owner reference of a pod that the job controls.
pub fn owner(job: &Job) -> OwnerReference {
    OwnerReference {
        api_version: "batch/v1".to_owned(),
        kind: "Job".to_owned(),
        name: job.metadata.name.clone().unwrap_or_default(),
        uid: job.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// A pod of the job; `slot` says for which index where the job is Indexed.
pub fn pod(job: &Job, spec: &JobSpec, slot: Option<Slot>) -> Pod {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let PodTemplateSpec { metadata, spec: pod_spec } = spec.template.clone();
    let template = metadata.unwrap_or_default();
    let mut labels = template.labels.unwrap_or_default();
    let mut annotations = template.annotations.unwrap_or_default();
    let mut finalizers = template.finalizers.unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == TRACKING_FINALIZER) {
        finalizers.push(TRACKING_FINALIZER.to_owned());
    }
    let mut pod_spec = pod_spec.unwrap_or_default();
    let mut generate_name = format!("{name}-");
    if let Some(slot) = slot {
        let suffix = format!("-{}-", slot.index);
        let room = MAX_GENERATED_BASE.saturating_sub(suffix.len());
        generate_name = format!("{}{suffix}", &name[..name.floor_char_boundary(room)]);
        annotate(&mut annotations, slot);
        labels.insert(COMPLETION_INDEX.to_owned(), slot.index.to_string());
        pod_spec.hostname = Some(format!("{name}-{}", slot.index));
        let containers = pod_spec.init_containers.iter_mut().flatten().chain(&mut pod_spec.containers);
        containers.for_each(add_index_variable);
    }
    Pod {
        metadata: ObjectMeta {
            namespace: job.metadata.namespace.clone(),
            generate_name: Some(generate_name),
            labels: (!labels.is_empty()).then_some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            finalizers: Some(finalizers),
            owner_references: Some(vec![owner(job)]),
            ..ObjectMeta::default()
        },
        spec: Some(pod_spec),
        status: None,
    }
}

fn annotate(annotations: &mut BTreeMap<String, String>, slot: Slot) {
    annotations.insert(COMPLETION_INDEX.to_owned(), slot.index.to_string());
    let Some((counted, ignored)) = slot.failures else { return };
    annotations.insert(INDEX_FAILURE_COUNT.to_owned(), counted.to_string());
    if ignored > 0 {
        annotations.insert(INDEX_IGNORED_FAILURE_COUNT.to_owned(), ignored.to_string());
    }
}

fn add_index_variable(container: &mut Container) {
    let env = container.env.get_or_insert_default();
    if env.iter().any(|variable| variable.name == INDEX_VARIABLE) {
        return;
    }
    let field = ObjectFieldSelector { api_version: None, field_path: format!("metadata.labels['{COMPLETION_INDEX}']") };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    env.push(EnvVar { name: INDEX_VARIABLE.to_owned(), value: None, value_from: Some(source) });
}
