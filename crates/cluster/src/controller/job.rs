//! The Job controller: gathers a job's pods, has the plan made, carries it out in its order.
//!
//! Finished jobs with a time to live are deleted here too. Nothing is decided here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, EventKind, Key, Next, Reconciler, Recorder};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use serde_json::{Value, json};

use super::execute::{is_code, message, namespace_ends, own_and_orphans, write_status};
use crate::core::job::backoff::Backoff;
use crate::core::job::pods::{TRACKING_FINALIZER, controller, is_tracked};
use crate::core::job::ttl::{Expiry, expiry};
use crate::core::job::{Claim, Deletion, Event, Observed, Plan, PodRef, abandoned, build, is_finished, plan};
use crate::core::workload::selector;

/// Jobs that are brought up to date at the same time.
const WORKERS: usize = 4;
/// Writes of one pass that may be under way at the same time.
const AT_ONCE: usize = 64;

struct Jobs {
    jobs: Cache<Job>,
    pods: Cache<Pod>,
    recorder: Recorder,
    /// The failures since the last success, by the job's UID.
    backoffs: Mutex<HashMap<String, Backoff>>,
}

/// Starts the controller.
pub fn register(caches: &Caches, clock: &SharedClock) {
    let jobs: Cache<Job> = caches.of();
    let pods: Cache<Pod> = caches.of();
    let recorder = Recorder::start(caches.client(), clock.clone(), &caches.group(), "job-controller");
    let by_orphan = jobs.clone();
    Controller::new("job", clock.clone())
        .workers(WORKERS)
        .watch(&jobs)
        .watch_owned(&pods, "Job")
        .watch_mapped(&pods, move |pod: &Pod| wanting(&by_orphan, pod))
        .run(&caches.group(), Jobs { jobs, pods, recorder, backoffs: Mutex::default() });
}

/// The jobs that may adopt an orphaned pod, or one that is named after the job it lost.
fn wanting(jobs: &Cache<Job>, pod: &Pod) -> Vec<Key> {
    if controller(&pod.metadata.owner_references).is_some() {
        return Vec::new();
    }
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let labels = pod.metadata.labels.as_ref();
    let wants = |job: &Arc<Job>| {
        let wanted = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector::matches_some(wanted, labels)
    };
    let found = jobs.list_in(&namespace).into_iter().filter(wants).filter_map(|job| job.metadata.name.clone());
    let lost = labels.and_then(|labels| labels.get("batch.kubernetes.io/job-name")).filter(|_| is_tracked(pod));
    found.chain(lost.cloned()).map(|name| Key::new(namespace.clone(), name)).collect()
}

impl Reconciler for Jobs {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let job = self.jobs.get(&key);
        self.release_abandoned(&key).await?;
        let Some(job) = job else { return Ok(Next::Done) };
        let uid = job.metadata.uid.clone().unwrap_or_default();
        match expiry(&job, now) {
            Expiry::Never => {}
            Expiry::In(left) => return self.pass(&key, &job, now).await.map(|_| Next::After(left)),
            Expiry::Now => return self.expire(&key, uid).await,
        }
        self.pass(&key, &job, now).await
    }
}

impl Jobs {
    async fn pass(&self, key: &Key, job: &Job, now: Timestamp) -> Result<Next, Error> {
        let uid = job.metadata.uid.clone().unwrap_or_default();
        let owned = own_and_orphans(&self.pods, &key.namespace, &uid);
        let pods: Vec<&Pod> = owned.iter().map(|pod| &**pod).collect();
        let backoff = self.backoffs().get(&uid).copied();
        let plan = plan(job, &Observed { pods: &pods, backoff }, now);
        for claim in &plan.claims {
            self.claim(&key.namespace, job, claim).await?;
        }
        self.delete_all(&key.namespace, job, &plan.delete).await?;
        let (created, failure) = self.create_all(job, &plan).await;
        let lacking = i32::try_from(plan.create.len() - created).unwrap_or(0);
        let mut status = plan.status.clone();
        if lacking > 0 {
            let adjusted = status.get_or_insert_with(|| job.status.clone().unwrap_or_default());
            adjusted.active = adjusted.active.map(|active| active - lacking).filter(|active| *active > 0);
        }
        write_status(&self.jobs, key, job.status.as_ref(), status.as_ref()).await?;
        plan.events.iter().for_each(|event| self.say(job, event));
        self.remember(uid, plan.backoff, is_finished(job));
        self.untrack_all(&key.namespace, &plan.untrack).await?;
        match failure {
            Some(error) if !namespace_ends(&error) => Err(error.into()),
            _ => Ok(plan.again.map_or(Next::Done, Next::After)),
        }
    }

    fn backoffs(&self) -> std::sync::MutexGuard<'_, HashMap<String, Backoff>> {
        self.backoffs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, uid: String, backoff: Backoff, finished: bool) {
        let mut backoffs = self.backoffs();
        if finished {
            backoffs.remove(&uid);
        } else {
            backoffs.insert(uid, backoff);
        }
    }

    fn say(&self, job: &Job, event: &Event) {
        let kind = if event.warning { EventKind::Warning } else { EventKind::Normal };
        self.recorder.event(job, kind, &event.reason, event.note.clone());
    }

    /// Lets go of pods that no job counts any more, and forgets jobs that are gone.
    async fn release_abandoned(&self, key: &Key) -> Result<(), Error> {
        let pods = self.pods.list_in(&key.namespace);
        let tracked: Vec<&Pod> = pods.iter().map(|pod| &**pod).filter(|pod| is_tracked(pod)).collect();
        let jobs = self.jobs.list_in(&key.namespace);
        let is_live = |uid: &str| jobs.iter().any(|job| job.metadata.uid.as_deref() == Some(uid) && !is_finished(job));
        let lost: Vec<&Pod> = tracked.iter().copied().filter(|pod| !self.is_wanted(&jobs, pod)).collect();
        if self.jobs.get(key).is_none() {
            let all = self.jobs.list();
            self.backoffs().retain(|uid, _| all.iter().any(|job| job.metadata.uid.as_deref() == Some(uid)));
        }
        self.untrack_all(&key.namespace, &abandoned(&lost, &is_live)).await
    }

    /// Whether a pod without controller is about to be adopted.
    fn is_wanted(&self, jobs: &[Arc<Job>], pod: &Pod) -> bool {
        controller(&pod.metadata.owner_references).is_none()
            && jobs.iter().any(|job| {
                let wanted = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
                !is_finished(job)
                    && job.metadata.deletion_timestamp.is_none()
                    && selector::matches_some(wanted, pod.metadata.labels.as_ref())
            })
    }

    async fn expire(&self, key: &Key, uid: String) -> Result<Next, Error> {
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
            ..DeleteParams::default()
        };
        self.jobs.delete_object(key, &params).await?;
        Ok(Next::Done)
    }

    async fn claim(&self, namespace: &str, job: &Job, claim: &Claim) -> Result<(), Error> {
        let owner = build::owner(job);
        let (pod, patch) = match claim {
            Claim::Adopt(pod) => {
                let finalizers = json!([TRACKING_FINALIZER]);
                (pod, json!({"uid": pod.uid, "ownerReferences": [owner], "finalizers": finalizers}))
            }
            Claim::Release(pod) => {
                let reference = json!({"$patch": "delete", "uid": owner.uid});
                (pod, json!({"uid": pod.uid, "ownerReferences": [reference], REMOVE_FINALIZER: [TRACKING_FINALIZER]}))
            }
        };
        Ok(self.patch_pod(namespace, pod, json!({"metadata": patch})).await?)
    }

    async fn untrack_all(&self, namespace: &str, pods: &[PodRef]) -> Result<(), Error> {
        for batch in pods.chunks(AT_ONCE) {
            let results = join_all(batch.iter().map(|pod| self.untrack(namespace, pod))).await;
            results.into_iter().collect::<Result<(), kube::Error>>()?;
        }
        Ok(())
    }

    async fn untrack(&self, namespace: &str, pod: &PodRef) -> kube::Result<()> {
        let patch = json!({"metadata": {"uid": pod.uid, REMOVE_FINALIZER: [TRACKING_FINALIZER]}});
        self.patch_pod(namespace, pod, patch).await
    }

    /// A pod that is gone, or another of the same name, needs no patch.
    async fn patch_pod(&self, namespace: &str, pod: &PodRef, patch: Value) -> kube::Result<()> {
        let api = self.pods.api(namespace);
        match api.patch(&pod.name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(patched) => {
                self.pods.note(&patched);
                Ok(())
            }
            Err(error) if is_code(&error, 404) || is_code(&error, 409) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn delete_all(&self, namespace: &str, job: &Job, deletions: &[Deletion]) -> Result<(), Error> {
        for batch in deletions.chunks(AT_ONCE) {
            let results = join_all(batch.iter().map(|deletion| self.delete(namespace, job, deletion))).await;
            results.into_iter().collect::<Result<(), kube::Error>>()?;
        }
        Ok(())
    }

    async fn delete(&self, namespace: &str, job: &Job, deletion: &Deletion) -> kube::Result<()> {
        let pod = &deletion.pod;
        if deletion.untrack {
            self.untrack(namespace, pod).await?;
        }
        let preconditions = Some(Preconditions { uid: Some(pod.uid.clone()), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        match self.pods.delete_object(&Key::new(namespace, pod.name.clone()), &params).await {
            Ok(()) => {
                self.say(job, &Event::normal("SuccessfulDelete", format!("Deleted pod: {}", pod.name)));
                Ok(())
            }
            Err(error) if is_code(&error, 409) => Ok(()),
            Err(error) => {
                self.say(job, &Event::warning("FailedDelete", format!("Error deleting: {}", message(&error))));
                Err(error)
            }
        }
    }

    /// Creates pods in batches of 1, 2, 4 …, so that a full quota is not hammered. Returns how many were
    /// created and the first error.
    async fn create_all(&self, job: &Job, plan: &Plan) -> (usize, Option<kube::Error>) {
        let mut left = plan.create.as_slice();
        let (mut size, mut created, mut failure) = (1, 0, None);
        while !left.is_empty() && failure.is_none() {
            let (batch, rest) = left.split_at(size.min(left.len()));
            for result in join_all(batch.iter().map(|pod| self.create(job, pod))).await {
                match result {
                    Ok(()) => created += 1,
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            left = rest;
            size = (2 * size).min(AT_ONCE);
        }
        (created, failure)
    }

    async fn create(&self, job: &Job, pod: &Pod) -> kube::Result<()> {
        match self.pods.create(pod).await {
            Ok(created) => {
                let name = created.metadata.name.unwrap_or_default();
                self.say(job, &Event::normal("SuccessfulCreate", format!("Created pod: {name}")));
                Ok(())
            }
            Err(error) => {
                if !namespace_ends(&error) {
                    self.say(job, &Event::warning("FailedCreate", format!("Error creating: {}", message(&error))));
                }
                Err(error)
            }
        }
    }
}

/// The key with which a strategic merge patch takes a finalizer away.
const REMOVE_FINALIZER: &str = "$deleteFromPrimitiveList/finalizers";
