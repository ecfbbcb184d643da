//! From the request for a pod to the first line of its log, beside a plain fork and exec of the same command.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::client::Endpoint;

/// What both run: a shell that says one word.
const COMMAND: [&str; 3] = ["/bin/sh", "-c", "echo started; exec sleep 60"];
/// A node that is not there by then is none.
const NODE_PATIENCE: Duration = Duration::from_secs(5);
/// A pod that has said nothing by then never will.
const POD_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// Whether the server has a node that is ready.
///
/// # Errors
/// When the server cannot be asked.
pub async fn has_node(endpoint: &Endpoint) -> anyhow::Result<bool> {
    let mut connection = endpoint.connect().await?;
    let began = Instant::now();
    while began.elapsed() < NODE_PATIENCE {
        let nodes = connection.answer(Method::GET, "/api/v1/nodes", Bytes::new()).await?;
        let nodes: Value = serde_json::from_slice(&nodes)?;
        let mut conditions = nodes["items"].as_array().into_iter().flatten();
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        if conditions.any(|node| node["status"]["conditions"].as_array().into_iter().flatten().any(is_ready)) {
            return Ok(true);
        }
        tokio::time::sleep(LOOK * 20).await;
    }
    Ok(false)
}

/// Makes a pod, reads the first bytes of its log, and removes it.
///
/// # Errors
/// When the pod says nothing.
pub async fn start(endpoint: &Endpoint, name: &str) -> anyhow::Result<Duration> {
    let mut connection = endpoint.connect().await?;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": COMMAND}]}});
    let log = format!("{pods}/{name}/log?follow=true");
    let began = Instant::now();
    connection.drained(Method::POST, pods, pod.to_string().into()).await?;
    has_started(endpoint, name).await?;
    let mut body = connection.send(Method::GET, &log, Bytes::new()).await?.into_body();
    let first = tokio::time::timeout(POD_PATIENCE, body.frame()).await;
    first.ok().flatten().with_context(|| format!("pod {name} says nothing"))??;
    let took = began.elapsed();
    let one = format!("{pods}/{name}?gracePeriodSeconds=0");
    endpoint.connect().await?.drained(Method::DELETE, &one, Bytes::new()).await?;
    Ok(took)
}

/// Waits for a pod whose container runs. It watches: requests that are refused until then would be a load of their own.
async fn has_started(endpoint: &Endpoint, name: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/namespaces/default/pods?watch=1&fieldSelector=metadata.name%3D{name}");
    let mut body = endpoint.connect().await?.send(Method::GET, &path, Bytes::new()).await?.into_body();
    let mut text = Vec::new();
    let started = async {
        while let Some(frame) = body.frame().await {
            text.extend_from_slice(frame?.data_ref().map_or(&[], |data| data));
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line)?;
                if event["object"]["status"]["containerStatuses"][0]["state"]["running"].is_object() {
                    return Ok(());
                }
            }
        }
        bail!("the watch of pod {name} has ended")
    };
    tokio::time::timeout(POD_PATIENCE, started).await.with_context(|| format!("pod {name} does not start"))?
}

/// Forks, executes and reads the first line.
///
/// # Errors
/// When there is no shell.
pub fn fork_and_exec() -> anyhow::Result<Duration> {
    let [program, arguments @ ..] = COMMAND;
    let began = Instant::now();
    let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut line)?;
    let took = began.elapsed();
    child.kill()?;
    child.wait()?;
    Ok(took)
}
