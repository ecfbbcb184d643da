//! Which capabilities a container has: those that container runtimes give by default, with what a pod adds and
//! drops. Bits are those of capabilities(7).

/// The names, by their numbers.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// Every capability that has a name here.
pub const ALL: u64 = (1 << NAMES.len()) - 1;

/// The capabilities as bits.
///
/// # Errors
/// A name that there is none of.
pub fn bits(privileged: bool, add: &[String], drop: &[String]) -> Result<u64, String> {
    if privileged {
        return Ok(ALL);
    }
    let mut bits = DEFAULT.iter().try_fold(0, |bits, name| Ok::<u64, String>(bits | one(name)?))?;
    // A pod may drop all and add a few.
    if drop.iter().any(|name| name.eq_ignore_ascii_case("ALL")) {
        bits = 0;
    }
    if add.iter().any(|name| name.eq_ignore_ascii_case("ALL")) {
        bits = ALL;
    }
    for name in add.iter().filter(|name| !name.eq_ignore_ascii_case("ALL")) {
        bits |= one(name)?;
    }
    for name in drop.iter().filter(|name| !name.eq_ignore_ascii_case("ALL")) {
        bits &= !one(name)?;
    }
    Ok(bits)
}

fn one(name: &str) -> Result<u64, String> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let at = NAMES.iter().position(|known| *known == short);
    at.map(|bit| 1 << bit).ok_or_else(|| format!("unknown capability {name:?} in securityContext.capabilities"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(add: &[&str], drop: &[&str]) -> Result<u64, String> {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        bits(false, &list(add), &list(drop))
    }

    #[test]
    fn the_usual_ones_are_those_of_other_runtimes() {
        assert_eq!(of(&[], &[]), Ok(0xa804_25fb));
    }

    #[test]
    fn some_are_added_and_dropped() {
        assert_eq!(of(&["NET_BIND_SERVICE"], &["ALL"]), Ok(1 << 10));
        assert_eq!(of(&["ALL"], &["NET_RAW"]), Ok(ALL & !(1 << 13)));
        assert_eq!(of(&["cap_sys_admin"], &["chown"]), Ok((0xa804_25fb | 1 << 21) & !1));
        assert!(of(&["FLY"], &[]).unwrap_err().contains("FLY"));
    }
}
