//! Names that more than one crate must spell alike.

/// The group of our own kinds, and the prefix of our labels and annotations.
pub const GROUP: &str = "ferroflow.dev";

/// The Kubernetes version whose schemas, defaults and messages are served.
pub const KUBERNETES_VERSION: &str = "v1.34.4+ferroflow";

/// Addresses of pods as objects show them.
pub const POD_NETWORK: &str = "10.244.0.0/16";

/// Addresses of services as objects show them.
pub const SERVICE_NETWORK: &str = "10.96.0.0/16";

/// The node's label that says how well its pods are isolated.
pub const ISOLATION_LABEL: &str = "ferroflow.dev/isolation";
/// On a Node: why its pods are not kept apart better than its label says; empty where there is no better.
pub const ISOLATION_REASON_ANNOTATION: &str = "ferroflow.dev/isolation-reason";

/// The node's label that says which network its pods have: `private`, `shared` or `host`.
pub const POD_NETWORK_LABEL: &str = "ferroflow.dev/pod-network";
/// On a Node: why its pods do not have the network that was asked for; empty where they do.
pub const POD_NETWORK_REASON_ANNOTATION: &str = "ferroflow.dev/pod-network-reason";

/// The address of the embedded node as objects show it: one of a network that is never routed, since
/// no loopback address may stand in an object.
pub const NODE_ADDRESS: &str = "10.200.0.1";

/// On a Pod: what the `pip install` lines in its containers' commands ask for, as JSON: a container's name to the words of
/// each line after `install`, as `{"main": [["kfp==2.14.3", "--no-deps"]]}`. A node may have them installed before the
/// command runs; the command itself stays as it is.
pub const PYTHON_INSTALLS_ANNOTATION: &str = "ferroflow.dev/python-installs";

/// On a Pod, with any value: whoever made it hears from within that it runs. A node may leave out the status that says so of
/// one that ends soon.
pub const REPORTS_ITSELF_ANNOTATION: &str = "ferroflow.dev/reports-itself";
