//! What the agent asks of whatever runs containers.
//!
//! Two traits: [`PodRuntime`] opens the sandbox of a pod, [`Sandbox`] runs containers in it. [`process`] implements
//! them at every level of isolation: images as roots, the host's programs in private mounts, processes of the host.

mod command;
mod forkserver;
mod groups;
mod jail;
pub mod link;
pub mod logs;
pub mod process;
mod records;
mod remains;
mod session;
mod start;
pub mod trial;

#[cfg(test)]
mod escape_tests;
#[cfg(test)]
mod forkserver_tests;
#[cfg(test)]
mod groups_tests;
#[cfg(test)]
mod jail_tests;
#[cfg(test)]
mod network_tests;
#[cfg(test)]
mod private_tests;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod version_tests;

pub use remains::{PODS, remove_pods};

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use ferroflow_platform::{
    clock::BoxFuture,
    kubelet::{ContainerUsage, ExecOptions, ExecSession},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    core::{device::Devices, record::Attempt},
    shim::protocol::Hello,
};

/// Why a runtime could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {act} {path}: {source}")]
    File { act: &'static str, path: String, source: std::io::Error },
    #[error("cannot start the supervisor of pod {uid}: {source}")]
    Supervisor { uid: String, source: std::io::Error },
    #[error("the supervisor of pod {uid} does not answer: {message}")]
    Link { uid: String, message: String },
    /// A program of another version started the pod, and has no words in common with this one.
    #[error(
        "the supervisor of pod {uid} speaks versions {} to {} of its protocol, and this server {} to {}: its containers run \
         on as they are. Start the version of ferroflow that started the pod, or delete the pod to have it started anew",
        .theirs.oldest, .theirs.version, .ours.oldest, .ours.version
    )]
    Version { uid: String, theirs: Hello, ours: Hello },
    #[error("pod {uid} is ending: nothing starts in it any more")]
    Closed { uid: String },
    /// The supervisor or the container refused; the text is for the pod's status.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// An error of a file operation.
    pub fn file(act: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { act, path: path.into().display().to_string(), source }
    }
}

/// How well containers are kept apart, from least to most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// Processes of the host; mount paths are rewritten.
    #[default]
    Bare,
    /// Private mounts over the host's files.
    Environment,
    /// An image as the root.
    Container,
}

impl Isolation {
    /// The value of the node's label `ferroflow.dev/isolation`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Environment => "environment",
            Self::Container => "container",
        }
    }
}

/// What is stored of a pod beside its containers, so that the next agent finds it again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodRecord {
    /// That of the stored form: 1.
    pub version: u32,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The pod's address; empty while it has none.
    #[serde(default)]
    pub address: String,
    /// The devices that its containers hold.
    #[serde(default)]
    pub devices: BTreeMap<String, Devices>,
}

/// What a container's processes see as `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// Processes of the host; mount paths are rewritten.
    #[default]
    Bare,
    /// Private mounts over the host's programs, and further paths of the host.
    Environment { paths: Vec<HostPath> },
    /// The trees of an image's layers, top first: absolute paths of directories in the image store.
    Image { layers: Vec<PathBuf> },
}

/// A path of the host that an environment shows under the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostPath {
    pub path: PathBuf,
    pub read_only: bool,
    /// What is written there is the run's own, and goes with it.
    #[serde(default)]
    pub private: bool,
}

/// A volume's directory or file, and where the container wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The root of the volume on the host.
    pub source: PathBuf,
    /// The part of the volume that is mounted, empty for all of it. Never leads out of the volume.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sub_path: String,
    pub target: String,
    pub read_only: bool,
    /// The volume is kept in memory, at most this many bytes; 0 for as many as there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<u64>,
    /// The group that a volume in memory belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
}

/// As whom a container runs, and what it may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// `runAsUser`; the image's user where it says nothing.
    pub user: Option<u32>,
    /// `runAsGroup`.
    pub group: Option<u32>,
    /// `supplementalGroups` and `fsGroup`.
    pub supplementary: Vec<u32>,
    /// The image's `USER`: `name`, `name:group`, or the same in numbers. Names are those of its own files.
    pub image_user: String,
    pub read_only_root: bool,
    pub no_new_privileges: bool,
    pub privileged: bool,
    /// Capabilities beyond the usual ones, as `NET_ADMIN`; `ALL` is every one.
    pub add: Vec<String>,
    pub drop: Vec<String>,
}

/// The texts of files that each pod has of its own; where one is empty there is no such file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Etc {
    pub hosts: String,
    pub resolv_conf: String,
}

/// A container that is to be started: everything is resolved.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    pub container: String,
    pub number: u32,
    pub backoff_s: u32,
    pub image: String,
    pub image_id: String,
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Directories that come first in `PATH`.
    pub path_first: Vec<PathBuf>,
    /// The Python environment among them, which other containers use too.
    pub python: Option<PathBuf>,
    pub working_dir: Option<String>,
    pub mounts: Vec<Mount>,
    pub tty: bool,
    pub stdin: bool,
    pub stdin_once: bool,
    pub termination_path: String,
    pub message_from_log: bool,
    /// Where the image names another than SIGTERM.
    pub stop_signal: Option<i32>,
    pub root: Root,
    pub security: Security,
    /// The name that the pod's processes see as their host's.
    pub hostname: String,
    pub etc: Etc,
    /// Kernel settings of the pod's own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Device files of the host that the container may use.
    pub devices: Vec<PathBuf>,
    /// Whether the pod's containers see each other's processes.
    pub share_process_namespace: bool,
    pub memory_limit_bytes: Option<u64>,
    /// In thousandths of a processor.
    pub cpu_limit_millis: Option<u64>,
    pub cpu_request_millis: Option<u64>,
    /// What the whole pod asks for.
    pub pod_cpu_request_millis: Option<u64>,
    pub pids_limit: Option<u64>,
    /// How early it is killed when the machine's memory is at its end: -1000 for never, 1000 for first.
    pub oom_score_adj: i32,
}

/// What happened in a sandbox.
#[derive(Clone, Debug)]
pub enum Event {
    /// A container ended.
    Exited(Attempt),
    /// The supervisor is gone, and every container with it.
    SupervisorLost,
}

/// Opens sandboxes.
pub trait PodRuntime: Send + Sync {
    /// How well this runtime keeps containers apart.
    fn isolation(&self) -> Isolation;

    /// Opens the sandbox of a pod: a new one, or the one that an earlier agent left. Events of the
    /// sandbox go to `events` from now on.
    fn open(&self, pod: PodRecord, events: mpsc::Sender<Event>) -> BoxFuture<'_, Result<Arc<dyn Sandbox>, Error>>;

    /// The pods that earlier agents left here.
    fn stored(&self) -> BoxFuture<'_, Result<Vec<PodRecord>, Error>>;

    /// Removes what pods that are gone have left and what waits for a quieter moment; whether there was anything.
    fn make_room(&self) -> BoxFuture<'_, bool>;
}

/// One pod's containers.
pub trait Sandbox: Send + Sync {
    /// The directory that belongs to the pod on the host.
    fn directory(&self) -> PathBuf;

    /// Whether this program can speak with what an earlier one left of the pod.
    ///
    /// # Errors
    /// [`Error::Version`], where it can do no more than end it.
    fn check(&self) -> Result<(), Error>;

    /// Stores what changed about the pod.
    fn remember(&self, pod: &PodRecord) -> Result<(), Error>;

    /// Starts a container. One that cannot be executed is a run that ended, not an error.
    fn start(&self, launch: Launch) -> BoxFuture<'_, Result<Attempt, Error>>;

    /// Sends the stop signal, and kills everything in the container after `grace`.
    fn stop(&self, container: String, signal: i32, grace: Duration) -> BoxFuture<'_, Result<(), Error>>;

    /// All runs of all containers, as they are now, oldest first.
    fn attempts(&self) -> BoxFuture<'_, Result<Vec<Attempt>, Error>>;

    /// Runs a further process in a container.
    fn exec(&self, container: String, options: ExecOptions) -> BoxFuture<'_, Result<ExecSession, Error>>;

    /// Joins the streams of a container's process.
    fn attach(&self, container: String, options: ExecOptions) -> BoxFuture<'_, Result<ExecSession, Error>>;

    /// The log of a run and the file that tells of its end.
    fn log(&self, container: &str, number: u32) -> logs::Location;

    /// What the running containers use.
    fn usage(&self) -> BoxFuture<'_, Result<Vec<ContainerUsage>, Error>>;

    /// Ends the supervisor of a pod that has ended; logs and records stay, and nothing starts in it any more.
    fn rest(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Ends all processes and removes everything that belongs to the pod.
    fn destroy(&self) -> BoxFuture<'_, Result<(), Error>>;
}
