//! Both ends of a Service in pods, as environments of this program, and the same two ends on plain loopback.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{client::Endpoint, pod};

const IMAGE: &str = "ferroflow.dev/bench:dev";
const PORT: u16 = 7000;
const SERVICES: &str = "/api/v1/namespaces/default/services";
/// A stream that has not ended by then never will.
const PATIENCE: Duration = Duration::from_secs(120);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The table by which pods run this program.
///
/// # Errors
/// When it cannot be written.
pub fn table() -> anyhow::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("ferroflow-bench-").suffix(".toml").tempfile()?;
    writeln!(file, "[[image]]\nmatch = {IMAGE:?}\nentrypoint = [{:?}]", own()?.display().to_string())?;
    Ok(file)
}

fn own() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("this program")
}

fn environment(name: &str, label: &str, arguments: &[&str]) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"bench": label}}, "spec": {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "args": arguments}]}})
}

/// A pod that serves, behind a Service.
pub struct Inside {
    /// Of the Service.
    address: String,
}

impl Inside {
    /// Makes the pod and its Service.
    ///
    /// # Errors
    /// When the pod does not run.
    pub async fn start(endpoint: &Endpoint) -> anyhow::Result<Self> {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bench"}, "spec": {
            "selector": {"bench": "serve"}, "ports": [{"port": PORT}]}});
        let mut connection = endpoint.connect().await?;
        connection.drained(Method::POST, SERVICES, service.to_string().into()).await?;
        let listen = format!("0.0.0.0:{PORT}");
        pod::all_run(endpoint, "serve", vec![environment("serve", "serve", &["serve", &listen])]).await?;
        let made = connection.answer(Method::GET, &format!("{SERVICES}/bench"), Bytes::new()).await?;
        let made: Value = serde_json::from_slice(&made)?;
        let address = made["spec"]["clusterIP"].as_str().context("the Service has no address")?;
        Ok(Self { address: format!("{address}:{PORT}") })
    }

    /// Dials the Service from another pod, and returns what it says.
    ///
    /// # Errors
    /// When it says no number.
    pub async fn dial(&self, endpoint: &Endpoint, words: &[&str]) -> anyhow::Result<f64> {
        let name = format!("dial-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let arguments = [&["dial", &self.address], words].concat();
        let pod = environment(&name, "dial", &arguments).to_string();
        let mut connection = endpoint.connect().await?;
        connection.drained(Method::POST, pod::PODS, pod.into()).await?;
        let is_over = |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        pod::until(endpoint, &format!("fieldSelector=metadata.name%3D{name}"), 1, PATIENCE, is_over).await?;
        let log = connection.answer(Method::GET, &format!("{}/{name}/log", pod::PODS), Bytes::new()).await?;
        pod::remove(endpoint, "dial").await?;
        number(&String::from_utf8_lossy(&log))
    }
}

/// A process that serves on loopback; dropping it ends it.
pub struct Outside {
    server: Child,
    address: String,
}

impl Outside {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not say where it listens.
    pub fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(own()?);
        command.args(["serve", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut this = Self { server: command.spawn()?, address: String::new() };
        let mut line = String::new();
        BufReader::new(this.server.stdout.take().context("no pipe")?).read_line(&mut line)?;
        line.trim().clone_into(&mut this.address);
        Ok(this)
    }

    /// Dials it from another process, and returns what that says.
    ///
    /// # Errors
    /// When it says no number.
    pub fn dial(&self, words: &[&str]) -> anyhow::Result<f64> {
        let output = Command::new(own()?).args(["dial", &self.address]).args(words).stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "dial: {}", String::from_utf8_lossy(&output.stderr));
        number(&String::from_utf8_lossy(&output.stdout))
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn number(text: &str) -> anyhow::Result<f64> {
    text.trim().parse().with_context(|| format!("the traffic's end says {text:?}"))
}
