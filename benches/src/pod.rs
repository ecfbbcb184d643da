//! From the request for a pod to the first line of its log, and from the request for many until all of them run.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::client::Endpoint;

/// What all sides run: a shell that says one word.
pub const COMMAND: [&str; 3] = ["/bin/sh", "-c", "echo started; exec sleep 60"];
/// A node that is not there by then is none.
const NODE_PATIENCE: Duration = Duration::from_secs(5);
/// A pod that has said nothing by then never will.
const POD_PATIENCE: Duration = Duration::from_secs(30);
/// The same for many at once.
const MANY_PATIENCE: Duration = Duration::from_secs(300);
/// Connections that make many pods.
const MAKERS: usize = 8;
pub const PODS: &str = "/api/v1/namespaces/default/pods";
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
    let pod = shell(name, "start");
    let log = format!("{PODS}/{name}/log?follow=true");
    let began = Instant::now();
    connection.drained(Method::POST, PODS, pod.to_string().into()).await?;
    until(endpoint, &format!("fieldSelector=metadata.name%3D{name}"), 1, POD_PATIENCE, runs).await?;
    let mut body = connection.send(Method::GET, &log, Bytes::new()).await?.into_body();
    let first = tokio::time::timeout(POD_PATIENCE, body.frame()).await;
    first.ok().flatten().with_context(|| format!("pod {name} says nothing"))??;
    let took = began.elapsed();
    let one = format!("{PODS}/{name}?gracePeriodSeconds=0");
    endpoint.connect().await?.drained(Method::DELETE, &one, Bytes::new()).await?;
    Ok(took)
}

/// A pod that says one word and waits.
pub fn shell(name: &str, label: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"bench": label}}, "spec": {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": COMMAND}]}})
}

/// Whether a pod's container runs.
pub fn runs(pod: &Value) -> bool {
    pod["status"]["containerStatuses"][0]["state"]["running"].is_object()
}

/// Makes pods, all with the label `bench=LABEL`, from a few connections, and waits until all of them run.
///
/// # Errors
/// When one does not.
pub async fn all_run(endpoint: &Endpoint, label: &str, pods: Vec<Value>) -> anyhow::Result<Duration> {
    let mut connections = Vec::new();
    for _ in 0..MAKERS {
        connections.push(endpoint.connect().await?);
    }
    let count = pods.len();
    let mut shares: Vec<Vec<Value>> = vec![Vec::new(); MAKERS];
    for (share, pod) in (0..MAKERS).cycle().zip(pods) {
        if let Some(share) = shares.get_mut(share) {
            share.push(pod);
        }
    }
    let mut makers = tokio::task::JoinSet::new();
    let began = Instant::now();
    for (mut connection, share) in connections.into_iter().zip(shares) {
        makers.spawn(async move {
            for pod in share {
                connection.drained(Method::POST, PODS, pod.to_string().into()).await?;
            }
            anyhow::Ok(())
        });
    }
    let made = async {
        while let Some(made) = makers.join_next().await {
            made??;
        }
        anyhow::Ok(())
    };
    let query = labelled(label);
    tokio::try_join!(made, until(endpoint, &query, count, MANY_PATIENCE, runs))?;
    Ok(began.elapsed())
}

/// Removes all pods with the label `bench=LABEL`, and waits until they are gone.
///
/// # Errors
/// When they stay.
pub async fn remove(endpoint: &Endpoint, label: &str) -> anyhow::Result<()> {
    let path = format!("{PODS}?{}", labelled(label));
    let mut connection = endpoint.connect().await?;
    connection.drained(Method::DELETE, &format!("{path}&gracePeriodSeconds=0"), Bytes::new()).await?;
    let began = Instant::now();
    loop {
        let left: Value = serde_json::from_slice(&connection.answer(Method::GET, &path, Bytes::new()).await?)?;
        if left["items"].as_array().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        anyhow::ensure!(began.elapsed() < MANY_PATIENCE, "pods with bench={label} do not go");
        tokio::time::sleep(LOOK * 100).await;
    }
}

fn labelled(label: &str) -> String {
    format!("labelSelector=bench%3D{label}")
}

/// Waits until so many pods are as they should be. It watches: requests that are refused until then would be a load of
/// their own.
///
/// # Errors
/// When they are not in time.
pub async fn until(
    endpoint: &Endpoint,
    query: &str,
    count: usize,
    patience: Duration,
    is_so: impl Fn(&Value) -> bool,
) -> anyhow::Result<()> {
    let path = format!("{PODS}?watch=1&{query}");
    let mut body = endpoint.connect().await?.send(Method::GET, &path, Bytes::new()).await?.into_body();
    let mut text = Vec::new();
    let mut those = BTreeSet::new();
    let mut last = Value::Null;
    let started = async {
        while let Some(frame) = body.frame().await {
            text.extend_from_slice(frame?.data_ref().map_or(&[], |data| data));
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line)?;
                let pod = &event["object"];
                if is_so(pod) {
                    those.insert(pod["metadata"]["name"].to_string());
                } else {
                    last = pod["status"].clone();
                }
                if those.len() >= count {
                    return Ok(());
                }
            }
        }
        bail!("the watch of {path} has ended")
    };
    let done = tokio::time::timeout(patience, started).await;
    done.unwrap_or_else(|late| Err(late.into()))
        .with_context(|| format!("pods of {query}, the last of which is {last}"))
}
