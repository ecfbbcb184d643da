//! Whom the files of a volume belong to, and who may do what with them.
//!
//! The rules are those of a kubelet (`pkg/volume/volume_linux.go`, `pkg/volume/util/util.go`). Touches no file.

use k8s_openapi::api::core::v1::{Container, Pod, Volume};

/// What a volume's group may do with its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    ReadWrite,
}

/// When the files of a volume that was there before get their group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangePolicy {
    Always,
    /// Only where the volume's root does not have it.
    OnRootMismatch,
}

/// `spec.securityContext.fsGroup`.
pub fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// `spec.securityContext.fsGroupChangePolicy`.
pub fn change_policy(pod: &Pod) -> ChangePolicy {
    let security = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    match security.and_then(|security| security.fs_group_change_policy.as_deref()) {
        Some("OnRootMismatch") => ChangePolicy::OnRootMismatch,
        _ => ChangePolicy::Always,
    }
}

/// The user that all containers of a pod run as, where they say so and are of one mind: owns the pod's tokens.
pub fn fs_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|security| security.run_as_user);
    let of = |container: &Container| container.security_context.as_ref().and_then(|one| one.run_as_user).or(of_pod);
    let mut users = spec.init_containers.iter().flatten().chain(&spec.containers).map(of);
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok())?
}

/// The mode of a service account's token: for everybody in the pod, unless it is known who they are.
pub fn token_mode(pod: &Pod, default: u32) -> u32 {
    if fs_user(pod).is_some() || fs_group(pod).is_some() { 0o600 } else { default }
}

/// The mode of a file that a group gets.
pub fn file_mode(mode: u32, access: Access) -> u32 {
    mode | if access == Access::Read { 0o440 } else { 0o660 }
}

/// The mode of a directory that a group gets: what is made in it is the group's too.
pub fn directory_mode(mode: u32, access: Access) -> u32 {
    file_mode(mode, access) | 0o2110
}

/// Whether a volume's root is as it was left when its files got the group.
pub fn has_group(mode: u32, group: u32, wanted: u32) -> bool {
    group == wanted && directory_mode(mode, Access::ReadWrite) == mode
}

/// Where a volume that is empty at first is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    Disk,
    /// At most so many bytes; 0 where nothing bounds it.
    Memory(u64),
}

/// The medium of an `emptyDir`; `allocatable_bytes` is the node's memory.
///
/// # Errors
/// A message that names the medium which this node does not offer.
pub fn medium(pod: &Pod, volume: &Volume, allocatable_bytes: u64) -> Result<Medium, String> {
    let source = volume.empty_dir.as_ref();
    match source.and_then(|source| source.medium.as_deref()).unwrap_or_default() {
        "" => Ok(Medium::Disk),
        "Memory" => {
            let limit = source.and_then(|source| source.size_limit.as_ref()).and_then(|limit| whole(&limit.0));
            let bounds = [limit, memory_limit(pod), Some(allocatable_bytes)];
            Ok(Medium::Memory(bounds.into_iter().flatten().filter(|bytes| *bytes > 0).min().unwrap_or(0)))
        }
        other => Err(format!("emptyDir.medium {other:?} is not offered by this node; use \"\" or \"Memory\"")),
    }
}

/// The memory limit of a pod, where each of its containers has one.
fn memory_limit(pod: &Pod) -> Option<u64> {
    let containers = &pod.spec.as_ref()?.containers;
    let limit = |container: &Container| {
        let limit = container.resources.as_ref()?.limits.as_ref()?.get("memory")?;
        whole(&limit.0)
    };
    containers.iter().map(limit).sum()
}

fn whole(text: &str) -> Option<u64> {
    let milli = super::quantity::milli(text)?;
    u64::try_from(milli.div_euclid(1000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    #[test]
    fn a_token_belongs_to_the_user_that_all_containers_run_as() {
        let user = |id: i64| json!({"name": "c", "securityContext": {"runAsUser": id}});
        let rows = [
            (json!({"containers": [{"name": "a"}]}), None),
            (json!({"securityContext": {"runAsUser": 5}, "containers": [{"name": "a"}, {"name": "b"}]}), Some(5)),
            (json!({"containers": [user(5), {"name": "b"}]}), None),
            (json!({"containers": [user(5), user(6)]}), None),
            (json!({"initContainers": [user(6)], "containers": [user(5)]}), None),
            (json!({"securityContext": {"runAsUser": 5}, "containers": [user(5)]}), Some(5)),
        ];
        for (spec, expect) in rows {
            let pod = pod(spec.clone());
            assert_eq!(fs_user(&pod), expect, "{spec}");
            assert_eq!(token_mode(&pod, 0o644), if expect.is_some() { 0o600 } else { 0o644 }, "{spec}");
        }
        assert_eq!(token_mode(&pod(json!({"securityContext": {"fsGroup": 7}, "containers": []})), 0o644), 0o600);
    }

    #[test]
    fn a_group_may_use_what_it_gets() {
        assert_eq!(file_mode(0o400, Access::Read), 0o440);
        assert_eq!(file_mode(0o600, Access::ReadWrite), 0o660);
        assert_eq!(directory_mode(0o755, Access::Read), 0o2755);
        assert_eq!(directory_mode(0o777, Access::ReadWrite), 0o2777);
        assert!(has_group(0o2775, 7, 7) && !has_group(0o2775, 8, 7) && !has_group(0o775, 7, 7));
    }

    #[test]
    fn memory_of_a_volume_is_bounded_by_the_least_of_its_bounds() {
        let containers = |limit: Value| json!([{"name": "a", "resources": {"limits": limit}}]);
        let rows = [
            (json!({"medium": "Memory"}), json!({}), Ok(Medium::Memory(1000))),
            (json!({"medium": "Memory"}), json!({"memory": "900"}), Ok(Medium::Memory(900))),
            (json!({"medium": "Memory", "sizeLimit": "64"}), json!({"memory": "900"}), Ok(Medium::Memory(64))),
            (json!({"medium": "Memory", "sizeLimit": "0"}), json!({}), Ok(Medium::Memory(1000))),
            (json!({"sizeLimit": "64"}), json!({}), Ok(Medium::Disk)),
            (json!({"medium": "HugePages"}), json!({}), Err(())),
        ];
        for (source, limits, expect) in rows {
            let volume = serde_json::from_value(json!({"name": "v", "emptyDir": source})).unwrap();
            let found = medium(&pod(json!({"containers": containers(limits)})), &volume, 1000);
            assert_eq!(found.map_err(drop), expect, "{source}");
        }
    }
}
