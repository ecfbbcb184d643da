//! The programs of Kubernetes, etcd and CoreDNS, built once from pinned modules.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};

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
#[derive(Clone, Debug)]
pub struct Programs {
    folders: Vec<PathBuf>,
}

impl Programs {
    /// Builds what is missing.
    ///
    /// # Errors
    /// When the build fails; its own words are on stderr.
    pub fn build(repository: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(repository.join("conformance/kubernetes/build.sh"));
        let output =
            command.args(WANTED).stderr(Stdio::inherit()).output().context("conformance/kubernetes/build.sh")?;
        ensure!(output.status.success(), "conformance/kubernetes/build.sh could not build the programs");
        let folders = String::from_utf8(output.stdout)?.lines().map(PathBuf::from).collect();
        Ok(Self { folders })
    }

    /// Programs that were built, by the folders that [`Programs::text`] gave.
    pub fn of_text(text: &str) -> Self {
        Self { folders: std::env::split_paths(text).collect() }
    }

    /// The folders, as a PATH has them.
    ///
    /// # Errors
    /// When one has a colon in its name.
    pub fn text(&self) -> anyhow::Result<String> {
        Ok(std::env::join_paths(&self.folders)?.to_string_lossy().into_owned())
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
