//! Runs, as a client starts them and waits for them.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::client::{Connection, Endpoint};

/// The pipelines' API behind the API server, as `kfp.Client()` reaches it.
const BEHIND: &str = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy/apis/v2beta1";
/// The same at the gateway.
const AT_THE_GATEWAY: &str = "/pipeline/apis/v2beta1";
/// A run that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks at a run, at the least; cheap beside a step.
const LOOK: Duration = Duration::from_millis(2);
/// Between two looks at a run that takes longer: this part of the time that it has taken. An answer tells every task of the
/// run, so that looking all the time would be most of what is measured; so the figures of long runs are two per cent too high
/// at the most.
const LOOK_PART: u32 = 50;

/// A client's connection.
pub struct Client {
    connection: Connection,
    api: &'static str,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn new(endpoint: &Endpoint) -> anyhow::Result<Self> {
        Ok(Self { connection: endpoint.connect().await?, api: BEHIND })
    }

    /// Connects to a gateway.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn at_gateway(endpoint: &Endpoint) -> anyhow::Result<Self> {
        Ok(Self { connection: endpoint.connect().await?, api: AT_THE_GATEWAY })
    }

    /// One request; its answer as JSON.
    ///
    /// # Errors
    /// When the server does not answer with 2xx.
    pub async fn call(&mut self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(serde_json::to_vec(body)?) };
        let answer = self.connection.answer(method, &format!("{}{path}", self.api), body).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// One request whose answer is drained, undecoded: its length.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn drained(&mut self, path: &str) -> anyhow::Result<usize> {
        self.connection.drained(Method::GET, &format!("{}{path}", self.api), Bytes::new()).await
    }

    /// Starts a run of a compiled pipeline, and says its id.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn start(&mut self, spec: &Value) -> anyhow::Result<String> {
        let body = json!({"display_name": "bench", "pipeline_spec": spec, "runtime_config": {}});
        let run = self.call(Method::POST, "/runs", &body).await?;
        Ok(run["run_id"].as_str().context("a run without an id")?.to_owned())
    }

    /// Waits until a run has succeeded.
    ///
    /// # Errors
    /// When it ends in another way, or not at all.
    pub async fn wait(&mut self, run: &str) -> anyhow::Result<Value> {
        let began = Instant::now();
        loop {
            let found = self.call(Method::GET, &format!("/runs/{run}"), &Value::Null).await?;
            match found["state"].as_str().unwrap_or_default() {
                "SUCCEEDED" => return Ok(found),
                "PENDING" | "RUNNING" => {}
                state => bail!("a run ended as {state}: {}", found["error"]),
            }
            ensure!(began.elapsed() < PATIENCE, "a run does not end");
            tokio::time::sleep(LOOK.max(began.elapsed() / LOOK_PART)).await;
        }
    }

    /// From the request that starts a run to the answer that says that it has succeeded.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn timed(&mut self, spec: &Value) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let run = self.start(spec).await?;
        self.wait(&run).await?;
        Ok(began.elapsed())
    }
}
