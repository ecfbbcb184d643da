//! Opens and closes the sockets of the host that lead to services and pods, and says when one cannot be opened.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddrV4, TcpListener, UdpSocket},
    sync::Arc,
    time::Duration,
};

use ferroflow_platform::{
    clock::SharedClock,
    controller::{Cache, Caches, EventKind, Key, Recorder},
    task::{Group, Kind},
};
use k8s_openapi::api::core::v1::{Pod, Service};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{books::Wanted, hub::Hub, relay};
use crate::core::{
    network::{Protocol, Table},
    services::reach::{Behind, Door, Owner},
};

/// A port that another program has is tried again after this time: nobody tells when it is free.
const AGAIN: Duration = Duration::from_secs(5);
/// Connections through all doors at a time; more wait in the queue of their socket.
const CONNECTIONS: usize = 2048;

/// Doors that cannot be opened, and why.
pub type Failures = BTreeMap<Door, Failure>;

/// Why a door cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Taken,
    Forbidden,
    Other,
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::Taken,
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ => Self::Other,
        }
    }

    /// How `status.loadBalancer.ingress[].ports[].error` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "ferroflow.dev/PortInUse",
            Self::Forbidden => "ferroflow.dev/PortForbidden",
            Self::Other => "ferroflow.dev/PortUnavailable",
        }
    }
}

struct Open {
    behind: watch::Sender<Behind>,
    closing: CancellationToken,
}

struct Doors {
    open: BTreeMap<Door, Open>,
    failures: watch::Sender<Failures>,
    hall: Arc<relay::Hall>,
    services: Cache<Service>,
    pods: Cache<Pod>,
    recorder: Recorder,
    group: Group,
}

/// Keeps the doors open that are wanted. Returns those that cannot be.
pub fn start(
    mut wanted: watch::Receiver<Wanted>,
    table: Table,
    hub: Option<Hub>,
    caches: &Caches,
    recorder: Recorder,
    clock: SharedClock,
    group: &Group,
) -> watch::Receiver<Failures> {
    let (failures, told) = watch::channel(Failures::new());
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let hall = Arc::new(relay::Hall { table, hub, room, clock: clock.clone(), group: group.clone() });
    let mut doors = Doors {
        open: BTreeMap::new(),
        failures,
        hall,
        services: caches.of(),
        pods: caches.of(),
        recorder,
        group: group.clone(),
    };
    group.spawn("doors to services", Kind::Essential, async move {
        loop {
            let now = wanted.borrow_and_update().clone();
            doors.become_(&now);
            let waits = !doors.failures.borrow().is_empty();
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return Ok::<(), std::convert::Infallible>(()) },
                () = clock.sleep(AGAIN), if waits => {}
            }
        }
    });
    told
}

impl Doors {
    fn become_(&mut self, wanted: &Wanted) {
        self.open.retain(|door, open| {
            let stays = wanted.contains_key(door);
            if !stays {
                open.closing.cancel();
            }
            stays
        });
        let before = self.failures.borrow().clone();
        let mut failures = Failures::new();
        for (door, behind) in wanted {
            if let Some(open) = self.open.get(door) {
                open.behind.send_if_modified(|standing| {
                    let differs = standing != behind;
                    if differs {
                        standing.clone_from(behind);
                    }
                    differs
                });
                continue;
            }
            match self.open(*door, behind) {
                Ok(open) => drop(self.open.insert(*door, open)),
                Err(error) => {
                    let failure = Failure::of(&error);
                    if before.get(door) != Some(&failure) {
                        self.tell(*door, behind, failure, &error);
                    }
                    failures.insert(*door, failure);
                }
            }
        }
        self.failures.send_if_modified(|standing| {
            let differs = *standing != failures;
            *standing = failures;
            differs
        });
    }

    fn open(&self, door: Door, behind: &Behind) -> io::Result<Open> {
        let address = SocketAddrV4::new(door.address, door.port);
        let (sender, receiver) = watch::channel(behind.clone());
        let closing = CancellationToken::new();
        let name = format!("{address}/{} for {}", door.protocol.as_str(), behind.what);
        match door.protocol {
            Protocol::Tcp => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let serving = relay::tcp(self.hall.clone(), listener, receiver, closing.clone());
                self.group.spawn(name, Kind::Transient, serving);
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind(address)?;
                socket.set_nonblocking(true)?;
                let socket = Arc::new(tokio::net::UdpSocket::from_std(socket)?);
                let serving = relay::udp(self.hall.clone(), socket, receiver, closing.clone());
                self.group.spawn(name, Kind::Transient, serving);
            }
        }
        Ok(Open { behind: sender, closing })
    }

    fn tell(&self, door: Door, behind: &Behind, failure: Failure, error: &io::Error) {
        let Door { address, port, protocol } = door;
        let protocol = protocol.as_str();
        let what = &behind.what;
        let message = match failure {
            Failure::Taken => format!(
                "{what} is not reached from the host: {address}:{port}/{protocol} is taken by another program; it is \
                 tried again until it is free"
            ),
            Failure::Forbidden => format!(
                "{what} is not reached from the host: only root may listen on {address}:{port}/{protocol}; choose a \
                 port from 1024, use the node port, or let users open it with sysctl \
                 net.ipv4.ip_unprivileged_port_start={port}"
            ),
            Failure::Other => {
                format!("{what} is not reached from the host: cannot listen on {address}:{port}/{protocol}: {error}")
            }
        };
        let reason = "PortNotOpened";
        match &behind.owner {
            Owner::Service { namespace, name } => {
                let service = self.services.get(&Key::new(namespace, name));
                service.inspect(|service| self.recorder.event(&**service, EventKind::Warning, reason, message));
            }
            Owner::Pod { namespace, name } => {
                let pod = self.pods.get(&Key::new(namespace, name));
                pod.inspect(|pod| self.recorder.event(&**pod, EventKind::Warning, reason, message));
            }
        }
    }
}
