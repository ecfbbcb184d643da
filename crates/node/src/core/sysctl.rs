//! Which kernel settings belong to a pod and not to its host.

/// Whether a setting is one of the namespaces that every pod has of its own. Those of the network are the host's where
/// the network is: see [`is_of_network`].
pub fn is_of_pod(name: &str) -> bool {
    let name = name.replace('/', ".");
    is_plain(&name)
        && (name.starts_with("kernel.shm")
            || name.starts_with("kernel.msg")
            || name == "kernel.sem"
            || name.starts_with("fs.mqueue."))
}

/// Whether a setting is one of the network, which some pods have of their own.
pub fn is_of_network(name: &str) -> bool {
    let name = name.replace('/', ".");
    is_plain(&name) && name.starts_with("net.")
}

fn is_plain(name: &str) -> bool {
    name.split('.').all(|part| {
        !part.is_empty() && part.chars().all(|character| character.is_ascii_alphanumeric() || "_-".contains(character))
    })
}

#[cfg(test)]
mod tests {
    use super::{is_of_network, is_of_pod};

    #[test]
    fn settings_of_the_network_are_told_apart() {
        assert!(is_of_network("net.core.somaxconn") && is_of_network("net/ipv4/ip_local_port_range"));
        assert!(!is_of_network("kernel.sem") && !is_of_network("net/../kernel/panic") && !is_of_network("netx"));
    }

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
