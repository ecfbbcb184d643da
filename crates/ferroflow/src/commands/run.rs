//! `ferroflow run`

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use ferroflow_platform::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use super::pipelines::{
    client::Api,
    compile,
    follow::{self, Left, Seen},
    parameters,
};
use crate::{args::Output, pipeline_args::Run};

/// The exit code of who is interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// Compiles, starts and follows a run.
pub fn run(data: &Path, options: &Run) -> anyhow::Result<ExitCode> {
    let api = Api::find(data, &options.ask.place)?;
    let mut compiled = compile::compiled(data, &options.source)?;
    let values = parameters::typed(&compiled.pipeline, &options.parameters)?;
    if options.no_cache {
        forget_cache(&mut compiled.document);
    }
    let name = options
        .name
        .clone()
        .unwrap_or_else(|| format!("{} {}", compiled.pipeline.name, SystemClock.now().strftime("%Y-%m-%d %H-%M-%S")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let experiment = experiment(&api, &options.experiment).await?;
        let body = json!({
            "display_name": name,
            "experiment_id": experiment,
            "pipeline_spec": compiled.document,
            "runtime_config": {"parameters": values},
        });
        let run = api.post("/runs", &body).await?;
        let id = run["run_id"].as_str().context("the server started a run without an id")?;
        eprintln!("run {id}: {name}");
        if options.no_wait {
            started(&run, id, options.ask.output);
            return Ok(ExitCode::SUCCESS);
        }
        outcome(&api, id, options.ask.output).await
    })
}

/// Follows a run and tells how it ended.
///
/// # Errors
/// Those of the server.
pub async fn outcome(api: &Api, id: &str, output: Output) -> anyhow::Result<ExitCode> {
    let (seen, left) = follow::follow(api, id).await?;
    if matches!(left, Left::Interrupted) {
        eprintln!("the run goes on: `ferroflow runs get {id}` shows it, `ferroflow runs terminate {id}` ends it");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    match output {
        Output::Json => println!("{:#}", whole(&seen)),
        Output::Text => println!("{id} {} {}", seen.state(), follow::lasted(&seen.run)),
    }
    if seen.state() == "SUCCEEDED" {
        return Ok(ExitCode::SUCCESS);
    }
    for failure in follow::failures(&seen) {
        eprintln!("error: {failure}");
    }
    eprintln!(
        "hint: `ferroflow runs logs {id}` prints what the steps said, `ferroflow runs retry {id}` goes on where it failed"
    );
    Ok(ExitCode::FAILURE)
}

/// A run with its tasks, as one object.
pub fn whole(seen: &Seen) -> Value {
    let mut whole = seen.run.clone();
    // As long as the pipeline, and as every task once more.
    if let Some(fields) = whole.as_object_mut() {
        fields.remove("pipeline_spec");
        fields.remove("run_details");
        fields.insert("tasks".to_owned(), Value::Array(seen.tasks.clone()));
    }
    whole
}

fn started(run: &Value, id: &str, output: Output) {
    match output {
        Output::Json => {
            let mut run = run.clone();
            if let Some(fields) = run.as_object_mut() {
                fields.remove("pipeline_spec");
            }
            println!("{run:#}");
        }
        Output::Text => println!("{id}"),
    }
}

/// The experiment of a name; made where there is none.
async fn experiment(api: &Api, name: &str) -> anyhow::Result<String> {
    let filter =
        json!({"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]}).to_string();
    let query = [("namespace", api.namespace.as_str()), ("filter", filter.as_str())];
    let found = api.get("/experiments", &query).await?;
    let id = |experiment: &Value| experiment["experiment_id"].as_str().map(str::to_owned);
    if let Some(id) = found["experiments"].as_array().and_then(|listed| listed.iter().find_map(id)) {
        return Ok(id);
    }
    let made = api.post("/experiments", &json!({"display_name": name, "namespace": api.namespace})).await?;
    id(&made).context("the server made an experiment without an id")
}

/// Turns the cache off for every task of every DAG; the SDK does so for those of the root alone.
fn forget_cache(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Object(tasks)) = fields.get_mut("tasks") {
                for task in tasks.values_mut().filter_map(Value::as_object_mut) {
                    task.insert("cachingOptions".to_owned(), json!({}));
                }
            }
            fields.values_mut().for_each(forget_cache);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_cache),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_cache_no_task_of_any_dag_asks_it() {
        let task = json!({"cachingOptions": {"enableCache": true}});
        let mut document = json!({"pipeline_spec": {
            "root": {"dag": {"tasks": {"a": task}}},
            "components": {"comp-b": {"dag": {"tasks": {"b": task}}}},
        }});
        forget_cache(&mut document);
        assert!(!document.to_string().contains("enableCache"));
        assert_eq!(
            document["pipeline_spec"]["components"]["comp-b"]["dag"]["tasks"]["b"],
            json!({"cachingOptions": {}})
        );
    }
}
