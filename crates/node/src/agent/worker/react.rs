//! What a worker makes of what it is told.

use std::sync::Arc;

use ferroflow_platform::controller::EventKind;
use k8s_openapi::api::core::v1::Pod;

use super::{Adoption, Note, Stage, Worker, retry_after, revision, terminal};
use crate::{
    agent::{
        contain, images,
        prepare::{self, Prepared},
        probes,
    },
    core::{
        evict, honour,
        plan::{self, Fault, Trouble, Verdict},
        record::{Attempt, ExitReason},
        spec, status,
    },
    runtime,
};

impl Worker {
    pub(super) fn pod_changed(&mut self, pod: Option<Arc<Pod>>) {
        let Some(pod) = pod else {
            self.gone = true;
            if let Some(preparing) = self.preparing.take() {
                preparing.cancel();
            }
            return;
        };
        // What a status write has answered may be ahead of the watch.
        if revision(&pod) < revision(&self.pod) {
            return;
        }
        let meta_changed = pod.metadata.labels != self.pod.metadata.labels
            || pod.metadata.annotations != self.pod.metadata.annotations;
        let before = std::mem::replace(&mut self.pod, pod);
        if before.spec != self.pod.spec {
            self.containers = self.pod.spec.as_ref().map(spec::containers).unwrap_or_default();
            for (_, container) in &self.containers {
                self.observed.entry(container.name.clone()).or_default();
            }
        }
        if self.verdict.is_none() {
            self.verdict = terminal(&self.pod);
        }
        if self.pod.metadata.deletion_timestamp.is_some()
            && let Some(preparing) = self.preparing.take()
        {
            preparing.cancel();
        }
        if meta_changed {
            self.refresh();
        }
    }

    pub(super) async fn take(&mut self, note: Note) {
        match note {
            Note::Prepared(Ok(prepared)) => self.opened(*prepared).await,
            Note::Prepared(Err(refusal)) => {
                self.preparing = None;
                self.prepare_failures += 1;
                self.prepare_at = Some(self.shared.clock.instant() + retry_after(self.prepare_failures));
                self.shared.recorder.event(&*self.pod, EventKind::Warning, refusal.reason, refusal.message);
            }
            Note::Launched { container, number, result } => self.launched(&container, number, result),
            Note::Hooked { container, number, result } => self.hooked(&container, number, result),
            Note::Probed { container, number, kind, succeeded } => self.probed(&container, number, kind, succeeded),
            Note::Unhealthy { container, kind, message } => {
                let message = format!("{} probe failed: {message}", kind.as_str());
                self.event(&container, EventKind::Warning, "Unhealthy", message);
            }
            Note::Written(result) => self.written(result),
            Note::Refreshed(result) => {
                self.refreshing = false;
                if self.stale {
                    self.refresh();
                }
                match result {
                    Ok(renew_at) => self.prepared.iter_mut().for_each(|prepared| prepared.renew_at = renew_at),
                    Err(refusal) => {
                        // Tried again when the object changes, or tokens are due.
                        let later = self.shared.clock.now().checked_add(jiff::SignedDuration::from_secs(60)).ok();
                        self.prepared.iter_mut().for_each(|prepared| prepared.renew_at = later);
                        self.shared.recorder.event(&*self.pod, EventKind::Warning, refusal.reason, refusal.message);
                    }
                }
            }
            Note::Evicted { message } => self.evicted(message),
            Note::Removed => self.stage = Stage::Removed,
            Note::ObjectChanged(name) => self.object_changed(&name),
        }
    }

    fn evicted(&mut self, message: String) {
        if self.verdict.is_some() || self.gone || self.pod.metadata.deletion_timestamp.is_some() {
            return;
        }
        self.shared.recorder.event(&*self.pod, EventKind::Warning, evict::REASON, message.clone());
        self.verdict = Some(Verdict::evicted(message));
    }

    pub(super) async fn happened(&mut self, event: runtime::Event) {
        match event {
            runtime::Event::Exited(attempt) => self.exited(attempt),
            runtime::Event::SupervisorLost => {
                let Some(prepared) = self.prepared.clone() else { return };
                match prepared.sandbox.attempts().await {
                    Ok(attempts) => {
                        attempts.into_iter().filter(|attempt| !attempt.is_running()).for_each(|one| self.exited(one))
                    }
                    Err(error) => tracing::warn!(uid = self.uid, %error, "cannot read what an ended supervisor left"),
                }
            }
        }
    }

    /// The sandbox is open: what an earlier agent started is taken up.
    pub(super) async fn opened(&mut self, prepared: Prepared) {
        self.preparing = None;
        self.prepare_failures = 0;
        self.shared.publish(&self.uid, &prepared.sandbox);
        match prepared.sandbox.attempts().await {
            Ok(attempts) => {
                for attempt in attempts {
                    self.observed.entry(attempt.container.clone()).or_default().attempts.push(attempt);
                }
            }
            Err(error) => tracing::warn!(uid = self.uid, %error, "cannot read what an earlier agent left"),
        }
        self.prepared = Some(prepared);
        let written = self.pod.status.clone().unwrap_or_default();
        let all = [written.container_statuses, written.init_container_statuses, written.ephemeral_container_statuses];
        for row in all.iter().flatten().flatten() {
            if let Some(observed) = self.observed.get_mut(&row.name) {
                status::restore(observed, row);
            }
        }
        let names: Vec<String> =
            self.observed.iter().filter(|(_, one)| one.is_running()).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.watch_over(&name, Adoption::Found);
        }
        self.tell_unhonoured();
    }

    pub(super) fn launched(&mut self, name: &str, number: u32, result: Result<Attempt, Trouble>) {
        let Some(observed) = self.observed.get_mut(name) else { return };
        observed.launching = false;
        if self.observed.values().all(|one| !one.launching) {
            self.launched_at = None;
        }
        let Some(observed) = self.observed.get_mut(name) else { return };
        let attempt = match result {
            Ok(attempt) => attempt,
            Err(trouble) => {
                let failures = self.failures.entry(name.to_owned()).or_default();
                *failures = if trouble.reason == plan::NOT_PULLED { *failures + 1 } else { 0 };
                observed.trouble = Some(trouble);
                return;
            }
        };
        observed.trouble = None;
        observed.stopping = None;
        observed.fault = None;
        self.failures.remove(name);
        let failed = attempt.exit.clone().filter(|exit| exit.reason == ExitReason::StartError);
        // Its exit may have come first.
        if !observed.attempts.iter().any(|one| one.number == number) {
            observed.attempts.push(attempt);
        }
        let running = observed.is_running();
        self.event(name, EventKind::Normal, "Created", format!("Created container: {name}"));
        match failed {
            Some(exit) => self.event(name, EventKind::Warning, "Failed", format!("Error: {}", exit.message)),
            None => self.event(name, EventKind::Normal, "Started", format!("Started container {name}")),
        }
        if running {
            self.watch_over(name, Adoption::Started);
        }
    }

    pub(super) fn exited(&mut self, attempt: Attempt) {
        let name = attempt.container.clone();
        let Some(observed) = self.observed.get_mut(&name) else { return };
        observed.stopping = None;
        observed.fault = None;
        observed.started = false;
        observed.ready = false;
        match observed.attempts.iter_mut().find(|one| one.number == attempt.number) {
            Some(one) => *one = attempt,
            None => observed.attempts.push(attempt),
        }
        if let Some(watcher) = self.watchers.remove(&name) {
            watcher.cancel.cancel();
        }
    }

    pub(super) fn hooked(&mut self, name: &str, number: u32, result: Result<(), String>) {
        let Some(watcher) = self.watchers.get_mut(name).filter(|watcher| watcher.number == number) else { return };
        watcher.hook_pending = false;
        match result {
            Ok(()) => self.check_started(name),
            Err(message) => {
                self.event(name, EventKind::Warning, "FailedPostStartHook", format!("PostStartHook failed: {message}"));
                self.observed.entry(name.to_owned()).or_default().fault = Some(Fault::PostStart);
            }
        }
    }

    pub(super) fn probed(&mut self, name: &str, number: u32, kind: probes::Kind, succeeded: bool) {
        let Some(watcher) = self.watchers.get_mut(name).filter(|watcher| watcher.number == number) else { return };
        let Some(observed) = self.observed.get_mut(name) else { return };
        match (kind, succeeded) {
            (probes::Kind::Readiness, ready) => observed.ready = ready,
            (probes::Kind::Startup, true) => {
                watcher.probe_pending = false;
                self.check_started(name);
            }
            (probes::Kind::Startup, false) => self.at_fault(name, Fault::Startup),
            (probes::Kind::Liveness, false) => self.at_fault(name, Fault::Liveness),
            (probes::Kind::Liveness, true) => {}
        }
    }

    pub(super) fn at_fault(&mut self, name: &str, fault: Fault) {
        let container = self.containers.iter().find(|(_, one)| one.name == name).map(|(_, one)| one.clone());
        let Some(observed) = self.observed.get_mut(name) else { return };
        observed.fault = Some(fault);
        observed.fault_grace_s = container.and_then(|container| {
            let probe = if fault == Fault::Startup { container.startup_probe } else { container.liveness_probe };
            probe?.termination_grace_period_seconds
        });
    }

    pub(super) fn check_started(&mut self, name: &str) {
        let Some(watcher) = self.watchers.get(name) else { return };
        if watcher.hook_pending || watcher.probe_pending {
            return;
        }
        if let Some(observed) = self.observed.get_mut(name) {
            observed.started = true;
        }
        watcher.started.send_replace(true);
    }

    pub(super) fn object_changed(&mut self, name: &str) {
        if images::pull_secrets(&self.pod).iter().any(|secret| secret == name) {
            self.pull_again();
        }
        let referred = prepare::references(&self.pod);
        if !referred.config_maps.contains(name) && !referred.secrets.contains(name) {
            return;
        }
        let now = self.shared.clock.now();
        for observed in self.observed.values_mut() {
            if let Some(trouble) = observed.trouble.as_mut().filter(|one| one.reason == "CreateContainerConfigError") {
                trouble.retry_at = now;
            }
        }
        if self.prepared.is_none() {
            self.prepare_at = None;
        }
        self.refresh();
    }

    /// A login has changed: what was refused may be given now.
    fn pull_again(&mut self) {
        let now = self.shared.clock.now();
        for (name, observed) in &mut self.observed {
            let waits = |one: &&mut Trouble| one.reason == plan::NOT_PULLED || one.reason == plan::PULL_BACK_OFF;
            if let Some(trouble) = observed.trouble.as_mut().filter(waits) {
                trouble.retry_at = now;
                self.failures.remove(name);
            }
        }
    }

    pub(super) fn refresh(&mut self) {
        // What has changed while the volumes are written may have been read before.
        self.stale = self.refreshing;
        let Some(prepared) = self.prepared.clone().filter(|_| !self.refreshing && self.stage == Stage::Alive) else {
            return;
        };
        self.refreshing = true;
        let (shared, pod, notes) = (self.shared.clone(), self.pod.clone(), self.notes.clone());
        self.spawn(format!("refreshing volumes of {}", self.uid), async move {
            let refreshed = prepare::refresh(&shared, &pod, &prepared).await;
            let _ = notes.send(Note::Refreshed(refreshed)).await;
        });
    }

    /// What this level of isolation cannot give is said once, by field.
    pub(super) fn tell_unhonoured(&mut self) {
        if self.told_unhonoured || self.verdict.is_some() {
            return;
        }
        self.told_unhonoured = true;
        let mut fields = honour::unhonoured(&self.pod, contain::means(self.shared.runtime.isolation()));
        if contain::has_network(self.shared.pod_network_kind, &self.pod) {
            fields.retain(|field| !field.starts_with("spec.securityContext.sysctls[net"));
        }
        if !fields.is_empty() {
            let level = self.shared.runtime.isolation().as_str();
            let message = format!("at isolation level {level:?} these fields have no effect: {}", fields.join(", "));
            self.shared.recorder.event(&*self.pod, EventKind::Warning, "NotHonoured", message);
        }
    }
}
