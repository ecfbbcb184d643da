//! Agents that find supervisors of other versions: real ones, which say that they speak other versions than this program.

use std::path::Path;

use ferroflow_platform::{clock::SystemClock, kubelet::LogOptions, task::Group};

use super::{
    jail_tests::until,
    process::{ProcessRuntime, ShimCommand},
    tests::{exec_options, exited, log_text, record, shell, shim_command},
    *,
};
use crate::shim::{SUBCOMMAND, protocol};

/// A runtime whose new supervisors speak these versions, and the sandbox of a pod in it.
async fn open(directory: &Path, versions: &str) -> (Group, Arc<dyn Sandbox>, mpsc::Receiver<Event>) {
    let shim = ShimCommand { arguments: vec![format!("{SUBCOMMAND}{versions}").into()], ..shim_command() };
    let (group, clock) = (Group::new(), SystemClock::shared());
    let node = ProcessRuntime::new(directory.to_owned(), Isolation::Bare, shim, clock, group.clone()).unwrap();
    let (sender, events) = mpsc::channel(16);
    (group, node.open(record("uid-1"), sender).await.unwrap(), events)
}

/// A container that ends with code 6 when there is a file `end`, and writes down each start of it.
fn container() -> Launch {
    shell("main", "echo begun >> starts; echo begun; while [ ! -e end ]; do sleep 0.02; done; echo over; exit 6")
}

/// Starts a pod under a supervisor of these versions, and ends the agent: its connections close, as when it is killed.
async fn leave(directory: &Path, versions: &str) {
    let (group, sandbox, events) = open(directory, versions).await;
    assert!(sandbox.start(container()).await.unwrap().is_running());
    let starts = sandbox.directory().join("root/main/starts");
    until("the container begins", || std::fs::read_to_string(&starts).is_ok_and(|text| text == "begun\n")).await;
    drop((sandbox, events));
    group.stopping().cancel();
}

#[tokio::test]
async fn pods_of_a_program_of_another_version_are_taken_up() {
    // The first form, which knew no greeting, this one, and a later one that still speaks it.
    for versions in [":0:0", "", ":1:9"] {
        let dir = tempfile::tempdir().unwrap();
        leave(dir.path(), versions).await;
        let (_group, sandbox, mut events) = open(dir.path(), "").await;
        sandbox.check().unwrap();
        let attempts = sandbox.attempts().await.unwrap();
        assert_eq!((attempts.len(), attempts[0].is_running()), (1, true), "{versions:?}");
        // An agent that was killed in the middle asks for the same start again.
        assert_eq!(sandbox.start(container()).await.unwrap(), attempts[0]);
        let session = sandbox.exec("main".to_owned(), exec_options("exit 3")).await.unwrap();
        assert_eq!(session.exit.await, ferroflow_platform::kubelet::ExitStatus::Code(3), "{versions:?}");
        std::fs::write(sandbox.directory().join("root/main/end"), "").unwrap();
        assert_eq!(exited(&mut events).await.exit.unwrap().code, 6, "{versions:?}");
        let follow = LogOptions { follow: true, ..LogOptions::default() };
        assert_eq!(log_text(&sandbox, "main", 0, follow).await, "begun\nover\n", "{versions:?}");
        let starts = sandbox.directory().join("root/main/starts");
        assert_eq!(std::fs::read_to_string(starts).unwrap(), "begun\n", "{versions:?}");
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn a_supervisor_that_is_not_understood_is_left_alone_and_can_be_ended() {
    let dir = tempfile::tempdir().unwrap();
    leave(dir.path(), ":7:9").await;
    let (_group, sandbox, _events) = open(dir.path(), "").await;
    let expected = format!(
        "the supervisor of pod uid-1 speaks versions 7 to 9 of its protocol, and this server {} to {}: its containers run on \
         as they are. Start the version of ferroflow that started the pod, or delete the pod to have it started anew",
        protocol::OLDEST,
        protocol::VERSION
    );
    // Nothing is started in the place of what runs, and nothing is called lost.
    let next = Launch { number: 1, ..container() };
    let refusals = [
        sandbox.check().err(),
        sandbox.attempts().await.err(),
        sandbox.start(container()).await.err(),
        sandbox.start(next).await.err(),
        sandbox.exec("main".to_owned(), exec_options("true")).await.err(),
    ];
    assert_eq!(refusals.map(|refusal| refusal.unwrap().to_string()), [(); 5].map(|()| expected.clone()));
    assert_eq!(std::fs::read_to_string(sandbox.directory().join("root/main/starts")).unwrap(), "begun\n");
    let record = crate::shim::record_path(&sandbox.directory(), "main", 0);
    assert!(crate::shim::read_record(&record).unwrap().is_running());
    sandbox.destroy().await.unwrap();
    assert!(!sandbox.directory().exists());
    super::tests::until_no_supervisor(dir.path()).await;
}
