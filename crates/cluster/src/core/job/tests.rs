//! A job and its pods in a world of their own: plans are carried out on data, in part where a test
//! simulates a crash.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

struct World {
    job: Job,
    pods: Vec<Pod>,
    backoff: Option<Backoff>,
    now: Timestamp,
    events: Vec<String>,
    made: usize,
}

/// How far a plan is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    End,
    PodsChanged,
    StatusWritten,
}

impl World {
    fn new(spec: Value) -> Self {
        let mut spec = spec;
        let defaults = json!({"selector": {"matchLabels": {"job": "j"}}, "parallelism": 1, "backoffLimit": 6,
            "template": {"metadata": {"labels": {"job": "j"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}});
        for (key, value) in defaults.as_object().unwrap() {
            spec.as_object_mut().unwrap().entry(key.clone()).or_insert(value.clone());
        }
        let job = json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "j", "namespace": "ns", "uid": "job-uid"}, "spec": spec});
        Self {
            job: serde_json::from_value(job).unwrap(),
            pods: Vec::new(),
            backoff: None,
            now: "2030-01-01T00:00:00Z".parse().unwrap(),
            events: Vec::new(),
            made: 0,
        }
    }

    fn plan(&self) -> Plan {
        let pods: Vec<&Pod> = self.pods.iter().collect();
        super::plan(&self.job, &Observed { pods: &pods, backoff: self.backoff }, self.now)
    }

    fn pass(&mut self) -> Plan {
        self.pass_until(Until::End)
    }

    fn pass_until(&mut self, until: Until) -> Plan {
        let plan = self.plan();
        for claim in &plan.claims {
            match claim {
                Claim::Adopt(pod) => {
                    let reference = build::owner(&self.job);
                    let pod = self.pod(&pod.name);
                    pod.metadata.owner_references.get_or_insert_default().push(reference);
                    pod.metadata.finalizers.get_or_insert_default().push(pods::TRACKING_FINALIZER.to_owned());
                }
                Claim::Release(pod) => {
                    let pod = self.pod(&pod.name);
                    pod.metadata.owner_references = None;
                    pod.metadata.finalizers = None;
                }
            }
        }
        for deletion in &plan.delete {
            if deletion.untrack {
                self.pod(&deletion.pod.name).metadata.finalizers = None;
            }
            let now = self.now;
            self.pod(&deletion.pod.name).metadata.deletion_timestamp.get_or_insert(Time(now));
        }
        for pod in plan.create.clone() {
            self.create(pod);
        }
        if until == Until::PodsChanged {
            return plan;
        }
        if let Some(status) = &plan.status {
            self.job.status = Some(status.clone());
        }
        self.events.extend(plan.events.iter().map(|event| event.reason.clone()));
        if until == Until::StatusWritten {
            return plan;
        }
        self.backoff = Some(plan.backoff);
        for pod in &plan.untrack {
            self.pod(&pod.name).metadata.finalizers = None;
        }
        self.pods.retain(|pod| {
            !(pods::is_terminal(pod) && pod.metadata.deletion_timestamp.is_some() && !pods::is_tracked(pod))
        });
        plan
    }

    fn settle(&mut self) {
        for _ in 0..50 {
            let plan = self.pass();
            let still = Plan { again: None, backoff: plan.backoff, ..Plan::default() };
            if (Plan { again: None, ..plan }) == still {
                return;
            }
        }
        panic!("the plans do not come to rest");
    }

    fn create(&mut self, mut pod: Pod) {
        self.made += 1;
        pod.metadata.name = Some(format!("p{}", self.made));
        pod.metadata.uid = Some(format!("u{}", self.made));
        pod.metadata.creation_timestamp = Some(Time(self.now));
        self.pods.push(pod);
    }

    fn pod(&mut self, name: &str) -> &mut Pod {
        self.pods.iter_mut().find(|pod| pod.metadata.name.as_deref() == Some(name)).unwrap()
    }

    fn active(&self) -> Vec<String> {
        let active = self.pods.iter().filter(|pod| pods::is_active(pod));
        active.filter_map(|pod| pod.metadata.name.clone()).collect()
    }

    fn end(&mut self, name: &str, code: i32) {
        let finished = self.now.to_string();
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let status = json!({"phase": phase, "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"terminated": {"exitCode": code, "finishedAt": finished}}}]});
        self.pod(name).status = Some(serde_json::from_value(status).unwrap());
    }

    fn later(&mut self, seconds: i64) {
        self.now = self.now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
    }

    fn status(&self) -> JobStatus {
        self.job.status.clone().unwrap_or_default()
    }

    fn counts(&self) -> (i32, i32, i32) {
        let status = self.status();
        (status.active.unwrap_or(0), status.succeeded.unwrap_or(0), status.failed.unwrap_or(0))
    }

    fn conditions(&self) -> Vec<String> {
        let conditions = self.status().conditions.unwrap_or_default();
        let text = conditions.iter().map(|condition| {
            format!("{}={} {}", condition.type_, condition.status, condition.reason.clone().unwrap_or_default())
        });
        text.collect()
    }
}

#[test]
fn a_job_runs_as_many_pods_as_it_may_and_completes_when_all_succeeded() {
    let mut world = World::new(json!({"completions": 3, "parallelism": 2}));
    world.pass();
    assert_eq!(world.active(), ["p1", "p2"]);
    assert_eq!(world.counts(), (2, 0, 0));
    world.end("p1", 0);
    world.settle();
    assert_eq!(world.counts(), (2, 1, 0));
    world.end("p2", 0);
    world.end("p3", 0);
    world.settle();
    assert_eq!(world.counts(), (0, 3, 0));
    assert_eq!(world.conditions(), ["SuccessCriteriaMet=True CompletionsReached", "Complete=True CompletionsReached"]);
    assert_eq!(world.events, ["Completed"]);
    assert!(world.status().completion_time.is_some());
    assert!(world.pods.iter().all(|pod| !pods::is_tracked(pod)));
}

#[test]
fn a_new_job_says_when_it_started_and_reports_zeroes_as_upstream_does() {
    let mut world = World::new(json!({"completions": 1}));
    world.pass();
    let status = serde_json::to_value(world.status()).unwrap();
    let expect = json!({"active": 1, "ready": 0, "startTime": "2030-01-01T00:00:00Z", "terminating": 0, "uncountedTerminatedPods": {}});
    assert_eq!(status, expect);
}

#[test]
fn failed_pods_are_replaced_after_a_back_off_that_doubles() {
    let mut world = World::new(json!({"completions": 1}));
    world.pass();
    for (name, wait) in [("p1", 10), ("p2", 20), ("p3", 40)] {
        world.end(name, 1);
        assert_eq!(world.pass().again, Some(Duration::from_secs(wait)));
        assert!(world.active().is_empty());
        world.later(wait as i64 - 1);
        assert!(world.pass().create.is_empty());
        world.later(1);
        world.settle();
        assert_eq!(world.active().len(), 1);
    }
    assert_eq!(world.counts(), (1, 0, 3));
}

#[test]
fn a_restarted_controller_learns_the_back_off_from_the_pods() {
    let mut world = World::new(json!({"completions": 1}));
    world.pass();
    world.end("p1", 1);
    world.settle();
    world.backoff = None;
    assert_eq!(world.pass().again, Some(Duration::from_secs(10)));
}

#[test]
fn a_job_beyond_its_back_off_limit_fails() {
    let mut world = World::new(json!({"completions": 2, "parallelism": 2, "backoffLimit": 0}));
    world.pass();
    world.end("p1", 1);
    world.pass();
    assert_eq!(world.conditions(), ["FailureTarget=True BackoffLimitExceeded"]);
    world.end("p2", 143);
    world.settle();
    assert_eq!(world.conditions(), ["FailureTarget=True BackoffLimitExceeded", "Failed=True BackoffLimitExceeded"]);
    assert_eq!(world.counts(), (0, 0, 2));
    assert_eq!(world.events, ["BackoffLimitExceeded"]);
}

#[test]
fn restarts_in_place_count_towards_the_limit() {
    let template = json!({"metadata": {"labels": {"job": "j"}}, "spec": {"restartPolicy": "OnFailure", "containers": [{"name": "c"}]}});
    let mut world = World::new(json!({"completions": 1, "backoffLimit": 2, "template": template}));
    world.pass();
    let status = |restarts: i32| {
        serde_json::from_value(json!({"phase": "Running", "containerStatuses":
            [{"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": restarts}]}))
        .unwrap()
    };
    world.pod("p1").status = Some(status(1));
    world.settle();
    assert!(world.conditions().is_empty());
    world.pod("p1").status = Some(status(2));
    world.pass();
    assert_eq!(world.conditions(), ["FailureTarget=True BackoffLimitExceeded"]);
    assert!(world.active().is_empty());
}

#[test]
fn a_deadline_ends_the_job_and_is_not_counted_while_suspended() {
    let mut world = World::new(json!({"completions": 1, "activeDeadlineSeconds": 30}));
    assert_eq!(world.pass().again, Some(Duration::from_secs(30)));
    world.later(20);
    world.job.spec.as_mut().unwrap().suspend = Some(true);
    world.settle();
    assert_eq!(world.conditions(), ["Suspended=True JobSuspended"]);
    assert!(world.active().is_empty());
    world.later(100);
    world.job.spec.as_mut().unwrap().suspend = Some(false);
    world.pass();
    assert_eq!(world.conditions(), ["Suspended=False JobResumed"]);
    world.later(29);
    world.pass();
    assert_eq!(world.conditions().len(), 1);
    world.later(1);
    world.pass();
    assert_eq!(world.conditions()[1], "FailureTarget=True DeadlineExceeded");
    assert_eq!(world.events, ["Suspended", "Resumed"]);
}

#[test]
fn pods_deleted_for_suspension_are_not_counted_as_failed() {
    let mut world = World::new(json!({"completions": 2, "parallelism": 2}));
    world.pass();
    world.job.spec.as_mut().unwrap().suspend = Some(true);
    let plan = world.pass();
    assert_eq!(plan.delete.len(), 2);
    assert!(plan.delete.iter().all(|deletion| deletion.untrack));
    world.settle();
    assert_eq!(world.counts(), (0, 0, 0));
    assert_eq!(world.status().terminating, Some(2));
}

#[test]
fn indexed_pods_carry_their_index_everywhere() {
    let mut world = World::new(json!({"completions": 2, "parallelism": 2, "completionMode": "Indexed"}));
    let plan = world.pass();
    let pod = serde_json::to_value(&plan.create[1]).unwrap();
    assert_eq!(pod["metadata"]["generateName"], "j-1-");
    assert_eq!(pod["metadata"]["annotations"][pods::COMPLETION_INDEX], "1");
    assert_eq!(pod["metadata"]["labels"][pods::COMPLETION_INDEX], "1");
    assert_eq!(pod["spec"]["hostname"], "j-1");
    let field = "metadata.labels['batch.kubernetes.io/job-completion-index']";
    let expect = json!([{"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": field}}}]);
    assert_eq!(pod["spec"]["containers"][0]["env"], expect);
}

#[test]
fn indexed_jobs_count_indexes_and_not_pods() {
    let mut world = World::new(json!({"completions": 5, "parallelism": 5, "completionMode": "Indexed"}));
    world.pass();
    for name in ["p1", "p3", "p4", "p5"] {
        world.end(name, 0);
    }
    world.settle();
    assert_eq!(world.status().completed_indexes.as_deref(), Some("0,2-4"));
    assert_eq!(world.counts(), (1, 4, 0));
    world.end("p2", 1);
    world.later(60);
    world.settle();
    assert_eq!(world.counts(), (1, 4, 1));
    let replacement = world.active()[0].clone();
    assert_eq!(pods::completion_index(world.pod(&replacement)), Some(1));
}

#[test]
fn an_index_fails_alone_where_the_limit_is_per_index() {
    let spec = json!({"completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1, "backoffLimit": 100});
    let mut world = World::new(spec);
    world.pass();
    world.end("p1", 1);
    world.settle();
    assert!(pods::is_tracked(world.pod("p1")), "kept until its replacement inherits the count");
    world.later(10);
    world.settle();
    let count = world.pod("p3").metadata.annotations.clone().unwrap();
    assert_eq!(count[pods::INDEX_FAILURE_COUNT], "1");
    assert!(!pods::is_tracked(world.pod("p1")));
    world.end("p3", 1);
    world.end("p2", 0);
    world.settle();
    assert_eq!(world.status().failed_indexes.as_deref(), Some("0"));
    assert_eq!(world.status().completed_indexes.as_deref(), Some("1"));
    assert_eq!(world.conditions(), ["FailureTarget=True FailedIndexes", "Failed=True FailedIndexes"]);
}

#[test]
fn more_failed_indexes_than_allowed_end_the_job() {
    let spec = json!({"completions": 4, "parallelism": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 0, "maxFailedIndexes": 1, "backoffLimit": 100});
    let mut world = World::new(spec);
    world.pass();
    world.end("p1", 1);
    world.settle();
    assert!(world.conditions().is_empty());
    world.end("p2", 1);
    world.pass();
    assert_eq!(world.conditions(), ["FailureTarget=True MaxFailedIndexesExceeded"]);
}

#[test]
fn a_failure_policy_fails_the_job_ignores_pods_or_fails_an_index() {
    let rules = json!([
        {"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [1, 2]}}]);
    let mut world = World::new(
        json!({"completions": 2, "parallelism": 2, "backoffLimit": 0, "podFailurePolicy": {"rules": rules}}),
    );
    world.pass();
    world.end("p1", 7);
    world.settle();
    assert_eq!(world.counts().2, 0);
    world.later(600);
    world.settle();
    assert_eq!(world.active(), ["p2", "p3"]);
    world.end("p2", 42);
    world.pass();
    let condition = world.status().conditions.unwrap()[0].clone();
    assert_eq!(condition.reason.as_deref(), Some("PodFailurePolicy"));
    assert_eq!(
        condition.message.as_deref(),
        Some("Container c for pod ns/p2 failed with exit code 42 matching FailJob rule at index 0")
    );
}

#[test]
fn a_success_policy_ends_the_job_early_and_spares_the_rest_from_counting() {
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed", "successPolicy": {"rules": [{"succeededIndexes": "0"}]}});
    let mut world = World::new(spec);
    world.pass();
    world.end("p1", 0);
    world.pass();
    assert_eq!(world.conditions(), ["SuccessCriteriaMet=True SuccessPolicy"]);
    assert!(world.active().is_empty());
    world.end("p2", 143);
    world.end("p3", 143);
    world.settle();
    assert_eq!(world.conditions(), ["SuccessCriteriaMet=True SuccessPolicy", "Complete=True SuccessPolicy"]);
    assert_eq!(world.status().conditions.unwrap()[1].message.as_deref(), Some("Matched rules at index 0"));
    assert_eq!(world.counts(), (0, 1, 0));
}

#[test]
fn terminating_pods_are_replaced_at_once_or_only_when_they_failed() {
    let mut world = World::new(json!({"completions": 1}));
    world.pass();
    let now = world.now;
    world.pod("p1").metadata.deletion_timestamp = Some(Time(now));
    world.later(10);
    world.settle();
    assert_eq!(world.active(), ["p2"]);
    assert_eq!(world.counts(), (1, 0, 1));

    let mut world = World::new(json!({"completions": 1, "podReplacementPolicy": "Failed"}));
    world.pass();
    let now = world.now;
    world.pod("p1").metadata.deletion_timestamp = Some(Time(now));
    world.later(100);
    world.settle();
    assert!(world.active().is_empty());
    assert_eq!(world.status().terminating, Some(1));
    world.end("p1", 1);
    world.later(10);
    world.settle();
    assert_eq!(world.active(), ["p2"]);
}

#[test]
fn a_job_without_completions_ends_with_its_first_success_and_the_end_of_the_others() {
    let mut world = World::new(json!({"parallelism": 3}));
    world.pass();
    assert_eq!(world.active().len(), 3);
    world.end("p1", 0);
    world.settle();
    assert_eq!(world.active(), ["p2", "p3"]);
    world.end("p2", 0);
    world.end("p3", 1);
    world.settle();
    assert_eq!(world.conditions().len(), 2);
    assert_eq!(world.counts(), (0, 2, 1));
}

#[test]
fn surplus_pods_go_and_orphans_are_adopted_while_strangers_are_let_go() {
    let mut world = World::new(json!({"completions": 4, "parallelism": 3}));
    world.pass();
    world.job.spec.as_mut().unwrap().parallelism = Some(1);
    world.settle();
    assert_eq!(world.active().len(), 1);
    assert_eq!(world.counts(), (1, 0, 0));
    let last = world.active()[0].clone();
    world.pod(&last).metadata.labels = None;
    let plan = world.pass();
    assert!(matches!(&plan.claims[..], [Claim::Release(_)]));
    world.settle();
    let now = world.active().into_iter().find(|name| *name != last).unwrap();
    world.pod(&now).metadata.owner_references = None;
    world.pod(&now).metadata.finalizers = None;
    assert!(matches!(&world.pass().claims[..], [Claim::Adopt(_)]));
    assert!(pods::is_tracked(world.pod(&now)));
}

#[test]
fn a_job_that_is_managed_elsewhere_is_left_alone() {
    let world = World::new(json!({"completions": 1, "managedBy": "example.com/other"}));
    assert_eq!(world.plan(), Plan::default());
}

#[test]
fn a_job_being_deleted_makes_no_pods_and_holds_none() {
    let mut world = World::new(json!({"completions": 2, "parallelism": 1}));
    world.pass();
    world.job.metadata.deletion_timestamp = Some(Time(world.now));
    let plan = world.pass();
    assert!(plan.create.is_empty() && plan.delete.is_empty());
    assert_eq!(plan.untrack.len(), 1);
}

#[test]
fn the_time_to_live_counts_from_the_end() {
    let mut world = World::new(json!({"completions": 1, "ttlSecondsAfterFinished": 5}));
    world.pass();
    assert_eq!(ttl::expiry(&world.job, world.now), ttl::Expiry::Never);
    world.end("p1", 0);
    world.settle();
    assert_eq!(ttl::expiry(&world.job, world.now), ttl::Expiry::In(Duration::from_secs(5)));
    world.later(5);
    assert_eq!(ttl::expiry(&world.job, world.now), ttl::Expiry::Now);
}

#[test]
fn pods_without_an_unfinished_job_are_let_go() {
    let mut world = World::new(json!({"completions": 1}));
    world.pass();
    let pods: Vec<&Pod> = world.pods.iter().collect();
    assert!(abandoned(&pods, &|uid| uid == "job-uid").is_empty());
    assert_eq!(abandoned(&pods, &|_| false).len(), 1);
}

#[derive(Clone, Debug)]
enum Step {
    End(usize, i32),
    Pass(Until),
    Later(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..8usize, 0..2i32).prop_map(|(pod, code)| Step::End(pod, code)),
        prop_oneof![Just(Until::End), Just(Until::PodsChanged), Just(Until::StatusWritten)].prop_map(Step::Pass),
        (1..700i64).prop_map(Step::Later),
    ]
}

proptest! {
    /// Whatever crashes between the steps of a pass: every pod that ended is counted once.
    #[test]
    fn every_terminated_pod_is_counted_exactly_once(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new(json!({"completions": 4, "parallelism": 3, "backoffLimit": 1000}));
        for step in steps {
            match step {
                Step::End(pod, code) => {
                    let active = world.active();
                    if let Some(name) = active.get(pod % active.len().max(1)) {
                        world.end(&name.clone(), code);
                    }
                }
                Step::Pass(until) => {
                    world.pass_until(until);
                    if until != Until::End {
                        world.backoff = None;
                    }
                }
                Step::Later(seconds) => world.later(seconds),
            }
        }
        world.settle();
        let ended = |phase: &str| world.pods.iter().filter(|pod| pods::phase(pod) == phase).count() as i32;
        let (_, succeeded, failed) = world.counts();
        prop_assert_eq!(succeeded, ended("Succeeded"));
        prop_assert_eq!(failed, ended("Failed"));
        let status = world.status().uncounted_terminated_pods.unwrap_or_default();
        prop_assert!(status.succeeded.is_none() && status.failed.is_none());
        prop_assert!(world.active().len() <= 3);
    }

    /// A plan on a world that is at rest changes nothing.
    #[test]
    fn a_settled_job_gets_an_empty_plan(parallelism in 0..6i32, completions in 0..6i32, done in 0..6usize) {
        let mut world = World::new(json!({"completions": completions, "parallelism": parallelism}));
        world.settle();
        for name in world.active().into_iter().take(done) {
            world.end(&name, 0);
        }
        world.settle();
        let plan = world.plan();
        prop_assert_eq!(plan.status, None);
        prop_assert!(plan.create.is_empty() && plan.delete.is_empty() && plan.untrack.is_empty());
    }
}
