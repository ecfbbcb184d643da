//! What an API server asks of the node that runs a pod: logs, commands, attached streams, ports.
//!
//! `cluster` calls this trait and `node` implements it; the binary hands one to the other. Nothing
//! here knows how the bytes travel to a client.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

use crate::clock::BoxFuture;

/// A pod, and the container in it that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRef {
    pub namespace: String,
    pub pod: String,
    /// The pod's uid, so that a later pod of the same name is never answered for.
    pub uid: String,
    pub container: String,
}

/// Query parameters of `pods/log`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    pub follow: bool,
    /// The container's previous run.
    pub previous: bool,
    pub timestamps: bool,
    pub since: Option<Timestamp>,
    pub tail_lines: Option<u64>,
    pub limit_bytes: Option<u64>,
    /// `All` when empty; else `Stdout` or `Stderr`.
    pub stream: String,
}

/// Query parameters of `pods/exec` and `pods/attach`; `command` is empty when attaching.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecOptions {
    pub command: Vec<String>,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    Code(i32),
    /// It could not be started or watched; the text says why.
    Failed(String),
}

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    pub width: u16,
    pub height: u16,
}

/// The far ends of a running command's streams; `None` where the options did not ask for one.
pub struct ExecSession {
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    /// Completes when the command has ended.
    pub exit: BoxFuture<'static, ExitStatus>,
}

/// A connection to a port of a pod.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Why the node cannot serve a request.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The pod or container is not here, or not in a state that allows the request (400).
    #[error("{0}")]
    BadRequest(String),
    /// There is no such container or no such earlier run (404).
    #[error("{0}")]
    NotFound(String),
    /// The node failed (500).
    #[error("{0}")]
    Internal(String),
}

/// A stream of a log's bytes; it ends when the log does, or never while it is followed.
pub type LogStream = BoxStream<'static, std::io::Result<Bytes>>;

/// CPU and memory that a container uses now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerUsage {
    pub name: String,
    pub cpu_nanoseconds_total: u64,
    pub memory_bytes: u64,
}

/// What a container uses, over a short while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerFigures {
    pub name: String,
    /// Billionths of a processor.
    pub cpu_nanocores: u64,
    pub memory_bytes: u64,
}

/// What a pod uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFigures {
    pub namespace: String,
    pub name: String,
    pub at: Timestamp,
    pub window: Duration,
    pub containers: Vec<ContainerFigures>,
}

/// What a node uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFigures {
    pub name: String,
    pub at: Timestamp,
    pub window: Duration,
    /// Billionths of a processor.
    pub cpu_nanocores: u64,
    pub memory_bytes: u64,
}

/// What is known of the use of nodes and pods; those of which nothing is known yet are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub nodes: Vec<NodeFigures>,
    pub pods: Vec<PodFigures>,
}

/// The node's side of `pods/log`, `exec`, `attach`, `portforward` and `proxy`.
pub trait NodeAgent: Send + Sync {
    /// Opens a container's log.
    fn logs(&self, target: ContainerRef, options: LogOptions) -> BoxFuture<'_, Result<LogStream, AgentError>>;

    /// Starts a command in a container.
    fn exec(&self, target: ContainerRef, options: ExecOptions) -> BoxFuture<'_, Result<ExecSession, AgentError>>;

    /// Joins the streams of a container's own process.
    fn attach(&self, target: ContainerRef, options: ExecOptions) -> BoxFuture<'_, Result<ExecSession, AgentError>>;

    /// Connects to a port of a pod; `target.container` is empty.
    fn connect(&self, target: ContainerRef, port: u16) -> BoxFuture<'_, Result<Box<dyn Connection>, AgentError>>;

    /// What the node and the pods on it use.
    fn figures(&self) -> BoxFuture<'_, Figures>;

    /// Usage of the containers of a pod that runs here.
    fn usage(&self, target: ContainerRef) -> BoxFuture<'_, Result<Vec<ContainerUsage>, AgentError>>;
}

/// An agent as it is shared.
pub type SharedAgent = Arc<dyn NodeAgent>;
