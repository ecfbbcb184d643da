//! What stands beside Kubernetes in a cluster: the package index.

use std::net::SocketAddr;

use anyhow::Context;
use serde_json::Value;

use super::{
    index,
    inside::Start,
    layout::Node,
    processes::{Ending, Processes},
};

/// How pods reach what stands beside Kubernetes, a line each.
pub fn told() -> String {
    format!("packages: {}\n", index::url())
}

/// The objects by which pods reach it.
pub fn objects() -> Vec<Value> {
    Vec::from(index::objects())
}

/// Starts what needs nothing of Kubernetes.
///
/// # Errors
/// When something cannot be started.
pub fn start(start: &Start, processes: &mut Processes) -> anyhow::Result<()> {
    processes.start("packages", Ending::Never, &mut index::serve(&start.index))
}

/// Waits until everything answers.
///
/// # Errors
/// When something ended or does not answer in time.
pub fn ready(processes: &mut Processes) -> anyhow::Result<()> {
    processes.listening("the package index", address(index::PORT)?)
}

fn address(port: u16) -> anyhow::Result<SocketAddr> {
    let node = Node { number: 1 }.address().parse().context("the node's address")?;
    Ok(SocketAddr::new(node, port))
}
