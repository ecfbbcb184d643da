//! The first process of a cluster's namespaces: it starts all others in order, tells when they are ready, and stays to
//! reap them. It is started by `up`, and everything ends when it is killed.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
    time::Instant,
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    containerd, control_plane, dns,
    extra::{self, Extra},
    kubelet,
    layout::{API_PORT, ETCD_PORT, Layout, Node},
    namespace,
    processes::{Ending, Processes},
    programs::Programs,
    record::{Phase, Record},
};

/// What `up` hands in, as the argument of the first process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    pub layout: Layout,
    pub nodes: u8,
    pub programs: Programs,
    /// Archives of images.
    pub images: Vec<PathBuf>,
    /// The folder of the package index.
    pub index: PathBuf,
    /// `NAME=COUNT` of resources that nodes say they have.
    pub simulated: Vec<String>,
    pub extras: Vec<Extra>,
    /// Waits for the disk, as one in production does.
    pub durable: bool,
}

/// Runs the cluster until it is killed.
///
/// # Errors
/// When it did not start, or a part of it ended. The record tells the same.
pub fn run(start: &Start) -> anyhow::Result<()> {
    // /proc is the host's until it is mounted anew, so this is the number that the host knows.
    let first_process = fs::read_link("/proc/self").context("/proc/self")?;
    let first_process = first_process.to_string_lossy().parse().context("/proc/self")?;
    let extras = start.extras.clone();
    let mut record = Record { nodes: start.nodes, first_process, phase: Phase::Starting, extras };
    record.write(&start.layout)?;
    let mut processes = Processes::new(start.layout.path("log"));
    let mut outcome = bring_up(start, &mut processes);
    if outcome.is_ok() {
        record.phase = Phase::Ready;
        record.write(&start.layout)?;
        outcome = loop {
            if let Err(error) = processes.wait_next() {
                break Err(error);
            }
        };
    }
    if let Err(error) = &outcome {
        record.phase = Phase::Failed(format!("{error:#}"));
        record.write(&start.layout)?;
    }
    outcome
}

fn bring_up(start: &Start, processes: &mut Processes) -> anyhow::Result<()> {
    let began = Instant::now();
    let told = |what: &str| eprintln!("{:6.2} s  {what}", began.elapsed().as_secs_f64());
    let Start { layout, nodes, programs, .. } = start;
    namespace::mount_all(layout)?;
    if !start.durable {
        namespace::mount_images(layout, *nodes)?;
    }
    namespace::connect(*nodes)?;
    fs::create_dir_all(layout.path("log"))?;
    fs::create_dir_all(layout.path("tmp"))?;
    processes.start("etcd", Ending::Never, control_plane::etcd(layout, programs, start.durable)?)?;
    for node in Node::all(*nodes) {
        let command = containerd::prepare(layout, node)?;
        processes.start(&format!("{}-containerd", node.name()), Ending::Never, command)?;
    }
    extra::start(start, processes)?;
    processes.listening("etcd", loopback(ETCD_PORT))?;
    told("etcd listens");
    processes.start("apiserver", Ending::Never, control_plane::api_server(layout, programs)?)?;
    let imports = import(start, processes)?;
    told("containerd listens");
    processes.listening("kube-apiserver", loopback(API_PORT))?;
    let kubectl = Kubectl { program: programs.path("kubectl")?.display().to_string(), layout };
    processes.until("kube-apiserver's readiness", || Ok(kubectl.run(&["get", "--raw=/readyz"], None).ok()))?;
    told("kube-apiserver is ready");
    processes.start("controller-manager", Ending::Never, control_plane::controllers(layout, programs)?)?;
    processes.start("scheduler", Ending::Never, control_plane::scheduler(layout, programs)?)?;
    processes.start("coredns", Ending::Never, dns::prepare(layout, programs)?)?;
    kubectl.run(&["create", "-f", "-"], Some(&objects(start)))?;
    for node in Node::all(*nodes) {
        let name = node.name();
        processes.start(&format!("{name}-kubelet"), Ending::Never, kubelet::prepare(layout, programs, node)?)?;
        processes.start(&format!("{name}-proxy"), Ending::Never, kubelet::proxy(layout, programs, node)?)?;
    }
    extra::ready(start, processes)?;
    told("what stands beside Kubernetes answers");
    ready(start, processes, &kubectl, &told)?;
    processes.done("the import of images", &imports.iter().map(String::as_str).collect::<Vec<_>>())?;
    told("images are imported");
    Ok(())
}

/// Waits for what the first pod needs.
fn ready(start: &Start, processes: &mut Processes, kubectl: &Kubectl, told: &dyn Fn(&str)) -> anyhow::Result<()> {
    processes.until("readiness of nodes", || {
        Ok(kubectl.run(&["wait", "--for=condition=Ready", "node", "--all", "--timeout=2s"], None).ok())
    })?;
    told("nodes are ready");
    for resource in &start.simulated {
        let (name, count) = resource.split_once('=').with_context(|| format!("{resource}: say NAME=COUNT"))?;
        let patch = json!({"status": {"capacity": {name: count}, "allocatable": {name: count}}}).to_string();
        for node in Node::all(start.nodes) {
            kubectl.run(&["patch", "node", &node.name(), "--subresource=status", "--patch", &patch], None)?;
        }
    }
    kubectl.run(&["wait", "--for=create", "serviceaccount/default", "--timeout=60s"], None)?;
    processes.until("cluster DNS", || Ok(dns::answers()?.then_some(())))?;
    told("cluster DNS answers");
    Ok(())
}

/// Starts to import the archives into each node, once its containerd listens, and returns what the imports are called.
fn import(start: &Start, processes: &mut Processes) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for node in Node::all(start.nodes) {
        let socket = node.containerd_socket();
        processes.until("containerd", || Ok(UnixStream::connect(&socket).ok()))?;
        for archive in &start.images {
            let file = archive.file_stem().unwrap_or_default().to_string_lossy();
            let name = format!("{}-import-{file}", node.name());
            processes.start(&name, Ending::WhenDone, containerd::import(node, archive))?;
            names.push(name);
        }
    }
    Ok(names)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// What stands before nodes register. A node is made beforehand, so that its range of pods is the one of its network.
fn objects(start: &Start) -> String {
    let mut items: Vec<_> = Node::all(start.nodes)
        .map(|node| {
            let pods = node.pods();
            json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": node.name()},
                "spec": {"podCIDR": pods, "podCIDRs": [pods]},
            })
        })
        .collect();
    items.extend(dns::objects());
    items.extend(extra::objects(&start.extras));
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

struct Kubectl<'a> {
    program: String,
    layout: &'a Layout,
}

impl Kubectl<'_> {
    fn run(&self, words: &[&str], input: Option<&str>) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(self.layout.kubeconfig())
            .arg("--cache-dir")
            .arg(self.layout.path("tmp/kubectl"));
        command.args(words);
        if let Some(input) = input {
            let file = self.layout.path("tmp/input");
            fs::write(&file, input)?;
            command.stdin(fs::File::open(file)?);
        }
        let output = command.output().context("kubectl")?;
        ensure!(output.status.success(), "kubectl {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}
