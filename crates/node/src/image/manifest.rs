//! What an environment was made from, for the program that stands before `pip` (`crates/launcher`, `front`): the lines that
//! were installed, and how its directories looked when that was done. A directory changes its time whenever a package is
//! added to it, or taken from it, by whatever means.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use serde::{Deserialize, Serialize};

use crate::core::requirement::Install;

/// Its name in the environment; the other program has it, too.
const NAME: &str = ".ferroflow.json";

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub installs: Vec<Install>,
    pub sites: Vec<Site>,
}

/// A directory of packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    pub path: String,
    /// Nanoseconds since 1970, as text: numbers of this size are not exact in every reader.
    pub changed: String,
}

impl Site {
    /// How a directory looks now.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        let changed = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        Some(Self { path: path.to_str()?.to_owned(), changed: changed.to_string() })
    }
}

impl Manifest {
    /// That of an environment whose packages lie in `site`.
    pub fn new(installs: Vec<Install>, site: &Path) -> Self {
        Self { version: 1, installs, sites: Site::of(site).into_iter().collect() }
    }

    /// That of an environment; `None` where it has none.
    pub fn read(root: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(root.join(NAME)).ok()?).ok()
    }

    /// Writes it into an environment.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        fs::write(root.join(NAME), serde_json::to_vec(self)?)
    }
}
