//! Supervisors and the process runtime together, with real processes in a temporary directory.
//!
//! The supervisor of these tests is this test program, started again: see [`become_supervisor`].

use std::{os::unix::ffi::OsStrExt, path::Path, time::Instant};

use ferroflow_platform::{
    clock::SystemClock,
    kubelet::{ExitStatus, LogOptions, TerminalSize},
    task::Group,
};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    process::{ProcessRuntime, ShimCommand},
    *,
};
use crate::{core::record::ExitReason, shim::protocol::Hello};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs before the test harness makes its first thread: a supervisor has one thread.
extern "C" fn become_supervisor() {
    let line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    let mut arguments = line.split(|byte| *byte == 0).skip(1);
    let subcommand = arguments.next().unwrap_or_default();
    if subcommand.starts_with(crate::shim::SUBCOMMAND.as_bytes()) {
        let words = arguments.filter(|word| !word.is_empty());
        let words = words.map(|word| std::ffi::OsStr::from_bytes(word).to_owned());
        let code = match std::str::from_utf8(subcommand).ok().and_then(of_version) {
            Some(hello) => crate::shim::shim_main_of(hello, words),
            None => crate::shim::shim_main(words),
        };
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}

/// The versions in `pod-shim:7:9`, a supervisor that says that it speaks these.
fn of_version(subcommand: &str) -> Option<Hello> {
    let mut numbers = subcommand.split(':').skip(1).map(str::parse::<u32>);
    let (oldest, version) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Hello { version, oldest })
}

#[used]
// SAFETY: the C runtime calls the functions in this section before `main`; this one takes no argument
// and returns nothing, and it uses nothing of the standard library that `main` would set up.
#[unsafe(link_section = ".init_array")]
static BECOME_SUPERVISOR: extern "C" fn() = become_supervisor;

/// Becomes an agent that starts a container and is then killed.
#[test]
fn agent_entry() {
    let Some(directory) = std::env::var_os("FERROFLOW_TEST_AGENT") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (_node, sandbox, _events) = open(Path::new(&directory)).await;
        let script = "echo begun; while [ ! -s answer ]; do sleep 0.02; done; cat answer; exit 7";
        let attempt = sandbox.start(shell("main", script)).await.unwrap();
        assert!(attempt.is_running());
        println!("started");
        std::future::pending::<()>().await;
    });
}

pub(crate) fn shim_command() -> ShimCommand {
    ShimCommand { program: std::env::current_exe().unwrap(), ..ShimCommand::default() }
}

pub(crate) fn record(uid: &str) -> PodRecord {
    PodRecord {
        version: 1,
        namespace: "default".to_owned(),
        name: "pod".to_owned(),
        uid: uid.to_owned(),
        address: "10.244.0.2".to_owned(),
        devices: BTreeMap::new(),
    }
}

/// A runtime in `directory` with the sandbox of one pod.
pub(crate) async fn open(directory: &Path) -> (ProcessRuntime, Arc<dyn Sandbox>, mpsc::Receiver<Event>) {
    let isolation = Isolation::Bare;
    let node =
        ProcessRuntime::new(directory.to_owned(), isolation, shim_command(), SystemClock::shared(), Group::new())
            .unwrap();
    let (sender, events) = mpsc::channel(16);
    let sandbox = node.open(record("uid-1"), sender).await.unwrap();
    (node, sandbox, events)
}

/// A container that runs a script.
pub(crate) fn shell(container: &str, script: &str) -> Launch {
    Launch {
        container: container.to_owned(),
        image: "busybox".to_owned(),
        image_id: "host".to_owned(),
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        termination_path: "/dev/termination-log".to_owned(),
        ..Launch::default()
    }
}

pub(crate) async fn exited(events: &mut mpsc::Receiver<Event>) -> Attempt {
    match tokio::time::timeout(PATIENCE, events.recv()).await.unwrap() {
        Some(Event::Exited(attempt)) => attempt,
        other => panic!("expected an exit, got {other:?}"),
    }
}

pub(crate) async fn log_text(sandbox: &Arc<dyn Sandbox>, container: &str, number: u32, options: LogOptions) -> String {
    let group = Group::new();
    let mut stream = logs::open(sandbox.log(container, number), options, &group);
    let mut text = Vec::new();
    while let Some(piece) = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap() {
        text.extend_from_slice(&piece.unwrap());
    }
    String::from_utf8(text).unwrap()
}

pub(super) fn exec_options(script: &str) -> ExecOptions {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    ExecOptions { command, stdin: true, stdout: true, stderr: true, tty: false }
}

#[tokio::test]
async fn a_run_leaves_its_code_its_log_and_its_message() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, mut events) = open(dir.path()).await;
    let script = "echo hello; echo trouble >&2; printf bye > /dev/termination-log; exit 3";
    sandbox.start(shell("main", script)).await.unwrap();
    let attempt = exited(&mut events).await;
    let exit = attempt.exit.unwrap();
    assert_eq!((exit.code, exit.reason, exit.message.as_str()), (3, ExitReason::Error, "bye"));
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    assert_eq!(log_text(&sandbox, "main", 0, follow).await, "hello\ntrouble\n");
    let tail = LogOptions { tail_lines: Some(1), ..LogOptions::default() };
    assert_eq!(log_text(&sandbox, "main", 0, tail).await, "trouble\n");
    let limited = LogOptions { limit_bytes: Some(4), stream: "Stdout".to_owned(), ..LogOptions::default() };
    assert_eq!(log_text(&sandbox, "main", 0, limited).await, "hell");
    assert_eq!(sandbox.attempts().await.unwrap().len(), 1);
    sandbox.destroy().await.unwrap();
    assert!(!sandbox.directory().exists());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_run_that_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, _events) = open(dir.path()).await;
    let launch = Launch { argv: vec!["no-such-program".to_owned()], ..shell("main", "") };
    let exit = sandbox.start(launch).await.unwrap().exit.unwrap();
    assert_eq!((exit.code, exit.reason), (128, ExitReason::StartError));
    assert!(exit.message.ends_with(r#"exec: "no-such-program": executable file not found in $PATH"#), "{exit:?}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn stopping_asks_first_and_kills_after_the_grace() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, mut events) = open(dir.path()).await;
    sandbox.start(shell("polite", "trap 'exit 5' TERM; echo up; while :; do sleep 0.02; done")).await.unwrap();
    sandbox.start(shell("deaf", "trap '' TERM; echo up; while :; do sleep 0.02; done")).await.unwrap();
    sandbox.start(shell("plain", "echo up; exec sleep 600")).await.unwrap();
    for container in ["plain", "polite", "deaf"] {
        let mut stream =
            logs::open(sandbox.log(container, 0), LogOptions { follow: true, ..LogOptions::default() }, &Group::new());
        assert_eq!(stream.next().await.unwrap().unwrap(), "up\n");
        let grace = if container == "deaf" { Duration::from_millis(50) } else { Duration::from_secs(60) };
        sandbox.stop(container.to_owned(), libc::SIGTERM, grace).await.unwrap();
        let code = exited(&mut events).await.exit.unwrap().code;
        let expect = [("plain", 143), ("polite", 5), ("deaf", 137)];
        assert!(expect.contains(&(container, code)), "{container} ended with {code}");
    }
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_command_in_a_container_has_its_input_output_and_code() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, _events) = open(dir.path()).await;
    let mut launch = shell("main", "exec sleep 600");
    launch.env.insert("COLOUR".to_owned(), "blue".to_owned());
    sandbox.start(launch).await.unwrap();
    let options = exec_options("read line; echo \"$line $COLOUR\"; echo bad >&2; exit 9");
    let mut session = sandbox.exec("main".to_owned(), options).await.unwrap();
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"sky\n").await.unwrap();
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    session.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    session.stderr.take().unwrap().read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str(), session.exit.await), ("sky blue\n", "bad\n", ExitStatus::Code(9)));

    let absent = ExecOptions { command: vec!["no-such-program".to_owned()], ..exec_options("") };
    let refused = sandbox.exec("main".to_owned(), absent).await.err().unwrap().to_string();
    assert!(refused.contains("executable file not found in $PATH"), "{refused}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_command_in_a_container_sees_its_mounts() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, _events) = open(dir.path()).await;
    let volume = dir.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("greeting"), "from the volume").unwrap();
    let mut launch = shell("main", "exec sleep 600");
    launch.mounts = vec![Mount { source: volume, target: "/data".to_owned(), read_only: false, ..Mount::default() }];
    sandbox.start(launch).await.unwrap();
    let mut session = sandbox.exec("main".to_owned(), exec_options("cat /data/greeting")).await.unwrap();
    let mut out = String::new();
    session.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    assert_eq!((out.as_str(), session.exit.await), ("from the volume", ExitStatus::Code(0)));
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_command_ends_with_its_container() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, mut events) = open(dir.path()).await;
    sandbox.start(shell("main", "while [ ! -s answer ]; do sleep 0.02; done")).await.unwrap();
    let mut session = sandbox.exec("main".to_owned(), exec_options("echo begun; exec sleep 600")).await.unwrap();
    let mut begun = [0; 6];
    session.stdout.as_mut().unwrap().read_exact(&mut begun).await.unwrap();
    std::fs::write(sandbox.directory().join("root/main/answer"), "end\n").unwrap();
    assert!(exited(&mut events).await.succeeded());
    assert_eq!(tokio::time::timeout(PATIENCE, session.exit).await.unwrap(), ExitStatus::Code(137));
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_terminal_has_a_size_and_ends_with_its_command() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, _events) = open(dir.path()).await;
    sandbox.start(shell("main", "exec sleep 600")).await.unwrap();
    let options = ExecOptions { tty: true, stderr: false, ..exec_options("read go; tty >/dev/null && stty size") };
    let mut session = sandbox.exec("main".to_owned(), options).await.unwrap();
    session.resize.as_ref().unwrap().send(TerminalSize { width: 91, height: 17 }).await.unwrap();
    // The size is set by another task: the program reads it only after this line.
    tokio::task::yield_now().await;
    session.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
    let mut out = String::new();
    session.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    assert!(out.contains("17 91"), "{out}");
    assert_eq!(session.exit.await, ExitStatus::Code(0));
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn joining_a_container_gives_its_output_and_takes_input() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, mut events) = open(dir.path()).await;
    let launch = Launch { stdin: true, stdin_once: true, ..shell("main", "while read line; do echo got $line; done") };
    sandbox.start(launch).await.unwrap();
    let options = ExecOptions { stdin: true, stdout: true, ..ExecOptions::default() };
    let mut session = sandbox.attach("main".to_owned(), options).await.unwrap();
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"one\n").await.unwrap();
    drop(stdin);
    let mut out = String::new();
    session.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    assert_eq!(out, "got one\n");
    assert_eq!(session.exit.await, ExitStatus::Code(0));
    assert!(exited(&mut events).await.succeeded());
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_process_that_leaves_its_group_ends_with_its_container() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, mut events) = open(dir.path()).await;
    let script = "setsid sh -c 'echo $$ > stray; exec sleep 600' & while [ ! -s stray ]; do sleep 0.01; done";
    sandbox.start(shell("main", script)).await.unwrap();
    exited(&mut events).await;
    let stray = std::fs::read_to_string(sandbox.directory().join("root/main/stray")).unwrap();
    let path = format!("/proc/{}/cmdline", stray.trim());
    let deadline = Instant::now() + PATIENCE;
    while std::fs::read(&path).is_ok_and(|line| line.starts_with(b"sleep")) {
        assert!(Instant::now() < deadline, "the stray process lives");
        tokio::task::yield_now().await;
    }
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn too_much_memory_ends_a_container() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, mut events) = open(dir.path()).await;
    let script = "exec python3 -c 'import time; held = bytearray(200 << 20); time.sleep(600)'";
    let launch = Launch { memory_limit_bytes: Some(64 << 20), env: own_path(), ..shell("main", script) };
    sandbox.start(launch).await.unwrap();
    let exit = exited(&mut events).await.exit.unwrap();
    assert_eq!((exit.code, exit.reason), (137, ExitReason::OomKilled));
    sandbox.destroy().await.unwrap();
}

fn own_path() -> BTreeMap<String, String> {
    ["PATH", "HOME"].iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}

#[tokio::test]
async fn a_killed_agent_leaves_pods_that_the_next_one_finds() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "runtime::tests::agent_entry", "--nocapture", "--test-threads=1"])
        .env("FERROFLOW_TEST_AGENT", dir.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = std::io::BufReader::new(agent.stdout.take().unwrap());
    assert!(std::io::BufRead::lines(output).any(|line| line.unwrap().contains("started")));
    agent.kill().unwrap();
    agent.wait().unwrap();

    let (node, sandbox, mut events) = open(dir.path()).await;
    assert_eq!(node.stored().await.unwrap(), [record("uid-1")]);
    let attempts = sandbox.attempts().await.unwrap();
    assert_eq!((attempts.len(), attempts[0].is_running()), (1, true));
    let mut session = sandbox.exec("main".to_owned(), exec_options("echo still here")).await.unwrap();
    let mut out = String::new();
    session.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    assert_eq!(out, "still here\n");
    std::fs::write(sandbox.directory().join("root/main/answer"), "after\n").unwrap();
    let exit = exited(&mut events).await.exit.unwrap();
    assert_eq!(exit.code, 7);
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    assert_eq!(log_text(&sandbox, "main", 0, follow).await, "begun\nafter\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_run_that_has_ended_is_not_run_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, mut events) = open(dir.path()).await;
    let launch = || shell("main", "echo once >> starts; printf bye > /dev/termination-log; exit 4");
    sandbox.start(launch()).await.unwrap();
    let first = exited(&mut events).await;
    let second = sandbox.start(launch()).await.unwrap();
    assert_eq!(second, first);
    assert_eq!(second.exit.unwrap().message, "bye");
    assert_eq!(std::fs::read_to_string(sandbox.directory().join("root/main/starts")).unwrap(), "once\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn containers_end_with_their_supervisor_and_are_called_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, mut events) = open(dir.path()).await;
    sandbox.start(shell("main", "echo $PPID $$; exec sleep 600")).await.unwrap();
    let mut stream =
        logs::open(sandbox.log("main", 0), LogOptions { follow: true, ..LogOptions::default() }, &Group::new());
    let line = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    let supervisor: i32 = line.split_whitespace().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(supervisor).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let lost = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap();
    assert!(matches!(lost, Some(Event::SupervisorLost)));
    let exit = sandbox.attempts().await.unwrap()[0].exit.clone().unwrap();
    assert_eq!((exit.code, exit.reason), (137, ExitReason::ContainerStatusUnknown));
    // The pod can go on: a new supervisor is started when it is needed.
    sandbox.start(Launch { number: 1, ..shell("main", "exit 0") }).await.unwrap();
    assert!(exited(&mut events).await.succeeded());
    sandbox.destroy().await.unwrap();
}

/// Supervisors of pods below `directory` that live.
fn supervisors(directory: &Path) -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        String::from_utf8(line).ok()
    });
    lines.filter(|line| line.contains(crate::shim::SUBCOMMAND) && line.contains(directory.to_str().unwrap())).count()
}

pub(super) async fn until_no_supervisor(directory: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while supervisors(directory) > 0 {
        assert!(Instant::now() < deadline, "a supervisor stays");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_meets_an_end_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let (_node, sandbox, _events) = open(dir.path()).await;
        let starting = sandbox.clone();
        let start = tokio::spawn(async move { starting.start(shell("main", "exec sleep 600")).await });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        sandbox.destroy().await.unwrap();
        if let Err(error) = start.await.unwrap() {
            assert_eq!(error.to_string(), "pod uid-1 is ending: nothing starts in it any more");
        }
        assert!(!sandbox.directory().exists());
        until_no_supervisor(dir.path()).await;
    }
}

#[tokio::test]
async fn nothing_starts_in_a_pod_that_rests() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, mut events) = open(dir.path()).await;
    sandbox.start(shell("main", "exit 0")).await.unwrap();
    exited(&mut events).await;
    sandbox.rest().await.unwrap();
    until_no_supervisor(dir.path()).await;
    let refused = sandbox.start(Launch { number: 1, ..shell("main", "exit 0") }).await;
    assert!(matches!(refused, Err(Error::Closed { .. })), "{refused:?}");
    assert_eq!(sandbox.attempts().await.unwrap().len(), 1);
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_supervisor_whose_agent_is_gone_before_it_speaks_ends() {
    use std::os::unix::net::{UnixListener, UnixStream};
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    drop(UnixStream::connect(&socket).unwrap());
    let mut supervisor = std::process::Command::new(std::env::current_exe().unwrap())
        .arg(crate::shim::SUBCOMMAND)
        .arg(dir.path())
        .stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while supervisor.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the supervisor stays");
        tokio::task::yield_now().await;
    }
}
