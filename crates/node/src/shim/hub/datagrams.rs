//! Carries datagrams between a pod's socket and the host, where no packet goes. Each association is one socket of a
//! program and one address on the other side.

use std::{io, net::SocketAddrV4, time::Duration};

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

/// An association that has been silent for so long is forgotten, as translators of addresses do.
const SILENCE: Duration = Duration::from_secs(300);
/// The most of a datagram.
const DATAGRAM_BYTES: usize = 64 << 10;

/// Carries until both sides have been silent for long, or the pod has gone. `near` hears `from` alone; `far` is
/// connected.
///
/// # Errors
/// When `near` cannot be used.
pub async fn carry(near: UdpSocket, from: SocketAddrV4, far: UdpSocket, gone: CancellationToken) -> io::Result<()> {
    near.connect(from).await?;
    let (mut out, mut back) = (vec![0; DATAGRAM_BYTES], vec![0; DATAGRAM_BYTES]);
    loop {
        // An error tells that nobody listened; somebody may for the next one.
        tokio::select! {
            received = near.recv(&mut out) => if let Ok(length) = received {
                let _ = far.send(&out[..length]).await;
            },
            received = far.recv(&mut back) => if let Ok(length) = received {
                let _ = near.send(&back[..length]).await;
            },
            () = tokio::time::sleep(SILENCE) => return Ok(()),
            () = gone.cancelled() => return Ok(()),
        }
    }
}
