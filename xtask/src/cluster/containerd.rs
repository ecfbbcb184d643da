//! containerd of a node: its configuration, its network plugin, and the images that it is given.

use std::{fs, path::Path, process::Command};

use anyhow::Context;
use serde_json::json;

use super::{
    layout::{Layout, Node},
    namespace::on,
};

/// Writes a node's configuration and returns how it is started.
///
/// # Errors
/// When a file cannot be written.
pub fn prepare(layout: &Layout, node: Node) -> anyhow::Result<Box<Command>> {
    let folder = layout.path(&node.name());
    fs::create_dir_all(folder.join("cni"))?;
    fs::write(folder.join("cni/10-bridge.conflist"), network(&folder, node)).context("the network's configuration")?;
    let file = folder.join("containerd.toml");
    fs::write(&file, configuration(&folder, node)).context("containerd's configuration")?;
    let mut command = on(node, "containerd");
    command.arg("--config").arg(file);
    Ok(command)
}

/// How an archive of images is brought into a node.
pub fn import(node: Node, archive: &Path) -> Command {
    let mut command = Command::new("ctr");
    command.args(["--address", &node.containerd_socket(), "--namespace", "k8s.io", "images", "import"]).arg(archive);
    command
}

fn configuration(folder: &Path, node: Node) -> String {
    let (folder, name, socket) = (folder.display(), node.name(), node.containerd_socket());
    // restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower the score, and every sandbox fails.
    // netns_mounts_under_state_dir: the networks of pods are not to be found among the host's.
    format!(
        r#"version = 2
root = "{folder}/containerd"
state = "/run/{name}/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.tracing"]
[grpc]
address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "registry.k8s.io/pause:3.10"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{folder}/cni"
"#
    )
}

/// The network of a node's pods. The version is what Debian's plugins know.
fn network(folder: &Path, node: Node) -> String {
    let bridge = json!({
        "type": "bridge",
        "bridge": "pods",
        "isGateway": true,
        "ipMasq": true,
        "hairpinMode": true,
        "ipam": {
            "type": "host-local",
            "dataDir": folder.join("addresses"),
            "ranges": [[{"subnet": node.pods()}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    });
    let ports = json!({"type": "portmap", "capabilities": {"portMappings": true}});
    json!({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}).to_string()
}
