//! What waits for the actor of a run.
//!
//! It has no bound of its own, since everything in it has one elsewhere: how a pod looks replaces how it looked before,
//! there is at most one answer for each thing that a task has asked for, and one question for each connection of a launcher.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::sync::{Notify, oneshot, watch};

use super::api::StepError;
use crate::core::{
    engine::{Event, sight::Sight},
    step::{Begin, Report, StepClaims, Verdict, WorkOrder},
    value::Artifact,
};

/// Where an answer goes; whoever no longer waits does not want to know.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StepError>>;

/// What an actor is told.
pub(super) enum Message {
    Event(Event),
    Begin {
        claims: StepClaims,
        begin: Begin,
        reply: Reply<WorkOrder>,
    },
    Finish {
        claims: StepClaims,
        report: Report,
        reply: Reply<Verdict>,
    },
    Input {
        claims: StepClaims,
        artifact: String,
        reply: Reply<Artifact>,
    },
    Output {
        claims: StepClaims,
        name: String,
        reply: Reply<String>,
    },
    Log {
        claims: StepClaims,
        reply: Reply<String>,
    },
    /// A user ends the run; answered when that is on disk.
    Terminate {
        reply: oneshot::Sender<()>,
    },
}

/// Which pod was seen: that of an attempt of a task, as it says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) task: String,
    pub(super) attempt: u32,
    pub(super) pod: String,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    sights: BTreeMap<Seen, Sight>,
}

/// The inbox of one run.
pub(super) struct Inbox {
    pub(super) run: String,
    waiting: Mutex<Waiting>,
    came: Notify,
    closed: watch::Sender<bool>,
    /// How often the run was read from the store for it.
    lives: AtomicU32,
}

impl Inbox {
    pub(super) fn new(run: String) -> Self {
        Self {
            run,
            waiting: Mutex::default(),
            came: Notify::new(),
            closed: watch::Sender::new(false),
            lives: AtomicU32::new(0),
        }
    }

    /// The number of the next life of the run: what waits for it may be the answer to an earlier one.
    pub(super) fn live(&self) -> u32 {
        self.lives.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, message: Message) {
        self.lock().messages.push_back(message);
        self.came.notify_one();
    }

    /// How a pod looks now that says that it is of an attempt of a task.
    pub(super) fn see(&self, seen: Seen, sight: Sight) {
        self.lock().sights.insert(seen, sight);
        self.came.notify_one();
    }

    /// Completes when something has come since the last call.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    /// Takes everything out: messages in their order, then how pods look. A report comes before the end of its pod, as
    /// it was sent.
    pub(super) fn take(&self) -> (VecDeque<Message>, BTreeMap<Seen, Sight>) {
        let waiting = std::mem::take(&mut *self.lock());
        (waiting.messages, waiting.sights)
    }

    /// Says that nobody reads it any more.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
        self.lock().messages.clear();
    }

    /// Whether nobody reads it any more.
    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Completes when the actor has ended.
    pub(super) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender lives as long as this.
        let _ = closed.wait_for(|closed| *closed).await;
    }
}
