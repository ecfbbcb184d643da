//! How much processor time a whole pod asks for, as the scheduler and a kubelet count it: `PodRequests` of
//! `k8s.io/component-helpers/resource`.

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};

use super::{quantity, spec::Role};

/// Thousandths of a processor that a pod asks for; 0 for one that asks for none.
///
/// Main containers and sidecars run together. An init container runs beside the sidecars that come before it, and what
/// it asks for counts where it is more. What the pod itself asks for stands above what its containers do.
pub fn cpu_millis(pod: &Pod) -> u64 {
    let Some(spec) = &pod.spec else { return 0 };
    let of_pod = asked(spec.resources.as_ref());
    let main: u64 = spec.containers.iter().map(of).sum();
    let (mut sidecars, mut most) = (0, 0);
    for container in spec.init_containers.iter().flatten() {
        let own = of(container);
        match role(container) {
            Role::Sidecar => sidecars += own,
            _ => most = most.max(sidecars + own),
        }
    }
    let overhead = quantity::milli_of(spec.overhead.as_ref(), "cpu").and_then(|millis| u64::try_from(millis).ok());
    of_pod.unwrap_or_else(|| most.max(main + sidecars)) + overhead.unwrap_or(0)
}

fn of(container: &Container) -> u64 {
    asked(container.resources.as_ref()).unwrap_or(0)
}

fn asked(resources: Option<&ResourceRequirements>) -> Option<u64> {
    quantity::milli_of(resources?.requests.as_ref(), "cpu").and_then(|millis| u64::try_from(millis).ok())
}

fn role(init: &Container) -> Role {
    if init.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn container(cpu: &str, sidecar: bool) -> Value {
        let mut container = json!({"name": "c"});
        if !cpu.is_empty() {
            container["resources"] = json!({"requests": {"cpu": cpu}});
        }
        if sidecar {
            container["restartPolicy"] = json!("Always");
        }
        container
    }

    #[test]
    fn a_pod_asks_for_what_runs_at_the_same_time() {
        let rows = [
            (json!({"containers": [container("", false)]}), 0),
            (json!({"containers": [container("250m", false), container("1", false)]}), 1250),
            (json!({"containers": [container("100m", false)], "initContainers": [container("2", false)]}), 2000),
            (
                json!({"containers": [container("100m", false)],
                    "initContainers": [container("50m", true), container("300m", false), container("30m", true)]}),
                350,
            ),
            (
                json!({"containers": [container("1", false)],
                    "initContainers": [container("50m", true), container("300m", false), container("30m", true)]}),
                1080,
            ),
            (json!({"containers": [container("1", false)], "resources": {"requests": {"cpu": "3"}}}), 3000),
            (json!({"containers": [container("1", false)], "overhead": {"cpu": "10m"}}), 1010),
        ];
        for (spec, millis) in rows {
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(cpu_millis(&pod), millis, "{spec}");
        }
    }
}
