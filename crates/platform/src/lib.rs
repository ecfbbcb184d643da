//! What every capability stands on, and nothing of machine learning.
//!
//! * [`clock`]: the one place that reads the system's time.
//! * [`cron`]: schedules as `robfig/cron` reads them.
//! * [`task`]: loops that have a name, an owner and a last result.
//! * [`controller`]: caches of objects, a work queue, the loop that runs a reconciler.
//! * [`http`]: serving a `tower`-like service on sockets, with and without TLS.
//! * [`sql`]: SQLite behind one writer that commits in groups.
//! * [`metrics`]: what a server tells of itself to Prometheus.
//! * [`records`]: the record store, in SQL that SQLite and PostgreSQL both understand.
//! * [`access`]: who holds a bearer token, and what they may do.
//! * [`gateway`]: the one port for what people open and clients call.
//! * [`lease`]: which replica leads.
//! * [`forward`]: handing requests on to the gateway of another replica.
//! * [`blob`]: files by name below one root, written whole or not at all, and artifacts in a directory or S3.
//! * [`causes`]: what errors of libraries say together with what caused them.
//! * [`identity`]: who sends a request.
//! * [`kubelet`]: what an API server asks of the node that runs a pod.
//! * [`telemetry`] is where logs go.
//! * [`tls`]: connections to servers in pods, whose certificates are checked or not.

pub mod access;
pub mod blob;
pub mod causes;
pub mod clock;
pub mod controller;
pub mod cron;
pub mod forward;
pub mod gateway;
pub mod http;
pub mod identity;
pub mod kubelet;
pub mod lease;
pub mod metrics;
pub mod records;
pub mod sql;
pub mod task;
pub mod telemetry;
pub mod tls;
