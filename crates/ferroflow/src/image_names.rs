//! What names of images stand for on this machine, for the cache of pipelines.

use std::path::Path;

use ferroflow_images::{core::reference::Reference, store::Store};
use ferroflow_pipelines::controller::ImageDigests;

/// The images of a data directory.
#[derive(Debug)]
pub struct ImageNames(Store);

impl ImageNames {
    /// Opens the store, which the node shares.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(directory: &Path) -> anyhow::Result<Self> {
        Ok(Self(Store::open(directory)?))
    }
}

impl ImageDigests for ImageNames {
    fn digest(&self, image: &str) -> Option<String> {
        let image: Reference = image.parse().ok()?;
        let record = self.0.find_name(&image.to_string()).ok()??;
        Some(record.manifest.to_string())
    }
}
