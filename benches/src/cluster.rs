//! A whole real cluster as the peer: the control plane, a node and its containers, as `cargo xtask cluster` starts them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};

use crate::servers::resident;

/// What `up` says once a pod could be scheduled.
const READY: &str = "nodes are ready";
/// The variable that every process of a cluster has in its environment.
const MARK: &[u8] = b"FERROFLOW_CLUSTER=";

/// How a real cluster is started and ended.
pub struct Cluster {
    xtask: PathBuf,
}

impl Cluster {
    /// A cluster that does not run yet.
    pub fn new(xtask: &Path) -> Self {
        Self { xtask: xtask.to_owned() }
    }

    /// Starts it anew, and returns the time from its first process to a node that is ready.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn up(&self) -> anyhow::Result<Duration> {
        let output = self.run(&["up", "--durable"])?;
        parse_ready(&output).with_context(|| format!("`cluster up` does not say when {READY}: {output}"))
    }

    /// Ends it; nothing of it stays.
    ///
    /// # Errors
    /// When something is left.
    pub fn down(&self) -> anyhow::Result<()> {
        self.run(&["down"]).map(drop)
    }

    /// The resident memory of all its processes, in bytes; the ones that start and end it do not count.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
            // One that has ended meanwhile weighs nothing.
            let Ok(variables) = fs::read(path.join("environ")) else { continue };
            let is_marked = variables.split(|byte| *byte == 0).any(|variable| variable.starts_with(MARK));
            let is_own = fs::read_link(path.join("exe")).is_ok_and(|exe| exe.file_name() == self.xtask.file_name());
            if is_marked && !is_own {
                bytes += resident(pid).unwrap_or_default();
            }
        }
        ensure!(bytes > 0, "no process of a real cluster runs");
        Ok(bytes)
    }

    fn run(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.xtask);
        command.arg("cluster").args(words).stdin(Stdio::null()).stdout(Stdio::null());
        let output = command.output().with_context(|| self.xtask.display().to_string())?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "xtask cluster {}: {told}", words.join(" "));
        Ok(told)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.down() {
            eprintln!("{error:#}");
        }
    }
}

fn parse_ready(told: &str) -> Option<Duration> {
    let line = told.lines().find(|line| line.ends_with(READY))?;
    let seconds = line.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_readiness_is_read_from_what_a_start_tells() {
        let told = "  1.72 s  kube-apiserver is ready\n  6.50 s  nodes are ready\n  8.00 s  images are imported\n";
        assert_eq!(parse_ready(told), Some(Duration::from_millis(6500)));
        assert_eq!(parse_ready("nothing"), None);
    }
}
