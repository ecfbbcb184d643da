//! Kills servers and supervisors in the middle of thirty pods: what is said of them is true, none is lost, none doubled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use common::{Bench, Server};
use ferroflow_testkit::{cluster::client_of, objects::from, wait::until_gone};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams, WatchParams},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const ROUNDS: usize = 20;
const PODS: usize = 30;
/// A kill comes after at most so many events of pods: thirty pods make about 150 from creation to their ends.
const EVENTS: u64 = 110;
/// A kill comes at the latest after so long without an event.
const QUIET: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(30);
/// The variable that all processes of a container have.
const ID: &str = "FERROFLOW_CONTAINER_ID=";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Server,
    OneSupervisor,
    AllSupervisors,
    Everything,
}

const VICTIMS: [Victim; 4] = [Victim::Server, Victim::OneSupervisor, Victim::AllSupervisors, Victim::Everything];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Runs on.
    Long,
    /// Ends at once, and well.
    Short,
    /// One container before another; then it ends well.
    Initialised,
}

fn shape(number: usize) -> Shape {
    [Shape::Long, Shape::Short, Shape::Initialised][number % 3]
}

/// The file to which containers write that they begin, and that they have done their work.
struct Ledger {
    folder: PathBuf,
}

impl Ledger {
    fn lines(&self, word: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("lines")).unwrap_or_default();
        text.lines().filter_map(|line| line.strip_prefix(word)).map(|rest| rest.trim().to_owned()).collect()
    }

    fn container(&self, name: &str, rest: &str) -> Value {
        let file = self.folder.join("lines");
        let file = file.display();
        let script = format!(
            "echo begun ${{FERROFLOW_CONTAINER_ID}} >> {file}; {rest}; echo done ${{FERROFLOW_CONTAINER_ID}} >> {file}"
        );
        json!({"name": name, "image": "busybox:1.36", "command": ["sh", "-c", script],
            "volumeMounts": [{"name": "ledger", "mountPath": self.folder}]})
    }

    fn pod(&self, name: &str, shape: Shape) -> Pod {
        let rest = if shape == Shape::Long { "while :; do sleep 600 & wait $!; done" } else { "true" };
        let inits = if shape == Shape::Initialised { json!([self.container("first", "true")]) } else { Value::Null };
        let policy = if shape == Shape::Long { "Always" } else { "Never" };
        from(json!({"metadata": {"name": name}, "spec": {"restartPolicy": policy, "terminationGracePeriodSeconds": 1,
            "initContainers": inits, "containers": [self.container("main", rest)],
            "volumes": [{"name": "ledger", "hostPath": {"path": self.folder, "type": "Directory"}}]}}))
    }
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

/// Every process with what `/proc` holds in `file` of it, zeros as spaces.
fn processes(file: &str) -> Vec<(Pid, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let read = entries.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let bytes = fs::read(entry.path().join(file)).ok()?;
        Some((pid, String::from_utf8_lossy(&bytes).replace('\0', " ")))
    });
    read.collect()
}

/// The supervisors of the pods of a data directory.
fn supervisors(data: &Path) -> Vec<Pid> {
    let data = data.to_str().unwrap();
    let ours = processes("cmdline").into_iter().filter(|(_, line)| line.contains("pod-shim") && line.contains(data));
    ours.map(|(pid, _)| pid).collect()
}

/// The containers, by their ids, of which a process lives; `known` are all that were begun.
fn living(known: &BTreeSet<String>) -> BTreeSet<String> {
    let environments = processes("environ");
    let ids = environments.iter().filter_map(|(_, text)| text.split(' ').find_map(|word| word.strip_prefix(ID)));
    ids.filter(|id| known.contains(*id)).map(str::to_owned).collect()
}

fn kill_all(victims: Vec<Pid>) {
    for victim in victims {
        // It may have ended by itself in the meantime.
        let _ = kill_process(victim, Signal::KILL);
    }
}

fn statuses(pod: &Pod) -> Vec<ContainerStatus> {
    let status = pod.status.clone().unwrap_or_default();
    [status.init_container_statuses, status.container_statuses].into_iter().flatten().flatten().collect()
}

fn id(text: Option<&String>) -> Option<String> {
    text.and_then(|text| text.strip_prefix("ferroflow://")).map(str::to_owned)
}

/// What is wrong with what is said of the pods, if anything is.
fn untruth(list: &[Pod], ledger: &Ledger, shims_died: bool) -> Option<String> {
    let begun = ledger.lines("begun");
    let known: BTreeSet<String> = begun.iter().cloned().collect();
    if begun.len() != known.len() {
        return Some("a run of a container has begun twice".to_owned());
    }
    let done: BTreeSet<String> = ledger.lines("done").into_iter().collect();
    let living = living(&known);
    let mut running = BTreeSet::new();
    for pod in list {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        let number: usize = name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap();
        let good = match (shape(number), phase.as_str()) {
            (Shape::Long, "Running") | (Shape::Short | Shape::Initialised, "Succeeded") => true,
            (Shape::Short | Shape::Initialised, "Failed") => shims_died,
            _ => false,
        };
        if !good {
            return Some(format!("{name} is {phase}"));
        }
        for status in statuses(pod) {
            let state = status.state.clone().unwrap_or_default();
            let waits = state.waiting.as_ref().map(|waiting| waiting.reason.clone().unwrap_or_default());
            match (&state.running, &state.terminated, waits) {
                (Some(_), _, _) => running.extend(id(status.container_id.as_ref())),
                (_, Some(end), _) => {
                    let id = id(end.container_id.as_ref());
                    if end.exit_code == 0 && !id.is_some_and(|id| done.contains(&id)) {
                        return Some(format!("{name} says that {} has succeeded, which it has not", status.name));
                    }
                }
                // After its supervisor was killed it waits for its next start.
                (_, _, Some(reason)) if shims_died && (reason == "CrashLoopBackOff" || phase == "Failed") => {}
                (_, _, waits) => return Some(format!("{name}/{} waits: {waits:?}", status.name)),
            }
        }
    }
    (living != running).then(|| format!("there live {living:?}, and {running:?} are said to run"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_pods_is_true_whoever_is_killed() {
    let place = tempfile::tempdir().unwrap();
    // Every user may write to the ledger: containers run as others than this test does.
    let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
    fs::set_permissions(place.path(), open).unwrap();
    let ledger = Ledger { folder: place.path().to_owned() };
    fs::write(ledger.folder.join("lines"), "").unwrap();
    let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    fs::set_permissions(ledger.folder.join("lines"), open).unwrap();
    let bench = Bench::new();
    let mut chance = Chance(20_261_127);
    let mut server = Server::start_with(&bench, "all", &["--isolation", "environment"]);
    let mut kills: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        let victim = VICTIMS[round % VICTIMS.len()];
        let pods: Api<Pod> = Api::default_namespaced(client_of(server.address, &server.token));
        let since = pods.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        let mut events = pods.watch(&WatchParams::default(), &since).await.unwrap().boxed();
        for number in 0..PODS {
            let pod = ledger.pod(&format!("pod-{round}-{number}"), shape(number));
            pods.create(&PostParams::default(), &pod).await.unwrap();
        }
        for _ in 0..chance.below(EVENTS) {
            let Ok(event) = tokio::time::timeout(QUIET, events.next()).await else { break };
            event.unwrap().unwrap();
        }
        drop(events);
        let mut victims = supervisors(&bench.data);
        match victim {
            Victim::Server => victims.clear(),
            Victim::OneSupervisor => {
                let chosen = usize::try_from(chance.below(PODS as u64)).unwrap() % victims.len().max(1);
                victims = victims.get(chosen).copied().into_iter().collect();
            }
            Victim::AllSupervisors | Victim::Everything => {}
        }
        let shims_died = !victims.is_empty();
        *kills.entry(format!("{victim:?}")).or_default() += victims.len().max(1);
        if matches!(victim, Victim::Server | Victim::Everything) {
            server.kill();
        }
        kill_all(victims);
        if matches!(victim, Victim::Server | Victim::Everything) {
            server = Server::start_with(&bench, "all", &["--isolation", "environment"]);
        }
        let pods: Api<Pod> = Api::default_namespaced(client_of(server.address, &server.token));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let list = pods.list(&ListParams::default()).await.unwrap().items;
            assert_eq!(list.len(), PODS, "no pod too many, none too few");
            let Some(untruth) = untruth(&list, &ledger, shims_died) else { break };
            assert!(Instant::now() < deadline, "round {round}, {victim:?}: {untruth}");
            thread::yield_now();
        }
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        for number in 0..PODS {
            pods.delete(&format!("pod-{round}-{number}"), &now).await.unwrap();
        }
        for number in 0..PODS {
            until_gone(&pods, &format!("pod-{round}-{number}")).await;
        }
    }
    let begun: BTreeSet<String> = ledger.lines("begun").into_iter().collect();
    let deadline = Instant::now() + PATIENCE;
    while !living(&begun).is_empty() || !supervisors(&bench.data).is_empty() {
        assert!(Instant::now() < deadline, "left: {:?} {:?}", living(&begun), supervisors(&bench.data));
        thread::yield_now();
    }
    eprintln!("{ROUNDS} rounds of {PODS} pods, killed: {kills:?}, {} containers have begun", begun.len());
}
