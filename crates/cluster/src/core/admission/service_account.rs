//! ServiceAccount: every pod runs as one, and finds its token, the cluster's CA and its namespace below
//! `/var/run/secrets/kubernetes.io/serviceaccount`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Denied, Lookup, Operation, Request, child, items, list, set, text};

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MIRROR: &str = "kubernetes.io/config.mirror";
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
/// An hour, and seven seconds by which to know tokens that clients do not refresh.
const EXPIRATION_SECONDS: i64 = 3607;

/// Sets the default account, mounts its token and takes over its pull secrets.
pub(super) fn mount_token(
    request: &Request,
    lookup: &dyn Lookup,
    object: &mut Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    if !request.creates("", "pods") || is_mirror(object) {
        return Ok(());
    }
    let Some(spec) = child(object, "spec") else { return Ok(()) };
    let name = text(spec, "serviceAccountName").unwrap_or("default").to_owned();
    set(spec, "serviceAccountName", json!(name));
    set(spec, "serviceAccount", json!(name));
    let account = account(request, lookup, object)?;
    let Some(spec) = child(object, "spec") else { return Ok(()) };
    let wishes = [&spec["automountServiceAccountToken"], &account["automountServiceAccountToken"]];
    if wishes.into_iter().find_map(Value::as_bool).unwrap_or(true) {
        mount(request, spec);
    }
    let secrets: Vec<Value> = items(&account, "imagePullSecrets").map(|one| json!({"name": one["name"]})).collect();
    if items(spec, "imagePullSecrets").next().is_none() && !secrets.is_empty() {
        set(spec, "imagePullSecrets", Value::Array(secrets));
    }
    Ok(())
}

fn mount(request: &Request, spec: &mut Value) {
    let existing = items(spec, "volumes").filter_map(|volume| text(volume, "name"));
    let existing = existing.filter(|name| name.starts_with(VOLUME_PREFIX)).map(str::to_owned).next();
    let has_volume = existing.is_some();
    let name = existing.unwrap_or_else(|| format!("{VOLUME_PREFIX}{}", request.suffix));
    let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
    let mut needed = false;
    for field in ["initContainers", "containers"] {
        let Some(containers) = spec.get_mut(field).and_then(Value::as_array_mut) else { continue };
        for container in containers {
            if items(container, "volumeMounts").any(|mount| mount["mountPath"] == MOUNT_PATH) {
                continue;
            }
            if let Some(mounts) = list(container, "volumeMounts") {
                mounts.push(mount.clone());
                needed = true;
            }
        }
    }
    if needed
        && !has_volume
        && let Some(volumes) = list(spec, "volumes")
    {
        volumes.push(json!({"name": name, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": EXPIRATION_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace",
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}));
    }
}

/// Refuses mirror pods that want what only the API server can give.
pub(super) fn require(
    request: &Request,
    _lookup: &dyn Lookup,
    object: &mut Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    if !request.creates("", "pods") || !is_mirror(object) {
        return Ok(());
    }
    let spec = &object["spec"];
    let cause = if text(spec, "serviceAccountName").is_some() {
        "a mirror pod may not reference service accounts"
    } else if secret_users(spec).next().is_some() || items(spec, "imagePullSecrets").next().is_some() {
        "a mirror pod may not reference secrets"
    } else if items(spec, "volumes")
        .flat_map(|volume| items(&volume["projected"], "sources"))
        .any(|source| source["serviceAccountToken"].is_object())
    {
        "a mirror pod may not use ServiceAccountToken volume projections"
    } else {
        return Ok(());
    };
    Err(Denied::forbidden(request, Some(object), cause))
}

/// Holds pods to the secrets of an account that says so.
pub(super) fn check(
    request: &Request,
    lookup: &dyn Lookup,
    object: &Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    let ephemeral = request.subresource == "ephemeralcontainers" && request.operation == Operation::Update;
    if !(request.creates("", "pods") || (request.is("", "pods") && ephemeral)) || is_mirror(object) {
        return Ok(());
    }
    let account = account(request, lookup, object)?;
    let enforce = account["metadata"]["annotations"][ENFORCE].as_str().unwrap_or_default();
    if !matches!(enforce, "1" | "t" | "T" | "true" | "TRUE" | "True") {
        return Ok(());
    }
    let name = text(&account["metadata"], "name").unwrap_or_default();
    let allowed = |secret: &str| items(&account, "secrets").any(|one| one["name"] == secret);
    for (user, secret) in secret_users(&object["spec"]) {
        let concerned = !ephemeral || user.starts_with("ephemeral container");
        if concerned && !allowed(&secret) {
            let joint = if user.starts_with("volume") { "" } else { " referencing" };
            let cause = format!(
                "{user}{joint} secret.secretName=\"{secret}\" is not allowed because service account {name} does not \
                 reference that secret"
            );
            return Err(Denied::forbidden(request, Some(object), cause));
        }
    }
    for (position, secret) in items(&object["spec"], "imagePullSecrets").enumerate() {
        let secret = text(secret, "name").unwrap_or_default();
        if !ephemeral && !items(&account, "imagePullSecrets").any(|one| one["name"] == secret) {
            let cause = format!(
                "imagePullSecrets[{position}].name=\"{secret}\" is not allowed because service account {name} does not \
                 reference that imagePullSecret"
            );
            return Err(Denied::forbidden(request, Some(object), cause));
        }
    }
    Ok(())
}

/// Everything in a pod that names a secret, in words, and the secret.
fn secret_users(spec: &Value) -> impl Iterator<Item = (String, String)> {
    let volumes = items(spec, "volumes").filter_map(|volume| {
        let secret = text(&volume["secret"], "secretName")?;
        Some(("volume with".to_owned(), secret.to_owned()))
    });
    let kinds = [
        ("initContainers", "init container"),
        ("containers", "container"),
        ("ephemeralContainers", "ephemeral container"),
    ];
    let containers = kinds.into_iter().flat_map(move |(field, word)| {
        items(spec, field).flat_map(move |container| {
            let name = text(container, "name").unwrap_or_default();
            let env = items(container, "env").filter_map(move |variable| {
                let secret = text(&variable["valueFrom"]["secretKeyRef"], "name")?;
                let variable = text(variable, "name").unwrap_or_default();
                Some((format!("{word} {name} with envVar {variable}"), secret.to_owned()))
            });
            let all = items(container, "envFrom").filter_map(move |source| {
                let secret = text(&source["secretRef"], "name")?;
                Some((format!("{word} {name} with envFrom"), secret.to_owned()))
            });
            env.chain(all)
        })
    });
    volumes.chain(containers)
}

fn is_mirror(pod: &Value) -> bool {
    pod["metadata"]["annotations"].get(MIRROR).is_some()
}

fn account(request: &Request, lookup: &dyn Lookup, object: &Value) -> Result<Arc<Value>, Denied> {
    let ns = request.namespace;
    let Some(name) = text(&object["spec"], "serviceAccountName") else {
        let pod = text(&object["metadata"], "name").unwrap_or_default();
        let cause = format!("no service account specified for pod {ns}/{pod}");
        return Err(Denied::forbidden(request, Some(object), cause));
    };
    lookup.get("", "serviceaccounts", ns, name).ok_or_else(|| {
        let cause = format!("error looking up service account {ns}/{name}: serviceaccount \"{name}\" not found");
        Denied { passing: name == "default", ..Denied::forbidden(request, Some(object), cause) }
    })
}
