//! Where things are kept that take long to make, what they are called, and the folders that they are made in.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use ferroflow_images::core::digest::Digest;

/// A folder of the cache, which need not be there.
///
/// # Errors
/// When this user has no cache.
pub fn folder(name: &str) -> anyhow::Result<PathBuf> {
    let cache = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, home) => PathBuf::from(home.context("HOME is not set")?).join(".cache"),
    };
    Ok(cache.join("ferroflow").join(name))
}

/// Names what is made of these parts.
pub fn key(parts: &[&str]) -> String {
    Digest::of(parts.join("\n").as_bytes()).hex()[..16].to_owned()
}

/// A folder for the time of a build.
pub struct Work(PathBuf);

impl Work {
    /// Makes it anew, within `folder`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let path = folder.join(format!("work-{name}-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// A file or folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What stays behind is in the way of nothing.
        let _ = fs::remove_dir_all(&self.0);
    }
}
