//! How a supervisor of a pod is run.

use std::{ffi::OsString, path::PathBuf};

use crate::shim;

/// How to run a supervisor: a program and the arguments before the pod's directory.
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
