//! Credentials: what was given, Docker's configuration, and the programs that it names.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::core::{
    credentials::{self, Credentials, CredentialsError, DockerConfig, Source},
    reference::Reference,
};

/// Why credentials cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error("\"{path}\" cannot be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("\"{path}\" holds no logins")]
    Config { path: PathBuf, source: CredentialsError },
    #[error("the secret {name:?} holds no logins")]
    Secret { name: String, source: CredentialsError },
    #[error("docker-credential-{program}, which Docker's configuration names for {server}: {message}")]
    Helper { program: String, server: String, message: String },
}

/// Where credentials are looked for, in this order: those that were given, then each configuration.
#[derive(Clone, Default)]
pub struct Keyring {
    given: Option<(String, Credentials)>,
    configs: Vec<DockerConfig>,
}

impl Keyring {
    /// The logins of this user: `config.json` in `docker_config`, or in `.docker` of the home directory.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn of_user(docker_config: Option<&Path>, home: Option<&Path>) -> Result<Self, KeyringError> {
        let folder = docker_config.map(Path::to_owned).or_else(|| Some(home?.join(".docker")));
        let Some(path) = folder.map(|folder| folder.join("config.json")) else { return Ok(Self::default()) };
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            outcome => outcome.map_err(|source| KeyringError::Read { path: path.clone(), source })?,
        };
        let config = DockerConfig::read(&text).map_err(|source| KeyringError::Config { path, source })?;
        Ok(Self { given: None, configs: vec![config] })
    }

    /// The same, after credentials for one registry that are tried first.
    #[must_use]
    pub fn with_given(mut self, registry: &str, credentials: Credentials) -> Self {
        self.given = Some((registry.to_owned(), credentials));
        self
    }

    /// The same, before the logins of a secret of type `kubernetes.io/dockerconfigjson`: those come first.
    ///
    /// # Errors
    /// When the secret holds none.
    pub fn with_secret(self, name: &str, text: &[u8]) -> Result<Self, KeyringError> {
        self.before(name, DockerConfig::read(text))
    }

    /// As [`Self::with_secret`], of type `kubernetes.io/dockercfg`.
    ///
    /// # Errors
    /// When the secret holds none.
    pub fn with_old_secret(self, name: &str, text: &[u8]) -> Result<Self, KeyringError> {
        self.before(name, DockerConfig::read_old(text))
    }

    fn before(mut self, name: &str, config: Result<DockerConfig, CredentialsError>) -> Result<Self, KeyringError> {
        let config = config.map_err(|source| KeyringError::Secret { name: name.to_owned(), source })?;
        // Who may write a secret may not choose programs that run here.
        self.configs.insert(0, config.without_programs());
        Ok(self)
    }

    /// Credentials for an image, the most fitting first. Runs a program where the configuration names one.
    ///
    /// # Errors
    /// When such a program fails and nothing else fits.
    pub fn find(&self, image: &Reference) -> Result<Vec<Credentials>, KeyringError> {
        let given = self.given.iter().filter(|(registry, _)| *registry == image.registry);
        let mut found: Vec<Credentials> = given.map(|(_, credentials)| credentials.clone()).collect();
        let mut failed = None;
        for source in self.configs.iter().flat_map(|config| config.sources(image)) {
            match source {
                Source::Given(credentials) => found.push(credentials),
                Source::Helper { program, server } => match helped(&program, &server) {
                    Ok(credentials) => found.extend(credentials),
                    Err(error) => failed = Some(error),
                },
            }
        }
        match failed {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }
}

/// Asks a program for the credentials of a server; `None` when it has none.
fn helped(program: &str, server: &str) -> Result<Option<Credentials>, KeyringError> {
    let fault =
        |message: String| KeyringError::Helper { program: program.to_owned(), server: server.to_owned(), message };
    if !credentials::is_helper(program) {
        return Err(fault("that is no name of a program".to_owned()));
    }
    let mut command = Command::new(format!("docker-credential-{program}"));
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| fault(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that does not read its input says so by its exit code.
        let _ = input.write_all(server.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| fault(error.to_string()))?;
    if output.status.success() {
        return credentials::read_helped(&output.stdout).map(Some).map_err(|error| fault(error.to_string()));
    }
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if said.contains("credentials not found") { Ok(None) } else { Err(fault(said)) }
}
