//! The rows of the node: starts of pods at each level, many at once, what a pod weighs, what its network costs, and how
//! fast an image is unpacked. `Run` keeps what they find.

mod archive;
mod ctr;
mod memory;
mod service;
pub mod traffic;
mod unpack;

use std::{path::PathBuf, time::Duration};

use anyhow::Context;

use crate::{
    Run, WHOLE, pod,
    report::{Better, Goal, Row, median},
    samples::{Samples, megabytes, milliseconds},
    servers::{Node, SHARED, Server},
};
use archive::Alone;
use ctr::Containerd;

const BUSYBOX: &str = "docker.io/library/busybox:latest";
/// The largest one of the archive whose layers all come from one distribution: Debian with Python.
const LARGE: &str = "docker.io/library/python:3.11";
/// Pods at once; a kubelet takes 110.
const AT_ONCE: usize = 100;
/// A hundred pods take a real cluster a minute.
const LONG_ROUNDS: usize = 3;
/// Rounds of pairs, whatever is asked for: of ten the interval is between the second and the ninth.
const PAIRS: usize = 10;
/// Pods have settled by then: their logs are rotated, which a kubelet looks after every ten seconds.
const SETTLED: Duration = Duration::from_secs(30);
/// A pod's weight is the median of so many, at moments that are not those of its probe.
const LOOKS: usize = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1_300);

impl Run {
    /// All rows of the node that are wanted.
    ///
    /// # Errors
    /// When a side fails in the middle of a row.
    pub async fn node(&mut self) -> anyhow::Result<()> {
        let works = ["node-start", "node-burst", "node-memory", "node-service", "node-unpack"];
        if !works.iter().any(|work| self.wants(work)) {
            return Ok(());
        }
        let Some(archive) = self.args.archive.clone() else {
            self.left_out.push("rows of the node: no --archive, so that there are no images".to_owned());
            return Ok(());
        };
        let busybox = Alone::of(&archive, BUSYBOX)?;
        if self.wants("node-start") {
            self.starts("environment", 30.0, &busybox).await?;
            self.starts("container", 80.0, &busybox).await?;
        }
        if self.wants("node-burst") {
            self.burst(&busybox).await?;
        }
        if self.wants("node-memory") {
            self.weights(&busybox).await?;
        }
        // Their peers are not clusters, so that they are the same beside one.
        if self.args.real.is_none() && self.wants("node-service") {
            self.service(SHARED, "", Some(0.95)).await?;
            // The faithful network pays for what it gives.
            self.service("private", ", private pod network", None).await?;
        }
        if self.args.real.is_none() && self.wants("node-unpack") {
            self.unpack(&Alone::of(&archive, LARGE)?)?;
        }
        Ok(())
    }

    /// Our node, or the reason why there is none of that level.
    pub async fn at_level(&mut self, work: &str, node: &Node<'_>) -> Option<Server> {
        let server = Server::node(&self.programs, node).await;
        server.inspect_err(|error| self.left_out.push(format!("{work}: {error:#}"))).ok()
    }

    fn real(&self) -> anyhow::Result<Option<Server>> {
        self.args.real.as_deref().map(Server::at).transpose()
    }

    async fn starts(&mut self, level: &str, most: f64, busybox: &Alone) -> anyhow::Result<()> {
        let work = format!("pod start to first log line, {level}");
        let node = Node { level, archive: Some(&busybox.archive), images: None, network: SHARED };
        let Some(server) = self.at_level(&work, &node).await else { return Ok(()) };
        let real = self.real()?;
        let containerd = match (&real, ctr::lacking()) {
            (None, None) => Some(Containerd::start(&busybox.archive, BUSYBOX)?),
            (None, Some(why)) => {
                self.left_out.push(format!("the peer of {work}: {why}"));
                None
            }
            (Some(_), _) => None,
        };
        let mut samples = Samples::default();
        for round in 0..self.args.rounds {
            let name = format!("bench-{level}-{round}");
            samples.ours.push(milliseconds(pod::start(&server.endpoint, &name).await?));
            if let Some(real) = &real {
                samples.peer.push(milliseconds(pod::start(&real.endpoint, &name).await?));
            }
            if let Some(containerd) = &containerd {
                samples.peer.push(milliseconds(containerd.first_line(&name)?));
            }
        }
        let peer = if real.is_some() { WHOLE } else { "containerd with runc" };
        self.add_beside(peer, &work, "ms", Better::Less, &samples, Goal::AtMost(most));
        Ok(())
    }

    async fn burst(&mut self, busybox: &Alone) -> anyhow::Result<()> {
        let work = format!("{AT_ONCE} pods at once, until all run");
        let node = Node { level: "container", archive: Some(&busybox.archive), images: None, network: SHARED };
        let Some(server) = self.at_level(&work, &node).await else { return Ok(()) };
        let real = self.real()?;
        let mut samples = Samples::default();
        for _ in 0..self.args.rounds.min(LONG_ROUNDS) {
            for (side, times) in std::iter::once(&server).chain(&real).zip(samples.both()) {
                let pods = (0..AT_ONCE).map(|index| pod::shell(&format!("burst-{index}"), "burst")).collect();
                let took = pod::all_run(&side.endpoint, "burst", pods).await;
                // They do not stay, whatever came of them.
                pod::remove(&side.endpoint, "burst").await?;
                times.push(took?.as_secs_f64());
            }
        }
        self.add_beside(WHOLE, &work, "s", Better::Less, &samples, Goal::None);
        Ok(())
    }

    async fn weights(&mut self, busybox: &Alone) -> anyhow::Result<()> {
        let work = "idle memory per pod";
        let node = Node { level: "container", archive: Some(&busybox.archive), images: None, network: SHARED };
        let Some(server) = self.at_level(work, &node).await else { return Ok(()) };
        let real = self.real()?;
        let mut samples = Samples::default();
        let sides = [("ours", "pod-shim", Some(&server)), ("peer", "containerd-shim-runc-v2", real.as_ref())];
        for ((side, program, cluster), memory) in sides.into_iter().zip(samples.both()) {
            let Some(cluster) = cluster else { continue };
            // What runs at the same time on this machine is told apart.
            let mark = format!("{side}-{}", std::process::id());
            let pods = (0..memory::PODS).map(|index| memory::pod(&format!("memory-{index}"), &mark)).collect();
            let running = pod::all_run(&cluster.endpoint, "memory", pods).await;
            let weights = match running {
                Ok(_) => settled(&mark, program).await,
                Err(error) => Err(error),
            };
            pod::remove(&cluster.endpoint, "memory").await?;
            let (mut private, mut processes) = (Vec::new(), 0);
            let looks = weights?;
            for weight in looks.iter().flatten() {
                private.push(megabytes(weight.private)?);
                processes = processes.max(weight.processes);
            }
            for index in 0..memory::PODS {
                let one = looks.iter().filter_map(|look| look.get(index)).map(|weight| megabytes(weight.own));
                memory.push(median(&one.collect::<anyhow::Result<Vec<f64>>>()?));
            }
            let private = median(&private);
            eprintln!("{work}, {side}: at most {processes} processes, private to a single one of them {private:.2} MB");
        }
        self.add_beside("containerd-shim-runc-v2", work, "MB", Better::Less, &samples, Goal::AtMost(1.5));
        Ok(())
    }

    /// What goes through a Service beside what goes over plain loopback, in pairs.
    async fn service(&mut self, network: &str, suffix: &str, bulk_goal: Option<f64>) -> anyhow::Result<()> {
        let table = service::table()?;
        let node = Node { level: "container", archive: None, images: Some(table.path()), network };
        let Some(server) = self.at_level(&format!("service connection{suffix}"), &node).await else { return Ok(()) };
        let inside = service::Inside::start(&server.endpoint).await?;
        let outside = service::Outside::start()?;
        let works = [
            ("service connection", "µs", Better::Less, ["--connects", "2000"], None),
            ("bulk through a service", "Gbit/s", Better::More, ["--bytes", "4294967296"], bulk_goal),
        ];
        for (work, unit, better, words, goal) in works {
            let mut samples = Samples::default();
            for round in 0..PAIRS {
                // Each goes first in turn.
                if round % 2 == 0 {
                    samples.ours.push(inside.dial(&server.endpoint, &words).await?);
                }
                samples.peer.push(outside.dial(&words)?);
                if round % 2 == 1 {
                    samples.ours.push(inside.dial(&server.endpoint, &words).await?);
                }
            }
            let work = format!("{work}{suffix}");
            let row = Row::paired(&work, unit, better, &samples, "plain loopback", goal);
            eprintln!("{work}: ours {:.2?} peer {:.2?} {unit}", samples.ours, samples.peer);
            self.rows.push(row);
        }
        Ok(())
    }

    fn unpack(&mut self, image: &Alone) -> anyhow::Result<()> {
        let bytes = std::fs::metadata(&image.archive)?.len();
        let work = format!("unpack of an image of {:.0} MB", megabytes(bytes)?);
        let peer: Option<PathBuf> = unpack::umoci();
        if peer.is_none() {
            self.left_out.push(format!("the peer of {work}: umoci is not installed"));
        }
        let mut samples = Samples::default();
        for _ in 0..self.args.rounds.min(LONG_ROUNDS) {
            samples.ours.push(unpack::ours(&self.programs.ferroflow, image)?.as_secs_f64());
            if let Some(umoci) = &peer {
                samples.peer.push(unpack::peer(umoci, image).context("umoci")?.as_secs_f64());
            }
        }
        self.add_beside("umoci raw unpack", &work, "s", Better::Less, &samples, Goal::None);
        Ok(())
    }
}

/// Weighs pods that have settled, several times: in the moment of a probe a further process shares their pages.
async fn settled(mark: &str, program: &str) -> anyhow::Result<Vec<Vec<memory::Weight>>> {
    tokio::time::sleep(SETTLED).await;
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        looks.push(memory::weigh(mark, program)?);
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Ok(looks)
}
