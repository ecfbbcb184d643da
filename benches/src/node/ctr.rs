//! containerd with runc as the peer of a pod's start: one of its own, in a folder of its own, that ends with the bench.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{pod::COMMAND, servers};

/// A containerd that does not answer by then never will.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
const DAEMON: &str = "/usr/bin/containerd";
/// Where supervisors have their sockets, whatever containerd's own folders are; inner folders first.
const SHARED: [&str; 2] = ["/run/containerd/s", "/run/containerd"];

/// A containerd; dropping it ends it and its containers, and removes its folder.
pub struct Containerd {
    socket: PathBuf,
    daemon: Vec<Child>,
    image: String,
    directory: TempDir,
    /// Folders of the machine that are there because of it.
    made: Vec<&'static str>,
}

/// Why there can be none here.
pub fn lacking() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("containerd with runc needs root");
    }
    let is_there = [DAEMON, "/usr/bin/ctr", "/usr/sbin/runc"].iter().all(|path| Path::new(path).exists());
    (!is_there).then_some("containerd, ctr or runc is not installed")
}

impl Containerd {
    /// Starts one that has the image, unpacked.
    ///
    /// # Errors
    /// When it does not start, or refuses the image.
    pub fn start(archive: &Path, image: &str) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("ferroflow-bench-").tempdir()?;
        let at = |name: &str| directory.path().join(name);
        let socket = at("containerd.sock");
        let shown = |path: PathBuf| path.display().to_string();
        let text = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            shown(at("root")),
            shown(at("state")),
            shown(socket.clone()),
            shown(at("containerd.sock.ttrpc")),
        );
        fs::write(at("config.toml"), text)?;
        let made = SHARED.into_iter().filter(|path| !Path::new(path).exists()).collect();
        let log = File::create(at("containerd.log"))?;
        let mut command = Command::new(DAEMON);
        command.arg("--config").arg(at("config.toml")).stdin(Stdio::null());
        let daemon = command.stdout(log.try_clone()?).stderr(log).spawn().context("containerd")?;
        let this = Self { socket, daemon: vec![daemon], image: image.to_owned(), directory, made };
        let began = Instant::now();
        while this.told(&["version"]).is_err() {
            ensure!(began.elapsed() < PATIENCE, "containerd does not answer in {}", this.directory.path().display());
            std::thread::sleep(LOOK);
        }
        this.told(&["images", "import", &archive.display().to_string()])?;
        Ok(this)
    }

    /// From the call of `ctr run` to the first line that the container prints.
    ///
    /// # Errors
    /// When it prints nothing.
    pub fn first_line(&self, name: &str) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let mut command = self.ctr(&["run", "--rm"]);
        for (option, folder) in [("--fifo-dir", "fifo"), ("--runc-root", "runc")] {
            command.arg(option).arg(self.directory.path().join(folder));
        }
        command.args([&self.image, name]).args(COMMAND).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut run = command.stderr(Stdio::null()).spawn().context("ctr run")?;
        let mut line = String::new();
        BufReader::new(run.stdout.take().context("no pipe")?).read_line(&mut line)?;
        let took = began.elapsed();
        let killed = self.told(&["tasks", "kill", "--signal", "SIGKILL", name]);
        if killed.is_err() {
            run.kill()?;
        }
        run.wait()?;
        ensure!(
            line.trim() == "started",
            "ctr run {name} says nothing: {}",
            killed.err().unwrap_or_else(|| anyhow::anyhow!(line))
        );
        Ok(took)
    }

    fn ctr(&self, words: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/ctr");
        command.arg("--address").arg(&self.socket).args(["--namespace", "ferroflow-bench"]).args(words);
        command
    }

    fn told(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = self.ctr(words).stdin(Stdio::null()).output().context("ctr")?;
        ensure!(output.status.success(), "ctr {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The supervisors that it started: each names its socket, and would outlive it.
    fn supervisors(&self) -> Vec<Pid> {
        let socket = self.socket.display().to_string();
        let own = |pid: u32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = words.split(|byte| *byte == 0);
            let is_supervisor = words.next().is_some_and(|program| program.ends_with(b"containerd-shim-runc-v2"));
            is_supervisor && words.any(|word| word == socket.as_bytes())
        };
        let pids = super::memory::processes().into_iter().filter(|pid| own(*pid));
        pids.filter_map(|pid| i32::try_from(pid).ok().and_then(Pid::from_raw)).collect()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let names = self.told(&["tasks", "ls", "--quiet"]).unwrap_or_default();
        for name in names.split_whitespace() {
            let _ = self.told(&["tasks", "delete", "--force", name]);
        }
        servers::end(&mut self.daemon);
        for pid in self.supervisors() {
            let _ = kill_process(pid, Signal::KILL);
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let below = self.directory.path().display().to_string();
        for point in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if point.starts_with(&below) {
                let _ = Command::new("umount").args(["--lazy", point]).status();
            }
        }
        for folder in &self.made {
            // Only an empty one goes.
            let _ = fs::remove_dir(folder);
        }
    }
}
