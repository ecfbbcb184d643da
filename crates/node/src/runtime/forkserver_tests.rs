//! Supervisors and the process that they are forked off, found by their numbers.

use std::{
    collections::BTreeSet,
    fs,
    io::IoSlice,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
    process::{Command, Stdio},
};

use ferroflow_platform::{
    kubelet::{ExitStatus, LogOptions},
    task::Group,
};
use rustix::{
    net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType},
    process::{Pid, Signal},
};

use super::{
    jail_tests::until,
    link::Link,
    process::ProcessRuntime,
    tests::{exec_options, exited, log_text, open, record, shell},
    *,
};
use crate::shim::{self, forkserver, protocol};

/// The pod with this uid, and its events.
async fn pod(node: &ProcessRuntime, uid: &str) -> (Arc<dyn Sandbox>, mpsc::Receiver<Event>) {
    let (sender, events) = mpsc::channel(16);
    (node.open(record(uid), sender).await.unwrap(), events)
}

/// The number of a process's parent; `None` where there is no such process, not even one that has ended.
fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Starts a container that goes on: the number of its supervisor.
async fn supervisor(sandbox: &Arc<dyn Sandbox>) -> i32 {
    assert!(sandbox.start(shell("main", "exec sleep 600")).await.unwrap().is_running());
    let mut session = sandbox.exec("main".to_owned(), exec_options("echo $PPID")).await.unwrap();
    let mut line = String::new();
    let mut stdout = session.stdout.take().unwrap();
    tokio::io::AsyncReadExt::read_to_string(&mut stdout, &mut line).await.unwrap();
    line.trim().parse().unwrap()
}

fn kill(pid: i32) {
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// What the descriptors of a process stand for, by their numbers.
fn descriptors(pid: i32) -> BTreeMap<u32, String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let read = entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, target.display().to_string()))
    });
    read.collect()
}

#[tokio::test]
async fn supervisors_of_all_pods_are_forked_off_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let (node, first, _events) = open(dir.path()).await;
    let (second, _more) = pod(&node, "uid-2").await;
    let supervisors = [supervisor(&first).await, supervisor(&second).await];
    let server = parent(supervisors[0]).unwrap();
    assert_eq!(parent(supervisors[1]), Some(server));
    assert_eq!(parent(server), i32::try_from(std::process::id()).ok());
    for (pid, sandbox) in supervisors.into_iter().zip([&first, &second]) {
        // Its own session, and what people find it by.
        let session = rustix::process::getsid(Pid::from_raw(pid)).unwrap();
        assert_eq!(session.as_raw_nonzero().get(), pid);
        assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "pod-shim\n");
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
        let directory = sandbox.directory();
        assert_eq!(words[1..], [b"pod-shim", directory.to_str().unwrap().as_bytes()]);
        sandbox.destroy().await.unwrap();
    }
    drop((node, first, second));
    until("the process outlives the node", || parent(server).is_none()).await;
}

#[tokio::test]
async fn a_killed_fork_server_is_replaced_and_its_supervisors_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (node, first, mut events) = open(dir.path()).await;
    let left = supervisor(&first).await;
    let server = parent(left).unwrap();
    kill(server);
    until("the killed process stays", || parent(server).is_none()).await;
    let (second, _more) = pod(&node, "uid-2").await;
    let next = parent(supervisor(&second).await).unwrap();
    assert_ne!(next, server);
    let session = first.exec("main".to_owned(), exec_options("exit 4")).await.unwrap();
    assert_eq!(session.exit.await, ExitStatus::Code(4));
    assert_ne!(parent(left), None);
    first.stop("main".to_owned(), libc::SIGTERM, Duration::from_secs(60)).await.unwrap();
    assert_eq!(exited(&mut events).await.exit.unwrap().code, 143);
    // The next one serves as long as the first has.
    let (third, _last) = pod(&node, "uid-3").await;
    assert_eq!(parent(supervisor(&third).await), Some(next));
    for sandbox in [first, second, third] {
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn a_supervisor_has_no_descriptor_but_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (node, first, _events) = open(dir.path()).await;
    let (second, _more) = pod(&node, "uid-2").await;
    let pids = [supervisor(&first).await, supervisor(&second).await];
    let server = parent(pids[0]).unwrap();
    let held = descriptors(server);
    assert_eq!(held.keys().copied().collect::<Vec<_>>(), [0, 1, 2], "{held:?}");
    let [one, other] = pids.map(descriptors);
    for (open, sandbox) in [(&one, &first), (&other, &second)] {
        let log = sandbox.directory().join("supervisor.log").display().to_string();
        assert_eq!([&open[&0], &open[&1], &open[&2]], ["/dev/null", "/dev/null", &log]);
    }
    // Sockets and pipes have numbers; descriptors of the kernel's own kinds have none to tell them apart by.
    let numbered = |open: &BTreeMap<u32, String>| -> BTreeSet<String> {
        open.values().filter(|target| target.starts_with("socket:") || target.starts_with("pipe:")).cloned().collect()
    };
    let (one, other, held) = (numbered(&one), numbered(&other), numbered(&held));
    assert!(!one.is_empty() && held.len() <= 2, "{one:?} {held:?}");
    for (left, right) in [(&one, &other), (&one, &held), (&other, &held)] {
        assert!(left.is_disjoint(right), "{left:?} {right:?}");
    }
    for sandbox in [first, second] {
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn nothing_stays_of_a_supervisor_that_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (node, first, _events) = open(dir.path()).await;
    let (second, _more) = pod(&node, "uid-2").await;
    let pids = [supervisor(&first).await, supervisor(&second).await];
    first.destroy().await.unwrap();
    kill(pids[1]);
    for pid in pids {
        until("an ended supervisor is not waited for", || parent(pid).is_none()).await;
    }
    second.destroy().await.unwrap();
}

#[tokio::test]
async fn a_container_finds_signals_as_a_program_does_that_is_executed() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, mut events) = open(dir.path()).await;
    let script = "exec grep -E '^Sig(Blk|Ign|Cgt):' /proc/self/status";
    sandbox.start(shell("main", script)).await.unwrap();
    assert!(exited(&mut events).await.succeeded());
    let plain = Command::new("sh").args(["-c", script]).output().unwrap();
    let found = log_text(&sandbox, "main", 0, LogOptions::default()).await;
    assert_eq!(found, String::from_utf8(plain.stdout).unwrap());
    sandbox.destroy().await.unwrap();
}

/// Sends a packet with so many descriptors of one file.
fn send(channel: &OwnedFd, bytes: &[u8], file: &fs::File, count: usize) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = vec![file.as_fd(); count];
    assert!(count == 0 || control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    rustix::net::sendmsg(channel, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).unwrap();
}

#[tokio::test]
async fn bad_requests_are_passed_over_and_the_next_one_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    let (near, far) = rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None).unwrap();
    let complaints = fs::File::create(dir.path().join("complaints")).unwrap();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args([shim::SUBCOMMAND, forkserver::ARGUMENT, " "])
        .stdin(Stdio::from(far))
        .stderr(Stdio::from(complaints.try_clone().unwrap()))
        .spawn()
        .unwrap();
    let (listener, errors) = (UnixListener::bind(dir.path().join("s")).unwrap(), complaints);
    let too_long = forkserver::ask(&near, Path::new(&"x".repeat(5000)), listener.as_fd(), errors.as_fd()).unwrap_err();
    assert_eq!(too_long.kind(), std::io::ErrorKind::InvalidFilename);
    let long = vec![b'/'; 8192];
    let rows = [(b"/pod".as_slice(), 0), (b"/pod", 1), (b"/pod", 3), (b"/pod", 4), (&long, 2)];
    for (bytes, count) in rows {
        send(&near, bytes, &errors, count);
    }
    let greeted = || async {
        let link = Link::start(link::connect(dir.path(), "s").unwrap(), &Group::new(), mpsc::channel(1).0).unwrap();
        (link::greet(&link).await, link)
    };
    forkserver::ask(&near, dir.path(), listener.as_fd(), errors.as_fd()).unwrap();
    drop(listener);
    let (hello, held) = greeted().await;
    assert_eq!(hello, Some(protocol::OWN));
    let told = fs::read_to_string(dir.path().join("complaints")).unwrap();
    assert_eq!(told, "pod-shim: a request that is none\n".repeat(rows.len()));
    assert!(server.try_wait().unwrap().is_none());
    // It ends with the agent, and the supervisor goes on.
    drop(near);
    assert_eq!(server.wait().unwrap().code(), Some(0));
    let (hello, _last) = greeted().await;
    assert_eq!(hello, Some(protocol::OWN));
    drop(held);
}
