//! What passes between a step's launcher and the control plane: one task, one attempt, one token.
//!
//! The launcher is a program of its own that shares no code with this crate; these types are its protocol, as JSON with
//! the names that stand here. What it may do is bound to the attempt: a report of an attempt that is no longer current
//! is refused, so that nothing is committed twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the launcher's program lies in a step's pod.
pub const BIN: &str = "/ferroflow/bin";
/// The launcher's program.
pub const LAUNCHER: &str = "/ferroflow/bin/ferroflow-launcher";
/// The step's own directory, an `emptyDir`. Where a node rewrites paths of mounts, [`WORK_VARIABLE`] says what it became.
pub const WORK: &str = "/ferroflow/work";
/// The variable that holds [`WORK`].
pub const WORK_VARIABLE: &str = "FERROFLOW_WORK";
/// The variable that holds the control plane's URL, with an IP address: `http://10.96.12.7:8888/pipeline`.
pub const ENDPOINT_VARIABLE: &str = "FERROFLOW_ENDPOINT";
/// The variable that holds the step's token.
pub const TOKEN_VARIABLE: &str = "FERROFLOW_STEP_TOKEN";

/// What a step's token says, after its signature was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepClaims {
    /// [`AUDIENCE`]
    pub aud: String,
    pub run: String,
    pub task: String,
    pub attempt: u32,
    /// Seconds since 1970 after which it is void.
    pub exp: i64,
}

/// Whom a step's token is for.
pub const AUDIENCE: &str = "ferroflow.dev/step";

/// `POST launcher/v1/begin`: the launcher has started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Where [`WORK`] really is, when it is elsewhere: then there are no mounts, and artifacts are handed to the program
    /// as plain paths below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

/// The answer to [`Begin`]: what to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkOrder {
    /// The program and its arguments, placeholders resolved.
    pub command: Vec<String>,
    /// Directories to make first.
    pub directories: Vec<String>,
    /// Input artifacts to fetch first.
    pub inputs: Vec<InputFile>,
    /// Where the program may leave its `executor_output.json`.
    pub output_file: String,
    pub parameters: Vec<OutputParameter>,
    pub artifacts: Vec<OutputFile>,
}

/// An input artifact: `GET launcher/v1/artifacts/{artifact}`, which is a file, or a directory as a tar stream
/// (`content-type: application/x-tar`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    pub artifact: String,
    pub path: String,
}

/// A file that the program may write a parameter's text to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputParameter {
    pub name: String,
    pub path: String,
}

/// A file or directory that the program may write: `PUT launcher/v1/outputs/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    pub name: String,
    pub path: String,
}

/// `POST launcher/v1/finish`: how it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The program's exit code; `None` where it did not get to run or to end.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// What went wrong, in a word: `Error`, `OOMKilled`, `Signal`, `NotFound`, `Input`, `Output`, `Deadline`. Empty for success.
    #[serde(default)]
    pub reason: String,
    /// What went wrong, in words a user understands; the last lines of the log belong to it.
    #[serde(default)]
    pub message: String,
    /// What the program left in `output_file`, parsed; `None` where it left nothing.
    #[serde(default)]
    pub output: Option<Value>,
    /// The text of each declared parameter's file that exists.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// What was uploaded, by the output's name.
    #[serde(default)]
    pub artifacts: BTreeMap<String, Uploaded>,
}

/// An uploaded artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    pub size_bytes: u64,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// `sha256:…` of a file; empty for a directory.
    #[serde(default)]
    pub digest: String,
}

/// The answer to a [`Report`] that was taken: the launcher ends with this exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub exit_code: i32,
}
