//! The file that `--images` names: what stands for images, and where images are pulled from.

use std::{fs, path::Path};

use anyhow::Context;
use ferroflow_images::core::registries::{Registries, Rule as RegistryRule};
use ferroflow_node::Rule;
use serde::Deserialize;

use crate::problem::Problem;

/// A file's sections.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagesFile {
    /// What stands for an image.
    #[serde(default)]
    pub image: Vec<Rule>,
    /// How registries are reached.
    #[serde(default)]
    registry: Vec<RegistryRule>,
}

impl ImagesFile {
    /// Reads a file and checks all of it.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("images table \"{shown}\" cannot be read"))?;
        let hint = "docs/images.md shows what a table looks like";
        let file: Self =
            toml::from_str(&text).map_err(|error| Problem::new(format!("images table \"{shown}\": {error}"), hint))?;
        file.registries().map_err(|error| Problem::new(format!("images table \"{shown}\": {error}"), hint))?;
        Ok(file)
    }

    /// The registries that have rules.
    pub fn registries(&self) -> anyhow::Result<Registries> {
        Ok(Registries::new(self.registry.clone())?)
    }
}
