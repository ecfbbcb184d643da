//! Both servers: how each is started, found, weighed and ended.
//!
//! Each gets fresh directories and ports, listens on loopback alone, and accepts the same kind of token, so that
//! the client's requests are the same bytes for both. Both write durably: nothing turns off a sync.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use base64::Engine;
use bytes::Bytes;
use http::Method;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::Endpoint;

/// A server that is not ready by then will never be.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// A process that does not end on SIGTERM gets SIGKILL.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a server that starts: small beside what is measured.
const LOOK: Duration = Duration::from_millis(2);

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    pub ferroflow: PathBuf,
    pub etcd: PathBuf,
    pub kube_apiserver: PathBuf,
}

/// What runs beside our API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// The API alone, as the peer has it.
    Api,
    /// Everything that `ferroflow up` starts.
    All,
}

/// How our node runs pods.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// The isolation level.
    pub level: &'a str,
    /// An archive of images that it has from the start.
    pub archive: Option<&'a Path>,
    /// The table that maps images to programs.
    pub images: Option<&'a Path>,
    /// The network of pods.
    pub network: &'a str,
}

/// The network of pods where nothing else is asked for.
pub const SHARED: &str = "shared";

/// Whether the system calls that sync files are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    Off,
    Syncs,
}

/// A running server; dropping it ends its processes and removes its data.
pub struct Server {
    pub endpoint: Endpoint,
    /// From the first process's start to the first answer that says ready.
    pub took: Duration,
    processes: Vec<Child>,
    directory: TempDir,
    /// What ends the pods as well, where there may be some.
    down: Option<Command>,
}

impl Server {
    /// Starts ours.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn ours(programs: &Programs, parts: Parts, trace: Trace) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("ferroflow-bench-").tempdir()?;
        let arguments: &[&str] = if parts == Parts::Api { &["--parts", "api"] } else { &[] };
        Self::up(programs, directory, trace, arguments).await
    }

    /// Starts ours with a node that is ready, of one isolation level, with images.
    ///
    /// # Errors
    /// When it does not become ready, as where that level does not work.
    pub async fn node(programs: &Programs, node: &Node<'_>) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("ferroflow-bench-").tempdir()?;
        let data = directory.path().join("data");
        if let Some(archive) = node.archive {
            load(&programs.ferroflow, &data, archive)?;
        }
        let mut arguments = vec!["--isolation", node.level, "--pod-network", node.network];
        let images = node.images.map(|path| path.display().to_string());
        if let Some(images) = &images {
            arguments.extend(["--images", images]);
        }
        let mut server = Self::up(programs, directory, Trace::Off, &arguments).await?;
        let mut down = Command::new(&programs.ferroflow);
        down.arg("--data-dir").arg(&data).arg("down").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        server.down = Some(down);
        anyhow::ensure!(crate::pod::has_node(&server.endpoint).await?, "our node is not ready");
        Ok(server)
    }

    async fn up(programs: &Programs, directory: TempDir, trace: Trace, arguments: &[&str]) -> anyhow::Result<Self> {
        let data = directory.path().join("data");
        let mut command = traced(&programs.ferroflow, directory.path(), "ferroflow", trace)?;
        command
            .arg("--data-dir")
            .arg(&data)
            .args(["up", "--port", "0", "--http-port", "0", "--gateway-port", "0"])
            .args(arguments);
        let began = Instant::now();
        let mut processes = vec![command.spawn().context("ferroflow cannot be started")?];
        let endpoint = loop {
            // The file is there some time before it is whole.
            if let Ok(text) = fs::read_to_string(data.join("kubeconfig"))
                && let Ok(endpoint) = from_kubeconfig(&text)
            {
                break endpoint;
            }
            let has_ended = processes.iter_mut().any(|process| !matches!(process.try_wait(), Ok(None)));
            if has_ended || began.elapsed() > START_PATIENCE {
                end(&mut processes);
                bail!("ferroflow is not up: {}", log(directory.path(), "ferroflow"));
            }
            tokio::time::sleep(LOOK).await;
        };
        let mut server = Self { endpoint, took: Duration::ZERO, processes, directory, down: None };
        server.ready(began).await?;
        Ok(server)
    }

    /// Starts etcd and a kube-apiserver on it.
    ///
    /// # Errors
    /// When they do not become ready.
    pub async fn peer(programs: &Programs, trace: Trace) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("ferroflow-bench-").tempdir()?;
        let [client, peer, api] = free_ports()?;
        let token = "bench-administrator";
        let authority = write_secrets(directory.path(), token)?;
        let mut etcd = traced(&programs.etcd, directory.path(), "etcd", trace)?;
        etcd.arg("--data-dir").arg(directory.path().join("etcd"));
        for (flag, port) in [("listen-client", client), ("advertise-client", client), ("listen-peer", peer)] {
            etcd.arg(format!("--{flag}-urls=http://127.0.0.1:{port}"));
        }
        let mut server = traced(&programs.kube_apiserver, directory.path(), "kube-apiserver", trace)?;
        let file = |name: &str| directory.path().join(name).display().to_string();
        server.args([
            format!("--etcd-servers=http://127.0.0.1:{client}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={api}"),
            // The address must not be loopback; nothing listens there, and nobody asks it to.
            "--advertise-address=192.0.2.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--tls-cert-file={}", file("server.crt")),
            format!("--tls-private-key-file={}", file("server.key")),
            format!("--token-auth-file={}", file("tokens.csv")),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", file("account.pub")),
            format!("--service-account-signing-key-file={}", file("account.key")),
        ]);
        fs::write(directory.path().join("kubeconfig"), kubeconfig(api, &authority, token))?;
        let began = Instant::now();
        let mut processes = vec![etcd.spawn().context("etcd cannot be started: install etcd-server")?];
        match server.spawn() {
            Ok(child) => processes.push(child),
            Err(error) => {
                end(&mut processes);
                return Err(error).context("kube-apiserver cannot be started");
            }
        }
        let endpoint = Endpoint::new(SocketAddr::from((Ipv4Addr::LOCALHOST, api)), &authority, token)?;
        let mut server = Self { endpoint, took: Duration::ZERO, processes, directory, down: None };
        server.ready(began).await?;
        Ok(server)
    }

    /// One that runs already, and goes on.
    ///
    /// # Errors
    /// When the kubeconfig names no server, or no token.
    pub fn at(kubeconfig: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(kubeconfig).with_context(|| kubeconfig.display().to_string())?;
        let directory = tempfile::Builder::new().prefix("ferroflow-bench-").tempdir()?;
        Ok(Self {
            endpoint: from_kubeconfig(&text)?,
            took: Duration::ZERO,
            processes: Vec::new(),
            directory,
            down: None,
        })
    }

    async fn ready(&mut self, began: Instant) -> anyhow::Result<()> {
        loop {
            let asked = async { self.endpoint.connect().await?.drained(Method::GET, "/readyz", Bytes::new()).await };
            let Err(error) = asked.await else {
                self.took = began.elapsed();
                return Ok(());
            };
            if began.elapsed() > START_PATIENCE {
                let logs = ["ferroflow", "etcd", "kube-apiserver"].map(|name| log(self.directory.path(), name));
                return Err(error.context(format!("the server is not ready: {}", logs.join(""))));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Where a file for clients of the peer stands.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// The resident memory of all its processes, in bytes.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.processes.iter().map(|process| resident(process.id())).sum()
    }

    /// Processor time that its processes have taken, in seconds: with the kernel's on their behalf, without their children's.
    ///
    /// # Errors
    /// When one has ended.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let times = self.processes.iter().map(|process| cpu_ticks(process.id()));
        let ticks = times.sum::<anyhow::Result<u64>>()?;
        Ok(ticks as f64 / TICKS_PER_SECOND)
    }

    /// The syncs of files until now, where they are traced.
    ///
    /// # Errors
    /// When a trace cannot be read.
    pub fn syncs(&self) -> anyhow::Result<usize> {
        let mut syncs = 0;
        for entry in fs::read_dir(self.directory.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "syncs") {
                let text = fs::read_to_string(&path)?;
                // A call that another thread interrupts has a second line, "<... fsync resumed>".
                syncs += text.lines().filter(|line| line.contains("sync(")).count();
            }
        }
        Ok(syncs)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(down) = &mut self.down {
            let _ = down.status();
        }
        self.processes.reverse();
        end(&mut self.processes);
    }
}

/// Loads an archive of images into a data directory.
///
/// # Errors
/// When it is refused.
pub fn load(ferroflow: &Path, data: &Path, archive: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(ferroflow);
    command.arg("--data-dir").arg(data).args(["images", "load"]).arg(archive).stdin(Stdio::null());
    let output = command.output().context("ferroflow cannot be started")?;
    anyhow::ensure!(output.status.success(), "ferroflow images load: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Ends processes, and waits for their ends.
pub fn end(processes: &mut [Child]) {
    for process in processes {
        if let Some(pid) = i32::try_from(process.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let asked = Instant::now();
        while matches!(process.try_wait(), Ok(None)) {
            if asked.elapsed() > STOP_PATIENCE {
                let _ = process.kill();
                let _ = process.wait();
                break;
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// A command whose output goes to `NAME.log` and, where asked, its syncs to `NAME.syncs`.
pub fn traced(program: &Path, directory: &Path, name: &str, trace: Trace) -> anyhow::Result<Command> {
    let mut command = match trace {
        Trace::Off => Command::new(program),
        Trace::Syncs => {
            let mut command = Command::new("strace");
            // With the filter in the kernel, other system calls cost nothing.
            // As a grandchild it leaves the signals that end a server to the server.
            command.args(["-D", "-f", "--seccomp-bpf", "-e", "trace=fsync,fdatasync,sync_file_range", "-o"]);
            command.arg(directory.join(format!("{name}.syncs"))).arg(program);
            command
        }
    };
    let log = File::create(directory.join(format!("{name}.log")))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

pub fn log(directory: &Path, name: &str) -> String {
    let text = fs::read_to_string(directory.join(format!("{name}.log"))).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().map(|line| format!("\n{name}: {line}")).collect()
}

/// Linux tells processor times in hundredths of a second, whatever its own clock does.
pub const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time of a process, in those.
///
/// # Errors
/// When it has ended.
pub fn cpu_ticks(pid: u32) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the server has ended")?;
    // The name, in brackets, may hold anything; utime and stime are the 12th and 13th word behind it.
    let rest = stat.rsplit_once(") ").context("no name in stat")?.1;
    let words: Vec<&str> = rest.split(' ').collect();
    let [user, system] = [11, 12].map(|at| words.get(at).and_then(|word| word.parse::<u64>().ok()));
    Ok(user.context("no utime")? + system.context("no stime")?)
}

/// The resident memory of a process, in bytes.
///
/// # Errors
/// When it has ended.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, field: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the server has ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("no {field}"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes << 10)
}

/// The most resident memory that a process has had, in bytes.
///
/// # Errors
/// When it has ended.
pub fn peak(pid: u32) -> anyhow::Result<u64> {
    memory(pid, "VmHWM:")
}

/// A kubeconfig for whoever has the token.
fn kubeconfig(port: u16, authority: &str, token: &str) -> String {
    let authority = base64::engine::general_purpose::STANDARD.encode(authority);
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {
            "server": format!("https://127.0.0.1:{port}"), "certificate-authority-data": authority}}],
        "users": [{"name": "bench", "user": {"token": token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    })
    .to_string()
}

fn from_kubeconfig(text: &str) -> anyhow::Result<Endpoint> {
    let config: serde_json::Value = serde_saphyr::from_str(text)?;
    let cluster = &config["clusters"][0]["cluster"];
    let server = cluster["server"].as_str().context("no server")?;
    let authority = cluster["certificate-authority-data"].as_str().context("no authority")?;
    let authority = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(authority)?)?;
    let token = config["users"][0]["user"]["token"].as_str().context("no token")?;
    Endpoint::new(server.trim_start_matches("https://").parse()?, &authority, token)
}

/// Ports that are free; they are held together, so that all differ.
pub fn free_ports() -> anyhow::Result<[u16; 3]> {
    let hold = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held = [hold()?, hold()?, hold()?];
    let mut ports = [0; 3];
    for (port, held) in ports.iter_mut().zip(&held) {
        *port = held.local_addr()?.port();
    }
    Ok(ports)
}

/// Writes certificates, keys and the token of the peer; returns the authority's certificate.
fn write_secrets(directory: &Path, token: &str) -> anyhow::Result<String> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "bench-authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &authority)?;
    let account = KeyPair::generate()?;
    let files = [
        ("server.crt", certificate.pem()),
        ("server.key", key.serialize_pem()),
        ("account.key", account.serialize_pem()),
        ("account.pub", account.public_key_pem()),
        ("tokens.csv", format!("{token},bench,bench,system:masters\n")),
    ];
    for (name, text) in files {
        fs::write(directory.join(name), text)?;
    }
    Ok(authority.pem())
}
