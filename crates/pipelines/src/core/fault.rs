//! What is wrong with something that a user wrote, and where it stands.

use std::fmt;

/// A fault in a pipeline or in what it is run with: 400 with code 3 on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands, as `root.dag.tasks.train.inputs.parameters.lr`; empty for the whole.
    pub at: String,
    /// What is wrong, and the way out.
    pub what: String,
}

impl Fault {
    /// A fault at a place.
    pub fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_empty() { f.write_str(&self.what) } else { write!(f, "{}: {}", self.at, self.what) }
    }
}

impl std::error::Error for Fault {}
