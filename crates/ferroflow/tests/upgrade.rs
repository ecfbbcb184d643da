//! A server that is replaced by a newer program while pods run: they go on, under supervisors that are the older one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use common::{Bench, Server};
use ferroflow_testkit::{
    cluster::client_of,
    objects::from,
    wait::{eventually, until, until_gone},
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{
    Api,
    api::{AttachParams, DeleteParams, LogParams, PostParams},
};
use serde_json::json;
use tokio::io::AsyncReadExt;

/// This program under another name, in a file of its own.
fn copy(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::copy(env!("CARGO_BIN_EXE_ferroflow"), &path).unwrap();
    path
}

/// A pod that writes down each start of its container, is ready while there is a file, and ends with code 5 on SIGUSR1.
fn pod(folder: &Path, name: &str, policy: &str) -> Pod {
    let file = |kind: &str| folder.join(format!("{name}-{kind}")).display().to_string();
    let (starts, ready) = (file("starts"), file("ready"));
    let script = format!(
        "trap 'echo over; exit 5' USR1; echo begun; echo line 0; echo $$$$ >> {starts}; n=1; \
         while :; do sleep 0.2 & wait $!; echo line $n; n=$((n+1)); done"
    );
    let probe = json!({"exec": {"command": ["test", "-e", ready]}, "periodSeconds": 1, "failureThreshold": 1});
    from(json!({"metadata": {"name": name}, "spec": {"restartPolicy": policy, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", script], "readinessProbe": probe}]}}))
}

fn main(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn is_ready(pod: &Pod) -> bool {
    main(pod).is_some_and(|main| main.ready)
}

async fn said_by(pods: &Api<Pod>, name: &str, script: &str) -> String {
    let options = AttachParams::default().stderr(false);
    let mut process = pods.exec(name, ["sh", "-c", script], &options).await.unwrap();
    let mut text = String::new();
    process.stdout().unwrap().read_to_string(&mut text).await.unwrap();
    process.join().await.unwrap();
    text
}

/// The program that a pod's supervisor is: its file may be gone.
fn programs_of_supervisors(data: &Path) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = String::from_utf8(fs::read(entry.path().join("cmdline")).ok()?).ok()?;
        let ours = line.contains("pod-shim") && line.contains(data.to_str()?);
        ours.then(|| fs::read_link(entry.path().join("exe")).ok()?.to_str().map(str::to_owned)).flatten()
    });
    all.collect()
}

async fn until_true(what: &str, holds: impl Fn() -> bool) {
    eventually(what, async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_go_on_when_the_server_is_replaced_by_a_newer_program() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let bench = Bench::new();
    let older = copy(folder, "ferroflow-older");
    // Level bare, where the containers see the files of this test.
    let options = ["--isolation", "bare"];
    let mut server = Server::start_program(&older, &bench, "all", &options);
    let pods: Api<Pod> = Api::default_namespaced(client_of(server.address, &server.token));
    let names = [("stays", "Always"), ("ends", "Never")];
    for (name, policy) in names {
        fs::write(folder.join(format!("{name}-ready")), "").unwrap();
        pods.create(&PostParams::default(), &pod(folder, name, policy)).await.unwrap();
    }
    let mut before = Vec::new();
    for (name, _) in names {
        before.push(until(&pods, name, "is ready", is_ready).await);
    }
    let process = |name: &str| fs::read_to_string(folder.join(format!("{name}-starts"))).unwrap_or_default();
    let starts = |name: &str| process(name).lines().count();
    // A container runs before its program has said so.
    for (name, _) in names {
        until_true("it has noted its start", || starts(name) == 1).await;
    }
    server.kill();
    // While no server runs, a pod ends, another is not ready any more, and the program is replaced by another file.
    let number = process("ends").trim().parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(number, rustix::process::Signal::USR1).unwrap();
    fs::remove_file(folder.join("stays-ready")).unwrap();
    let newer = copy(folder, "ferroflow-newer");
    // Another file with other bytes, which no program of this format reads.
    fs::OpenOptions::new().append(true).open(&newer).unwrap().write_all(b"newer").unwrap();
    fs::remove_file(&older).unwrap();

    let server = Server::start_program(&newer, &bench, "all", &options);
    let pods: Api<Pod> = Api::default_namespaced(client_of(server.address, &server.token));
    let ended = until(&pods, "ends", "has ended", |pod| {
        main(pod).and_then(|main| main.state.as_ref()?.terminated.as_ref()).is_some()
    })
    .await;
    assert_eq!(main(&ended).unwrap().state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 5);
    let log = pods.logs("ends", &LogParams::default()).await.unwrap();
    assert!(log.starts_with("begun\nline 0\n") && log.ends_with("over\n"), "{log}");
    // The probe goes on, under the older program.
    let stays = until(&pods, "stays", "is not ready any more", |pod| !is_ready(pod)).await;
    fs::write(folder.join("stays-ready"), "").unwrap();
    until(&pods, "stays", "is ready again", is_ready).await;
    let supervisors = programs_of_supervisors(&bench.data);
    assert!(supervisors.iter().any(|program| program.ends_with("ferroflow-older (deleted)")), "{supervisors:?}");
    assert_eq!(main(&stays).unwrap().container_id, main(&before[0]).unwrap().container_id);
    assert_eq!(main(&stays).unwrap().restart_count, 0);
    assert_eq!(said_by(&pods, "stays", "echo here").await, "here\n");
    // What it says now is in its log, after what it has said before.
    let lines = |log: &str| log.lines().filter(|line| line.starts_with("line ")).count();
    let so_far = lines(&pods.logs("stays", &LogParams::default()).await.unwrap());
    eventually("the log grows", async {
        while lines(&pods.logs("stays", &LogParams::default()).await.unwrap()) <= so_far {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for (name, _) in names {
        assert_eq!(starts(name), 1, "{name} was started once");
    }
    // The older supervisor starts its container again when that ends, and a new pod has the newer one.
    let number = process("stays").trim().parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(number, rustix::process::Signal::USR1).unwrap();
    let again =
        until(&pods, "stays", "runs again", |pod| main(pod).is_some_and(|main| main.restart_count == 1 && main.ready))
            .await;
    let last = main(&again).unwrap().last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code;
    assert_eq!(last, 5);
    until_true("it has noted its second start", || starts("stays") >= 2).await;
    assert_eq!(starts("stays"), 2);
    fs::write(folder.join("new-ready"), "").unwrap();
    pods.create(&PostParams::default(), &pod(folder, "new", "Always")).await.unwrap();
    until(&pods, "new", "is ready", is_ready).await;
    let supervisors = programs_of_supervisors(&bench.data);
    assert!(supervisors.iter().any(|program| program.ends_with("ferroflow-newer")), "{supervisors:?}");
    for name in ["stays", "ends", "new"] {
        pods.delete(name, &DeleteParams::default()).await.unwrap();
        until_gone(&pods, name).await;
    }
    until_true("no supervisor is left", || programs_of_supervisors(&bench.data).is_empty()).await;
}
