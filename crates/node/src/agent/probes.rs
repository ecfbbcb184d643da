//! Runs the probes of one run of a container until it ends.

use std::time::Duration;

use ferroflow_platform::clock::SharedClock;
use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    check::{Check, Target},
    worker::Note,
};
use crate::core::probe::Counter;

/// The three probes of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    /// As events spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// The probes that a container has.
pub fn of(container: &Container) -> Vec<(Kind, Probe)> {
    let all = [
        (Kind::Startup, &container.startup_probe),
        (Kind::Liveness, &container.liveness_probe),
        (Kind::Readiness, &container.readiness_probe),
    ];
    all.into_iter().filter_map(|(kind, probe)| Some((kind, probe.clone()?))).collect()
}

/// How a probe looks; `None` for one that says nothing.
fn check_of(probe: &Probe) -> Option<Check> {
    let exec = probe.exec.clone().map(Check::Exec);
    let http = probe.http_get.clone().map(Check::Http);
    let tcp = probe.tcp_socket.clone().map(Check::Tcp);
    exec.or(http).or(tcp).or_else(|| probe.grpc.clone().map(Check::Grpc))
}

/// One probe of one run.
pub struct Prober {
    pub kind: Kind,
    pub probe: Probe,
    pub target: Target,
    pub number: u32,
    /// True once the container counts as started; probes other than the startup one wait for it.
    pub started: watch::Receiver<bool>,
    pub notes: mpsc::Sender<Note>,
    pub cancel: CancellationToken,
    pub clock: SharedClock,
}

impl Prober {
    /// Probes until the run ends, or the probe has nothing more to say.
    pub async fn run(self) {
        let cancel = self.cancel.clone();
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.probe() => {}
        }
    }

    async fn probe(mut self) {
        let Some(check) = check_of(&self.probe) else { return };
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(
                value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default),
            )
        };
        let count =
            |value: Option<i32>, default: u32| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(default);
        let period = seconds(self.probe.period_seconds, 10);
        let timeout = seconds(self.probe.timeout_seconds, 1);
        let mut counter = Counter::new(count(self.probe.success_threshold, 1), count(self.probe.failure_threshold, 3));
        if let Some(delay) = self.probe.initial_delay_seconds.filter(|delay| *delay > 0) {
            self.clock.sleep(seconds(Some(delay), 0)).await;
        }
        if self.kind != Kind::Startup && self.started.wait_for(|started| *started).await.is_err() {
            return;
        }
        let mut held = None;
        loop {
            let next = self.clock.instant() + period;
            let result = self.target.check(&check, timeout).await;
            let verdict = counter.observe(result.is_ok());
            if let Err(message) = result {
                self.tell(Note::Unhealthy { container: self.name(), kind: self.kind, message }).await;
            }
            if let Some(succeeded) = verdict.filter(|_| verdict != held) {
                held = verdict;
                let note = Note::Probed { container: self.name(), number: self.number, kind: self.kind, succeeded };
                self.tell(note).await;
                if self.kind == Kind::Startup || (self.kind == Kind::Liveness && !succeeded) {
                    return;
                }
            }
            self.clock.sleep_until(next).await;
        }
    }

    fn name(&self) -> String {
        self.target.container.name.clone()
    }

    async fn tell(&self, note: Note) {
        // The worker may have ended; then this task is cancelled in a moment.
        let _ = self.notes.send(note).await;
    }
}

/// Runs a lifecycle hook.
///
/// # Errors
/// The message of the event.
pub async fn hook(
    target: &Target,
    handler: &k8s_openapi::api::core::v1::LifecycleHandler,
    clock: &SharedClock,
    timeout: Duration,
) -> Result<(), String> {
    if let Some(sleep) = &handler.sleep {
        let wanted = Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0));
        clock.sleep(wanted.min(timeout)).await;
        return Ok(());
    }
    let exec = handler.exec.clone().map(Check::Exec);
    let http = handler.http_get.clone().map(Check::Http);
    let Some(check) = exec.or(http).or_else(|| handler.tcp_socket.clone().map(Check::Tcp)) else { return Ok(()) };
    target.check(&check, timeout).await
}
