//! `ferroflow server`: pipelines in a cluster, or beside one.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    process,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use ferroflow_pipelines::controller::{EngineConfig, LauncherSource};
use ferroflow_platform::{
    access::Access,
    blob::Directory,
    clock::{Clock, SharedClock, SystemClock},
    gateway::Gateway,
    http::Plain,
    lease::{Candidate, Terms},
    task::{Group, Kind, State},
};
use kube::{Client, Config, config::KubeConfigOptions};
use rand::RngExt;

use super::up::{self, Ended, Signals};
use crate::{
    args::Server,
    artifacts, certificate, deploy, gateway, paths,
    problem::Problem,
    record::{self, Record},
    records::{self, Store},
    replica::Replica,
    wiring,
};

/// Serves until it is told to stop.
pub fn run(data: &Path, server: &Server) -> anyhow::Result<ExitCode> {
    wiring::log();
    let _lock = record::lock(data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("no threads can be made")?;
    let outcome = runtime.block_on(async {
        let group = Group::new();
        let endpoint = endpoint(&server.advertise).await?;
        let Started { candidate, stops, signals } = start(data, server, endpoint, group.clone()).await?;
        let ended = signals.wait(&group).await;
        if !matches!(ended, Ended::Failed) && server.drain > 0 {
            stops.store(true, Ordering::Release);
            tracing::info!(
                seconds = server.drain,
                "this server is told to stop; it answers until nobody sends it any more"
            );
            SystemClock.sleep(Duration::from_secs(server.drain)).await;
        }
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
                let failed = group.list().into_iter().find_map(|row| match row.state {
                    State::Failed(why) => Some(format!("{}: {why}", row.name)),
                    _ => None,
                });
                let what = format!("the server stopped, as a part of it failed: {}", failed.unwrap_or_default());
                Err(Problem::new(what, "start it again; whatever keeps servers running does that by itself").into())
            }
            // The cluster runs its pods by itself; the next server finds them.
            Ended::WithPods | Ended::KeepPods => Ok(ExitCode::SUCCESS),
        }
    });
    runtime.shutdown_timeout(up::PATIENCE);
    outcome
}

/// What is left to do for a server that runs.
struct Started {
    candidate: Option<Candidate>,
    /// Whether it was told to stop, and still answers.
    stops: Arc<AtomicBool>,
    signals: Signals,
}

async fn start(data: &Path, server: &Server, endpoint: String, group: Group) -> anyhow::Result<Started> {
    let listener = gateway::listen_on(server.listen, "--listen").await?;
    let address = reached(listener.local_addr().context("the gateway's address")?).to_string();
    let kept = artifacts::open(data, &server.artifacts).await?;
    let client = client(server).await?;
    gateway::need_namespace(&client, &server.namespace).await?;
    if let Err(error) = gateway::write_roles(&client).await {
        // Rights can be given otherwise, and the administrator's token has them all.
        tracing::warn!(%error, "roles for pipelines cannot be written to the cluster");
    }
    let clock = SystemClock::shared();
    let mut access = Access::new(client.clone(), clock.clone(), gateway::AUDIENCE);
    // In a pod nobody reads the data directory: who administers has a token of the cluster.
    let is_in_pod = server.kubeconfig.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if !is_in_pod {
        access = access.with_administrator(&token(data)?);
    }
    let store = records::open(data, &server.records).await?;
    if matches!(store, Store::Shared(_)) && server.artifacts.artifacts.is_none() {
        tracing::warn!(
            directory = %paths::artifacts(data).display(),
            "artifacts are in a directory, which all servers of these records must have in common; or give --artifacts"
        );
    }
    let (records, token_key, candidate) = match store {
        Store::Own(records) => (records, gateway::token_key(data)?, None),
        Store::Shared(records) => {
            let key = records::token_key(&records).await?;
            (records, key, Some(candidate(server, &client, &clock, &address)))
        }
    };
    let options = ferroflow_pipelines::Options {
        config: EngineConfig { endpoint, token_key, ..config(server, kept.root) },
        records,
        blobs: kept.blobs,
        client,
        access: access.clone(),
        zone: gateway::zone()?,
        clock: clock.clone(),
        group: group.clone(),
    };
    let stops = Arc::new(AtomicBool::new(false));
    let gateway = Gateway::new(access, server.names.clone());
    let gateway = Arc::new(mounted(gateway, options, candidate.clone(), stops.clone()).await?);
    let tls = match server.tls.tls_listen {
        Some(tls) => format!(" and https://{}", listen_with_tls(data, server, tls, &gateway, clock, &group).await?),
        None => String::new(),
    };
    group.spawn("gateway listener", Kind::Essential, gateway.serve(group.clone(), listener, Plain));
    let record = Record {
        pid: i32::try_from(process::id()).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        https: String::new(),
        http: None,
        gateway: Some(address.clone()),
    };
    let signals = Signals::listen()?;
    record::write(data, &record)?;
    let version = env!("CARGO_PKG_VERSION");
    eprintln!(
        "ferroflow {version} serves pipelines\n  gateway     http://{address}{tls}\n  steps call  {}",
        server.advertise
    );
    if !is_in_pod {
        let token = paths::token(data);
        eprintln!("  token       {}\nPoint clients at it:  eval \"$(ferroflow env)\"", token.display());
    }
    Ok(Started { candidate, stops, signals })
}

fn config(server: &Server, root: Option<String>) -> EngineConfig {
    let usual = EngineConfig::default();
    EngineConfig {
        namespace: server.namespace.clone(),
        launcher: LauncherSource::Image(server.launcher_image.clone()),
        running_steps: server.running_steps,
        running_steps_per_namespace: server.running_steps_per_namespace,
        annotates: false,
        pipeline_root: root.unwrap_or_else(|| usual.pipeline_root.clone()),
        ..usual
    }
}

/// Listens with TLS, and returns where.
async fn listen_with_tls(
    data: &Path,
    server: &Server,
    address: SocketAddr,
    gateway: &Arc<Gateway>,
    clock: SharedClock,
    group: &Group,
) -> anyhow::Result<SocketAddr> {
    let listener = gateway::listen_on(address, "--tls-listen").await?;
    let address = reached(listener.local_addr().context("the gateway's address")?);
    let handshake = certificate::open(data, &server.tls, &names(server), clock)?;
    let serving = gateway.clone().serve(group.clone(), listener, handshake);
    group.spawn("gateway listener with TLS", Kind::Essential, serving);
    Ok(address)
}

/// What a certificate that is made is good for: the names and addresses that clients and pods call.
fn names(server: &Server) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let further = server.names.iter().cloned().chain(parted(&server.advertise).ok().map(|(host, _)| host.to_owned()));
    for name in further.chain(server.tls.tls_listen.map(|address| reached(address).ip().to_string())) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Mounts pipelines: of the only server, or of one of several.
async fn mounted(
    gateway: Gateway,
    options: ferroflow_pipelines::Options,
    candidate: Option<Candidate>,
    stops: Arc<AtomicBool>,
) -> anyhow::Result<Gateway> {
    let goes_on = move || match stops.load(Ordering::Acquire) {
        false => Ok(()),
        true => Err("this server was told to stop".to_owned()),
    };
    let Some(candidate) = candidate else {
        let pipelines = ferroflow_pipelines::register(options).await.context("pipelines cannot be started")?;
        pipelines.engine.tell(gateway.metrics());
        return Ok(gateway::mounted(gateway, pipelines).ready_when(goes_on));
    };
    let replica = Replica::start(options, candidate, gateway.metrics().clone()).await?;
    let asked = replica.clone();
    // Without a leader what is recorded is told all the same, and the rest waits for one.
    Ok(gateway::mounted(gateway, replica).ready_when(goes_on).leads_when(move || asked.leads()))
}

fn candidate(server: &Server, client: &Client, clock: &SharedClock, address: &str) -> Candidate {
    Candidate {
        client: client.clone(),
        clock: clock.clone(),
        namespace: server.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned()),
        name: LEASE.to_owned(),
        holder: holder(),
        address: server.peer_address.map_or_else(|| address.to_owned(), |peer| peer.to_string()),
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

/// How long a name may take to be known: that of a service is, soon after the service was made.
const KNOWN: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(500);

/// The host of `--advertise`, without brackets, and its port.
fn parted(advertise: &str) -> anyhow::Result<(&str, u16)> {
    let fault = |what: &str| {
        let hint = "give a URL that pods reach, as http://10.96.12.7:8800 or http://ferroflow.ferroflow.svc:8800";
        anyhow::Error::from(Problem::new(format!("--advertise {advertise:?} {what}"), hint))
    };
    let rest = advertise.strip_prefix("http://").ok_or_else(|| fault("does not begin with http://"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| fault("has no port"))?),
        Some(_) | None => (authority, 80_u16),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() { Err(fault("names no host")) } else { Ok((host, port)) }
}

/// What launchers call. They look up no names, so that one of theirs runs in every image: a name is looked up here.
async fn endpoint(advertise: &str) -> anyhow::Result<String> {
    let (host, port) = parted(advertise)?;
    let address = match host.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => look_up(host, port).await.map_err(|why| {
            let what = format!("--advertise {advertise:?} names a host that is not found: {why}");
            Problem::new(what, "give a name that this machine knows, or an IP address")
        })?,
    };
    Ok(format!("http://{}/pipeline", SocketAddr::from((address, port))))
}

async fn look_up(host: &str, port: u16) -> Result<IpAddr, String> {
    let until = SystemClock.instant() + KNOWN;
    loop {
        let found = tokio::net::lookup_host((host, port)).await;
        let found = found.map(|all| all.map(|one| one.ip()).collect::<Vec<_>>()).map_err(|error| error.to_string());
        let best = found.map(|all| all.iter().copied().find(IpAddr::is_ipv4).or_else(|| all.first().copied()));
        match best {
            Ok(Some(address)) => return Ok(address),
            Ok(None) if SystemClock.instant() >= until => return Err("it has no address".to_owned()),
            Err(why) if SystemClock.instant() >= until => return Err(why),
            Ok(None) | Err(_) => SystemClock.sleep(LOOK).await,
        }
    }
}

async fn client(server: &Server) -> anyhow::Result<Client> {
    let config = match &server.kubeconfig {
        None => Config::infer().await.context("there is no kubeconfig; give one with --kubeconfig")?,
        Some(path) => deploy::of_file(path, &KubeConfigOptions::default()).await?,
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

    #[tokio::test]
    async fn pods_are_given_a_url_with_an_address() {
        for (given, wanted) in [
            ("http://10.1.2.3:8800/", "http://10.1.2.3:8800/pipeline"),
            ("http://10.1.2.3", "http://10.1.2.3:80/pipeline"),
            ("http://[fd00::1]:88", "http://[fd00::1]:88/pipeline"),
            ("http://localhost:88", "http://127.0.0.1:88/pipeline"),
        ] {
            assert_eq!(endpoint(given).await.unwrap(), wanted);
        }
        for bad in ["10.1.2.3:8800", "https://10.1.2.3", "http://", "http://10.1.2.3:port", "http://:88"] {
            assert!(endpoint(bad).await.is_err(), "{bad}");
        }
    }
}
