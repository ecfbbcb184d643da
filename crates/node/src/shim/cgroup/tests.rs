//! Groups as this machine has them; where it has none for this user, a test says so and ends.

use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{count, find::find_in, *};
use crate::core::cgroup::{Bounds, Controller, Version};

const PATIENCE: Duration = Duration::from_secs(20);

/// A group for the pods of one test.
fn tree(name: &str) -> Option<Place> {
    let found = find(&format!("ferroflow-test-{name}-{}", std::process::id()));
    if found.tree.is_none() {
        eprintln!("skipped: {}", found.describes);
    }
    found.tree
}

fn shell(group: &Group, script: &str) -> std::process::Child {
    let join = Join::of(Some(group)).unwrap();
    let descriptors = join.descriptors();
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::null());
    // SAFETY: only system calls are made.
    unsafe { command.pre_exec(move || enter(&descriptors)) };
    command.spawn().unwrap()
}

fn removed(tree: &Place) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if clear(tree) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn what_is_above_its_memory_is_killed_and_counted() {
    let Some(tree) = tree("memory") else { return };
    let bounds = Bounds { memory_bytes: Some(32 << 20), ..Bounds::default() };
    let group = Group::make(&tree.below("podu"), "c.0", bounds).unwrap();
    if !group.bounds(Controller::Memory) {
        eprintln!("skipped: no control group bounds memory here");
        return assert!(removed(&tree));
    }
    let inside = shell(&group, "true").wait().unwrap();
    assert!(inside.success() && !group.ran_out_of_memory());
    // A child of the container's process is what takes too much.
    let status = shell(&group, "head -c 200m /dev/zero | tail | wc -c; exit 137").wait().unwrap();
    assert_eq!(status.code(), Some(137));
    assert!(group.ran_out_of_memory());
    assert!(removed(&tree));
}

#[test]
fn a_fork_bomb_stays_in_its_group_and_ends_with_it() {
    let Some(tree) = tree("pids") else { return };
    let bounds = Bounds { pids: Some(50), ..Bounds::default() };
    let group = Group::make(&tree.below("podu"), "c.0", bounds).unwrap();
    if !group.bounds(Controller::Pids) {
        eprintln!("skipped: no control group bounds processes here");
        return assert!(removed(&tree));
    }
    let mut bomb = shell(&group, "b() { b | b & }; b; sleep 600");
    let directory = group.place().directory(Controller::Pids).unwrap().to_owned();
    let most = std::fs::read_to_string(tree.below("podu").directory(Controller::Pids).unwrap().join("pids.max"));
    assert_eq!(most.unwrap().trim(), "50");
    assert!(processes(&directory).len() <= 50);
    group.kill();
    bomb.wait().unwrap();
    assert!(removed(&tree));
    assert!(!directory.exists());
}

#[test]
fn a_group_counts_what_runs_in_it() {
    let Some(tree) = tree("count") else { return };
    let bounds = Bounds { cpu_limit_millis: Some(500), cpu_request_millis: Some(100), ..Bounds::default() };
    let group = Group::make(&tree.below("podu"), "c.0", bounds).unwrap();
    let status = shell(&group, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done").wait().unwrap();
    assert!(status.success());
    let usage = count::usage(group.place());
    if group.bounds(Controller::Cpuacct) {
        assert!(usage.cpu_nanoseconds.unwrap() > 1_000_000, "{usage:?}");
    }
    if group.bounds(Controller::Memory) {
        assert!(usage.memory_bytes.is_some(), "{usage:?}");
    }
    // A server that was killed leaves its groups; the next one removes those of pods that are gone.
    sweep(&tree, &["u".to_owned()].into());
    assert!(group.place().all().iter().all(|directory| directory.exists()));
    sweep(&tree, &[].into());
    assert!(group.place().all().iter().all(|directory| !directory.exists()));
    assert!(removed(&tree));
}

#[test]
fn groups_weigh_as_much_as_is_asked_for_in_them() {
    let Some(tree) = tree("weight") else { return };
    weigh(&tree, 2000).unwrap();
    let pod = tree.below("podu");
    let bounds = |own, pod| Bounds { cpu_request_millis: own, pod_cpu_request_millis: pod, ..Bounds::default() };
    let group = Group::make(&pod, "c.0", bounds(Some(250), Some(1000))).unwrap();
    let poor = tree.below("podpoor");
    let nothing = Group::make(&poor, "c.0", bounds(None, Some(0))).unwrap();
    if !group.bounds(Controller::Cpu) {
        eprintln!("skipped: no control group shares out processor time here");
        return assert!(removed(&tree));
    }
    let [file, whole, half, quarter, least] = match tree.version {
        Version::V1 => ["cpu.shares", "2048", "1024", "256", "2"],
        Version::V2 => ["cpu.weight", "79", "39", "10", "1"],
    };
    let rows = [(&tree, whole), (&pod, half), (group.place(), quarter), (&poor, least), (nothing.place(), least)];
    for (place, wanted) in rows {
        let directory = place.directory(Controller::Cpu).unwrap();
        assert_eq!(fs::read_to_string(directory.join(file)).unwrap().trim(), wanted, "{}", directory.display());
    }
    assert!(removed(&tree));
}

/// Made in a group, and not moved there: as at version 2, whichever version bounds pods here.
#[test]
fn a_process_is_made_in_a_group_of_version_2() {
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let Some(found) = crate::core::cgroup::unified(&membership, &mounts) else {
        return eprintln!("skipped: no hierarchy of version 2");
    };
    let name = format!("ferroflow-test-born-{}", std::process::id());
    let directories = [(Controller::Cpuacct, found.own.join(&name))].into();
    let place = Place { version: Version::V2, directories };
    if let Err(error) = make(place.all()[0]) {
        return eprintln!("skipped: {error}");
    }
    let group = Group::at(place.clone());
    let join = Join::of(Some(&group)).unwrap();
    // SAFETY: the child only makes system calls, whatever other threads hold.
    let born = unsafe { crate::shim::jail::sys::fork_into(join.birthplace().unwrap()) };
    let pid = match born.unwrap() {
        crate::shim::jail::sys::Side::Child => loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        },
        crate::shim::jail::sys::Side::Parent(pid) => pid,
    };
    assert_eq!(processes(place.all()[0]), [pid]);
    group.kill();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
    assert!(removed(&place));
}

/// A directory that looks like a hierarchy of version 2 which a user was given.
fn delegated(controllers: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("user/app");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("cgroup.controllers"), controllers).unwrap();
    fs::write(dir.path().join("cgroup.events"), "populated 1\n").unwrap();
    let mounts = format!("1 0 0:1 / {} rw - cgroup2 cgroup2 rw\n", dir.path().display());
    (dir, mounts)
}

#[test]
fn a_group_that_was_given_to_a_user_holds_the_pods() {
    let (dir, mounts) = delegated("cpu memory pids\n");
    // The shell that started the server may have been moved by an earlier one.
    for membership in ["0::/user/app\n", "0::/user/app/ferroflow-server\n"] {
        let tree = find_in("ferroflow-1", membership, &mounts, false).tree.unwrap();
        assert_eq!(tree.version, Version::V2);
        assert_eq!(tree.all(), [dir.path().join("user/app/ferroflow-1")]);
        assert!(tree.has(Controller::Cpuacct) && tree.has(Controller::Pids));
    }
}

#[test]
fn a_machine_without_groups_says_why() {
    let (_dir, mounts) = delegated("\n");
    let found = find_in("ferroflow-1", "0::/user/app\n", &mounts, false);
    assert_eq!(found.tree, None);
    assert!(found.describes.contains("has no controllers"), "{}", found.describes);
    assert!(find_in("ferroflow-1", "", "", true).describes.contains("none are mounted"));
}
