//! `ferroflow runs`

use std::{io::Write, path::Path, process::ExitCode};

use anyhow::Context;
use ferroflow_platform::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use super::{
    pipelines::{
        client::Api,
        follow::{self, Seen},
        table::{print, text},
        tree::{Detail, Task},
    },
    run::{outcome, whole},
};
use crate::{
    args::Output,
    pipeline_args::{GetRun, ListRuns, Logs, Place, RetryRun, Runs},
    problem::Problem,
};

/// Characters of a run's id.
const ID: usize = 36;
/// Runs among which one is looked for by name or by the beginning of its id.
const LATEST: &str = "200";

/// Runs the command that was given.
pub fn run(data: &Path, runs: Runs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let api = |place: &Place| Api::find(data, place);
    runtime.block_on(async {
        match runs {
            Runs::List(options) => list(&api(&options.ask.place)?, &options).await,
            Runs::Get(options) => get(&api(&options.ask.place)?, &options).await,
            Runs::Logs(options) => logs(&api(&options.place)?, &options).await,
            Runs::Retry(options) => retry(&api(&options.ask.place)?, &options).await,
            Runs::Terminate(options) => {
                let api = api(&options.place)?;
                let id = resolve(&api, &options.which.run).await?;
                api.post(&format!("/runs/{id}:terminate"), &json!({})).await?;
                println!("{id}");
                Ok(ExitCode::SUCCESS)
            }
            Runs::Delete(options) => {
                let api = api(&options.place)?;
                let id = resolve(&api, &options.which.run).await?;
                api.delete(&format!("/runs/{id}")).await?;
                println!("{id}");
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

async fn list(api: &Api, options: &ListRuns) -> anyhow::Result<ExitCode> {
    let limit = options.most.limit.to_string();
    let mut query = vec![("page_size", limit.as_str()), ("sort_by", "created_at desc")];
    let experiment = match &options.experiment {
        Some(name) => Some(experiment(api, name).await?),
        None => None,
    };
    match &experiment {
        Some(id) => query.push(("experiment_id", id)),
        None => query.push(("namespace", &api.namespace)),
    }
    let filter = options.state.as_ref().map(|state| filter("state", &state.to_uppercase()));
    if let Some(filter) = &filter {
        query.push(("filter", filter));
    }
    let found = api.get("/runs", &query).await?;
    let runs = found["runs"].as_array().cloned().unwrap_or_default();
    match options.ask.output {
        Output::Json => println!("{:#}", Value::Array(runs)),
        Output::Text => print(
            &["RUN", "STATE", "CREATED", "TOOK", "NAME"],
            runs.iter().map(|run| {
                let fields = ["run_id", "state", "created_at", "", "display_name"].map(|field| text(&run[field]));
                let [id, state, created, _, name] = fields;
                vec![id, state, created, follow::lasted(run), name]
            }),
        ),
    }
    Ok(ExitCode::SUCCESS)
}

fn filter(key: &str, value: &str) -> String {
    json!({"predicates": [{"operation": "EQUALS", "key": key, "string_value": value}]}).to_string()
}

async fn experiment(api: &Api, name: &str) -> anyhow::Result<String> {
    let filter = filter("display_name", name);
    let found = api.get("/experiments", &[("namespace", &api.namespace), ("filter", &filter)]).await?;
    let id = found["experiments"][0]["experiment_id"].as_str().map(str::to_owned);
    let absent = || Problem::new(format!("there is no experiment {name:?}"), "`ferroflow run --experiment` makes one");
    Ok(id.ok_or_else(absent)?)
}

/// The id of the run that a word means.
async fn resolve(api: &Api, word: &str) -> anyhow::Result<String> {
    if word.len() == ID && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Ok(word.to_owned());
    }
    let query = [("page_size", LATEST), ("sort_by", "created_at desc"), ("namespace", &api.namespace)];
    let found = api.get("/runs", &query).await?;
    let runs = found["runs"].as_array().map(Vec::as_slice).unwrap_or_default();
    // The newest of a name is meant; of a beginning of ids there must be one.
    if let Some(run) = runs.iter().find(|run| run["display_name"] == word) {
        return Ok(text(&run["run_id"]));
    }
    let ids: Vec<String> = runs.iter().map(|run| text(&run["run_id"])).filter(|id| id.starts_with(word)).collect();
    match ids.as_slice() {
        [id] if !word.is_empty() => Ok(id.clone()),
        [] => {
            Err(Problem::new(format!("there is no run {word:?} among the last {LATEST}"), "see `ferroflow runs list`")
                .into())
        }
        _ => Err(Problem::new(format!("{} runs begin with {word:?}", ids.len()), "give more of the id").into()),
    }
}

async fn get(api: &Api, options: &GetRun) -> anyhow::Result<ExitCode> {
    let id = resolve(api, &options.which.run).await?;
    let seen = follow::look(api, &id).await?;
    if options.ask.output == Output::Json {
        println!("{:#}", whole(&seen));
        return Ok(ExitCode::SUCCESS);
    }
    let run = &seen.run;
    println!("run         {id}");
    println!("name        {}", text(&run["display_name"]));
    println!("state       {}", seen.state());
    println!("created     {}", text(&run["created_at"]));
    let took = follow::lasted(run);
    if !took.is_empty() {
        println!("took        {took}");
    }
    for (name, value) in run["runtime_config"]["parameters"].as_object().into_iter().flatten() {
        println!("parameter   {name}={}", text(value));
    }
    println!();
    let detail = if options.all { Detail::Everything } else { Detail::Lively };
    for line in seen.tree().lines(SystemClock.now(), detail, &|_, text| text.to_owned()) {
        println!("{line}");
    }
    for failure in follow::failures(&seen) {
        println!("\n{failure}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn logs(api: &Api, options: &Logs) -> anyhow::Result<ExitCode> {
    let id = resolve(api, &options.which.run).await?;
    let seen = follow::look(api, &id).await?;
    let tree = seen.tree();
    let Some(word) = &options.step else {
        for step in tree
            .tasks()
            .iter()
            .filter(|task| task.is_step() && !matches!(task.state.as_str(), "PENDING" | "SKIPPED" | "CACHED"))
        {
            print_log(api, &id, step).await?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let step = match tree.steps(word).as_slice() {
        [step] => (*step).clone(),
        [] => return Err(Problem::new(format!("the run has no step {word:?}"), steps(&seen)).into()),
        several => {
            let paths: Vec<&str> = several.iter().take(10).map(|task| task.path.as_str()).collect();
            let what = format!("{} steps are called {word:?}", several.len());
            return Err(Problem::new(what, format!("give a path, as {}", paths.join(", "))).into());
        }
    };
    let follow = if options.follow { "?follow=true" } else { "" };
    let mut out = std::io::stdout().lock();
    let path = format!("/runs/{id}/tasks/{}/log{follow}", step.id);
    let written = api.stream(&path, |bytes| {
        out.write_all(bytes)?;
        Ok(out.flush()?)
    });
    written.await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a log with the step's path before each line.
async fn print_log(api: &Api, run: &str, step: &Task) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut rest: Vec<u8> = Vec::new();
    let mut put = |line: &[u8]| -> anyhow::Result<()> {
        write!(out, "{} | ", step.path)?;
        out.write_all(line)?;
        Ok(writeln!(out)?)
    };
    let path = format!("/runs/{run}/tasks/{}/log", step.id);
    let read = api.stream(&path, |bytes| {
        rest.extend_from_slice(bytes);
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let lines: Vec<u8> = rest.drain(..=end).collect();
        for line in lines.lines_of() {
            put(line)?;
        }
        Ok(())
    });
    read.await.with_context(|| format!("the log of {}", step.path))?;
    if rest.is_empty() { Ok(()) } else { put(&rest) }
}

/// Lines of bytes, which need not be text.
trait Lines {
    fn lines_of(&self) -> impl Iterator<Item = &[u8]>;
}

impl Lines for Vec<u8> {
    fn lines_of(&self) -> impl Iterator<Item = &[u8]> {
        self.strip_suffix(b"\n").unwrap_or(self).split(|byte| *byte == b'\n')
    }
}

fn steps(seen: &Seen) -> String {
    let tree = seen.tree();
    let paths: Vec<&str> =
        tree.tasks().iter().filter(|task| task.is_step()).map(|task| task.path.as_str()).take(20).collect();
    if paths.is_empty() { "it has none yet".to_owned() } else { format!("it has {}", paths.join(", ")) }
}

async fn retry(api: &Api, options: &RetryRun) -> anyhow::Result<ExitCode> {
    let id = resolve(api, &options.which.run).await?;
    api.post(&format!("/runs/{id}:retry"), &json!({})).await?;
    if options.no_wait {
        println!("{id}");
        return Ok(ExitCode::SUCCESS);
    }
    outcome(api, &id, options.ask.output).await
}
