//! Events of containers: told at once, or kept until it is known whether anybody needs them.
//!
//! A pod that reports itself tells its maker all that these events would of its start. Those of one that has ended well
//! before its first status was due are not told at all: each costs the API server as much as the pod itself.

use ferroflow_api::names::REPORTS_ITSELF_ANNOTATION;
use ferroflow_platform::controller::EventKind;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::Resource;

use super::Shared;
use crate::core::spec::{self, Role};

/// Ordinary events of a pod's start.
pub(super) enum StartEvents {
    /// Not told yet; more than [`KEPT`] are.
    Kept(Vec<Kept>),
    Told,
}

pub(super) struct Kept {
    about: ObjectReference,
    reason: String,
    message: String,
}

/// Events that are kept of a pod.
const KEPT: usize = 64;

impl StartEvents {
    /// Those of a pod that is new to the node.
    pub(super) fn of(pod: &Pod) -> Self {
        if reports_itself(pod) { Self::Kept(Vec::new()) } else { Self::Told }
    }
}

/// Whether a pod's maker hears from within what becomes of it.
pub(super) fn reports_itself(pod: &Pod) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.is_some_and(|annotations| annotations.contains_key(REPORTS_ITSELF_ANNOTATION))
}

impl Shared {
    /// Records an event on one container of a pod.
    pub(super) fn container_event(
        &self,
        pod: &Pod,
        role: Role,
        container: &str,
        kind: EventKind,
        reason: &str,
        message: impl Into<String>,
    ) {
        let mut about = pod.object_ref(&());
        about.field_path = Some(spec::field_path(role, container));
        let message = message.into();
        if kind == EventKind::Normal
            && let Some(handle) = self.handles().get_mut(pod.metadata.uid.as_deref().unwrap_or_default())
            && let StartEvents::Kept(kept) = &mut handle.events
            && kept.len() < KEPT
        {
            return kept.push(Kept { about, reason: reason.to_owned(), message });
        }
        self.recorder.event_for(about, kind, reason, message);
    }

    /// Tells what was kept, and from now on everything at once.
    pub(super) fn tell_start(&self, uid: &str) {
        let before = self.handles().get_mut(uid).map(|handle| std::mem::replace(&mut handle.events, StartEvents::Told));
        let Some(StartEvents::Kept(kept)) = before else { return };
        for Kept { about, reason, message } in kept {
            self.recorder.event_for(about, EventKind::Normal, &reason, message);
        }
    }
}
