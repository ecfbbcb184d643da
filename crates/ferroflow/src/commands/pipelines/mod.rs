//! `ferroflow pipelines`, and what it shares with `ferroflow run` and `ferroflow runs`.
//!
//! * [`client`]: the API at the gateway.
//! * [`compile`]: from a file to a compiled pipeline.
//! * [`parameters`]: text to what the pipeline declares.
//! * [`follow`], [`tree`], [`table`]: what a person sees.

pub mod client;
pub mod compile;
pub mod follow;
pub mod parameters;
pub mod table;
pub mod tree;

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use ferroflow_platform::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use self::{
    client::Api,
    table::{print, text},
};
use crate::{
    args::Output,
    pipeline_args::{GetPipeline, ListPipelines, Pipelines, UploadPipeline},
    problem::Problem,
};

/// The most versions that are shown of a pipeline.
const VERSIONS: &str = "200";

/// Runs the command that was given.
pub fn run(data: &Path, pipelines: Pipelines) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match pipelines {
            Pipelines::List(options) => list(&Api::find(data, &options.ask.place)?, &options).await,
            Pipelines::Get(options) => get(&Api::find(data, &options.ask.place)?, &options).await,
            Pipelines::Upload(options) => upload(data, &options).await,
        }
    })
}

async fn list(api: &Api, options: &ListPipelines) -> anyhow::Result<ExitCode> {
    let limit = options.most.limit.to_string();
    let query = [("page_size", limit.as_str()), ("sort_by", "created_at desc"), ("namespace", &api.namespace)];
    let found = api.get("/pipelines", &query).await?;
    let pipelines = found["pipelines"].as_array().cloned().unwrap_or_default();
    match options.ask.output {
        Output::Json => println!("{:#}", Value::Array(pipelines)),
        Output::Text => print(
            &["PIPELINE", "CREATED", "NAME"],
            pipelines
                .iter()
                .map(|one| ["pipeline_id", "created_at", "display_name"].map(|field| text(&one[field])).to_vec()),
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// The pipeline of a name, where there is one.
async fn named(api: &Api, name: &str) -> anyhow::Result<Option<Value>> {
    let filter =
        json!({"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]}).to_string();
    let found = api.get("/pipelines", &[("namespace", api.namespace.as_str()), ("filter", &filter)]).await?;
    Ok(found["pipelines"].get(0).cloned())
}

async fn get(api: &Api, options: &GetPipeline) -> anyhow::Result<ExitCode> {
    let pipeline = match named(api, &options.pipeline).await? {
        Some(pipeline) => pipeline,
        None => api.get(&format!("/pipelines/{}", options.pipeline), &[]).await.with_context(|| {
            Problem::new(format!("there is no pipeline {:?}", options.pipeline), "see `ferroflow pipelines list`")
        })?,
    };
    let id = text(&pipeline["pipeline_id"]);
    let query = [("page_size", VERSIONS), ("sort_by", "created_at desc")];
    let found = api.get(&format!("/pipelines/{id}/versions"), &query).await?;
    let versions = found["pipeline_versions"].as_array().cloned().unwrap_or_default();
    if options.ask.output == Output::Json {
        let mut whole = pipeline;
        whole["pipeline_versions"] = Value::Array(versions);
        println!("{whole:#}");
        return Ok(ExitCode::SUCCESS);
    }
    println!("pipeline    {id}");
    println!("name        {}", text(&pipeline["display_name"]));
    for field in ["description", "created_at"] {
        let value = text(&pipeline[field]);
        if !value.is_empty() {
            println!("{:11} {value}", field.trim_end_matches("_at"));
        }
    }
    let spec = versions.first().map(|version| &version["pipeline_spec"]).unwrap_or(&Value::Null);
    let spec = if spec["pipeline_spec"].is_object() { &spec["pipeline_spec"] } else { spec };
    for (name, declared) in spec["root"]["inputDefinitions"]["parameters"].as_object().into_iter().flatten() {
        let default = &declared["defaultValue"];
        let default = if default.is_null() { String::new() } else { format!(" = {default}") };
        println!("parameter   {name}: {}{default}", text(&declared["parameterType"]));
    }
    println!();
    print(
        &["VERSION", "CREATED", "NAME"],
        versions
            .iter()
            .map(|one| ["pipeline_version_id", "created_at", "display_name"].map(|field| text(&one[field])).to_vec()),
    );
    Ok(ExitCode::SUCCESS)
}

async fn upload(data: &Path, options: &UploadPipeline) -> anyhow::Result<ExitCode> {
    let api = Api::find(data, &options.ask.place)?;
    let compiled = compile::compiled(data, &options.source)?;
    let name = options.name.clone().unwrap_or_else(|| compiled.pipeline.name.clone());
    let made = match named(&api, &name).await? {
        None => {
            let query = [("name", name.as_str()), ("namespace", api.namespace.as_str())];
            api.upload("/pipelines/upload", &query, &compiled.text).await?
        }
        Some(pipeline) => {
            let id = text(&pipeline["pipeline_id"]);
            let now = SystemClock.now().strftime("%Y-%m-%d %H-%M-%S").to_string();
            let version = options.version.clone().unwrap_or_else(|| format!("{name} {now}"));
            let query = [("name", version.as_str()), ("pipelineid", id.as_str())];
            api.upload("/pipelines/upload_version", &query, &compiled.text).await?
        }
    };
    match options.ask.output {
        Output::Json => println!("{made:#}"),
        Output::Text => {
            let version = text(&made["pipeline_version_id"]);
            println!(
                "{}{}",
                text(&made["pipeline_id"]),
                if version.is_empty() { version } else { format!(" {version}") }
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
