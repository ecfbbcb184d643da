//! Carries bytes between a client on the host and an endpoint of a service.
//!
//! A connection stays with its endpoint until one of its ends closes it: an endpoint that is taken out of its
//! service may finish what it has begun. Datagrams go elsewhere as soon as their endpoint is out.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use ferroflow_platform::{
    clock::SharedClock,
    task::{Group, Kind},
};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use crate::{
    core::{
        affinity::Kept,
        network::{self, Protocol, Table},
        services::reach::Behind,
    },
    shim::network::listeners::Listeners,
};

/// An endpoint is on this host and answers at once, or its queue is full.
const CONNECT: Duration = Duration::from_secs(3);
/// Bytes that are carried at a time, each way.
const CHUNK_BYTES: usize = 64 << 10;
/// The most of a datagram.
const DATAGRAM_BYTES: usize = 64 << 10;
/// Clients of one door whose datagrams are answered at a time; datagrams of others are dropped.
const FLOWS: usize = 1024;
/// A client that has been silent for so long is forgotten, as Linux forgets UDP streams.
const SILENCE: Duration = Duration::from_secs(120);
/// Clients whose endpoint is remembered, by one door.
const REMEMBERED: usize = 1024;
/// A socket that takes no connections now takes some later.
const PAUSE: Duration = Duration::from_millis(50);

/// What all doors share.
pub struct Hall {
    /// The block and the ports that are moved; its lists are not used.
    pub table: Table,
    /// What leads to pods that have networks of their own.
    pub hub: Option<Hub>,
    pub room: Arc<Semaphore>,
    pub clock: SharedClock,
    pub group: Group,
}

impl Hall {
    /// Where an endpoint is open on the host.
    ///
    /// # Errors
    /// `ECONNREFUSED` where nobody of the pod is there, though a program of the host may.
    fn socket(&self, protocol: Protocol, (address, port): (Ipv4Addr, u16)) -> io::Result<SocketAddrV4> {
        let to = network::host_socket(&self.table, SocketAddrV4::new(address, port));
        if *to.ip() == Ipv4Addr::LOCALHOST {
            return Ok(to);
        }
        let found = Listeners::default().locate(protocol, to);
        found.ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }
}

impl Hall {
    /// The hub, where an endpoint is a pod with a network of its own.
    fn inside(&self, (address, port): (Ipv4Addr, u16)) -> Option<(&Hub, SocketAddrV4)> {
        let is_pod = matches!(address.octets(), [10, 244, a, _] if a < network::BALANCER_RANGE);
        self.hub.as_ref().filter(|_| is_pod).map(|hub| (hub, SocketAddrV4::new(address, port)))
    }

    async fn connect(&self, backend: (Ipv4Addr, u16)) -> io::Result<TcpStream> {
        match self.inside(backend) {
            Some((hub, to)) => hub.connect(to).await,
            None => TcpStream::connect(self.socket(Protocol::Tcp, backend)?).await,
        }
    }

    /// A socket whose datagrams go to an endpoint.
    async fn associate(&self, backend: (Ipv4Addr, u16)) -> io::Result<UdpSocket> {
        if let Some((hub, to)) = self.inside(backend) {
            let socket = hub.datagrams().await?;
            socket.connect(to).await?;
            return Ok(socket);
        }
        let socket = UdpSocket::bind((network::node_address(self.table.block), 0)).await?;
        socket.connect(self.socket(Protocol::Udp, backend)?).await?;
        Ok(socket)
    }
}

/// Chooses endpoints in turn, and the same one again for a client where the service wants that.
struct Chooser {
    turn: usize,
    kept: Kept<IpAddr>,
}

impl Default for Chooser {
    fn default() -> Self {
        Self { turn: 0, kept: Kept::new(REMEMBERED) }
    }
}

impl Chooser {
    /// The endpoints in the order in which they are tried.
    fn order(&mut self, behind: &Behind, client: IpAddr, now: Instant) -> Vec<(Ipv4Addr, u16)> {
        let mut order = behind.backends.clone();
        if order.is_empty() {
            return order;
        }
        let first = self.turn % order.len();
        order.rotate_left(first);
        self.turn = self.turn.wrapping_add(1);
        let Some(seconds) = behind.affinity_s else { return order };
        if let Some(at) = self.kept.place(&client, &order, seconds, now.into_std()) {
            order.swap(0, at);
        }
        order
    }

    fn keep(&mut self, behind: &Behind, client: IpAddr, backend: (Ipv4Addr, u16), now: Instant) {
        if let Some(seconds) = behind.affinity_s {
            self.kept.keep(client, backend, seconds, now.into_std());
        }
    }
}

/// Serves connections until it is told to close. Those that run go on.
///
/// # Errors
/// Never.
pub async fn tcp(
    hall: Arc<Hall>,
    listener: TcpListener,
    behind: watch::Receiver<Behind>,
    closing: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let chooser = Arc::new(std::sync::Mutex::new(Chooser::default()));
    loop {
        let next = async {
            let permit = hall.room.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = closing.cancelled() => return Ok(()),
        };
        let (Ok(permit), Ok((client, from))) = (permit, accepted) else {
            hall.clock.sleep(PAUSE).await;
            continue;
        };
        let now = hall.clock.instant();
        let current = behind.borrow().clone();
        let lock = || chooser.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let order = lock().order(&current, from.ip(), now);
        let (chooser, carried) = (chooser.clone(), hall.clone());
        hall.group.spawn("connection to a service", Kind::Transient, async move {
            let connected = connect(&carried, &order).await;
            if let Some((backend, _)) = &connected {
                let mut chooser = chooser.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                chooser.keep(&current, from.ip(), *backend, now);
            }
            carry(client, connected.map(|(_, stream)| stream), permit).await
        });
    }
}

/// The first endpoint that takes a connection.
async fn connect(hall: &Hall, order: &[(Ipv4Addr, u16)]) -> Option<((Ipv4Addr, u16), TcpStream)> {
    for backend in order {
        let connecting = hall.connect(*backend);
        match timeout(CONNECT, connecting).await {
            Ok(Ok(stream)) => return Some((*backend, stream)),
            Ok(Err(error)) => tracing::debug!(?backend, %error, "an endpoint takes no connection"),
            Err(_) => tracing::debug!(?backend, "an endpoint does not answer"),
        }
    }
    None
}

async fn carry(mut client: TcpStream, server: Option<TcpStream>, permit: OwnedSemaphorePermit) -> io::Result<()> {
    let Some(mut server) = server else {
        // The client sees its connection refused, as far as one that was accepted can be.
        return client.set_zero_linger();
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let carried = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, CHUNK_BYTES, CHUNK_BYTES).await;
    if carried.is_err() {
        // What broke at one end breaks at the other.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
    drop(permit);
    Ok(())
}

/// The datagrams of one client.
struct Flow {
    socket: Arc<UdpSocket>,
    backend: (Ipv4Addr, u16),
    heard: Arc<Notify>,
    ended: CancellationToken,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

/// Serves datagrams until it is told to close.
///
/// # Errors
/// Never.
pub async fn udp(
    hall: Arc<Hall>,
    door: Arc<UdpSocket>,
    mut behind: watch::Receiver<Behind>,
    closing: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let mut flows: HashMap<SocketAddr, Flow> = HashMap::new();
    let mut chooser = Chooser::default();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let received = tokio::select! {
            received = door.recv_from(&mut buffer) => received,
            changed = behind.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let current = behind.borrow_and_update().clone();
                flows.retain(|_, flow| current.backends.contains(&flow.backend));
                continue;
            }
            () = closing.cancelled() => return Ok(()),
        };
        // An error tells of a client that is gone.
        let Ok((length, client)) = received else { continue };
        if flows.get(&client).is_some_and(|flow| flow.ended.is_cancelled()) {
            flows.remove(&client);
        }
        if !flows.contains_key(&client) {
            if flows.len() >= FLOWS {
                flows.retain(|_, flow| !flow.ended.is_cancelled());
            }
            let current = behind.borrow().clone();
            let chosen = chooser.order(&current, client.ip(), hall.clock.instant()).first().copied();
            let Some(backend) = chosen.filter(|_| flows.len() < FLOWS) else { continue };
            chooser.keep(&current, client.ip(), backend, hall.clock.instant());
            match flow(&hall, &door, client, backend).await {
                Ok(flow) => drop(flows.insert(client, flow)),
                Err(error) => {
                    tracing::debug!(?backend, %error, "an endpoint takes no datagrams");
                    continue;
                }
            }
        }
        if let Some(flow) = flows.get(&client) {
            flow.heard.notify_one();
            if let Err(error) = flow.socket.send(&buffer[..length]).await {
                tracing::debug!(backend = ?flow.backend, %error, "an endpoint does not take a datagram");
            }
        }
    }
}

async fn flow(hall: &Hall, door: &Arc<UdpSocket>, client: SocketAddr, backend: (Ipv4Addr, u16)) -> io::Result<Flow> {
    let socket = Arc::new(hall.associate(backend).await?);
    let flow = Flow { socket: socket.clone(), backend, heard: Arc::default(), ended: CancellationToken::new() };
    let (door, heard, ended, clock) = (door.clone(), flow.heard.clone(), flow.ended.clone(), hall.clock.clone());
    hall.group.spawn("datagrams of a service", Kind::Transient, async move {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            tokio::select! {
                received = socket.recv(&mut buffer) => {
                    // An error tells that the endpoint did not listen; it may listen for the next one.
                    if let Ok(length) = received && door.send_to(&buffer[..length], client).await.is_err() {
                        break;
                    }
                }
                () = heard.notified() => {}
                () = clock.sleep(SILENCE) => break,
                () = ended.cancelled() => break,
            }
        }
        ended.cancel();
        Ok::<(), std::convert::Infallible>(())
    });
    Ok(flow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::services::reach::Owner;

    fn behind(last: &[u8], affinity_s: Option<u32>) -> Behind {
        let owner = Owner::Service { namespace: "ns".to_owned(), name: "web".to_owned() };
        let backends = last.iter().map(|last| (Ipv4Addr::new(10, 244, 0, *last), 80)).collect();
        Behind { owner, what: "node port 30080".to_owned(), backends, affinity_s }
    }

    /// The last byte of the endpoint that a client is led to.
    fn led(chooser: &mut Chooser, behind: &Behind, client: u8, now: Instant) -> u8 {
        let client = Ipv4Addr::new(127, 0, 0, client).into();
        let first = chooser.order(behind, client, now)[0];
        chooser.keep(behind, client, first, now);
        first.0.octets()[3]
    }

    #[test]
    fn a_client_of_a_door_stays_with_its_endpoint_for_its_time() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut chooser = Chooser::default();
        let three = behind(&[1, 2, 3], Some(10));
        let first = led(&mut chooser, &three, 1, at(0));
        let other = led(&mut chooser, &three, 2, at(0));
        assert_ne!(first, other, "clients take turns");
        for second in [3, 6, 15, 24] {
            assert_eq!(led(&mut chooser, &three, 1, at(second)), first, "at {second} s");
        }
        let later: Vec<u8> = (3..6).map(|n| led(&mut chooser, &three, 1, at(10 * n + 4))).collect();
        assert!(later.iter().any(|last| *last != first), "each ten seconds after it was last there: {later:?}");
    }

    #[test]
    fn a_client_whose_endpoint_is_gone_is_led_to_another_and_stays_there() {
        let now = Instant::now();
        let mut chooser = Chooser::default();
        let first = led(&mut chooser, &behind(&[1, 2, 3], Some(10)), 1, now);
        let rest: Vec<u8> = [1, 2, 3].into_iter().filter(|last| *last != first).collect();
        let second = led(&mut chooser, &behind(&rest, Some(10)), 1, now);
        assert!(rest.contains(&second));
        for _ in 0..3 {
            assert_eq!(led(&mut chooser, &behind(&[1, 2, 3], Some(10)), 1, now), second, "the first one is back");
        }
        let turns: Vec<u8> = (0..3).map(|_| led(&mut chooser, &behind(&[1, 2, 3], None), 1, now)).collect();
        assert!(turns.contains(&1) && turns.contains(&2) && turns.contains(&3), "without affinity: {turns:?}");
    }
}
