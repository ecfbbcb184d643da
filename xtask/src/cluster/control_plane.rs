//! How etcd, the API server, the controllers and the scheduler are started.

use std::process::Command;

use super::{
    layout::{API_PORT, ETCD_PORT, Layout, Node, PODS, SERVICES},
    programs::Programs,
};

/// etcd, alone. What it holds ends with the cluster, so it waits for the disk only where it is asked to.
///
/// # Errors
/// When the program is not built.
pub fn etcd(layout: &Layout, programs: &Programs, durable: bool) -> anyhow::Result<Command> {
    let mut command = Command::new(programs.path("etcd")?);
    let client = format!("http://127.0.0.1:{ETCD_PORT}");
    command
        .arg(format!("--data-dir={}", layout.text("etcd")))
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg("--listen-peer-urls=http://127.0.0.1:2380");
    if !durable {
        command.arg("--unsafe-no-fsync");
    }
    Ok(command)
}

/// kube-apiserver, on all addresses: pods reach it through the first service's.
///
/// # Errors
/// When the program is not built.
pub fn api_server(layout: &Layout, programs: &Programs) -> anyhow::Result<Command> {
    let mut command = Command::new(programs.path("kube-apiserver")?);
    for (flag, file) in [
        ("client-ca-file", "ca.crt"),
        ("tls-cert-file", "apiserver.crt"),
        ("tls-private-key-file", "apiserver.key"),
        ("service-account-key-file", "accounts.pub"),
        ("service-account-signing-key-file", "accounts.key"),
        ("kubelet-certificate-authority", "ca.crt"),
        ("kubelet-client-certificate", "apiserver-kubelet.crt"),
        ("kubelet-client-key", "apiserver-kubelet.key"),
        ("requestheader-client-ca-file", "ca.crt"),
        ("proxy-client-cert-file", "front-proxy.crt"),
        ("proxy-client-key-file", "front-proxy.key"),
    ] {
        command.arg(format!("--{flag}={}", layout.text(&format!("pki/{file}"))));
    }
    command
        .arg(format!("--etcd-servers=http://127.0.0.1:{ETCD_PORT}"))
        .arg(format!("--secure-port={API_PORT}"))
        .arg(format!("--advertise-address={}", Node { number: 1 }.address()))
        .arg(format!("--service-cluster-ip-range={SERVICES}"))
        .args([
            "--authorization-mode=Node,RBAC",
            "--allow-privileged",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--kubelet-preferred-address-types=InternalIP",
            "--enable-admission-plugins=ExtendedResourceToleration,NodeRestriction",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
        ]);
    Ok(command)
}

/// kube-controller-manager.
///
/// # Errors
/// When the program is not built.
pub fn controllers(layout: &Layout, programs: &Programs) -> anyhow::Result<Command> {
    let mut command = Command::new(programs.path("kube-controller-manager")?);
    for (flag, file) in [
        ("kubeconfig", "controller-manager.kubeconfig"),
        ("service-account-private-key-file", "accounts.key"),
        ("root-ca-file", "ca.crt"),
        ("cluster-signing-cert-file", "ca.crt"),
        ("cluster-signing-key-file", "ca.key"),
    ] {
        command.arg(format!("--{flag}={}", layout.text(&format!("pki/{file}"))));
    }
    command.arg(format!("--cluster-cidr={PODS}")).args([
        "--use-service-account-credentials",
        "--allocate-node-cidrs",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        // Suites make and remove hundreds of namespaces a minute; what is meant for a shared server holds them up.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--concurrent-namespace-syncs=50",
    ]);
    Ok(command)
}

/// kube-scheduler.
///
/// # Errors
/// When the program is not built.
pub fn scheduler(layout: &Layout, programs: &Programs) -> anyhow::Result<Command> {
    let mut command = Command::new(programs.path("kube-scheduler")?);
    command
        .arg(format!("--kubeconfig={}", layout.text("pki/scheduler.kubeconfig")))
        .args(["--leader-elect=false", "--bind-address=127.0.0.1"]);
    Ok(command)
}
