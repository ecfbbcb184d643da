//! Where a cluster keeps what, and what its parts are called and reached by.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// The variable that every process of a cluster has in its environment; its value is the cluster's folder.
pub const MARK: &str = "FERROFLOW_CLUSTER";
/// Where the API server listens, in the cluster's network namespace.
pub const API_PORT: u16 = 6443;
/// Where etcd listens, on loopback of the same namespace.
pub const ETCD_PORT: u16 = 2379;
/// The address of cluster DNS as a service.
pub const DNS_SERVICE: &str = "10.96.0.10";
/// The range of services.
pub const SERVICES: &str = "10.96.0.0/16";
/// The range of pods; each node has a /24 of it.
pub const PODS: &str = "10.244.0.0/16";

/// The folder of a cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The folder of this user: `$XDG_STATE_HOME/ferroflow-cluster`, or `/var/tmp/ferroflow-cluster`.
    ///
    /// # Errors
    /// When the folder would lie where a cluster hides the host's files.
    pub fn of_environment() -> anyhow::Result<Self> {
        let state = std::env::var_os("XDG_STATE_HOME").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        Self::at(&state.join("ferroflow-cluster"))
    }

    /// The cluster of a folder.
    ///
    /// # Errors
    /// As [`Layout::of_environment`].
    pub fn at(root: &Path) -> anyhow::Result<Self> {
        ensure!(root.is_absolute(), "{} must be absolute; set XDG_STATE_HOME so", root.display());
        for hidden in ["/run", "/var/run", "/var/lib", "/var/log", "/proc", "/sys"] {
            ensure!(!root.starts_with(hidden), "{} is hidden from a cluster; set XDG_STATE_HOME", root.display());
        }
        Ok(Self { root: root.to_owned() })
    }

    /// The folder itself, which `down` removes.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file or folder of the cluster.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// As [`Layout::path`], as text: programs take it as an argument.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// The control group of everything that the nodes run, below the top of each hierarchy.
    ///
    /// # Errors
    /// When the folder has no name.
    pub fn control_group(&self) -> anyhow::Result<String> {
        // Two clusters of one machine differ in their folders, and a kubelet removes what it does not know.
        let text = self.root.to_str().context("the cluster's folder is no text")?;
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Ok(format!("ferroflow-{:08x}", hash >> 32))
    }
}

/// A node; the first one's network holds the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// From 1.
    pub number: u8,
}

impl Node {
    /// All nodes of a cluster of `count`.
    pub fn all(count: u8) -> impl Iterator<Item = Self> {
        (1..=count).map(|number| Self { number })
    }

    /// The name of its object, its network device and its network namespace.
    pub fn name(self) -> String {
        format!("node-{}", self.number)
    }

    /// The node's address.
    pub fn address(self) -> String {
        format!("10.200.0.{}", self.number)
    }

    /// The range of its pods.
    pub fn pods(self) -> String {
        format!("10.244.{}.0/24", self.number - 1)
    }

    /// containerd's socket, in the cluster's own /run: the path of a socket is short.
    pub fn containerd_socket(self) -> String {
        format!("/run/{}/containerd.sock", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_a_cluster_hides_are_refused() {
        assert!(Layout::at(Path::new("/var/tmp/x")).is_ok());
        for root in ["x", "/run/x", "/var/lib/x", "/var/log/x"] {
            assert!(Layout::at(Path::new(root)).is_err(), "{root}");
        }
    }

    #[test]
    fn clusters_in_different_folders_share_no_control_group() {
        let group = |root: &str| Layout::at(Path::new(root)).unwrap().control_group().unwrap();
        assert_ne!(group("/var/tmp/a"), group("/var/tmp/b"));
        assert_eq!(group("/var/tmp/a").len(), "ferroflow-".len() + 8);
    }

    #[test]
    fn nodes_have_addresses_of_their_own() {
        let nodes: Vec<_> = Node::all(2).map(|node| (node.name(), node.address(), node.pods())).collect();
        assert_eq!(nodes[0], ("node-1".into(), "10.200.0.1".into(), "10.244.0.0/24".into()));
        assert_eq!(nodes[1], ("node-2".into(), "10.200.0.2".into(), "10.244.1.0/24".into()));
    }
}
