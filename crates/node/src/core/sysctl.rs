//! Which kernel settings belong to a pod and not to its host.

/// Whether a setting is one of the namespaces that a pod has of its own. Those of the network are the host's, for
/// the network is.
pub fn is_of_pod(name: &str) -> bool {
    let name = name.replace('/', ".");
    let plain = name.split('.').all(|part| {
        !part.is_empty() && part.chars().all(|character| character.is_ascii_alphanumeric() || "_-".contains(character))
    });
    plain
        && (name.starts_with("kernel.shm")
            || name.starts_with("kernel.msg")
            || name == "kernel.sem"
            || name.starts_with("fs.mqueue."))
}

#[cfg(test)]
mod tests {
    use super::is_of_pod;

    #[test]
    fn settings_of_messages_and_shared_memory_are_the_pods() {
        for name in ["kernel.shm_rmid_forced", "kernel.sem", "fs.mqueue.msg_max", "kernel/msgmax"] {
            assert!(is_of_pod(name), "{name}");
        }
        for name in ["kernel.panic", "net.ipv4.ip_forward", "kernel.shm/../../x", "fs.file-max", "kernel.shm.."] {
            assert!(!is_of_pod(name), "{name}");
        }
    }
}
