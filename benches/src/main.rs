//! Measures the embedded cluster beside a real kube-apiserver on etcd: one client, one run, rounds in turn, medians.
//!
//! It decides what is run and in what order. What it measures is in `works`, `pod` and `node`, whom in `servers`.

mod client;
mod cluster;
mod node;
mod pipelines;
mod pod;
mod report;
mod samples;
mod servers;
mod watches;
mod works;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use cluster::Cluster;
use report::{Better, Goal, Row, median};
use samples::{Samples, megabytes, milliseconds, rate};
use servers::{Parts, Programs, Server, Trace};
use works::{Until, Watchers};

const PEER: &str = "kube-apiserver on etcd";
/// With its controllers, its node and everything on it.
const WHOLE: &str = "a whole cluster";
/// Starts of a whole cluster; one takes as long as a hundred of ours.
const WHOLE_ROUNDS: usize = 3;
/// Objects of the list that is drained.
const LISTED: usize = 10_000;
const WATCHERS: usize = 1_000;
/// Changes of one round, of which the median counts.
const CHANGES: usize = 20;
/// A server that was busy a moment ago has come to rest by then.
const SETTLED: Duration = Duration::from_millis(500);
/// Connections that fill a server.
const FILLERS: usize = 64;
/// A server that nobody asks anything has settled by then.
const IDLE: Duration = Duration::from_secs(5);

/// Measures the embedded cluster beside a kube-apiserver on etcd.
#[derive(Parser)]
struct Args {
    #[arg(long)]
    ferroflow: PathBuf,
    /// Without it the peer's side stays empty.
    #[arg(long)]
    kube_apiserver: Option<PathBuf>,
    #[arg(long, default_value = "etcd")]
    etcd: PathBuf,
    /// The `xtask` that starts a whole real cluster, for its start and its memory; left out without it.
    #[arg(long)]
    xtask: Option<PathBuf>,
    /// The kubeconfig, with a token, of a whole real cluster that runs: it is the peer then, of create, watch and node.
    #[arg(long, conflicts_with_all = ["kube_apiserver", "xtask"])]
    real: Option<PathBuf>,
    /// The archive of images that `cargo xtask cluster images` builds; the node's rows are left out without it.
    #[arg(long)]
    archive: Option<PathBuf>,
    /// Adds to the rows that `--out` holds already.
    #[arg(long)]
    append: bool,
    /// Rounds of each side; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of one round of creates.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Objects that memory is measured with.
    #[arg(long, default_value_t = 100_000)]
    objects: u64,
    /// Only these works: start, idle, create, list, watch, memory, sync, node, or of the node's node-start, node-burst,
    /// node-memory, node-service, node-unpack, or of the pipelines' pipelines-chain, pipelines-cache, pipelines-loop,
    /// pipelines-python, pipelines-read, pipelines-runs, pipelines-scale; all when there is none.
    #[arg(long)]
    only: Vec<String>,
    #[arg(long, default_value = "target/bench.json")]
    out: PathBuf,
}

/// What is known so far.
struct Run {
    args: Args,
    programs: Programs,
    rows: Vec<Row>,
    left_out: Vec<String>,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|word| matches!(word.as_str(), "serve" | "dial")) {
        return told(node::traffic::End::parse().run());
    }
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads");
    let done = runtime.and_then(|runtime| {
        runtime.block_on(async {
            // What is dropped here ends the servers.
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                done = run(args) => done,
                _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
                _ = terminate.recv() => anyhow::bail!("terminated"),
            }
        })
    });
    told(done)
}

fn told(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let programs = Programs {
        ferroflow: args.ferroflow.clone(),
        etcd: args.etcd.clone(),
        kube_apiserver: args.kube_apiserver.clone().unwrap_or_default(),
    };
    let mut run = Run { args, programs, rows: Vec::new(), left_out: Vec::new() };
    if run.args.append {
        run.rows = report::read(&run.args.out)?;
    }
    if run.args.kube_apiserver.is_none() && run.args.real.is_none() {
        run.left_out.push("the peer: neither --kube-apiserver nor --real is given".to_owned());
    }
    if run.wants("start") || run.wants("idle") {
        run.start().await?;
    }
    if let Some(xtask) = run.args.xtask.clone().filter(|_| run.wants("start")) {
        run.whole(&mut Cluster::new(&xtask)).await?;
    }
    run.node().await?;
    run.pipelines().await?;
    if ["create", "list", "watch", "memory"].iter().any(|work| run.wants(work)) {
        run.loads().await?;
    }
    if run.wants("sync") {
        run.syncs().await?;
    }
    print!("{}", report::table(&run.rows, &run.left_out));
    report::write(&run.rows, &run.args.out)
}

impl Run {
    fn wants(&self, work: &str) -> bool {
        self.args.only.is_empty() || self.args.only.iter().any(|only| is_of(work, only))
    }

    fn add(&mut self, work: &str, unit: &str, better: Better, samples: &Samples, goal: Goal) {
        let peer_name = if self.args.real.is_some() { WHOLE } else { PEER };
        self.add_beside(peer_name, work, unit, better, samples, goal);
    }

    fn add_beside(&mut self, peer_name: &str, work: &str, unit: &str, better: Better, samples: &Samples, goal: Goal) {
        let peer = (!samples.peer.is_empty()).then(|| (median(&samples.peer), peer_name));
        let row = Row::new(work, unit, better, median(&samples.ours), peer, goal);
        eprintln!("{work}: ours {:.1?} peer {:.1?} {unit}", samples.ours, samples.peer);
        self.rows.push(row);
    }

    async fn peer(&self, trace: Trace) -> anyhow::Result<Option<Server>> {
        if let Some(kubeconfig) = &self.args.real {
            return Server::at(kubeconfig).map(Some);
        }
        if self.args.kube_apiserver.is_none() {
            return Ok(None);
        }
        Server::peer(&self.programs, trace).await.map(Some)
    }

    /// Time to ready, and memory of a server that has nothing to do.
    async fn start(&mut self) -> anyhow::Result<()> {
        let (mut times, mut memory) = (Samples::default(), Samples::default());
        for round in 0..self.args.rounds {
            let is_last = round + 1 == self.args.rounds && self.wants("idle");
            let ours = Server::ours(&self.programs, Parts::All, Trace::Off).await?;
            times.ours.push(ours.took.as_secs_f64());
            if is_last {
                tokio::time::sleep(IDLE).await;
                memory.ours.push(megabytes(ours.resident_bytes()?)?);
            }
            drop(ours);
            let Some(peer) = self.peer(Trace::Off).await? else { continue };
            times.peer.push(peer.took.as_secs_f64());
            if is_last {
                tokio::time::sleep(IDLE).await;
                memory.peer.push(megabytes(peer.resident_bytes()?)?);
            }
        }
        // The peer has neither controllers nor a node; ours has.
        self.add("up to ready", "s", Better::Less, &times, Goal::AtMost(0.5));
        if !memory.ours.is_empty() {
            self.add("idle memory", "MB", Better::Less, &memory, Goal::AtMost(60.0));
        }
        Ok(())
    }

    /// The same with everything that runs pods on both sides.
    async fn whole(&mut self, cluster: &mut Cluster) -> anyhow::Result<()> {
        let (mut times, mut memory) = (Samples::default(), Samples::default());
        for round in 0..self.args.rounds.min(WHOLE_ROUNDS) {
            let began = Instant::now();
            let ours = Server::ours(&self.programs, Parts::All, Trace::Off).await?;
            anyhow::ensure!(pod::has_node(&ours.endpoint).await?, "our node is not ready");
            times.ours.push(began.elapsed().as_secs_f64());
            if round == 0 {
                tokio::time::sleep(IDLE).await;
                memory.ours.push(megabytes(ours.resident_bytes()?)?);
            }
            drop(ours);
            times.peer.push(cluster.up()?.as_secs_f64());
            if round == 0 {
                tokio::time::sleep(IDLE).await;
                memory.peer.push(megabytes(cluster.resident_bytes()?)?);
            }
            cluster.down()?;
        }
        self.add_beside(WHOLE, "up to a node that is ready", "s", Better::Less, &times, Goal::AtMost(0.5));
        self.add_beside(WHOLE, "idle memory of everything", "MB", Better::Less, &memory, Goal::AtMost(60.0));
        Ok(())
    }

    /// The works that fill servers. Each has a pair of its own: what one leaves behind is not the next one's load.
    async fn loads(&mut self) -> anyhow::Result<()> {
        for work in ["create", "list", "watch", "memory"] {
            if !self.wants(work) {
                continue;
            }
            // Beside a whole cluster ours is whole.
            let parts = if self.args.real.is_some() { Parts::All } else { Parts::Api };
            let ours = Server::ours(&self.programs, parts, Trace::Off).await?;
            let peer = self.peer(Trace::Off).await?;
            let sides: Vec<&Server> = std::iter::once(&ours).chain(&peer).collect();
            for side in &sides {
                for namespace in ["created", "listed", "watched"] {
                    // A cluster that was there before may have it of another work.
                    let _ = works::make_namespace(&side.endpoint, namespace).await;
                }
            }
            match work {
                "create" => {
                    self.creates(&sides, 1, Goal::Ratio(1.0)).await?;
                    self.creates(&sides, 64, Goal::Ratio(5.0)).await?;
                }
                "list" => self.lists(&sides).await?,
                "watch" => self.watchers(&sides).await?,
                _ => self.memory(&sides).await?,
            }
        }
        Ok(())
    }

    async fn creates(&mut self, sides: &[&Server], clients: usize, goal: Goal) -> anyhow::Result<()> {
        let mut samples = Samples::default();
        let until = Until::Elapsed(Duration::from_secs_f64(self.args.seconds));
        for _ in 0..self.args.rounds {
            for (side, rates) in sides.iter().zip(samples.both()) {
                let (made, took) = works::creates(&side.endpoint, "created", clients, until).await?;
                rates.push(rate(made, took));
            }
        }
        let plural = if clients == 1 { "client" } else { "clients" };
        let work = format!("durable creates of 1.5 kB, {clients} {plural}");
        self.add(&work, "1/s", Better::More, &samples, goal);
        Ok(())
    }

    async fn lists(&mut self, sides: &[&Server]) -> anyhow::Result<()> {
        for side in sides {
            let count = Until::Count(u64::try_from(LISTED)?);
            works::creates(&side.endpoint, "listed", FILLERS, count).await?;
        }
        let works = [("newest", "", Goal::Ratio(10.0)), ("any version", "?resourceVersion=0", Goal::None)];
        for (name, query, goal) in works {
            let mut samples = Samples::default();
            for _ in 0..self.args.rounds {
                for (side, times) in sides.iter().zip(samples.both()) {
                    times.push(milliseconds(works::list(&side.endpoint, "listed", query, LISTED).await?));
                }
            }
            self.add(&format!("list of 10,000 objects, {name}"), "ms", Better::Less, &samples, goal);
        }
        Ok(())
    }

    async fn watchers(&mut self, sides: &[&Server]) -> anyhow::Result<()> {
        let mut samples = Samples::default();
        let mut watchers = Vec::new();
        for side in sides {
            watchers.push(Watchers::open(&side.endpoint, "watched", WATCHERS).await?);
        }
        for _ in 0..self.args.rounds {
            for (watchers, times) in watchers.iter_mut().zip(samples.both()) {
                // The other side may still clear up behind its round.
                tokio::time::sleep(SETTLED).await;
                let mut changes = Vec::with_capacity(CHANGES);
                for _ in 0..CHANGES {
                    changes.push(milliseconds(watchers.change().await?));
                }
                times.push(median(&changes));
            }
        }
        self.add("one change to 1,000 watchers", "ms", Better::Less, &samples, Goal::Ratio(5.0));
        Ok(())
    }

    /// Fills both up to the same number of objects, and weighs them.
    async fn memory(&mut self, sides: &[&Server]) -> anyhow::Result<()> {
        let mut samples = Samples::default();
        for (side, memory) in sides.iter().zip(samples.both()) {
            let there = works::count(&side.endpoint).await?;
            let missing = Until::Count(self.args.objects.saturating_sub(there));
            works::creates(&side.endpoint, "created", FILLERS, missing).await?;
            tokio::time::sleep(IDLE).await;
            memory.push(megabytes(side.resident_bytes()?)?);
        }
        let work = format!("memory with {} objects of 1.5 kB", self.args.objects);
        self.add(&work, "MB", Better::Less, &samples, Goal::None);
        Ok(())
    }

    /// A short run of its own under strace, so that the others are not slowed.
    async fn syncs(&mut self) -> anyhow::Result<()> {
        if std::process::Command::new("strace").arg("-V").output().is_err() {
            self.left_out.push("syncs for each write: strace is not on the PATH".to_owned());
            return Ok(());
        }
        let ours = Server::ours(&self.programs, Parts::Api, Trace::Syncs).await?;
        let peer = self.peer(Trace::Syncs).await?;
        let sides: Vec<&Server> = std::iter::once(&ours).chain(&peer).collect();
        for side in &sides {
            works::make_namespace(&side.endpoint, "created").await?;
        }
        for clients in [1, 64] {
            let mut samples = Samples::default();
            for (side, ratios) in sides.iter().zip(samples.both()) {
                ratios.push(syncs_per_write(side, clients, self.args.seconds).await?);
            }
            let work = format!("syncs of a file for each write, {clients} at a time");
            self.add(&work, "1", Better::Less, &samples, Goal::None);
        }
        Ok(())
    }
}

/// Whether a work is the one that is asked for, or one of its kind.
fn is_of(work: &str, only: &str) -> bool {
    work.strip_prefix(only).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

async fn syncs_per_write(side: &Server, clients: usize, seconds: f64) -> anyhow::Result<f64> {
    let until = Until::Elapsed(Duration::from_secs_f64(seconds));
    let before = side.syncs()?;
    let (made, _) = works::creates(&side.endpoint, "created", clients, until).await?;
    let syncs = side.syncs()? - before;
    Ok(f64::from(u32::try_from(syncs)?) / f64::from(u32::try_from(made.max(1))?))
}
