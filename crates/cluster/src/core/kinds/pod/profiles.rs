//! Annotations of old that name profiles of AppArmor and seccomp: what they become, and what is said of them.
//!
//! After `applyAppArmorVersionSkew` of `pkg/registry/core/pod` and `pkg/api/pod/warnings.go`.

use serde_json::{Value, json};

use super::super::place::Place;
use super::super::value::{at, ensure, entries, get, get_mut, items_mut, present, put, text};
use super::spec::{Whose, each_container};

/// Before the name of a container.
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const APP_ARMOR_ADVICE: &str = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
const SECCOMP_ADVICE: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";

/// The field that an annotation stands for; none for one that means nothing.
fn app_armor_profile(annotation: &str) -> Option<Value> {
    match annotation {
        "unconfined" => Some(json!({"type": "Unconfined"})),
        "runtime/default" => Some(json!({"type": "RuntimeDefault"})),
        other => {
            let path = other.strip_prefix("localhost/").filter(|path| !path.is_empty())?;
            Some(json!({"type": "Localhost", "localhostProfile": path}))
        }
    }
}

/// Gives the containers of a new pod the profiles that its annotations name.
pub fn take_app_armor(pod: &mut Value) {
    let annotations = entries(get(pod, "metadata"), "annotations").clone();
    let Some(spec) = get_mut(pod, "spec") else { return };
    if text(get(spec, "os"), "name") == "windows" {
        return;
    }
    let of_pod = at(spec, &["securityContext", "appArmorProfile"]).clone();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items_mut(spec, list) {
            let annotation = annotations.get(&format!("{APP_ARMOR}{}", text(container, "name")));
            let profile = annotation.and_then(Value::as_str).and_then(app_armor_profile);
            if let Some(profile) = profile.filter(|profile| *profile != of_pod)
                && !present(get(container, "securityContext"), "appArmorProfile")
                && let Some(context) = ensure(container, "securityContext")
            {
                put(context, "appArmorProfile", profile);
            }
        }
    }
}

/// Warns of the annotations. In a pod, a profile of AppArmor has become a field by now: it is told where the field says
/// what the annotation does.
pub fn warn(template: &Value, place: &Place, whose: Whose, warnings: &mut Vec<String>) {
    let (annotations, spec) = (entries(get(template, "metadata"), "annotations"), get(template, "spec"));
    let list = place.child("metadata");
    let list = list.child("annotations");
    let context = get(spec, "securityContext");
    if annotations.contains_key(SECCOMP_POD) && !present(context, "seccompProfile") {
        warnings.push(format!("{}: {SECCOMP_ADVICE}", list.key(SECCOMP_POD)));
    }
    let is_windows = text(get(spec, "os"), "name") == "windows";
    each_container(spec, place, |container, _| {
        let own = get(container, "securityContext");
        let (name, profile) = (text(container, "name"), get(own, "appArmorProfile"));
        let key = format!("{SECCOMP}{name}");
        if annotations.contains_key(&key) && !present(own, "seccompProfile") {
            warnings.push(format!("{}: {SECCOMP_ADVICE}", list.key(&key)));
        }
        let key = format!("{APP_ARMOR}{name}");
        let Some(annotation) = annotations.get(&key).filter(|_| !is_windows) else { return };
        let meant = annotation.as_str().and_then(app_armor_profile);
        let is_of_pod = meant.as_ref() == Some(get(context, "appArmorProfile"));
        let is_told = if whose == Whose::Pod { meant.as_ref() == Some(profile) } else { profile.is_null() };
        if (is_told && !is_of_pod) || (profile.is_null() && meant.is_none()) {
            warnings.push(format!("{}: {APP_ARMOR_ADVICE}", list.key(&key)));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(profile: &str) -> Value {
        json!({"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": profile}}, "spec": {"containers": [{"name": "c"}]}})
    }

    #[test]
    fn a_profile_in_an_annotation_becomes_a_field_and_is_told() {
        let rows = [
            ("unconfined", json!({"type": "Unconfined"})),
            ("localhost/x", json!({"type": "Localhost", "localhostProfile": "x"})),
            ("localhost/", Value::Null),
        ];
        for (annotation, profile) in rows {
            let mut pod = pod(annotation);
            take_app_armor(&mut pod);
            assert_eq!(at(&pod["spec"]["containers"][0], &["securityContext", "appArmorProfile"]), &profile);
            let mut warnings = Vec::new();
            warn(&pod, &Place::OBJECT, Whose::Pod, &mut warnings);
            assert_eq!(warnings.len(), 1, "{annotation}");
        }
    }

    #[test]
    fn a_profile_that_is_the_pods_own_is_not_taken() {
        let mut pod = pod("unconfined");
        pod["spec"]["securityContext"] = json!({"appArmorProfile": {"type": "Unconfined"}});
        let before = pod.clone();
        take_app_armor(&mut pod);
        assert_eq!(pod, before);
    }
}
