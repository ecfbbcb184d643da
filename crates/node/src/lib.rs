//! The embedded node: runs the pods that are bound to it, and tells the API server how they are.
//!
//! * [`core`]: what is decided: the plan for a pod, its status, variables, files of volumes, the rule for
//!   an image. Pure functions.
//! * [`runtime`]: the two traits behind which containers run, and the first implementation: processes.
//! * [`shim`]: the small supervisor of one pod, which owns its processes and outlives this program. The
//!   binary calls [`shim::shim_main`] before it makes a thread.
//! * [`image`]: interpreters and packages that stand for images.
//! * [`services`]: the network of the cluster on this host: what services and names lead to, DNS, and the
//!   sockets through which the host reaches services.
//! * [`agent`]: the shell: one worker a pod, the Node and its Lease, and what the API server asks of a
//!   node (logs, exec, attach, ports).
//!
//! A pod's way: the agent's cache shows it bound; a worker opens its sandbox and makes its volumes;
//! `core::plan` says what to start; the runtime starts it; exits, probes and changes come back to the
//! worker, which plans again and writes one status.

pub mod agent;
pub mod core;
pub mod image;
pub mod runtime;
pub mod services;
pub mod shim;

pub use agent::{Node, NodeConfig, NodeError, PodNetwork, PodNetworkKind};
pub use core::{
    evict::Thresholds,
    image::{ImageTable, Rule},
};
pub use runtime::remove_pods;
pub use shim::{SUBCOMMAND as SHIM_SUBCOMMAND, shim_main};
