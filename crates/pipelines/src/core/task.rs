//! The tasks of a run as they are recorded and shown: what a user wrote, with a row for each DAG, loop and iteration.

use serde::{Deserialize, Serialize};

use super::value::Values;

/// What a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskKind {
    /// The run itself.
    Root,
    /// A nested pipeline, or a group that the compiler made.
    Dag,
    /// A group with a condition.
    Condition,
    /// An iterated task; its children are iterations.
    Loop,
    LoopIteration,
    /// The body of a `dsl.ExitHandler`.
    ExitHandler,
    /// A step: a container.
    Runtime,
    Importer,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskState {
    /// It waits for others, for a place or for its pod.
    Pending,
    Running,
    Succeeded,
    /// Its outputs were those of an earlier task; `SKIPPED` on the wire of today, `CACHED` in the proposal.
    Cached,
    /// Its condition does not hold, or what it waits for was skipped.
    Skipped,
    Failed,
    Canceled,
}

impl TaskState {
    /// Whether it stays so, unless the run is retried.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Whether tasks that wait for it may run.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Succeeded | Self::Cached)
    }
}

/// Why a task failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// In a word: `Error`, `OOMKilled`, `ImagePullBackOff`, `Unschedulable`, `DeadlineExceeded`, `Type` …
    pub reason: String,
    /// In words, with the last lines of the log where there are some.
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// What the cache said of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheNote {
    /// Empty where the task is not cached at all.
    pub fingerprint: String,
    /// The task whose outputs these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit: Option<String>,
    /// Why it was a hit or a miss: `hit`, `no earlier task with this fingerprint`, `artifact … is gone`, `caching is off` …
    pub reason: String,
}

/// One row. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    pub run_id: String,
    /// A UUID.
    pub task_id: String,
    pub parent_id: Option<String>,
    /// Where it stands in the run: `root`, `root/for-loop-1`, `root/for-loop-1/3`, `root/for-loop-1/3/train`. Unique in a run.
    pub path: String,
    /// The key in its DAG; `root` for the run.
    pub key: String,
    pub display_name: String,
    pub kind: TaskKind,
    /// Of a [`TaskKind::LoopIteration`].
    pub iteration: Option<u32>,
    /// Of a [`TaskKind::Loop`].
    pub iteration_count: Option<u32>,
    pub state: TaskState,
    /// Counts from 0, on through retries of the run.
    pub attempt: u32,
    /// The first attempt since the run was started or last retried, from which the retries of the policy count.
    pub first_attempt: u32,
    /// The pod of the attempt. A pending task that has one is about to get it, or has it already.
    pub pod_name: Option<String>,
    /// Where the step's own directory really is, when its launcher has said so ([`Begin::root`](super::step::Begin)).
    pub work_root: Option<String>,
    pub created_ms: i64,
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    pub error: Option<TaskError>,
    pub inputs: Values,
    pub outputs: Values,
    pub cache: CacheNote,
    /// When its next attempt may begin, while it waits for that.
    pub due_ms: Option<i64>,
}
