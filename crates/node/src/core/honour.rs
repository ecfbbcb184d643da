//! Which fields of a pod have no effect when its containers are processes of the host.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::spec::{self, Role};

/// The fields by their paths, in order.
pub fn unhonoured(pod: &Pod, is_root: bool) -> Vec<String> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let mut fields = of_pod(spec, is_root);
    for (role, container) in spec::containers(spec) {
        let list = match role {
            Role::Init | Role::Sidecar => "spec.initContainers",
            Role::Main => "spec.containers",
            Role::Ephemeral => "spec.ephemeralContainers",
        };
        fields.extend(
            of_container(&container, is_root).into_iter().map(|field| format!("{list}[{}].{field}", container.name)),
        );
    }
    fields
}

fn of_pod(spec: &PodSpec, is_root: bool) -> Vec<String> {
    let security = spec.security_context.as_ref();
    let rows = [
        ("spec.hostAliases", spec.host_aliases.as_ref().is_some_and(|list| !list.is_empty())),
        ("spec.dnsConfig", spec.dns_config.is_some()),
        ("spec.securityContext.fsGroup", !is_root && security.is_some_and(|one| one.fs_group.is_some())),
        ("spec.securityContext.supplementalGroups", security.is_some_and(|one| one.supplemental_groups.is_some())),
        ("spec.securityContext.sysctls", security.is_some_and(|one| one.sysctls.is_some())),
        ("spec.securityContext.runAsUser", !is_root && security.is_some_and(|one| one.run_as_user.is_some())),
        ("spec.securityContext.runAsGroup", !is_root && security.is_some_and(|one| one.run_as_group.is_some())),
    ];
    rows.into_iter().filter(|(_, set)| *set).map(|(field, _)| field.to_owned()).collect()
}

fn of_container(container: &Container, is_root: bool) -> Vec<String> {
    let security = container.security_context.as_ref();
    let is_set = |value: Option<bool>| value == Some(true);
    let rows = [
        ("volumeDevices", container.volume_devices.is_some()),
        ("securityContext.privileged", security.is_some_and(|one| is_set(one.privileged))),
        ("securityContext.readOnlyRootFilesystem", security.is_some_and(|one| is_set(one.read_only_root_filesystem))),
        ("securityContext.capabilities", security.is_some_and(|one| one.capabilities.is_some())),
        ("securityContext.runAsUser", !is_root && security.is_some_and(|one| one.run_as_user.is_some())),
        ("securityContext.runAsGroup", !is_root && security.is_some_and(|one| one.run_as_group.is_some())),
    ];
    let mut fields: Vec<String> = rows.into_iter().filter(|(_, set)| *set).map(|(field, _)| field.to_owned()).collect();
    let words: Vec<&String> = container.command.iter().chain(&container.args).flatten().collect();
    let values = container.env.iter().flatten().filter_map(|variable| variable.value.as_ref());
    let texts: Vec<&String> = words.into_iter().chain(values).collect();
    for mount in container.volume_mounts.iter().flatten() {
        // The token's directory is in every pod; programs that need it are rare among those that have it.
        let is_token = mount.mount_path == "/var/run/secrets/kubernetes.io/serviceaccount";
        if !is_token && !texts.iter().any(|text| text.contains(&mount.mount_path)) {
            fields.push(format!(
                "volumeMounts[{}].mountPath (no command, argument or variable names {})",
                mount.name, mount.mount_path
            ));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_without_effect_are_named() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "hostAliases": [{"ip": "1.2.3.4"}],
            "containers": [{"name": "a", "args": ["--data=/data/x"], "securityContext": {"privileged": true, "runAsUser": 7},
                "volumeMounts": [{"name": "d", "mountPath": "/data"}, {"name": "e", "mountPath": "/etc/app"}]}]}}))
        .unwrap();
        assert_eq!(
            unhonoured(&pod, true),
            [
                "spec.hostAliases",
                "spec.containers[a].securityContext.privileged",
                "spec.containers[a].volumeMounts[e].mountPath (no command, argument or variable names /etc/app)"
            ]
        );
        assert!(unhonoured(&pod, false).contains(&"spec.containers[a].securityContext.runAsUser".to_owned()));
    }
}
