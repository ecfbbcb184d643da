//! Owned tasks: every loop has a name, a kind that says what its end means, and a last result.
//!
//! There is no detached spawn. A group ends its tasks when it is told to stop, and says which did
//! not end in time.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What the end of a task means to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs as long as the group; its error stops the group.
    Essential,
    /// Serves one request, pod or connection; its error is logged.
    Transient,
}

/// A task's last known state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Done,
    Failed(String),
}

/// One row of [`Group::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub kind: Kind,
    pub state: State,
}

#[derive(Default)]
struct Table {
    next_id: u64,
    rows: BTreeMap<u64, Row>,
}

/// A set of tasks that start together with something and end with it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Group {
    tracker: TaskTracker,
    cancel: CancellationToken,
    table: Arc<Mutex<Table>>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("tasks", &self.list()).finish()
    }
}

impl Group {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Completes when the group has been told to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Starts a task. It is dropped at its next await when the group stops; a task that must clean up
    /// takes [`stopping`](Self::stopping) and ends by itself.
    pub fn spawn<F, E>(&self, name: impl Into<String>, kind: Kind, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let name = name.into();
        let id = self.enter(name.clone(), kind);
        let group = self.clone();
        self.tracker.spawn(async move {
            let cancel = group.cancel.clone();
            let result = tokio::select! {
                () = cancel.cancelled() => Ok(()),
                result = future => result.map_err(|error| error.to_string()),
            };
            group.leave(id, &name, kind, result);
        });
    }

    fn enter(&self, name: String, kind: Kind) -> u64 {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.next_id += 1;
        let id = table.next_id;
        table.rows.insert(id, Row { name, kind, state: State::Running });
        id
    }

    fn leave(&self, id: u64, name: &str, kind: Kind, result: Result<(), String>) {
        if let Err(error) = &result {
            tracing::error!(task = name, error, "task failed");
            if kind == Kind::Essential {
                self.cancel.cancel();
            }
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        match (kind, result) {
            // Transient tasks that ended leave no row: the list is bounded by what runs.
            (Kind::Transient, _) => {
                table.rows.remove(&id);
            }
            (Kind::Essential, result) => {
                if let Some(row) = table.rows.get_mut(&id) {
                    row.state = result.map_or_else(State::Failed, |()| State::Done);
                }
            }
        }
    }

    /// The tasks that run, and the essential ones that have ended.
    pub fn list(&self) -> Vec<Row> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).rows.values().cloned().collect()
    }

    /// Tells all tasks to stop and waits for them, `patience` at the most.
    ///
    /// # Errors
    /// The names of the tasks that still run.
    pub async fn stop(&self, patience: Duration) -> Result<(), Vec<String>> {
        self.cancel.cancel();
        self.tracker.close();
        if tokio::time::timeout(patience, self.tracker.wait()).await.is_ok() {
            return Ok(());
        }
        let rows = self.list().into_iter().filter(|row| row.state == State::Running);
        Err(rows.map(|row| row.name).collect())
    }
}
