//! Carries bytes between a pod and the host, where no packet goes.
//!
//! Whoever wants a way has it opened first, and then knocks at the hub's door on its own side; its supervisor says from
//! which port that knock comes. So a knock leads nowhere but where the supervisor of its own pod has opened.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ferroflow_platform::task::{Group, Kind};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Connections that are carried at a time; more wait in the queue of the door.
const ROOM: usize = 4096;
/// A claim is sent before or just after its knock; a knock that nobody claims is closed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that are carried at a time, each way.
const CHUNK_BYTES: usize = 64 << 10;
/// A door that takes no connections now takes some later.
const PAUSE: Duration = Duration::from_millis(50);

/// The other end of a way: it comes when it stands.
pub struct Opened {
    pub stream: oneshot::Receiver<TcpStream>,
    /// Whoever it was opened for has gone.
    pub gone: CancellationToken,
}

/// The claims of both doors.
#[derive(Default)]
pub struct Claims {
    waiting: Mutex<HashMap<SocketAddrV4, Opened>>,
    changed: Notify,
}

impl Claims {
    /// Says that the connection from this address is the near end of a way.
    pub fn put(&self, from: SocketAddrV4, opened: Opened) {
        self.lock().insert(from, opened);
        self.changed.notify_waiters();
    }

    /// Forgets claims that nobody can knock for any more.
    pub fn sweep(&self) {
        self.lock().retain(|_, opened| !opened.gone.is_cancelled());
    }

    async fn take(&self, from: SocketAddrV4) -> Opened {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(opened) = self.lock().remove(&from) {
                return opened;
            }
            changed.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddrV4, Opened>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes connections at a door.
///
/// # Errors
/// Never.
pub async fn serve(door: TcpListener, claims: Arc<Claims>, group: Group) -> Result<(), std::convert::Infallible> {
    let room = Arc::new(Semaphore::new(ROOM));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return Ok(()) };
        let (near, from) = match door.accept().await {
            Ok((near, SocketAddr::V4(from))) => (near, from),
            Ok(_) => continue,
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let claims = claims.clone();
        group.spawn("way between a pod and the host", Kind::Transient, async move {
            carry(near, from, &claims).await;
            drop(permit);
            Ok::<(), std::convert::Infallible>(())
        });
    }
}

async fn carry(mut near: TcpStream, from: SocketAddrV4, claims: &Claims) {
    let Ok(Opened { stream, gone }) = timeout(PATIENCE, claims.take(from)).await else {
        let _ = near.set_zero_linger();
        return;
    };
    let carried = async {
        let Ok(mut far) = stream.await else { return Err(io::ErrorKind::ConnectionRefused.into()) };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let copied = tokio::io::copy_bidirectional_with_sizes(&mut near, &mut far, CHUNK_BYTES, CHUNK_BYTES).await;
        if copied.is_err() {
            // What broke at one end breaks at the other.
            let _ = far.set_zero_linger();
        }
        copied.map(drop)
    };
    let carried = tokio::select! {
        carried = carried => carried,
        () = gone.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
    };
    if carried.is_err() {
        let _ = near.set_zero_linger();
    }
}
