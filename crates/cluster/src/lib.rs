//! An embedded Kubernetes: an API server with its storage, and the controllers of the built-in kinds.
//!
//! * [`core`]: decisions, pure.
//! * [`store`]: objects in memory and on disk.
//! * [`http`]: one REST handler over the table of resources.
//! * [`controller`]: what a kube-controller-manager and a kube-scheduler do.
//! * [`Cluster`]: all of it, put together.
//!
//! It knows nothing of machine learning, and nothing of how a node runs a pod.

pub mod auth;
mod bootstrap;
mod cluster;
pub mod controller;
pub mod core;
mod gate;
pub mod http;
mod inprocess;
pub mod registry;
pub mod rules;
pub mod store;

pub use cluster::{Cluster, Controllers, Error, Options};
