//! Which fields of a pod have no effect, by how well its containers are kept apart.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::{
    spec::{self, Role},
    sysctl,
};

/// What a node can give a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Processes of the host; only root may become another user.
    Bare { is_root: bool },
    /// Namespaces of its own.
    Apart(Users),
}

/// Which user ids a pod has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// All of them, also as owners of files.
    All,
    /// Those of a range, whose files only the pod itself can make.
    Range,
    /// One, that bears any number.
    One,
}

/// What to do where there is one user id.
const WAY_OUT: &str = "one user id only: install newuidmap (package uidmap) and give this user a range in /etc/subuid";

/// The fields by their paths, in order.
pub fn unhonoured(pod: &Pod, means: Means) -> Vec<String> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let mut fields = match means {
        Means::Bare { is_root } => of_bare_pod(spec, is_root),
        Means::Apart(users) => of_pod(spec, users),
    };
    for (role, container) in spec::containers(spec) {
        let list = match role {
            Role::Init | Role::Sidecar => "spec.initContainers",
            Role::Main => "spec.containers",
            Role::Ephemeral => "spec.ephemeralContainers",
        };
        let of_this = match means {
            Means::Bare { is_root } => of_bare_container(&container, is_root),
            Means::Apart(_) => of_container(&container),
        };
        fields.extend(of_this.into_iter().map(|field| format!("{list}[{}].{field}", container.name)));
    }
    fields
}

fn chosen(rows: &[(&str, bool)]) -> Vec<String> {
    rows.iter().filter(|(_, set)| *set).map(|(field, _)| (*field).to_owned()).collect()
}

fn of_pod(spec: &PodSpec, users: Users) -> Vec<String> {
    let security = spec.security_context.as_ref();
    let has_groups = security.is_some_and(|one| one.supplemental_groups.as_ref().is_some_and(|list| !list.is_empty()));
    let mut fields = chosen(&[
        ("spec.runtimeClassName", spec.runtime_class_name.is_some()),
        ("spec.hostPID", spec.host_pid == Some(true)),
        ("spec.hostIPC", spec.host_ipc == Some(true)),
        ("spec.hostUsers", spec.host_users == Some(true)),
        ("spec.securityContext.seLinuxOptions", security.is_some_and(|one| one.se_linux_options.is_some())),
        ("spec.securityContext.fsGroup", users != Users::All && security.is_some_and(|one| one.fs_group.is_some())),
    ]);
    if users == Users::One && has_groups {
        fields.push(format!("spec.securityContext.supplementalGroups ({WAY_OUT})"));
    }
    let ids: BTreeSet<i64> = spec.containers.iter().map(|container| user_of(spec, container)).collect();
    if users == Users::One && ids.len() > 1 {
        fields.push(format!("securityContext.runAsUser of more than one container ({WAY_OUT})"));
    }
    let sysctls = security.and_then(|one| one.sysctls.as_ref()).into_iter().flatten();
    let of_host = sysctls.filter(|sysctl| !sysctl::is_of_pod(&sysctl.name));
    fields.extend(of_host.map(|sysctl| format!("spec.securityContext.sysctls[{}]", sysctl.name)));
    fields
}

fn user_of(spec: &PodSpec, container: &Container) -> i64 {
    let own = container.security_context.as_ref().and_then(|one| one.run_as_user);
    own.or(spec.security_context.as_ref().and_then(|one| one.run_as_user)).unwrap_or(0)
}

fn of_container(container: &Container) -> Vec<String> {
    let security = container.security_context.as_ref();
    let profile = security.and_then(|one| one.seccomp_profile.as_ref());
    chosen(&[
        ("volumeDevices", container.volume_devices.is_some()),
        (
            "securityContext.privileged (all capabilities in the pod's own user namespace; the host stays closed)",
            security.is_some_and(|one| one.privileged == Some(true)),
        ),
        ("securityContext.procMount", security.is_some_and(|one| one.proc_mount.as_deref() == Some("Unmasked"))),
        ("securityContext.seLinuxOptions", security.is_some_and(|one| one.se_linux_options.is_some())),
        ("securityContext.seccompProfile", profile.is_some_and(|one| one.type_ == "Localhost")),
    ])
}

fn of_bare_pod(spec: &PodSpec, is_root: bool) -> Vec<String> {
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

fn of_bare_container(container: &Container, is_root: bool) -> Vec<String> {
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
            unhonoured(&pod, Means::Bare { is_root: true }),
            [
                "spec.hostAliases",
                "spec.containers[a].securityContext.privileged",
                "spec.containers[a].volumeMounts[e].mountPath (no command, argument or variable names /etc/app)"
            ]
        );
        assert!(
            unhonoured(&pod, Means::Bare { is_root: false })
                .contains(&"spec.containers[a].securityContext.runAsUser".to_owned())
        );
    }

    #[test]
    fn what_is_kept_apart_has_nearly_all_it_asks_for() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "hostPID": true, "hostAliases": [{"ip": "1.2.3.4"}],
            "securityContext": {"fsGroup": 5, "supplementalGroups": [6], "runAsUser": 7, "sysctls": [
                {"name": "kernel.sem", "value": "1"}, {"name": "net.core.somaxconn", "value": "2"}]},
            "containers": [
                {"name": "a", "securityContext": {"readOnlyRootFilesystem": true, "runAsUser": 8}},
                {"name": "b", "volumeMounts": [{"name": "e", "mountPath": "/etc/app"}]}]}}))
        .unwrap();
        let fields = |users| unhonoured(&pod, Means::Apart(users)).join("; ");
        assert_eq!(fields(Users::All), "spec.hostPID; spec.securityContext.sysctls[net.core.somaxconn]");
        assert!(
            fields(Users::Range).starts_with("spec.hostPID; spec.securityContext.fsGroup; spec.securityContext.sys")
        );
        let one = fields(Users::One);
        assert!(one.contains("supplementalGroups (one user id only: install newuidmap"), "{one}");
        assert!(one.contains("runAsUser of more than one container"), "{one}");
    }
}
