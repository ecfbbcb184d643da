//! PodSecurity: the standards baseline and restricted, as namespace labels ask for them.
//!
//! What is enforced refuses pods; what is only warned about becomes a warning, also for the templates
//! of workloads. Wording follows `k8s.io/pod-security-admission` of Kubernetes 1.34. Audit labels are
//! read for their form only: nothing is audited here.

mod checks;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Denied, Lookup, Operation, Request, items, text};

const PREFIX: &str = "pod-security.kubernetes.io/";
/// More pods of a namespace than this are not looked through when its labels change.
const MAX_PODS: usize = 3000;
/// Subresources of pods that change nothing that a standard is about.
const IGNORED: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

/// How strict a standard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// A standard in the version that one minor release had; none for the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    pub level: Level,
    pub minor: Option<u32>,
}

impl Standard {
    const OPEN: Self = Self { level: Level::Privileged, minor: None };

    fn describe(self) -> String {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.minor {
            None => format!("{level}:latest"),
            Some(minor) => format!("{level}:v1.{minor}"),
        }
    }
}

/// What the labels of a namespace ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Policy {
    enforce: Standard,
    warn: Standard,
    /// Labels that say nothing: the label, its value, what it must be.
    faults: Vec<(String, String, &'static str)>,
}

impl Policy {
    fn of(namespace: &Value) -> Self {
        let mut faults = Vec::new();
        let mut read = |mode: &str, unreadable: Level| {
            let label = |name: String| {
                let value = namespace["metadata"]["labels"].get(&name).and_then(Value::as_str)?;
                Some((name, value.to_owned()))
            };
            let mut standard = Standard::OPEN;
            let mut named = None;
            if let Some((name, value)) = label(format!("{PREFIX}{mode}")) {
                let level = parse_level(&value);
                named = Some(level.is_some());
                standard.level = level.unwrap_or(unreadable);
                if level.is_none() {
                    faults.push((name, value, "must be one of privileged, baseline, restricted"));
                }
            }
            let mut versioned = false;
            if let Some((name, value)) = label(format!("{PREFIX}{mode}-version")) {
                versioned = true;
                match parse_version(&value) {
                    Some(minor) => standard.minor = minor,
                    None => faults.push((name, value, "must be \"latest\" or \"v1.x\"")),
                }
            }
            (standard, named, versioned)
        };
        let (enforce, enforced, _) = read("enforce", Level::Restricted);
        read("audit", Level::Privileged);
        let (mut warn, warned, warn_versioned) = read("warn", Level::Privileged);
        // What is enforced is warned about too: workloads are not refused, only their pods.
        if warned.is_none() && enforced == Some(true) && enforce.level > warn.level {
            warn.level = enforce.level;
            if !warn_versioned {
                warn.minor = enforce.minor;
            }
        }
        Self { enforce, warn, faults }
    }
}

fn parse_level(text: &str) -> Option<Level> {
    match text {
        "privileged" => Some(Level::Privileged),
        "baseline" => Some(Level::Baseline),
        "restricted" => Some(Level::Restricted),
        _ => None,
    }
}

fn parse_version(text: &str) -> Option<Option<u32>> {
    if text == "latest" {
        return Some(None);
    }
    let digits = text.strip_prefix("v1.")?;
    let plain = digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.parse().ok().filter(|_| plain).map(Some)
}

/// Judges pods, workloads and namespaces; returns warnings.
pub(super) fn check(
    request: &Request,
    lookup: &dyn Lookup,
    object: &Value,
    old: Option<&Value>,
) -> Result<Vec<String>, Denied> {
    if !matches!(request.operation, Operation::Create | Operation::Update) {
        return Ok(Vec::new());
    }
    if request.is("", "namespaces") {
        return check_namespace(request, lookup, object, old);
    }
    let is_pod = request.is("", "pods");
    let Some((metadata, spec)) = pod_of(request, object) else { return Ok(Vec::new()) };
    if (is_pod && IGNORED.contains(&request.subresource)) || (!is_pod && !request.subresource.is_empty()) {
        return Ok(Vec::new());
    }
    if is_pod && old.is_some_and(|old| !is_significant(object, old)) {
        return Ok(Vec::new());
    }
    let Some(namespace) = lookup.get("", "namespaces", "", request.namespace) else { return Ok(Vec::new()) };
    let policy = Policy::of(&namespace);
    if is_pod {
        let faults = checks::faults(policy.enforce, metadata, spec);
        if !faults.is_empty() {
            let cause = format!("violates PodSecurity \"{}\": {}", policy.enforce.describe(), details(&faults));
            return Err(Denied::forbidden(request, Some(object), cause));
        }
    }
    let faults = checks::faults(policy.warn, metadata, spec);
    if faults.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![format!("would violate PodSecurity \"{}\": {}", policy.warn.describe(), details(&faults))])
}

fn details(faults: &[checks::Fault]) -> String {
    let one = |fault: &checks::Fault| match fault.detail.as_str() {
        "" => fault.reason.to_owned(),
        detail => format!("{} ({detail})", fault.reason),
    };
    faults.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The metadata and spec of the pod that an object is, or is a template for.
fn pod_of<'a>(request: &Request, object: &'a Value) -> Option<(&'a Value, &'a Value)> {
    let template = match (request.group, request.plural) {
        ("", "pods") => object,
        ("", "podtemplates") => &object["template"],
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => &object["spec"]["template"],
        ("batch", "cronjobs") => &object["spec"]["jobTemplate"]["spec"]["template"],
        _ => return None,
    };
    template["spec"].is_object().then(|| (&template["metadata"], &template["spec"]))
}

/// Whether an update of a pod changes what runs.
fn is_significant(new: &Value, old: &Value) -> bool {
    let images = |pod: &Value, field: &str| -> Vec<Value> {
        items(&pod["spec"], field).map(|container| container["image"].clone()).collect()
    };
    let before: BTreeMap<&str, &Value> = items(&old["spec"], "ephemeralContainers")
        .map(|one| (text(one, "name").unwrap_or(""), &one["image"]))
        .collect();
    ["containers", "initContainers"].into_iter().any(|field| images(new, field) != images(old, field))
        || items(&new["spec"], "ephemeralContainers")
            .any(|one| before.get(text(one, "name").unwrap_or("")) != Some(&&one["image"]))
}

fn check_namespace(
    request: &Request,
    lookup: &dyn Lookup,
    object: &Value,
    old: Option<&Value>,
) -> Result<Vec<String>, Denied> {
    if !request.subresource.is_empty() {
        return Ok(Vec::new());
    }
    let policy = Policy::of(object);
    let before = old.map(Policy::of);
    let known = before.as_ref().is_some_and(|before| !before.faults.is_empty() && before.faults == policy.faults);
    if !policy.faults.is_empty() && !known {
        return Err(invalid(object, &policy.faults));
    }
    let Some(before) = before else { return Ok(Vec::new()) };
    let looser = policy.enforce.minor == before.enforce.minor && policy.enforce.level <= before.enforce.level;
    if policy.enforce.level == Level::Privileged || looser {
        return Ok(Vec::new());
    }
    let name = text(&object["metadata"], "name").unwrap_or_default();
    Ok(violations(name, policy.enforce, &lookup.list("", "pods", name)))
}

/// Warnings about pods that are there already.
fn violations(namespace: &str, standard: Standard, pods: &[std::sync::Arc<Value>]) -> Vec<String> {
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in pods.iter().take(MAX_PODS) {
        let faults = checks::faults(standard, &pod["metadata"], &pod["spec"]);
        if !faults.is_empty() {
            let reasons: Vec<&str> = faults.iter().map(|fault| &*fault.reason).collect();
            found.entry(reasons.join(", ")).or_default().push(text(&pod["metadata"], "name").unwrap_or_default());
        }
    }
    let mut warnings = Vec::new();
    if pods.len() > MAX_PODS {
        let total = pods.len();
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {MAX_PODS} of {total} existing pods"
        ));
    }
    if !found.is_empty() {
        let standard = standard.describe();
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{standard}\""
        ));
    }
    let mut lines: Vec<String> = found
        .into_iter()
        .map(|(reasons, names)| {
            let first = names.iter().min().copied().unwrap_or_default();
            match names.len() {
                1 => format!("{first}: {reasons}"),
                2 => format!("{first} (and 1 other pod): {reasons}"),
                more => format!("{first} (and {} other pods): {reasons}", more - 1),
            }
        })
        .collect();
    lines.sort_unstable();
    warnings.extend(lines);
    warnings
}

fn invalid(object: &Value, faults: &[(String, String, &'static str)]) -> Denied {
    let name = text(&object["metadata"], "name").unwrap_or_default();
    let describe = |(label, value, rule): &(String, String, &'static str)| {
        (
            format!("metadata.labels[{label}]"),
            format!("Invalid value: {}: {rule}", crate::core::selector::go_quote(value)),
        )
    };
    let described: Vec<(String, String)> = faults.iter().map(describe).collect();
    let lines: Vec<String> = described.iter().map(|(field, message)| format!("{field}: {message}")).collect();
    let text = if lines.len() > 1 { format!("[{}]", lines.join(", ")) } else { lines.concat() };
    let causes: Vec<Value> = described
        .iter()
        .map(|(field, message)| json!({"reason": "FieldValueInvalid", "message": message, "field": field}))
        .collect();
    Denied {
        code: 422,
        reason: "Invalid",
        message: format!("Namespace \"{name}\" is invalid: {text}"),
        details: json!({"name": name, "kind": "Namespace", "causes": causes}),
        passing: false,
    }
}
