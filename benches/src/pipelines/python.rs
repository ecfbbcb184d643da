//! A lightweight component: compiled by the SDK, and run by its own local runner.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::Value;

/// Compiles the component, or runs it by `kfp.local` and says how many seconds that took. The SDK reads its source.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/pipelines/step.py");

/// A Python with the SDK.
pub struct Kfp {
    python: PathBuf,
}

impl Kfp {
    /// The environment that the conformance suite makes, or the one that `FERROFLOW_KFP_PYTHON` names.
    ///
    /// # Errors
    /// Where there is none.
    pub fn find() -> anyhow::Result<Self> {
        let named = std::env::var_os("FERROFLOW_KFP_PYTHON").filter(|value| !value.is_empty());
        let python = PathBuf::from(named.context("FERROFLOW_KFP_PYTHON names no Python with kfp")?);
        ensure!(python.is_file(), "{} is not there", python.display());
        Ok(Self { python })
    }

    fn run(&self, word: &str) -> anyhow::Result<String> {
        let mut command = Command::new(&self.python);
        command.args([SCRIPT, word]).stdin(Stdio::null());
        let output = command.output().context("Python cannot be started")?;
        ensure!(output.status.success(), "{word}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The pipeline of one step, as the compiler writes it.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn compiled(&self) -> anyhow::Result<Value> {
        Ok(serde_saphyr::from_str(&self.run("compile")?)?)
    }

    /// How long the SDK's local runner takes for it, without the start of its own process.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn local(&self) -> anyhow::Result<Duration> {
        let text = self.run("local")?;
        let last = text.lines().last().context("it says nothing")?;
        Ok(Duration::from_secs_f64(last.parse()?))
    }
}
