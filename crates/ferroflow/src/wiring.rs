//! Puts the parts together: the cluster, its controllers, the node.

use std::{path::Path, process};

use anyhow::Context;
use ferroflow_cluster::{Cluster, Controllers, Options};
use ferroflow_platform::{clock::SharedClock, task::Group, telemetry};
use tracing_subscriber::EnvFilter;

use crate::{
    args::{Parts, Up},
    record::Record,
};

/// Sends logs to standard error.
pub fn log() {
    let filter = EnvFilter::try_from_env(telemetry::LOG_VARIABLE);
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(telemetry::DEFAULT_FILTER));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// A running server.
pub struct Server {
    cluster: Cluster,
}

/// Starts everything that was asked for.
pub async fn start(data: &Path, up: &Up, clock: SharedClock, group: Group) -> anyhow::Result<Server> {
    let options = Options {
        data_directory: data.to_owned(),
        https_port: up.port,
        http_port: Some(up.http_port),
        controllers: if up.parts == Parts::Api { Controllers::ServerOnly } else { Controllers::All },
    };
    // Nothing that follows a lost write may be acknowledged, so the process ends.
    let failed = Box::new(|error| {
        eprintln!("error: {error}");
        process::exit(74);
    });
    let cluster = Cluster::start(options, clock, group, failed).await.context("the cluster cannot be started")?;
    Ok(Server { cluster })
}

impl Server {
    /// What other commands find the server by.
    pub fn record(&self) -> Record {
        Record {
            pid: i32::try_from(process::id()).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            https: self.cluster.https.to_string(),
            http: self.cluster.http.map(|http| http.to_string()),
        }
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> String {
        self.cluster.kubeconfig()
    }

    /// The node in a few words; `None` where there is none.
    pub fn describe_node(&self) -> Option<String> {
        None
    }

    /// Ends the pods' processes.
    pub async fn stop_pods(&self) {}
}
