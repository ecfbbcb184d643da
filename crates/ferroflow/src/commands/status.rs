//! `ferroflow status`

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use ferroflow_api::names;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client, api::ListParams};
use serde_json::{Value, json};

use crate::{
    args::{Output, Status},
    paths,
    problem::Problem,
    record::{self, Record},
};

/// Asks the running server and prints what it says.
pub fn run(data: &Path, status: &Status) -> anyhow::Result<ExitCode> {
    let record = record::find(data)?.record;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(ask(data, &record))?;
    match status.output {
        Output::Json => println!("{found:#}"),
        Output::Text => print(&found),
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(data: &Path, record: &Record) -> anyhow::Result<Value> {
    let http = record.http.as_ref().context("the server has no http port")?;
    let token = std::fs::read_to_string(paths::token(data)).context("the administrator's token cannot be read")?;
    let mut config = kube::Config::new(format!("http://{http}").parse().context("the server's address")?);
    config.auth_info.token = Some(token.into());
    let client = Client::try_from(config)?;
    let hint = "look at its log, or stop it with `ferroflow down`";
    let refused = |error: kube::Error| Problem::new(format!("the server does not answer: {error}"), hint);
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.map_err(refused)?;
    let pods = Api::<Pod>::all(client).list(&ListParams::default()).await.map_err(refused)?;
    Ok(json!({
        "pid": record.pid,
        "version": record.version,
        "https": format!("https://{}", record.https),
        "http": format!("http://{http}"),
        "gateway": record.gateway.as_ref().map(|gateway| format!("http://{gateway}")),
        "dataDirectory": data,
        "nodes": nodes.items.iter().map(node).collect::<Vec<_>>(),
        "pods": phases(&pods.items),
    }))
}

fn node(node: &Node) -> Value {
    let status = node.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let (labels, annotations) = (node.metadata.labels.as_ref(), node.metadata.annotations.as_ref());
    json!({
        "name": node.metadata.name,
        "ready": ready,
        "isolation": labels.and_then(|labels| labels.get(names::ISOLATION_LABEL)),
        "isolationReason": annotations.and_then(|all| all.get(names::ISOLATION_REASON_ANNOTATION)),
        "podNetwork": labels.and_then(|labels| labels.get(names::POD_NETWORK_LABEL)),
        "podNetworkReason": annotations.and_then(|all| all.get(names::POD_NETWORK_REASON_ANNOTATION)),
        "allocatable": status.and_then(|status| status.allocatable.as_ref()),
    })
}

fn phases(pods: &[Pod]) -> Value {
    let mut counts = serde_json::Map::new();
    for pod in pods {
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_else(|| "Unknown".to_owned());
        let count = counts.get(&phase).and_then(Value::as_u64).unwrap_or(0);
        counts.insert(phase, (count + 1).into());
    }
    Value::Object(counts)
}

fn print(found: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    println!("ferroflow {} runs as process {}", text(&found["version"]), found["pid"]);
    println!("  API   {} and {}", text(&found["https"]), text(&found["http"]));
    if let Some(gateway) = found["gateway"].as_str() {
        println!("  gateway {gateway}");
    }
    println!("  data  {}", text(&found["dataDirectory"]));
    for node in found["nodes"].as_array().into_iter().flatten() {
        let state = if node["ready"] == true { "ready" } else { "not ready" };
        println!("  node  {}: {state}", text(&node["name"]));
        for (what, value, reason) in
            [("isolation", "isolation", "isolationReason"), ("pod network", "podNetwork", "podNetworkReason")]
        {
            let Some(value) = node[value].as_str() else { continue };
            let reason = node[reason].as_str().filter(|reason| !reason.is_empty());
            println!("        {what} {value}{}", reason.map(|reason| format!(": {reason}")).unwrap_or_default());
        }
        let amounts = node["allocatable"].as_object().into_iter().flatten();
        let amounts: Vec<String> = amounts.map(|(name, amount)| format!("{name} {}", text(amount))).collect();
        println!("        {}", amounts.join(", "));
    }
    let counts = found["pods"].as_object().into_iter().flatten();
    let counts: Vec<String> = counts.map(|(phase, count)| format!("{count} {phase}")).collect();
    println!("  pods  {}", if counts.is_empty() { "none".to_owned() } else { counts.join(", ") });
}
