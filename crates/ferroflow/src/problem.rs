//! Failures as a person reads them: what failed, why, what to do; and the exit code that goes with it.

use std::{
    path::Path,
    process::{self, ExitCode},
};

use ferroflow_platform::{causes::causes, sql};

use crate::commands;

/// The cluster does not run.
pub const NOT_RUNNING: u8 = 3;
/// The cluster runs already.
pub const RUNNING: u8 = 4;

/// An image is not there.
pub const NO_IMAGE: u8 = 5;

/// A failure with a hint and an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Problem {
    pub what: String,
    pub hint: Option<String>,
    pub code: u8,
}

impl Problem {
    /// A failure with exit code 1.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: Some(hint.into()), code: 1 }
    }

    /// A failure with another exit code.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

/// The exit code of a process whose database could not be written (`EX_IOERR` of sysexits.h).
const NOT_WRITTEN: i32 = 74;

/// Ends the process, and says why, once the disk has refused a write to a database in `data`: nothing that follows a lost
/// write may be acknowledged.
pub fn ends_without_writes(data: &Path) -> Box<dyn FnOnce(sql::Error) + Send> {
    let data = data.to_owned();
    Box::new(move |error| {
        let hint = "see that its disk works and this user may write to it, and that there is room for temporary files in /tmp or \
                    SQLITE_TMPDIR; then start again: what was acknowledged is there";
        eprintln!("error: \"{}\": {}\nhint: {hint}", data.display(), causes(&error));
        process::exit(NOT_WRITTEN);
    })
}

/// Prints an error with its causes and hint, and gives its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  caused by: {cause}");
    }
    let problem = error.chain().find_map(|cause| cause.downcast_ref::<Problem>());
    let hint = problem.and_then(|problem| problem.hint.clone()).or_else(|| commands::images::hint(error));
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(problem.map_or(1, |problem| problem.code))
}
