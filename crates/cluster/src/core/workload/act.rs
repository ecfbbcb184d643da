//! What a plan asks for, as data: changes of objects, in stages, with the events that follow from them.
//!
//! Says nothing about how a change reaches the API; `crate::controller::execute` does that.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::Value;

/// The kinds that workload controllers create, change and delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// core/v1 Pod.
    Pod,
    /// apps/v1 ReplicaSet.
    ReplicaSet,
    /// apps/v1 Deployment.
    Deployment,
    /// apps/v1 ControllerRevision.
    Revision,
    /// core/v1 PersistentVolumeClaim.
    Claim,
}

/// An object to create.
#[derive(Clone, Debug, PartialEq)]
pub enum New {
    /// A pod.
    Pod(Box<Pod>),
    /// A replica set.
    ReplicaSet(Box<ReplicaSet>),
    /// A controller revision.
    Revision(Box<ControllerRevision>),
    /// A persistent volume claim.
    Claim(Box<PersistentVolumeClaim>),
}

/// One change of one object in the namespace of the plan's subject.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Create an object.
    Create(New),
    /// Delete an object, if it is still the one with this uid.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// Its uid, a precondition.
        uid: String,
    },
    /// Apply a JSON merge patch (RFC 7386) to an object.
    Merge {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// The patch.
        patch: Value,
    },
}

/// Whether an event is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `Normal`.
    Normal,
    /// `Warning`.
    Warning,
}

/// What the executor appends to the text of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Nothing,
    /// The name of the object that was changed.
    Name,
    /// The message of the error.
    Error,
}

/// An event about the plan's subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Normal or Warning.
    pub level: Level,
    /// The reason in CamelCase.
    pub reason: &'static str,
    /// The text.
    pub message: String,
    /// What to append to the text.
    pub tail: Tail,
}

impl Note {
    /// A Normal event whose text is complete.
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Note {
        Note { level: Level::Normal, reason, message: message.into(), tail: Tail::Nothing }
    }

    /// A Warning event whose text is complete.
    pub fn warning(reason: &'static str, message: impl Into<String>) -> Note {
        Note { level: Level::Warning, reason, message: message.into(), tail: Tail::Nothing }
    }

    /// The same note with the changed object's name at its end.
    pub fn with_name(self) -> Note {
        Note { tail: Tail::Name, ..self }
    }

    /// The same note with the error's message at its end.
    pub fn with_error(self) -> Note {
        Note { tail: Tail::Error, ..self }
    }
}

/// A change with the events for its success and for its failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// The change.
    pub change: Change,
    /// It is made only while the plan's subject stands and is not being deleted, which is asked of the API server and not
    /// of a cache.
    pub adopts: bool,
    /// Said when it succeeded.
    pub done: Vec<Note>,
    /// Said when it failed.
    pub failed: Option<Note>,
}

impl Act {
    /// A change that is not spoken about.
    pub fn quiet(change: Change) -> Act {
        Act { change, adopts: false, done: Vec::new(), failed: None }
    }

    /// The same, which makes an object the subject's.
    #[must_use]
    pub fn adopting(self) -> Act {
        Act { adopts: true, ..self }
    }
}

/// How the acts of a stage follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One after the other; the first failure ends the plan.
    InOrder,
    /// In batches of 1, 2, 4 … : a failure ends the plan after its batch, so that a quota is not hammered.
    SlowStart,
    /// All, failures notwithstanding; any failure ends the plan after the stage.
    AtOnce,
}

/// Acts that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// How they follow each other.
    pub pace: Pace,
    /// The acts.
    pub acts: Vec<Act>,
}

/// What is to be done for one object in one pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The stages, in order.
    pub stages: Vec<Stage>,
    /// Events that do not depend on a change.
    pub notes: Vec<Note>,
    /// When to look again although nothing changes.
    pub next: Option<Duration>,
    /// An obstacle that the plan met: the pass counts as failed and is tried again with back-off.
    pub obstacle: Option<String>,
}

impl Plan {
    /// Whether the plan changes no object.
    pub fn is_empty(&self) -> bool {
        self.stages.iter().all(|stage| stage.acts.is_empty())
    }

    /// Adds a stage unless it is empty.
    pub fn stage(&mut self, pace: Pace, acts: Vec<Act>) {
        if !acts.is_empty() {
            self.stages.push(Stage { pace, acts });
        }
    }

    /// Asks for another look after `wait`, unless an earlier one is asked for already.
    pub fn look_again(&mut self, wait: Option<Duration>) {
        self.next = match (self.next, wait) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// All changes in order.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.stages.iter().flat_map(|stage| stage.acts.iter().map(|act| &act.change))
    }
}
