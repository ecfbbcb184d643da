//! What can be said on the command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use ferroflow_node::{PodNetworkKind, Thresholds, runtime::Isolation};

use crate::{
    artifacts::Artifacts,
    certificate::TlsPlace,
    image_args::Images,
    install_args::{Doctor, Install, Uninstall},
    moving_args::{Export, Import},
    pipeline_args::{Pipelines, Run, Runs},
    records::RecordsPlace,
};

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
    /// Serve pipelines in a cluster, or beside one: runs become pods of it. `install` puts it there.
    #[command(visible_alias = "serve")]
    Server(Box<Server>),
    /// Put Ferroflow into a cluster, or bring what is there up to date.
    Install(Box<Install>),
    /// Take Ferroflow out of a cluster. What was recorded stays, unless it is to go.
    Uninstall(Uninstall),
    /// Look whether Ferroflow is well in a cluster, and say what to change.
    Doctor(Doctor),
    /// Stop the cluster and its pods. Data stays; the next `up` goes on where it stood.
    Down(Down),
    /// Show whether the cluster runs, and what runs in it.
    Status(Status),
    /// Print shell commands that point clients at the cluster: eval "$(ferroflow env)".
    Env,
    /// Stop the cluster and remove all of its data.
    Reset(Reset),
    /// Run a pipeline and follow it to its end.
    Run(Box<Run>),
    /// Look at runs of pipelines, their logs, retry and terminate them.
    #[command(subcommand)]
    Runs(Runs),
    /// Look at pipelines that the server keeps, and upload them.
    #[command(subcommand)]
    Pipelines(Pipelines),
    /// Write pipelines, runs, schedules and artifacts into one file, for `import` elsewhere or as a backup.
    Export(Box<Export>),
    /// Add what such a file has to the records and artifacts here. What is there stays.
    Import(Box<Import>),
    /// Look at, get and remove container images. Works with and without a running cluster.
    #[command(subcommand)]
    Images(Images),
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

    /// The port of the gateway on 127.0.0.1, where pipelines are at /pipeline; 0 lets the system choose. There is none with
    /// `--parts api`.
    #[arg(long, default_value_t = 8800, value_name = "PORT")]
    pub gateway_port: u16,

    /// Advertise devices that are not there, as nvidia.com/gpu=4; may be given more than once.
    #[arg(long, value_name = "RESOURCE=COUNT", value_parser = simulated)]
    pub simulate: Vec<(String, u32)>,

    /// A TOML file with the table that maps images to environments and commands.
    #[arg(long, value_name = "FILE")]
    pub images: Option<PathBuf>,

    /// How well pods are kept apart: container (images as roots), environment (the host's programs in private
    /// mounts) or bare (processes of the host). The best that works here if none is given.
    #[arg(long, value_name = "LEVEL", value_parser = isolation)]
    pub isolation: Option<Isolation>,

    /// The network of pods: shared (the host's, in which each pod has an address that stands for its own, at the speed of
    /// loopback) or private (one of its own for each pod, as in any cluster; at isolation container and environment).
    #[arg(long, value_name = "KIND", default_value = "shared", value_parser = pod_network)]
    pub pod_network: PodNetworkKind,

    /// How little memory and disk may be left before pods are ended, as the kubelet's flag of this name. Its own ten per
    /// cent of the disk are for machines that do nothing else.
    #[arg(long, value_name = "THRESHOLDS", default_value = "memory.available<100Mi,nodefs.available<1Gi", value_parser = Thresholds::parse)]
    pub eviction_hard: Thresholds,

    /// Seconds for which the node counts as being under pressure after that.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub eviction_pressure_transition_period: u64,

    /// How full the disk of images may be, in percent, before images that no pod uses are removed, as the kubelet's flag of
    /// this name; 100 for never. Without it 85, and only where less than 10 GiB are free.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub image_gc_high_threshold: Option<u8>,

    /// How full it is afterwards at the most, in percent; less than the other one.
    #[arg(long, value_name = "PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub image_gc_low_threshold: u8,

    /// Seconds for which an image that was pulled stays, though no pod uses it.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub minimum_image_ttl_duration: u64,

    /// Return once the cluster is ready, and leave it running.
    #[arg(long)]
    pub detach: bool,

    /// What runs beside the API.
    #[arg(long, value_enum, default_value_t = Parts::All)]
    pub parts: Parts,

    #[command(flatten)]
    pub artifacts: Artifacts,
}

#[derive(ClapArgs, Debug)]
pub struct Server {
    /// The kubeconfig of the cluster. Without it, the one that kubectl would take, or in a pod its service account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Where the gateway listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8800")]
    pub listen: SocketAddr,

    #[command(flatten)]
    pub tls: TlsPlace,

    /// A host name by which clients reach the gateway, besides localhost and IP addresses; may be given more than once.
    #[arg(long = "name", value_name = "HOST")]
    pub names: Vec<String>,

    /// Seconds for which requests are still answered after the server was told to stop, and `/readyz` says no: as long as
    /// it takes until nobody sends it any more.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub drain: u64,

    /// Where pods reach the gateway, with an IP address: http://10.96.12.7:8800
    #[arg(long, value_name = "URL")]
    pub advertise: String,

    /// The image of the launcher, which runs in the pods of steps; `ferroflow images launcher` writes it.
    #[arg(long, value_name = "IMAGE", default_value_t = crate::launcher::image())]
    pub launcher_image: String,

    /// The namespace of runs that name none.
    #[arg(long, value_name = "NAMESPACE", default_value = crate::gateway::NAMESPACE)]
    pub namespace: String,

    /// Steps that have a pod at the same time, in all namespaces together.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub running_steps: usize,

    /// Steps that have a pod at the same time in one namespace.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub running_steps_per_namespace: usize,

    #[command(flatten)]
    pub records: RecordsPlace,

    /// The namespace of the Lease that says which of several servers leads. Without it that of the kubeconfig's context,
    /// or in a pod the pod's.
    #[arg(long, value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Where other servers of the same database reach this one. Without it what --listen says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub peer_address: Option<SocketAddr>,

    #[command(flatten)]
    pub artifacts: Artifacts,
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

fn isolation(text: &str) -> Result<Isolation, String> {
    let levels = [Isolation::Container, Isolation::Environment, Isolation::Bare];
    let found = levels.into_iter().find(|level| level.as_str() == text);
    found.ok_or_else(|| "expected container, environment or bare".to_owned())
}

fn pod_network(text: &str) -> Result<PodNetworkKind, String> {
    let found = [PodNetworkKind::Shared, PodNetworkKind::Private].into_iter().find(|kind| kind.as_str() == text);
    found.ok_or_else(|| "expected shared or private".to_owned())
}

fn simulated(text: &str) -> Result<(String, u32), String> {
    let (name, count) = text.split_once('=').ok_or("expected RESOURCE=COUNT, as nvidia.com/gpu=4")?;
    let count = count.parse().map_err(|_| format!("{count:?} is not a count"))?;
    if !name.contains('/') {
        return Err(format!("{name:?} is not an extended resource; its name has a domain, as nvidia.com/gpu"));
    }
    Ok((name.to_owned(), count))
}
