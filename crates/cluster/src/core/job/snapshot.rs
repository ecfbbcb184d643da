//! One job and its pods, read once: what each pod counts as, and the sums that decisions need.
//! It answers questions about the moment it was taken; it decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::{Job, JobSpec, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::Pod;

use super::backoff::Backoff;
use super::intervals::Indexes;
use super::pods;
use super::policy::{self, FailureAction};

/// One pod and what it counts as.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub pod: &'a Pod,
    pub uid: &'a str,
    /// Carries the tracking finalizer, or will once it is adopted.
    pub tracked: bool,
    pub active: bool,
    pub terminating: bool,
    pub succeeded: bool,
    pub failed: bool,
    /// The completion index, where it is below the job's completions.
    pub index: Option<usize>,
}

/// Numbers of pods as they stand or will stand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub active: i32,
    pub ready: i32,
    pub terminating: i32,
}

/// Everything a pass knows.
#[derive(Debug)]
pub(super) struct Snapshot<'a> {
    pub job: &'a Job,
    pub spec: &'a JobSpec,
    pub pods: Vec<View<'a>>,
    pub tally: Tally,
    pub indexed: bool,
    pub uncounted_succeeded: BTreeSet<&'a str>,
    pub uncounted_failed: BTreeSet<&'a str>,
    /// Successes so far, counted or not.
    pub succeeded: i32,
    /// Failures so far that count towards the back-off limit.
    pub failed: i32,
    /// Indexes that the status names as completed, and those with what was newly seen.
    pub completed_before: Indexes,
    pub completed: Indexes,
    /// Failed indexes, where the job limits failures per index.
    pub failed_indexes: Option<Indexes>,
    /// The last failed pod of each index that waits for its replacement, which inherits its counts.
    pub awaiting_replacement: BTreeMap<usize, &'a Pod>,
    pub backoff: Backoff,
}

impl<'a> Snapshot<'a> {
    /// Reads a job and the pods that belong to it; the flag of a pod says that it is being adopted.
    pub fn new(job: &'a Job, spec: &'a JobSpec, pods: &[(&'a Pod, bool)], backoff: Option<Backoff>) -> Self {
        let indexed = spec.completion_mode.as_deref() == Some("Indexed");
        let completions = completions(spec);
        let mut views: Vec<View> =
            pods.iter().map(|(pod, adopted)| view(pod, *adopted, job, completions, indexed)).collect();
        // In order of index, so that completed indexes enter the status in order when it has a limit.
        views.sort_by(|left, right| (left.index, left.uid).cmp(&(right.index, right.uid)));
        let status = job.status.as_ref();
        let uncounted = status.and_then(|status| status.uncounted_terminated_pods.as_ref());
        let set = |uids: Option<&'a Vec<String>>| uids.into_iter().flatten().map(String::as_str).collect();
        let mut snapshot = Snapshot {
            job,
            spec,
            tally: tally(&views),
            pods: views,
            indexed,
            uncounted_succeeded: set(uncounted.and_then(|uncounted| uncounted.succeeded.as_ref())),
            uncounted_failed: set(uncounted.and_then(|uncounted| uncounted.failed.as_ref())),
            succeeded: 0,
            failed: 0,
            completed_before: Indexes::default(),
            completed: Indexes::default(),
            failed_indexes: None,
            awaiting_replacement: BTreeMap::new(),
            backoff: Backoff::default(),
        };
        snapshot.sum_up(backoff);
        if indexed {
            snapshot.sum_up_indexes();
        }
        snapshot
    }

    fn sum_up(&mut self, backoff: Option<Backoff>) {
        let status = self.job.status.as_ref();
        let valid = |view: &&View<'a>| view.tracked && (!self.indexed || view.index.is_some());
        let new = |counted: &BTreeSet<&str>, is: fn(&View) -> bool| -> Vec<&'a Pod> {
            let found = self.pods.iter().filter(valid).filter(|view| is(view) && !counted.contains(view.uid));
            found.map(|view| view.pod).collect()
        };
        let new_succeeded = new(&self.uncounted_succeeded, |view| view.succeeded);
        let new_failed = new(&self.uncounted_failed, |view| view.failed);
        let counted = new_failed.iter().filter(|pod| self.action(pod) != FailureAction::Ignore).count();
        let succeeded = status.and_then(|status| status.succeeded).unwrap_or(0);
        let failed = status.and_then(|status| status.failed).unwrap_or(0);
        self.succeeded = succeeded.saturating_add(as_count(new_succeeded.len() + self.uncounted_succeeded.len()));
        self.failed = failed.saturating_add(as_count(counted + self.uncounted_failed.len()));
        // At first sight of a job, its record is what the pods that were counted before still tell.
        let record = backoff.unwrap_or_else(|| {
            let old = |is: fn(&View) -> bool| -> Vec<&'a Pod> {
                self.pods.iter().filter(|view| !view.tracked && is(view)).map(|view| view.pod).collect()
            };
            Backoff::default().after(&old(|view| view.succeeded), &old(|view| view.failed))
        });
        self.backoff = record.after(&new_succeeded, &new_failed);
    }

    fn sum_up_indexes(&mut self) {
        let completions = self.completions();
        let status = self.job.status.as_ref();
        let text = status.and_then(|status| status.completed_indexes.as_deref()).unwrap_or_default();
        self.completed_before = Indexes::parse(text, completions);
        let tracked = || self.pods.iter().filter(|view| view.tracked);
        let new = Indexes::of(tracked().filter(|view| view.succeeded).filter_map(|view| view.index));
        self.completed = self.completed_before.union(&new);
        self.succeeded = as_count(self.completed.total());
        let Some(limit) = self.spec.backoff_limit_per_index else { return };
        let text = status.and_then(|status| status.failed_indexes.as_deref()).unwrap_or_default();
        let new = Indexes::of(tracked().filter(|view| self.index_failed(view, limit)).filter_map(|view| view.index));
        let failed = Indexes::parse(text, completions).union(&new);
        self.awaiting_replacement = self.awaiting(&failed);
        self.failed_indexes = Some(failed);
    }

    fn index_failed(&self, view: &View, limit: i32) -> bool {
        view.failed
            && match self.action(view.pod) {
                FailureAction::FailIndex => true,
                FailureAction::Ignore => false,
                _ => pods::annotated_count(view.pod, pods::INDEX_FAILURE_COUNT) >= limit,
            }
    }

    fn awaiting(&self, failed: &Indexes) -> BTreeMap<usize, &'a Pod> {
        let active: BTreeSet<usize> = self.active_indexes().collect();
        let mut waiting: BTreeMap<usize, &'a Pod> = BTreeMap::new();
        for view in self.pods.iter().filter(|view| view.tracked && view.failed) {
            let Some(index) = view.index else { continue };
            if self.completed.has(index) || failed.has(index) || active.contains(&index) {
                continue;
            }
            let key = |pod: &Pod| (pods::absolute_failures(pod), pods::finished_at(pod));
            let later = waiting.get(&index).is_none_or(|other| {
                let (ours, theirs) = (key(view.pod), key(other));
                ours.0 >= theirs.0 && ours.1 >= theirs.1
            });
            if later {
                waiting.insert(index, view.pod);
            }
        }
        waiting
    }

    /// Indexes that have an active pod.
    pub fn active_indexes(&self) -> impl Iterator<Item = usize> + '_ {
        self.pods.iter().filter(|view| view.active).filter_map(|view| view.index)
    }

    /// `spec.completions`, or 0 where any success completes the job.
    pub fn completions(&self) -> usize {
        completions(self.spec)
    }

    /// `spec.parallelism`, which defaults to one.
    pub fn parallelism(&self) -> i32 {
        self.spec.parallelism.unwrap_or(1)
    }

    /// `spec.backoffLimit`, which defaults to six.
    pub fn backoff_limit(&self) -> i32 {
        self.spec.backoff_limit.unwrap_or(6)
    }

    /// Whether the job is to have no pods for now.
    pub fn suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    /// The rules of the pod failure policy.
    pub fn failure_rules(&self) -> Option<&'a [PodFailurePolicyRule]> {
        self.spec.pod_failure_policy.as_ref().map(|policy| policy.rules.as_slice())
    }

    /// What the pod failure policy says about a failed pod.
    pub fn action(&self, pod: &Pod) -> FailureAction {
        policy::failure_action(self.failure_rules(), pod)
    }
}

fn view<'a>(pod: &'a Pod, adopted: bool, job: &Job, completions: usize, indexed: bool) -> View<'a> {
    View {
        pod,
        uid: pod.metadata.uid.as_deref().unwrap_or_default(),
        tracked: adopted || pods::is_tracked(pod),
        active: pods::is_active(pod),
        terminating: pods::is_terminating(pod),
        succeeded: pods::phase(pod) == "Succeeded",
        failed: pods::is_failed(pod, job),
        index: pods::completion_index(pod).filter(|index| indexed && *index < completions),
    }
}

fn tally(pods: &[View]) -> Tally {
    let count = |is: &dyn Fn(&View) -> bool| as_count(pods.iter().filter(|view| is(view)).count());
    Tally {
        active: count(&|view| view.active),
        ready: count(&|view| view.active && pods::is_ready(view.pod)),
        terminating: count(&|view| view.terminating),
    }
}

fn completions(spec: &JobSpec) -> usize {
    usize::try_from(spec.completions.unwrap_or(0)).unwrap_or(0)
}

/// A number of pods in the width that the API gives it.
pub(super) fn as_count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
