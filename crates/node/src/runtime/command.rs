//! How the program of pods' supervisors is run.

use std::{ffi::OsString, path::PathBuf};

use crate::shim;

/// How to run the program that supervisors are: it and the arguments before the one that says what it is to be.
#[derive(Clone, Debug)]
pub struct ShimCommand {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

impl Default for ShimCommand {
    /// This program again, even where its file has been replaced since it was started.
    fn default() -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), arguments: vec![OsString::from(shim::SUBCOMMAND)] }
    }
}
