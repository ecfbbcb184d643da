//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// A machine-learning platform on Kubernetes, in one binary.
#[derive(Parser, Debug)]
#[command(name = "ferroflow", version, max_term_width = 100)]
pub struct Args {
    /// Where the cluster's data lies.
    #[arg(long, global = true, env = "FERROFLOW_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Start the cluster; it runs until interrupted, or in the background with --detach.
    Up(Up),
    /// Stop the cluster and its pods. Data stays; the next `up` goes on where it stood.
    Down(Down),
    /// Show whether the cluster runs, and what runs in it.
    Status(Status),
    /// Print shell commands that point clients at the cluster: eval "$(ferroflow env)".
    Env,
    /// Stop the cluster and remove all of its data.
    Reset(Reset),
    /// Print versions.
    Version,
    /// Print a completion script for a shell.
    Completions { shell: clap_complete::Shell },
}

#[derive(ClapArgs, Debug)]
pub struct Up {
    /// The https port of the API on 127.0.0.1; 0 lets the system choose.
    #[arg(long, default_value_t = 6443, value_name = "PORT")]
    pub port: u16,

    /// The http port of the API on 127.0.0.1; 0 lets the system choose.
    #[arg(long, default_value_t = 6480, value_name = "PORT")]
    pub http_port: u16,

    /// Advertise devices that are not there, as nvidia.com/gpu=4; may be given more than once.
    #[arg(long, value_name = "RESOURCE=COUNT", value_parser = simulated)]
    pub simulate: Vec<(String, u32)>,

    /// A TOML file with the table that maps images to environments and commands.
    #[arg(long, value_name = "FILE")]
    pub images: Option<PathBuf>,

    /// Return once the cluster is ready, and leave it running.
    #[arg(long)]
    pub detach: bool,

    /// What runs beside the API.
    #[arg(long, value_enum, default_value_t = Parts::All)]
    pub parts: Parts,
}

/// What a server consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Parts {
    /// The API, the controllers and a node.
    All,
    /// The API and the controllers, without a node.
    Control,
    /// The API alone, as a kube-apiserver without anything else.
    Api,
}

#[derive(ClapArgs, Debug)]
pub struct Down {
    /// Leave the pods' processes running; the next `up` finds them again.
    #[arg(long)]
    pub keep_pods: bool,
}

#[derive(ClapArgs, Debug)]
pub struct Status {
    /// How the status is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

#[derive(ClapArgs, Debug)]
pub struct Reset {
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

fn simulated(text: &str) -> Result<(String, u32), String> {
    let (name, count) = text.split_once('=').ok_or("expected RESOURCE=COUNT, as nvidia.com/gpu=4")?;
    let count = count.parse().map_err(|_| format!("{count:?} is not a count"))?;
    if !name.contains('/') {
        return Err(format!("{name:?} is not an extended resource; its name has a domain, as nvidia.com/gpu"));
    }
    Ok((name.to_owned(), count))
}
