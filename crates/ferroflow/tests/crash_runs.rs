//! Kills at random during fifty runs of pipelines: each ends as it would have, and no step that succeeded runs twice.
//!
//! The steps count by themselves: each writes a line to a ledger when it starts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use common::{Bench, Server};
use ferroflow_testkit::cluster::client_of;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ListParams, WatchParams},
};
use serde_json::{Value, json};

/// Runs that a server is given before it is killed.
const RUNS_A_ROUND: usize = 2;
const ROUNDS: usize = 25;
/// A kill comes at the latest after so long without an event of a pod.
const QUIET: Duration = Duration::from_millis(200);
/// Events of pods after which a kill comes, at the most: two runs make about a hundred.
const EVENTS: u64 = 60;
/// All runs have ended by then, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
const API: &str = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy/apis/v2beta1";

/// What a run does, and how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A step, a loop of three, one that fails once and is tried again, and a last one.
    Good,
    /// A body whose second step fails, with an exit handler, and a third step that never runs.
    Failing,
}

/// The lines that steps write: run, step, and whatever tells its starts apart.
struct Ledger(PathBuf);

impl Ledger {
    /// How often each step of a run has started.
    fn of(&self, run: &str) -> BTreeMap<String, usize> {
        let mut starts = BTreeMap::new();
        for line in fs::read_to_string(&self.0).unwrap_or_default().lines() {
            let (name, step) = line.split_once(' ').expect("two words");
            if name == run {
                *starts.entry(step.to_owned()).or_default() += 1;
            }
        }
        starts
    }

    /// A container that notes its start and then runs `rest`.
    fn container(&self, step: &str, rest: &str) -> Value {
        let file = self.0.display();
        let script = format!("echo \"$1 {step}$2\" >> {file}; {rest}");
        let arguments = ["{{$.pipeline_job_name}}", "{{$.inputs.parameters['item']}}"];
        let count = if step == "looped" { 2 } else { 1 };
        let words: Vec<&str> =
            ["sh", "-c", &script, "sh"].into_iter().chain(arguments.into_iter().take(count)).collect();
        json!({"container": {"image": "busybox:1.36", "command": words}})
    }

    fn pipeline(&self, shape: Shape) -> Value {
        let file = self.0.display();
        let retried = format!("[ $(grep -c \"^$1 retried\" {file}) -gt 1 ] || exit 3");
        let executors = json!({
            "exec-first": self.container("first", "sleep 0.05"),
            "exec-looped": self.container("looped", "sleep 0.05"),
            "exec-retried": self.container("retried", &retried),
            "exec-broken": self.container("broken", "exit 9"),
            "exec-exit": self.container("exit", "true"),
            "exec-last": self.container("last", "true"),
        });
        let mut components: serde_json::Map<String, Value> = ["first", "retried", "broken", "exit", "last"]
            .iter()
            .map(|name| (format!("comp-{name}"), json!({"executorLabel": format!("exec-{name}")})))
            .collect();
        let item = json!({"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}});
        components.insert("comp-looped".to_owned(), json!({"executorLabel": "exec-looped", "inputDefinitions": item}));
        let task = |name: &str, after: &[&str]| {
            json!({"taskInfo": {"name": name}, "componentRef": {"name": format!("comp-{name}")}, "dependentTasks": after,
                "cachingOptions": {}})
        };
        let tasks = match shape {
            Shape::Good => {
                let mut looped = task("looped", &["first"]);
                looped["parameterIterator"] = json!({"items": {"raw": "[1, 2, 3]"}, "itemInput": "item"});
                let mut retried = task("retried", &["looped"]);
                retried["retryPolicy"] = json!({"maxRetryCount": 2, "backoffDuration": "0s"});
                json!({"first": task("first", &[]), "looped": looped, "retried": retried, "last": task("last", &["retried"])})
            }
            Shape::Failing => {
                let body = json!({"dag": {"tasks": {"first": task("first", &[]), "broken": task("broken", &["first"]),
                    "last": task("last", &["broken"])}}});
                components.insert("comp-body".to_owned(), body);
                let mut exit = task("exit", &["body"]);
                exit["triggerPolicy"] = json!({"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"});
                json!({"body": task("body", &[]), "exit": exit})
            }
        };
        json!({"pipelineInfo": {"name": "crash"}, "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0",
            "root": {"dag": {"tasks": tasks}}, "components": components, "deploymentSpec": {"executors": executors}})
    }
}

/// How often each step starts in a run that nobody disturbs.
fn starts(shape: Shape) -> BTreeMap<String, usize> {
    let rows: &[(&str, usize)] = match shape {
        Shape::Good => &[("first", 1), ("looped1", 1), ("looped2", 1), ("looped3", 1), ("retried", 2), ("last", 1)],
        Shape::Failing => &[("first", 1), ("broken", 1), ("exit", 1)],
    };
    rows.iter().map(|(step, count)| ((*step).to_owned(), *count)).collect()
}

async fn call(client: &Client, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
    let request = http::Request::builder().method(method).uri(format!("{API}{path}"));
    let request = request.header("content-type", "application/json").body(body).unwrap();
    client.request(request).await.unwrap()
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

/// What was started: name, id and shape.
type Started = Vec<(String, String, Shape)>;

async fn round(bench: &Bench, ledger: &Ledger, number: usize, chance: &mut Chance, runs: &mut Started) {
    let mut server = Server::start_with(bench, "all", &["--isolation", "bare"]);
    let client = client_of(server.address, &server.token);
    let pods: Api<Pod> = Api::namespaced(client.clone(), "kubeflow");
    let since = pods.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = pods.watch(&WatchParams::default(), &since).await.unwrap().boxed();
    for index in 0..RUNS_A_ROUND {
        let shape = if (number + index).is_multiple_of(3) { Shape::Failing } else { Shape::Good };
        let name = format!("run-{number}-{index}");
        let body = json!({"display_name": name, "pipeline_spec": ledger.pipeline(shape), "runtime_config": {}});
        let run = call(&client, "POST", "/runs", &body).await;
        runs.push((name, run["run_id"].as_str().unwrap().to_owned(), shape));
    }
    for _ in 0..chance.below(EVENTS) {
        let Ok(event) = tokio::time::timeout(QUIET, events.next()).await else { break };
        event.unwrap().unwrap();
    }
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_end_as_they_would_have_and_no_step_that_succeeded_runs_twice() {
    let began = Instant::now();
    let place = tempfile::tempdir().unwrap();
    let ledger = Ledger(place.path().join("starts"));
    let bench = Bench::new();
    let (mut chance, mut runs) = (Chance(20_261_128), Started::new());
    for number in 0..ROUNDS {
        round(&bench, &ledger, number, &mut chance, &mut runs).await;
    }
    let server = Server::start_with(&bench, "all", &["--isolation", "bare"]);
    let client = client_of(server.address, &server.token);
    let deadline = Instant::now() + PATIENCE;
    for (name, id, shape) in &runs {
        let run = loop {
            let run = call(&client, "GET", &format!("/runs/{id}"), &Value::Null).await;
            if run["finished_at"].as_str().is_some_and(|at| !at.starts_with("1970")) {
                break run;
            }
            assert!(Instant::now() < deadline, "{name} does not end: {run:#}");
            tokio::task::yield_now().await;
        };
        let expect = if *shape == Shape::Good { "SUCCEEDED" } else { "FAILED" };
        assert_eq!(run["state"], expect, "{name}: {run:#}");
        assert_eq!(ledger.of(name), starts(*shape), "{name}: {run:#}");
    }
    eprintln!("{} runs, {ROUNDS} kills, in {:?}", runs.len(), began.elapsed());
}
