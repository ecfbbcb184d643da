//! Where things lie in the data directory.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::problem::Problem;

/// The data directory: given, or `ferroflow` in the user's data home.
pub fn data_directory(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let chosen = match given {
        Some(given) => given,
        None => {
            let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share"));
            let base = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
            let hint = "give one with --data-dir";
            base.ok_or_else(|| Problem::new("there is no home directory for the data", hint))?.join("ferroflow")
        }
    };
    std::path::absolute(&chosen).with_context(|| format!("data directory \"{}\"", chosen.display()))
}

/// The kubeconfig of a data directory.
pub fn kubeconfig(data: &Path) -> PathBuf {
    data.join("kubeconfig")
}

/// The administrator's token of a data directory.
pub fn token(data: &Path) -> PathBuf {
    data.join("admin.token")
}

/// The log of a detached server.
pub fn log(data: &Path) -> PathBuf {
    data.join("server.log")
}

/// The record store of a data directory.
pub fn records(data: &Path) -> PathBuf {
    data.join("records.db")
}

/// What the node keeps.
pub fn node(data: &Path) -> PathBuf {
    data.join("node")
}

/// The artifacts of a data directory.
pub fn artifacts(data: &Path) -> PathBuf {
    data.join("artifacts")
}

/// The images of a data directory.
pub fn images(data: &Path) -> PathBuf {
    data.join("images")
}

/// A path that the environment names; `None` where it is empty or not set.
pub fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
