//! What others ask of the engine: the REST API of its runs, launchers of their steps.

use std::{future::Future, io};

use bytes::Bytes;
use ferroflow_platform::records;
use futures::stream::BoxStream;

use crate::core::{
    fault::Fault,
    step::{Begin, Report, StepClaims, Verdict, WorkOrder},
    value::Artifact,
};

/// Why the engine does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("{kind} \"{id}\" not found")]
    NotFound { kind: &'static str, id: String },
    /// Of a terminate: the run has ended.
    #[error("run \"{run}\" is not running: it has ended as {state}")]
    NotRunning { run: String, state: &'static str },
    /// Of a retry or a deletion: the run goes on.
    #[error("run \"{run}\" has not ended: it is {state}; terminate it first")]
    NotFinished { run: String, state: &'static str },
    /// Of a retry: there is nothing to repeat.
    #[error("run \"{run}\" has not failed: it has ended as {state}, so there is nothing to retry")]
    NotFailed { run: String, state: &'static str },
    #[error("run \"{0}\" exists already")]
    Exists(String),
    /// Of an artifact: it is another namespace's, or can be none.
    #[error("{0}")]
    Denied(String),
    /// What a step has printed is not there.
    #[error("there is no log of task \"{task}\": {why}")]
    NoLog { task: String, why: String },
    /// A run could not be carried out for a fault of this program.
    #[error("a fault of the server: {0}")]
    Panicked(String),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("too many runs are under way ({0}); wait until one has ended")]
    Busy(usize),
    #[error(transparent)]
    Records(#[from] records::Error),
    #[error("the cluster refuses: {0}")]
    Kube(#[from] kube::Error),
    #[error("blobs cannot be read or written: {0}")]
    Blobs(String),
    /// A fault has ended what carried the run out, before what was asked was done.
    #[error("run \"{0}\" begins again from its records, as they could not be written; ask again")]
    Resumes(String),
    /// Of a retry: what the run's steps have put into its workspace is gone.
    #[error("workspace \"{claim}\" of run \"{run}\" is gone, so its steps cannot go on; start another run")]
    NoWorkspace { run: String, claim: String },
    #[error("the engine has stopped")]
    Stopped,
}

/// Why a launcher is not answered.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The attempt is not the current one, or has a result already: 409, and the launcher stops.
    #[error("attempt {attempt} of task \"{task}\" is no longer current")]
    Stale { task: String, attempt: u32 },
    /// 422: what the pipeline or the report says cannot be done.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// 403: an artifact that is no input of the step, or an output that it does not declare.
    #[error("step \"{task}\" has no {what} \"{name}\"")]
    Foreign { task: String, what: &'static str, name: String },
    /// 503: it may be asked again.
    #[error("the engine cannot answer now: {0}")]
    Unavailable(String),
}

/// A log as it comes.
pub type LogStream = BoxStream<'static, io::Result<Bytes>>;

/// What launchers ask. Claims are of a token whose signature, audience and time were checked.
pub trait Steps: Clone + Send + Sync + 'static {
    /// The launcher has started and wants to know what to do. It may ask again.
    ///
    /// # Errors
    /// [`StepError`].
    fn begin(&self, claims: &StepClaims, begin: Begin) -> impl Future<Output = Result<WorkOrder, StepError>> + Send;

    /// An input artifact of the step, for its bytes to be sent.
    ///
    /// # Errors
    /// [`StepError`].
    fn input(&self, claims: &StepClaims, artifact: &str) -> impl Future<Output = Result<Artifact, StepError>> + Send;

    /// The URI that an output artifact is to be stored at.
    ///
    /// # Errors
    /// [`StepError`].
    fn output(&self, claims: &StepClaims, name: &str) -> impl Future<Output = Result<String, StepError>> + Send;

    /// The blob that the attempt's log is to be stored as.
    ///
    /// # Errors
    /// [`StepError`].
    fn log(&self, claims: &StepClaims) -> impl Future<Output = Result<String, StepError>> + Send;

    /// How it went. Once it is answered, the result is on disk.
    ///
    /// # Errors
    /// [`StepError`].
    fn finish(&self, claims: &StepClaims, report: Report) -> impl Future<Output = Result<Verdict, StepError>> + Send;
}
