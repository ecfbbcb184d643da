//! How a worker carries out a plan: each thing that takes time in a task of its own.

use std::time::Duration;

use ferroflow_platform::controller::EventKind;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Adoption, Note, Stage, Watcher, Worker, retry_after};
use crate::{
    agent::{
        Shared,
        check::Target,
        launch::Order,
        prepare::{self, Extent},
        probes::{self, Prober},
    },
    core::plan::Action,
};

/// After a `preStop` hook a container has at least so long to end.
const AFTER_HOOK: Duration = Duration::from_secs(2);

impl Worker {
    pub(super) fn prepare_if_due(&mut self) {
        let now = self.shared.clock.instant();
        let due = self.prepare_at.is_none_or(|at| at <= now);
        if self.prepared.is_some() || self.preparing.is_some() || !due || self.stage != Stage::Alive {
            return;
        }
        self.prepare_at = None;
        let ending = self.gone || self.pod.metadata.deletion_timestamp.is_some() || self.verdict.is_some();
        let extent = match (ending, &self.stored) {
            (false, _) => Extent::Whole,
            (true, Some(_)) => Extent::Leftovers,
            (true, None) => return,
        };
        let cancel = CancellationToken::new();
        self.preparing = Some(cancel.clone());
        let (shared, pod, uid) = (self.shared.clone(), self.pod.clone(), self.uid.clone());
        let (events, notes) = (self.events.clone(), self.notes.clone());
        self.spawn(format!("preparing pod {}", self.uid), async move {
            let prepared = tokio::select! {
                prepared = prepare::prepare(&shared, &pod, &uid, extent, events) => prepared,
                () = cancel.cancelled() => return,
            };
            let _ = notes.send(Note::Prepared(prepared.map(Box::new))).await;
        });
    }

    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::Launch { container, number, backoff_s } => self.launch(&container, number, backoff_s),
            Action::Stop { container, deadline, message } => self.stop(&container, deadline, message),
            Action::Finish => self.finish(),
        }
    }

    pub(super) fn watch_over(&mut self, name: &str, adoption: Adoption) {
        let Some(prepared) = self.prepared.clone() else { return };
        let Some((_, container)) = self.containers.iter().find(|(_, one)| one.name == name).cloned() else { return };
        let Some(observed) = self.observed.get_mut(name) else { return };
        let Some(number) = observed.last().map(|attempt| attempt.number) else { return };
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.clone());
        if adoption == Adoption::Started {
            observed.started = false;
            observed.ready = container.readiness_probe.is_none();
        }
        // A hook of a run that was found may or may not have run: it is not run twice.
        let hook = hook.filter(|_| adoption == Adoption::Started);
        let probe_pending = container.startup_probe.is_some() && !observed.started;
        let cancel = CancellationToken::new();
        let (started, _) = watch::channel(false);
        let target = Target {
            sandbox: prepared.sandbox,
            container: container.clone(),
            address: prepared.share.address,
            network: self.shared.pod_network.clone(),
        };
        for (kind, probe) in probes::of(&container) {
            if kind == probes::Kind::Startup && !probe_pending {
                continue;
            }
            let prober = Prober {
                kind,
                probe,
                target: target.clone(),
                number,
                started: started.subscribe(),
                notes: self.notes.clone(),
                cancel: cancel.clone(),
                clock: self.shared.clock.clone(),
            };
            self.spawn(format!("{} probe of {name} in {}", kind.as_str(), self.uid), prober.run());
        }
        let hook_pending = hook.is_some();
        if let Some(handler) = hook {
            let (clock, notes, name) = (self.shared.clock.clone(), self.notes.clone(), name.to_owned());
            let cancel = cancel.clone();
            self.spawn(format!("postStart of {name} in {}", self.uid), async move {
                let forever = Duration::from_secs(3600);
                let hook = probes::hook(&target, &handler, &clock, forever);
                let result = tokio::select! {
                    result = hook => result,
                    () = cancel.cancelled() => return,
                };
                let _ = notes.send(Note::Hooked { container: name, number, result }).await;
            });
        }
        self.watchers.insert(name.to_owned(), Watcher { number, started, cancel, hook_pending, probe_pending });
        self.check_started(name);
    }

    pub(super) fn launch(&mut self, name: &str, number: u32, backoff_s: u32) {
        let Some(prepared) = self.prepared.clone() else { return };
        let Some((role, container)) = self.containers.iter().find(|(_, one)| one.name == name).cloned() else { return };
        let Some(observed) = self.observed.get_mut(name) else { return };
        observed.launching = true;
        self.launched_at.get_or_insert_with(|| self.shared.clock.instant());
        let order = Order {
            shared: self.shared.clone(),
            pod: self.pod.clone(),
            prepared,
            container,
            role,
            number,
            backoff_s,
            failures: self.failures.get(name).copied().unwrap_or(0),
            ending: self.ending.clone(),
        };
        let (notes, name) = (self.notes.clone(), name.to_owned());
        self.spawn(format!("starting {name} in {}", self.uid), async move {
            let result = order.carry_out().await;
            let _ = notes.send(Note::Launched { container: name, number, result }).await;
        });
    }

    pub(super) fn stop(&mut self, name: &str, deadline: Timestamp, message: String) {
        let Some(prepared) = self.prepared.clone() else { return };
        let Some((_, container)) = self.containers.iter().find(|(_, one)| one.name == name).cloned() else { return };
        let Some(observed) = self.observed.get_mut(name) else { return };
        let first = observed.stopping.is_none();
        let signal = observed.last().and_then(|attempt| attempt.stop_signal).unwrap_or(libc::SIGTERM);
        observed.stopping = Some(deadline);
        if let Some(watcher) = self.watchers.get(name)
            && first
        {
            watcher.cancel.cancel();
        }
        if first {
            self.event(name, EventKind::Normal, "Killing", message);
        }
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.clone()).filter(|_| first);
        let (shared, pod, role) = (self.shared.clone(), self.pod.clone(), self.role(name));
        let network = self.shared.pod_network.clone();
        let target = Target { sandbox: prepared.sandbox, container, address: prepared.share.address, network };
        let name = name.to_owned();
        self.spawn(format!("stopping {name} in {}", self.uid), async move {
            let left = || Duration::try_from(deadline.duration_since(shared.clock.now())).unwrap_or_default();
            let mut grace = left();
            if let Some(handler) = hook {
                let hooked = tokio::time::timeout(grace, probes::hook(&target, &handler, &shared.clock, grace)).await;
                if let Ok(Err(message)) = hooked {
                    let message = format!("PreStopHook failed: {message}");
                    shared.container_event(&pod, role, &name, EventKind::Warning, "FailedPreStopHook", message);
                }
                grace = left().max(AFTER_HOOK);
            }
            if let Err(error) = target.sandbox.stop(name, signal, grace).await {
                tracing::warn!(%error, "cannot stop a container");
            }
        });
    }

    /// Nothing runs any more.
    pub(super) fn finish(&mut self) {
        let deleting = self.pod.metadata.deletion_timestamp.is_some();
        if self.stage == Stage::Alive {
            self.stage = Stage::Rested;
            self.shared.pool.rest(&self.uid);
            if let Some(prepared) = self.prepared.clone() {
                self.spawn(format!("resting pod {}", self.uid), async move {
                    if let Err(error) = prepared.sandbox.rest().await {
                        tracing::debug!(%error, "cannot end a supervisor");
                    }
                });
            }
        }
        let settled = self.wanted.is_none() && !self.writing;
        if self.stage == Stage::Rested && (self.gone || (deleting && settled)) && self.preparing.is_none() {
            self.stage = Stage::Removing;
            self.remove();
        }
    }

    /// Removes the pod's files, then its object.
    pub(super) fn remove(&self) {
        let (shared, uid, notes) = (self.shared.clone(), self.uid.clone(), self.notes.clone());
        let sandbox = self.prepared.as_ref().map(|prepared| prepared.sandbox.clone());
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (namespace, name) = (text(&self.pod.metadata.namespace), text(&self.pod.metadata.name));
        let gone = self.gone;
        self.spawn(format!("removing pod {uid}"), async move {
            if let Some(sandbox) = sandbox
                && let Err(error) = sandbox.destroy().await
            {
                tracing::warn!(uid, %error, "cannot remove what is left of a pod");
            }
            shared.pool.release(&uid);
            shared.images.release(&format!("{uid}/"));
            if !gone {
                delete_object(&shared, &namespace, &name, &uid).await;
            }
            let _ = notes.send(Note::Removed).await;
        });
    }
}

/// Removes the pod's object at once, if it is still this one; tries until the API server has answered.
async fn delete_object(shared: &Shared, namespace: &str, name: &str, uid: &str) {
    let api: Api<Pod> = Api::namespaced(shared.client.clone(), namespace);
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    for failures in 1.. {
        match api.delete(name, &params).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
            Err(error) => tracing::warn!(namespace, name, %error, "cannot remove a pod's object"),
        }
        shared.clock.sleep(retry_after(failures)).await;
    }
}
