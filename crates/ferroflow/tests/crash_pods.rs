//! Kills at random while pods begin, run and end: none is lost, and none is started twice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use common::{Bench, Server};
use ferroflow_testkit::{
    cluster::client_of,
    objects::from,
    wait::{eventually, until, until_gone},
};
use futures::StreamExt;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStatus, Pod, PodStatus},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, LogParams, PostParams, WatchParams},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use serde_json::{Value, json};

/// Each shape of pod three times, and one more kill: seconds on an idle machine, less than a minute on a busy one.
const KILLS: usize = 7 * 3 + 1;
/// A kill comes at the latest after so long without an event, for an idle cluster has none.
const QUIET: Duration = Duration::from_millis(200);
/// Events of pods after which a kill comes, at the most: a pod makes about five from creation to end.
const EVENTS: u64 = 12;
const PATIENCE: Duration = Duration::from_secs(20);
const COMPLETIONS: usize = 4;
/// Pods that end while no server runs, at the least.
const ENDED_UNSEEN: usize = 4;

/// What a pod does, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Runs on.
    Long,
    /// Ends with code 7 when it is told to, which is while no server runs.
    Finishing,
    /// As before, and is started again.
    Restarting,
    /// Fails once and then succeeds.
    Failing,
    /// Two init containers, one after the other, and a main one.
    Initialised,
    /// A Job of several pods.
    Job,
    /// Runs on until it is deleted.
    Deleted,
}

const SHAPES: [Shape; 7] =
    [Shape::Job, Shape::Finishing, Shape::Failing, Shape::Restarting, Shape::Initialised, Shape::Deleted, Shape::Long];

/// The file to which each start of a container adds a line: pod, container, process.
struct Ledger {
    file: PathBuf,
}

#[derive(Clone, Debug)]
struct Start {
    pod: String,
    container: String,
    process: Pid,
}

impl Ledger {
    fn starts(&self) -> Vec<Start> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let start = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let [pod, container, process] = words[..] else { panic!("{line:?} in the ledger") };
            let process = process.parse().ok().and_then(Pid::from_raw).unwrap();
            Start { pod: pod.to_owned(), container: container.to_owned(), process }
        };
        text.lines().map(start).collect()
    }

    fn of(&self, pod: &str) -> Vec<Start> {
        self.starts().into_iter().filter(|start| start.pod == pod).collect()
    }

    /// A container that notes its start, tells it in its log, and then runs `rest`.
    fn container(&self, name: &str, rest: &str) -> Value {
        let file = self.file.display();
        // Kubernetes makes one dollar of two.
        let script =
            format!("trap 'echo over; exit 7' USR1; echo $POD {name}; echo $POD {name} $$$$ >> {file}; {rest}");
        json!({"name": name, "image": "busybox:1.36", "command": ["sh", "-c", script],
            "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]})
    }

    fn pod(&self, name: &str, shape: Shape) -> Pod {
        const FOREVER: &str = "while :; do sleep 600 & wait $!; done";
        let file = self.file.display();
        let fails_once = format!("[ $(grep -c \"^$POD main \" {file}) -gt 1 ] || exit 3");
        let (policy, rest) = match shape {
            Shape::Long | Shape::Restarting | Shape::Deleted => ("Always", FOREVER),
            Shape::Finishing => ("Never", FOREVER),
            Shape::Failing => ("OnFailure", &*fails_once),
            Shape::Initialised | Shape::Job => ("Never", "true"),
        };
        let inits = if shape == Shape::Initialised {
            json!([self.container("first", "true"), self.container("second", "true")])
        } else {
            Value::Null
        };
        let spec = json!({"restartPolicy": policy, "terminationGracePeriodSeconds": 1, "initContainers": inits,
            "containers": [self.container("main", rest)]});
        from(json!({"metadata": {"name": name}, "spec": spec}))
    }

    fn job(&self, name: &str) -> Job {
        let pod = json!({"restartPolicy": "Never", "containers": [self.container("main", "true")]});
        let spec = json!({"completions": COMPLETIONS, "parallelism": 2, "template": {"spec": pod}});
        from(json!({"metadata": {"name": name}, "spec": spec}))
    }
}

/// A process that can be waited for, though it is nobody's child here.
fn watched(process: Pid) -> Option<OwnedFd> {
    pidfd_open(process, PidfdFlags::empty()).ok()
}

fn has_ended(process: &OwnedFd, patience: Duration) -> bool {
    let limit = Timespec::try_from(patience).unwrap();
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)).unwrap() > 0
}

/// A small generator of numbers that look random, and are the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's MMIX constants; the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What the test has asked for, and what it did to it.
struct Story {
    bench: Bench,
    ledger: Ledger,
    chance: Chance,
    made: BTreeMap<String, Shape>,
    told: BTreeSet<String>,
    ended_unseen: usize,
}

impl Drop for Story {
    fn drop(&mut self) {
        // A test that failed between two servers leaves no pods behind: the bench takes this one down.
        self.bench.run(&["up", "--detach", "--port", "0", "--http-port", "0", "--gateway-port", "0"]);
    }
}

fn client(server: &Server) -> Client {
    client_of(server.address, &server.token)
}

impl Story {
    /// Runs a server until a moment that chance chooses, and kills it.
    async fn round(&mut self, round: usize) {
        let mut server = Server::start_with(&self.bench, "all", &["--isolation", "bare"]);
        let client = client(&server);
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let since = pods.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        let mut events = pods.watch(&WatchParams::default(), &since).await.unwrap().boxed();
        if let Some(shape) = SHAPES.get(round % SHAPES.len()).filter(|_| round + 1 < KILLS) {
            let name = format!("{shape:?}-{round}").to_lowercase();
            match shape {
                Shape::Job => {
                    let jobs: Api<Job> = Api::default_namespaced(client.clone());
                    jobs.create(&PostParams::default(), &self.ledger.job(&name)).await.unwrap();
                }
                _ => drop(pods.create(&PostParams::default(), &self.ledger.pod(&name, *shape)).await.unwrap()),
            }
            self.made.insert(name, *shape);
        }
        for name in self.named(Shape::Deleted).filter(|name| self.told.insert(name.clone())) {
            pods.delete(&name, &DeleteParams::default()).await.unwrap();
        }
        for _ in 0..self.chance.below(EVENTS) {
            let Ok(event) = tokio::time::timeout(QUIET, events.next()).await else { break };
            event.unwrap().unwrap();
        }
        if round + 1 == KILLS {
            // On a slow machine chance alone has not let as many begin.
            eventually("enough pods begin that end unseen", async {
                while self.to_end().filter(|name| self.has_begun(name)).count() < ENDED_UNSEEN {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        server.kill();
    }

    fn named(&self, wanted: Shape) -> impl Iterator<Item = String> + use<> {
        let named = self.made.iter().filter(|(_, shape)| **shape == wanted).map(|(name, _)| name.clone());
        named.collect::<Vec<_>>().into_iter()
    }

    /// Pods that end when they are told to.
    fn to_end(&self) -> impl Iterator<Item = String> + use<> {
        self.named(Shape::Finishing).chain(self.named(Shape::Restarting))
    }

    fn has_begun(&self, pod: &str) -> bool {
        !self.ledger.of(pod).is_empty()
    }

    /// Tells pods that run to end, and waits until they have. Each is told once.
    fn end_some(&mut self) {
        for name in self.to_end() {
            let Some(start) = self.ledger.of(&name).pop().filter(|_| !self.told.contains(&name)) else { continue };
            let process = watched(start.process).expect("a pod's process lives until it is told to end");
            kill_process(start.process, Signal::USR1).unwrap();
            assert!(has_ended(&process, PATIENCE), "{name} ends");
            self.told.insert(name);
            self.ended_unseen += 1;
        }
    }

    /// Every pod has come to what its shape says, and every start has been counted.
    async fn check(&self, client: &Client) {
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let jobs: Api<Job> = Api::default_namespaced(client.clone());
        let mut expected = BTreeSet::new();
        for (name, shape) in &self.made {
            match shape {
                Shape::Job => {
                    let job = until(&jobs, name, "all have succeeded", |job| succeeded(job) == COMPLETIONS).await;
                    assert_eq!(job.status.unwrap().failed.unwrap_or(0), 0, "{name}");
                }
                Shape::Deleted => {
                    until_gone(&pods, name).await;
                    let starts = self.ledger.of(name);
                    assert!(starts.len() <= 1, "{name} was started twice: {starts:?}");
                    let lives = starts.iter().filter_map(|start| watched(start.process));
                    assert!(lives.into_iter().all(|process| has_ended(&process, PATIENCE)), "{name} has ended");
                }
                shape => {
                    until(&pods, name, "is as it should be", |pod| has_come_to(pod, *shape)).await;
                    expected.insert(name.clone());
                }
            }
        }
        let list = pods.list(&ListParams::default()).await.unwrap().items;
        let jobs = self.named(Shape::Job).count();
        assert_eq!(list.len(), expected.len() + jobs * COMPLETIONS, "no pod too many, none too few");
        for pod in &list {
            self.check_pod(&pods, pod).await;
        }
        let names: BTreeSet<&str> = list.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
        let strays = self.ledger.starts().into_iter().filter(|start| !names.contains(start.pod.as_str()));
        let strays: Vec<Start> = strays.filter(|start| !start.pod.starts_with("deleted-")).collect();
        assert!(strays.is_empty(), "pods that nobody knows: {strays:?}");
    }

    async fn check_pod(&self, pods: &Api<Pod>, pod: &Pod) {
        let name = pod.metadata.name.as_deref().unwrap();
        let starts = self.ledger.of(name);
        for status in containers(pod) {
            let count = starts.iter().filter(|start| start.container == status.name).count();
            assert_eq!(count as i32, status.restart_count + 1, "starts of {name}/{}: {status:?}", status.name);
            let over = status.state.as_ref().and_then(|state| state.terminated.as_ref()).map(|end| end.exit_code);
            let last = if over == Some(7) { "over\n" } else { "" };
            let options = LogParams { container: Some(status.name.clone()), ..LogParams::default() };
            let log = pods.logs(name, &options).await.unwrap();
            assert_eq!(log, format!("{name} {}\n{last}", status.name), "the log of {name}");
            let Some(before) = status.last_state.as_ref().and_then(|state| state.terminated.as_ref()) else { continue };
            let last = if before.exit_code == 7 { "over\n" } else { "" };
            let log = pods.logs(name, &LogParams { previous: true, ..options }).await.unwrap();
            assert_eq!(log, format!("{name} {}\n{last}", status.name), "the log of the run before of {name}");
        }
    }
}

fn containers(pod: &Pod) -> Vec<ContainerStatus> {
    let status = pod.status.clone().unwrap_or_default();
    let all = [status.init_container_statuses, status.container_statuses];
    all.into_iter().flatten().flatten().collect()
}

fn succeeded(job: &Job) -> usize {
    let count = job.status.as_ref().and_then(|status| status.succeeded).unwrap_or(0);
    usize::try_from(count).unwrap()
}

/// Phase, restarts, exit code and the exit code before that a pod ends up with.
fn has_come_to(pod: &Pod, shape: Shape) -> bool {
    let expected = match shape {
        Shape::Long => ("Running", 0, None, None),
        Shape::Restarting => ("Running", 1, None, Some(7)),
        Shape::Finishing => ("Failed", 0, Some(7), None),
        Shape::Failing => ("Succeeded", 1, Some(0), Some(3)),
        Shape::Initialised | Shape::Job | Shape::Deleted => ("Succeeded", 0, Some(0), None),
    };
    let status = pod.status.clone().unwrap_or_default();
    let PodStatus { phase: Some(phase), container_statuses: Some(mains), .. } = status else { return false };
    let code = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().and_then(|state| state.terminated.as_ref()).map(|end| end.exit_code)
    };
    let main = &mains[0];
    expected == (&*phase, main.restart_count, code(&main.state), code(&main.last_state))
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_neither_lost_nor_started_twice() {
    let began = Instant::now();
    let place = tempfile::tempdir().unwrap();
    let ledger = Ledger { file: Path::new(place.path()).join("starts") };
    let chance = Chance(20_260_722);
    let (made, told) = (BTreeMap::new(), BTreeSet::new());
    let mut story = Story { bench: Bench::new(), ledger, chance, made, told, ended_unseen: 0 };
    for round in 0..KILLS {
        story.round(round).await;
        story.end_some();
    }
    assert!(story.ended_unseen >= ENDED_UNSEEN, "{} pods ended while no server ran", story.ended_unseen);
    let server = Server::start_with(&story.bench, "all", &["--isolation", "bare"]);
    let client = client(&server);
    // Those that had not begun by the last kill end now.
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    for name in story.to_end() {
        if !story.told.contains(&name) {
            let runs = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
            until(&pods, &name, "runs", runs).await;
            // A container runs before its program has said so.
            eventually(&format!("{name} notes its start"), async {
                while !story.has_begun(&name) {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    }
    story.end_some();
    story.check(&client).await;
    let (kills, starts, ended) = (KILLS, story.ledger.starts().len(), story.ended_unseen);
    eprintln!("{kills} kills, {starts} starts, {ended} ends without a server, in {:?}", began.elapsed());
}
