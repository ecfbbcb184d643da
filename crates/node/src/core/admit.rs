//! Which pods a node does not take at all, however often they are tried.
//!
//! As a kubelet's admission: `pkg/kubelet/sysctl`, `pkg/kubelet/runtimeclass`, `pkg/kubelet/lifecycle/predicate.go`; the
//! words of a pod that is not taken are those of `rejectPod` in `pkg/kubelet/kubelet.go`.

use k8s_openapi::api::core::v1::Pod;

use super::plan::Verdict;

/// Kernel settings that a pod may have without the node's consent (`pkg/kubelet/sysctl/safe_sysctls.go`).
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// Handlers of runtime classes that mean what this node does anyway: its own, the usual one, and the one that gives
/// containers their GPUs.
const HANDLERS: [&str; 4] = ["", "ferroflow", "runc", "nvidia"];

/// Why a pod is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: &'static str,
    /// For the event; the status has it behind `Pod was rejected: `.
    pub message: String,
}

impl Rejection {
    /// Another pod has a port of the host that this one wants.
    pub fn ports() -> Self {
        Self { reason: "NodePorts", message: "Predicate NodePorts failed".to_owned() }
    }

    /// The end of the pod.
    pub fn verdict(&self) -> Verdict {
        Verdict {
            phase: "Failed",
            reason: Some(self.reason.to_owned()),
            message: Some(format!("Pod was rejected: {}", self.message)),
            grace_s: None,
        }
    }
}

/// Why a pod is not taken, whatever others there are; `None` for one that is.
pub fn refuse(pod: &Pod) -> Option<Rejection> {
    let security = pod.spec.as_ref()?.security_context.as_ref()?;
    let forbidden = security.sysctls.iter().flatten().find(|sysctl| {
        // Both `.` and `/` part a name.
        !SAFE_SYSCTLS.contains(&sysctl.name.replace('/', ".").as_str())
    })?;
    let message = format!("forbidden sysctl: {:?} not allowlisted", forbidden.name);
    Some(Rejection { reason: "SysctlForbidden", message })
}

/// Checks the handler of a pod's runtime class.
///
/// # Errors
/// A message for the pod's event.
pub fn check_handler(handler: &str) -> Result<(), String> {
    if HANDLERS.contains(&handler) {
        return Ok(());
    }
    Err(format!(
        "rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for {handler:?} is configured"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_may_change_only_what_is_its_own() {
        let refused = |name: &str| {
            let sysctls = json!([{"name": name, "value": "1"}]);
            let pod = json!({"spec": {"securityContext": {"sysctls": sysctls}, "containers": []}});
            refuse(&serde_json::from_value(pod).unwrap())
        };
        assert_eq!(refused("kernel.shm_rmid_forced"), None);
        assert_eq!(refused("kernel/shm_rmid_forced"), None);
        let verdict = refused("kernel.msgmax").unwrap().verdict();
        assert_eq!((verdict.phase, verdict.reason.as_deref()), ("Failed", Some("SysctlForbidden")));
        let message = "Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted";
        assert_eq!(verdict.message.as_deref(), Some(message));
    }

    #[test]
    fn a_handler_that_is_not_there_is_named() {
        assert_eq!(check_handler("nvidia"), Ok(()));
        assert!(check_handler("kata").unwrap_err().contains("no runtime for \"kata\""));
    }
}
