//! Whether the kernel has killed something of this container for want of memory.

use std::fs;

use crate::sys::Ended;

/// How often it has, as far as the control group says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kills {
    count: u64,
    /// Whether that counts what was killed, and not how often the limit was hit.
    is_exact: bool,
}

/// The count of now; that of nothing where the control group does not say.
pub fn kills() -> Kills {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let counted = files(&groups).into_iter().find_map(|(path, kind)| {
        let count = count(&fs::read_to_string(path).ok()?, kind)?;
        Some(Kills { count, is_exact: kind == Kind::Events })
    });
    counted.unwrap_or_default()
}

impl Kills {
    /// Whether a program that failed after `self` was counted failed for want of memory. One that was not killed itself may
    /// have failed because a process of its own was.
    pub fn explain(self, ended: Ended) -> bool {
        let killed = ended == Ended::Signal(libc::SIGKILL) || ended == Ended::Code(128 + libc::SIGKILL);
        let now = kills();
        now.count > self.count && (killed || now.is_exact)
    }
}

/// What a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Lines of a name and a number, of which `oom_kill` counts.
    Events,
    /// How often the limit was hit, which is all that an old kernel tells.
    Failures,
}

/// Files that may say it, best first. In a namespace of its own the group's path is `/`, and its files lie at the root.
fn files(groups: &str) -> Vec<(String, Kind)> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let path = path.trim_end_matches('/');
        if controllers.is_empty() {
            for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
                files.push((format!("{root}{path}/memory.events"), Kind::Events));
                files.push((format!("{root}/memory.events"), Kind::Events));
            }
        } else if controllers.split(',').any(|name| name == "memory") {
            for place in [format!("/sys/fs/cgroup/memory{path}"), "/sys/fs/cgroup/memory".to_owned()] {
                files.push((format!("{place}/memory.oom_control"), Kind::Events));
                files.push((format!("{place}/memory.failcnt"), Kind::Failures));
            }
        }
    }
    files
}

fn count(text: &str, kind: Kind) -> Option<u64> {
    match kind {
        Kind::Events => text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()),
        Kind::Failures => text.trim().parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_in_both_kinds_of_groups() {
        let two = files("0::/pods/a\n");
        assert_eq!(two[0], ("/sys/fs/cgroup/pods/a/memory.events".to_owned(), Kind::Events));
        assert_eq!(two[1].0, "/sys/fs/cgroup/memory.events");
        let one = files("9:cpu,cpuacct:/x\n4:memory:/docker/1\n");
        assert_eq!(one[0].0, "/sys/fs/cgroup/memory/docker/1/memory.oom_control");
        assert_eq!(one[1], ("/sys/fs/cgroup/memory/docker/1/memory.failcnt".to_owned(), Kind::Failures));
        assert_eq!(count("low 0\nhigh 1\noom 2\noom_kill 3\noom_group_kill 0\n", Kind::Events), Some(3));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", Kind::Events), Some(2));
        assert_eq!(count("17\n", Kind::Failures), Some(17));
        assert_eq!(count("oom_kill_disable 0\n", Kind::Events), None);
    }
}
