//! Who is killed first when the machine's memory is at its end: the figures that a kubelet gives containers.
//!
//! `pkg/kubelet/qos/policy.go`, `GetContainerOOMScoreAdjust`.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::quantity;

/// Containers of pods whose requests are their limits, and of those that a node cannot be without.
const GUARANTEED: i32 = -997;
/// Those of pods that request nothing.
const BEST_EFFORT: i32 = 1000;
/// What holds a pod together: a pod's supervisor, as a kubelet's sandbox.
pub const SANDBOX: i32 = -998;
/// The least priority of pods that the system needs (`scheduling.SystemCriticalPriority`).
const CRITICAL: i32 = 2_000_000_000;

/// The figure of a container, on a node with so many bytes of memory: the more it requests of it, the later it is killed.
pub fn score(pod: &Pod, container: &Container, capacity_bytes: u64) -> i32 {
    let spec = pod.spec.as_ref();
    let is_critical = spec.is_some_and(|spec| {
        spec.priority_class_name.as_deref() == Some("system-node-critical") && spec.priority >= Some(CRITICAL)
    });
    match pod.status.as_ref().and_then(|status| status.qos_class.as_deref()) {
        _ if is_critical => GUARANTEED,
        Some("Guaranteed") => GUARANTEED,
        Some("BestEffort") => BEST_EFFORT,
        _ => burstable(pod, container, capacity_bytes),
    }
}

fn burstable(pod: &Pod, container: &Container, capacity_bytes: u64) -> i32 {
    let own = share(container, capacity_bytes);
    // A sidecar is not killed before the containers that need it.
    let is_sidecar = container.restart_policy.as_deref() == Some("Always");
    let mains = pod.spec.iter().flat_map(|spec| &spec.containers).map(|main| share(main, capacity_bytes));
    let score = mains.filter(|_| is_sidecar).fold(own, i32::min);
    score.clamp(BEST_EFFORT + GUARANTEED, BEST_EFFORT - 1)
}

fn share(container: &Container, capacity_bytes: u64) -> i32 {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let wanted = quantity::whole_of(requests, "memory").unwrap_or(0);
    let thousandths = u128::from(wanted) * 1000 / u128::from(capacity_bytes.max(1));
    BEST_EFFORT.saturating_sub(i32::try_from(thousandths).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const GIB: u64 = 1 << 30;

    fn of(class: &str, memory: &str, spec: serde_json::Value) -> i32 {
        let container = json!({"name": "c", "resources": {"requests": {"memory": memory}}});
        let mut pod = json!({"metadata": {"name": "p"}, "status": {"qosClass": class}, "spec": spec});
        pod["spec"]["containers"] = json!([container]);
        let pod: Pod = serde_json::from_value(pod).unwrap();
        score(&pod, &pod.spec.as_ref().unwrap().containers[0], 4 * GIB)
    }

    #[test]
    fn those_that_request_more_are_killed_later() {
        let rows = [
            ("Guaranteed", "1Gi", -997),
            ("BestEffort", "0", 1000),
            ("Burstable", "0", 999),
            ("Burstable", "1Gi", 750),
            ("Burstable", "4Mi", 999),
            ("Burstable", "4Gi", 3),
            ("Burstable", "400Gi", 3),
        ];
        for (class, memory, expected) in rows {
            assert_eq!(of(class, memory, json!({})), expected, "{class} {memory}");
        }
        let critical = |priority: i64| json!({"priorityClassName": "system-node-critical", "priority": priority});
        assert_eq!(of("BestEffort", "0", critical(2_000_001_000)), -997);
        assert_eq!(of("BestEffort", "0", critical(7)), 1000);
    }

    #[test]
    fn a_sidecar_is_not_killed_before_those_that_need_it() {
        let request = |memory: &str| json!({"requests": {"memory": memory}});
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p"}, "status": {"qosClass": "Burstable"}, "spec": {
            "initContainers": [{"name": "side", "restartPolicy": "Always", "resources": request("1Gi")},
                {"name": "init", "resources": request("1Gi")}],
            "containers": [{"name": "a", "resources": request("2Gi")}, {"name": "b"}]}}))
            .unwrap();
        let spec = pod.spec.as_ref().unwrap();
        let inits = spec.init_containers.as_ref().unwrap();
        let of = |container: &Container| score(&pod, container, 4 * GIB);
        assert_eq!((of(&inits[0]), of(&inits[1])), (500, 750));
        assert_eq!((of(&spec.containers[0]), of(&spec.containers[1])), (500, 999));
    }
}
