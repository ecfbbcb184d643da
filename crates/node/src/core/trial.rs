//! Why a level of isolation is not available, in words that say what to do.

/// What a machine allows, as far as it can be read.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub is_root: bool,
    /// `user.max_user_namespaces`.
    pub most_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, of Debian's kernels.
    pub clone_allowed: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, of Ubuntu.
    pub apparmor: Option<u64>,
    /// Whether a filter of system calls holds for this program, as in Docker's containers.
    pub is_filtered: bool,
    /// The file system of the data directory, as `ext4`.
    pub file_system: String,
    pub data_directory: String,
}

/// Explains why a trial failed.
pub fn explain(failure: &str, machine: &Machine) -> String {
    let failure = failure.rsplit("error during container init: ").next().unwrap_or(failure);
    let (kind, directory) = (&machine.file_system, &machine.data_directory);
    if failure.contains("layers over each other") {
        return format!(
            "overlayfs cannot be mounted over {directory} ({kind}): {failure}; keep data on ext4, xfs or btrfs \
             (--data-dir), with Linux 5.11 or later"
        );
    }
    if machine.is_root && failure.starts_with("cannot mount ") {
        return format!(
            "the file system of {directory} ({kind}) cannot shift user ids: {failure}; keep data on ext4, xfs or btrfs \
             (--data-dir), with Linux 5.19 or later"
        );
    }
    let cause = if machine.most_namespaces == Some(0) {
        "user namespaces are switched off (sysctl user.max_user_namespaces is 0)"
    } else if machine.clone_allowed == Some(0) && !machine.is_root {
        "user namespaces are kept from ordinary users (sysctl kernel.unprivileged_userns_clone is 0)"
    } else if machine.apparmor.is_some_and(|value| value > 0) && !machine.is_root {
        "AppArmor keeps user namespaces from ordinary users (sysctl kernel.apparmor_restrict_unprivileged_userns is 1); \
         a profile with the rule `userns` for this program lifts that"
    } else if machine.is_filtered {
        "a filter of system calls is on, as in Docker's containers; start the container with \
         --security-opt seccomp=unconfined --cap-add SYS_ADMIN"
    } else {
        return failure.to_owned();
    };
    format!("{cause}: {failure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_its_cause_and_the_way_out() {
        let ext4 = Machine { file_system: "ext4".to_owned(), data_directory: "/d".to_owned(), ..Machine::default() };
        let refused = "x: error during container init: cannot make a user namespace: no";
        let rows = [
            (refused, Machine { most_namespaces: Some(0), ..ext4.clone() }, "user.max_user_namespaces"),
            (refused, Machine { apparmor: Some(1), ..ext4.clone() }, "apparmor"),
            (refused, Machine { clone_allowed: Some(0), ..ext4.clone() }, "unprivileged_userns_clone"),
            (refused, Machine { is_filtered: true, ..ext4.clone() }, "seccomp=unconfined"),
            (refused, Machine { apparmor: Some(1), is_root: true, ..ext4.clone() }, "cannot make a user namespace: no"),
            ("cannot mount the image's layers over each other: no", ext4.clone(), "overlayfs"),
            ("cannot mount /d/l: no", Machine { is_root: true, ..ext4.clone() }, "cannot shift user ids"),
        ];
        for (failure, machine, expect) in rows {
            let text = explain(failure, &machine);
            assert!(text.contains(expect), "{text}");
            assert!(text.contains("no") && !text.contains("container init"), "{text}");
        }
    }
}
