//! The names of a stateful set's pods and claims, and the pod of an ordinal.

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};

use super::Subject;
use crate::core::workload::pods;
use crate::core::workload::revision::REVISION_LABEL;

/// The label that holds the pod's own name.
pub const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
/// The label that holds the pod's ordinal.
pub const POD_INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

fn split(name: &str) -> Option<(&str, i32)> {
    let (parent, digits) = name.rsplit_once('-')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten().map(|ordinal| (parent, ordinal))
}

/// The name of the stateful set that a pod's name points to, empty when it points to none.
pub fn parent(pod: &Pod) -> &str {
    split(pods::name(&pod.metadata)).map(|(parent, _)| parent).unwrap_or_default()
}

/// The pod's ordinal.
pub fn ordinal(pod: &Pod) -> Option<i32> {
    split(pods::name(&pod.metadata)).map(|(_, ordinal)| ordinal)
}

/// The name of the claim that a template makes for an ordinal.
pub fn claim_name(template: &PersistentVolumeClaim, set: &str, ordinal: i32) -> String {
    format!("{}-{set}-{ordinal}", pods::name(&template.metadata))
}

/// The pod of an ordinal: of the current revision below the partition, of the update revision from there on.
pub(super) fn pod(subject: &Subject, ordinal: i32) -> Pod {
    let keeps_current = subject.is_rolling() && {
        let boundary = subject
            .partition()
            .unwrap_or_else(|| subject.set.status.as_ref().and_then(|status| status.current_replicas).unwrap_or(0));
        ordinal < subject.start().saturating_add(boundary)
    };
    let (template, revision) = match (&subject.current_template, keeps_current) {
        (Some(template), true) => (template, &subject.current),
        _ => (&subject.spec.template, if keeps_current { &subject.current } else { &subject.update }),
    };
    of_template(subject, template, revision, ordinal)
}

fn of_template(subject: &Subject, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let mut pod = pods::from_template(template, &subject.owner, subject.namespace());
    let name = format!("{}-{ordinal}", subject.name());
    pod.metadata.generate_name = Some(format!("{}-", subject.name()));
    pod.metadata.name = Some(name.clone());
    label(&mut pod, ordinal);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name);
    spec.subdomain = subject.spec.service_name.clone().filter(|service| !service.is_empty());
    set_volumes(subject, &mut pod, ordinal);
    pod
}

fn label(pod: &mut Pod, ordinal: i32) {
    let name = pods::name(&pod.metadata).to_owned();
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME_LABEL.to_owned(), name);
    labels.insert(POD_INDEX_LABEL.to_owned(), ordinal.to_string());
}

/// Claims come first and replace the template's volumes of the same name.
fn set_volumes(subject: &Subject, pod: &mut Pod, ordinal: i32) {
    let templates = subject.spec.volume_claim_templates.as_deref().unwrap_or_default();
    if templates.is_empty() {
        return;
    }
    let mut volumes: Vec<Volume> = templates
        .iter()
        .map(|template| Volume {
            name: pods::name(&template.metadata).to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(template, subject.name(), ordinal),
                read_only: None,
            }),
            ..Volume::default()
        })
        .collect();
    let spec = pod.spec.get_or_insert_default();
    let is_claim = |volume: &Volume| templates.iter().any(|one| pods::name(&one.metadata) == volume.name);
    volumes.extend(spec.volumes.take().unwrap_or_default().into_iter().filter(|volume| !is_claim(volume)));
    spec.volumes = Some(volumes);
}
