//! The binary, as a person runs it.

#![allow(dead_code, reason = "each suite uses a part of it")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
};

use tempfile::TempDir;

/// A data directory, and what is run on it. Whatever still runs at the end is killed.
pub struct Bench {
    _root: TempDir,
    pub data: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    /// An empty place.
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let data = root.path().join("data");
        Self { _root: root, data }
    }

    /// A command on the data directory, not started yet.
    pub fn command(&self, words: &[&str]) -> Command {
        command(&self.data, words)
    }

    /// Runs a command to its end.
    pub fn run(&self, words: &[&str]) -> Ended {
        let Output { status, stdout, stderr } = self.command(words).output().expect("the binary runs");
        Ended {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8(stdout).expect("output is text"),
            stderr: String::from_utf8(stderr).expect("output is text"),
        }
    }

    /// Starts a server in the background, without a node.
    pub fn up(&self) -> Ended {
        self.run(&["up", "--detach", "--port", "0", "--http-port", "0", "--gateway-port", "0", "--parts", "control"])
    }

    /// What `status -o json` says.
    pub fn status(&self) -> serde_json::Value {
        let ended = self.run(&["status", "-o", "json"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        serde_json::from_str(&ended.stdout).expect("status is JSON")
    }

    /// The process of the running server, as its record says.
    pub fn process(&self) -> Option<i32> {
        let record = std::fs::read(self.data.join("server.json")).ok()?;
        let record: serde_json::Value = serde_json::from_slice(&record).ok()?;
        i32::try_from(record["pid"].as_i64()?).ok()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A test that failed leaves no server behind.
        let _ = self.command(&["down"]).stderr(Stdio::null()).status();
    }
}

/// A server in the foreground.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub token: String,
}

impl Server {
    /// Starts a server and waits until it says that it is up.
    pub fn start(bench: &Bench, parts: &str) -> Self {
        Self::start_with(bench, parts, &[])
    }

    /// The same, with further options.
    pub fn start_with(bench: &Bench, parts: &str, options: &[&str]) -> Self {
        Self::start_program(Path::new(env!("CARGO_BIN_EXE_ferroflow")), bench, parts, options)
    }

    /// The same, of another file with a program.
    pub fn start_program(program: &Path, bench: &Bench, parts: &str, options: &[&str]) -> Self {
        let up = ["up", "--port", "0", "--http-port", "0", "--gateway-port", "0", "--parts", parts];
        Self::run(bench, command_of(program, &bench.data, &[&up, options].concat()))
    }

    /// The same as another user, to whom the bench must belong.
    pub fn start_as(bench: &Bench, user: u32, parts: &str, options: &[&str]) -> Self {
        let up = ["up", "--port", "0", "--http-port", "0", "--gateway-port", "0", "--parts", parts];
        let mut command = command(&bench.data, &[&up, options].concat());
        command.uid(user).gid(user).env("HOME", bench.data.parent().expect("it has a folder"));
        Self::run(bench, command)
    }

    fn run(bench: &Bench, mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut text = String::new();
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        while !text.contains("ferroflow env") {
            let line = lines.next().unwrap_or_else(|| panic!("the server did not start: {text}"));
            text.push_str(&line.expect("output is text"));
        }
        // Read on, so that the server never waits for a reader of its log.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let address = text.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        let address = address.and_then(|address| address.split("kubeconfig").next()).expect("the http address");
        let token = std::fs::read_to_string(bench.data.join("admin.token")).expect("the token");
        Self { child, address: address.parse().expect("an address"), token: token.trim().to_owned() }
    }

    /// Kills the server, which gets no chance to say or store anything.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("the server ends");
    }
}

/// A command on a data directory.
pub fn command(data: &Path, words: &[&str]) -> Command {
    command_of(Path::new(env!("CARGO_BIN_EXE_ferroflow")), data, words)
}

fn command_of(program: &Path, data: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(data).args(words);
    // No cluster of the machine is asked.
    command.env("KUBECONFIG", "/nonexistent").env_remove("FERROFLOW_DATA_DIR").env_remove("FERROFLOW_LOG");
    command.stdin(Stdio::null());
    command
}
