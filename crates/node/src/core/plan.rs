//! What to do next for one pod, from its specification and what is observed of its containers.
//!
//! A pure function, run after every change. The rules are those of a kubelet
//! (`pkg/kubelet/kuberuntime`, `computePodActions` and `computeInitContainerActions`).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};

use super::{
    evict,
    record::Attempt,
    spec::{self, RestartPolicy, Role},
};

/// Why a container waits whose image could not be had.
pub const NOT_PULLED: &str = "ErrImagePull";
/// The same, while it waits for the next try.
pub const PULL_BACK_OFF: &str = "ImagePullBackOff";
/// The wait before the second restart; it doubles with each further one.
pub const BACKOFF_FIRST_S: u32 = 10;
/// The longest wait.
pub const BACKOFF_LAST_S: u32 = 300;
/// A container that ran this long starts again without a wait: twice the longest one.
const BACKOFF_FORGOTTEN_S: i64 = 2 * BACKOFF_LAST_S as i64;
/// Seconds that containers get when their pod's object has gone already.
const GONE_GRACE_S: i64 = 1;

/// Why a container that runs must be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Liveness,
    Startup,
    PostStart,
}

/// Why a container could not be started, and when that is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    pub reason: String,
    pub message: String,
    pub retry_at: Timestamp,
}

/// What is known of one container.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Its runs, oldest first.
    pub attempts: Vec<Attempt>,
    /// It is being started now.
    pub launching: bool,
    pub trouble: Option<Trouble>,
    /// It has been told to end, and is killed at this time.
    pub stopping: Option<Timestamp>,
    /// Its startup probe has succeeded, or there is none, and its `postStart` hook is done.
    pub started: bool,
    /// Its readiness probe has succeeded, or there is none.
    pub ready: bool,
    pub fault: Option<Fault>,
    /// Seconds to end in, where the failed probe says other than the pod.
    pub fault_grace_s: Option<i64>,
}

impl Observed {
    /// The newest run.
    pub fn last(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// Whether a process runs.
    pub fn is_running(&self) -> bool {
        self.last().is_some_and(Attempt::is_running)
    }
}

/// Whether the pod's object asks for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    No,
    /// `metadata.deletionTimestamp` is set; seconds to end in.
    Asked {
        grace_s: i64,
    },
    /// The object does not exist any more.
    Gone,
}

/// The end of a pod as a whole, which overrides what its containers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `Failed` or `Succeeded`.
    pub phase: &'static str,
    pub reason: Option<String>,
    pub message: Option<String>,
    /// Seconds that the containers get to end in, where it is not the pod that says so.
    pub grace_s: Option<i64>,
}

impl Verdict {
    /// The end of a pod that its node ends.
    pub fn evicted(message: String) -> Self {
        Self {
            phase: "Failed",
            reason: Some(evict::REASON.to_owned()),
            message: Some(message),
            grace_s: Some(evict::GRACE_S),
        }
    }
}

/// Everything that a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    pub pod: &'a Pod,
    pub observed: &'a BTreeMap<String, Observed>,
    /// Volumes, address and supervisor are there.
    pub sandbox_ready: bool,
    pub deletion: Deletion,
    /// When the node first looked at the pod; its `status.startTime`.
    pub started_at: Timestamp,
    /// A phase that the pod has reached and cannot leave.
    pub verdict: Option<&'a Verdict>,
    /// When the pod began to end.
    pub ending_since: Option<Timestamp>,
    pub now: Timestamp,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Launch {
        container: String,
        number: u32,
        backoff_s: u32,
    },
    Stop {
        container: String,
        deadline: Timestamp,
        message: String,
    },
    /// Nothing runs; the pod's resources can be given back, and its object removed if that was asked.
    Finish,
}

/// What a container waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub reason: String,
    pub message: String,
}

/// What is to be done, and what the status must say that the containers do not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub waiting: BTreeMap<String, Waiting>,
    pub verdict: Option<Verdict>,
    /// The pod is on its way to its end.
    pub ending: bool,
    /// Look again at this time, if nothing happens before.
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

struct Planner<'a> {
    situation: Situation<'a>,
    containers: Vec<(Role, Container)>,
    policy: RestartPolicy,
    grace_s: i64,
    plan: Plan,
}

/// Makes the plan.
pub fn plan(situation: Situation<'_>) -> Plan {
    let Some(spec) = situation.pod.spec.as_ref() else { return Plan::default() };
    let mut planner = Planner {
        situation,
        containers: spec::containers(spec),
        policy: RestartPolicy::of(spec),
        grace_s: spec::grace_seconds(spec),
        plan: Plan::default(),
    };
    planner.run(spec.active_deadline_seconds);
    planner.plan
}

impl Planner<'_> {
    fn run(&mut self, active_deadline_s: Option<i64>) {
        match self.situation.deletion {
            Deletion::Asked { grace_s } => return self.end(grace_s.max(GONE_GRACE_S)),
            Deletion::Gone => return self.end(GONE_GRACE_S),
            Deletion::No => {}
        }
        if let Some(verdict) = self.situation.verdict {
            self.plan.verdict = Some(verdict.clone());
            return self.end(verdict.grace_s.unwrap_or(self.grace_s));
        }
        if let Some(seconds) = active_deadline_s {
            let deadline = after(self.situation.started_at, seconds);
            if self.situation.now >= deadline {
                let message = "Pod was active on the node longer than the specified deadline";
                self.fail(Some("DeadlineExceeded"), Some(message));
                return self.end(self.grace_s);
            }
            self.plan.wake(deadline);
        }
        if self.situation.sandbox_ready {
            self.advance();
        }
    }

    fn fail(&mut self, reason: Option<&str>, message: Option<&str>) {
        let (reason, message) = (reason.map(str::to_owned), message.map(str::to_owned));
        self.plan.verdict = Some(Verdict { phase: "Failed", reason, message, grace_s: None });
    }

    fn observed(&self, name: &str) -> Option<&Observed> {
        self.situation.observed.get(name)
    }

    fn names(&self, wanted: impl Fn(Role) -> bool) -> Vec<String> {
        self.containers.iter().filter(|(role, _)| wanted(*role)).map(|(_, one)| one.name.clone()).collect()
    }

    /// Whether a container runs or may run in a moment.
    fn is_alive(&self, name: &str) -> bool {
        self.observed(name).is_some_and(|observed| observed.is_running() || observed.launching)
    }

    // Ending.

    fn end(&mut self, grace_s: i64) {
        self.plan.ending = true;
        let deadline = after(self.situation.ending_since.unwrap_or(self.situation.now), grace_s);
        if self.stop_everything(deadline) {
            self.plan.actions.push(Action::Finish);
        }
    }

    /// Stops main containers together, then sidecars one by one from the last; true when all have ended.
    fn stop_everything(&mut self, deadline: Timestamp) -> bool {
        let others = self.names(|role| role != Role::Sidecar);
        let mut alive = false;
        for name in others {
            alive |= self.is_alive(&name);
            self.stop(&name, deadline, format!("Stopping container {name}"));
        }
        let overdue = self.situation.now >= deadline;
        if alive && !overdue {
            self.plan.wake(deadline);
            return false;
        }
        !alive & self.stop_sidecars(deadline)
    }

    /// True when no sidecar runs.
    fn stop_sidecars(&mut self, deadline: Timestamp) -> bool {
        let alive: Vec<String> = self.names(|role| role == Role::Sidecar);
        let alive: Vec<String> = alive.into_iter().filter(|name| self.is_alive(name)).rev().collect();
        let overdue = self.situation.now >= deadline;
        for name in alive.iter().take(if overdue { usize::MAX } else { 1 }) {
            self.stop(name, deadline, format!("Stopping container {name}"));
        }
        if !alive.is_empty() && !overdue {
            self.plan.wake(deadline);
        }
        alive.is_empty()
    }

    fn stop(&mut self, name: &str, deadline: Timestamp, message: String) {
        let Some(observed) = self.observed(name) else { return };
        let sooner = observed.stopping.is_none_or(|current| deadline < current);
        if observed.is_running() && sooner {
            self.plan.actions.push(Action::Stop { container: name.to_owned(), deadline, message });
        }
    }

    // Living.

    fn advance(&mut self) {
        for name in self.names(|role| role == Role::Ephemeral) {
            if self.observed(&name).is_none_or(|observed| observed.attempts.is_empty()) {
                self.launch_first(&name);
            }
        }
        let mains = self.names(|role| role == Role::Main);
        let initialised = mains.iter().any(|name| self.observed(name).is_some_and(|one| !one.attempts.is_empty()));
        if initialised && mains.iter().all(|name| self.is_done(name)) {
            self.plan.ending = true;
            let deadline = after(self.situation.ending_since.unwrap_or(self.situation.now), self.grace_s);
            if self.stop_sidecars(deadline) {
                self.plan.verdict = Some(self.outcome(&mains));
                self.plan.actions.push(Action::Finish);
            }
            return;
        }
        if self.initialise(initialised) {
            for name in mains {
                self.keep(&name, Role::Main);
            }
        }
    }

    /// Whether a main container has ended for good.
    fn is_done(&self, name: &str) -> bool {
        let Some(observed) = self.observed(name) else { return false };
        match observed.last() {
            Some(attempt) if !attempt.is_running() && !observed.launching => !self.restarts(Role::Main, attempt),
            _ => false,
        }
    }

    fn outcome(&self, mains: &[String]) -> Verdict {
        let succeeded = |name: &String| self.observed(name).and_then(Observed::last).is_some_and(Attempt::succeeded);
        let phase = if mains.iter().all(succeeded) { "Succeeded" } else { "Failed" };
        Verdict { phase, reason: None, message: None, grace_s: None }
    }

    fn restarts(&self, role: Role, attempt: &Attempt) -> bool {
        match (role, self.policy) {
            (Role::Ephemeral, _) => false,
            (Role::Sidecar, _) => true,
            (Role::Init, RestartPolicy::Never) => false,
            (Role::Init, _) | (Role::Main, RestartPolicy::OnFailure) => !attempt.succeeded(),
            (Role::Main, RestartPolicy::Always) => true,
            (Role::Main, RestartPolicy::Never) => false,
        }
    }

    /// Brings the init containers on; true when the main ones may run.
    fn initialise(&mut self, initialised: bool) -> bool {
        let inits: Vec<(Role, String)> = self
            .containers
            .iter()
            .filter(|(role, _)| matches!(role, Role::Init | Role::Sidecar))
            .map(|(role, one)| (*role, one.name.clone()))
            .collect();
        for (role, name) in inits {
            let observed = self.observed(&name).cloned().unwrap_or_default();
            match role {
                Role::Sidecar => {
                    self.keep(&name, Role::Sidecar);
                    let up = observed.is_running() && observed.started;
                    if !initialised && !up {
                        return false;
                    }
                }
                _ if initialised || observed.last().is_some_and(Attempt::succeeded) => {}
                _ => {
                    let failed = observed.last().filter(|attempt| !attempt.is_running());
                    if failed.is_some_and(|attempt| !self.restarts(Role::Init, attempt)) {
                        self.fail(None, None);
                        self.end(self.grace_s);
                    } else {
                        self.keep(&name, Role::Init);
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Starts a container that should run and does not, and ends one that is at fault.
    fn keep(&mut self, name: &str, role: Role) {
        let Some(observed) = self.observed(name).cloned() else { return self.launch_first(name) };
        if observed.launching {
            if let Some(trouble) = &observed.trouble {
                self.wait_for(name, trouble);
            }
            return;
        }
        match observed.last() {
            None => self.launch_first(name),
            Some(attempt) if attempt.is_running() => self.judge(name, role, &observed),
            Some(attempt) if self.restarts(role, attempt) => self.restart(name, attempt, &observed),
            Some(_) => {}
        }
    }

    fn judge(&mut self, name: &str, role: Role, observed: &Observed) {
        let Some(fault) = observed.fault else { return };
        let what = match fault {
            Fault::Liveness => "failed liveness probe",
            Fault::Startup => "failed startup probe",
            Fault::PostStart => "failed postStart hook",
        };
        let message = match role {
            Role::Init | Role::Sidecar => format!("Init container {name} {what}"),
            _ if self.policy == RestartPolicy::Never => format!("Container {name} {what}"),
            _ => format!("Container {name} {what}, will be restarted"),
        };
        if observed.stopping.is_none() {
            let grace_s = observed.fault_grace_s.unwrap_or(self.grace_s);
            self.stop(name, after(self.situation.now, grace_s), message);
        }
    }

    fn launch_first(&mut self, name: &str) {
        let observed = self.observed(name);
        if observed.is_some_and(|observed| observed.launching) {
            return;
        }
        if let Some(trouble) = observed.and_then(|observed| observed.trouble.clone()) {
            self.wait_for(name, &trouble);
            if self.situation.now < trouble.retry_at {
                return self.plan.wake(trouble.retry_at);
            }
        }
        self.plan.actions.push(Action::Launch { container: name.to_owned(), number: 0, backoff_s: 0 });
    }

    fn restart(&mut self, name: &str, ended: &Attempt, observed: &Observed) {
        if let Some(trouble) = &observed.trouble {
            self.wait_for(name, trouble);
            if self.situation.now < trouble.retry_at {
                return self.plan.wake(trouble.retry_at);
            }
        } else if let Some(until) = backoff_until(ended)
            && self.situation.now < until
        {
            let pod = spec::full_name(self.situation.pod);
            let wait = go_duration(ended.backoff_s);
            let message = format!("back-off {wait} restarting failed container={name} pod={pod}");
            self.plan.waiting.insert(name.to_owned(), Waiting { reason: "CrashLoopBackOff".to_owned(), message });
            return self.plan.wake(until);
        }
        let (number, backoff_s) = (ended.number + 1, next_backoff(ended));
        self.plan.actions.push(Action::Launch { container: name.to_owned(), number, backoff_s });
    }

    fn wait_for(&mut self, name: &str, trouble: &Trouble) {
        let waiting = Waiting { reason: trouble.reason.clone(), message: trouble.message.clone() };
        self.plan.waiting.insert(name.to_owned(), waiting);
    }
}

fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// Whether a run was so long that earlier failures are forgotten.
fn is_forgotten(ended: &Attempt) -> bool {
    let finished = ended.exit.as_ref().map_or(ended.started_at, |exit| exit.finished_at);
    finished.duration_since(ended.started_at).as_secs() > BACKOFF_FORGOTTEN_S
}

/// When a container that has ended may start again; `None` for at once.
pub fn backoff_until(ended: &Attempt) -> Option<Timestamp> {
    let exit = ended.exit.as_ref()?;
    (ended.backoff_s > 0 && !is_forgotten(ended)).then(|| after(exit.finished_at, i64::from(ended.backoff_s)))
}

/// The wait after the run that follows this one.
pub fn next_backoff(ended: &Attempt) -> u32 {
    if ended.backoff_s == 0 || is_forgotten(ended) {
        return BACKOFF_FIRST_S;
    }
    ended.backoff_s.saturating_mul(2).min(BACKOFF_LAST_S)
}

/// Seconds as Go prints them: `10s`, `1m20s`, `5m0s`.
pub fn go_duration(seconds: u32) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
