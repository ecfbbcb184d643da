//! The rows of pipelines: what a step, a cache hit and an iteration cost, what reading runs costs, and what many of them
//! weigh. The real backend cannot be rebuilt in a measurement; its figures, measured on a machine of this size, stand in
//! docs/performance.md. The peers here are a plain fork and exec, and the SDK's own local runner.

mod python;
mod runs;
mod scale;
mod simulated;
mod spec;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use http::Method;
use serde_json::Value;

use crate::{
    IDLE, Run,
    report::{Better, Goal},
    samples::{Samples, megabytes, milliseconds},
    servers::{Node, SHARED, Server},
};
use runs::Client;
use spec::Caching;

/// Steps of the chain.
const CHAIN: usize = 100;
/// Iterations of the small loop, and of both large ones, whose iterations must cost the same.
const SMALL_LOOP: usize = 50;
const LARGE_LOOPS: [usize; 2] = [500, 2_000];
/// Reads of one round, of which the mean counts: enough for a clock that ticks a hundred times a second.
const READS: u32 = 2_000;
/// Lists of one round; each is of a hundred runs.
const LISTS: u32 = 500;
/// Runs that are there when a page is read and memory is weighed.
const RUNS: usize = 10_000;
/// Runs that are started at the same time.
const AT_ONCE: usize = 32;
/// Pages that are read out of them.
const PAGES: usize = 500;

const FORK: &str = "fork and exec";

impl Run {
    /// All rows of pipelines that are wanted.
    ///
    /// # Errors
    /// When a side fails in the middle of a row.
    pub async fn pipelines(&mut self) -> anyhow::Result<()> {
        if self.args.real.is_none() && self.wants("pipelines-scale") {
            self.scale().await?;
        }
        let works = ["chain", "cache", "loop", "python", "read", "runs"].map(|work| format!("pipelines-{work}"));
        if self.args.real.is_some() || !works.iter().any(|work| self.wants(work)) {
            return Ok(());
        }
        let node = Node { level: "environment", archive: None, images: None, network: SHARED };
        let Some(server) = self.at_level("pipelines", &node).await else { return Ok(()) };
        let mut client = Client::new(&server.endpoint).await?;
        // The first run makes what all share.
        client.timed(&spec::chain("warm", 1, Caching::Off)).await?;
        if self.wants("pipelines-chain") {
            self.steps(&mut client).await?;
        }
        if self.wants("pipelines-cache") {
            self.cached(&mut client).await?;
        }
        if self.wants("pipelines-loop") {
            self.iterations(&mut client).await?;
        }
        if self.wants("pipelines-python") {
            self.python_steps(&mut client).await?;
        }
        if self.wants("pipelines-read") || self.wants("pipelines-runs") {
            self.reads(&server, &mut client).await?;
        }
        Ok(())
    }

    /// A chain of steps, each of which must wait for the one before.
    async fn steps(&mut self, client: &mut Client) -> anyhow::Result<()> {
        let mut samples = Samples::default();
        for _ in 0..self.args.rounds {
            let took = client.timed(&spec::chain("chain", CHAIN, Caching::Off)).await?;
            samples.ours.push(per(took, CHAIN));
            samples.peer.push(per(forks()?, CHAIN));
        }
        let over: Vec<f64> = samples.ours.iter().zip(&samples.peer).map(|(ours, peer)| ours - peer).collect();
        let work = format!("step of a chain of {CHAIN}");
        self.add_beside(FORK, &work, "ms", Better::Less, &samples, Goal::None);
        let over = Samples { ours: over, peer: Vec::new() };
        self.add_beside(FORK, "the same, over fork and exec", "ms", Better::Less, &over, Goal::AtMost(15.0));
        Ok(())
    }

    /// A run of one step that was run before, and one of a hundred.
    async fn cached(&mut self, client: &mut Client) -> anyhow::Result<()> {
        for (steps, goal) in [(1, Goal::AtMost(5.0)), (CHAIN, Goal::None)] {
            let spec = spec::chain(&format!("cached-{steps}"), steps, Caching::On);
            client.timed(&spec).await?;
            let mut samples = Samples::default();
            for _ in 0..self.args.rounds * 3 {
                samples.ours.push(milliseconds(client.timed(&spec).await?));
            }
            let work = format!("run of {steps} cached step{}", if steps == 1 { "" } else { "s" });
            self.add_beside("", &work, "ms", Better::Less, &samples, goal);
        }
        Ok(())
    }

    /// Loops: a small one as a whole, two large ones by the iteration.
    async fn iterations(&mut self, client: &mut Client) -> anyhow::Result<()> {
        let mut samples = Samples::default();
        for _ in 0..self.args.rounds {
            samples.ours.push(client.timed(&spec::parallel("loop", SMALL_LOOP)).await?.as_secs_f64());
        }
        let work = format!("ParallelFor over {SMALL_LOOP}");
        self.add_beside("", &work, "s", Better::Less, &samples, Goal::AtMost(2.0));
        for count in LARGE_LOOPS {
            let took = client.timed(&spec::parallel("large", count)).await?;
            let samples = Samples { ours: vec![per(took, count)], peer: Vec::new() };
            let work = format!("iteration of a ParallelFor over {count}");
            self.add_beside("", &work, "ms", Better::Less, &samples, Goal::AtMost(10.0));
        }
        Ok(())
    }

    /// A lightweight Python step, whose own code does nothing, beside the SDK's local runner.
    async fn python_steps(&mut self, client: &mut Client) -> anyhow::Result<()> {
        let kfp = match python::Kfp::find() {
            Ok(kfp) => kfp,
            Err(error) => {
                self.left_out.push(format!("Python steps: {error:#}"));
                return Ok(());
            }
        };
        let spec = kfp.compiled()?;
        client.timed(&spec).await?;
        let mut samples = Samples::default();
        for _ in 0..self.args.rounds {
            samples.ours.push(client.timed(&spec).await?.as_secs_f64());
            samples.peer.push(kfp.local()?.as_secs_f64());
        }
        let peer = "kfp.local, SubprocessRunner";
        self.add_beside(peer, "warm Python step", "s", Better::Less, &samples, Goal::AtMost(0.4));
        Ok(())
    }

    /// What reading costs the server, and what many runs weigh.
    async fn reads(&mut self, server: &Server, client: &mut Client) -> anyhow::Result<()> {
        let spec = spec::chain("listed", 1, Caching::On);
        let run = client.start(&spec).await?;
        client.wait(&run).await?;
        if self.wants("pipelines-runs") {
            fill(server, &spec).await?;
            tokio::time::sleep(IDLE).await;
            // A connection that was idle for so long has been closed.
            *client = Client::new(&server.endpoint).await?;
            let samples = Samples { ours: vec![megabytes(server.resident_bytes()?)?], peer: Vec::new() };
            self.add_beside("", "memory with 10,000 runs", "MB", Better::Less, &samples, Goal::None);
            let mut pages = Vec::with_capacity(PAGES);
            for number in 0..PAGES {
                let order = if number % 2 == 0 { "desc" } else { "asc" };
                let began = Instant::now();
                client.drained(&format!("/runs?page_size=100&sort_by=created_at%20{order}")).await?;
                pages.push(milliseconds(began.elapsed()));
            }
            pages.sort_by(f64::total_cmp);
            let p99 = pages.get(PAGES * 99 / 100).copied().context("no pages")?;
            let samples = Samples { ours: vec![p99], peer: Vec::new() };
            self.add_beside("", "page out of 10,000 runs, p99", "ms", Better::Less, &samples, Goal::AtMost(20.0));
        } else {
            for _ in 1..100 {
                client.start(&spec).await?;
            }
        }
        let reads = [
            ("GetRun, processor time", format!("/runs/{run}"), READS, 0.2),
            ("ListRuns of 100, processor time", "/runs?page_size=100".to_owned(), LISTS, 2.0),
        ];
        for (work, path, count, goal) in reads {
            let mut samples = Samples::default();
            for _ in 0..self.args.rounds {
                let before = server.cpu_seconds()?;
                for _ in 0..count {
                    client.drained(&path).await?;
                }
                samples.ours.push((server.cpu_seconds()? - before) * 1e3 / f64::from(count));
            }
            self.add_beside("", work, "ms", Better::Less, &samples, Goal::AtMost(goal));
        }
        Ok(())
    }
}

/// Starts runs until there are [`RUNS`], and waits until all have ended.
async fn fill(server: &Server, spec: &Value) -> anyhow::Result<()> {
    let mut filling = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let mut client = Client::new(&server.endpoint).await?;
        let spec = spec.clone();
        filling.spawn(async move {
            for _ in 0..RUNS / AT_ONCE {
                let run = client.start(&spec).await?;
                client.wait(&run).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = filling.join_next().await {
        done??;
    }
    let mut client = Client::new(&server.endpoint).await?;
    let page = client.call(Method::GET, "/runs?page_size=1", &Value::Null).await?;
    let total = page["total_size"].as_u64().unwrap_or_default();
    ensure!(total >= u64::try_from(RUNS / AT_ONCE * AT_ONCE)?, "{total} runs are there");
    Ok(())
}

/// What so many processes that do nothing take by themselves, one after the other.
fn forks() -> anyhow::Result<Duration> {
    let began = Instant::now();
    for _ in 0..CHAIN {
        ensure!(Command::new("true").status()?.success(), "true fails");
    }
    Ok(began.elapsed())
}

fn per(took: Duration, count: usize) -> f64 {
    milliseconds(took) / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
