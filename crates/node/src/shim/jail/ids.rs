//! Which user ids of the host a pod's user ids are.
//!
//! Files that a pod may write keep the pod's own ids on disk where this program is root: every mount of them
//! shifts the ids. An ordinary user has one id, and those of its range in `/etc/subuid` where `newuidmap` is there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{getegid, geteuid};

use crate::core::subid::{self, Range};

/// The first of all pods' ids, ids of one pod, and pods that are told apart.
const FIRST: u32 = 0x4000_0000;
const COUNT: u32 = 1 << 16;
const PODS: u32 = 1 << 14;

/// How a pod's ids stand for the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    /// This program is the host's root: 0 to 65535 are the 65536 from this one up, a range of the pod's own.
    Shifted(u32),
    /// 0 is this program's user, and the others are those of its range.
    Ranges { users: Range, groups: Range },
    /// One id, which is this program's user.
    Single,
}

impl Ids {
    /// Those that the pod with this number can have here.
    pub fn of_pod(number: u32) -> Self {
        if is_root_of_host() {
            return Self::Shifted(FIRST + (number % PODS) * COUNT);
        }
        let user = geteuid().as_raw();
        let name = user_name(user);
        let read = |path: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            subid::range(&text, name.as_deref(), user)
        };
        match (helper("newuidmap"), helper("newgidmap"), read("/etc/subuid"), read("/etc/subgid")) {
            (Some(_), Some(_), Some(users), Some(groups)) => Self::Ranges { users, groups },
            _ => Self::Single,
        }
    }

    /// Whether mounts shift the ids of files.
    pub fn shifts(&self) -> bool {
        matches!(self, Self::Shifted(_))
    }

    /// Whether the pod has ids beside the one of its first process.
    pub fn has_many(&self) -> bool {
        !matches!(self, Self::Single)
    }

    /// Gives the ids to the user namespace that this process has made.
    ///
    /// # Errors
    /// What refused them.
    pub fn give(&self, pid: i32) -> Result<(), String> {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        match self {
            Self::Shifted(first) => {
                let map = format!("0 {first} {COUNT}\n");
                write(pid, "uid_map", &map)?;
                write(pid, "gid_map", &map)
            }
            Self::Ranges { users, groups } => {
                run("newuidmap", pid, user, *users)?;
                run("newgidmap", pid, group, *groups)
            }
            Self::Single => {
                write(pid, "setgroups", "deny")?;
                write(pid, "uid_map", &format!("0 {user} 1\n"))?;
                write(pid, "gid_map", &format!("0 {group} 1\n"))
            }
        }
    }

    /// Gives the same ids to a user namespace that was made in one that has them already: every id stands for itself.
    ///
    /// # Errors
    /// What refused them.
    pub fn give_below(&self, pid: i32) -> Result<(), String> {
        let map = |count: u32| format!("0 0 {count}\n");
        let (users, groups) = match self {
            Self::Shifted(_) => (COUNT, COUNT),
            Self::Ranges { users, groups } => (users.count.saturating_add(1), groups.count.saturating_add(1)),
            Self::Single => (1, 1),
        };
        write(pid, "uid_map", &map(users))?;
        write(pid, "gid_map", &map(groups))
    }
}

/// Whether this is root, and not only of a user namespace that somebody made.
pub fn is_root_of_host() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    geteuid().is_root() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn user_name(user: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let wanted = user.to_string();
    let mut rows = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    rows.find(|row| row.get(2) == Some(&wanted.as_str())).map(|row| row[0].to_owned())
}

fn helper(name: &str) -> Option<PathBuf> {
    let places = ["/usr/bin", "/bin", "/usr/local/bin"];
    places.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file())
}

fn run(name: &str, pid: i32, own: u32, range: Range) -> Result<(), String> {
    let program = helper(name).ok_or_else(|| format!("{name} is not installed"))?;
    let first = [0, own, 1].map(|number| number.to_string());
    let rest = [1, range.first, range.count].map(|number| number.to_string());
    let mut command = Command::new(program);
    command.arg(pid.to_string()).args(first).args(rest).env_clear().stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name} refused: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn write(pid: i32, file: &str, text: &str) -> Result<(), String> {
    let path = format!("/proc/{pid}/{file}");
    fs::write(&path, text).map_err(|error| format!("cannot write {path}: {error}"))
}
