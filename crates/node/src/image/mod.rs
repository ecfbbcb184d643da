//! What containers run from: images of the [`store`], or what stands for one: interpreters and packages in a
//! directory of the node's own.
//!
//! Which environment an image maps to is decided in `core::image`. Environments are made by `uv`, one
//! for each version and list of packages, and used again.

mod flight;
mod front;
mod manifest;
pub mod own;
mod pulls;
mod python;
mod sets;
pub mod store;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ferroflow_images::core::reference::Reference;
use futures::FutureExt;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

pub use self::sets::User;
use self::{flight::Flights, python::Recipe, sets::Sets};
use crate::core::{
    image::{ImageTable, Rule, explicit},
    requirement::{self, Install},
};

/// Environments that are made at once: each unpacks and compiles on several threads.
const AT_ONCE: usize = 2;
/// Requirements that could not be installed are not tried again for so long: the containers of a loop come by the hundred.
const FAILURE_S: i64 = 60;
/// Failures that are remembered.
const FAILURES: usize = 256;

/// A place to run in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The Python environment, whose programs come first in `PATH`.
    pub python: Option<PathBuf>,
    /// A directory of programs that come before those.
    pub front: Option<PathBuf>,
    pub env: BTreeMap<String, String>,
    /// The directory that containers start in.
    pub workdir: Option<String>,
    /// What is not quite as it was asked for.
    pub warning: Option<String>,
}

impl Environment {
    /// Directories that come first in `PATH`.
    pub fn path_first(&self) -> Vec<PathBuf> {
        self.front.iter().cloned().chain(self.python.iter().map(|root| root.join("bin"))).collect()
    }
}

/// What was made of an interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    root: PathBuf,
    warning: Option<String>,
}

/// What was asked for, and by whom.
pub struct Wish<'a> {
    pub rule: &'a Rule,
    pub installs: &'a [Install],
    pub user: User,
    /// Seconds since 1970.
    pub now_s: i64,
}

/// The environments of one node.
pub struct Environments {
    table: ImageTable,
    /// What relative directories in the table are relative to.
    base: PathBuf,
    directory: PathBuf,
    sets: Arc<Sets>,
    making: Flights<Result<Made, String>>,
    slots: Arc<Semaphore>,
    /// What could not be installed, when, and why.
    failures: Mutex<HashMap<String, (i64, String)>>,
    front: Option<PathBuf>,
}

impl Environments {
    /// Environments in `directory`, from a table whose relative paths start at `base`.
    pub fn new(table: ImageTable, base: PathBuf, directory: PathBuf) -> Self {
        Self {
            table,
            base,
            sets: Arc::new(Sets::new(directory.join("sets"))),
            directory,
            making: Flights::default(),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            failures: Mutex::default(),
            front: None,
        }
    }

    /// Removes what an earlier server has left half done, and puts a program before the interpreters of requirement sets;
    /// without one, each `pip install` runs as it is.
    pub fn begin(mut self, program: Option<&Path>, pods: Pods) -> Self {
        self.sets.sweep();
        let directory = self.directory.join("front");
        self.front = program.and_then(|program| match front::place(program, &directory) {
            Ok(place) => Some(place),
            Err(error) => {
                tracing::warn!(%error, "nothing can be put before python3: each pip install of a step runs");
                None
            }
        });
        if let (Pods::None, Some(front)) = (pods, &self.front) {
            front::forget_others(&directory, front);
        }
        self
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
        let environment = self.surroundings(rule);
        let Some(version) = &rule.python else { return Ok(environment) };
        let recipe = Recipe { version: version.clone(), requirements: rule.requirements.clone(), installs: Vec::new() };
        let root = self.root(rule);
        let made = self.make(&root.display().to_string(), root.clone(), recipe).await?;
        Ok(furnished(environment, made))
    }

    /// The environment of a rule in which the installs have been done; makes it when it is not there, and keeps it as long
    /// as the user is there.
    ///
    /// # Errors
    /// Why the installs cannot be done ahead of the command.
    pub async fn ensure_set(&self, wish: Wish<'_>) -> Result<(Environment, Making), String> {
        let Wish { rule, installs, user, now_s } = wish;
        let environment = self.surroundings(rule);
        let Some(version) = &rule.python else { return Err("the image has no Python of this node's".to_owned()) };
        let name = requirement::digest(&base_text(rule), installs);
        if let Some(error) = self.failure(&name, now_s) {
            return Err(error);
        }
        let (sets, set) = (self.sets.clone(), name.clone());
        let taken = tokio::task::spawn_blocking(move || sets.take(&set, &user, now_s)).await;
        let is_there = taken.map_err(|_| "the work was cut off".to_owned())?;
        let is_there = is_there.map_err(|error| format!("cannot write down its use: {error}"))?;
        let recipe =
            Recipe { version: version.clone(), requirements: rule.requirements.clone(), installs: installs.to_vec() };
        let made = self.make(&name, self.sets.root(&name), recipe).await;
        let made = made.inspect_err(|error| self.remember(&name, now_s, error))?;
        if !is_there {
            let (sets, installs) = (self.sets.clone(), installs.to_vec());
            let work = move || {
                let written = sets.made(&name, &installs, now_s);
                (written, sets.collect())
            };
            if let Ok((written, gone)) = tokio::task::spawn_blocking(work).await {
                if let Err(error) = written {
                    tracing::warn!(%error, "an environment is not written down, and will be the first to go");
                }
                if !gone.is_empty() {
                    tracing::info!(environments = ?gone, "removed environments that were used longest ago");
                }
            }
        }
        let making = if is_there { Making::Found } else { Making::Made };
        Ok((Environment { front: self.front.clone(), ..furnished(environment, made) }, making))
    }

    /// Removes environments of requirement sets that nothing uses; how many.
    pub fn remove_unused(&self) -> usize {
        self.sets.remove_unused().len()
    }

    /// What a rule says beside its interpreter.
    fn surroundings(&self, rule: &Rule) -> Environment {
        let mut environment = Environment { workdir: self.workdir(rule), ..Environment::default() };
        for name in &rule.pass_env {
            environment.env.extend(std::env::var(name).ok().map(|value| (name.clone(), value)));
        }
        environment.env.extend(rule.env.clone());
        environment
    }

    fn workdir(&self, rule: &Rule) -> Option<String> {
        let workdir = rule.workdir.as_ref()?;
        Some(self.base.join(workdir).display().to_string())
    }

    fn root(&self, rule: &Rule) -> PathBuf {
        let digest: String =
            Sha256::digest(base_text(rule)).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        self.directory.join(digest)
    }

    /// One making for all who wait for the same environment.
    async fn make(&self, name: &str, root: PathBuf, recipe: Recipe) -> Result<Made, String> {
        if let Some(made) = python::find(&root) {
            return Ok(made);
        }
        let (tools, slots) = (self.directory.join("tools"), self.slots.clone());
        let making = async move {
            let _slot = slots.acquire_owned().await.map_err(|error| error.to_string())?;
            python::make(&tools, &root, &recipe).await
        };
        self.making.join(name, making.boxed()).await
    }

    fn failure(&self, name: &str, now_s: i64) -> Option<String> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (at_s, error) = failures.get(name)?;
        (*at_s + FAILURE_S > now_s).then(|| error.clone())
    }

    fn remember(&self, name: &str, now_s: i64, error: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|_, (at_s, _)| *at_s + FAILURE_S > now_s);
        if failures.len() < FAILURES {
            failures.insert(name.to_owned(), (now_s, error.to_owned()));
        }
    }
}

/// How an environment came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Making {
    Found,
    /// Now, for this container or for another that waited with it.
    Made,
}

/// Whether an earlier server has left pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pods {
    None,
    Some,
}

fn furnished(mut environment: Environment, made: Made) -> Environment {
    environment.env.insert("VIRTUAL_ENV".to_owned(), made.root.display().to_string());
    environment.python = Some(made.root);
    environment.warning = made.warning;
    environment
}

/// What a rule's interpreter is made from: the same text for the same environment.
fn base_text(rule: &Rule) -> String {
    let mut text = rule.python.clone().unwrap_or_default();
    for requirement in &rule.requirements {
        text.push('\n');
        text.push_str(requirement);
    }
    text
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

    #[test]
    fn what_could_not_be_installed_is_not_tried_again_at_once() {
        let all = Environments::new(ImageTable::default(), PathBuf::from("/base"), PathBuf::from("/nowhere"));
        all.remember("a", 100, "no such package");
        assert_eq!(all.failure("a", 101).as_deref(), Some("no such package"));
        assert_eq!((all.failure("a", 100 + FAILURE_S), all.failure("b", 101)), (None, None));
        (0..2 * FAILURES).for_each(|number| all.remember(&number.to_string(), 101, ""));
        assert_eq!(all.failures.lock().unwrap().len(), FAILURES);
    }

    #[tokio::test]
    async fn a_host_environment_is_there_at_once() {
        let rule = Rule { pattern: "x".to_owned(), workdir: Some("w".to_owned()), ..Rule::default() };
        let all = Environments::new(ImageTable::default(), PathBuf::from("/base"), PathBuf::from("/nowhere"));
        assert!(all.is_ready(&rule));
        assert_eq!(all.ensure(&rule).await.unwrap().workdir.as_deref(), Some("/base/w"));
    }
}
