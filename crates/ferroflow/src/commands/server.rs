//! `ferroflow serve`: pipelines beside a cluster that is there already.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    process,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use ferroflow_pipelines::controller::{EngineConfig, LauncherSource};
use ferroflow_platform::{
    access::Access,
    blob::Directory,
    clock::{SharedClock, SystemClock},
    gateway::Gateway,
    lease::{Candidate, Terms},
    task::{Group, Kind},
};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use rand::RngExt;

use super::up::{self, Ended};
use crate::{
    args::Serve,
    artifacts, gateway, paths,
    problem::Problem,
    record::{self, Record},
    records::{self, Store},
    replica::Replica,
    wiring,
};

/// Serves until it is told to stop.
pub fn run(data: &Path, serve: &Serve) -> anyhow::Result<ExitCode> {
    wiring::log();
    let (endpoint, host) = endpoint(&serve.advertise)?;
    let _lock = record::lock(data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("no threads can be made")?;
    let outcome = runtime.block_on(async {
        let group = Group::new();
        let (address, candidate) = start(data, serve, endpoint, host, group.clone()).await?;
        eprintln!(
            "ferroflow {} serves pipelines\n  gateway     http://{address}\n  steps call  {}\n  token       {}\n\
             Point clients at it:  eval \"$(ferroflow env)\"",
            env!("CARGO_PKG_VERSION"),
            serve.advertise,
            paths::token(data).display()
        );
        let ended = up::wait(&group).await?;
        record::remove(data);
        if let Err(running) = group.stop(up::PATIENCE).await {
            tracing::warn!(?running, "some tasks did not end in time");
        }
        if let Some(candidate) = candidate
            && let Err(error) = candidate.release().await
        {
            tracing::warn!(%error, "the lease stays until it is over");
        }
        match ended {
            Ended::Failed => {
                Err(Problem::new("the server stopped because a part of it failed", "see the log above").into())
            }
            // The cluster runs its pods by itself; the next server finds them.
            Ended::WithPods | Ended::KeepPods => Ok(ExitCode::SUCCESS),
        }
    });
    runtime.shutdown_timeout(up::PATIENCE);
    outcome
}

async fn start(
    data: &Path,
    serve: &Serve,
    endpoint: String,
    host: String,
    group: Group,
) -> anyhow::Result<(String, Option<Candidate>)> {
    let listener = gateway::listen_on(serve.listen, "--listen").await?;
    let address = reached(listener.local_addr().context("the gateway's address")?).to_string();
    let kept = artifacts::open(data, &serve.artifacts).await?;
    let client = client(serve).await?;
    gateway::need_namespace(&client, &serve.namespace).await?;
    if let Err(error) = gateway::write_roles(&client).await {
        // Rights can be given otherwise, and the administrator's token has them all.
        tracing::warn!(%error, "roles for pipelines cannot be written to the cluster");
    }
    let clock = SystemClock::shared();
    let access = Access::new(client.clone(), clock.clone(), gateway::AUDIENCE).with_administrator(&token(data)?);
    let store = records::open(data, &serve.records).await?;
    if matches!(store, Store::Shared(_)) && serve.artifacts.artifacts.is_none() {
        tracing::warn!(
            directory = %paths::artifacts(data).display(),
            "artifacts are in a directory, which all servers of these records must have in common; or give --artifacts"
        );
    }
    let (records, token_key) = match &store {
        Store::Own(records) => (records.clone(), gateway::token_key(data)?),
        Store::Shared(records) => (records.clone(), records::token_key(records).await?),
    };
    let candidate = matches!(store, Store::Shared(_)).then(|| candidate(serve, &client, &clock, &address));
    let options = ferroflow_pipelines::Options {
        config: EngineConfig {
            namespace: serve.namespace.clone(),
            endpoint,
            launcher: LauncherSource::Image(serve.launcher_image.clone()),
            running_steps: serve.running_steps,
            running_steps_per_namespace: serve.running_steps_per_namespace,
            annotates: false,
            token_key,
            pipeline_root: kept.root.unwrap_or_else(|| EngineConfig::default().pipeline_root),
            ..EngineConfig::default()
        },
        records,
        blobs: kept.blobs,
        client,
        access: access.clone(),
        zone: gateway::zone()?,
        clock,
        group: group.clone(),
    };
    let gateway = mounted(Gateway::new(access, vec![host]), options, candidate.clone()).await?;
    group.spawn("gateway listener", Kind::Essential, Arc::new(gateway).serve(group.clone(), listener));
    let record = Record {
        pid: i32::try_from(process::id()).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        https: String::new(),
        http: None,
        gateway: Some(address.clone()),
    };
    record::write(data, &record)?;
    Ok((address, candidate))
}

/// Mounts pipelines: of the only server, or of one of several.
async fn mounted(
    gateway: Gateway,
    options: ferroflow_pipelines::Options,
    candidate: Option<Candidate>,
) -> anyhow::Result<Gateway> {
    let Some(candidate) = candidate else {
        let pipelines = ferroflow_pipelines::register(options).await.context("pipelines cannot be started")?;
        return Ok(gateway::mounted(gateway, pipelines));
    };
    let replica = Replica::start(options, candidate).await?;
    let looked_at = replica.clone();
    Ok(gateway::mounted(gateway, replica).ready_when(move || looked_at.is_ready()))
}

fn candidate(serve: &Serve, client: &Client, clock: &SharedClock, address: &str) -> Candidate {
    Candidate {
        client: client.clone(),
        clock: clock.clone(),
        namespace: serve.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned()),
        name: LEASE.to_owned(),
        holder: holder(),
        address: serve.peer_address.map_or_else(|| address.to_owned(), |peer| peer.to_string()),
        terms: Terms::default(),
    }
}

/// The Lease of servers that share a database.
const LEASE: &str = "ferroflow";

/// A name that only this process has, and that tells where it runs.
fn holder() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let chance: u32 = rand::rng().random();
    format!("{host}_{chance:08x}")
}

/// Where programs of this machine reach what listens: on every address means on loopback too.
fn reached(mut listening: SocketAddr) -> SocketAddr {
    match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listening.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listening.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    listening
}

/// What launchers call, and the host in it. Launchers look up no names, so that one of theirs runs in every image.
fn endpoint(advertise: &str) -> anyhow::Result<(String, String)> {
    let fault = |what: &str| {
        let hint = "give a URL that pods reach, with an IP address, as http://10.96.12.7:8800";
        anyhow::Error::from(Problem::new(format!("--advertise {advertise:?} {what}"), hint))
    };
    let rest = advertise.strip_prefix("http://").ok_or_else(|| fault("does not begin with http://"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_err(|_| fault("names no IP address"))?;
    Ok((format!("{}/pipeline", advertise.trim_end_matches('/')), host.to_owned()))
}

async fn client(serve: &Serve) -> anyhow::Result<Client> {
    let config = match &serve.kubeconfig {
        None => Config::infer().await.context("there is no kubeconfig; give one with --kubeconfig")?,
        Some(path) => {
            let file = Kubeconfig::read_from(path);
            let file = file.with_context(|| format!("kubeconfig \"{}\" cannot be read", path.display()))?;
            let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
            config.with_context(|| format!("kubeconfig \"{}\" cannot be used", path.display()))?
        }
    };
    Client::try_from(config).context("there is no way to the cluster")
}

/// The administrator's token, made once.
fn token(data: &Path) -> anyhow::Result<String> {
    let path = paths::token(data);
    if let Ok(token) = fs::read_to_string(&path) {
        return Ok(token.trim().to_owned());
    }
    let bytes: [u8; 32] = rand::rng().random();
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Directory::new(data).put_private("admin.token", token.as_bytes())?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::{endpoint, reached};

    #[test]
    fn what_listens_on_every_address_is_reached_on_loopback() {
        for (listening, wanted) in
            [("0.0.0.0:88", "127.0.0.1:88"), ("[::]:88", "[::1]:88"), ("10.1.2.3:88", "10.1.2.3:88")]
        {
            assert_eq!(reached(listening.parse().unwrap()).to_string(), wanted);
        }
    }

    #[test]
    fn pods_are_given_a_url_with_an_address() {
        let good = endpoint("http://10.1.2.3:8800/").unwrap();
        assert_eq!(good, ("http://10.1.2.3:8800/pipeline".to_owned(), "10.1.2.3".to_owned()));
        assert_eq!(endpoint("http://[fd00::1]:88").unwrap().1, "[fd00::1]");
        for bad in ["10.1.2.3:8800", "https://10.1.2.3", "http://host:8800", "http://"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
