//! What containers run from: images of the [`store`], or what stands for one: interpreters and packages in a
//! directory of the node's own.
//!
//! Which environment an image maps to is decided in `core::image`. Environments are made by `uv`, one
//! for each version and list of packages, and used again.

mod pulls;
mod python;
pub mod store;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ferroflow_platform::clock::BoxFuture;
use futures::{FutureExt, future::Shared};
use sha2::{Digest, Sha256};

use ferroflow_images::core::reference::Reference;

use crate::core::image::{ImageTable, Rule, explicit};

/// A place to run in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Directories that come first in `PATH`.
    pub path_first: Vec<PathBuf>,
    pub env: BTreeMap<String, String>,
    /// The directory that containers start in.
    pub workdir: Option<String>,
    /// What is not quite as it was asked for.
    pub warning: Option<String>,
}

/// What was made of an interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    bin: PathBuf,
    root: PathBuf,
    warning: Option<String>,
}

type Making = Shared<BoxFuture<'static, Result<Made, String>>>;

/// The environments of one node.
pub struct Environments {
    table: ImageTable,
    /// What relative directories in the table are relative to.
    base: PathBuf,
    directory: PathBuf,
    making: Mutex<HashMap<String, Making>>,
}

impl Environments {
    /// Environments in `directory`, from a table whose relative paths start at `base`.
    pub fn new(table: ImageTable, base: PathBuf, directory: PathBuf) -> Self {
        Self { table, base, directory, making: Mutex::default() }
    }

    /// The rule that the table has for an image.
    pub fn rule(&self, image: &str, reference: &Reference) -> Option<Rule> {
        explicit(&self.table, image, reference)
    }

    /// Whether the environment of a rule is there, so that nothing has to be made.
    pub fn is_ready(&self, rule: &Rule) -> bool {
        rule.python.is_none() || python::is_complete(&self.root(rule))
    }

    /// The environment of a rule; makes it when it is not there.
    ///
    /// # Errors
    /// What `uv` said.
    pub async fn ensure(&self, rule: &Rule) -> Result<Environment, String> {
        let mut environment = Environment { workdir: self.workdir(rule), ..Environment::default() };
        for name in &rule.pass_env {
            environment.env.extend(std::env::var(name).ok().map(|value| (name.clone(), value)));
        }
        environment.env.extend(rule.env.clone());
        let Some(version) = &rule.python else { return Ok(environment) };
        let made = self.python(version, rule).await?;
        environment.env.insert("VIRTUAL_ENV".to_owned(), made.root.display().to_string());
        environment.path_first.push(made.bin);
        environment.warning = made.warning;
        Ok(environment)
    }

    fn workdir(&self, rule: &Rule) -> Option<String> {
        let workdir = rule.workdir.as_ref()?;
        Some(self.base.join(workdir).display().to_string())
    }

    fn root(&self, rule: &Rule) -> PathBuf {
        let mut text = rule.python.clone().unwrap_or_default();
        for requirement in &rule.requirements {
            text.push('\n');
            text.push_str(requirement);
        }
        let digest: String = Sha256::digest(text).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        self.directory.join(digest)
    }

    /// One making for all who wait for the same environment.
    async fn python(&self, version: &str, rule: &Rule) -> Result<Made, String> {
        let root = self.root(rule);
        let key = root.display().to_string();
        let making = {
            let mut all = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(key.clone())
                .or_insert_with(|| {
                    let (version, requirements) = (version.to_owned(), rule.requirements.clone());
                    let tools = self.directory.join("tools");
                    async move { python::make(&tools, &root, &version, &requirements).await }.boxed().shared()
                })
                .clone()
        };
        let result = making.await;
        if result.is_err() {
            // The next one tries again.
            self.making.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
        result
    }
}

/// The directory that paths in a table's file are relative to.
pub fn base_of(file: &Path) -> PathBuf {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    parent.canonicalize().unwrap_or_else(|_| parent.to_owned())
}

/// Reads a table from TOML.
///
/// # Errors
/// Where the text is not one, with its line.
pub fn parse_table(text: &str) -> Result<ImageTable, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_from_toml_and_unknown_keys_are_refused() {
        let table = parse_table("[[image]]\nmatch = \"a/*\"\npython = \"3.11\"\nrequirements = [\"numpy\"]\n").unwrap();
        assert_eq!(table.rules[0].python.as_deref(), Some("3.11"));
        assert!(parse_table("[[image]]\nmatch = \"a\"\npyton = \"3\"\n").unwrap_err().contains("pyton"));
    }

    #[tokio::test]
    async fn a_host_environment_is_there_at_once() {
        let rule = Rule { pattern: "x".to_owned(), workdir: Some("w".to_owned()), ..Rule::default() };
        let all = Environments::new(ImageTable::default(), PathBuf::from("/base"), PathBuf::from("/nowhere"));
        assert!(all.is_ready(&rule));
        assert_eq!(all.ensure(&rule).await.unwrap().workdir.as_deref(), Some("/base/w"));
    }
}
