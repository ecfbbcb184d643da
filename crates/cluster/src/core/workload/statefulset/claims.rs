//! The claims of a stateful set's pods: which are missing, and who owns them under the retention policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::Subject;
use super::identity::{claim_name, ordinal};
use crate::core::workload::act::{Act, Change, Kind, New, Note};
use crate::core::workload::claim::{Owner, set_owners};
use crate::core::workload::{pods, selector};

type Claims = BTreeMap<String, Arc<PersistentVolumeClaim>>;

/// Whether a claim outlives what it belonged to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Retain,
    Delete,
}

/// When claims are deleted: with the set, and with a pod that is scaled away.
#[derive(Clone, Copy)]
struct Policy {
    deleted: Fate,
    scaled: Fate,
}

fn policy(subject: &Subject) -> Policy {
    let policy = subject.spec.persistent_volume_claim_retention_policy.as_ref();
    let fate = |text: Option<&String>| match text.map(String::as_str) {
        Some("Delete") => Fate::Delete,
        _ => Fate::Retain,
    };
    Policy {
        deleted: fate(policy.and_then(|policy| policy.when_deleted.as_ref())),
        scaled: fate(policy.and_then(|policy| policy.when_scaled.as_ref())),
    }
}

/// What a pod's claims need before the pod can be created.
pub enum Needs {
    /// The acts that create what is missing, possibly none.
    Acts(Vec<Act>),
    /// A claim stands in the way, as the text says.
    Blocked(String),
}

/// The claims that the pod of an ordinal lacks.
pub(super) fn missing(subject: &Subject, claims: &Claims, ordinal: i32) -> Needs {
    let templates = subject.spec.volume_claim_templates.as_deref().unwrap_or_default();
    let mut acts = Vec::new();
    for template in templates {
        let name = claim_name(template, subject.name(), ordinal);
        match claims.get(&name) {
            None => acts.push(create(subject, template, ordinal)),
            Some(claim) if claim.metadata.deletion_timestamp.is_some() => {
                return Needs::Blocked(format!("pvc {name} is being deleted"));
            }
            Some(_) => {}
        }
    }
    Needs::Acts(acts)
}

fn create(subject: &Subject, template: &PersistentVolumeClaim, ordinal: i32) -> Act {
    let name = claim_name(template, subject.name(), ordinal);
    let mut labels = template.metadata.labels.clone().unwrap_or_default();
    labels.extend(subject.spec.selector.match_labels.clone().unwrap_or_default());
    let policy = policy(subject);
    let owners = (policy.deleted == Fate::Delete).then(|| vec![subject.owner.reference()]);
    let claim = PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: subject.set.metadata.namespace.clone(),
            labels: (!labels.is_empty()).then_some(labels),
            annotations: template.metadata.annotations.clone(),
            owner_references: owners,
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    };
    let (set, pod) = (subject.name(), format!("{}-{ordinal}", subject.name()));
    let done = format!("create Claim {name} Pod {pod} in StatefulSet {set} success");
    let failed = format!("create Claim {name} for Pod {pod} in StatefulSet {set} failed error: ");
    Act {
        adopts: false,
        change: Change::Create(New::Claim(Box::new(claim))),
        done: vec![Note::normal("SuccessfulCreate", done)],
        failed: Some(Note::warning("FailedCreate", failed).with_error()),
    }
}

/// Whether a claim of the pod that is about to be created still belongs to an earlier pod of the same name, which
/// will take it along.
pub(super) fn is_stale(subject: &Subject, claims: &Claims, pod: &Pod) -> bool {
    policy(subject).scaled == Fate::Delete
        && of_pod(subject, claims, pod).any(|claim| has_stale_owner(claim, &Owner::of(pod)))
}

fn of_pod<'a>(
    subject: &'a Subject,
    claims: &'a Claims,
    pod: &Pod,
) -> impl Iterator<Item = &'a Arc<PersistentVolumeClaim>> {
    let ordinal = ordinal(pod);
    let templates = subject.spec.volume_claim_templates.iter().flatten();
    templates.filter_map(move |template| claims.get(&claim_name(template, subject.name(), ordinal?)))
}

/// The changes of ownership that the retention policy asks for.
pub(super) fn owner_changes(subject: &Subject, claims: &Claims, pod: &Pod) -> Vec<Act> {
    let mut acts = Vec::new();
    for claim in of_pod(subject, claims, pod) {
        let current = claim.metadata.owner_references.clone().unwrap_or_default();
        if let Some(owners) = owners(subject, &current, pod)
            && owners != current
        {
            acts.push(set_owners(Kind::Claim, &claim.metadata, owners));
        }
    }
    acts
}

/// The owners that a claim should have; `None` to leave it alone.
fn owners(subject: &Subject, current: &[OwnerReference], pod: &Pod) -> Option<Vec<OwnerReference>> {
    let (set, own) = (&subject.owner, Owner::of(pod));
    let policy = policy(subject);
    let is_ours = |one: &OwnerReference| one.uid == set.uid || one.uid == own.uid;
    if current.iter().any(|one| is_named(one, set) && one.uid != set.uid || is_named(one, &own) && one.uid != own.uid) {
        return None;
    }
    let others: Vec<OwnerReference> =
        current.iter().filter(|one| !is_named(one, set) && !is_named(one, &own)).cloned().collect();
    let keeps_all = policy.scaled == Fate::Retain && policy.deleted == Fate::Retain;
    let foreign = !keeps_all && others.iter().any(|one| one.controller == Some(true));
    if foreign {
        return current.iter().any(is_ours).then_some(others);
    }
    let condemned = !ordinal(pod).is_some_and(|ordinal| subject.holds_ordinal(ordinal));
    let mut owners = others;
    let by_pod = policy.scaled == Fate::Delete && condemned;
    if by_pod {
        owners.push(own.reference());
    } else if policy.deleted == Fate::Delete {
        owners.push(set.reference());
    }
    let same =
        |one: &OwnerReference| owners.iter().any(|other| other.uid == one.uid && other.controller == one.controller);
    let unchanged = owners.len() == current.len() && current.iter().all(same);
    (!unchanged).then_some(owners)
}

fn is_named(reference: &OwnerReference, owner: &Owner) -> bool {
    reference.api_version == owner.api_version && reference.kind == owner.kind && reference.name == owner.name
}

fn has_stale_owner(claim: &PersistentVolumeClaim, owner: &Owner) -> bool {
    claim.metadata().owner_references.iter().flatten().any(|one| is_named(one, owner) && one.uid != owner.uid)
}

/// Whether the pod mounts the claims of its ordinal and bears its name as a label.
pub(super) fn is_whole(subject: &Subject, pod: &Pod) -> bool {
    let Some(ordinal) = ordinal(pod) else { return false };
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mounted = |template: &PersistentVolumeClaim| {
        let name = claim_name(template, subject.name(), ordinal);
        volumes.clone().any(|volume| {
            volume.name == pods::name(&template.metadata)
                && volume.persistent_volume_claim.as_ref().is_some_and(|source| source.claim_name == name)
        })
    };
    subject.spec.volume_claim_templates.iter().flatten().all(mounted)
}

/// Whether the pod bears its own name as a label.
pub(super) fn is_labelled(pod: &Pod) -> bool {
    let wanted = [(super::identity::POD_NAME_LABEL.to_owned(), pods::name(&pod.metadata).to_owned())].into();
    selector::contains(pod.metadata.labels.as_ref(), Some(&wanted))
}
