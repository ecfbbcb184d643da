//! Containers that are kept apart, for real: images as roots and environments of the host, as whoever runs the tests.
//!
//! The image is one layer with a static busybox. Where the host forbids namespaces, or has no such busybox, the
//! tests say so and pass.

use std::{os::unix::fs::PermissionsExt, path::Path};

use ferroflow_platform::{clock::SystemClock, kubelet::ExitStatus, task::Group};
use tokio::io::AsyncReadExt;

use super::{
    process::ProcessRuntime,
    tests::{exited, log_text, record, shell, shim_command},
    *,
};

/// A pod in a directory of its own.
struct Place {
    _node: ProcessRuntime,
    sandbox: Arc<dyn Sandbox>,
    events: mpsc::Receiver<Event>,
    directory: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // As an ordinary user's own directory is; a pod's ids must not matter to it.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let pods = directory.path().join("pods");
        let clock = SystemClock::shared();
        let node = ProcessRuntime::new(pods, Isolation::Container, shim_command(), clock, Group::new()).unwrap();
        let (sender, events) = mpsc::channel(16);
        let sandbox = node.open(record("uid-1"), sender).await.unwrap();
        Self { _node: node, sandbox, events, directory }
    }

    /// Whether this host lets this user have a level; says so if not.
    async fn has(&self, isolation: Isolation) -> bool {
        let directory = self.directory.path();
        let clock = SystemClock::shared();
        let level = trial::choose(Some(isolation), directory, &shim_command(), &clock, &Group::new()).await;
        if let Err(error) = &level {
            println!("skipped: {error}");
        }
        level.is_ok()
    }

    /// An image of one layer, where images can be roots here.
    async fn layer(&self) -> Option<PathBuf> {
        if self.has(Isolation::Container).await { busybox(self.directory.path()) } else { None }
    }

    /// What a run prints, after the code with which it ends.
    async fn run(&mut self, launch: Launch) -> (i32, String) {
        let (container, number) = (launch.container.clone(), launch.number);
        let attempt = self.sandbox.start(launch).await.unwrap();
        let attempt = if attempt.is_running() { exited(&mut self.events).await } else { attempt };
        let exit = attempt.exit.unwrap();
        let log = log_text(&self.sandbox, &container, number, Default::default()).await;
        (exit.code, format!("{log}{}", exit.message))
    }

    async fn exec(&self, container: &str, script: &str) -> (ExitStatus, String) {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let options = ExecOptions { command, stdin: false, stdout: true, stderr: true, tty: false };
        let mut session = self.sandbox.exec(container.to_owned(), options).await.unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        session.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
        session.stderr.take().unwrap().read_to_string(&mut err).await.unwrap();
        (session.exit.await, out + &err)
    }
}

/// A layer with a shell, below `directory`; `None`, with a word why, where there is none to be had.
fn busybox(directory: &Path) -> Option<PathBuf> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| is_static(path));
    let Some(busybox) = busybox else {
        println!("skipped: no static busybox on this host");
        return None;
    };
    let tree = directory.join("layer");
    for name in ["bin", "etc", "tmp", "root"] {
        std::fs::create_dir_all(tree.join(name)).unwrap();
    }
    std::fs::copy(busybox, tree.join("bin/busybox")).unwrap();
    for name in ["sh", "ls", "cat", "id", "sleep", "mount", "mknod", "hostname", "touch", "ps", "stat", "mkdir", "nc"] {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(name)).unwrap();
    }
    let users = "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n";
    std::fs::write(tree.join("etc/passwd"), users).unwrap();
    std::fs::write(tree.join("etc/group"), "root:x:0:\nweb:x:34:\nlogs:x:40:web\n").unwrap();
    Some(tree)
}

fn is_static(path: &str) -> bool {
    // The name of a loader is in every program that needs one.
    std::fs::read(path).is_ok_and(|bytes| !bytes.windows(10).any(|window| window == b"/ld-linux-"))
}

fn image(container: &str, layer: &Path, script: &str) -> Launch {
    Launch {
        root: Root::Image { layers: vec![layer.to_owned()] },
        hostname: "a-pod".to_owned(),
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        ..shell(container, "")
    }
}

#[tokio::test]
async fn an_image_is_the_root_of_its_container() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    let script = "echo $$; id -u; hostname; ls /; pwd; echo x > /new && cat /new; echo bye > /dev/termination-log";
    let (code, text) = place.run(image("main", &layer, script)).await;
    assert_eq!(text, "1\n0\na-pod\nbin\ndev\netc\nproc\nroot\nsys\ntmp\n/\nx\nbye\n", "{code}");
    assert_eq!(code, 0);
    place.sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_command_joins_its_container() {
    let place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    place.sandbox.start(image("main", &layer, "echo here > /file; exec sleep 600")).await.unwrap();
    let (status, text) = place.exec("main", "while [ ! -s /file ]; do :; done; cat /file; id -u; ls /proc/1/exe").await;
    assert_eq!((status, text.as_str()), (ExitStatus::Code(0), "here\n0\n/proc/1/exe\n"));
    place.sandbox.destroy().await.unwrap();
}

fn environment(container: &str, script: &str) -> Launch {
    Launch { root: Root::Environment { paths: Vec::new() }, ..image(container, Path::new("/"), script) }
}

impl Launch {
    fn with_mount(mut self, source: &Path, target: &str) -> Self {
        let mount = Mount { source: source.to_owned(), target: target.to_owned(), ..Mount::default() };
        self.mounts.push(mount);
        self
    }
}

#[tokio::test]
async fn an_environment_has_the_hosts_programs_and_nothing_else_of_it() {
    let mut place = Place::new().await;
    if !place.has(Isolation::Environment).await {
        return;
    }
    let volume = place.directory.path().join("pods/uid-1/volumes/data");
    std::fs::create_dir_all(&volume).unwrap();
    let script = "set -e; id -u; hostname; cat /etc/hosts; pwd; ls -A /home /root /var /tmp 2>&1 || true; echo x > /tmp/x; \
                  echo y > /opt/model/in/y; cat /data/y; test ! -w /usr; ls -d /usr/bin/env";
    let mut launch = environment("main", script).with_mount(&volume, "/opt/model/in").with_mount(&volume, "/data");
    launch.etc.hosts = "127.0.0.1 own\n".to_owned();
    let (code, text) = place.run(launch).await;
    let expect = "0\na-pod\n127.0.0.1 own\n/home/pod\nls: cannot access '/root': No such file or directory\n";
    assert!(text.starts_with(expect), "{code} {text}");
    assert!(text.ends_with("y\n/usr/bin/env\n"), "{code} {text}");
    place.sandbox.destroy().await.unwrap();
}
