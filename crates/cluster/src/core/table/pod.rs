//! Pods: how many containers are ready, what holds the pod up, how often it restarted.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::column::{AGE, NAME, Printer, text, wide};
use super::view::View;

pub(super) const PRINTERS: &[Printer] = &[Printer::new(
    "",
    "Pod",
    &[
        NAME,
        text("Ready", "Containers that are ready, of all containers"),
        text("Status", "Phase of the pod, or what keeps it from running"),
        text("Restarts", "Restarts of all containers, and how long ago the last one was"),
        AGE,
        wide("IP", "Address of the pod"),
        wide("Node", "Node on which the pod runs"),
        wide("Nominated Node", "Node on which room is being made for the pod"),
        wide("Readiness Gates", "Readiness gates that are true, of all gates"),
    ],
    row,
)
.with_conditions(completed)];

fn completed(pod: &View<'_>) -> Option<Value> {
    let message = match pod.text("/status/phase") {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(json!({"type": "Completed", "status": "True", "reason": pod.text("/status/phase"), "message": message}))
}

fn row(pod: &View<'_>) -> Vec<Value> {
    let summary = Summary::of(pod);
    let restarts = match summary.last_restart.filter(|_| summary.restarts != 0) {
        Some(time) => format!("{} ({} ago)", summary.restarts, pod.human_since(time)),
        None => summary.restarts.to_string(),
    };
    let first_ip = pod.text_or("/status/podIPs/0/ip", "<none>");
    vec![
        pod.name(),
        Value::from(format!("{}/{}", summary.ready, summary.total)),
        Value::from(summary.reason),
        Value::from(restarts),
        pod.age(),
        Value::from(pod.text_or("/status/podIP", first_ip)),
        Value::from(pod.text_or("/spec/nodeName", "<none>")),
        Value::from(pod.text_or("/status/nominatedNodeName", "<none>")),
        Value::from(readiness_gates(pod)),
    ]
}

fn readiness_gates(pod: &View<'_>) -> String {
    let holds = |gate: &View<'_>| {
        let condition = pod.condition("/status/conditions", gate.text("/conditionType"));
        condition.is_some_and(|condition| condition.text("/status") == "True")
    };
    match pod.count("/spec/readinessGates") {
        0 => "<none>".to_owned(),
        total => format!("{}/{total}", pod.parts("/spec/readinessGates").filter(holds).count()),
    }
}

/// What the statuses of a pod's containers add up to.
struct Summary {
    ready: i64,
    total: i64,
    reason: String,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

/// Restarts of some containers, and the last one.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &View<'_>) {
        self.count += status.integer("/restartCount");
        self.last = self.last.max(status.time("/lastState/terminated/finishedAt"));
    }
}

impl Summary {
    fn of(pod: &View<'_>) -> Self {
        let sidecars: Vec<&str> = pod
            .parts("/spec/initContainers")
            .filter(|container| container.text("/restartPolicy") == "Always")
            .map(|container| container.text("/name"))
            .collect();
        let mut summary = Self {
            ready: 0,
            total: pod.count("/spec/containers") + sidecars.len() as i64,
            reason: pod.text_or("/status/reason", pod.text("/status/phase")).to_owned(),
            restarts: 0,
            last_restart: None,
        };
        let gated = |condition: View<'_>| {
            condition.text("/type") == "PodScheduled" && condition.text("/reason") == "SchedulingGated"
        };
        if pod.parts("/status/conditions").any(gated) {
            summary.reason = "SchedulingGated".to_owned();
        }
        let (restarts, sidecar_restarts, initializing) = summary.read_init_containers(pod, &sidecars);
        let initialized = pod.condition("/status/conditions", "Initialized");
        let restarts = if !initializing || initialized.is_some_and(|condition| condition.text("/status") == "True") {
            summary.read_containers(pod, sidecar_restarts)
        } else {
            restarts
        };
        summary.restarts = restarts.count;
        summary.last_restart = restarts.last;
        summary.read_deletion(pod);
        summary
    }

    /// Restarts of the init containers, of the sidecars among them, and whether one is still to finish.
    fn read_init_containers(&mut self, pod: &View<'_>, sidecars: &[&str]) -> (Restarts, Restarts, bool) {
        let (mut restarts, mut sidecar_restarts) = (Restarts::default(), Restarts::default());
        for (index, status) in pod.parts("/status/initContainerStatuses").enumerate() {
            let sidecar = sidecars.contains(&status.text("/name"));
            restarts.add(&status);
            if sidecar {
                sidecar_restarts.add(&status);
            }
            let terminated = status.has("/state/terminated");
            if terminated && status.integer("/state/terminated/exitCode") == 0 {
                continue;
            }
            if sidecar && status.boolean("/started") {
                self.ready += i64::from(status.boolean("/ready"));
                continue;
            }
            let waiting = status.text("/state/waiting/reason");
            self.reason = if terminated {
                format!("Init:{}", termination(&status))
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                format!("Init:{waiting}")
            } else {
                format!("Init:{index}/{}", pod.count("/spec/initContainers"))
            };
            return (restarts, sidecar_restarts, true);
        }
        (restarts, sidecar_restarts, false)
    }

    /// Restarts of the containers and sidecars; the first container with a reason gives the pod's.
    fn read_containers(&mut self, pod: &View<'_>, mut restarts: Restarts) -> Restarts {
        let mut running = false;
        for status in pod.parts("/status/containerStatuses").rev() {
            restarts.add(&status);
            let waiting = status.text("/state/waiting/reason");
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if status.has("/state/terminated") {
                self.reason = termination(&status);
            } else if status.boolean("/ready") && status.has("/state/running") {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            let mut conditions = pod.parts("/status/conditions");
            let ready =
                conditions.any(|condition| condition.text("/type") == "Ready" && condition.text("/status") == "True");
            self.reason = if ready { "Running" } else { "NotReady" }.to_owned();
        }
        restarts
    }

    fn read_deletion(&mut self, pod: &View<'_>) {
        let terminal = matches!(pod.text("/status/phase"), "Succeeded" | "Failed");
        if pod.deleted() && pod.text("/status/reason") == "NodeLost" {
            self.reason = "Unknown".to_owned();
        } else if pod.deleted() && !terminal {
            self.reason = "Terminating".to_owned();
        }
    }
}

/// Why a container ended: its reason, signal or exit code.
fn termination(status: &View<'_>) -> String {
    let terminated = status.part("/state/terminated");
    match (terminated.text("/reason"), terminated.integer("/signal")) {
        ("", 0) => format!("ExitCode:{}", terminated.integer("/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
