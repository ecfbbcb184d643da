//! Fields that a resource resets on a write, so that no manager comes to own them there.
//!
//! The table follows `GetResetFields` of the strategies under `kubernetes/pkg/registry`.

use super::element::Element;
use super::fieldset::Set;

/// What a resource or subresource resets.
#[derive(Clone, Debug, Default)]
pub enum ResetFields {
    /// Nothing.
    #[default]
    None,
    /// These paths with all below them.
    Paths(Set<'static>),
    /// Everything but these paths; `*` stands for any step.
    AllBut(&'static [&'static [&'static str]]),
}

/// A row of the table: group, kind, subresource, reset paths.
type Row = (&'static str, &'static str, &'static str, &'static [&'static [&'static str]]);

const STATUS: &[&[&str]] = &[&["status"]];
const SPEC: &[&[&str]] = &[&["spec"]];
const SPEC_AND_METADATA: &[&[&str]] = &[&["spec"], &["metadata"]];

/// Kinds with `spec` and `status` whose main path resets `status` and whose status path resets `spec`.
const COMMON: &[(&str, &str)] = &[
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "ReplicationController"),
    ("", "ResourceQuota"),
    ("", "Service"),
    ("networking.k8s.io", "Ingress"),
    ("policy", "PodDisruptionBudget"),
    ("resource.k8s.io", "ResourceClaim"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
];

/// Where a kind differs from the common rule.
const ROWS: &[Row] = &[
    ("apps", "Deployment", "status", &[&["spec"], &["metadata", "labels"]]),
    ("", "Pod", "status", &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]]),
    ("", "Namespace", "finalize", STATUS),
    ("certificates.k8s.io", "CertificateSigningRequest", "", &[&["spec"], &["status"]]),
    ("certificates.k8s.io", "CertificateSigningRequest", "status", &[&["spec"], &["status", "conditions"]]),
    ("certificates.k8s.io", "CertificateSigningRequest", "approval", &[&["spec"], &["status", "certificate"]]),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema", "status", SPEC_AND_METADATA),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", "status", SPEC_AND_METADATA),
    ("storage.k8s.io", "VolumeAttachment", "status", SPEC_AND_METADATA),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "status", SPEC_AND_METADATA),
    ("apiextensions.k8s.io", "CustomResourceDefinition", "status", SPEC_AND_METADATA),
    ("apiregistration.k8s.io", "APIService", "status", SPEC_AND_METADATA),
];

const EPHEMERAL_CONTAINERS: &[&[&str]] = &[&["spec", "ephemeralContainers"]];
const RESIZE: &[&[&str]] = &[
    &["spec", "containers", "*", "resources"],
    &["spec", "containers", "*", "resizePolicy"],
    &["spec", "initContainers", "*", "resources"],
    &["spec", "initContainers", "*", "resizePolicy"],
];

impl ResetFields {
    /// What a built-in kind resets on its main path (`subresource` empty) or on a subresource.
    pub fn builtin(group: &str, kind: &str, subresource: &str) -> Self {
        match (group, kind, subresource) {
            ("", "Pod", "ephemeralcontainers") => return Self::AllBut(EPHEMERAL_CONTAINERS),
            ("", "Pod", "resize") => return Self::AllBut(RESIZE),
            _ => {}
        }
        let row = ROWS.iter().find(|row| (row.0, row.1, row.2) == (group, kind, subresource));
        let common = COMMON.contains(&(group, kind));
        match (row, subresource) {
            (Some(row), _) => Self::Paths(Set::of_fields(row.3)),
            (None, "") if common => Self::Paths(Set::of_fields(STATUS)),
            (None, "status") if common => Self::Paths(Set::of_fields(SPEC)),
            _ => Self::None,
        }
    }

    /// What a custom resource with the status subresource resets; without it nothing is reset.
    pub fn custom(subresource: &str) -> Self {
        match subresource {
            "" => Self::Paths(Set::of_fields(STATUS)),
            "status" => Self::Paths(Set::of_fields(SPEC)),
            _ => Self::None,
        }
    }

    /// The set without what is reset.
    pub fn filter<'a>(&self, set: Set<'a>) -> Set<'a> {
        match self {
            Self::None => set,
            Self::Paths(paths) => set.recursive_difference(paths),
            Self::AllBut(patterns) => matching(&set, patterns),
        }
    }
}

/// The steps that begin some pattern, and all below the end of one.
fn matching<'a>(set: &Set<'a>, patterns: &[&[&str]]) -> Set<'a> {
    if patterns.iter().any(|pattern| pattern.is_empty()) {
        return set.clone();
    }
    let mut result = Set::new();
    for step in set.steps() {
        let fits = |name: &str| name == "*" || matches!(step.element, Element::Field(field) if field == name);
        let rest: Vec<&[&str]> = patterns
            .iter()
            .filter_map(|pattern| pattern.split_first())
            .filter(|(name, _)| fits(name))
            .map(|(_, rest)| rest)
            .collect();
        if !rest.is_empty() {
            result.add(step.element.clone(), step.member, matching(&step.below, &rest));
        }
    }
    result
}
