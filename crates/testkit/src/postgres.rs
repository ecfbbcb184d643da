//! PostgreSQL of this machine's Debian for tests: started by the test that needs it, on data of its own in a temporary
//! directory, and ended with the test's process, however that ends.
//!
//! [`shared`] is one server for all tests of a program, in which each makes a database; it does not wait for the disk.
//! [`Postgres::start`] is a server of a test's own, to be killed and paused.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal};

/// Where the package has its programs, in a folder of its version.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// Whom clients log in as.
const USER: &str = "ferroflow";
/// A server starts well within this on a busy machine, also after it was killed.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a server says once it takes clients.
const READY: &str = "database system is ready to accept connections";
/// Keeps the server until its input ends, as it does with the test's process; then ends it, and takes away what it kept.
const KEEPER: &str = r#"
directory="$1"; shift
"$@" & server=$!
(read -r _ || true) <&3
kill -QUIT "$server" 2>/dev/null
wait "$server" 2>/dev/null
[ -e "$directory/keep" ] || rm -rf "$directory"
"#;

/// Whether a server waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Waits,
    Ignores,
}

/// A certificate for a server that listens on a loopback port.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// PEM.
    pub chain: String,
    /// PEM.
    pub key: String,
}

/// A running server.
pub struct Postgres {
    programs: PathBuf,
    directory: PathBuf,
    disk: Disk,
    /// The port on 127.0.0.1 of a server that speaks TLS.
    port: Option<u16>,
    keeper: Mutex<Option<Keeper>>,
    databases: AtomicU32,
}

struct Keeper {
    child: Child,
    /// When this closes the server ends.
    hold: Option<ChildStdin>,
    /// Gets a word each time the server is ready.
    ready: Receiver<()>,
}

/// The server of this program's tests, or why there is none.
///
/// # Errors
/// Where the package is not installed.
pub fn shared() -> Result<&'static Postgres, String> {
    static SHARED: LazyLock<Result<Postgres, String>> = LazyLock::new(|| Postgres::start(Disk::Ignores));
    SHARED.as_ref().map_err(Clone::clone)
}

/// Whether tests can have a server; where they cannot, says that `test` is skipped, and why.
pub fn is_there(test: &str) -> bool {
    match programs() {
        Ok(_) => true,
        Err(reason) => {
            // Behind the harness' back, which shows the output of tests that fail alone.
            let _ = writeln!(std::io::stderr(), "skipped: {test} on PostgreSQL: {reason}");
            false
        }
    }
}

fn programs() -> Result<PathBuf, String> {
    let found = fs::read_dir(PROGRAMS).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let newest = found.filter(|path| path.join("postgres").exists() && path.join("initdb").exists()).max();
    newest.ok_or_else(|| format!("there is no {PROGRAMS}/*/bin/postgres; install the package postgresql"))
}

/// The user that runs the server: root may not.
fn account() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = |name: &str| {
        let fields: Vec<&str> = users.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    number("postgres").or_else(|| number("nobody"))
}

impl Postgres {
    /// A server on a Unix socket of its own.
    ///
    /// # Errors
    /// Where the package is not installed.
    pub fn start(disk: Disk) -> Result<Self, String> {
        Self::with(disk, None)
    }

    /// A server that also speaks TLS on a loopback port.
    ///
    /// # Errors
    /// Where the package is not installed.
    pub fn start_with(certificate: &Certificate) -> Result<Self, String> {
        Self::with(Disk::Ignores, Some(certificate))
    }

    fn with(disk: Disk, certificate: Option<&Certificate>) -> Result<Self, String> {
        let programs = programs()?;
        let directory =
            tempfile::Builder::new().prefix("ferroflow-pg-").tempdir().expect("a temporary directory").keep();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("the directory is ours");
        let port = certificate.map(|certificate| {
            for (name, text) in [("server.crt", &certificate.chain), ("server.key", &certificate.key)] {
                fs::write(directory.join(name), text).expect("the directory can be written");
                fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o600)).expect("the file is ours");
                give(&directory.join(name));
            }
            // Free for a moment; the server says so if it was taken since.
            let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port");
            free.local_addr().expect("it is bound").port()
        });
        give(&directory);
        let server = Self { programs, directory, disk, port, keeper: Mutex::default(), databases: AtomicU32::new(0) };
        let data = server.data();
        let mut initialize = server.program("initdb");
        initialize.arg("--pgdata").arg(&data).args(["--username", USER, "--encoding=UTF8", "--locale=C.UTF-8"]);
        // The database's language is another one than ours, so that a text that compares by it shows.
        initialize.args(["--no-sync", "--auth=trust", "--locale-provider=icu", "--icu-locale=en-US"]);
        let made = initialize.output().expect("initdb starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.run();
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        as_account(command.current_dir("/").env("LC_ALL", "C.UTF-8"));
        command
    }

    /// Starts the server on its data, and waits until it takes clients.
    pub fn run(&self) {
        let mut keeper = self.lock();
        assert!(keeper.is_none(), "the server runs already");
        let mut command = Command::new("/bin/bash");
        command.arg("-c").arg(format!("exec 3<&0; {KEEPER}")).arg("keeper").arg(&self.directory);
        command.arg(self.programs.join("postgres")).arg("-D").arg(self.data());
        let fsync = if self.disk == Disk::Waits { "on" } else { "off" };
        let socket = format!("unix_socket_directories={}", self.directory.display());
        let mut settings = vec![socket, format!("fsync={fsync}"), "max_connections=300".to_owned()];
        settings.push("log_min_messages=warning".to_owned());
        // Writers that are to meet in a deadlock do so many times; each would cost a second.
        settings.push("deadlock_timeout=50ms".to_owned());
        match self.port {
            None => settings.push("listen_addresses=".to_owned()),
            Some(port) => settings.extend([
                "listen_addresses=127.0.0.1".to_owned(),
                format!("port={port}"),
                "ssl=on".to_owned(),
                format!("ssl_cert_file={}", self.directory.join("server.crt").display()),
                format!("ssl_key_file={}", self.directory.join("server.key").display()),
            ]),
        }
        for setting in &settings {
            command.arg("-c").arg(setting);
        }
        as_account(command.current_dir("/").env("LC_ALL", "C.UTF-8"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let errors = BufReader::new(child.stderr.take().expect("it is a pipe"));
        let (sender, ready) = channel();
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if line.contains(READY) {
                    // Nobody listens any more once the server was killed.
                    let _ = sender.send(());
                } else if line.contains("FATAL:  could not") {
                    let _ = writeln!(std::io::stderr(), "PostgreSQL: {line}");
                }
            }
        });
        let hold = child.stdin.take();
        let started = Keeper { child, hold, ready };
        assert!(started.ready.recv_timeout(PATIENCE).is_ok(), "the server takes clients within {PATIENCE:?}");
        *keeper = Some(started);
    }

    /// Kills the server, and its processes with it, as the kernel would for want of memory.
    pub fn kill(&self) {
        fs::write(self.directory.join("keep"), "").expect("the directory can be written");
        let mut keeper = self.lock().take().expect("the server runs");
        let processes = self.processes();
        processes.iter().for_each(|process| send(Signal::KILL, *process));
        drop(keeper.hold.take());
        keeper.child.wait().expect("the keeper ends");
        // The memory that they share is in the next server's way until the last one has let go of it.
        let began = std::time::Instant::now();
        while processes.iter().any(|process| lives(*process)) {
            assert!(began.elapsed() < PATIENCE, "the server's processes end within {PATIENCE:?}");
            std::thread::yield_now();
        }
        fs::remove_file(self.directory.join("keep")).expect("it was there");
    }

    /// Pauses the server with all its processes.
    pub fn pause(&self) {
        self.processes().into_iter().for_each(|process| send(Signal::STOP, process));
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.processes().into_iter().for_each(|process| send(Signal::CONT, process));
    }

    /// The server's first process, and those that it has started.
    fn processes(&self) -> Vec<Pid> {
        let file = self.data().join("postmaster.pid");
        let text = fs::read_to_string(&file).expect("a server that runs says its number");
        let first: i32 = text.lines().next().and_then(|line| line.trim().parse().ok()).expect("a number");
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|number| number.parse().ok());
        std::iter::once(first).chain(children).filter_map(Pid::from_raw).collect()
    }

    /// The URL of a new, empty database.
    pub fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut create = self.program("createdb");
        create.arg("--host").arg(&self.directory).args(["--username", USER, "--maintenance-db=postgres"]);
        if let Some(port) = self.port {
            create.args(["--port", &port.to_string()]);
        }
        let made = create.arg(&name).output().expect("createdb starts");
        assert!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
        let host = self.directory.display().to_string().replace('/', "%2F");
        match self.port {
            None => format!("postgres://{USER}@{host}/{name}"),
            Some(port) => format!("postgres://{USER}@localhost:{port}/{name}"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Keeper>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let keeper = self.lock().take();
        match keeper {
            Some(mut keeper) => {
                if self.data().join("postmaster.pid").exists() {
                    // One that is paused would not end.
                    self.go_on();
                }
                drop(keeper.hold.take());
                drop(keeper.child.wait());
            }
            None => drop(fs::remove_dir_all(&self.directory)),
        }
    }
}

fn as_account(command: &mut Command) {
    if let Some((user, group)) = account() {
        command.uid(user).gid(group);
    }
}

fn give(path: &Path) {
    if let Some((user, group)) = account() {
        chown(path, Some(user), Some(group)).expect("root may give files away");
    }
}

fn send(signal: Signal, process: Pid) {
    // One that has ended meanwhile is what we want.
    let _ = rustix::process::kill_process(process, signal);
}

/// Whether a process is still there; one that nobody has asked about yet after its end is not.
fn lives(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    status.is_ok_and(|text| !text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}
