//! What is remembered of one run of a container, on disk and in memory.
//!
//! Never reads a clock or a file; the supervisor writes these values and the planner reads them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a run ended, in the spelling that a container status uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitReason {
    Completed,
    Error,
    #[serde(rename = "OOMKilled")]
    OomKilled,
    /// The process could not be started at all.
    StartError,
    /// The supervisor ended with the container; how the process ended is unknown.
    ContainerStatusUnknown,
}

impl ExitReason {
    /// The spelling in `state.terminated.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::OomKilled => "OOMKilled",
            Self::StartError => "StartError",
            Self::ContainerStatusUnknown => "ContainerStatusUnknown",
        }
    }
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit status, or 128 plus the signal's number.
    pub code: i32,
    pub reason: ExitReason,
    /// What `state.terminated.message` says; empty when there is nothing to say.
    #[serde(default)]
    pub message: String,
    pub finished_at: Timestamp,
}

/// One run of a container. Stored as JSON; `version` is that of the stored form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    #[serde(default = "first_version")]
    pub version: u32,
    pub container: String,
    /// 0 for the first run; equals the restart count.
    pub number: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    pub image: String,
    pub image_id: String,
    /// How long the next run waits after this one ends, in seconds.
    pub backoff_s: u32,
    /// Whether the end of the log is the message of a run that failed and left no other.
    #[serde(default)]
    pub message_from_log: bool,
    /// The signal that asks it to end, where its image names another than SIGTERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<i32>,
    pub started_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
}

fn first_version() -> u32 {
    1
}

impl Attempt {
    /// Whether the process runs, as far as is known.
    pub fn is_running(&self) -> bool {
        self.exit.is_none()
    }

    /// Whether it ran to its end and succeeded.
    pub fn succeeded(&self) -> bool {
        self.exit.as_ref().is_some_and(|exit| exit.code == 0)
    }

    /// The URL-like form in `containerStatuses[].containerID`.
    pub fn container_id(&self) -> String {
        format!("ferroflow://{}", self.id)
    }
}
