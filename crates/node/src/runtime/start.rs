//! What a container's process is started with: directories, paths, variables.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::fs::{IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags};
use sha2::{Digest, Sha256};

use super::{Error, Launch, Root, jail, records};
use crate::{
    core::{
        record::Attempt,
        rewrite::{Mapping, Rewriter},
    },
    image::own,
    shim::{self, protocol},
};

/// Where programs are looked for in a container that sets no `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A pod as those know it who start its containers.
pub struct Pod<'a> {
    pub uid: &'a str,
    pub directory: &'a Path,
    /// A directory that no environment shows.
    pub hidden: Option<&'a Path>,
    /// The number that its user ids come from.
    pub ids: u32,
    pub network: Option<protocol::Network>,
}

/// Makes the directories of a container, and says how to start it.
///
/// # Errors
/// When something cannot be made.
pub fn prepare(pod: &Pod<'_>, launch: Launch, now: Timestamp) -> Result<protocol::Start, Error> {
    let Pod { uid, directory: pod, hidden, ids, network } = pod;
    let home = pod.join("root").join(&launch.container);
    make_directory(&pod.join("run").join(&launch.container), 0o700)?;
    make_directory(&pod.join("logs").join(&launch.container), 0o700)?;
    let mode = if launch.security.user.is_some() { 0o777 } else { 0o755 };
    make_directory(&home, mode)?;
    let is_bare = launch.root == Root::Bare;
    if is_bare {
        make_directory(&home.join("tmp"), 0o777)?;
    }
    let message = records::message_file(pod, &launch.container, launch.number);
    // What is there already was written by this very run, which an agent that was killed has started.
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&message)
        .and_then(|file| file.set_permissions(fs::Permissions::from_mode(0o666)))
        .map_err(|error| Error::file("create", &message, error))?;

    let id = container_id(uid, &launch.container, launch.number);
    let rewriter = if is_bare { rewriter(&launch, &message) } else { Rewriter::default() };
    let own = is_bare.then(|| own_python(&launch, &home)).transpose()?.flatten();
    let (working_dir, env, jail) = if is_bare {
        let working_dir = working_dir(launch.working_dir.as_deref(), &rewriter, &home);
        (working_dir, environment(&launch, &rewriter, &Home { home: &home, python: own.as_deref() }, &id), None)
    } else {
        let mut jail = jail::prepare(&home, &launch, &message, *ids)?;
        jail.hidden = hidden.map(Path::to_owned);
        (jail::working_dir(&launch), jail::environment(&launch, &id), Some(jail))
    };
    Ok(protocol::Start {
        attempt: Attempt {
            version: 1,
            container: launch.container,
            number: launch.number,
            id,
            image: launch.image,
            image_id: launch.image_id,
            backoff_s: launch.backoff_s,
            message_from_log: launch.message_from_log,
            stop_signal: launch.stop_signal,
            started_at: now,
            exit: None,
        },
        argv: launch.argv.iter().map(|argument| rewriter.apply(argument)).collect(),
        env,
        working_dir,
        tty: launch.tty,
        stdin: launch.stdin,
        stdin_once: launch.stdin_once,
        memory_limit_bytes: launch.memory_limit_bytes,
        cpu_limit_millis: launch.cpu_limit_millis,
        cpu_request_millis: launch.cpu_request_millis,
        pod_cpu_request_millis: launch.pod_cpu_request_millis,
        pids_limit: launch.pids_limit,
        oom_score_adj: launch.oom_score_adj,
        cgroup: None,
        security: launch.security,
        jail,
        network: network.clone(),
        paths: rewriter.into_mappings(),
    })
}

fn rewriter(launch: &Launch, message: &Path) -> Rewriter {
    let text = |path: &Path| path.display().to_string();
    let mounts = launch.mounts.iter().map(|mount| Mapping { from: mount.target.clone(), to: text(&mount.source) });
    let termination = Mapping { from: launch.termination_path.clone(), to: text(message) };
    Rewriter::new(mounts.chain([termination]))
}

/// What a container of the host has of its own.
struct Home<'a> {
    home: &'a Path,
    /// Its own face of a shared Python environment.
    python: Option<&'a Path>,
}

/// Makes a container's own face of the Python environment that it shares with others: what it installs is its own. It lies
/// where the next run removes it.
fn own_python(launch: &Launch, home: &Path) -> Result<Option<PathBuf>, Error> {
    let Some(shared) = &launch.python else { return Ok(None) };
    let own = home.join(launch.number.to_string()).join("python");
    let mode = if launch.security.user.is_some() { 0o777 } else { 0o755 };
    make_directory(&own, mode)?;
    own::make(shared, &own, mode).map_err(Error::Refused)?;
    Ok(Some(own))
}

fn environment(launch: &Launch, rewriter: &Rewriter, place: &Home<'_>, id: &str) -> BTreeMap<String, String> {
    let home = place.home;
    let mut env = BTreeMap::from([
        ("HOME".to_owned(), home.display().to_string()),
        ("TMPDIR".to_owned(), home.join("tmp").display().to_string()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
    ]);
    env.extend(launch.env.iter().map(|(name, value)| (name.clone(), rewriter.apply(value))));
    let path = env.get("PATH").cloned().unwrap_or_else(|| DEFAULT_PATH.to_owned());
    let shared_bin = launch.python.as_ref().map(|shared| shared.join("bin"));
    let first = launch.path_first.iter().map(|directory| match place.python {
        Some(own) if Some(directory) == shared_bin.as_ref() => own.join("bin").display().to_string(),
        _ => directory.display().to_string(),
    });
    let path: Vec<String> = first.chain([path]).collect();
    env.insert("PATH".to_owned(), path.join(":"));
    let shared = launch.python.as_ref().map(|shared| shared.display().to_string());
    if let Some(own) = place.python
        && env.get("VIRTUAL_ENV") == shared.as_ref()
    {
        env.insert("VIRTUAL_ENV".to_owned(), own.display().to_string());
    }
    if launch.tty {
        env.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
    }
    env.insert(shim::CONTAINER_ID_VARIABLE.to_owned(), id.to_owned());
    env
}

/// Makes a directory with a mode, where there is none.
///
/// # Errors
/// When it cannot be made.
pub fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|error| Error::file("make", path, error))
}

/// Asks an ext file system to lay each directory below this one far from the others, as those of users are.
///
/// One without a journal does not give out a number of a file again that was freed in the last minutes, and looks at all
/// of them for each new file: where pods come and go side by side, that was a third of what they cost.
pub fn spread(directory: &Path) {
    let marked = rustix::fs::open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|opened| ioctl_setflags(&opened, ioctl_getflags(&opened)? | IFlags::TOPDIR));
    if let Err(error) = marked {
        tracing::debug!(%error, directory = %directory.display(), "the file system does not spread directories");
    }
}

fn working_dir(wanted: Option<&str>, rewriter: &Rewriter, home: &Path) -> String {
    let rewritten = wanted.map(|path| rewriter.apply(path));
    rewritten.filter(|path| Path::new(path).is_dir()).unwrap_or_else(|| home.display().to_string())
}

/// The id of a run: the same for the same run, and no other.
fn container_id(uid: &str, container: &str, number: u32) -> String {
    let digest = Sha256::digest(format!("{uid}/{container}/{number}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
