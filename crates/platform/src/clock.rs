//! Time as an argument. The only file that reads the system's clock.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

/// A future that owns what it needs.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where time comes from: the system in the binary, a simulation in tests.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall-clock time, for what is written into objects.
    fn now(&self) -> Timestamp;

    /// A time that never goes back, for intervals.
    fn instant(&self) -> Instant;

    /// Completes when `instant` has come.
    fn sleep_until(&self, instant: Instant) -> BoxFuture<'static, ()>;

    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.instant() + duration)
    }
}

/// A clock as it is shared.
pub type SharedClock = Arc<dyn Clock>;

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The system's clock, ready to share.
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, instant: Instant) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(instant))
    }
}
