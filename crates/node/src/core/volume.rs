//! What the files of a volume hold that is made from objects: configMap, secret, downwardAPI, projected.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, Volume, VolumeProjection,
};

use super::{
    env::{References, Sources},
    fields::{self, Facts},
    ownership,
};

/// The mode of a file where nothing else is said.
const DEFAULT_MODE: u32 = 0o644;

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub content: Vec<u8>,
    pub mode: u32,
    /// The user that it belongs to, where that is another than the server's.
    pub owner: Option<u32>,
}

impl File {
    fn new(content: Vec<u8>, mode: u32) -> Self {
        Self { content, mode, owner: None }
    }
}

/// A volume's files by their path in it.
pub type Files = BTreeMap<String, File>;

/// A token that must be asked for before a volume can be made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenRequest {
    pub audience: String,
    pub expiration_s: i64,
}

/// Everything that files are made from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub pod: &'a Pod,
    pub sources: &'a Sources,
    pub tokens: &'a BTreeMap<TokenRequest, String>,
    pub facts: &'a Facts,
    pub giving: Giving,
}

/// Whether files can be given to other users than the server's own: root can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Giving {
    Possible,
    Impossible,
}

/// Adds the objects that a volume refers to.
pub fn references(volume: &Volume, found: &mut References) {
    found.config_maps.extend(volume.config_map.as_ref().map(|source| source.name.clone()));
    found.secrets.extend(volume.secret.as_ref().and_then(|source| source.secret_name.clone()));
    for source in projections(volume) {
        found.config_maps.extend(source.config_map.as_ref().map(|source| source.name.clone()));
        found.secrets.extend(source.secret.as_ref().map(|source| source.name.clone()));
    }
}

/// The tokens that a volume needs.
pub fn token_requests(volume: &Volume) -> Vec<TokenRequest> {
    let sources = projections(volume).filter_map(|source| source.service_account_token.as_ref());
    let request = |source: &k8s_openapi::api::core::v1::ServiceAccountTokenProjection| TokenRequest {
        audience: source.audience.clone().unwrap_or_default(),
        expiration_s: source.expiration_seconds.unwrap_or(3600),
    };
    sources.map(request).collect()
}

fn projections(volume: &Volume) -> impl Iterator<Item = &VolumeProjection> {
    volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten())
}

/// The files of a volume that is made from objects; `None` for any other volume.
///
/// # Errors
/// What is missing, in a kubelet's words.
pub fn files(volume: &Volume, inputs: Inputs<'_>) -> Result<Option<Files>, String> {
    let mut files = Files::new();
    if let Some(source) = &volume.config_map {
        let mode = mode(source.default_mode, DEFAULT_MODE);
        let optional = source.optional.unwrap_or(false);
        config_map(&mut files, inputs, &source.name, source.items.as_deref(), mode, optional)?;
    } else if let Some(source) = &volume.secret {
        let mode = mode(source.default_mode, DEFAULT_MODE);
        let optional = source.optional.unwrap_or(false);
        let name = source.secret_name.as_deref().unwrap_or_default();
        secret(&mut files, inputs, name, source.items.as_deref(), mode, optional)?;
    } else if let Some(source) = &volume.downward_api {
        downward(&mut files, inputs, source.items.as_deref(), mode(source.default_mode, DEFAULT_MODE))?;
    } else if let Some(source) = &volume.projected {
        let mode = mode(source.default_mode, DEFAULT_MODE);
        for projection in source.sources.iter().flatten() {
            project(&mut files, inputs, projection, mode)?;
        }
    } else {
        return Ok(None);
    }
    Ok(Some(files))
}

fn mode(wanted: Option<i32>, default: u32) -> u32 {
    wanted.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(default) & 0o777
}

fn project(files: &mut Files, inputs: Inputs<'_>, source: &VolumeProjection, mode: u32) -> Result<(), String> {
    if let Some(source) = &source.config_map {
        let optional = source.optional.unwrap_or(false);
        config_map(files, inputs, &source.name, source.items.as_deref(), mode, optional)?;
    }
    if let Some(source) = &source.secret {
        let optional = source.optional.unwrap_or(false);
        secret(files, inputs, &source.name, source.items.as_deref(), mode, optional)?;
    }
    if let Some(source) = &source.downward_api {
        downward(files, inputs, source.items.as_deref(), mode)?;
    }
    if let Some(source) = &source.service_account_token {
        let request = TokenRequest {
            audience: source.audience.clone().unwrap_or_default(),
            expiration_s: source.expiration_seconds.unwrap_or(3600),
        };
        let token = inputs.tokens.get(&request).ok_or("failed to fetch token")?;
        let mut file = File::new(token.clone().into_bytes(), mode);
        if inputs.giving == Giving::Possible {
            file.mode = ownership::token_mode(inputs.pod, mode);
            file.owner = ownership::fs_user(inputs.pod);
        }
        insert(files, &source.path, file)?;
    }
    if source.cluster_trust_bundle.is_some() {
        return Err("projections of cluster trust bundles are not supported".to_owned());
    }
    Ok(())
}

fn config_map(
    files: &mut Files,
    inputs: Inputs<'_>,
    name: &str,
    items: Option<&[KeyToPath]>,
    mode: u32,
    optional: bool,
) -> Result<(), String> {
    let map = match inputs.sources.config_maps.get(name) {
        Some(map) => map.clone(),
        None if optional => ConfigMap::default(),
        None => return Err(format!("configmap {name:?} not found")),
    };
    let mut data: BTreeMap<String, Vec<u8>> =
        map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes())).collect();
    data.extend(map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0)));
    choose(files, data, items, mode, if optional { None } else { Some("config") })
}

fn secret(
    files: &mut Files,
    inputs: Inputs<'_>,
    name: &str,
    items: Option<&[KeyToPath]>,
    mode: u32,
    optional: bool,
) -> Result<(), String> {
    let secret = match inputs.sources.secrets.get(name) {
        Some(secret) => secret.clone(),
        None if optional => Secret::default(),
        None => return Err(format!("secret {name:?} not found")),
    };
    let data = secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect();
    choose(files, data, items, mode, if optional { None } else { Some("secret") })
}

/// Puts data into files: all keys, or the chosen ones. `required` names the kind that must have them.
fn choose(
    files: &mut Files,
    mut data: BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    default_mode: u32,
    required: Option<&str>,
) -> Result<(), String> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        for (key, content) in data {
            insert(files, &key, File::new(content, default_mode))?;
        }
        return Ok(());
    };
    for item in items {
        match (data.remove(&item.key), required) {
            (Some(content), _) => insert(files, &item.path, File::new(content, mode(item.mode, default_mode)))?,
            (None, None) => {}
            (None, Some(kind)) => return Err(format!("references non-existent {kind} key: {}", item.key)),
        }
    }
    Ok(())
}

fn downward(
    files: &mut Files,
    inputs: Inputs<'_>,
    items: Option<&[DownwardAPIVolumeFile]>,
    default_mode: u32,
) -> Result<(), String> {
    for item in items.into_iter().flatten() {
        let text = if let Some(field) = &item.field_ref {
            fields::pod_field(inputs.pod, &field.field_path, inputs.facts)?
        } else if let Some(selector) = &item.resource_field_ref {
            let name = selector.container_name.as_deref().unwrap_or_default();
            let container = find_container(inputs.pod, name).ok_or(format!("container {name} not found"))?;
            fields::resource_field(selector, container, inputs.facts)?
        } else {
            continue;
        };
        insert(files, &item.path, File::new(text.into_bytes(), mode(item.mode, default_mode)))?;
    }
    Ok(())
}

fn find_container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|container| container.name == name)
}

/// A path comes from an object and must stay in the volume, whatever the server let pass.
fn insert(files: &mut Files, path: &str, file: File) -> Result<(), String> {
    let escapes = path.starts_with('/') || path.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if escapes || path.starts_with("..") {
        return Err(format!("invalid path: {path:?} leaves the volume"));
    }
    files.insert(path.to_owned(), file);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(volume: serde_json::Value, expect: Result<&[(&str, &str, u32)], &str>) {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "labels": {"app": "x"}},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}
        }))
        .unwrap();
        let mut sources = Sources::default();
        let map = json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "Mw=="}});
        sources.config_maps.insert("cm".to_owned(), serde_json::from_value(map).unwrap());
        sources.secrets.insert("s".to_owned(), serde_json::from_value(json!({"data": {"k": "aHVzaA=="}})).unwrap());
        let token = TokenRequest { audience: "api".to_owned(), expiration_s: 600 };
        let tokens = BTreeMap::from([(token, "jwt".to_owned())]);
        let facts = Facts::default();
        let volume = serde_json::from_value(volume).unwrap();
        let files = files(
            &volume,
            Inputs { pod: &pod, sources: &sources, tokens: &tokens, facts: &facts, giving: Giving::Impossible },
        );
        let row =
            |(path, text, mode): &(&str, &str, u32)| ((*path).to_owned(), File::new(text.as_bytes().to_vec(), *mode));
        let expect = expect.map(|rows| Some(rows.iter().map(row).collect::<Files>())).map_err(str::to_owned);
        assert_eq!(files, expect);
    }

    #[test]
    fn files_are_made_from_objects() {
        check(
            json!({"name": "v", "configMap": {"name": "cm"}}),
            Ok(&[("a", "1", 0o644), ("b", "2", 0o644), ("c", "3", 0o644)]),
        );
        check(
            json!({"name": "v", "secret": {"secretName": "s", "defaultMode": 256, "items": [{"key": "k", "path": "d/e"}]}}),
            Ok(&[("d/e", "hush", 0o400)]),
        );
        check(
            json!({"name": "v", "projected": {"sources": [
                {"serviceAccountToken": {"audience": "api", "expirationSeconds": 600, "path": "token"}},
                {"downwardAPI": {"items": [
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                    {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}, "mode": 384}]}},
                {"configMap": {"name": "none", "optional": true}}]}}),
            Ok(&[("token", "jwt", 0o644), ("labels", "app=\"x\"", 0o644), ("cpu", "2", 0o600)]),
        );
    }

    #[test]
    fn what_is_missing_or_escapes_is_refused() {
        check(json!({"name": "v", "configMap": {"name": "none"}}), Err("configmap \"none\" not found"));
        check(
            json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}}),
            Err("references non-existent config key: z"),
        );
        check(
            json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "a", "path": "../a"}]}}),
            Err("invalid path: \"../a\" leaves the volume"),
        );
    }
}
