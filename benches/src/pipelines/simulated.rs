//! Pods whose steps do nothing: what a scheduler, a kubelet and a launcher would do for each, without a process.
//!
//! A pod is seen by a watch; its launcher begins and ends at the control plane, with the token that the pod has; its status
//! says that it runs, and then that it has succeeded: two writes, where a kubelet makes three or four.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use crate::client::{Connection, Endpoint};

/// Pods that are carried on at the same time.
const HANDS: usize = 32;
/// Requests of the API server that a pod costs here.
const PATCHES: u64 = 2;
/// Pods that are waited for: more than there are at once.
const WAITING: usize = 100_000;
const TOKEN: &str = "FERROFLOW_STEP_TOKEN";

/// A node that simulates the pods of a namespace.
pub struct Node {
    tasks: JoinSet<anyhow::Result<()>>,
    requests: Requests,
}

/// Requests that a node has sent to the API server, but for its watch.
#[derive(Clone, Default)]
pub struct Requests(Arc<AtomicU64>);

impl Requests {
    /// Until now.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Pod {
    name: String,
    token: String,
}

impl Node {
    /// Begins to watch, and carries every pod that comes to its end.
    ///
    /// # Errors
    /// When one of both servers cannot be reached.
    pub async fn start(cluster: &Endpoint, gateway: &Endpoint, namespace: &str) -> anyhow::Result<Self> {
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let (sender, receiver) = mpsc::channel(WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        let requests = Requests::default();
        let mut tasks = JoinSet::new();
        let (endpoint, path) = (cluster.clone(), pods.clone());
        tasks.spawn(async move {
            let mut told = Told { sender, seen: HashSet::new() };
            // A watch that falls behind is ended, and then all pods are listed.
            loop {
                told.look(&endpoint, &path).await?;
            }
        });
        for _ in 0..HANDS {
            let (mut api, control) = (cluster.connect().await?, gateway.address);
            let (receiver, requests, pods) = (receiver.clone(), requests.clone(), pods.clone());
            tasks.spawn(async move {
                loop {
                    let Some(pod) = receiver.lock().await.recv().await else { return Ok(()) };
                    carry(&mut api, Endpoint::plain(control, &pod.token), &pods, &pod).await?;
                    requests.0.fetch_add(PATCHES, Ordering::Relaxed);
                }
            });
        }
        Ok(Self { tasks, requests })
    }

    /// What it counts.
    pub fn requests(&self) -> Requests {
        self.requests.clone()
    }

    /// Waits until it cannot go on, and says why.
    pub async fn fails(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error.context("the simulated node has stopped"),
            Some(Err(error)) => error.into(),
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("the simulated node has stopped"),
        }
    }
}

/// Tells of every pod once.
struct Told {
    sender: mpsc::Sender<Pod>,
    seen: HashSet<String>,
}

impl Told {
    /// Lists pods, and watches them from then on, until the watch ends.
    async fn look(&mut self, cluster: &Endpoint, pods: &str) -> anyhow::Result<()> {
        let mut connection = cluster.connect().await?;
        let list = connection.answer(Method::GET, &format!("{pods}?resourceVersion=0"), Bytes::new()).await?;
        let list: Value = serde_json::from_slice(&list)?;
        for pod in list["items"].as_array().into_iter().flatten() {
            self.tell(pod).await?;
        }
        let version = list["metadata"]["resourceVersion"].as_str().context("a list without a version")?;
        let path = format!("{pods}?watch=true&resourceVersion={version}");
        let mut body = connection.send(Method::GET, &path, Bytes::new()).await?.into_body();
        let mut buffer = BytesMut::new();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            buffer.extend_from_slice(&data);
            while let Some(end) = memchr::memchr(b'\n', &buffer) {
                let line = buffer.split_to(end + 1);
                // What has changed is looked at no closer.
                if line.starts_with(b"{\"type\":\"ADDED\"") {
                    let event: Value = serde_json::from_slice(&line)?;
                    self.tell(&event["object"]).await?;
                }
            }
        }
        Ok(())
    }

    async fn tell(&mut self, pod: &Value) -> anyhow::Result<()> {
        let variables = pod["spec"]["containers"][0]["env"].as_array().into_iter().flatten();
        let token = variables.filter(|one| one["name"] == TOKEN).find_map(|one| one["value"].as_str());
        let name = pod["metadata"]["name"].as_str();
        let (name, token) = name.zip(token).context("a pod that is none of a step")?;
        if self.seen.insert(name.to_owned()) {
            self.sender.send(Pod { name: name.to_owned(), token: token.to_owned() }).await?;
        }
        Ok(())
    }
}

/// Carries one pod to its end.
async fn carry(api: &mut Connection, control: Endpoint, pods: &str, pod: &Pod) -> anyhow::Result<()> {
    let status = format!("{pods}/{}/status", pod.name);
    let container = |state: Value| json!({"name": "main", "image": "none", "imageID": "none", "ready": false, "restartCount": 0, "state": state});
    let at = "2026-01-01T00:00:00Z";
    let running = json!({"status": {"phase": "Running", "startTime": at,
        "containerStatuses": [container(json!({"running": {"startedAt": at}}))]}});
    api.merge(&status, running.to_string().into()).await?;
    let mut launcher = control.connect().await?;
    for (path, body) in [("begin", json!({})), ("finish", json!({"exit_code": 0}))] {
        let path = format!("/pipeline/launcher/v1/{path}");
        launcher.answer(Method::POST, &path, body.to_string().into()).await?;
    }
    let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": at, "finishedAt": at}});
    let succeeded = json!({"status": {"phase": "Succeeded", "containerStatuses": [container(ended)]}});
    api.merge(&status, succeeded.to_string().into()).await
}
