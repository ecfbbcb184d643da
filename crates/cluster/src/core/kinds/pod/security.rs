//! Security contexts of pods and containers, and what an operating system rules out.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::super::names;
use super::super::place::Place;
use super::super::value::{flag, get, indexed, maybe_flag, maybe_text, number, present, strings, text};
use super::super::volumes::local_descending_path;
use super::super::volumes::sources::supported;
use super::spec::{Scope, each_container};
use crate::core::field::{ErrorList, FieldError};

static NETBIOS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$"#).ok());
static WINDOWS_DOMAIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$")
        .ok()
});
static SYSCTL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(SYSCTL_PATTERN).ok());
const SYSCTL_PATTERN: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

fn matches(pattern: &LazyLock<Option<Regex>>, value: &str) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(value))
}

fn user_or_group(context: &Value, key: &str, place: &Place, errors: &mut ErrorList) {
    if let Some(id) = number(context, key) {
        for fault in names::user_or_group_id(id) {
            errors.push(FieldError::invalid(place.child(key), id, fault));
        }
    }
}

/// Checks `spec.securityContext`.
pub fn validate_pod(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let context = get(spec, "securityContext");
    let place = place.child("securityContext");
    for key in ["fsGroup", "runAsUser", "runAsGroup"] {
        user_or_group(context, key, &place, errors);
    }
    let groups = place.child("supplementalGroups");
    for (index, group) in indexed(context, "supplementalGroups") {
        let group = group.as_i64().unwrap_or(0);
        for fault in names::user_or_group_id(group) {
            errors.push(FieldError::invalid(groups.index(index), group, fault));
        }
    }
    if flag(spec, "shareProcessNamespace") && flag(spec, "hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(place.child("shareProcessNamespace"), true, detail));
    }
    sysctls(context, spec, &place.child("sysctls"), errors);
    supported(context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], &place, errors);
    seccomp(get(context, "seccompProfile"), &place.child("seccompProfile"), errors);
    windows_options(get(context, "windowsOptions"), &place.child("windowsOptions"), errors);
    app_armor(get(context, "appArmorProfile"), &place.child("appArmorProfile"), errors);
    supported(context, "supplementalGroupsPolicy", &["Merge", "Strict"], &place, errors);
    supported(context, "seLinuxChangePolicy", &["MountOption", "Recursive"], &place, errors);
}

/// The namespace that isolates a kernel parameter.
fn sysctl_namespace(name: &str) -> Option<&'static str> {
    const IPC: [&str; 10] = [
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.shm",
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.msg",
    ];
    let name = match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'/' => name
            .chars()
            .map(|letter| {
                if letter == '/' {
                    '.'
                } else if letter == '.' {
                    '/'
                } else {
                    letter
                }
            })
            .collect(),
        _ => name.to_owned(),
    };
    if IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.") {
        return Some("ipc");
    }
    name.starts_with("net.").then_some("net")
}

fn sysctls(context: &Value, spec: &Value, place: &Place, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (index, sysctl) in indexed(context, "sysctls") {
        let item = place.index(index);
        let place = item.child("name");
        let name = text(sysctl, "name");
        if name.is_empty() {
            errors.push(FieldError::required(place, ""));
        } else if name.len() > 253 || !matches(&SYSCTL, name) {
            let detail = format!("must have at most 253 characters and match regex {SYSCTL_PATTERN}");
            errors.push(FieldError::invalid(place, name, detail));
        } else if seen.contains(name) {
            errors.push(FieldError::duplicate(place, name));
        }
        match sysctl_namespace(name) {
            Some("net") if flag(spec, "hostNetwork") => {
                errors.push(FieldError::invalid(place, name, "may not be specified when 'hostNetwork' is true"));
            }
            Some("ipc") if flag(spec, "hostIPC") => {
                errors.push(FieldError::invalid(place, name, "may not be specified when 'hostIPC' is true"));
            }
            _ => {}
        }
        seen.insert(name);
    }
}

fn seccomp(profile: &Value, place: &Place, errors: &mut ErrorList) {
    if profile.is_null() {
        return;
    }
    let kind = text(profile, "type");
    match kind {
        "Localhost" | "RuntimeDefault" | "Unconfined" => {}
        "" => errors.push(FieldError::required(place.child("type"), "type is required when seccompProfile is set")),
        _ => {
            let kinds = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.push(FieldError::not_supported(place.child("type"), kind, &kinds));
        }
    }
    let path = maybe_text(profile, "localhostProfile");
    let place = place.child("localhostProfile");
    match (kind, path) {
        ("Localhost", None) => {
            errors.push(FieldError::required(place, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", Some(path)) => local_descending_path(path, &place, errors),
        (_, Some(_)) => {
            // The internal type has no JSON names.
            let shown = serde_json::json!({"LocalhostProfile": path, "Type": kind});
            errors.push(FieldError::invalid(place, shown, "can only be set when seccomp type is Localhost"));
        }
        (_, None) => {}
    }
}

fn app_armor(profile: &Value, place: &Place, errors: &mut ErrorList) {
    if profile.is_null() {
        return;
    }
    let kind = text(profile, "type");
    let path = maybe_text(profile, "localhostProfile");
    let path_place = place.child("localhostProfile");
    let needed = "must be set when AppArmor type is Localhost";
    match kind {
        "Localhost" => match path {
            None => errors.push(FieldError::required(path_place, needed)),
            Some(path) => {
                if path.trim() != path {
                    errors.push(FieldError::invalid(path_place, path, "must not be padded with whitespace"));
                } else if path.is_empty() {
                    errors.push(FieldError::required(path_place, needed));
                }
                if path.len() > 4095 {
                    errors.push(FieldError::too_long(path_place, 4095));
                }
            }
        },
        "RuntimeDefault" | "Unconfined" => {
            if let Some(path) = path {
                errors.push(FieldError::invalid(path_place, path, "can only be set when AppArmor type is Localhost"));
            }
        }
        "" => errors.push(FieldError::required(place.child("type"), "type is required when appArmorProfile is set")),
        _ => {
            let kinds = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.push(FieldError::not_supported(place.child("type"), kind, &kinds));
        }
    }
}

fn windows_options(options: &Value, place: &Place, errors: &mut ErrorList) {
    if let Some(name) = maybe_text(options, "gmsaCredentialSpecName") {
        for fault in names::dns_subdomain(name) {
            errors.push(FieldError::invalid(place.child("gmsaCredentialSpecName"), name, fault));
        }
    }
    if let Some(credential) = maybe_text(options, "gmsaCredentialSpec") {
        let place = place.child("gmsaCredentialSpec");
        if credential.is_empty() {
            errors.push(FieldError::invalid(place, credential, "gmsaCredentialSpec cannot be an empty string"));
        } else if credential.len() > 64 * 1024 {
            errors.push(FieldError::invalid(place, credential, "gmsaCredentialSpec size must be under 64 KiB"));
        }
    }
    if let Some(name) = maybe_text(options, "runAsUserName") {
        for fault in windows_user_faults(name) {
            errors.push(FieldError::invalid(place.child("runAsUserName"), name, fault));
        }
    }
}

fn windows_user_faults(name: &str) -> Vec<&'static str> {
    if name.is_empty() {
        return vec!["runAsUserName cannot be an empty string"];
    }
    if name.chars().any(|letter| letter.is_ascii_control()) {
        return vec!["runAsUserName cannot contain control characters"];
    }
    let (domain, user) = match name.split_once('\\') {
        Some((_, rest)) if rest.contains('\\') => return vec!["runAsUserName cannot contain more than one backslash"],
        Some((domain, user)) => (Some(domain), user),
        None => (None, name),
    };
    let mut faults = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= 256) {
        faults.push("runAsUserName's Domain length must be under 256 characters");
    }
    if domain.is_some_and(|domain| !matches(&NETBIOS, domain) && !matches(&WINDOWS_DOMAIN, domain)) {
        faults.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
    }
    if user.is_empty() {
        faults.push("runAsUserName's User cannot be empty");
    } else if user.len() > 104 {
        faults.push("runAsUserName's User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|letter| matches!(letter, '.' | ' ')) {
        faults.push("runAsUserName's User cannot contain only periods or spaces");
    }
    if user.chars().any(|letter| r#""/\:;|=,+*?<>@[]"#.contains(letter)) {
        faults.push(r#"runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]"#);
    }
    faults
}

/// Checks a container's `securityContext`.
pub fn validate_container(context: &Value, scope: &Scope, place: &Place, errors: &mut ErrorList) {
    if context.is_null() {
        return;
    }
    user_or_group(context, "runAsUser", place, errors);
    user_or_group(context, "runAsGroup", place, errors);
    if let Some(mount) = maybe_text(context, "procMount") {
        supported(context, "procMount", &["Default", "Unmasked"], place, errors);
        if scope.host_users && mount == "Unmasked" {
            let detail = "`hostUsers` must be false to use `Unmasked`";
            errors.push(FieldError::invalid(place.child("procMount"), mount, detail));
        }
    }
    seccomp(get(context, "seccompProfile"), &place.child("seccompProfile"), errors);
    if maybe_flag(context, "allowPrivilegeEscalation") == Some(false) {
        if flag(context, "privileged") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(place, internal(context), detail));
        }
        if strings(get(context, "capabilities"), "add").any(|name| name == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(place, internal(context), detail));
        }
    }
    windows_options(get(context, "windowsOptions"), &place.child("windowsOptions"), errors);
    app_armor(get(context, "appArmorProfile"), &place.child("appArmorProfile"), errors);
}

/// A security context as an error prints it: the names of the Go fields, nothing left out.
fn internal(context: &Value) -> Value {
    const FIELDS: [(&str, &str); 12] = [
        ("Capabilities", "capabilities"),
        ("Privileged", "privileged"),
        ("SELinuxOptions", "seLinuxOptions"),
        ("WindowsOptions", "windowsOptions"),
        ("RunAsUser", "runAsUser"),
        ("RunAsGroup", "runAsGroup"),
        ("RunAsNonRoot", "runAsNonRoot"),
        ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem"),
        ("AllowPrivilegeEscalation", "allowPrivilegeEscalation"),
        ("ProcMount", "procMount"),
        ("SeccompProfile", "seccompProfile"),
        ("AppArmorProfile", "appArmorProfile"),
    ];
    FIELDS.iter().map(|(go, json)| ((*go).to_owned(), get(context, json).clone())).collect()
}

/// Checks that host namespaces are not asked for together with a user namespace.
pub fn validate_host_users(scope: &Scope, place: &Place, errors: &mut ErrorList) {
    if scope.host_users {
        return;
    }
    for (key, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if flag(scope.spec, key) {
            errors.push(FieldError::forbidden(place.child(shown), "when `hostUsers` is false"));
        }
    }
    each_container(scope.spec, place, |container, place| {
        if !super::super::value::items(container, "volumeDevices").is_empty() {
            errors.push(FieldError::forbidden(place.child("volumeDevices"), "when `hostUsers` is false"));
        }
    });
}

/// Checks pods whose containers are processes of a Windows host.
pub fn validate_host_process(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let of = |context: &Value| maybe_flag(get(get(context, "securityContext"), "windowsOptions"), "hostProcess");
    let pod = of(spec);
    let (mut all, mut host) = (0, 0);
    each_container(spec, place, |container, place| {
        all += 1;
        let own = of(container);
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let place = place.child("securityContext");
            let place = place.child("windowsOptions");
            let detail = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            errors.push(FieldError::invalid(place.child("hostProcess"), own, detail));
        }
        host += usize::from(own.or(pod) == Some(true));
    });
    if host == 0 {
        return;
    }
    if host != all {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(FieldError::invalid(place, "", detail));
    }
    if !flag(spec, "hostNetwork") {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(FieldError::invalid(place.child("hostNetwork"), false, detail));
    }
}

/// Checks `spec.os` and what the named system does not have.
pub fn validate_os(spec: &Value, place: &Place, errors: &mut ErrorList) {
    if !present(spec, "os") {
        return;
    }
    match text(get(spec, "os"), "name") {
        "" => errors.push(FieldError::required(place.child("os").child("name"), "")),
        "linux" => linux(spec, place, errors),
        "windows" => windows(spec, place, errors),
        other => errors.push(FieldError::not_supported(place.child("os"), other, &["linux", "windows"])),
    }
}

fn linux(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let detail = "windows options cannot be set for a linux pod";
    if present(get(spec, "securityContext"), "windowsOptions") {
        errors.push(FieldError::forbidden(place.child("securityContext").child("windowsOptions"), detail));
    }
    each_container(spec, place, |container, place| {
        if present(get(container, "securityContext"), "windowsOptions") {
            errors.push(FieldError::forbidden(place.child("securityContext").child("windowsOptions"), detail));
        }
    });
}

fn windows(spec: &Value, place: &Place, errors: &mut ErrorList) {
    const POD: [&str; 10] = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
        "supplementalGroupsPolicy",
    ];
    const CONTAINER: [&str; 10] = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    let detail = "cannot be set for a windows pod";
    let context = place.child("securityContext");
    for key in POD.iter().chain(&["seLinuxChangePolicy"]) {
        if present(get(spec, "securityContext"), key) {
            errors.push(FieldError::forbidden(context.child(key), detail));
        }
    }
    for key in ["hostUsers", "shareProcessNamespace"] {
        if present(spec, key) {
            errors.push(FieldError::forbidden(place.child(key), detail));
        }
    }
    for key in ["hostPID", "hostIPC"] {
        if flag(spec, key) {
            errors.push(FieldError::forbidden(place.child(key), detail));
        }
    }
    each_container(spec, place, |container, place| {
        let context = place.child("securityContext");
        for key in CONTAINER {
            if present(get(container, "securityContext"), key) {
                errors.push(FieldError::forbidden(context.child(key), detail));
            }
        }
    });
}
