//! The kubelet and the proxy of a node: their configuration and how they are started.

use std::{fs, path::Path, process::Command};

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    layout::{DNS_SERVICE, Layout, Node, PODS},
    namespace::on,
    programs::Programs,
};

/// Writes a kubelet's configuration and returns how it is started.
///
/// # Errors
/// When a file cannot be written or the program is not built.
pub fn prepare(layout: &Layout, programs: &Programs, node: Node) -> anyhow::Result<Box<Command>> {
    let folder = layout.path(&node.name());
    fs::create_dir_all(&folder)?;
    // Nothing outside can be reached, and pods that do not ask cluster DNS ask the same server on the node.
    fs::write(layout.path("resolv.conf"), format!("nameserver {}\n", Node { number: 1 }.address()))?;
    let group = format!("/{}/{}", layout.control_group()?, node.name());
    make_control_groups(&group)?;
    let file = folder.join("kubelet.json");
    fs::write(&file, configuration(layout, &folder, &group, node).to_string()).context("a kubelet's configuration")?;
    let mut command = on(node, programs.path("kubelet")?);
    command
        .arg(format!("--config={}", file.display()))
        .arg(format!("--kubeconfig={}", layout.text(&format!("pki/{}.kubeconfig", node.name()))))
        .arg(format!("--hostname-override={}", node.name()))
        .arg(format!("--node-ip={}", node.address()))
        .arg(format!("--root-dir={}/kubelet", folder.display()));
    Ok(command)
}

/// How a node's proxy is started.
///
/// # Errors
/// When the program is not built.
pub fn proxy(layout: &Layout, programs: &Programs, node: Node) -> anyhow::Result<Box<Command>> {
    let mut command = on(node, programs.path("kube-proxy")?);
    command
        .arg(format!("--kubeconfig={}", layout.text("pki/proxy.kubeconfig")))
        .arg(format!("--hostname-override={}", node.name()))
        .arg(format!("--cluster-cidr={PODS}"))
        // The tables of connections are the machine's, and may be read-only.
        .args(["--proxy-mode=iptables", "--conntrack-max-per-core=0"])
        .args(["--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"]);
    Ok(command)
}

fn configuration(layout: &Layout, folder: &Path, group: &str, node: Node) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address(),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": layout.path("pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": group,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{}", node.containerd_socket()),
        // A machine that runs tests has what it has; only when nothing is left do pods go.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failSwapOn": false,
        // Images come from archives: what is removed does not come back.
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": folder.join("logs"),
        "resolvConf": layout.path("resolv.conf"),
        "tlsCertFile": layout.path(&format!("pki/{}-serving.crt", node.name())),
        "tlsPrivateKeyFile": layout.path(&format!("pki/{}-serving.key", node.name())),
        "volumePluginDir": folder.join("volume-plugins"),
    })
}

/// Makes a group in every hierarchy; a kubelet demands that its own is there.
fn make_control_groups(group: &str) -> anyhow::Result<()> {
    for hierarchy in super::cgroups::hierarchies()? {
        let path = hierarchy.join(group.trim_start_matches('/'));
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        super::cgroups::inherit_processors(&hierarchy, &path)?;
    }
    Ok(())
}
