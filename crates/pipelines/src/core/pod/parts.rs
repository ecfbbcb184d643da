//! Parts of a pod by what the platform document and the container say; JSON of Kubernetes.

use serde_json::{Map, Value, json};

use super::{affinity, entries, volume_name};
use crate::core::{executor::Step, fault::Fault};

/// Parts of a pod.
#[derive(Debug, Default)]
pub struct Parts {
    /// `null` where there is none.
    pub affinity: Value,
    pub tolerations: Vec<Value>,
    /// `null` where there is none.
    pub node_selector: Value,
    pub env: Vec<Value>,
    /// Volumes and mounts that a component may pass through.
    pub volumes: Vec<Value>,
    pub mounts: Vec<Value>,
    /// Volumes and mounts that are the pod's in any case.
    pub own_volumes: Vec<Value>,
    pub own_mounts: Vec<Value>,
    pub resources: Value,
    /// `null` where there is none.
    pub security: Value,
    pub pull_secrets: Vec<Value>,
    pub init_containers: Vec<Value>,
}

impl Parts {
    /// The parts of a step's pod.
    ///
    /// # Errors
    /// Where a setting lacks what it needs.
    pub fn of(step: &Step<'_>) -> Result<Self, Fault> {
        let settings = step.platform;
        let mut parts = Self {
            affinity: affinity::affinity(settings)?,
            tolerations: tolerations(settings),
            node_selector: settings
                .get("nodeSelector")
                .and_then(|selector| selector.get("labels"))
                .cloned()
                .unwrap_or_default(),
            env: env(step),
            resources: resources(step)?,
            security: security(settings),
            pull_secrets: entries(settings, "imagePullSecret")
                .iter()
                .map(|item| json!({"name": item["secretName"]}))
                .collect(),
            init_containers: init_containers(settings)?,
            ..Self::default()
        };
        parts.add_named(settings)?;
        parts.add_ephemeral(settings)?;
        if parts.security.get("runAsUser").is_some_and(|user| user != &json!(0)) {
            parts.add_home();
        }
        Ok(parts)
    }

    /// Claims, secrets and config maps.
    fn add_named(&mut self, settings: &Map<String, Value>) -> Result<(), Fault> {
        for (index, item) in entries(settings, "pvcMount").iter().enumerate() {
            let at = format!("platforms.kubernetes.pvcMount[{index}]");
            let source = json!({"persistentVolumeClaim": {"claimName": item["pvcName"]}});
            let mut mount = self.add(&at, text(item, "pvcName"), text(item, "mountPath"), source)?;
            if !text(item, "subPath").is_empty() {
                mount["subPath"] = item["subPath"].clone();
            }
            self.mounts.push(mount);
        }
        for (list, field, name) in
            [("secretAsVolume", "secret", "secretName"), ("configMapAsVolume", "configMap", "configMapName")]
        {
            for (index, item) in entries(settings, list).iter().enumerate() {
                let at = format!("platforms.kubernetes.{list}[{index}]");
                let key = if field == "secret" { "secretName" } else { "name" };
                let is_optional = item.get("optional") == Some(&Value::Bool(true));
                let source = json!({field: {key: item[name], "optional": is_optional}});
                let mount = self.add(&at, text(item, name), text(item, "mountPath"), source)?;
                self.mounts.push(mount);
            }
        }
        Ok(())
    }

    /// Adds a volume unless it is there, and returns its mount.
    fn add(&mut self, at: &str, name: &str, path: &str, source: Value) -> Result<Value, Fault> {
        let (volume, mount) = volume(at, name, path, source)?;
        if !self.volumes.contains(&volume) {
            self.volumes.push(volume);
        }
        Ok(mount)
    }

    fn add_ephemeral(&mut self, settings: &Map<String, Value>) -> Result<(), Fault> {
        for (index, item) in entries(settings, "genericEphemeralVolume").iter().enumerate() {
            let at = format!("platforms.kubernetes.genericEphemeralVolume[{index}]");
            let mut spec = json!({
                "accessModes": item["accessModes"],
                "resources": {"requests": {"storage": item["size"]}},
            });
            if item.get("defaultStorageClass") != Some(&Value::Bool(true)) {
                spec["storageClassName"] = text(item, "storageClassName").into();
            }
            let metadata = item.get("metadata").cloned().unwrap_or_else(|| json!({}));
            let source = json!({"ephemeral": {"volumeClaimTemplate": {"metadata": metadata, "spec": spec}}});
            self.add_own(&at, text(item, "volumeName"), text(item, "mountPath"), source)?;
        }
        for (index, item) in entries(settings, "emptyDirMounts").iter().enumerate() {
            let at = format!("platforms.kubernetes.emptyDirMounts[{index}]");
            let source = json!({"emptyDir": some(item, &["medium", "sizeLimit"])});
            self.add_own(&at, text(item, "volumeName"), text(item, "mountPath"), source)?;
        }
        if let Some(memory) = settings.get("enabledSharedMemory") {
            let mut source = json!({"medium": "Memory"});
            if !text(memory, "size").is_empty() {
                source["sizeLimit"] = memory["size"].clone();
            }
            let name = text(memory, "volumeName");
            let name = if name.is_empty() { "shm" } else { name };
            let at = "platforms.kubernetes.enabledSharedMemory";
            self.add_own(at, name, "/dev/shm", json!({"emptyDir": source}))?;
        }
        Ok(())
    }

    fn add_own(&mut self, at: &str, name: &str, path: &str, source: Value) -> Result<(), Fault> {
        let (volume, mount) = volume(at, name, path, source)?;
        self.own_volumes.push(volume);
        self.own_mounts.push(mount);
        Ok(())
    }

    /// Directories that programs of a user without a home write to, as upstream has them.
    fn add_home(&mut self) {
        for directory in [".local", ".cache", ".config"] {
            let (path, below) = (format!("/{directory}"), format!("home/{directory}"));
            self.own_mounts.push(json!({"name": super::WORK_VOLUME, "mountPath": path, "subPath": below}));
        }
    }
}

fn volume(at: &str, name: &str, path: &str, source: Value) -> Result<(Value, Value), Fault> {
    if name.is_empty() || !path.starts_with('/') {
        return Err(Fault::new(at, "needs a name and a mountPath that begins with a slash"));
    }
    let name = volume_name(name);
    let mut volume = source;
    volume["name"] = name.clone().into();
    Ok((volume, json!({"name": name, "mountPath": path})))
}

fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    item.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Those fields that are there and not empty.
fn some(item: &Value, fields: &[&str]) -> Map<String, Value> {
    let set = fields.iter().filter_map(|field| Some(((*field).to_owned(), item.get(field)?.clone())));
    set.filter(|(_, value)| value.as_str() != Some("")).collect()
}

fn tolerations(settings: &Map<String, Value>) -> Vec<Value> {
    let fields = ["key", "operator", "value", "effect", "tolerationSeconds"];
    entries(settings, "tolerations").iter().map(|item| some(item, &fields).into()).collect()
}

/// The container's variables, then those of the platform document in its order.
fn env(step: &Step<'_>) -> Vec<Value> {
    let settings = step.platform;
    let mut env: Vec<Value> =
        step.container.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    for (list, reference, name, key) in [
        ("secretAsEnv", "secretKeyRef", "secretName", "secretKey"),
        ("configMapAsEnv", "configMapKeyRef", "configMapName", "configMapKey"),
    ] {
        for item in entries(settings, list) {
            for pair in item.get("keyToEnv").and_then(Value::as_array).into_iter().flatten() {
                let mut source = json!({"name": item[name], "key": pair[key]});
                if let Some(is_optional) = item.get("optional") {
                    source["optional"] = is_optional.clone();
                }
                env.push(json!({"name": pair["envVar"], "valueFrom": {reference: source}}));
            }
        }
    }
    for item in entries(settings, "fieldPathAsEnv") {
        env.push(json!({"name": item["name"], "valueFrom": {"fieldRef": {"fieldPath": item["fieldPath"]}}}));
    }
    env
}

fn resources(step: &Step<'_>) -> Result<Value, Fault> {
    let wanted = &step.container.resources;
    let given = |text: &Option<String>| {
        let text = step.expand(text.as_deref()?);
        // An optional parameter without a value.
        (!text.is_empty() && text != "null").then_some(text)
    };
    let (mut requests, mut limits) = (Map::new(), Map::new());
    let add = |list: &mut Map<String, Value>, name: &str, field: &str, text: &Option<String>| {
        let Some(text) = given(text) else { return Ok(()) };
        if !is_quantity(&text) {
            let what = format!("is {text:?}, which is no quantity; write one as 500m, 2, 512Mi or 4G");
            return Err(Fault::new(format!("container.resources.{field}"), what));
        }
        list.insert(name.to_owned(), text.into());
        Ok(())
    };
    add(&mut requests, "cpu", "resourceCpuRequest", &wanted.cpu_request)?;
    add(&mut requests, "memory", "resourceMemoryRequest", &wanted.memory_request)?;
    add(&mut limits, "cpu", "resourceCpuLimit", &wanted.cpu_limit)?;
    add(&mut limits, "memory", "resourceMemoryLimit", &wanted.memory_limit)?;
    if let Some(kind) = given(&wanted.accelerator_type) {
        add(&mut limits, &kind, "accelerator.resourceCount", &wanted.accelerator_count)?;
    }
    let lists = [("requests", requests), ("limits", limits)].into_iter().filter(|(_, list)| !list.is_empty());
    Ok(lists.map(|(name, list)| (name.to_owned(), Value::from(list))).collect::<Map<_, _>>().into())
}

/// Whether a text is a quantity of Kubernetes: a decimal number with a suffix or an exponent.
fn is_quantity(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let has_digits = number.chars().any(|letter| letter.is_ascii_digit()) && number.matches('.').count() <= 1;
    let is_suffix = matches!(
        suffix,
        "" | "n" | "u" | "m" | "k" | "M" | "G" | "T" | "P" | "E" | "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei"
    );
    let exponent = suffix.strip_prefix(['e', 'E']).map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    let is_exponent =
        exponent.is_some_and(|text| !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit()));
    has_digits && (is_suffix || is_exponent)
}

/// The container's security context: no capabilities, as upstream has it. Who wants no root is given what the profile
/// `restricted` of Kubernetes asks for besides, so that such a step runs where that is enforced.
fn security(settings: &Map<String, Value>) -> Value {
    let Some(given) = settings.get("securityContext") else { return Value::Null };
    let mut security = some(given, &["runAsUser", "runAsGroup", "runAsNonRoot"]);
    security.insert("capabilities".to_owned(), json!({"drop": ["ALL"]}));
    if given.get("runAsNonRoot") == Some(&Value::Bool(true)) {
        security.insert("allowPrivilegeEscalation".to_owned(), false.into());
        security.insert("seccompProfile".to_owned(), json!({"type": "RuntimeDefault"}));
    }
    security.into()
}

fn init_containers(settings: &Map<String, Value>) -> Result<Vec<Value>, Fault> {
    let mut containers: Vec<Value> = Vec::new();
    for (index, item) in entries(settings, "initContainers").iter().enumerate() {
        let at = format!("platforms.kubernetes.initContainers[{index}]");
        let name = text(item, "name");
        let is_taken = [super::MAIN, "ferroflow-launcher", "kfp-launcher", ""].contains(&name);
        if is_taken || containers.iter().any(|other| other["name"] == name) {
            return Err(Fault::new(at, format!("has the name {name:?}, which is missing or taken")));
        }
        if text(item, "image").is_empty() {
            return Err(Fault::new(at, "needs an image"));
        }
        let mut container = some(item, &["name", "image", "command", "args", "env", "restartPolicy", "resources"]);
        if container.get("restartPolicy").is_some_and(|policy| policy != "Always") {
            return Err(Fault::new(at, "may only have the restartPolicy Always, which makes it a sidecar"));
        }
        let mounts = item.get("volumeMounts").and_then(Value::as_array).into_iter().flatten();
        let mounts: Vec<Value> = mounts
            .map(|mount| json!({"name": volume_name(text(mount, "volumeName")), "mountPath": mount["mountPath"]}))
            .collect();
        container.insert("volumeMounts".to_owned(), mounts.into());
        let security = json!({
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        });
        container.insert("securityContext".to_owned(), security);
        containers.push(container.into());
    }
    Ok(containers)
}
