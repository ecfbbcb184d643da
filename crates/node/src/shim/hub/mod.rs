//! The hub of pods' networks, where each pod has a network namespace of its own: a process of this program that holds the
//! namespace between them, and carries connections in and out.
//!
//! It is two processes: the [`keeper`] is in the namespaces, makes cables to pods' ([`lay`]) and hands out sockets; the
//! hub itself is in the host's network, serves a socket in the cluster's directory ([`serve`]), and carries bytes where no
//! packet goes: from a pod to what the host reaches, and from a program of the host to a pod ([`relay`], [`datagrams`]). Every
//! supervisor of a pod holds a connection to it, and the node agent; it outlives the agent, and ends when nobody is
//! connected any more.
//!
//! It decides nothing: where a connection leads is [`core::private`](crate::core::private)'s, for the supervisor to ask.

mod datagrams;
mod keeper;
mod lay;
mod line;
pub mod protocol;
mod relay;
mod serve;

use std::{io, os::unix::net::UnixListener, path::Path};

pub use line::Line;

/// What the supervisor's program is given in place of a pod's directory. Standard input is the listening socket.
pub const ARGUMENT: &str = "--pod-network-hub";
/// The socket's name in the directory of the cluster's network.
pub const SOCKET: &str = "hub";

/// Speaks with the hub whose socket has this path.
///
/// # Errors
/// When there is none, or what it says.
pub fn dial(path: &Path) -> Result<Line, String> {
    let absent = |error: io::Error| format!("the hub of the pods' network is gone ({}): {error}", path.display());
    let missing = || absent(io::ErrorKind::NotFound.into());
    let (directory, name) = (path.parent().ok_or_else(missing)?, path.file_name().ok_or_else(missing)?);
    let stream = crate::runtime::link::connect(directory, &name.to_string_lossy()).map_err(absent)?;
    Line::new(stream).map_err(|failure| failure.message)
}

/// Runs as the hub. Call it before any thread exists.
///
/// # Errors
/// When it cannot serve at all; why there is no network of pods is told to those who ask.
pub fn main(listener: UnixListener) -> Result<(), String> {
    // An own session: a signal to the agent's terminal or group does not reach the pods' network.
    rustix::process::setsid().map_err(|error| format!("setsid: {error}"))?;
    let keeper = keeper::Keeper::start();
    let told = |error: io::Error| format!("the hub cannot serve: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(told)?;
    runtime.block_on(serve::serve(listener, keeper)).map_err(told)
}
