//! `ferroflow up`

use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::{fd::FromRawFd, unix::process::CommandExt},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use ferroflow_platform::{clock::SystemClock, task::Group};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    args::Up,
    paths,
    problem::Problem,
    record::{self, Record},
    wiring::{self, Server},
};

/// Set for a detached server: the descriptor of the pipe on which its parent waits for a line.
const READY_FD: &str = "FERROFLOW_READY_FD";
/// As deep as Kubernetes lets a CEL expression nest, with room; only what is used takes memory.
const STACK_BYTES: usize = 16 << 20;
/// Tasks have this long to end; what they have acknowledged is on disk anyhow.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the server until it is told to stop.
pub fn foreground(data: &Path, up: &Up) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    wiring::log();
    let _lock = record::lock(data)?;
    raise_file_limit();
    keep_pipe();
    // At least four, so that a worker that waits for a lock or a slow disk does not hold up the others.
    let workers = std::thread::available_parallelism().map_or(4, |cores| cores.get().max(4));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build();
    let runtime = runtime.context("no threads can be made")?;
    let outcome = runtime.block_on(async {
        let group = Group::new();
        let server = wiring::start(data, up, SystemClock::shared(), group.clone()).await?;
        let signals = Signals::listen()?;
        fs::write(paths::kubeconfig(data), server.kubeconfig()).context("the kubeconfig cannot be written")?;
        record::write(data, &server.record())?;
        let text = welcome(data, &server, began.elapsed());
        announce(&text);
        let ended = signals.wait(&group).await;
        record::remove(data);
        if ended == Ended::WithPods {
            server.stop_pods().await;
        }
        if let Err(running) = group.stop(PATIENCE).await {
            tracing::warn!(?running, "some tasks did not end in time");
        }
        match ended {
            Ended::Failed => {
                Err(Problem::new("the server stopped because a part of it failed", "see the log above").into())
            }
            Ended::WithPods | Ended::KeepPods => Ok(ExitCode::SUCCESS),
        }
    });
    // A layer that is still being unpacked is not waited for: half of one has no name.
    runtime.shutdown_timeout(PATIENCE);
    outcome
}

/// A thousand watchers on connections of their own need more files than the usual soft limit allows.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Why the server ends.
#[derive(PartialEq, Eq)]
pub enum Ended {
    WithPods,
    KeepPods,
    Failed,
}

/// The signals that end a server. They are listened to before it says that it is ready: whoever reads that may send
/// one at once.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// # Errors
    /// Where the operating system refuses a handler.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hang_up: listen(SignalKind::hangup())? })
    }

    /// Waits until the server is to end.
    pub async fn wait(mut self, group: &Group) -> Ended {
        tokio::select! {
            _ = self.terminate.recv() => Ended::WithPods,
            _ = self.interrupt.recv() => Ended::WithPods,
            _ = self.hang_up.recv() => Ended::KeepPods,
            () = group.stopping().cancelled_owned() => Ended::Failed,
        }
    }
}

fn welcome(data: &Path, server: &Server, took: Duration) -> String {
    let Record { version, https, http, gateway, .. } = server.record();
    let http = http.map(|http| format!(" and http://{http}")).unwrap_or_default();
    let mut text = format!(
        "ferroflow {version} is up, in {:.0} ms\n  API         https://{https}{http}\n  kubeconfig  {}\n",
        took.as_secs_f64() * 1000.0,
        paths::kubeconfig(data).display()
    );
    if let Some(gateway) = gateway {
        text.push_str(&format!("  gateway     http://{gateway}\n"));
    }
    if let Some(node) = server.describe_node() {
        text.push_str(&format!("  node        {node}\n"));
    }
    text.push_str("Point clients at it:  eval \"$(ferroflow env)\"\n");
    text
}

/// The descriptor of the pipe on which a parent waits, where there is one.
fn ready_pipe() -> Option<i32> {
    std::env::var(READY_FD).ok().and_then(|fd| fd.parse().ok())
}

/// What this process starts before it is ready must not hold the pipe open.
fn keep_pipe() {
    let Some(pipe) = ready_pipe() else { return };
    // SAFETY: the parent has made the descriptor for this process alone; nothing closes it before it is written to.
    let pipe = unsafe { std::os::fd::BorrowedFd::borrow_raw(pipe) };
    if let Err(error) = rustix::io::fcntl_setfd(pipe, rustix::io::FdFlags::CLOEXEC) {
        tracing::warn!(%error, "the pipe on which this process is waited for cannot be kept");
    }
}

/// Says that the server is ready: to the parent that waits, or to the person who looks.
fn announce(text: &str) {
    match ready_pipe() {
        None => eprint!("{text}"),
        Some(fd) => {
            // SAFETY: the parent has made the descriptor for this process alone and named it in the
            // environment; nothing else here uses it.
            let mut pipe = unsafe { fs::File::from_raw_fd(fd) };
            // A parent that has gone away no longer wants to know.
            let _ = pipe.write_all(text.as_bytes());
        }
    }
}

/// Starts the server in the background and waits until it is ready.
pub fn detached(data: &Path, up: &Up) -> anyhow::Result<ExitCode> {
    drop(record::lock(data)?);
    let (read, write) = std::io::pipe().context("no pipe can be made")?;
    let log =
        OpenOptions::new().create(true).append(true).open(paths::log(data)).context("the log cannot be written")?;
    let write = std::os::fd::OwnedFd::from(write);
    let inherited = rustix::io::fcntl_dupfd_cloexec(&write, 3).context("no descriptor is free")?;
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).context("the pipe cannot be handed on")?;
    let mut command = Command::new(std::env::current_exe().context("this program cannot find itself")?);
    command.arg("up").arg("--data-dir").arg(data).args(words(up));
    command.env(READY_FD, std::os::fd::AsRawFd::as_raw_fd(&inherited).to_string());
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    let mut child = command.spawn().context("the server cannot be started")?;
    drop((write, inherited));
    let mut text = String::new();
    for line in BufReader::new(read).lines() {
        text.push_str(&line?);
        text.push('\n');
    }
    if !text.is_empty() {
        eprint!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait()?;
    let what = format!("the server did not start ({status}); the end of its log:\n{}", last_lines(&paths::log(data)));
    Err(Problem::new(what, format!("the whole log is {}", paths::log(data).display())).into())
}

/// The options of a foreground server.
fn words(up: &Up) -> Vec<std::ffi::OsString> {
    let mut words: Vec<std::ffi::OsString> =
        vec!["--port".into(), up.port.to_string().into(), "--http-port".into(), up.http_port.to_string().into()];
    words.extend(["--gateway-port".into(), up.gateway_port.to_string().into()]);
    for (name, count) in &up.simulate {
        words.extend(["--simulate".into(), format!("{name}={count}").into()]);
    }
    if let Some(level) = up.isolation {
        words.extend(["--isolation".into(), level.as_str().into()]);
    }
    words.extend(["--pod-network".into(), up.pod_network.as_str().into()]);
    let stays = up.eviction_pressure_transition_period.to_string();
    words.extend(["--eviction-hard".into(), up.eviction_hard.to_string().into()]);
    words.extend(["--eviction-pressure-transition-period".into(), stays.into()]);
    if let Some(percent) = up.image_gc_high_threshold {
        words.extend(["--image-gc-high-threshold".into(), percent.to_string().into()]);
    }
    let (low, age) = (up.image_gc_low_threshold.to_string(), up.minimum_image_ttl_duration.to_string());
    words.extend(["--image-gc-low-threshold".into(), low.into(), "--minimum-image-ttl-duration".into(), age.into()]);
    if let Some(images) = &up.images {
        let images = std::path::absolute(images).unwrap_or_else(|_| images.clone());
        words.extend(["--images".into(), images.into()]);
    }
    words.extend(["--parts".into(), format!("{:?}", up.parts).to_lowercase().into()]);
    words.extend(up.artifacts.words());
    words
}

/// Lines of a log that are shown when a server does not start.
const LAST_LINES: usize = 10;

fn last_lines(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
