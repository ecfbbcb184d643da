//! The command line as a person meets it: what it prints, where, and with which exit code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use common::Bench;
use ferroflow_testkit::{cluster::client_of, objects::config_map};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, api::PostParams};

const NOT_RUNNING: i32 = 3;
const RUNNING: i32 = 4;
const USAGE: i32 = 2;

fn client(bench: &Bench) -> Client {
    let status = bench.status();
    let address = status["http"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    client_of(address, fs::read_to_string(bench.data.join("admin.token")).unwrap().trim())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn kill(process: i32) {
    let status = Command::new("kill").args(["-9", &process.to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_cluster_goes_up_and_down_and_says_where_it_is() {
    let bench = Bench::new();
    let up = bench.up();
    assert_eq!((up.code, up.stdout.as_str()), (0, ""), "{up:?}");
    for part in ["ferroflow ", " is up, in ", "https://127.0.0.1:", "http://127.0.0.1:", "kubeconfig", "ferroflow env"]
    {
        assert!(up.stderr.contains(part), "{part} in {}", up.stderr);
    }
    assert!(up.stderr.lines().count() <= 6, "a few lines: {}", up.stderr);

    let status = bench.run(&["status"]);
    assert_eq!(status.code, 0, "{status:?}");
    assert!(status.stdout.contains("runs as process") && status.stdout.contains("https://127.0.0.1:"), "{status:?}");
    let status = bench.status();
    assert_eq!(status["pid"].as_i64().unwrap(), i64::from(bench.process().unwrap()));
    assert_eq!(status["dataDirectory"], bench.data.to_str().unwrap());

    let env = bench.run(&["env"]);
    let line = env.stdout.lines().next().unwrap();
    let kubeconfig = line.strip_prefix("export KUBECONFIG=").unwrap();
    let text = fs::read_to_string(kubeconfig).unwrap();
    assert!(text.contains("certificate-authority-data") && text.contains(status["https"].as_str().unwrap()), "{text}");

    let down = bench.run(&["down"]);
    assert_eq!((down.code, down.stdout.as_str()), (0, ""), "{down:?}");
    assert!(down.stderr.contains("is down"), "{down:?}");
    assert!(bench.data.join("cluster.db").exists(), "data stays");
}

#[test]
fn what_needs_a_running_cluster_says_that_there_is_none() {
    let bench = Bench::new();
    for words in [["status"].as_slice(), &["env"], &["down"]] {
        let ended = bench.run(words);
        assert_eq!((ended.code, ended.stdout.as_str()), (NOT_RUNNING, ""), "{words:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: no cluster with data in \""), "{ended:?}");
        assert!(ended.stderr.contains(bench.data.to_str().unwrap()), "{ended:?}");
        assert!(ended.stderr.contains("\nhint: start one with `ferroflow up`"), "{ended:?}");
    }
    assert!(!bench.data.exists(), "asking makes nothing");
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let bench = Bench::new();
    assert_eq!(bench.up().code, 0);
    for detach in [["--detach"].as_slice(), &[]] {
        let words: Vec<&str> =
            ["up", "--port", "0", "--http-port", "0", "--gateway-port", "0"].iter().chain(detach).copied().collect();
        let ended = bench.run(&words);
        assert_eq!(ended.code, RUNNING, "{ended:?}");
        assert!(ended.stderr.contains("runs already") && ended.stderr.contains("hint: "), "{ended:?}");
    }
    bench.status();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let rows = [
        ["up", "--parts", "api", "--port", &port, "--http-port", "0"].to_vec(),
        ["up", "--parts", "api", "--port", "0", "--http-port", &port].to_vec(),
        ["up", "--parts", "control", "--port", "0", "--http-port", "0", "--gateway-port", &port].to_vec(),
    ];
    for words in rows {
        let ended = bench.run(&words);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stderr.contains(&format!("127.0.0.1:{port}")), "{ended:?}");
        assert!(ended.stderr.contains("choose another"), "{ended:?}");
        let detached: Vec<&str> = words.iter().copied().chain(["--detach"]).collect();
        let ended = bench.run(&detached);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stderr.contains(&format!("127.0.0.1:{port}")), "the log's end is shown: {ended:?}");
    }
}

#[test]
fn objects_outlive_a_kill_and_a_clean_end() {
    let bench = Bench::new();
    assert_eq!(bench.up().code, 0);
    let names = || -> Vec<String> {
        block_on(async {
            let maps: Api<ConfigMap> = Api::default_namespaced(client(&bench));
            let list = maps.list(&kube::api::ListParams::default()).await.unwrap();
            let names = list.items.into_iter().filter_map(|map| map.metadata.name);
            names.filter(|name| !name.starts_with("kube-")).collect()
        })
    };
    block_on(async {
        let maps: Api<ConfigMap> = Api::default_namespaced(client(&bench));
        maps.create(&PostParams::default(), &config_map("before-kill", "a", "1")).await.unwrap();
    });
    kill(bench.process().unwrap());
    // A process that was killed needs a moment to end.
    let ended = (0..1000).any(|_| bench.run(&["status"]).code == NOT_RUNNING);
    assert!(ended, "the lock goes with the process");
    let up = bench.up();
    assert_eq!(up.code, 0, "{up:?}");
    assert_eq!(names(), ["before-kill"]);
    assert_eq!(bench.run(&["down"]).code, 0);
    assert_eq!(bench.run(&["status"]).code, NOT_RUNNING);
    assert_eq!(bench.up().code, 0);
    assert_eq!(names(), ["before-kill"]);
}

#[test]
fn a_reset_asks_and_then_removes_everything() {
    let bench = Bench::new();
    let nothing = bench.run(&["reset", "--yes"]);
    assert_eq!(nothing.code, 0);
    assert!(nothing.stderr.contains("nothing to remove"), "{nothing:?}");
    assert_eq!(bench.up().code, 0);
    let unasked = bench.run(&["reset"]);
    assert_eq!(unasked.code, 1, "without a terminal there is no yes: {unasked:?}");
    assert!(unasked.stderr.contains("nothing was removed") && unasked.stderr.contains("--yes"), "{unasked:?}");
    bench.status();
    let reset = bench.run(&["reset", "--yes"]);
    assert_eq!(reset.code, 0, "{reset:?}");
    assert!(!bench.data.exists());
    assert_eq!(bench.run(&["status"]).code, NOT_RUNNING);
}

#[test]
fn a_reset_of_a_directory_that_is_not_ours_removes_nothing() {
    let bench = Bench::new();
    fs::create_dir_all(&bench.data).unwrap();
    fs::write(bench.data.join("thesis.txt"), "years of work").unwrap();
    let reset = bench.run(&["reset", "--yes"]);
    assert_eq!(reset.code, 1, "{reset:?}");
    assert!(reset.stderr.contains("is not a data directory of ferroflow"), "{reset:?}");
    assert!(bench.data.join("thesis.txt").exists());
}

#[test]
fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    let bench = Bench::new();
    let rows: [(&[&str], &str); 6] = [
        (&[], "Usage: "),
        (&["upp"], "'upp'"),
        (&["up", "--port", "70000"], "--port"),
        (&["up", "--simulate", "nvidia.com/gpu"], "RESOURCE=COUNT"),
        (&["up", "--simulate", "gpu=4"], "extended resource"),
        (&["status", "-o", "xml"], "xml"),
    ];
    for (words, part) in rows {
        let ended = bench.run(words);
        assert_eq!((ended.code, ended.stdout.as_str()), (USAGE, ""), "{words:?}: {ended:?}");
        assert!(ended.stderr.contains(part), "{part} in {ended:?}");
    }
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let ended = common::command(
        Path::new("/proc/ferroflow"),
        &["up", "--port", "0", "--http-port", "0", "--gateway-port", "0"],
    )
    .output()
    .unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: data directory \"/proc/ferroflow\""), "{stderr}");
    assert!(stderr.contains("caused by: "), "{stderr}");
}

#[test]
fn versions_and_completions_are_printed_to_stdout() {
    let bench = Bench::new();
    let version = bench.run(&["version"]);
    assert_eq!(version.code, 0);
    assert!(version.stdout.starts_with("ferroflow 0."), "{version:?}");
    assert!(version.stdout.contains("kubernetes v1.34.4"), "{version:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = bench.run(&["completions", shell]);
        assert_eq!((script.code, script.stderr.as_str()), (0, ""));
        assert!(script.stdout.contains("detach"), "{shell}");
    }
    let help = bench.run(&["--help"]);
    for command in ["up", "down", "status", "env", "reset", "version", "completions"] {
        assert!(help.stdout.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {}", help.stdout);
    }
}

#[test]
fn a_foreground_server_ends_with_success_when_it_is_interrupted() {
    use std::io::{BufRead, BufReader};
    let bench = Bench::new();
    let mut command =
        bench.command(&["up", "--port", "0", "--http-port", "0", "--gateway-port", "0", "--parts", "api"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("ferroflow env")), "the welcome ends");
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(bench.process().is_none(), "the record is gone");
}
