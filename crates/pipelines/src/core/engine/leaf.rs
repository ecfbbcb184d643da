//! Steps until they have a pod, and what their results mean: the cache, places, retries, what needs no pod.

use std::collections::BTreeSet;

use super::{
    Run,
    event::{Action, Effect, Found, NodeId, Remembered, Use, Wake},
    node::{Node, Phase},
    scope,
};
use crate::core::{
    executor,
    fault::Fault,
    id,
    ir::{Component, Container, Executor, Importer, Retry},
    pod,
    task::{CacheNote, TaskError, TaskState},
    value::Values,
};

impl Run {
    /// Begins with a step whose inputs are known.
    pub(super) fn enter_step(&mut self, component: &Component, executor: &Executor, id: NodeId, now_ms: i64) {
        match executor {
            Executor::Importer(importer) => self.enter_import(component, importer, id, now_ms),
            Executor::Container(container) => self.enter_container(component, container, id, now_ms),
        }
    }

    fn enter_import(&mut self, component: &Component, importer: &Importer, id: NodeId, now_ms: i64) {
        let Some(node) = self.nodes.get(&id) else { return };
        if importer.download_to_workspace && self.pipeline.platform.workspace.is_none() {
            let what = "the pipeline has no workspace; give it one with PipelineConfig(workspace=...)";
            let fault = Fault::new("importer.downloadToWorkspace", what);
            return self.fail(id, Self::fault("Importer", &fault), now_ms);
        }
        let output = component.outputs.artifacts.keys().next().cloned().unwrap_or_else(|| "artifact".to_owned());
        let roots: Vec<&str> = self.nodes.values().filter_map(|node| node.work_root.as_deref()).collect();
        match executor::import(importer, component, &node.inputs, &self.facts, &node.task, &node.task_id, &roots) {
            Ok(mut artifact) => {
                artifact.id = id::derived(&[&node.task_id, &node.attempt.to_string(), &output, "0"]);
                artifact.name.clone_from(&output);
                self.act(id, Action::Import { output, artifact, reuse: !importer.reimport });
            }
            Err(fault) => self.fail(id, Self::fault("Importer", &fault), now_ms),
        }
    }

    fn enter_container(&mut self, component: &Component, container: &Container, id: NodeId, now_ms: i64) {
        let pipeline = self.pipeline.clone();
        let Some(node) = self.nodes.get(&id) else { return };
        let claim = match pod::claim(container, &node.inputs, &self.facts, &node.task_id) {
            Ok(claim) => claim,
            Err(fault) => return self.fail(id, Self::fault("Claim", &fault), now_ms),
        };
        if let Some(claim) = claim {
            return self.act(id, Action::Claim(claim));
        }
        let Some(task) = self.task(&pipeline, id) else { return };
        let note = |reason: &str| CacheNote { reason: reason.to_owned(), ..CacheNote::default() };
        if !task.caching.is_enabled {
            self.note_cache(id, note("caching is off for this task"));
            return self.want(id);
        }
        if node.attempt > node.first_attempt {
            return self.want(id);
        }
        let fingerprint = match self.fingerprint(id, task, component, container, &node.inputs) {
            Ok(fingerprint) => fingerprint,
            Err(fault) => return self.fail(id, Self::fault("Platform", &fault), now_ms),
        };
        self.note_cache(id, CacheNote { fingerprint: fingerprint.clone(), ..CacheNote::default() });
        self.look(id, fingerprint);
    }

    fn note_cache(&mut self, id: NodeId, note: CacheNote) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.cache = note;
        }
    }

    fn look(&mut self, node: NodeId, fingerprint: String) {
        self.set_phase(node, Phase::Looking);
        self.effects.push(Effect::Look { node, fingerprint });
    }

    pub(super) fn set_phase(&mut self, id: NodeId, phase: Phase) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.phase = phase;
        }
    }

    /// Lets the engine do something for a task.
    pub(super) fn act(&mut self, node: NodeId, action: Action) {
        self.set_phase(node, Phase::Acting);
        self.effects.push(Effect::Act { node, action });
    }

    pub(super) fn want(&mut self, node: NodeId) {
        self.set_phase(node, Phase::Queued);
        if let Some(node) = self.nodes.get_mut(&node) {
            node.due_ms = None;
        }
        self.effects.push(Effect::Want { node });
        self.mark(node);
    }

    fn in_phase(&mut self, id: NodeId, phase: &Phase) -> Option<&mut Node> {
        self.nodes.get_mut(&id).filter(|node| node.phase == *phase)
    }

    /// The cache has answered.
    pub(super) fn looked(&mut self, id: NodeId, found: Found, now_ms: i64) {
        let Some(node) = self.in_phase(id, &Phase::Looking) else {
            // Whoever was told of a miss stands for the fingerprint, and must say that it no longer does.
            return self.land(id);
        };
        match found {
            Found::Hit { task_id, outputs } => {
                let used = Use::Hit { fingerprint: node.cache.fingerprint.clone(), task_id: task_id.clone() };
                node.cache.hit = Some(task_id);
                node.cache.reason = "hit".to_owned();
                node.outputs = outputs;
                self.commit.uses.push(used);
                self.settle(id, TaskState::Cached, now_ms);
            }
            Found::Miss { reason } => {
                node.cache.reason = reason;
                self.want(id);
            }
            Found::Busy => {
                node.cache.reason = "an identical step runs; this one waits for its outputs".to_owned();
                node.phase = Phase::Flight;
                self.mark(id);
            }
        }
        if self.is_held(id) {
            self.hold(id, now_ms);
        }
    }

    /// The identical step has ended: perhaps there is something in the cache now.
    pub(super) fn landed(&mut self, id: NodeId, _now_ms: i64) {
        let Some(node) = self.in_phase(id, &Phase::Flight) else { return };
        let fingerprint = node.cache.fingerprint.clone();
        self.look(id, fingerprint);
    }

    /// Records the intent to make a pod.
    pub(super) fn placed(&mut self, id: NodeId, now_ms: i64) {
        let pod = self.nodes.get(&id).map(|node| self.pod_name(node));
        if self.in_phase(id, &Phase::Queued).is_none() {
            return self.effects.push(Effect::Free { node: id });
        }
        if self.is_held(id) {
            self.effects.push(Effect::Free { node: id });
            return self.hold_queued(id, now_ms);
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.phase = Phase::Starting;
            node.pod_name = pod;
            node.work_root = None;
            node.troubled = false;
        }
        self.mark(id);
        self.effects.push(Effect::Launch { node: id });
    }

    /// The name of a step's pod, which follows from run, task and attempt: 60 characters at the most.
    fn pod_name(&self, node: &Node) -> String {
        let run = id::suffix(&[&self.facts.run_id], 5);
        let task = id::suffix(&[&node.task_id], 8);
        let (pipeline, key) = (id::dns(&self.pipeline.name, 20), id::dns(&node.task, 16));
        let attempt = node.attempt;
        let parts = [pipeline, run, key, task, attempt.to_string()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    }

    /// Ends a task that has not started and may not any more.
    pub(super) fn hold(&mut self, id: NodeId, now_ms: i64) {
        if !self.is_held(id) {
            return;
        }
        let Some(node) = self.nodes.get(&id).filter(|node| node.state == TaskState::Pending) else { return };
        match node.phase {
            Phase::Waiting => self.settle_unstarted(id, now_ms),
            Phase::Flight | Phase::Looking => {
                self.land(id);
                self.settle_unstarted(id, now_ms);
            }
            Phase::Queued => {
                self.effects.push(Effect::Unwant { node: id });
                self.hold_queued(id, now_ms);
            }
            Phase::Starting
            | Phase::Active
            | Phase::Tailing(_)
            | Phase::Acting
            | Phase::BackOff
            | Phase::Stopping
            | Phase::Done => {}
        }
    }

    fn hold_queued(&mut self, id: NodeId, now_ms: i64) {
        self.land(id);
        self.settle_unstarted(id, now_ms);
    }

    /// Lets identical steps go on.
    pub(super) fn land(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(&id).filter(|node| !node.cache.fingerprint.is_empty()) else { return };
        self.effects.push(Effect::Land { node: id, fingerprint: node.cache.fingerprint.clone() });
    }

    /// The engine has done what a task is.
    pub(super) fn acted(&mut self, id: NodeId, outcome: Result<Values, TaskError>, now_ms: i64) {
        if self.in_phase(id, &Phase::Acting).is_none() {
            return;
        }
        match outcome {
            Ok(_) if id == self.root => {
                self.set_phase(id, Phase::Waiting);
                self.work.push_back(super::Work::Start(id));
            }
            Ok(outputs) => {
                let taken = outputs.artifacts.values().flatten();
                self.commit.uses.extend(taken.map(|artifact| Use::Artifact(artifact.id.clone())));
                self.succeed(id, outputs, &BTreeSet::new(), now_ms);
            }
            Err(error) => self.fail(id, error, now_ms),
        }
    }

    /// Ends a step with its outputs, of which `uploaded` are artifacts with bytes.
    pub(super) fn succeed(&mut self, id: NodeId, mut outputs: Values, uploaded: &BTreeSet<String>, now_ms: i64) {
        let image = self.image(id).unwrap_or_default();
        let Some(node) = self.nodes.get_mut(&id) else { return };
        for (output, artifacts) in &mut outputs.artifacts {
            for (number, artifact) in artifacts.iter_mut().enumerate() {
                if artifact.id.is_empty() {
                    let (attempt, number) = (node.attempt.to_string(), number.to_string());
                    artifact.id = id::derived(&[&node.task_id, &attempt, output, &number]);
                }
                self.commit.artifacts.push((node.task_id.clone(), output.clone(), artifact.clone()));
            }
        }
        if !node.cache.fingerprint.is_empty() {
            let fingerprint = node.cache.fingerprint.clone();
            let kept = outputs.artifacts.iter().filter(|(output, _)| uploaded.contains(*output));
            let kept = kept.flat_map(|(_, artifacts)| artifacts).map(|artifact| artifact.uri.clone()).collect();
            let (task_id, outputs) = (node.task_id.clone(), outputs.clone());
            self.commit.cache.push(Remembered { fingerprint, task_id, image, outputs, kept });
        }
        node.outputs = outputs;
        self.land(id);
        self.settle(id, TaskState::Succeeded, now_ms);
    }

    /// Ends an attempt that has failed: the next one comes, or the step has failed.
    pub(super) fn attempt_failed(&mut self, id: NodeId, error: TaskError, now_ms: i64) {
        let pipeline = self.pipeline.clone();
        let retry = self.task(&pipeline, id).and_then(|task| task.retry.as_ref());
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let done = node.attempt - node.first_attempt;
        match retry.filter(|retry| done < retry.count && self.stopping.is_none()) {
            None => {
                self.land(id);
                self.fail(id, error, now_ms);
            }
            Some(retry) => {
                node.attempt += 1;
                node.error = Some(error);
                node.state = TaskState::Pending;
                node.pod_name = None;
                self.back_off(id, retry, now_ms);
            }
        }
    }

    /// Waits for the time of the next attempt.
    pub(super) fn back_off(&mut self, id: NodeId, retry: &Retry, now_ms: i64) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.phase = Phase::BackOff;
        let attempt = node.attempt;
        let wait_ms = wait_ms(retry, attempt - node.first_attempt);
        if wait_ms == 0 {
            self.mark(id);
            return self.due_retry(id, attempt);
        }
        let at_ms = now_ms.saturating_add_unsigned(wait_ms);
        // Recorded, so that a restart of the server makes nobody wait longer.
        node.due_ms = Some(at_ms);
        self.mark(id);
        self.effects.push(Effect::Timer { at_ms, wake: Wake::Retry { node: id, attempt } });
    }

    pub(super) fn due_retry(&mut self, id: NodeId, attempt: u32) {
        if self.in_phase(id, &Phase::BackOff).is_some_and(|node| node.attempt == attempt) {
            self.want(id);
        }
    }

    /// The component of a node.
    pub(super) fn component(&self, node: &Node) -> &Component {
        scope::component(&self.pipeline, &node.component)
    }
}

/// How long to wait before the retry of a number that counts from 1, in milliseconds.
fn wait_ms(retry: &Retry, number: u32) -> u64 {
    let doublings = i32::try_from(number.saturating_sub(1)).unwrap_or(i32::MAX);
    #[expect(clippy::cast_precision_loss, reason = "back-offs are far below 2^53 ms")]
    let wait = retry.backoff_ms as f64 * retry.factor.max(1.0).powi(doublings);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
    let wait = wait as u64;
    wait.min(if retry.backoff_max_ms == 0 { u64::MAX } else { retry.backoff_max_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_by_the_factor_up_to_the_longest() {
        let retry = Retry { count: 9, backoff_ms: 2000, factor: 2.0, backoff_max_ms: 10_000 };
        let waits: Vec<u64> = (1..=4).map(|number| wait_ms(&retry, number)).collect();
        assert_eq!(waits, [2000, 4000, 8000, 10_000]);
        let none = Retry { count: 1, backoff_ms: 0, factor: 0.0, backoff_max_ms: 0 };
        assert_eq!(wait_ms(&none, 50), 0);
    }
}
