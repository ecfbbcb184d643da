//! What keeps a container apart, as its pod asks for it: user, capabilities, devices, name, host paths.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, SecurityContext};

use super::PodNetworkKind;
use crate::{
    core::{
        honour::{Means, Users},
        image::Rule,
        quantity, requests, sysctl,
    },
    image::Environment,
    runtime::{HostPath, Isolation, Launch, Root, Security},
    shim::jail::Ids,
};

/// Directories of the host that every environment has.
const HOST: [&str; 10] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/gnu"];
/// The root of a container that runs what a rule stands for.
pub fn root(isolation: Isolation, rule: &Rule, environment: &Environment) -> Root {
    if isolation == Isolation::Bare {
        return Root::Bare;
    }
    let mut paths = BTreeSet::new();
    let mut add = |path: &Path, private: bool, read_only: bool| {
        let is_there = HOST.iter().any(|host| path.starts_with(host));
        if path.is_absolute() && !is_there && path.exists() && path != Path::new("/") {
            // Without "." parts, which no mount point has.
            paths.insert(HostPath { path: path.components().collect(), read_only, private });
        }
    };
    if let Some(workdir) = &environment.workdir {
        add(Path::new(workdir), false, false);
    }
    if let Some(front) = &environment.front {
        add(front, false, true);
    }
    if let Some(directory) = &environment.python {
        // Programs install packages into it; those of another pod are none of theirs.
        add(directory, true, false);
        for home in interpreters(directory) {
            add(&home, false, true);
        }
    }
    for path in &rule.paths {
        let named =
            path.strip_prefix('$').map(|name| environment.env.get(name).map(String::as_str).unwrap_or_default());
        add(Path::new(named.unwrap_or(path)), false, true);
    }
    let programs = rule.programs.values().chain(rule.entrypoint.first()).chain(rule.cmd.first());
    for directory in programs.filter_map(|program| Path::new(program).parent()) {
        add(directory, false, true);
    }
    Root::Environment { paths: paths.into_iter().collect() }
}

/// Where the Python of an environment is installed, by the name that the environment knows it by and by its own.
fn interpreters(environment: &Path) -> Vec<PathBuf> {
    let python = environment.join("bin/python");
    let mut found = Vec::new();
    let mut at = python.clone();
    // A chain of links, each of which must lead somewhere.
    for _ in 0..8 {
        let Ok(target) = std::fs::read_link(&at) else { break };
        at = at.parent().unwrap_or(Path::new("/")).join(target);
        found.extend(at.parent().and_then(Path::parent).map(Path::to_owned));
    }
    let real = python.canonicalize().ok();
    found.extend(real.as_deref().and_then(Path::parent).and_then(Path::parent).map(Path::to_owned));
    found.retain(|home| !home.starts_with(environment));
    found
}

/// What pods can be given here.
pub fn means(isolation: Isolation) -> Means {
    if isolation == Isolation::Bare {
        return Means::Bare { is_root: rustix::process::geteuid().is_root() };
    }
    Means::Apart(match Ids::of_pod(0) {
        Ids::Shifted(_) => Users::All,
        Ids::Ranges { .. } => Users::Range,
        Ids::Single => Users::One,
    })
}

/// Whether a pod has a network of its own, and so its settings.
pub fn has_network(kind: PodNetworkKind, pod: &Pod) -> bool {
    kind == PodNetworkKind::Private && pod.spec.as_ref().is_none_or(|spec| spec.host_network != Some(true))
}

/// Adds the settings of a pod's own network.
pub fn fill_network(launch: &mut Launch, pod: &Pod) {
    let security = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let sysctls = security.and_then(|one| one.sysctls.as_ref()).into_iter().flatten();
    let of_network = sysctls.filter(|sysctl| sysctl::is_of_network(&sysctl.name));
    launch.sysctls.extend(of_network.map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())));
}

/// Fills what a container is to be kept apart by. Its root and its user stand already.
pub fn fill(launch: &mut Launch, pod: &Pod, container: &Container) {
    let spec = pod.spec.as_ref();
    let of_pod = spec.and_then(|spec| spec.security_context.as_ref());
    let own = container.security_context.as_ref();
    fill_security(&mut launch.security, of_pod, own);
    launch.share_process_namespace = spec.and_then(|spec| spec.share_process_namespace).unwrap_or(false);
    let sysctls = of_pod.and_then(|one| one.sysctls.as_ref()).into_iter().flatten();
    launch.sysctls = sysctls
        .filter(|sysctl| sysctl::is_of_pod(&sysctl.name))
        .map(|sysctl| (sysctl.name.clone(), sysctl.value.clone()))
        .collect();
    let resources = container.resources.as_ref();
    let millis = |list: Option<&BTreeMap<String, _>>| {
        quantity::milli_of(list, "cpu").and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0)
    };
    launch.cpu_limit_millis = millis(resources.and_then(|one| one.limits.as_ref()));
    launch.cpu_request_millis = millis(resources.and_then(|one| one.requests.as_ref()));
    launch.pod_cpu_request_millis = Some(requests::cpu_millis(pod));
}

fn fill_security(security: &mut Security, pod: Option<&PodSecurityContext>, own: Option<&SecurityContext>) {
    let group = |id: &i64| u32::try_from(*id).ok();
    let supplementary = pod.and_then(|one| one.supplemental_groups.as_ref()).into_iter().flatten();
    security.supplementary = supplementary.chain(pod.and_then(|one| one.fs_group.as_ref())).filter_map(group).collect();
    let Some(own) = own else { return };
    security.read_only_root = own.read_only_root_filesystem == Some(true);
    security.no_new_privileges = own.allow_privilege_escalation == Some(false);
    security.privileged = own.privileged == Some(true);
    let capabilities = own.capabilities.as_ref();
    security.add = capabilities.and_then(|one| one.add.clone()).unwrap_or_default();
    security.drop = capabilities.and_then(|one| one.drop.clone()).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "n"}, "spec": spec})).unwrap()
    }

    #[test]
    fn the_fields_of_security_reach_the_container() {
        let pod = pod(json!({
            "securityContext": {"fsGroup": 7, "supplementalGroups": [8], "sysctls": [
                {"name": "kernel.shm_rmid_forced", "value": "1"}, {"name": "net.core.somaxconn", "value": "9"}]},
            "containers": [{"name": "c", "securityContext": {"readOnlyRootFilesystem": true,
                "allowPrivilegeEscalation": false, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}}]}));
        let mut launch = Launch::default();
        fill(&mut launch, &pod, &pod.spec.as_ref().unwrap().containers[0]);
        let security = &launch.security;
        assert_eq!(security.supplementary, [8, 7]);
        assert!(security.read_only_root && security.no_new_privileges && !security.privileged);
        assert_eq!((security.add.join(""), security.drop.join("")), ("NET_ADMIN".to_owned(), "ALL".to_owned()));
        assert_eq!(launch.sysctls.keys().collect::<Vec<_>>(), ["kernel.shm_rmid_forced"]);
    }

    #[test]
    fn an_environment_has_the_paths_of_its_rule() {
        let dir = tempfile::tempdir().unwrap();
        let (work, bin) = (dir.path().join("work"), dir.path().join("tools"));
        std::fs::create_dir_all(&work).unwrap();
        std::fs::create_dir_all(&bin).unwrap();
        let rule = Rule {
            entrypoint: vec![bin.join("serve").display().to_string()],
            cmd: vec!["/usr/bin/true".to_owned()],
            paths: vec!["$DATA".to_owned(), "$NONE".to_owned()],
            ..Rule::default()
        };
        let data = dir.path().join("data");
        std::fs::write(&data, "").unwrap();
        let env = BTreeMap::from([("DATA".to_owned(), data.display().to_string())]);
        let environment = Environment { workdir: Some(format!("{}/.", work.display())), env, ..Environment::default() };
        let Root::Environment { paths } = root(Isolation::Container, &rule, &environment) else { unreachable!() };
        let rows: Vec<_> = paths.iter().map(|one| (one.path.as_path(), one.read_only)).collect();
        assert_eq!(rows, [(data.as_path(), true), (bin.as_path(), true), (work.as_path(), false)]);
        assert_eq!(root(Isolation::Bare, &rule, &environment), Root::Bare);
    }
}
