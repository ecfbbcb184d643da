//! The last steps of a container's process: its streams, its directory, its user, its program.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use super::{ids::Ids, person, sys};
use crate::{
    runtime::Security,
    shim::{
        cgroup,
        child::{PREFIX, Streams},
        network,
    },
};

/// Where programs are looked for when nothing says where.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What runs in a container, and as whom.
pub struct Task<'a> {
    pub argv: &'a [String],
    pub env: &'a BTreeMap<String, String>,
    pub working_dir: &'a str,
    pub security: &'a Security,
    /// What its supervisor answers for, if anything.
    pub asks: Option<network::filter::Asks>,
    /// How early it is killed when the machine's memory is at its end.
    pub oom_score_adj: i32,
    /// Processes that its user may have in the pod, where no control group bounds them.
    pub processes: Option<u64>,
}

/// Becomes the program; the container's root is this process's. The descriptor on which the filter before its system
/// calls asks goes to whoever holds the other end of `supervisor`.
///
/// # Errors
/// A sentence in the words of a container runtime. Nothing is returned when all is well.
pub fn execute(
    task: &Task<'_>,
    streams: Streams,
    ids: &Ids,
    supervisor: Option<BorrowedFd<'_>>,
) -> Result<std::convert::Infallible, String> {
    let failed = |what: &'static str| move |error: io::Error| format!("{PREFIX}: cannot {what}: {error}");
    let Some(name) = task.argv.first() else { return Err("no command specified".to_owned()) };
    rustix::process::setsid().map_err(|error| failed("make a session")(error.into()))?;
    let is_terminal = matches!(streams, Streams::Terminal(_));
    take_streams(streams).map_err(failed("take over streams"))?;
    sys::unblock_signals().map_err(failed("unblock signals"))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    enter(task.working_dir)?;
    let who = person::identify(task.security).map_err(|reason| format!("{PREFIX}: {reason}"))?;
    if is_terminal && ids.has_many() {
        // Refused where the terminal is another's, as that of a command is: it is used through what is open of it.
        let _ = rustix::fs::fchown(io::stdin(), Some(rustix::process::Uid::from_raw(who.user)), None);
    }
    let mut env = task.env.clone();
    env.entry("HOME".to_owned()).or_insert_with(|| who.home.clone().unwrap_or_else(|| "/".to_owned()));
    if let (Some(supervisor), Some(asks)) = (supervisor, task.asks) {
        // As long as this is the pod's root, and programs may still gain privileges. Nothing below asks.
        network::filter::install(supervisor, asks).map_err(failed("put a filter before system calls"))?;
    }
    person::become_one(&who, task.security, ids).map_err(|reason| format!("{PREFIX}: {reason}"))?;
    if let Some(limit) = task.processes {
        cgroup::bound_processes(limit).map_err(failed("bound processes"))?;
    }
    let path = find(name, env.get("PATH").map_or(DEFAULT_PATH, String::as_str))?;
    let error = run(&path, task.argv, &env);
    Err(format!("{PREFIX}: exec: {name:?}: {error}"))
}

fn take_streams(streams: Streams) -> io::Result<()> {
    let null = || fs::File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let (is_terminal, ends) = match streams {
        Streams::Terminal(end) => (true, [end.try_clone()?, end.try_clone()?, end]),
        Streams::Separate { stdin, stdout, stderr } => {
            let or_null = |end: Option<OwnedFd>| end.map_or_else(null, Ok);
            (false, [or_null(stdin)?, or_null(stdout)?, or_null(stderr)?])
        }
    };
    for (number, end) in (0..).zip(ends) {
        // SAFETY: dup2 takes two numbers; what the three standard descriptors were before is not used any more.
        if unsafe { libc::dup2(end.as_fd().as_raw_fd(), number) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: TIOCSCTTY takes a number.
    if is_terminal && unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Goes to the directory that the container starts in; one that is not there is made, as other runtimes do.
fn enter(directory: &str) -> Result<(), String> {
    let directory = if directory.is_empty() { "/" } else { directory };
    if rustix::process::chdir(directory).is_ok() {
        return Ok(());
    }
    let made = fs::create_dir_all(directory).and_then(|()| Ok(rustix::process::chdir(directory)?));
    made.map_err(|error| {
        let why = describe(&error);
        format!("{PREFIX}: chdir to cwd ({directory:?}) set in config.json failed: {why}")
    })
}

/// An error as Go prints it.
fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotADirectory => "not a directory".to_owned(),
        _ => error.to_string(),
    }
}

/// Where a program is.
fn find(name: &str, path: &str) -> Result<String, String> {
    if name.contains('/') {
        return match check(Path::new(name)) {
            Ok(()) => Ok(name.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(format!("{PREFIX}: exec: {name:?}: permission denied"))
            }
            Err(error) => Err(format!("{PREFIX}: exec: {name:?}: stat {name}: {}", describe(&error))),
        };
    }
    let mut directories = path.split(':').map(|directory| if directory.is_empty() { "." } else { directory });
    let found = directories.find_map(|directory| {
        let path = Path::new(directory).join(name);
        check(&path).is_ok().then(|| path.display().to_string())
    });
    found.ok_or_else(|| format!("{PREFIX}: exec: {name:?}: executable file not found in $PATH"))
}

/// Whether this is a program that this user may run.
fn check(path: &Path) -> io::Result<()> {
    let meta = fs::metadata(path)?;
    if meta.is_dir() || meta.file_type().is_socket() || meta.mode() & 0o111 == 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(rustix::fs::access(path, rustix::fs::Access::EXEC_OK)?)
}

fn run(path: &str, argv: &[String], env: &BTreeMap<String, String>) -> io::Error {
    let texts = |words: &mut dyn Iterator<Item = String>| {
        words.map(|word| sys::text(&word)).collect::<io::Result<Vec<CString>>>()
    };
    let prepared = sys::text(path).and_then(|path| {
        let argv = texts(&mut argv.iter().cloned())?;
        let env = texts(&mut env.iter().map(|(name, value)| format!("{name}={value}")))?;
        Ok((path, argv, env))
    });
    let (path, argv, env) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return error,
    };
    let pointers = |texts: &[CString]| {
        let pointers = texts.iter().map(|text| text.as_ptr());
        pointers.chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (argv, env) = (pointers(&argv), pointers(&env));
    // SAFETY: all descriptors but the standard ones close when the program is executed; path, arguments and
    // variables are lists of texts that end with a null and live through the call.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr());
    }
    io::Error::last_os_error()
}
