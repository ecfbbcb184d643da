//! The single checks of the standards, in the order in which messages list them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Level, Standard};
use crate::core::admission::{items, text};
use crate::core::selector::go_quote;

/// One rule that a pod breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub reason: String,
    pub detail: String,
}

impl Fault {
    fn new(reason: impl Into<String>, detail: impl Into<String>) -> Option<Self> {
        Some(Self { reason: reason.into(), detail: detail.into() })
    }
}

/// What a check looks at.
struct Pod<'a> {
    metadata: &'a Value,
    spec: &'a Value,
    /// The minor release whose rules hold; the largest number for the latest.
    minor: u32,
}

type Check = fn(&Pod) -> Option<Fault>;

/// A check, the first minor release that has it, and the check of baseline that it replaces.
struct Row {
    level: Level,
    since: u32,
    replaced_since: Option<u32>,
    check: Check,
}

const fn baseline(since: u32, replaced_since: Option<u32>, check: Check) -> Row {
    Row { level: Level::Baseline, since, replaced_since, check }
}

const fn restricted(since: u32, check: Check) -> Row {
    Row { level: Level::Restricted, since, replaced_since: None, check }
}

const CHECKS: [Row; 18] = [
    baseline(0, None, app_armor),
    baseline(0, Some(22), added_capabilities),
    baseline(0, None, host_namespaces),
    baseline(0, Some(0), host_paths),
    baseline(0, None, host_ports),
    baseline(34, None, probe_hosts),
    baseline(0, None, privileged),
    baseline(0, None, proc_mount),
    baseline(0, None, selinux),
    baseline(19, Some(19), seccomp_baseline),
    baseline(0, None, sysctls),
    baseline(0, None, host_process),
    restricted(8, privilege_escalation),
    restricted(22, capabilities),
    restricted(0, volume_types),
    restricted(0, run_as_non_root),
    restricted(23, run_as_user),
    restricted(19, seccomp_restricted),
];

/// Everything in a pod that breaks a standard.
pub fn faults(standard: Standard, metadata: &Value, spec: &Value) -> Vec<Fault> {
    let pod = Pod { metadata, spec, minor: standard.minor.unwrap_or(u32::MAX) };
    let holds = |row: &&Row| {
        let replaced =
            standard.level == Level::Restricted && row.replaced_since.is_some_and(|since| pod.minor >= since);
        row.level <= standard.level && pod.minor >= row.since && !replaced
    };
    CHECKS.iter().filter(holds).filter_map(|row| (row.check)(&pod)).collect()
}

impl<'a> Pod<'a> {
    fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let spec = self.spec;
        ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(move |field| items(spec, field))
    }

    /// The names of the containers for which `is_bad` holds.
    fn bad(&self, is_bad: impl Fn(&Value) -> bool) -> Vec<String> {
        let bad = self.containers().filter(|container| is_bad(container));
        bad.map(|container| text(container, "name").unwrap_or_default().to_owned()).collect()
    }

    fn is_windows(&self) -> bool {
        self.minor >= 25 && self.spec["os"]["name"] == "windows"
    }
}

fn quoted<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| format!("\"{}\"", name.as_ref())).collect::<Vec<_>>().join(", ")
}

fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"` or `containers "a", "b"`.
fn named(containers: &[String]) -> String {
    format!("{} {}", plural("container", "containers", containers.len()), quoted(containers))
}

/// `pod and container "a"`, of those that are at fault.
fn setters(pod: bool, containers: &[String]) -> Option<String> {
    match (pod, containers.is_empty()) {
        (false, true) => None,
        (true, true) => Some("pod".to_owned()),
        (false, false) => Some(named(containers)),
        (true, false) => Some(format!("pod and {}", named(containers))),
    }
}

fn app_armor(pod: &Pod) -> Option<Fault> {
    let bad_type = |owner: &Value| {
        let type_ = owner["securityContext"]["appArmorProfile"]["type"].as_str()?;
        (!matches!(type_, "RuntimeDefault" | "Localhost")).then(|| type_.to_owned())
    };
    let containers = pod.bad(|container| bad_type(container).is_some());
    let mut values: BTreeSet<String> = pod.containers().filter_map(bad_type).collect();
    values.extend(bad_type(pod.spec));
    let mut owners: Vec<String> = setters(bad_type(pod.spec).is_some(), &containers).into_iter().collect();
    let annotations = pod.metadata["annotations"].as_object().into_iter().flatten();
    let allowed = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let mut bad: Vec<String> = annotations
        .filter(|(key, _)| key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
        .filter_map(|(key, value)| value.as_str().filter(|value| !allowed(value)).map(|value| (key, value)))
        .map(|(key, value)| format!("{key}={}", go_quote(value)))
        .collect();
    bad.sort_unstable();
    if !bad.is_empty() {
        owners.push(plural("annotation", "annotations", bad.len()).to_owned());
    }
    if owners.is_empty() {
        return None;
    }
    let values: Vec<String> = values.into_iter().chain(bad).collect();
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    let detail = format!("{} must not set AppArmor profile type to {}", owners.join(" and "), quoted(values));
    Fault::new(reason, detail)
}

const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn added<'a>(container: &'a Value, allowed: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let added = items(&container["securityContext"]["capabilities"], "add").filter_map(Value::as_str);
    added.filter(|capability| !allowed.contains(capability))
}

fn forbidden_additions(pod: &Pod, allowed: &[&str]) -> Option<String> {
    let bad = pod.bad(|container| added(container, allowed).next().is_some());
    let capabilities: BTreeSet<&str> = pod.containers().flat_map(|container| added(container, allowed)).collect();
    let (owners, list) = (named(&bad), quoted(capabilities));
    (!bad.is_empty()).then(|| format!("{owners} must not include {list} in securityContext.capabilities.add"))
}

fn added_capabilities(pod: &Pod) -> Option<Fault> {
    Fault::new("non-default capabilities", forbidden_additions(pod, &DEFAULT_CAPABILITIES)?)
}

fn host_namespaces(pod: &Pod) -> Option<Fault> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| pod.spec[*field] == true);
    let shared: Vec<String> = shared.map(|field| format!("{field}=true")).collect();
    if shared.is_empty() { None } else { Fault::new("host namespaces", shared.join(", ")) }
}

fn host_paths(pod: &Pod) -> Option<Fault> {
    let volumes = items(pod.spec, "volumes").filter(|volume| volume["hostPath"].is_object());
    let names: Vec<&str> = volumes.filter_map(|volume| text(volume, "name")).collect();
    let noun = plural("volume", "volumes", names.len());
    if names.is_empty() { None } else { Fault::new("hostPath volumes", format!("{noun} {}", quoted(names))) }
}

fn host_ports(pod: &Pod) -> Option<Fault> {
    let ports = |container: &Value| -> Vec<String> {
        let ports = items(container, "ports").filter_map(|port| port["hostPort"].as_i64());
        ports.filter(|port| *port != 0).map(|port| port.to_string()).collect()
    };
    let bad = pod.bad(|container| !ports(container).is_empty());
    if bad.is_empty() {
        return None;
    }
    let all: BTreeSet<String> = pod.containers().flat_map(ports).collect();
    let verb = plural("uses", "use", bad.len());
    let noun = plural("hostPort", "hostPorts", all.len());
    let list = all.into_iter().collect::<Vec<_>>().join(", ");
    Fault::new("hostPort", format!("{} {verb} {noun} {list}", named(&bad)))
}

fn probe_hosts(pod: &Pod) -> Option<Fault> {
    let hosts = |container: &Value| -> Vec<String> {
        let lifecycle = &container["lifecycle"];
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|field| &container[field]);
        let handlers = probes.into_iter().chain([&lifecycle["postStart"], &lifecycle["preStop"]]);
        let hosts =
            handlers.flat_map(|handler| [text(&handler["httpGet"], "host"), text(&handler["tcpSocket"], "host")]);
        hosts.flatten().map(str::to_owned).collect()
    };
    let bad: BTreeSet<String> = pod.bad(|container| !hosts(container).is_empty()).into_iter().collect();
    if bad.is_empty() {
        return None;
    }
    let bad: Vec<String> = bad.into_iter().collect();
    let all: BTreeSet<String> = pod.containers().flat_map(hosts).collect();
    let verb = plural("uses", "use", bad.len());
    let noun = plural("probe or lifecycle host", "probe or lifecycle hosts", all.len());
    Fault::new("probe or lifecycle host", format!("{} {verb} {noun} {}", named(&bad), quoted(all)))
}

fn privileged(pod: &Pod) -> Option<Fault> {
    let bad = pod.bad(|container| container["securityContext"]["privileged"] == true);
    let detail = format!("{} must not set securityContext.privileged=true", named(&bad));
    if bad.is_empty() { None } else { Fault::new("privileged", detail) }
}

fn proc_mount(pod: &Pod) -> Option<Fault> {
    let mount = |container: &Value| {
        let mount = container["securityContext"]["procMount"].as_str()?;
        (mount != "Default").then(|| mount.to_owned())
    };
    let bad = pod.bad(|container| mount(container).is_some());
    let types: BTreeSet<String> = pod.containers().filter_map(mount).collect();
    let detail = format!("{} must not set securityContext.procMount to {}", named(&bad), quoted(types));
    if bad.is_empty() { None } else { Fault::new("procMount", detail) }
}

fn selinux(pod: &Pod) -> Option<Fault> {
    let allowed = |type_: &str| {
        matches!(type_, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || (type_ == "container_engine_t" && pod.minor >= 31)
    };
    let options = |owner: &Value| owner["securityContext"]["seLinuxOptions"].clone();
    let bad_type = |options: &Value| text(options, "type").filter(|type_| !allowed(type_)).map(str::to_owned);
    let is_bad = |owner: &Value| {
        let options = options(owner);
        bad_type(&options).is_some() || text(&options, "user").is_some() || text(&options, "role").is_some()
    };
    let owners = setters(is_bad(pod.spec), &pod.bad(is_bad))?;
    let all: Vec<Value> = pod.containers().chain([pod.spec]).map(options).collect();
    let types: BTreeSet<String> = all.iter().filter_map(bad_type).collect();
    let mut faults = Vec::new();
    if !types.is_empty() {
        faults.push(format!("{} {}", plural("type", "types", types.len()), quoted(types)));
    }
    for field in ["user", "role"] {
        if all.iter().any(|options| text(options, field).is_some()) {
            faults.push(format!("{field} may not be set"));
        }
    }
    Fault::new(
        "seLinuxOptions",
        format!("{owners} set forbidden securityContext.seLinuxOptions: {}", faults.join("; ")),
    )
}

fn seccomp(owner: &Value) -> Option<&str> {
    owner["securityContext"]["seccompProfile"]["type"].as_str()
}

fn is_confined(type_: &str) -> bool {
    matches!(type_, "Localhost" | "RuntimeDefault")
}

fn seccomp_baseline(pod: &Pod) -> Option<Fault> {
    let is_bad = |owner: &Value| seccomp(owner).is_some_and(|type_| !is_confined(type_));
    let owners = setters(is_bad(pod.spec), &pod.bad(is_bad))?;
    let all = pod.containers().chain([pod.spec]).filter_map(seccomp);
    let values: BTreeSet<&str> = all.filter(|type_| !is_confined(type_)).collect();
    let detail = format!("{owners} must not set securityContext.seccompProfile.type to {}", quoted(values));
    Fault::new("seccompProfile", detail)
}

fn seccomp_restricted(pod: &Pod) -> Option<Fault> {
    if pod.is_windows() {
        return None;
    }
    if let Some(fault) = seccomp_baseline(pod) {
        return Some(fault);
    }
    let by_pod = seccomp(pod.spec).is_some_and(is_confined);
    let lacking = pod.bad(|container| seccomp(container).is_none() && !by_pod);
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        named(&lacking)
    );
    if lacking.is_empty() { None } else { Fault::new("seccompProfile", detail) }
}

/// A sysctl that every pod may set, and the first minor release that says so.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

fn sysctls(pod: &Pod) -> Option<Fault> {
    let allowed = |name: &str| SYSCTLS.iter().any(|(known, since)| *known == name && pod.minor >= *since);
    let names = items(&pod.spec["securityContext"], "sysctls").filter_map(|sysctl| text(sysctl, "name"));
    let bad: Vec<&str> = names.filter(|name| !allowed(name)).collect();
    if bad.is_empty() { None } else { Fault::new("forbidden sysctls", bad.join(", ")) }
}

fn host_process(pod: &Pod) -> Option<Fault> {
    let is_bad = |owner: &Value| owner["securityContext"]["windowsOptions"]["hostProcess"] == true;
    let owners = setters(is_bad(pod.spec), &pod.bad(is_bad))?;
    Fault::new("hostProcess", format!("{owners} must not set securityContext.windowsOptions.hostProcess=true"))
}

fn privilege_escalation(pod: &Pod) -> Option<Fault> {
    if pod.is_windows() {
        return None;
    }
    let bad = pod.bad(|container| container["securityContext"]["allowPrivilegeEscalation"] != false);
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", named(&bad));
    if bad.is_empty() { None } else { Fault::new("allowPrivilegeEscalation != false", detail) }
}

fn capabilities(pod: &Pod) -> Option<Fault> {
    if pod.is_windows() {
        return None;
    }
    let drops_all = |container: &Value| {
        items(&container["securityContext"]["capabilities"], "drop").any(|capability| capability == "ALL")
    };
    let lacking = pod.bad(|container| !drops_all(container));
    let mut details = Vec::new();
    if !lacking.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named(&lacking)));
    }
    details.extend(forbidden_additions(pod, &["NET_BIND_SERVICE"]));
    if details.is_empty() { None } else { Fault::new("unrestricted capabilities", details.join("; ")) }
}

const PLAIN_VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn volume_types(pod: &Pod) -> Option<Fault> {
    let is_plain = |volume: &Value| PLAIN_VOLUMES.into_iter().any(|field| volume[field].is_object());
    let bad: Vec<&Value> = items(pod.spec, "volumes").filter(|volume| !is_plain(volume)).collect();
    if bad.is_empty() {
        return None;
    }
    let type_of = |volume: &&Value| {
        let fields = volume.as_object().into_iter().flatten();
        fields.filter(|(key, value)| *key != "name" && value.is_object()).map(|(key, _)| key.clone()).next()
    };
    let types: BTreeSet<String> =
        bad.iter().map(|volume| type_of(volume).unwrap_or_else(|| "unknown".to_owned())).collect();
    let names: Vec<&str> = bad.iter().filter_map(|volume| text(volume, "name")).collect();
    let noun = plural("volume", "volumes", bad.len());
    let verb = plural("uses", "use", bad.len());
    let kind = plural("restricted volume type", "restricted volume types", types.len());
    Fault::new("restricted volume types", format!("{noun} {} {verb} {kind} {}", quoted(names), quoted(types)))
}

fn run_as_non_root(pod: &Pod) -> Option<Fault> {
    let wish = |owner: &Value| owner["securityContext"]["runAsNonRoot"].as_bool();
    let refuses = |owner: &Value| wish(owner) == Some(false);
    if let Some(owners) = setters(refuses(pod.spec), &pod.bad(refuses)) {
        return Fault::new("runAsNonRoot != true", format!("{owners} must not set securityContext.runAsNonRoot=false"));
    }
    let by_pod = wish(pod.spec) == Some(true);
    let lacking = pod.bad(|container| wish(container).is_none() && !by_pod);
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", named(&lacking));
    if lacking.is_empty() { None } else { Fault::new("runAsNonRoot != true", detail) }
}

fn run_as_user(pod: &Pod) -> Option<Fault> {
    let is_root = |owner: &Value| owner["securityContext"]["runAsUser"] == 0;
    let owners = setters(is_root(pod.spec), &pod.bad(is_root))?;
    Fault::new("runAsUser=0", format!("{owners} must not set runAsUser=0"))
}
