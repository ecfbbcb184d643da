//! What stands beside Kubernetes in a cluster: the package index always, and the servers that were asked for.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    index,
    inside::Start,
    layout::Node,
    postgres,
    processes::{Ending, Processes},
    s3,
};

/// A server that a cluster is given when asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Extra {
    S3,
    Postgres,
}

impl Extra {
    /// The one that is called so.
    ///
    /// # Errors
    /// When there is none, with those that there are.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        match name {
            "s3" => Ok(Self::S3),
            "postgres" => Ok(Self::Postgres),
            _ => bail!("--with {name}: there are s3 and postgres"),
        }
    }

    /// How pods reach it.
    fn told(self) -> String {
        match self {
            Self::S3 => format!("S3: {}", s3::environment()),
            Self::Postgres => format!("PostgreSQL: {}", postgres::environment()),
        }
    }
}

/// How pods reach what stands beside Kubernetes, a line each.
pub fn told(extras: &[Extra]) -> String {
    let index = format!("packages: {}\n", index::url());
    extras.iter().fold(index, |told, extra| told + &extra.told() + "\n")
}

/// The objects by which pods reach it.
pub fn objects(extras: &[Extra]) -> Vec<Value> {
    let mut objects = Vec::from(index::objects());
    for extra in extras {
        objects.extend(match extra {
            Extra::S3 => s3::objects(),
            Extra::Postgres => postgres::objects(),
        });
    }
    objects
}

/// Starts what needs nothing of Kubernetes.
///
/// # Errors
/// When something cannot be started.
pub fn start(start: &Start, processes: &mut Processes) -> anyhow::Result<()> {
    processes.start("packages", Ending::Never, index::serve(&start.index))?;
    for extra in &start.extras {
        match extra {
            Extra::S3 => processes.start("s3", Ending::Never, s3::serve(&start.layout, &start.programs)?)?,
            Extra::Postgres => processes.start("postgres-data", Ending::WhenDone, postgres::initialize()?)?,
        }
    }
    Ok(())
}

/// Waits until everything answers. PostgreSQL is started once its data's folder is filled.
///
/// # Errors
/// When something ended or does not answer in time.
pub fn ready(start: &Start, processes: &mut Processes) -> anyhow::Result<()> {
    processes.listening("the package index", address(index::PORT)?)?;
    for extra in &start.extras {
        match extra {
            Extra::S3 => processes.listening("S3", address(s3::PORT)?)?,
            Extra::Postgres => {
                processes.done("PostgreSQL's data", &["postgres-data"])?;
                processes.start("postgres", Ending::Never, postgres::serve()?)?;
                processes.until("PostgreSQL", || Ok(postgres::is_ready()?.then_some(())))?;
            }
        }
    }
    Ok(())
}

fn address(port: u16) -> anyhow::Result<SocketAddr> {
    let node = Node { number: 1 }.address().parse().context("the node's address")?;
    Ok(SocketAddr::new(node, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_told_with_its_name_in_the_cluster() {
        let told = told(&[Extra::S3, Extra::Postgres]);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 3);
        for (line, name) in lines.iter().zip(["packages", "s3", "postgres"]) {
            assert!(line.contains(&format!("{name}.kube-system.svc.cluster.local")), "{line}");
        }
    }

    #[test]
    fn each_server_has_a_service_and_a_slice() {
        assert_eq!(objects(&[]).len(), 2);
        assert_eq!(objects(&[Extra::S3, Extra::Postgres]).len(), 6);
    }
}
