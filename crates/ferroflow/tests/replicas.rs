//! Two servers that share a database: any of them answers, one leads, and its place is taken when it is killed or paused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use common::{Bench, Server};
use ferroflow_platform::lease::ADDRESS_ANNOTATION;
use ferroflow_testkit::{cluster::client_of, postgres, wait::until};
use http::{Request, StatusCode};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Whom both replicas take for the administrator.
const TOKEN: &str = "of-both-replicas";

struct Replica {
    _bench: Bench,
    child: Child,
    client: Client,
    address: String,
}

impl Replica {
    fn start(cluster: &Bench, records: &str) -> Self {
        let bench = Bench::new();
        std::fs::create_dir_all(&bench.data).unwrap();
        std::fs::write(bench.data.join("admin.token"), TOKEN).unwrap();
        // It has to be told before where it is reached.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let (kubeconfig, advertise) = (cluster.data.join("kubeconfig"), format!("http://{address}"));
        let mut command = bench.command(&["serve", "--listen", &address, "--advertise", &advertise, "--kubeconfig"]);
        command.arg(kubeconfig).args(["--lease-namespace", "default"]).env("FERROFLOW_RECORDS", records);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut text = String::new();
        while !text.contains("ferroflow env") {
            text.push_str(&lines.next().unwrap_or_else(|| panic!("the replica did not start: {text}")).unwrap());
        }
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let client = client_of(address.parse().unwrap(), TOKEN);
        Self { _bench: bench, child, client, address }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The code that it ends with.
    fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> kube::Result<Value> {
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let request = Request::builder().method(method).uri(format!("/pipeline/apis/v2beta1{path}"));
        self.client.request(request.header("content-type", "application/json").body(bytes).unwrap()).await
    }

    async fn get(&self, path: &str) -> Value {
        self.call("GET", path, &Value::Null).await.unwrap()
    }

    async fn is_ready(&self) -> bool {
        let request = Request::get("/readyz").body(Vec::new()).unwrap();
        self.client.request_text(request).await.is_ok_and(|text| text == "ok\n")
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until another than `before` leads from `address`; who that is, and how long it took.
async fn led_from(client: &Client, address: &str, before: &str) -> (String, Duration) {
    let began = Instant::now();
    let leases: Api<Lease> = Api::namespaced(client.clone(), "default");
    let holder = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
    let leads = |lease: &Lease| {
        let annotations = lease.metadata.annotations.as_ref();
        let at = annotations.and_then(|annotations| annotations.get(ADDRESS_ANNOTATION));
        at.is_some_and(|at| at == address) && !holder(lease).is_empty() && holder(lease) != before
    };
    let lease = until(&leases, "ferroflow", &format!("is held from {address}"), leads).await;
    (holder(&lease), began.elapsed())
}

fn pipeline() -> Value {
    json!({
        "pipelineInfo": {"name": "waits"}, "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0",
        "root": {"dag": {"tasks": {"one": {"taskInfo": {"name": "one"}, "componentRef": {"name": "c"}}}}},
        "components": {"c": {"executorLabel": "e"}},
        "deploymentSpec": {"executors": {"e": {"container": {"image": "busybox", "command": ["true"]}}}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_answers_and_a_leader_that_is_killed_or_paused_is_replaced() {
    if !postgres::is_there("any_replica_answers_and_a_leader_that_is_killed_or_paused_is_replaced") {
        return;
    }
    let database = postgres::shared().unwrap().database();
    let cluster = Bench::new();
    // Without a node a run waits for as long as the test wants.
    let server = Server::start(&cluster, "control");
    let client = client_of(server.address, &server.token);
    let mut first = Replica::start(&cluster, &database);
    let (before, _) = led_from(&client, &first.address, "").await;
    let mut second = Replica::start(&cluster, &database);

    let body = json!({"display_name": "from the second", "pipeline_spec": pipeline()});
    let run = second.call("POST", "/runs", &body).await.unwrap();
    let path = format!("/runs/{}", run["run_id"].as_str().unwrap());
    for replica in [&first, &second] {
        assert_eq!(replica.get(&path).await["display_name"], "from the second");
        assert!(replica.is_ready().await);
    }

    first.signal(Signal::KILL);
    first.ended();
    let (holder, took) = led_from(&client, &second.address, &before).await;
    eprintln!("a killed leader was replaced after {took:?}");
    // It is asked before it has read what there is, and answers once it has.
    assert_eq!(second.call("POST", &format!("{path}:terminate"), &Value::Null).await.unwrap(), json!({}));
    let state = second.get(&path).await["state"].clone();
    assert!(state == "CANCELING" || state == "FAILED", "{state}");

    let mut third = Replica::start(&cluster, &database);
    second.signal(Signal::STOP);
    // A paused leader takes connections and does not say that it leads: what is asked waits for the next one.
    let (asked, replaced) =
        tokio::join!(third.call("POST", "/runs", &body), led_from(&client, &third.address, &holder));
    let again = asked.unwrap();
    let (holder, took) = replaced;
    eprintln!("a paused leader was replaced after {took:?}");
    second.signal(Signal::CONT);
    assert_eq!(second.ended(), Some(1), "one that was replaced ends");

    // One that is told to end lets go of its lease.
    let fourth = Replica::start(&cluster, &database);
    third.signal(Signal::TERM);
    assert_eq!(third.ended(), Some(0));
    let (_, took) = led_from(&client, &fourth.address, &holder).await;
    assert!(took < Duration::from_secs(8), "{took:?}");
    let listed = fourth.get("/runs").await;
    assert_eq!(listed["total_size"], 2);
    let path = format!("/runs/{}", again["run_id"].as_str().unwrap());
    assert_eq!(fourth.call("DELETE", &path, &Value::Null).await.unwrap(), json!({}));
    let missing = fourth.call("GET", &path, &Value::Null).await.unwrap_err();
    assert!(matches!(missing, kube::Error::Api(status) if status.code == StatusCode::NOT_FOUND.as_u16()));
}
