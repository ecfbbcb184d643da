//! Carries out the plans of the workload controllers: writes objects through their caches and records the events.
//!
//! Decides nothing: order, pace and wording come with the plan.

use std::fmt::Debug;
use std::sync::Arc;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Error, EventKind, Key, Next, Object, Recorder};
use futures::future::join_all;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, Preconditions};
use serde::Serialize;

use crate::core::workload::act::{Act, Change, Kind, Level, New, Note, Pace, Plan, Stage, Tail};
use crate::core::workload::patch;

/// Writes of one stage that may be under way at the same time.
const AT_ONCE: usize = 64;

/// What every workload controller stands on.
#[derive(Clone)]
pub struct Workshop {
    /// The pods.
    pub pods: Cache<Pod>,
    /// The replica sets.
    pub sets: Cache<ReplicaSet>,
    /// The deployments.
    pub deployments: Cache<Deployment>,
    /// The controller revisions.
    pub revisions: Cache<ControllerRevision>,
    /// The persistent volume claims.
    pub claims: Cache<PersistentVolumeClaim>,
    /// Events in the controller's name.
    pub recorder: Recorder,
}

/// Why a plan was not carried out to its end.
#[derive(Debug)]
pub struct Failure {
    /// What the API server said, as upstream's controllers repeat it.
    pub message: String,
    /// The error for the controller's loop.
    pub error: Error,
    /// Whether the object's namespace is being deleted, in which case there is nothing to be done any more.
    pub namespace_ends: bool,
    /// Whether it was an object that could not be created or deleted; otherwise one could not be changed.
    pub of_numbers: bool,
}

impl Failure {
    fn new(change: &Change, error: kube::Error) -> Failure {
        let of_numbers = !matches!(change, Change::Merge { .. });
        Failure { message: message(&error), namespace_ends: namespace_ends(&error), of_numbers, error: error.into() }
    }

    /// What a `ReplicaFailure` says of it, if it is one.
    pub fn of_replicas(&self) -> Option<&str> {
        (self.of_numbers && !self.namespace_ends).then_some(self.message.as_str())
    }
}

/// The words of an error without what the client adds.
pub fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Whether a write was refused because its namespace is being deleted.
pub fn namespace_ends(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// Whether the API server answered with this code.
pub fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

impl Workshop {
    /// A workshop whose events are those of `component`.
    pub fn new(caches: &Caches, clock: &SharedClock, component: &'static str) -> Workshop {
        Workshop {
            pods: caches.of(),
            sets: caches.of(),
            deployments: caches.of(),
            revisions: caches.of(),
            claims: caches.of(),
            recorder: Recorder::start(caches.client(), clock.clone(), &caches.group(), component),
        }
    }

    /// Records an event about `subject`.
    pub fn say<K: Object>(&self, subject: &K, note: &Note, name: &str, error: &str) {
        let tail = match note.tail {
            Tail::Nothing => "",
            Tail::Name => name,
            Tail::Error => error,
        };
        let kind = match note.level {
            Level::Normal => EventKind::Normal,
            Level::Warning => EventKind::Warning,
        };
        self.recorder.event(subject, kind, note.reason, format!("{}{tail}", note.message));
    }

    /// Carries out a plan for `subject`.
    ///
    /// # Errors
    /// The first change that failed; what follows it in the plan was not tried.
    pub async fn carry_out<K: Object>(&self, subject: &K, plan: &Plan) -> Result<(), Failure> {
        for note in &plan.notes {
            self.say(subject, note, "", "");
        }
        let namespace = subject.meta().namespace.clone().unwrap_or_default();
        for stage in &plan.stages {
            self.stage(subject, &namespace, stage).await?;
        }
        match &plan.obstacle {
            None => Ok(()),
            Some(why) => {
                let error = Error::Other(why.clone());
                Err(Failure { message: why.clone(), error, namespace_ends: false, of_numbers: false })
            }
        }
    }

    async fn stage<K: Object>(&self, subject: &K, namespace: &str, stage: &Stage) -> Result<(), Failure> {
        let mut left = stage.acts.as_slice();
        let mut size = match stage.pace {
            Pace::InOrder | Pace::SlowStart => 1,
            Pace::AtOnce => AT_ONCE,
        };
        let mut failure = None;
        while !left.is_empty() {
            let (batch, rest) = left.split_at(size.min(left.len()));
            let results = join_all(batch.iter().map(|act| self.act(subject, namespace, act))).await;
            failure = failure.or_else(|| results.into_iter().find_map(Result::err));
            if stage.pace != Pace::AtOnce && failure.is_some() {
                break;
            }
            if stage.pace == Pace::SlowStart {
                size = (2 * size).min(AT_ONCE);
            }
            left = rest;
        }
        failure.map_or(Ok(()), Err)
    }

    async fn act<K: Object>(&self, subject: &K, namespace: &str, act: &Act) -> Result<(), Failure> {
        if act.adopts && !self.stands(subject, namespace).await.map_err(|error| Failure::new(&act.change, error))? {
            return Ok(());
        }
        match self.change(namespace, &act.change).await {
            Ok(name) => {
                for note in &act.done {
                    self.say(subject, note, &name, "");
                }
                Ok(())
            }
            Err(error) => {
                let failure = Failure::new(&act.change, error);
                if let Some(note) = act.failed.as_ref().filter(|_| !failure.namespace_ends) {
                    self.say(subject, note, "", &failure.message);
                }
                Err(failure)
            }
        }
    }

    /// Whether an object is there and stays. Caches are no witness: each kind has its own watch, and the one that shows an
    /// orphan may be ahead of the one that shows that its owner is being deleted.
    async fn stands<K: Object>(&self, subject: &K, namespace: &str) -> kube::Result<bool> {
        let meta = subject.meta();
        let api = K::api(self.pods.api(namespace).into_client(), namespace);
        let now = api.get_opt(meta.name.as_deref().unwrap_or_default()).await?;
        Ok(now.is_some_and(|now| now.meta().uid == meta.uid && now.meta().deletion_timestamp.is_none()))
    }

    /// Makes one change; returns the name of the object.
    async fn change(&self, namespace: &str, change: &Change) -> kube::Result<String> {
        match change {
            Change::Create(New::Pod(object)) => create(&self.pods, object.as_ref()).await,
            Change::Create(New::ReplicaSet(object)) => create(&self.sets, object.as_ref()).await,
            Change::Create(New::Revision(object)) => create(&self.revisions, object.as_ref()).await,
            Change::Create(New::Claim(object)) => create(&self.claims, object.as_ref()).await,
            Change::Delete { kind, name, uid } => self.delete(*kind, Key::new(namespace, name), uid).await,
            Change::Merge { kind, name, patch } => self.merge(*kind, Key::new(namespace, name), patch).await,
        }
    }

    async fn delete(&self, kind: Kind, key: Key, uid: &str) -> kube::Result<String> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let result = match kind {
            Kind::Pod => self.pods.delete_object(&key, &params).await,
            Kind::ReplicaSet => self.sets.delete_object(&key, &params).await,
            Kind::Deployment => self.deployments.delete_object(&key, &params).await,
            Kind::Revision => self.revisions.delete_object(&key, &params).await,
            Kind::Claim => self.claims.delete_object(&key, &params).await,
        };
        match result {
            // Another object of that name has come: the one that was meant is gone.
            Err(error) if !is_code(&error, 409) => Err(error),
            _ => Ok(key.name),
        }
    }

    async fn merge(&self, kind: Kind, key: Key, patch: &serde_json::Value) -> kube::Result<String> {
        match kind {
            Kind::Pod => self.pods.merge(&key, patch).await.map(drop)?,
            Kind::ReplicaSet => self.sets.merge(&key, patch).await.map(drop)?,
            Kind::Deployment => self.deployments.merge(&key, patch).await.map(drop)?,
            Kind::Revision => self.revisions.merge(&key, patch).await.map(drop)?,
            Kind::Claim => self.claims.merge(&key, patch).await.map(drop)?,
        }
        Ok(key.name)
    }
}

async fn create<K: Object>(cache: &Cache<K>, object: &K) -> kube::Result<String> {
    let created = cache.create(object).await?;
    Ok(created.meta().name.clone().unwrap_or_default())
}

/// Writes a status if it differs from the one that was read.
///
/// # Errors
/// What the API server answers, other than that the object is gone.
pub async fn write_status<K: Object, S: Serialize + Debug>(
    cache: &Cache<K>,
    key: &Key,
    old: Option<&S>,
    new: Option<&S>,
) -> Result<(), Error> {
    let Some(new) = new else { return Ok(()) };
    let Some(patch) = patch::of_status(old, new)? else { return Ok(()) };
    match cache.merge_status(key, &patch).await {
        Err(error) if !is_code(&error, 404) => Err(error.into()),
        _ => Ok(()),
    }
}

/// What the controller's loop is told after a pass.
///
/// # Errors
/// The failure of the plan, unless its namespace is being deleted.
pub fn conclude(plan: &Plan, outcome: Result<(), Failure>) -> Result<Next, Error> {
    match outcome {
        Err(failure) if !failure.namespace_ends => Err(failure.error),
        _ => Ok(plan.next.map_or(Next::Done, Next::After)),
    }
}

/// The objects of a namespace that nobody controls, and those that `uid` controls.
pub fn own_and_orphans<K: Object>(cache: &Cache<K>, namespace: &str, uid: &str) -> Vec<Arc<K>> {
    let mut objects = cache.list_in(namespace);
    objects.retain(|object| {
        let controller = object.meta().owner_references.iter().flatten().find(|one| one.controller == Some(true));
        controller.is_none_or(|controller| controller.uid == uid)
    });
    objects
}
