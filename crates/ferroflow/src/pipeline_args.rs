//! What can be said on the command line of pipelines and their runs.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use crate::args::Output;

/// How the API of pipelines is found.
#[derive(ClapArgs, Debug, Clone, Default)]
pub struct Place {
    /// The gateway to ask, as http://127.0.0.1:8800. Without it that of the data directory's server, or FERROFLOW_GATEWAY.
    #[arg(long, value_name = "URL")]
    pub gateway: Option<String>,

    /// The bearer token for it. Without it that of the data directory, or FERROFLOW_TOKEN.
    #[arg(long, value_name = "TOKEN", requires = "gateway")]
    pub token: Option<String>,

    /// The namespace of runs and pipelines.
    #[arg(long, value_name = "NAME", default_value = "kubeflow")]
    pub namespace: String,
}

/// Whom a command asks, and how it prints what it is told.
#[derive(ClapArgs, Debug)]
pub struct Ask {
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    #[command(flatten)]
    pub place: Place,
}

/// How much of a list is printed.
#[derive(ClapArgs, Debug)]
pub struct Most {
    /// How many.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub limit: u32,
}

/// A run of the server.
#[derive(ClapArgs, Debug)]
pub struct Which {
    /// The run: its id, the beginning of it, or its name.
    #[arg(value_name = "RUN")]
    pub run: String,
}

/// What a pipeline is taken from.
#[derive(ClapArgs, Debug)]
pub struct Source {
    /// The pipeline: Python that uses the kfp SDK, or what its compiler wrote (.yaml, .yml, .json).
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The pipeline function, where a Python file has several: its name in Python, or that of the pipeline.
    #[arg(long, value_name = "NAME")]
    pub function: Option<String>,

    /// A Python that has kfp, to compile with. Without it, one is made once, by uv, in the data directory.
    #[arg(long, value_name = "PROGRAM")]
    pub python: Option<PathBuf>,
}

/// `ferroflow run`
#[derive(ClapArgs, Debug)]
#[command(
    after_help = "Exit code: 0 the run succeeded (or was started, with --no-wait), 1 it failed or could not be started, 130 interrupted while it goes on."
)]
pub struct Run {
    #[command(flatten)]
    pub source: Source,

    /// A parameter, as its declared type: text as it is, numbers, true or false, lists and structs as JSON; may be given
    /// more than once.
    #[arg(short = 'p', long = "parameter", value_name = "KEY=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,

    /// The experiment that the run belongs to; made where it is not there.
    #[arg(long, value_name = "NAME", default_value = "Default")]
    pub experiment: String,

    /// The run's name. Without it, the pipeline's name and the time.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Run every step, also those that the cache could answer.
    #[arg(long)]
    pub no_cache: bool,

    /// Return once the run is started.
    #[arg(long)]
    pub no_wait: bool,

    #[command(flatten)]
    pub ask: Ask,
}

/// `ferroflow runs`
#[derive(Subcommand, Debug)]
pub enum Runs {
    /// List runs, the newest first.
    List(ListRuns),
    /// Show a run: its tasks, their states, durations and errors.
    Get(GetRun),
    /// Print the logs of a run's steps.
    Logs(Logs),
    /// Run a failed run again, from the steps that failed.
    Retry(RetryRun),
    /// End a run that is under way.
    Terminate(ChangeRun),
    /// Remove a run with its logs and what its steps have written, but for what other runs have taken over from it.
    Delete(ChangeRun),
}

#[derive(ClapArgs, Debug)]
pub struct ListRuns {
    #[command(flatten)]
    pub most: Most,

    /// Only those of this experiment.
    #[arg(long, value_name = "NAME")]
    pub experiment: Option<String>,

    /// Only those in this state, as FAILED.
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,

    #[command(flatten)]
    pub ask: Ask,
}

#[derive(ClapArgs, Debug)]
pub struct GetRun {
    #[command(flatten)]
    pub which: Which,

    /// Every task, also the iterations of loops.
    #[arg(long)]
    pub all: bool,

    #[command(flatten)]
    pub ask: Ask,
}

#[derive(ClapArgs, Debug)]
pub struct Logs {
    #[command(flatten)]
    pub which: Which,

    /// The step: its path, as for-loop-1/0/train, or its key where only one has it. Without it all steps, one after the other.
    #[arg(value_name = "STEP")]
    pub step: Option<String>,

    /// Go on until the step has ended.
    #[arg(short, long, requires = "step")]
    pub follow: bool,

    #[command(flatten)]
    pub place: Place,
}

#[derive(ClapArgs, Debug)]
#[command(after_help = "Exit code: as of `ferroflow run`.")]
pub struct RetryRun {
    #[command(flatten)]
    pub which: Which,

    /// Return once it is started.
    #[arg(long)]
    pub no_wait: bool,

    #[command(flatten)]
    pub ask: Ask,
}

#[derive(ClapArgs, Debug)]
pub struct ChangeRun {
    #[command(flatten)]
    pub which: Which,

    #[command(flatten)]
    pub place: Place,
}

/// `ferroflow pipelines`
#[derive(Subcommand, Debug)]
pub enum Pipelines {
    /// List pipelines, the newest first.
    List(ListPipelines),
    /// Show a pipeline, its versions and parameters.
    Get(GetPipeline),
    /// Keep a pipeline on the server, or a new version of it.
    Upload(UploadPipeline),
}

#[derive(ClapArgs, Debug)]
pub struct ListPipelines {
    #[command(flatten)]
    pub most: Most,

    #[command(flatten)]
    pub ask: Ask,
}

#[derive(ClapArgs, Debug)]
pub struct GetPipeline {
    /// The pipeline: its id or name.
    #[arg(value_name = "PIPELINE")]
    pub pipeline: String,

    #[command(flatten)]
    pub ask: Ask,
}

#[derive(ClapArgs, Debug)]
pub struct UploadPipeline {
    #[command(flatten)]
    pub source: Source,

    /// The pipeline's name on the server. Without it, the one in the file.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// The name of the new version, where the pipeline is there already. Without it, the pipeline's name and the time.
    #[arg(long, value_name = "NAME")]
    pub version: Option<String>,

    #[command(flatten)]
    pub ask: Ask,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not KEY=VALUE")),
    }
}
