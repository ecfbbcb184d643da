//! What a pod's status says, from what is observed of it and from the plan.
//!
//! The rules are those of a kubelet (`pkg/kubelet/kubelet_pods.go`, `pkg/kubelet/status/generate.go`).
//! Conditions that others own are left to them.

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
        ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus, VolumeMountStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use serde_json::{Value, json};

use super::{
    evict,
    plan::{Observed, Plan, Situation},
    record::{Attempt, ExitReason},
    spec::{self, RestartPolicy, Role},
};

/// Conditions that a node writes.
pub const OWN_CONDITIONS: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];

/// What a status needs beside the situation.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub pod_address: &'a str,
    pub host_address: &'a str,
}

/// The status of a pod; `previous` is the last one that was written.
pub fn build(situation: &Situation<'_>, plan: &Plan, place: Place<'_>, previous: &PodStatus) -> PodStatus {
    let empty = PodSpec::default();
    let pod = situation.pod;
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let containers = spec::containers(spec);
    let builder = Builder { situation, plan, spec, has_init: spec.init_containers.iter().flatten().next().is_some() };
    let of = |wanted: &dyn Fn(Role) -> bool| -> Vec<ContainerStatus> {
        let rows = containers.iter().filter(|(role, _)| wanted(*role));
        rows.map(|(role, container)| builder.container(*role, container)).collect()
    };
    let inits = of(&|role| matches!(role, Role::Init | Role::Sidecar));
    let mains = of(&|role| role == Role::Main);
    let ephemerals = of(&|role| role == Role::Ephemeral);
    let phase = plan.verdict.as_ref().map_or_else(
        || phase(&containers, &inits, &mains, spec, plan.ending && !builder.any_alive()),
        |verdict| verdict.phase,
    );
    let conditions = builder.conditions(&containers, &inits, &mains, phase, previous);
    let option = |list: Vec<ContainerStatus>| (!list.is_empty()).then_some(list);
    let address = if situation.sandbox_ready { place.pod_address } else { "" };
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions),
        reason: plan.verdict.as_ref().and_then(|verdict| verdict.reason.clone()),
        message: plan.verdict.as_ref().and_then(|verdict| verdict.message.clone()),
        host_ip: Some(place.host_address.to_owned()),
        host_ips: Some(vec![HostIP { ip: place.host_address.to_owned() }]),
        pod_ip: (!address.is_empty()).then(|| address.to_owned()),
        pod_ips: (!address.is_empty()).then(|| vec![PodIP { ip: address.to_owned() }]),
        start_time: Some(Time(situation.started_at)),
        init_container_statuses: option(inits),
        container_statuses: option(mains),
        ephemeral_container_statuses: option(ephemerals),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    }
}

struct Builder<'a> {
    situation: &'a Situation<'a>,
    plan: &'a Plan,
    spec: &'a PodSpec,
    has_init: bool,
}

impl Builder<'_> {
    fn any_alive(&self) -> bool {
        self.situation.observed.values().any(|observed| observed.is_running() || observed.launching)
    }

    fn container(&self, role: Role, container: &Container) -> ContainerStatus {
        let name = &container.name;
        let observed = self.situation.observed.get(name).cloned().unwrap_or_default();
        let mut status = ContainerStatus {
            name: name.clone(),
            image: container.image.clone().unwrap_or_default(),
            volume_mounts: mounts(container),
            ..ContainerStatus::default()
        };
        let mut runs = observed.attempts.iter().rev();
        match runs.next() {
            Some(attempt) => {
                status.image = attempt.image.clone();
                status.image_id = attempt.image_id.clone();
                status.container_id = Some(attempt.container_id());
                status.restart_count = i32::try_from(attempt.number).unwrap_or(i32::MAX);
                status.state = Some(state_of(attempt));
                status.last_state = Some(runs.next().map(state_of).unwrap_or_default());
                status.allocated_resources = container.resources.as_ref().and_then(|all| all.requests.clone());
                status.resources = container.resources.clone();
            }
            None => {
                let reason = if self.has_init { "PodInitializing" } else { "ContainerCreating" };
                status.state = Some(waiting(reason, ""));
                status.last_state = Some(ContainerState::default());
            }
        }
        if let Some(wait) = self.plan.waiting.get(name) {
            if status.state.as_ref().is_some_and(|state| state.terminated.is_some()) {
                status.last_state = status.state.take();
            }
            status.state = Some(waiting(&wait.reason, &wait.message));
        }
        // Behind an init container that failed it was never its turn: it stays as it waits.
        let deleted = self.situation.pod.metadata.deletion_timestamp.is_some();
        let had_its_turn = deleted || !self.has_init;
        if self.plan.ending && had_its_turn && !self.any_alive() && observed.attempts.is_empty() {
            status.state = Some(never_ran());
        }
        let running = observed.is_running();
        status.started = Some(running && observed.started);
        status.ready = match role {
            Role::Init => observed.last().is_some_and(Attempt::succeeded),
            _ => running && observed.started && observed.ready,
        };
        status
    }

    fn conditions(
        &self,
        containers: &[(Role, Container)],
        inits: &[ContainerStatus],
        mains: &[ContainerStatus],
        phase: &str,
        previous: &PodStatus,
    ) -> Vec<PodCondition> {
        let containers_ready = containers_ready(containers, inits, mains, phase);
        let ready = match &containers_ready {
            Truth::Yes => self.gates(),
            other => other.clone(),
        };
        let sandbox = self.situation.sandbox_ready && !self.plan.actions.contains(&super::plan::Action::Finish);
        let rows = [
            ("PodReadyToStartContainers", if sandbox { Truth::Yes } else { Truth::no("", "") }),
            ("Initialized", initialised(containers, inits, self.situation, phase)),
            ("Ready", ready),
            ("ContainersReady", containers_ready),
        ];
        let generation = self.situation.pod.metadata.generation;
        let rows = rows.into_iter().chain(self.disruption());
        rows.map(|(kind, truth)| condition(kind, truth, generation, previous, self.situation.now)).collect()
    }

    /// What the node ends for its own sake is not the pod's failure.
    fn disruption(&self) -> Option<(&'static str, Truth)> {
        let verdict = self.plan.verdict.as_ref().filter(|one| one.reason.as_deref() == Some(evict::REASON))?;
        let message = verdict.message.clone().unwrap_or_default();
        Some(("DisruptionTarget", Truth::Because("TerminationByKubelet", message)))
    }

    fn gates(&self) -> Truth {
        let status = self.situation.pod.status.as_ref();
        let mut unready = Vec::new();
        for gate in self.spec.readiness_gates.iter().flatten() {
            let kind = &gate.condition_type;
            let mut conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
            match conditions.find(|condition| condition.type_ == *kind) {
                None => unready.push(format!("corresponding condition of pod readiness gate {kind:?} does not exist.")),
                Some(condition) if condition.status != "True" => unready.push(format!(
                    "the status of pod readiness gate {kind:?} is not \"True\", but {}",
                    condition.status
                )),
                Some(_) => {}
            }
        }
        if unready.is_empty() { Truth::Yes } else { Truth::no("ReadinessGatesNotReady", &unready.join(", ")) }
    }
}

fn mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts = container.volume_mounts.as_ref().filter(|mounts| !mounts.is_empty())?;
    let row = |mount: &k8s_openapi::api::core::v1::VolumeMount| {
        let read_only = mount.read_only.filter(|read_only| *read_only);
        VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only,
            recursive_read_only: read_only.map(|_| "Disabled".to_owned()),
        }
    };
    Some(mounts.iter().map(row).collect())
}

fn waiting(reason: &str, message: &str) -> ContainerState {
    let message = (!message.is_empty()).then(|| message.to_owned());
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

/// The state of a container that its pod's end came before.
fn never_ran() -> ContainerState {
    let terminated = ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".to_owned()),
        message: Some("The container could not be located when the pod was terminated".to_owned()),
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn state_of(attempt: &Attempt) -> ContainerState {
    let Some(exit) = &attempt.exit else {
        let running = ContainerStateRunning { started_at: Some(Time(attempt.started_at)) };
        return ContainerState { running: Some(running), ..ContainerState::default() };
    };
    // One that never started has the beginning of time as its start, as containerd reports it.
    let started = if exit.reason == ExitReason::StartError { Timestamp::UNIX_EPOCH } else { attempt.started_at };
    let terminated = ContainerStateTerminated {
        container_id: Some(attempt.container_id()),
        exit_code: exit.code,
        reason: Some(exit.reason.as_str().to_owned()),
        message: (!exit.message.is_empty()).then(|| exit.message.clone()),
        started_at: Some(Time(started)),
        finished_at: Some(Time(exit.finished_at)),
        signal: None,
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

/// A condition's status with its reason.
#[derive(Clone, Debug)]
enum Truth {
    Yes,
    /// True, with a reason and a message.
    Because(&'static str, String),
    No {
        reason: String,
        message: String,
    },
}

impl Truth {
    fn no(reason: &str, message: &str) -> Self {
        Self::No { reason: reason.to_owned(), message: message.to_owned() }
    }
}

fn condition(kind: &str, truth: Truth, generation: Option<i64>, previous: &PodStatus, now: Timestamp) -> PodCondition {
    let (status, reason, message) = match truth {
        Truth::Yes => ("True", String::new(), String::new()),
        Truth::Because(reason, message) => ("True", reason.to_owned(), message),
        Truth::No { reason, message } => ("False", reason, message),
    };
    let before = previous.conditions.iter().flatten().find(|one| one.type_ == kind && one.status == status);
    let since = before.and_then(|one| one.last_transition_time.clone()).unwrap_or(Time(now));
    let text = |text: String| (!text.is_empty()).then_some(text);
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: text(reason),
        message: text(message),
        last_transition_time: Some(since),
        last_probe_time: None,
        observed_generation: generation,
    }
}

fn list(names: &[&str]) -> String {
    format!("[{}]", names.join(" "))
}

fn containers_ready(
    containers: &[(Role, Container)],
    inits: &[ContainerStatus],
    mains: &[ContainerStatus],
    phase: &str,
) -> Truth {
    match phase {
        "Succeeded" => return Truth::no("PodCompleted", ""),
        "Failed" => return Truth::no("PodFailed", ""),
        _ => {}
    }
    let sidecar = |status: &&ContainerStatus| {
        containers.iter().any(|(role, container)| *role == Role::Sidecar && container.name == status.name)
    };
    let counted = inits.iter().filter(sidecar).chain(mains);
    let unready: Vec<&str> = counted.filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    if unready.is_empty() {
        return Truth::Yes;
    }
    Truth::no("ContainersNotReady", &format!("containers with unready status: {}", list(&unready)))
}

fn initialised(
    containers: &[(Role, Container)],
    inits: &[ContainerStatus],
    situation: &Situation<'_>,
    phase: &str,
) -> Truth {
    if phase == "Succeeded" {
        return Truth::Because("PodCompleted", String::new());
    }
    let ran = |name: &str| situation.observed.get(name).is_some_and(|observed| !observed.attempts.is_empty());
    if containers.iter().any(|(role, container)| *role == Role::Main && ran(&container.name)) {
        return Truth::Yes;
    }
    let is_sidecar = |name: &str| containers.iter().any(|(role, one)| *role == Role::Sidecar && one.name == name);
    let done = |status: &ContainerStatus| {
        if is_sidecar(&status.name) { status.started == Some(true) } else { status.ready }
    };
    let open: Vec<&str> = inits.iter().filter(|status| !done(status)).map(|status| status.name.as_str()).collect();
    if open.is_empty() {
        return Truth::Yes;
    }
    Truth::no("ContainersNotInitialized", &format!("containers with incomplete status: {}", list(&open)))
}

/// `status.phase`, from the states of the containers.
fn phase(
    containers: &[(Role, Container)],
    inits: &[ContainerStatus],
    mains: &[ContainerStatus],
    spec: &PodSpec,
    is_terminal: bool,
) -> &'static str {
    let role = |name: &str| containers.iter().find(|(_, one)| one.name == name).map_or(Role::Main, |(role, _)| *role);
    let started = mains.iter().any(|status| status.container_id.is_some());
    let policy = RestartPolicy::of(spec);
    let (mut pending, mut pending_sidecars, mut failed_init) = (0, 0, 0);
    let (mut running, mut waiting, mut stopped, mut succeeded) = (0, 0, 0, 0);
    for status in inits {
        let counts = Counts::of(status);
        match (role(&status.name), counts) {
            (Role::Sidecar, Counts::Running) => {
                running += 1;
                pending_sidecars += i32::from(status.started != Some(true));
            }
            (Role::Sidecar, Counts::Waiting) => {
                pending_sidecars += 1;
                waiting += 1;
            }
            (Role::Sidecar, Counts::Stopped(_)) => {}
            (_, Counts::Stopped(code)) => failed_init += i32::from(code != 0),
            (_, Counts::Running | Counts::Waiting) => pending += 1,
        }
    }
    if failed_init > 0 && policy == RestartPolicy::Never {
        return "Failed";
    }
    for status in mains {
        match Counts::of(status) {
            Counts::Running => running += 1,
            Counts::Waiting => waiting += 1,
            Counts::Stopped(code) => {
                stopped += 1;
                let for_good = status.state.as_ref().is_some_and(|state| state.terminated.is_some());
                succeeded += i32::from(for_good && code == 0);
            }
        }
    }
    let outcome = if stopped == succeeded { "Succeeded" } else { "Failed" };
    if is_terminal && running == 0 && stopped > 0 {
        return outcome;
    }
    if pending > 0 || (pending_sidecars > 0 && !started) || waiting > 0 {
        return "Pending";
    }
    match (running, stopped, policy) {
        (1.., _, _) => "Running",
        (_, 1.., RestartPolicy::Always) => "Running",
        (_, 1.., _) if stopped == succeeded => "Succeeded",
        (_, 1.., RestartPolicy::Never) => "Failed",
        (_, 1.., RestartPolicy::OnFailure) => "Running",
        _ => "Pending",
    }
}

/// A container as the phase counts it: one that waits after a run counts as stopped.
enum Counts {
    Running,
    Waiting,
    Stopped(i32),
}

impl Counts {
    fn of(status: &ContainerStatus) -> Self {
        let state = status.state.as_ref();
        if state.is_some_and(|state| state.running.is_some()) {
            return Self::Running;
        }
        let terminated = state.and_then(|state| state.terminated.as_ref());
        let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        terminated.or(last).map_or(Self::Waiting, |terminated| Self::Stopped(terminated.exit_code))
    }
}

/// The body of a strategic merge patch of `pods/status` that makes the status this one.
///
/// Conditions are merged by their type; what a list or a condition does not say is taken away.
pub fn patch(pod: &Pod, status: &PodStatus) -> Value {
    let mut body = serde_json::to_value(status).unwrap_or_default();
    if let Some(fields) = body.as_object_mut() {
        for field in ["reason", "message"] {
            fields.entry(field).or_insert(Value::Null);
        }
        // Decided when the pod was made.
        fields.remove("qosClass");
    }
    for condition in body["conditions"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        for field in ["reason", "message"] {
            condition.entry(field).or_insert(Value::Null);
        }
    }
    json!({ "metadata": { "uid": pod.metadata.uid }, "status": body })
}

/// Whether what the node would write is what the pod's object says already.
pub fn is_written(current: Option<&PodStatus>, status: &PodStatus) -> bool {
    let Some(current) = current else { return false };
    // What differs most often is seen without writing anything out.
    if (&current.phase, &current.pod_ip) != (&status.phase, &status.pod_ip) {
        return false;
    }
    let own = |status: &PodStatus| {
        let mut own = status.clone();
        let conditions = own.conditions.take().into_iter().flatten();
        let mut conditions: Vec<PodCondition> =
            conditions.filter(|condition| OWN_CONDITIONS.contains(&condition.type_.as_str())).collect();
        conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        own.conditions = Some(conditions);
        (own.qos_class, own.nominated_node_name, own.resize, own.resource_claim_statuses) = (None, None, None, None);
        own
    };
    // Times are stored in whole seconds: compare what would be stored, as it is sent, whose fields have one order.
    serde_json::to_vec(&own(current)).ok() == serde_json::to_vec(&own(status)).ok()
}

/// What is observed of a container whose pod's status was written by an earlier agent.
pub fn restore(observed: &mut Observed, written: &ContainerStatus) {
    let same = observed.last().is_some_and(|attempt| Some(attempt.container_id()) == written.container_id);
    if same && observed.is_running() {
        observed.started = written.started.unwrap_or(false);
        observed.ready = written.ready;
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
