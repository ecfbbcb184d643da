//! The programs of Kubernetes, etcd, CoreDNS and versitygw, built once from pinned modules.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::extra::Extra;

const WANTED: [&str; 11] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
    "agnhost",
    "etcd",
    "coredns",
    "sample-apiserver",
    "nnp",
];

/// The folders that hold the programs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Programs {
    folders: Vec<PathBuf>,
}

impl Programs {
    /// Builds what is missing.
    ///
    /// # Errors
    /// When the build fails; its own words are on stderr.
    pub fn build(repository: &Path, extras: &[Extra]) -> anyhow::Result<Self> {
        let mut command = Command::new(repository.join("conformance/kubernetes/build.sh"));
        if extras.contains(&Extra::S3) {
            command.arg("versitygw");
        }
        let output =
            command.args(WANTED).stderr(Stdio::inherit()).output().context("conformance/kubernetes/build.sh")?;
        ensure!(output.status.success(), "conformance/kubernetes/build.sh could not build the programs");
        let folders = String::from_utf8(output.stdout)?.lines().map(PathBuf::from).collect();
        Ok(Self { folders })
    }

    /// Where a program lies.
    ///
    /// # Errors
    /// When it is not built.
    pub fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let found = self.folders.iter().map(|folder| folder.join(name)).find(|path| path.exists());
        found.with_context(|| format!("{name} is not built; run `cargo xtask cluster build`"))
    }
}
