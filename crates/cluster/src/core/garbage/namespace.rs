//! What the deletion of a namespace reports while its contents go: the five conditions of its status,
//! and whether it is done. Pods go first, everything else after the last of them
//! (OrderedNamespaceDeletion). Texts follow `pkg/controller/namespace/deletion` of Kubernetes 1.34.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NamespaceCondition, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ResourceId;

/// How long objects with finalizers are given before the next look.
const FINALIZER_ESTIMATE_SECONDS: i64 = 15;

/// Type, reason and message of the conditions when nothing is wrong.
const FINE: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

/// What became of the objects of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    pub resource: ResourceId,
    /// The finalizers of each object that is still there.
    pub objects: Vec<Vec<String>>,
    /// Seconds that the objects need to go gracefully; 0 when that time is over or they need none.
    pub grace_seconds: i64,
    /// Why the deletion was refused.
    pub error: Option<String>,
}

/// What one round of deletions led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub remains: Vec<Remains>,
}

impl Outcome {
    /// Whether nothing is left, so that the namespace may be finalized.
    pub fn is_done(&self) -> bool {
        self.remains.iter().all(|remains| remains.objects.is_empty() && remains.error.is_none())
    }

    /// A generous time until what is left may be gone.
    pub fn estimate(&self) -> Duration {
        let seconds = self.remains.iter().filter(|remains| !remains.objects.is_empty()).map(|remains| {
            let held = remains.objects.iter().any(|finalizers| !finalizers.is_empty());
            if remains.grace_seconds == 0 && held { FINALIZER_ESTIMATE_SECONDS } else { remains.grace_seconds }
        });
        Duration::from_secs(u64::try_from(seconds.max().unwrap_or(0)).unwrap_or(0))
    }

    fn failures(&self, namespace: &str) -> Vec<String> {
        let mut failures: Vec<String> = self.remains.iter().filter_map(|remains| remains.failure(namespace)).collect();
        failures.sort_unstable();
        failures
    }
}

impl Remains {
    fn failure(&self, namespace: &str) -> Option<String> {
        let ResourceId { group, version, plural, .. } = &self.resource;
        let unexpected = !self.objects.is_empty() && self.grace_seconds == 0 && self.objects.iter().all(Vec::is_empty);
        let text = self.error.clone().or_else(|| {
            let gvr = format!("{group}/{version}, Resource={plural}");
            unexpected.then(|| format!("unexpected items still remain in namespace: {namespace} for gvr: {gvr}"))
        })?;
        let is_pods = group.is_empty() && plural == "pods";
        Some(if is_pods { format!("failed to delete pods for namespace: {namespace}, err: {text}") } else { text })
    }
}

/// The longest grace period among pods that have not ended; 0 once that time has passed since the
/// namespace was deleted.
pub fn pods_grace_seconds<'a>(pods: impl Iterator<Item = &'a Pod>, deleted: Timestamp, now: Timestamp) -> i64 {
    let alive = pods.filter(|pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        !matches!(phase, Some("Succeeded" | "Failed"))
    });
    let grace = alive.filter_map(|pod| pod.spec.as_ref()?.termination_grace_period_seconds).max().unwrap_or(0);
    if now.duration_since(deleted).as_secs() >= grace { 0 } else { grace }
}

/// The conditions after a round, where they differ from those that stand.
pub fn conditions(
    namespace: &str,
    standing: &[NamespaceCondition],
    outcome: &Outcome,
    now: Timestamp,
) -> Option<Vec<NamespaceCondition>> {
    let mut conditions = standing.to_vec();
    for (type_, reason, message) in FINE {
        let (status, reason, message) = match trouble(type_, namespace, outcome) {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", reason, message.to_owned()),
        };
        let mut new = NamespaceCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(Time(now)),
        };
        match conditions.iter_mut().find(|condition| condition.type_ == type_) {
            None => conditions.push(new),
            Some(old) => {
                if old.status == new.status {
                    new.last_transition_time.clone_from(&old.last_transition_time);
                }
                *old = new;
            }
        }
    }
    (conditions != standing).then_some(conditions)
}

fn trouble(type_: &str, namespace: &str, outcome: &Outcome) -> Option<(&'static str, String)> {
    match type_ {
        "NamespaceDeletionContentFailure" => {
            let failures = outcome.failures(namespace);
            let text = failures.join(", ");
            let count = failures.len();
            let message = format!("Failed to delete all resource types, {count} remaining: {text}");
            (count > 0).then_some(("ContentDeletionFailed", message))
        }
        "NamespaceContentRemaining" => {
            let mut left: Vec<String> = outcome.remains.iter().filter_map(remaining).collect();
            left.sort_unstable();
            let message = format!("Some resources are remaining: {}", left.join(", "));
            (!left.is_empty()).then_some(("SomeResourcesRemain", message))
        }
        "NamespaceFinalizersRemaining" => {
            let mut held: BTreeMap<&str, usize> = BTreeMap::new();
            for finalizer in outcome.remains.iter().flat_map(|remains| remains.objects.iter().flatten()) {
                *held.entry(finalizer).or_default() += 1;
            }
            let text = held.iter().map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"));
            let text = text.collect::<Vec<_>>().join(", ");
            let message = format!("Some content in the namespace has finalizers remaining: {text}");
            (!held.is_empty()).then_some(("SomeFinalizersRemain", message))
        }
        _ => None,
    }
}

fn remaining(remains: &Remains) -> Option<String> {
    let ResourceId { group, plural, .. } = &remains.resource;
    let count = remains.objects.len();
    (count > 0).then(|| format!("{plural}.{group} has {count} resource instances"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remains(plural: &str, objects: &[&[&str]]) -> Remains {
        let owned = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Remains {
            resource: ResourceId {
                group: String::new(),
                version: "v1".into(),
                kind: String::new(),
                plural: plural.into(),
                namespaced: true,
            },
            objects: objects.iter().map(owned).collect(),
            grace_seconds: 0,
            error: None,
        }
    }

    fn check(outcome: Outcome, expect: &[(&str, &str)]) {
        let conditions = conditions("ns", &[], &outcome, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(conditions.len(), 5);
        let found: Vec<(String, String)> = conditions
            .into_iter()
            .filter(|condition| condition.status == "True")
            .map(|condition| (condition.type_, condition.message.unwrap()))
            .collect();
        let expect: Vec<(String, String)> = expect.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn an_empty_namespace_has_no_trouble_and_is_done() {
        assert!(Outcome::default().is_done());
        check(Outcome::default(), &[]);
    }

    #[test]
    fn what_is_left_and_what_holds_it_is_counted() {
        let held: &[&str] = &["example.com/a"];
        let outcome = Outcome { remains: vec![remains("pods", &[held, held]), remains("configmaps", &[])] };
        assert_eq!(outcome.estimate(), Duration::from_secs(15));
        check(
            outcome,
            &[
                ("NamespaceContentRemaining", "Some resources are remaining: pods. has 2 resource instances"),
                (
                    "NamespaceFinalizersRemaining",
                    "Some content in the namespace has finalizers remaining: example.com/a in 2 resource instances",
                ),
            ],
        );
    }

    #[test]
    fn objects_that_stay_without_a_reason_are_a_failure() {
        let outcome = Outcome { remains: vec![remains("pods", &[&[]])] };
        check(
            outcome,
            &[
                (
                    "NamespaceDeletionContentFailure",
                    "Failed to delete all resource types, 1 remaining: failed to delete pods for namespace: ns, err: \
                     unexpected items still remain in namespace: ns for gvr: /v1, Resource=pods",
                ),
                ("NamespaceContentRemaining", "Some resources are remaining: pods. has 1 resource instances"),
            ],
        );
    }

    #[test]
    fn the_same_outcome_twice_changes_nothing() {
        let outcome = Outcome { remains: vec![remains("pods", &[&["f"]])] };
        let first = conditions("ns", &[], &outcome, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(conditions("ns", &first, &outcome, Timestamp::MAX), None);
    }
}
