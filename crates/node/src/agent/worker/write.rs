//! A worker's one status: when it is written, and what is told when it changes.

use std::{sync::Arc, time::Duration};

use ferroflow_platform::controller::EventKind;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::{
    Api,
    api::{Patch, PatchParams},
};

use super::{Note, Worker, retry_after, revision, terminal};
use crate::{
    agent::events::reports_itself,
    core::{
        plan::{self, Plan, Situation},
        spec,
        status::{self, Place},
    },
};

/// A status that only says that a container is being started, or a pod made ready for that, waits this long for it to
/// have started: most have by then, and are written once.
const START_PATIENCE: Duration = Duration::from_millis(100);

/// The same of a pod whose maker hears from within that it runs, and of its running: most short steps of pipelines have ended
/// by then, also where a loop starts a hundred of them at once, and are written once.
const LONG_START_PATIENCE: Duration = Duration::from_secs(2);

impl Worker {
    pub(super) fn want_status(&mut self, situation: &Situation<'_>, plan: &Plan) {
        // A pod that ended under an agent whose records are lost is left as that one wrote it.
        let unknown = self.observed.values().all(|observed| observed.attempts.is_empty());
        if self.gone || (terminal(&self.pod).is_some() && unknown) {
            self.wanted = None;
            return;
        }
        // What an earlier agent left is not known before it has been opened, and nothing is told of it that may be false.
        let is_unopened = self.stored.is_some() && self.prepared.is_none() && self.prepare_failures == 0;
        if is_unopened && unknown && !plan.ending && plan.verdict.is_none() {
            self.wanted = None;
            return;
        }
        let now = self.shared.clock.instant();
        let is_new = unknown && self.status.start_time.is_none() && !plan.ending && plan.verdict.is_none();
        let since = self.launched_at.or(is_new.then_some(self.begun_at)).map(|since| since + START_PATIENCE);
        let is_told_otherwise = !plan.ending && plan.verdict.is_none() && reports_itself(&self.pod);
        let longer = is_told_otherwise.then_some(self.begun_at + LONG_START_PATIENCE);
        if let Some(until) = since.max(longer)
            && plan.waiting.is_empty()
            && now < until
        {
            self.write_at = Some(until);
            return;
        }
        let address = self.prepared.as_ref().map(|prepared| prepared.share.address.clone()).unwrap_or_default();
        let address = if address.is_empty() { self.status.pod_ip.clone().unwrap_or_default() } else { address };
        let place = Place { pod_address: &address, host_address: &self.shared.config.address };
        let status = status::build(situation, plan, place, &self.status);
        if self.written.as_ref().is_some_and(|(pod, written)| Arc::ptr_eq(pod, &self.pod) && *written == status) {
            self.wanted = None;
            return;
        }
        let is_written = |current| status::is_written(current, &status);
        let written = is_written(Some(&self.status)) && is_written(self.pod.status.as_ref());
        self.written = written.then(|| (self.pod.clone(), status.clone()));
        self.wanted = (!written).then_some(status);
    }

    pub(super) fn write(&mut self) {
        let now = self.shared.clock.instant();
        if self.writing || self.write_at.is_some_and(|at| now < at && self.write_failures > 0) {
            return;
        }
        let Some(status) = self.wanted.take() else {
            if self.write_failures == 0 && self.write_at.is_some_and(|at| at <= now) {
                self.write_at = None;
            }
            return;
        };
        self.write_at = None;
        self.writing = true;
        if status.phase.as_deref() != Some("Succeeded") {
            self.shared.tell_start(&self.uid);
        }
        let body = status::patch(&self.pod, &status);
        (self.status, self.written) = (status, None);
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.shared.client.clone(), &text(&self.pod.metadata.namespace));
        let (name, notes) = (text(&self.pod.metadata.name), self.notes.clone());
        self.spawn(format!("status of pod {}", self.uid), async move {
            let written = api.patch_status(&name, &PatchParams::default(), &Patch::Strategic(&body)).await;
            let _ = notes.send(Note::Written(written.map(Box::new))).await;
        });
    }

    pub(super) fn written(&mut self, result: Result<Box<Pod>, kube::Error>) {
        self.writing = false;
        match result {
            Ok(pod) => {
                self.write_failures = 0;
                if revision(&pod) >= revision(&self.pod) && pod.metadata.uid == self.pod.metadata.uid {
                    self.pod = Arc::new(*pod);
                }
                self.images_back_off();
            }
            // The object is gone, or another of its name is there: the watch tells in a moment.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                self.write_failures += 1;
                self.write_at = Some(self.shared.clock.instant() + retry_after(self.write_failures));
                (self.status, self.written) = (PodStatus::default(), None);
            }
            Err(error) => {
                tracing::warn!(uid = self.uid, %error, "cannot write a pod's status");
                self.write_failures += 1;
                self.write_at = Some(self.shared.clock.instant() + retry_after(self.write_failures));
                (self.status, self.written) = (self.pod.status.clone().unwrap_or_default(), None);
            }
        }
    }

    /// An image that could not be had is shown once as that, then as what is waited for.
    pub(super) fn images_back_off(&mut self) {
        let mut told = Vec::new();
        for (name, observed) in &mut self.observed {
            let Some(trouble) = observed.trouble.as_mut().filter(|trouble| trouble.reason == plan::NOT_PULLED) else {
                continue;
            };
            if observed.launching {
                continue;
            }
            let container = self.containers.iter().find(|(_, one)| one.name == *name);
            let image = container.and_then(|(_, one)| one.image.clone()).unwrap_or_default();
            let message = format!("Back-off pulling image {image:?}");
            trouble.reason = plan::PULL_BACK_OFF.to_owned();
            trouble.message = format!("{message}: ErrImagePull: {}", trouble.message);
            told.push((name.clone(), message));
        }
        for (name, message) in told {
            self.event(&name, EventKind::Normal, "BackOff", message);
            self.event(&name, EventKind::Warning, "Failed", "Error: ImagePullBackOff".to_owned());
        }
    }

    pub(super) fn tell_backoff(&mut self, plan: &Plan) {
        let pod = spec::full_name(&self.pod);
        for (name, waiting) in &plan.waiting {
            if waiting.reason == "CrashLoopBackOff" && self.waiting.get(name) != Some(waiting) {
                let message = format!("Back-off restarting failed container {name} in pod {pod}");
                self.event(name, EventKind::Warning, "BackOff", message);
            }
        }
        self.waiting.clone_from(&plan.waiting);
    }
}
