//! The namespaces of a cluster: what its processes see of the host, and the network between its nodes.
//!
//! Everything here runs as the first process inside, so that mounts, addresses and rules end with it.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, ensure};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

use super::layout::{Layout, Node};

/// Settings of the whole machine that a kubelet writes; inside they are files of the cluster's own.
const KERNEL_SETTINGS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// What a node wants to be free before images are kept in memory: they take 1 GiB, programs and pods take as much.
const MEMORY_PER_NODE_BYTES: u64 = 4 << 30;

/// Puts the cluster's own folders in the places of the host's that its programs write to.
///
/// # Errors
/// When something cannot be mounted.
pub fn mount_all(layout: &Layout) -> anyhow::Result<()> {
    // A kubelet wants the volumes that it mounts to reach containerd, and nothing of it reaches the host.
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).context("make mounts private")?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::SHARED).context("share mounts inside")?;
    mount("proc", "/proc", "proc", MountFlags::empty(), None).context("mount /proc")?;
    for setting in KERNEL_SETTINGS {
        let shown = Path::new("/proc/sys").join(setting);
        if !shown.exists() {
            continue;
        }
        let own = layout.path("kernel").join(setting.replace('/', "."));
        fs::create_dir_all(layout.path("kernel"))?;
        fs::write(&own, fs::read(&shown).with_context(|| setting.to_owned())?)?;
        mount_bind(&own, &shown).with_context(|| format!("mount over {}", shown.display()))?;
    }
    for (name, place) in [("var-lib", "/var/lib"), ("var-log", "/var/log")] {
        fs::create_dir_all(layout.path(name))?;
        mount_bind(layout.path(name), place).with_context(|| format!("mount over {place}"))?;
    }
    mount("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=755")).context("mount /run")?;
    fs::create_dir_all("/run/netns")?;
    // PostgreSQL keeps memory that its processes share there, and leaves it behind when it is killed.
    mount("tmpfs", "/dev/shm", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=1777"))
        .context("mount /dev/shm")?;
    Ok(())
}

/// Keeps what containerd writes in memory where there is enough of it. On a disk each container that ends makes the
/// kernel write out everything that any program has written there, which takes half a minute on a busy machine.
///
/// # Errors
/// When it cannot be mounted.
pub fn mount_images(layout: &Layout, nodes: u8) -> anyhow::Result<()> {
    let memory = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let enough = available_bytes(&memory).is_some_and(|bytes| bytes / u64::from(nodes) > MEMORY_PER_NODE_BYTES);
    for node in Node::all(nodes) {
        let place = layout.path(&node.name()).join("containerd");
        fs::create_dir_all(&place)?;
        if enough {
            mount("tmpfs", &place, "tmpfs", MountFlags::empty(), Some(c"mode=711,size=75%"))
                .context("mount a tmpfs")?;
        }
    }
    Ok(())
}

fn available_bytes(memory: &str) -> Option<u64> {
    let line = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Makes the network of `nodes` nodes; the first one's is the namespace that this process is in.
///
/// # Errors
/// When `ip` refuses.
pub fn connect(nodes: u8) -> anyhow::Result<()> {
    // One end of a pair is a node's address; the other end belongs to the second node where there is one. Devices of
    // the type `dummy` are missing from some kernels.
    ip("link set lo up")?;
    ip("link add node-1 type veth peer name node-2")?;
    ip("addr add 10.200.0.1/24 dev node-1")?;
    ip("link set node-1 up")?;
    if nodes > 1 {
        ip("netns add node-2")?;
        ip("link set node-2 netns node-2")?;
        ip("-n node-2 link set lo up")?;
        ip("-n node-2 addr add 10.200.0.2/24 dev node-2")?;
    }
    let second = if nodes > 1 { "-n node-2 " } else { "" };
    ip(&format!("{second}link set node-2 up"))?;
    // A kubelet finds its device by the default route.
    ip("route add default via 10.200.0.1")?;
    forward(&mut Command::new("sysctl"))?;
    if nodes > 1 {
        let (first, second) = (Node { number: 1 }, Node { number: 2 });
        ip("-n node-2 route add default via 10.200.0.1")?;
        ip(&format!("route add {} via {}", second.pods(), second.address()))?;
        ip(&format!("-n node-2 route add {} via {}", first.pods(), first.address()))?;
        forward(on(second, "sysctl").as_mut())?;
    }
    Ok(())
}

/// A command that runs in a node's network.
pub fn on(node: Node, program: impl AsRef<std::ffi::OsStr>) -> Box<Command> {
    if node.number == 1 {
        return Box::new(Command::new(program));
    }
    // `ip netns exec` would mount /sys anew and hide the control groups from the kubelet.
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", node.name())).arg("--").arg(program);
    Box::new(command)
}

fn forward(sysctl: &mut Command) -> anyhow::Result<()> {
    run(sysctl.args(["-q", "-w", "net.ipv4.ip_forward=1"]))
}

fn ip(words: &str) -> anyhow::Result<()> {
    run(Command::new("ip").args(words.split(' ')))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{:?}", command.get_program()))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(available_bytes("MemTotal: 9 kB\nMemAvailable:    2 kB\n"), Some(2048));
        assert_eq!(available_bytes(""), None);
    }
}
