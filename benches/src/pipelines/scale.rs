//! `ferroflow server` beside a kube-apiserver on etcd, with its records on PostgreSQL: what a thousand runs at once cost, and
//! what requests do. No step executes: the pods are simulated, so that what is measured is the engine and its servers, all of
//! which share this machine.

use std::{
    fs,
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use ferroflow_testkit::postgres::{Disk, Postgres};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    runs::Client,
    simulated::{Node, Requests},
    spec::{self, Caching},
};
use crate::{
    Run,
    client::Endpoint,
    report::{Better, Goal},
    samples::{Samples, megabytes, milliseconds, rate},
    servers::{self, Server, Trace},
    works,
};

/// Runs that are under way at once, and steps of each, one after the other.
const RUNS: usize = 1_000;
const STEPS: usize = 10;
/// Clients that ask at the same time.
const CLIENTS: usize = 8;
/// How long each kind of request is asked.
const ASKED: Duration = Duration::from_secs(3);
/// All runs have ended by then.
const PATIENCE: Duration = Duration::from_secs(600);
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at how many have: rare beside what they cost.
const LOOK: Duration = Duration::from_millis(500);
const NAMESPACE: &str = "kubeflow";

/// A server of ours whose cluster is the peer.
struct Beside {
    process: Child,
    gateway: Endpoint,
    // In the order in which they end.
    _data: TempDir,
    cluster: Server,
    _records: Postgres,
}

impl Beside {
    async fn start(run: &Run, records: Postgres) -> anyhow::Result<Self> {
        let cluster = Server::peer(&run.programs, Trace::Off).await?;
        prepare(&cluster.endpoint).await?;
        let data = tempfile::Builder::new().prefix("ferroflow-bench-").tempdir()?;
        let [port, ..] = servers::free_ports()?;
        let mut command = servers::traced(&run.programs.ferroflow, data.path(), "ferroflow", Trace::Off)?;
        command.arg("--data-dir").arg(data.path()).arg("server").arg("--kubeconfig").arg(cluster.kubeconfig());
        command.env("FERROFLOW_RECORDS", records.database()).args([
            format!("--listen=127.0.0.1:{port}"),
            format!("--advertise=http://127.0.0.1:{port}"),
            "--lease-namespace=default".to_owned(),
            "--launcher-image=none".to_owned(),
            format!("--running-steps={RUNS}"),
            format!("--running-steps-per-namespace={RUNS}"),
        ]);
        let process = command.spawn().context("ferroflow cannot be started")?;
        let gateway = Endpoint::plain(([127, 0, 0, 1], port).into(), "");
        let mut server = Self { process, gateway, _data: data, cluster, _records: records };
        server.ready().await?;
        Ok(server)
    }

    /// Waits until it leads, and takes over its administrator's token.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let asked = async { self.gateway.connect().await?.drained(Method::GET, "/leaderz", Bytes::new()).await };
            let Err(error) = asked.await else { break };
            if began.elapsed() > START_PATIENCE || !matches!(self.process.try_wait(), Ok(None)) {
                let log = servers::log(self._data.path(), "ferroflow");
                return Err(error.context(format!("our server does not lead: {log}")));
            }
            tokio::time::sleep(LOOK / 10).await;
        }
        let token = fs::read_to_string(self._data.path().join("admin.token"))?;
        self.gateway = Endpoint::plain(self.gateway.address, token.trim());
        Ok(())
    }

    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        Ok(servers::cpu_ticks(self.process.id())? as f64 / servers::TICKS_PER_SECOND)
    }

    /// Requests that the API server has answered, without watches, which are told when they end.
    async fn requests(&self) -> anyhow::Result<u64> {
        let text = self.cluster.endpoint.connect().await?.answer(Method::GET, "/metrics", Bytes::new()).await?;
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter(|line| line.starts_with("apiserver_request_total{"));
        let counted = lines.filter(|line| !line.contains("verb=\"WATCH\""));
        let counts = counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        Ok(counts.sum::<f64>() as u64)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        servers::end(std::slice::from_mut(&mut self.process));
    }
}

/// What other controllers of a cluster would have made.
async fn prepare(cluster: &Endpoint) -> anyhow::Result<()> {
    works::make_namespace(cluster, NAMESPACE).await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
    cluster.connect().await?.drained(Method::POST, &path, account.to_string().into()).await?;
    Ok(())
}

impl Run {
    /// Rows of a server on PostgreSQL.
    ///
    /// # Errors
    /// When a side fails in the middle of a row.
    pub(super) async fn scale(&mut self) -> anyhow::Result<()> {
        if self.args.kube_apiserver.is_none() {
            self.left_out.push("pipelines on PostgreSQL: --kube-apiserver is not given".to_owned());
            return Ok(());
        }
        let records = match Postgres::start(Disk::Waits) {
            Ok(records) => records,
            Err(reason) => {
                self.left_out.push(format!("pipelines on PostgreSQL: {reason}"));
                return Ok(());
            }
        };
        let server = Beside::start(self, records).await?;
        let mut node = Node::start(&server.cluster.endpoint, &server.gateway, NAMESPACE).await?;
        let counted = node.requests();
        let measured = async {
            self.requests(&server).await?;
            self.many(&server, &counted).await
        };
        tokio::select! {
            done = measured => done,
            error = node.fails() => Err(error),
        }
    }

    /// What reads and creates of runs cost.
    async fn requests(&mut self, server: &Beside) -> anyhow::Result<()> {
        let mut client = Client::at_gateway(&server.gateway).await?;
        let spec = spec::chain("asked", 1, Caching::On);
        let run = client.start(&spec).await?;
        client.wait(&run).await?;
        for _ in 1..100 {
            client.start(&spec).await?;
        }
        let create = json!({"display_name": "bench", "pipeline_spec": spec, "runtime_config": {}});
        let asked = [
            ("GetRun", Method::GET, format!("/runs/{run}"), Value::Null),
            ("ListRuns of 100", Method::GET, "/runs?page_size=100".to_owned(), Value::Null),
            ("CreateRun, of a cached step", Method::POST, "/runs".to_owned(), create),
        ];
        for (name, method, path, body) in asked {
            let (mut rates, mut times) = (Samples::default(), Samples::default());
            for _ in 0..self.args.rounds {
                let (began, before) = (Instant::now(), server.cpu_seconds()?);
                let count = ask(&server.gateway, &method, &path, &body).await?;
                let took = began.elapsed();
                rates.ours.push(rate(count, took));
                times.ours.push((server.cpu_seconds()? - before) * 1e3 / f64::from(u32::try_from(count.max(1))?));
            }
            let work = format!("{name}, on PostgreSQL, {CLIENTS} clients");
            self.add_beside("", &work, "1/s", Better::More, &rates, Goal::None);
            let work = format!("{name}, on PostgreSQL, processor time");
            self.add_beside("", &work, "ms", Better::Less, &times, Goal::None);
        }
        // What was made is carried out before anything else is measured.
        until_succeeded(&mut client, None).await
    }

    /// Many runs at once.
    async fn many(&mut self, server: &Beside, node: &Requests) -> anyhow::Result<()> {
        let mut client = Client::at_gateway(&server.gateway).await?;
        let before = succeeded(&mut client).await?;
        let spec = spec::chain("many", STEPS, Caching::Off);
        let (requests, own, cpu) = (server.requests().await?, node.count(), server.cpu_seconds()?);
        let began = Instant::now();
        let mut starting = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let mut client = Client::at_gateway(&server.gateway).await?;
            let spec = spec.clone();
            starting.spawn(async move {
                for _ in 0..RUNS / CLIENTS {
                    client.start(&spec).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(started) = starting.join_next().await {
            started??;
        }
        let started = began.elapsed();
        let runs = u64::try_from(RUNS / CLIENTS * CLIENTS)?;
        until_succeeded(&mut client, Some(before + runs)).await?;
        let took = began.elapsed();
        let steps = runs * u64::try_from(STEPS)?;
        let count = f64::from(u32::try_from(steps)?);
        let cost = milliseconds(Duration::from_secs_f64(server.cpu_seconds()? - cpu)) / count;
        // Pods of succeeded steps go in a quieter moment, which counts.
        wait_for_no_pods(&server.cluster.endpoint).await?;
        let asked = server.requests().await? - requests - (node.count() - own);
        eprintln!("{runs} runs were started within {started:.1?}, and had ended after {took:.1?}");
        let work = format!("{RUNS} runs of {STEPS} simulated steps, on PostgreSQL");
        let mut row = |what: &str, unit, better, value: f64, goal| {
            let samples = Samples { ours: vec![value], peer: Vec::new() };
            self.add_beside("", &format!("{work}: {what}"), unit, better, &samples, goal);
        };
        row("steps", "1/s", Better::More, rate(steps, took), Goal::None);
        row("processor time of a step", "ms", Better::Less, cost, Goal::None);
        let each = f64::from(u32::try_from(asked)?) / count;
        row("API requests of a step", "requests", Better::Less, each, Goal::AtMost(6.0));
        let peak = megabytes(servers::peak(server.process.id())?)?;
        row("most memory", "MB", Better::Less, peak, Goal::AtMost(150.0));
        Ok(())
    }
}

/// Asks by all clients for [`ASKED`]; returns how many answers there were.
async fn ask(gateway: &Endpoint, method: &Method, path: &str, body: &Value) -> anyhow::Result<u64> {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(serde_json::to_vec(body)?) };
    let path = format!("/pipeline/apis/v2beta1{path}");
    let end = Instant::now() + ASKED;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let mut connection = gateway.connect().await?;
        let (method, path, body) = (method.clone(), path.clone(), body.clone());
        asking.spawn(async move {
            let mut count = 0_u64;
            while Instant::now() < end {
                connection.drained(method.clone(), &path, body.clone()).await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut sum = 0;
    while let Some(count) = asking.join_next().await {
        sum += count??;
    }
    Ok(sum)
}

/// Runs in a state.
async fn counted(client: &mut Client, state: &str) -> anyhow::Result<u64> {
    let filter = json!({"predicates": [{"operation": "EQUALS", "key": "state", "string_value": state}]});
    let filter: String = filter.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let page = client.call(Method::GET, &format!("/runs?page_size=1&filter={filter}"), &Value::Null).await?;
    Ok(page["total_size"].as_u64().unwrap_or_default())
}

async fn succeeded(client: &mut Client) -> anyhow::Result<u64> {
    counted(client, "SUCCEEDED").await
}

/// Waits until so many runs have succeeded; without a number, until none is under way.
async fn until_succeeded(client: &mut Client, wanted: Option<u64>) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let is_done = match wanted {
            Some(wanted) => succeeded(client).await? >= wanted,
            None => counted(client, "RUNNING").await? + counted(client, "PENDING").await? == 0,
        };
        let failed = counted(client, "FAILED").await?;
        ensure!(failed == 0, "{failed} runs have failed");
        if is_done {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "runs do not end");
        tokio::time::sleep(LOOK).await;
    }
}

async fn wait_for_no_pods(cluster: &Endpoint) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?limit=1");
        let page = cluster.connect().await?.answer(Method::GET, &path, Bytes::new()).await?;
        let page: Value = serde_json::from_slice(&page)?;
        if page["items"].as_array().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "pods of succeeded steps stay");
        tokio::time::sleep(LOOK).await;
    }
}
