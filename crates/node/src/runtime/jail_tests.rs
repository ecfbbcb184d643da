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
use crate::shim;

/// A pod in a directory of its own.
pub(super) struct Place {
    pub node: ProcessRuntime,
    pub sandbox: Arc<dyn Sandbox>,
    events: mpsc::Receiver<Event>,
    pub directory: tempfile::TempDir,
}

impl Place {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // As an ordinary user's own directory is; a pod's ids must not matter to it.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let pods = directory.path().join("pods");
        let clock = SystemClock::shared();
        let node = ProcessRuntime::new(pods, Isolation::Container, shim_command(), clock, Group::new()).unwrap();
        let node = node.hiding(directory.path().join("work/data"));
        let (sender, events) = mpsc::channel(16);
        let sandbox = node.open(record("uid-1"), sender).await.unwrap();
        Self { node, sandbox, events, directory }
    }

    /// Whether this host lets this user have a level; says so if not.
    pub async fn has(&self, isolation: Isolation) -> bool {
        let directory = self.directory.path();
        let clock = SystemClock::shared();
        let level = trial::choose(Some(isolation), directory, &shim_command(), &clock, &Group::new()).await;
        if let Err(error) = &level {
            println!("skipped: {error}");
        }
        level.is_ok()
    }

    /// An image of one layer, where images can be roots here.
    pub async fn layer(&self) -> Option<PathBuf> {
        if self.has(Isolation::Container).await { busybox(self.directory.path()) } else { None }
    }

    /// What a run prints, after the code with which it ends.
    pub async fn run(&mut self, launch: Launch) -> (i32, String) {
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
    std::fs::set_permissions(tree.join("tmp"), std::fs::Permissions::from_mode(0o1777)).unwrap();
    std::fs::copy(busybox, tree.join("bin/busybox")).unwrap();
    for name in [
        "ln", "chroot", "dd", "umount", "kill", "grep", "sed", "wc", "env", "ipcs", "sh", "ls", "cat", "id", "sleep",
        "mount", "mknod", "hostname", "touch", "ps", "stat", "mkdir", "nc", "head",
    ] {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(name)).unwrap();
    }
    let users = "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n";
    std::fs::write(tree.join("etc/passwd"), users).unwrap();
    std::fs::write(tree.join("etc/group"), "root:x:0:\nweb:x:34:\nlogs:x:40:web\n").unwrap();
    Some(tree)
}

pub(super) fn is_static(path: &str) -> bool {
    // The name of a loader is in every program that needs one.
    std::fs::read(path).is_ok_and(|bytes| !bytes.windows(10).any(|window| window == b"/ld-linux-"))
}

pub(super) fn image(container: &str, layer: &Path, script: &str) -> Launch {
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

pub(super) fn environment(container: &str, script: &str) -> Launch {
    Launch { root: Root::Environment { paths: Vec::new() }, ..image(container, Path::new("/"), script) }
}

impl Launch {
    pub(super) fn with_mount(mut self, source: &Path, target: &str) -> Self {
        let mount = Mount { source: source.to_owned(), target: target.to_owned(), ..Mount::default() };
        self.mounts.push(mount);
        self
    }
}

#[tokio::test]
async fn a_volume_in_memory_is_one_for_all_containers_and_has_an_end() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    let source = place.directory.path().join("cache");
    let mount = Mount {
        source,
        sub_path: String::new(),
        target: "/cache".to_owned(),
        tmpfs: Some(1 << 20),
        ..Mount::default()
    };
    let with = |launch: Launch| Launch { mounts: vec![mount.clone()], ..launch };
    place.sandbox.start(with(image("keeper", &layer, "exec sleep 600"))).await.unwrap();
    let (code, text) = place.run(with(image("one", &layer, "echo shared > /cache/f; stat -f -c %T /cache"))).await;
    assert_eq!((code, text.as_str()), (0, "tmpfs\n"));
    let script = "exec 2>&1; cat /cache/f; head -c 2m /dev/zero > /cache/big && exit 9; stat -c %a /cache";
    let (code, text) = place.run(with(image("two", &layer, script))).await;
    // What busybox says of a full disk is not always the same, and comes by another pipe: before the last line or after.
    assert!(text.starts_with("shared\n"), "{text}");
    assert!(text.contains("777\n"), "{text}");
    assert_eq!(code, 0);
    place.sandbox.destroy().await.unwrap();
}

/// Where no control group counts them, as here, the system does for the pod's own user.
#[tokio::test]
async fn a_pod_cannot_have_processes_without_end() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    let script = "i=0; while [ $i -lt 60 ]; do sleep 600 & i=$((i+1)); done; echo unbounded";
    let (code, text) = place.run(Launch { pids_limit: Some(30), ..image("main", &layer, script) }).await;
    assert!(code != 0 && text.contains("fork") && !text.contains("unbounded"), "{code} {text}");
    let (code, text) = place.run(image("after", &layer, "echo fine")).await;
    assert_eq!((code, text.as_str()), (0, "fine\n"));
    place.sandbox.destroy().await.unwrap();
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

#[tokio::test]
async fn users_are_those_of_the_image_or_of_the_pod() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    let has_many = shim::jail::Ids::of_pod(0).has_many();
    let of = |image_user: &str, user: Option<u32>| Security {
        user,
        image_user: image_user.to_owned(),
        supplementary: vec![2000],
        ..Security::default()
    };
    let script = "id -u; id -g; echo $HOME; grep CapEff /proc/self/status; echo x > /tmp/mine && stat -c %u /tmp/mine";
    let rows = [
        (of("", None), "0\n0\n/root\nCapEff:\t00000000a80425fb\n0\n"),
        (of("web", None), "33\n34\n/srv\nCapEff:\t0000000000000000\n33\n"),
        (of("web", Some(1000)), "1000\n0\n/\nCapEff:\t0000000000000000\n1000\n"),
    ];
    for (number, (security, expect)) in (0..).zip(rows) {
        let launch = Launch { security, number, ..image("main", &layer, script) };
        assert_eq!(place.run(launch).await, (0, expect.to_owned()));
    }
    if has_many {
        let launch = Launch { security: of("web", None), number: 9, ..image("main", &layer, "id -G") };
        assert_eq!(place.run(launch).await.1, "34 40 2000\n");
    }
    let security = Security { image_user: "ghost".to_owned(), ..Security::default() };
    let (code, text) = place.run(Launch { security, number: 10, ..image("main", &layer, "") }).await;
    assert!(code == 128 && text.ends_with("unable to find user ghost: no matching entries in passwd file"), "{text}");
    // A command in a container is the container's user.
    let launch = Launch { security: of("web", None), number: 11, ..image("main", &layer, "exec sleep 600") };
    place.sandbox.start(launch).await.unwrap();
    assert_eq!(place.exec("main", "id -u; echo $HOME").await.1, "33\n/srv\n");
    place.sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn rights_are_as_few_or_as_many_as_the_pod_says() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let script = "grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status | sed 's/.*:.//'; \
                  echo x > /x || echo closed; mount -t tmpfs x /tmp && echo mounted; echo y > /dev/null";
    let rows = [
        (Security { drop: list(&["ALL"]), no_new_privileges: true, ..Security::default() }, "0000000000000000"),
        (
            Security { add: list(&["NET_BIND_SERVICE"]), drop: list(&["ALL"]), ..Security::default() },
            "0000000000000400",
        ),
    ];
    for (number, (security, caps)) in (0..).zip(rows) {
        let (_, text) = place.run(Launch { security, number, ..image("main", &layer, script) }).await;
        assert!(text.starts_with(&format!("{caps}\n{caps}\n")), "{text}");
        assert!(text.contains("mount: permission denied") || text.contains("not permitted"), "{text}");
    }
    let security = Security { read_only_root: true, privileged: true, ..Security::default() };
    let (_, text) = place.run(Launch { security, number: 5, ..image("main", &layer, script) }).await;
    assert!(text.contains("closed\n") && text.contains("mounted\n"), "{text}");
    place.sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn programs_that_cannot_run_are_told_of_as_elsewhere() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    let rows = [
        (vec!["no-such"], "exec: \"no-such\": executable file not found in $PATH"),
        (vec!["/no/such"], "exec: \"/no/such\": stat /no/such: no such file or directory"),
        (vec!["/etc/passwd"], "exec: \"/etc/passwd\": permission denied"),
    ];
    for (number, (argv, expect)) in (0..).zip(rows) {
        let argv = argv.into_iter().map(str::to_owned).collect();
        let (code, text) = place.run(Launch { argv, number, ..image("main", &layer, "") }).await;
        assert!(code == 128 && text.ends_with(expect), "{code} {text}");
    }
    let launch = Launch { working_dir: Some("/made/here".to_owned()), number: 7, ..image("main", &layer, "pwd") };
    assert_eq!(place.run(launch).await, (0, "/made/here\n".to_owned()));
    place.sandbox.start(Launch { number: 8, ..image("main", &layer, "exec sleep 600") }).await.unwrap();
    let absent =
        ExecOptions { command: vec!["no-such".to_owned()], stdin: false, stdout: true, stderr: true, tty: false };
    let refused = place.sandbox.exec("main".to_owned(), absent).await.err().unwrap().to_string();
    assert!(refused.ends_with("exec: \"no-such\": executable file not found in $PATH"), "{refused}");
    place.sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn volumes_are_where_the_container_wants_them() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    let volumes = place.directory.path().join("pods/uid-1/volumes");
    for name in ["data/sub/deep", "cache", "config"] {
        std::fs::create_dir_all(volumes.join(name)).unwrap();
    }
    std::fs::write(volumes.join("config/app.conf"), "setting\n").unwrap();
    let script = "echo one > /data/file; cat /etc/app/app.conf; ls /deep; echo two > /read/x || echo closed; \
                  echo three > /cache/shared; wc -c < /proc/self/cgroup > /dev/null; stat -c '%u %a' /data /data/file";
    let mut launch = image("main", &layer, script)
        .with_mount(&volumes.join("data"), "/data")
        .with_mount(&volumes.join("config/app.conf"), "/etc/app/app.conf");
    let data = volumes.join("data");
    launch.mounts.push(Mount {
        source: data.clone(),
        sub_path: "sub".to_owned(),
        target: "/deep".to_owned(),
        ..Mount::default()
    });
    launch.mounts.push(Mount { source: data.clone(), target: "/read".to_owned(), read_only: true, ..Mount::default() });
    let cache =
        Mount { source: volumes.join("cache"), target: "/cache".to_owned(), tmpfs: Some(1 << 20), ..Mount::default() };
    launch.mounts.push(cache.clone());
    let (code, text) = place.run(launch).await;
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("Read-only")).collect();
    assert_eq!(lines, ["setting", "deep", "closed", "0 755", "0 644"], "{code}");
    assert_eq!(std::fs::read_to_string(data.join("file")).unwrap(), "one\n");
    assert!(!volumes.join("cache/shared").exists(), "a volume in memory is not on the disk");
    // The next container of the pod finds what the first one left in memory, and no more than that fits.
    let script = "cat /cache/shared; dd if=/dev/zero of=/cache/much bs=65536 count=64 2> /dev/null || echo full";
    let mut second = image("second", &layer, script);
    second.mounts.push(cache);
    assert_eq!(place.run(second).await, (0, "three\nfull\n".to_owned()));
    place.sandbox.destroy().await.unwrap();
}

/// What a container may try; each line that comes out of it is a way that stands open.
fn attempts(secret: &Path, socket: &Path, host_pid: u32) -> String {
    let (secret, socket) = (secret.display(), socket.display());
    format!(
        "exec 2> /dev/null
        for root in '' /proc/1/root /proc/self/root /proc/1/cwd /proc/1/cwd/../../../../..; do
            cat $root{secret} && echo read $root; test -S $root{socket} && echo socket $root
        done
        mkdir -p /tmp/jail; chroot /tmp/jail sh -c 'cat {secret}' && echo chroot
        mkdir -p /tmp/a; ln -s / /tmp/a/up; cat /tmp/a/up/../../..{secret} && echo link
        test -e /proc/{host_pid}/root/etc && echo process
        kill -0 {host_pid} && echo signal
        echo 1 > /proc/sys/kernel/panic && echo sysctl
        echo b > /proc/sysrq-trigger && echo sysrq
        mknod /tmp/disk b 254 0 && echo node
        test -b /tmp/disk && dd if=/tmp/disk of=/dev/null count=1 && echo disk
        mount -t tmpfs none /tmp && echo mount
        mount -o remount,rw /proc/sys && echo remount
        umount /proc/kcore && echo uncovered
        dd if=/proc/kcore of=/tmp/core bs=1 count=1 && test -s /tmp/core && echo kcore
        ls /sys/firmware/* && echo firmware
        echo 0 > /sys/kernel/mm/ksm/run && echo sys
        echo end >&1"
    )
}

#[tokio::test]
async fn nothing_leads_out_of_a_container() {
    let mut place = Place::new().await;
    let secret = place.directory.path().join("server.key");
    std::fs::write(&secret, "secret").unwrap();
    // Whoever gets to it may read it: that nobody does is what is tested.
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o666)).unwrap();
    let socket = place.directory.path().join("pods/uid-1/s");
    let script = attempts(&secret, &socket, std::process::id());
    let users = [None, Some(1001)];
    if let Some(layer) = place.layer().await {
        for (number, user) in (0..).zip(users) {
            let security = Security { user, ..Security::default() };
            let launch = Launch { security, number, ..image("image", &layer, &script) };
            assert_eq!(place.run(launch).await, (0, "end\n".to_owned()), "an image as {user:?}");
        }
    }
    if place.has(Isolation::Environment).await {
        for (number, user) in (0..).zip(users) {
            let security = Security { user, ..Security::default() };
            let launch = Launch { security, number, ..environment("host", &script) };
            assert_eq!(place.run(launch).await, (0, "end\n".to_owned()), "an environment as {user:?}");
        }
    }
    place.sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn sockets_without_a_file_are_the_pods_own() {
    use std::os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    };
    let mut place = Place::new().await;
    if !place.has(Isolation::Environment).await || !Path::new("/usr/bin/python3").exists() {
        return println!("skipped: no /usr/bin/python3 on this host");
    }
    let name = format!("ferroflow-test-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let script = format!(
        "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.connect(\"\\0{name}\"); print(\"in\")' 2>&1 | tail -1"
    );
    let (_, text) = place.run(environment("main", &script)).await;
    // Linux 6.12 and later can close them.
    let closes = text.contains("Operation not permitted");
    let is_old = rustix::system::uname().release().to_bytes() < b"6.12".as_slice();
    assert!(closes || is_old || shim::jail::Ids::of_pod(0).has_many() && !shim::jail::is_root_of_host(), "{text}");
    place.sandbox.destroy().await.unwrap();
}

/// Whether a process with these arguments lives.
fn lives(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
}

pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn everything_ends_with_the_supervisor_whoever_it_has_become() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    let seconds = format!("6{}", std::process::id());
    let security = Security { user: Some(33), ..Security::default() };
    let script = format!("(trap '' TERM; sleep {seconds}) & exec sleep {seconds}");
    place.sandbox.start(Launch { security, ..image("main", &layer, &script) }).await.unwrap();
    until("the container starts", || lives(&seconds)).await;
    let own = place.directory.path().join("pods/uid-1").display().to_string();
    let supervisor = std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid = rustix::process::Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let is_of_pod = line.split(|byte| *byte == 0).nth(2) == Some(own.as_bytes());
        // The process that holds the pod has the same arguments; it has no session of its own.
        (is_of_pod && rustix::process::getsid(Some(pid)) == Ok(pid)).then_some(pid)
    });
    rustix::process::kill_process(supervisor.unwrap(), rustix::process::Signal::KILL).unwrap();
    until("processes outlive their supervisor", || !lives(&seconds)).await;
    // The pod can go on.
    loop {
        match tokio::time::timeout(Duration::from_secs(20), place.events.recv()).await.unwrap() {
            Some(Event::SupervisorLost) => break,
            other => assert!(other.is_some(), "no word of the supervisor's end"),
        }
    }
    let again = Launch { number: 1, ..image("main", &layer, "echo again") };
    assert_eq!(place.run(again).await, (0, "again\n".to_owned()));
    place.sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn containers_see_each_others_processes_where_the_pod_says_so() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    let seconds = format!("7{}", std::process::id());
    let shared = |launch: Launch| Launch { share_process_namespace: true, ..launch };
    place.sandbox.start(shared(image("first", &layer, &format!("exec sleep {seconds}")))).await.unwrap();
    let script = format!("while ! ps | grep -q 'sleep {seconds}$'; do :; done; echo $((2 - (1 / $$)))");
    assert_eq!(place.run(shared(image("second", &layer, &script))).await, (0, "2\n".to_owned()));
    // What a container leaves behind ends with it, though its numbers are the pod's.
    let left = format!("8{}", std::process::id());
    let script = format!(
        "(trap '' TERM; exec sleep {left}) > /dev/null 2>&1 & while ! ps | grep -q 'sleep {left}$'; do :; done"
    );
    assert_eq!(place.run(shared(image("third", &layer, &script))).await.0, 0);
    until("a process outlives its container", || !lives(&left)).await;
    assert!(lives(&seconds));
    place.sandbox.destroy().await.unwrap();
    until("a process outlives its pod", || !lives(&seconds)).await;
}

#[tokio::test]
async fn a_container_with_a_terminal_has_it_as_its_console() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    let script = "test -t 0 && test -t 1 && echo terminal; test -c /dev/console && echo written > /dev/console; \
                  stat -c %u /dev/console; echo more > /dev/tty";
    for (number, user) in (0..).zip([None, Some(1001)]) {
        let security = Security { user, ..Security::default() };
        let (code, text) = place.run(Launch { tty: true, number, security, ..image("main", &layer, script) }).await;
        let expected = format!("terminal\r\nwritten\r\n{}\r\nmore\r\n", user.unwrap_or(0));
        assert_eq!((code, text), (0, expected));
    }
    let (_, text) = place.run(image("without", &layer, "test -e /dev/console || test -t 0 || echo none")).await;
    assert_eq!(text, "none\n");
    if place.has(Isolation::Environment).await && Path::new("/usr/bin/python3").exists() {
        let mut launch = environment("python", "");
        launch.argv = ["/usr/bin/python3", "-c", "import os; print(os.ttyname(0))"].map(str::to_owned).to_vec();
        let (_, text) = place.run(Launch { tty: true, ..launch }).await;
        assert_eq!(text, "/dev/console\r\n");
    }
    place.sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn real_time_signals_ask_a_container_to_end_too() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    // SIGRTMIN+3, by which systemd in a container is told to halt.
    let signal = ferroflow_images::core::run::signal("SIGRTMIN+3").unwrap();
    let script = format!("trap 'echo asked; exit 5' {signal}; echo up; while :; do sleep 600 & wait $!; done");
    place.sandbox.start(image("main", &layer, &script)).await.unwrap();
    let log = place.sandbox.log("main", 0).log;
    until("the container is up", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("up"))).await;
    place.sandbox.stop("main".to_owned(), signal, Duration::from_secs(60)).await.unwrap();
    assert_eq!(exited(&mut place.events).await.exit.unwrap().code, 5);
    place.sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn containers_are_killed_in_their_order_when_memory_is_at_its_end() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    let script = "cat /proc/self/oom_score_adj; sh -c 'cat /proc/self/oom_score_adj'";
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    let rights = rustix::thread::capabilities(None).unwrap().effective.bits();
    let may_go_last = rights >> 24 & 1 == 1;
    for (number, score) in (0..).zip([1000, 999, 3, -997]) {
        let launch = Launch { oom_score_adj: score, number, ..image("main", &layer, script) };
        // Others go first for those alone who have CAP_SYS_RESOURCE, which is bit 24: so may root here or not.
        let expected = if may_go_last { score } else { score.max(own) };
        assert_eq!(place.run(launch).await, (0, format!("{expected}\n{expected}\n")));
    }
    let launch = Launch { oom_score_adj: 500, number: 9, ..image("main", &layer, "exec sleep 600") };
    place.sandbox.start(launch).await.unwrap();
    assert_eq!(place.exec("main", "cat /proc/self/oom_score_adj").await.1, "500\n");
    place.sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn pods_have_their_own_names_messages_and_settings() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    let mut launch = image("main", &layer, "cat /proc/sys/kernel/sem; hostname; hostname x || echo fixed");
    launch.sysctls.insert("kernel.sem".to_owned(), "300 32000 100 100".to_owned());
    let (code, text) = place.run(launch).await;
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.starts_with(&["300", "32000", "100", "100", "a-pod"]) && text.contains("fixed"), "{code} {text}");
    place.sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn what_an_environment_changes_of_a_private_path_is_its_own() {
    let mut place = Place::new().await;
    if !place.has(Isolation::Environment).await {
        return;
    }
    let (tools, work) = (place.directory.path().join("tools"), place.directory.path().join("work"));
    for directory in [&tools, &work] {
        std::fs::create_dir_all(directory.join("data")).unwrap();
        std::fs::write(directory.join("data/key"), "secret\n").unwrap();
        std::fs::write(directory.join("file"), "old\n").unwrap();
    }
    // As an interpreter that the node itself has made.
    let kept = work.join("data/kept");
    std::fs::create_dir(&kept).unwrap();
    std::fs::write(kept.join("file"), "kept\n").unwrap();
    let path = |path: &Path, private: bool| HostPath { path: path.to_owned(), read_only: false, private };
    let (at, to, own) = (tools.display(), work.display(), kept.display());
    let script = format!(
        "cat {at}/file {to}/file; echo new > {at}/file; echo new > {to}/file; cat {at}/file {to}/file; ls {at}/data {to}/data; \
         cat {own}/file; touch {to}/data/new"
    );
    let root = Root::Environment { paths: vec![path(&tools, true), path(&work, false), path(&kept, true)] };
    let (code, text) = place.run(Launch { root, ..environment("main", &script) }).await;
    // What belongs to the server is hidden, also where it lies in a directory that is lent.
    let expect = format!("old\nold\nnew\nnew\n{at}/data:\nkey\n\n{to}/data:\nkept\nkept\n");
    assert!(text.starts_with(&expect) && text.contains("Read-only file system"), "{text}");
    assert_eq!(code, 1);
    let read = |directory: &Path| std::fs::read_to_string(directory.join("file")).unwrap();
    assert_eq!((read(&tools).as_str(), read(&work).as_str()), ("old\n", "new\n"));
    place.sandbox.destroy().await.unwrap();
}

/// So that a run of these tests that was given a range of ids cannot be one without.
#[test]
fn a_range_of_ids_that_was_given_is_used() {
    let ids = shim::jail::Ids::of_pod(0);
    if std::env::var_os("FERROFLOW_TEST_RANGE").is_some() {
        assert!(matches!(ids, shim::jail::Ids::Ranges { .. }), "{ids:?}");
    }
}

#[tokio::test]
async fn users_of_one_pod_own_what_they_write() {
    let mut place = Place::new().await;
    let Some(layer) = place.layer().await else { return };
    if !shim::jail::Ids::of_pod(0).has_many() {
        return println!("skipped: this user's pods have one user id");
    }
    let volume = place.directory.path().join("pods/uid-1/volumes/data");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::set_permissions(&volume, std::fs::Permissions::from_mode(0o777)).unwrap();
    let of = |user: u32, group: u32, script: &str, number: u32| {
        let security =
            Security { user: Some(user), group: Some(group), supplementary: vec![3000], ..Security::default() };
        Launch { security, number, ..image("main", &layer, script).with_mount(&volume, "/data") }
    };
    let script = "mkdir /data/one; echo first > /data/one/file; stat -c '%u %g' /data/one/file /bin/busybox; id -G; \
                  mkdir -m 700 /tmp/own; echo x > /tmp/own/file";
    assert_eq!(place.run(of(1000, 2000, script, 0)).await, (0, "1000 2000\n0 0\n2000 3000\n".to_owned()));
    // Another user of the same pod reads it, and may not write to it; the pod's root may.
    let script = "exec 2> /dev/null; id -u; cat /data/one/file; echo x >> /data/one/file || echo closed; \
                  touch /data/one/new || echo closed; stat -c '%u %g' /data/one/file";
    let expected = "1001\nfirst\nclosed\nclosed\n1000 2000\n".to_owned();
    assert_eq!(place.run(of(1001, 2001, script, 1)).await, (0, expected));
    let script = "echo root >> /data/one/file; chown 7:8 /data/one/file; stat -c '%u %g' /data/one/file";
    assert_eq!(place.run(of(0, 0, script, 2)).await, (0, "7 8\n".to_owned()));
    // What others own goes with the pod too.
    place.sandbox.destroy().await.unwrap();
    assert!(!volume.exists());
}
