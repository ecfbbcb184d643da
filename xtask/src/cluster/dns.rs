//! Cluster DNS: CoreDNS on the first node, behind the service that pods ask; and the question whether it answers.

use std::{fs, net::UdpSocket, process::Command, time::Duration};

use anyhow::Context;
use serde_json::Value;

use super::{
    layout::{DNS_SERVICE, Layout},
    programs::Programs,
    service::{self, Port},
};

/// Writes CoreDNS's configuration and returns how it is started.
///
/// # Errors
/// When the file cannot be written or the program is not built.
pub fn prepare(layout: &Layout, programs: &Programs) -> anyhow::Result<Command> {
    let file = layout.path("Corefile");
    // There is nothing above to forward to; a name of elsewhere is refused at once.
    let text = format!(
        "cluster.local in-addr.arpa ip6.arpa {{\n    errors\n    kubernetes cluster.local in-addr.arpa \
         ip6.arpa {{\n        kubeconfig {}\n        pods insecure\n        ttl 30\n    }}\n    cache 30\n    \
         loadbalance\n}}\n",
        layout.text("pki/admin.kubeconfig")
    );
    fs::write(&file, text).context("Corefile")?;
    let mut command = Command::new(programs.path("coredns")?);
    command.arg("-conf").arg(file);
    Ok(command)
}

/// The service and the slice that lead to it.
pub fn objects() -> [Value; 2] {
    let ports = [
        Port { name: "dns", protocol: "UDP", port: 53, target: 53 },
        Port { name: "dns-tcp", protocol: "TCP", port: 53, target: 53 },
    ];
    service::objects("kube-dns", Some(DNS_SERVICE), &ports)
}

/// Whether the address of the API server's service is answered, by the service that pods ask.
///
/// # Errors
/// When this machine has no socket.
pub fn answers() -> anyhow::Result<bool> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut reply = [0; 512];
    let sent = socket.send_to(&question("kubernetes.default.svc.cluster.local"), format!("{DNS_SERVICE}:53"));
    let Ok(size) = sent.and_then(|_| socket.recv(&mut reply)) else { return Ok(false) };
    // RFC 1035, 4.1.1: the code of the answer is the lower half of byte 3, the number of answers bytes 6 and 7.
    Ok(size > 12 && reply[3] & 0x0f == 0 && reply[6..8] != [0, 0])
}

/// A question for an IPv4 address.
fn question(name: &str) -> Vec<u8> {
    // An identifier, "recursion desired", one question.
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        bytes.extend(label.bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_written_as_labels() {
        assert_eq!(question("a.bc")[12..], [1, b'a', 2, b'b', b'c', 0, 0, 1, 0, 1]);
    }
}
