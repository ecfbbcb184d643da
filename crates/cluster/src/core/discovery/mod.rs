//! Discovery documents: which groups, versions and resources there are, in the legacy and the aggregated form.
//!
//! Everything derives from the rows of resources, those of CustomResourceDefinitions included, in the order in
//! which they are given: built-in groups first, custom groups after them by name. Whether a custom resource is
//! established, and which form a client asked for, is decided elsewhere.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::core::resource::{Resource, ResourceRef, Scope, Subresource};

/// Which part of the API an aggregated document tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// `/api`: the core group.
    Core,
    /// `/apis`: every other group.
    Groups,
}

/// The version of an aggregated document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    V2,
    V2Beta1,
}

impl Form {
    /// The API version of the document.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V2 => "apidiscovery.k8s.io/v2",
            Self::V2Beta1 => "apidiscovery.k8s.io/v2beta1",
        }
    }

    /// The content type that an aggregated reply carries.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::V2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        }
    }
}

/// Resources whose storage version is not the served one, for [`storage_version_hash`].
const STORAGE_VERSIONS: &[(&str, &str, &str)] = &[
    ("apiextensions.k8s.io", "CustomResourceDefinition", "apiextensions.k8s.io/v1beta1/CustomResourceDefinition"),
    ("autoscaling", "HorizontalPodAutoscaler", "autoscaling/v2/HorizontalPodAutoscaler"),
    ("events.k8s.io", "Event", "/v1/Event"),
    ("storage.k8s.io", "VolumeAttributesClass", "storage.k8s.io/v1beta1/VolumeAttributesClass"),
];

/// `/api` in its legacy form; `server_address` is `host:port`.
pub fn api_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `/apis` in its legacy form.
pub fn groups(rows: &[ResourceRef]) -> Value {
    let groups: Vec<Value> = group_order(rows).into_iter().filter_map(|name| group_entry(rows, name)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/{group}`; none where no row has the group.
pub fn group(rows: &[ResourceRef], name: &str) -> Option<Value> {
    let mut entry = group_entry(rows, name)?;
    entry["kind"] = json!("APIGroup");
    entry["apiVersion"] = json!("v1");
    Some(entry)
}

/// `/api/v1` or `/apis/{group}/{version}` in its legacy form; none where no row has the group version.
pub fn resources(rows: &[ResourceRef], group: &str, version: &str) -> Option<Value> {
    let found: Vec<&ResourceRef> = rows.iter().filter(|row| row.group == group && row.version == version).collect();
    let first = found.first()?;
    let mut document = json!({"kind": "APIResourceList", "groupVersion": first.api_version()});
    if !group.is_empty() {
        document["apiVersion"] = json!("v1");
    }
    let mut entries = BTreeMap::new();
    for row in found {
        entries.insert((row.plural.clone(), 0), legacy_resource(row));
        for (index, subresource) in row.subresources.iter().enumerate() {
            let name = format!("{}/{}", row.plural, subresource.name);
            // Built-in ones come by name, those of a custom resource as its definition has them.
            let place = if row.custom { (row.plural.clone(), index + 1) } else { (name.clone(), 0) };
            entries.insert(place, legacy_subresource(row, subresource, &name));
        }
    }
    document["resources"] = entries.into_values().collect();
    Some(document)
}

/// The aggregated document of `/api` or `/apis`.
pub fn aggregated(rows: &[ResourceRef], root: Root, form: Form) -> Value {
    let names = match root {
        Root::Core => vec![""],
        Root::Groups => group_order(rows),
    };
    let items: Vec<Value> = names.into_iter().map(|name| aggregated_group(rows, name)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": form.api_version(), "metadata": {}, "items": items})
}

/// The hash by which clients notice that a resource changed the version that it is stored in.
///
/// Follows `pkg/endpoints/discovery/storageversionhash.go` of the API server.
pub fn storage_version_hash(group: &str, version: &str, kind: &str) -> String {
    let own = format!("{group}/{version}/{kind}");
    let known = STORAGE_VERSIONS.iter().find(|row| row.0 == group && row.1 == kind);
    let digest = Sha256::digest(known.map_or(own.as_str(), |row| row.2).as_bytes());
    STANDARD.encode(digest.get(..8).unwrap_or_default())
}

/// Orders versions from the preferred to the least: `v2`, `v1`, `v1beta2`, `v1alpha1`, then other names.
pub fn compare_versions(left: &str, right: &str) -> Ordering {
    match (version_rank(left), version_rank(right)) {
        (Some(left), Some(right)) => right.cmp(&left),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => left.cmp(right),
    }
}

/// Stability, major and minor number of a version's name.
fn version_rank(name: &str) -> Option<(u8, u64, u64)> {
    let rest = name.strip_prefix('v')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, rest) = rest.split_at(digits);
    if major.starts_with('0') {
        return None;
    }
    let major = major.parse().ok()?;
    if rest.is_empty() {
        return Some((2, major, 0));
    }
    let (stability, minor) = match rest.strip_prefix("beta") {
        Some(minor) => (1, minor),
        None => (0, rest.strip_prefix("alpha")?),
    };
    if minor.starts_with('0') || !minor.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((stability, major, minor.parse().ok()?))
}

/// Names of all groups but the core's: built-in ones as they come, custom ones sorted.
fn group_order(rows: &[ResourceRef]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| !row.custom && !row.group.is_empty()) {
        if !names.contains(&row.group.as_str()) {
            names.push(&row.group);
        }
    }
    let mut custom: Vec<&str> = rows.iter().filter(|row| row.custom).map(|row| row.group.as_str()).collect();
    custom.sort_unstable();
    custom.dedup();
    custom.retain(|name| !names.contains(name));
    names.extend(custom);
    names
}

fn group_versions<'a>(rows: &'a [ResourceRef], group: &str) -> Vec<&'a str> {
    let mut versions: Vec<&str> =
        rows.iter().filter(|row| row.group == group).map(|row| row.version.as_str()).collect();
    versions.sort_unstable_by(|left, right| compare_versions(left, right));
    versions.dedup();
    versions
}

fn group_entry(rows: &[ResourceRef], name: &str) -> Option<Value> {
    let versions: Vec<Value> = group_versions(rows, name)
        .into_iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    let preferred = versions.first()?.clone();
    Some(json!({"name": name, "versions": versions, "preferredVersion": preferred}))
}

fn legacy_resource(row: &Resource) -> Value {
    let mut entry = Map::new();
    entry.insert("name".to_owned(), json!(row.plural));
    entry.insert("singularName".to_owned(), json!(row.singular));
    entry.insert("namespaced".to_owned(), json!(row.namespaced()));
    entry.insert("kind".to_owned(), json!(row.kind));
    entry.insert("verbs".to_owned(), json!(row.verbs));
    add_names(&mut entry, row);
    if row.stored() {
        let hash = storage_version_hash(&row.group, &row.version, &row.kind);
        entry.insert("storageVersionHash".to_owned(), json!(hash));
    }
    Value::Object(entry)
}

fn legacy_subresource(row: &Resource, subresource: &Subresource, name: &str) -> Value {
    let mut entry = json!({
        "name": name,
        "singularName": "",
        "namespaced": row.namespaced(),
        "kind": row.kind,
        "verbs": subresource.verbs,
    });
    if let Some((group, version, kind)) = &subresource.kind {
        entry["kind"] = json!(kind);
        if (group, version) != (&row.group, &row.version) {
            entry["group"] = json!(group);
            entry["version"] = json!(version);
        }
    }
    entry
}

fn add_names(entry: &mut Map<String, Value>, row: &Resource) {
    if !row.short_names.is_empty() {
        entry.insert("shortNames".to_owned(), json!(row.short_names));
    }
    if !row.categories.is_empty() {
        entry.insert("categories".to_owned(), json!(row.categories));
    }
}

fn aggregated_group(rows: &[ResourceRef], name: &str) -> Value {
    let versions: Vec<Value> = group_versions(rows, name)
        .into_iter()
        .map(|version| {
            let mut own: Vec<&ResourceRef> =
                rows.iter().filter(|row| row.group == name && row.version == version).collect();
            own.sort_by(|left, right| left.plural.cmp(&right.plural));
            let resources: Vec<Value> = own.into_iter().map(|row| aggregated_resource(row)).collect();
            json!({"version": version, "resources": resources, "freshness": "Current"})
        })
        .collect();
    let metadata = if name.is_empty() { json!({}) } else { json!({"name": name}) };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(row: &Resource) -> Value {
    let mut entry = Map::new();
    let scope = match row.scope {
        Scope::Cluster => "Cluster",
        Scope::Namespaced => "Namespaced",
    };
    entry.insert("resource".to_owned(), json!(row.plural));
    entry.insert("singularResource".to_owned(), json!(row.singular));
    entry.insert("scope".to_owned(), json!(scope));
    entry.insert("verbs".to_owned(), json!(row.verbs));
    entry.insert("responseKind".to_owned(), response_kind(row, None));
    add_names(&mut entry, row);
    let mut subresources: Vec<&Subresource> = row.subresources.iter().collect();
    if !row.custom {
        subresources.sort_by(|left, right| left.name.cmp(&right.name));
    }
    let subresources: Vec<Value> = subresources
        .into_iter()
        .map(|subresource| {
            let kind = response_kind(row, subresource.kind.as_ref());
            json!({"subresource": subresource.name, "responseKind": kind, "verbs": subresource.verbs})
        })
        .collect();
    if !subresources.is_empty() {
        entry.insert("subresources".to_owned(), Value::Array(subresources));
    }
    Value::Object(entry)
}

/// A built-in kind of the document's own group version stands without those two.
fn response_kind(row: &Resource, kind: Option<&(String, String, String)>) -> Value {
    let (group, version, kind) = match kind {
        Some((group, version, kind)) => (group, version, kind),
        None => (&row.group, &row.version, &row.kind),
    };
    if !row.custom && (group, version) == (&row.group, &row.version) {
        return json!({"group": "", "version": "", "kind": kind});
    }
    json!({"group": group, "version": version, "kind": kind})
}
