//! Finds out which levels of isolation this machine allows, by starting a container at each, as this user.

use std::{fs, path::Path};

use ferroflow_platform::{clock::SharedClock, task::Group};
use tokio::sync::mpsc;

use super::{
    Error, Isolation, Launch, PodRecord, PodRuntime, Root,
    process::{ProcessRuntime, ShimCommand},
    start::make_directory,
};
use crate::{
    core::trial::{self, Machine},
    shim::jail,
};

/// A program that no image has: a container that comes so far as not to find it could have run any other.
const NOWHERE: &str = "/ferroflow-trial";

/// The level of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    pub isolation: Isolation,
    /// Why it is no higher one; empty for the highest.
    pub reason: String,
}

/// Chooses the level: the one that is wanted, or else the best that works. What is tried is done below `directory`.
///
/// # Errors
/// When the one that is wanted does not work.
pub async fn choose(
    wanted: Option<Isolation>,
    directory: &Path,
    shim: &ShimCommand,
    clock: &SharedClock,
    group: &Group,
) -> Result<Level, Error> {
    if wanted == Some(Isolation::Bare) {
        return Ok(Level { isolation: Isolation::Bare, reason: "it was asked for by --isolation bare".to_owned() });
    }
    let mut reasons = Vec::new();
    for isolation in [Isolation::Container, Isolation::Environment] {
        if wanted.is_some_and(|wanted| wanted != isolation) {
            continue;
        }
        let place = directory.join("trial");
        let tried = attempt(isolation, &place, shim, clock, group).await;
        // A trial that leaves something behind has still told what it found.
        let _ = super::jail::remove_tree(&place);
        let name = isolation.as_str();
        match tried {
            Ok(()) if wanted.is_some() && isolation == Isolation::Environment => {
                return Ok(Level { isolation, reason: format!("it was asked for by --isolation {name}") });
            }
            Ok(()) => return Ok(Level { isolation, reason: reasons.join("; ") }),
            Err(failure) => {
                let why = trial::explain(&failure, &machine(directory));
                reasons.push(format!("{name} is not available because {why}"));
            }
        }
    }
    let reason = reasons.join("; ");
    if wanted.is_some() {
        let way_out = "leave out --isolation for the best level that works, or take --isolation bare";
        return Err(Error::Refused(format!("isolation {reason}; {way_out}")));
    }
    Ok(Level { isolation: Isolation::Bare, reason })
}

/// Starts a container at a level.
async fn attempt(
    isolation: Isolation,
    place: &Path,
    shim: &ShimCommand,
    clock: &SharedClock,
    group: &Group,
) -> Result<(), String> {
    let told = |error: Error| error.to_string();
    let layer = place.join("layer");
    make_directory(&layer, 0o755).map_err(told)?;
    let root = match isolation {
        Isolation::Container => Root::Image { layers: vec![layer] },
        _ => Root::Environment { paths: Vec::new() },
    };
    let runtime =
        ProcessRuntime::new(place.join("pods"), isolation, shim.clone(), clock.clone(), group.clone()).map_err(told)?;
    let record = PodRecord { version: 1, uid: "trial".to_owned(), ..PodRecord::default() };
    let (events, _received) = mpsc::channel(1);
    let sandbox = runtime.open(record, events).await.map_err(told)?;
    let launch = Launch {
        container: "trial".to_owned(),
        argv: vec![NOWHERE.to_owned()],
        root,
        hostname: "trial".to_owned(),
        ..Launch::default()
    };
    let started = sandbox.start(launch).await;
    let removed = sandbox.destroy().await;
    let exit = started.map_err(told)?.exit.ok_or("a program that is not there runs")?;
    removed.map_err(told)?;
    if exit.message.contains(&format!("stat {NOWHERE}: no such file")) { Ok(()) } else { Err(exit.message) }
}

fn machine(directory: &Path) -> Machine {
    let number = |path: &str| fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    Machine {
        is_root: jail::is_root_of_host(),
        most_namespaces: number("/proc/sys/user/max_user_namespaces"),
        clone_allowed: number("/proc/sys/kernel/unprivileged_userns_clone"),
        apparmor: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        is_filtered: status.lines().any(|line| line.starts_with("Seccomp:") && line.ends_with('2')),
        file_system: file_system(directory),
        data_directory: directory.display().to_string(),
    }
}

/// The kind of the file system that a directory is on.
fn file_system(directory: &Path) -> String {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let rows = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        directory.starts_with(at).then(|| (at.len(), kind.to_owned()))
    });
    // Of two at one place the last one is seen.
    rows.max_by_key(|(length, _)| *length).map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}
