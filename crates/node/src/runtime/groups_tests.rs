//! Pods in control groups, with real processes; where this user may make none, a test says so and ends.

use std::{path::Path, time::Duration};

use tokio::sync::mpsc;

use super::{
    tests::{open, shell},
    *,
};
use crate::{
    core::{
        cgroup::{self as decided, Controller, Place},
        record::ExitReason,
    },
    shim::cgroup,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A pod whose runtime bounds it by groups that have this controller.
async fn bounded(
    directory: &Path,
    controller: Controller,
) -> Option<(process::ProcessRuntime, Arc<dyn Sandbox>, mpsc::Receiver<Event>, Place)> {
    let found = cgroup::find(&cgroup::tree_name(directory));
    let Some(tree) = found.tree.filter(|tree| tree.has(controller)) else {
        eprintln!("skipped: {} has no {}", found.describes, controller.as_str());
        return None;
    };
    let (node, sandbox, events) = open(directory).await;
    node.bound_by(tree.clone());
    Some((node, sandbox, events, tree))
}

async fn exited(events: &mut mpsc::Receiver<Event>) -> Attempt {
    match tokio::time::timeout(PATIENCE, events.recv()).await.unwrap() {
        Some(Event::Exited(attempt)) => attempt,
        other => panic!("expected an exit, got {other:?}"),
    }
}

fn group_of(tree: &Place) -> Place {
    tree.below(&decided::pod_name("uid-1"))
}

async fn destroy(sandbox: &dyn Sandbox, tree: &Place) {
    sandbox.destroy().await.unwrap();
    assert!(group_of(tree).all().iter().all(|directory| !directory.exists()));
    cgroup::end(tree);
}

#[tokio::test]
async fn a_child_that_takes_too_much_memory_ends_its_container_as_out_of_memory() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_node, sandbox, mut events, tree)) = bounded(dir.path(), Controller::Memory).await else { return };
    sandbox.start(shell("beside", "exec sleep 600")).await.unwrap();
    let script = "head -c 200m /dev/zero | tail | wc -c; exit 137";
    let launch = Launch { memory_limit_bytes: Some(32 << 20), ..shell("main", script) };
    sandbox.start(launch).await.unwrap();
    let exit = exited(&mut events).await.exit.unwrap();
    assert_eq!((exit.code, exit.reason), (137, ExitReason::OomKilled));
    let running: Vec<String> = sandbox
        .attempts()
        .await
        .unwrap()
        .into_iter()
        .filter(Attempt::is_running)
        .map(|attempt| attempt.container)
        .collect();
    assert_eq!(running, ["beside"]);
    // The run that follows begins with a clean count.
    let again = Launch { number: 1, memory_limit_bytes: Some(32 << 20), ..shell("main", "exit 3") };
    sandbox.start(again).await.unwrap();
    let exit = exited(&mut events).await.exit.unwrap();
    assert_eq!((exit.code, exit.reason), (3, ExitReason::Error));
    destroy(&*sandbox, &tree).await;
}

#[tokio::test]
async fn a_fork_bomb_is_bounded_and_ends_with_its_container() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_node, sandbox, mut events, tree)) = bounded(dir.path(), Controller::Pids).await else { return };
    let launch = Launch { pids_limit: Some(60), ..shell("bomb", "b() { b | b & }; b; sleep 600") };
    sandbox.start(launch).await.unwrap();
    sandbox.stop("bomb".to_owned(), libc::SIGKILL, Duration::ZERO).await.unwrap();
    assert_eq!(exited(&mut events).await.exit.unwrap().code, 137);
    // Nothing of it is left: another container of the pod starts, and lives.
    let launch = Launch { pids_limit: Some(60), ..shell("after", "echo fine; exit 4") };
    sandbox.start(launch).await.unwrap();
    assert_eq!(exited(&mut events).await.exit.unwrap().code, 4);
    destroy(&*sandbox, &tree).await;
}

#[tokio::test]
async fn what_runs_counts_in_its_group_and_so_do_commands_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_node, sandbox, _events, tree)) = bounded(dir.path(), Controller::Cpuacct).await else { return };
    if !tree.has(Controller::Memory) {
        return eprintln!("skipped: no control group counts memory here");
    }
    sandbox.start(shell("main", "exec sleep 600")).await.unwrap();
    let before = sandbox.usage().await.unwrap();
    let options = ExecOptions {
        command: ["sh", "-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"].map(str::to_owned).to_vec(),
        ..ExecOptions::default()
    };
    let session = sandbox.exec("main".to_owned(), options).await.unwrap();
    session.exit.await;
    let after = sandbox.usage().await.unwrap();
    assert_eq!(after[0].name, "main");
    assert!(after[0].cpu_nanoseconds_total > before[0].cpu_nanoseconds_total, "{before:?} {after:?}");
    destroy(&*sandbox, &tree).await;
}

#[tokio::test]
async fn what_a_killed_supervisor_leaves_ends_when_its_pod_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some((node, sandbox, mut events, tree)) = bounded(dir.path(), Controller::Pids).await else { return };
    // A grandchild in a session of its own does not end with the supervisor by itself.
    let script = "setsid sh -c 'sleep 600; exit' & echo up; sleep 600; exit";
    sandbox.start(shell("main", script)).await.unwrap();
    let directory = group_of(&tree).below("main.0").directory(Controller::Pids).unwrap().to_owned();
    let status = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap();
    let first = status.lines().next().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    let parent = stat.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(parent).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    while !matches!(tokio::time::timeout(PATIENCE, events.recv()).await.unwrap(), Some(Event::SupervisorLost)) {}
    let (sender, _events) = mpsc::channel(16);
    let record = PodRecord { version: 1, uid: "uid-1".to_owned(), ..node.stored().await.unwrap().remove(0) };
    let again = node.open(record, sender).await.unwrap();
    assert!(!directory.exists());
    destroy(&*again, &tree).await;
}
