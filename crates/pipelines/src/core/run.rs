//! What a run is, beside its tasks.

use serde::{Deserialize, Serialize};

/// Where a run stands, as v2beta1 spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunState {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    /// It has been terminated, and its pods are going.
    Canceling,
    Canceled,
}

impl RunState {
    /// The word on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Canceling => "CANCELING",
            Self::Canceled => "CANCELED",
        }
    }

    /// Reads [`as_str`](Self::as_str).
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Canceling, Self::Canceled];
        all.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether it stays so, unless the run is retried.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

/// One entry of `state_history`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    pub state: RunState,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}
