//! Where the host reaches the ports of pods.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    path::PathBuf,
};

use tokio::net::TcpStream;

use crate::{
    core::network::{self, Protocol, Table},
    services::hub::Hub,
    shim::network::listeners::Listeners,
};

/// The network in which pods have addresses of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodNetwork {
    /// The file that the supervisors of pods read: a [`Table`].
    pub table: PathBuf,
    /// As in the table.
    pub block: u8,
    /// As in the table.
    pub first_port: u16,
    /// What leads to pods that have networks of their own.
    pub hub: Option<Hub>,
}

/// Where a port of a pod with this shown address is open. A pod of the host's network, and every pod where there
/// is no network, is on the host itself.
fn socket(network: Option<&PodNetwork>, address: &str, port: u16) -> SocketAddrV4 {
    let on_host = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let (Some(network), Ok(address)) = (network, address.parse()) else { return on_host };
    if address == network::NODE {
        return on_host;
    }
    let table = Table { block: network.block, first_port: network.first_port, ..Table::default() };
    network::host_socket(&table, SocketAddrV4::new(address, port))
}

/// Connects to a port of a pod.
///
/// # Errors
/// `ECONNREFUSED` where nobody of the pod listens, though a program of the host may.
pub async fn connect(network: Option<&PodNetwork>, address: &str, port: u16) -> io::Result<TcpStream> {
    if let Some((hub, address)) = inside(network, address) {
        return hub.connect(SocketAddrV4::new(address, port)).await;
    }
    let mut to = socket(network, address, port);
    if *to.ip() != Ipv4Addr::LOCALHOST {
        let found = Listeners::default().locate(Protocol::Tcp, to);
        to = found.ok_or_else(|| io::Error::from_raw_os_error(libc::ECONNREFUSED))?;
    }
    TcpStream::connect(to).await
}

/// The same, and what listens on the pod's own loopback alone is reached too: for ports that are forwarded.
///
/// # Errors
/// As [`connect`].
pub async fn forward(network: Option<&PodNetwork>, address: &str, port: u16) -> io::Result<TcpStream> {
    let connected = connect(network, address, port).await;
    match (inside(network, address), connected) {
        (Some((hub, address)), Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            hub.enter(address, port).await
        }
        (_, connected) => connected,
    }
}

/// The hub, where this is the address of a pod with a network of its own.
fn inside<'a>(network: Option<&'a PodNetwork>, address: &str) -> Option<(&'a Hub, Ipv4Addr)> {
    let hub = network?.hub.as_ref().filter(|_| is_pod(address))?;
    Some((hub, address.parse().ok()?))
}

/// Whether this is an address of a pod, which nobody but the cluster knows.
pub fn is_pod(host: &str) -> bool {
    host.parse::<Ipv4Addr>().is_ok_and(|address| matches!(address.octets(), [10, 244, ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_a_pod_is_dialled_where_it_is_open() {
        let network = PodNetwork { table: PathBuf::new(), block: 40, first_port: 1024, hub: None };
        let rows = [
            (Some(&network), "10.244.1.2", 8080, "127.40.1.2:8080"),
            (Some(&network), "10.244.1.2", 80, "127.40.1.2:64592"),
            (Some(&network), "10.200.0.1", 80, "127.0.0.1:80"),
            (None, "10.244.1.2", 80, "127.0.0.1:80"),
            (Some(&network), "", 80, "127.0.0.1:80"),
        ];
        for (network, address, port, expected) in rows {
            assert_eq!(socket(network, address, port).to_string(), expected, "{address}:{port}");
        }
    }
}
