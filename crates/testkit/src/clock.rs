//! A clock that stands still until a test moves it.

use std::{sync::Arc, time::Duration};

use ferroflow_platform::clock::{BoxFuture, Clock};
use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};

/// A simulated clock. Cheap to clone; all clones show the same time.
#[derive(Clone, Debug)]
pub struct SimulatedClock {
    began: Timestamp,
    began_instant: Instant,
    passed: Arc<watch::Sender<Duration>>,
}

impl SimulatedClock {
    /// A clock that shows `began`.
    pub fn new(began: Timestamp) -> Self {
        Self { began, began_instant: Instant::now(), passed: Arc::new(watch::Sender::new(Duration::ZERO)) }
    }

    /// Lets `duration` pass at once; sleeps that end in it complete.
    pub fn advance(&self, duration: Duration) {
        self.passed.send_modify(|passed| *passed += duration);
    }

    fn passed(&self) -> Duration {
        *self.passed.borrow()
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        self.began + self.passed()
    }

    fn instant(&self) -> Instant {
        self.began_instant + self.passed()
    }

    fn sleep_until(&self, instant: Instant) -> BoxFuture<'static, ()> {
        let began = self.began_instant;
        let mut passed = self.passed.subscribe();
        let alive = self.passed.clone();
        Box::pin(async move {
            // The sender is held, so that the wait ends with the time only.
            let _ = passed.wait_for(|passed| began + *passed >= instant).await;
            drop(alive);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_ends_when_its_time_has_been_let_pass_and_not_before() {
        let clock = SimulatedClock::new(Timestamp::UNIX_EPOCH);
        let mut sleep = std::pin::pin!(clock.sleep(Duration::from_secs(60)));
        clock.advance(Duration::from_secs(59));
        assert!(futures_ready(sleep.as_mut()).await.is_none());
        clock.advance(Duration::from_secs(1));
        assert!(futures_ready(sleep.as_mut()).await.is_some());
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH + Duration::from_secs(60));
    }

    async fn futures_ready(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> Option<()> {
        tokio::select! {
            biased;
            () = future => Some(()),
            () = std::future::ready(()) => None,
        }
    }
}
