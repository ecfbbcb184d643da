//! Documents of paths that belong to no group version: `/api`, `/apis`, each group, `/version` and the keys of tokens.
//!
//! Their kinds are not in the table of schemas, for nobody sends them; they never change.

use serde_json::{Map, Value, json};

use super::{Dialect, document, paths};
use crate::core::resource::ResourceRef;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const INFO: &str = "io.k8s.apimachinery.pkg.version.Info";
const OBJECT_TYPES: &[&str] = &["application/json", "application/yaml"];

/// What is said of the one operation of a path.
struct Root {
    id: String,
    description: &'static str,
    tag: String,
    content_types: &'static [&'static str],
    /// The definition of the answer; none where it is free-form.
    answer: Option<String>,
}

/// The paths of these documents in the index.
pub fn root_paths(rows: &[ResourceRef]) -> Vec<String> {
    let mut paths: Vec<String> =
        [".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version"].map(str::to_owned).to_vec();
    for row in rows.iter().filter(|row| !row.custom && !row.group.is_empty()) {
        let path = format!("apis/{}", row.group);
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// The document of such a path; none where it is another.
pub fn document_of_root(rows: &[ResourceRef], path: &str) -> Option<Value> {
    if !root_paths(rows).iter().any(|known| known == path) {
        return None;
    }
    let root = root(path)?;
    let schema = root.answer.as_ref().map_or_else(|| json!({"type": "string"}), |name| Dialect::V3.reference(name));
    let content: Map<String, Value> =
        root.content_types.iter().map(|name| ((*name).to_owned(), json!({"schema": schema}))).collect();
    let operation = json!({
        "description": root.description,
        "operationId": root.id,
        "tags": [root.tag],
        "responses": {"200": {"content": content, "description": "OK"}, "401": {"description": "Unauthorized"}},
    });
    let paths = Map::from_iter([(format!("/{path}/"), json!({"get": operation}))]);
    let mut schemas = Map::new();
    if let Some(name) = &root.answer {
        add(&mut schemas, name);
    }
    Some(document(paths, schemas))
}

fn root(path: &str) -> Option<Root> {
    let kind = |name: &str| Some(format!("{META}.{name}"));
    let (id, description, tag, content_types, answer) = match path {
        "api" => ("getCoreAPIVersions", "get available API versions", "core", OBJECT_TYPES, kind("APIVersions")),
        "apis" => ("getAPIVersions", "get available API versions", "apis", OBJECT_TYPES, kind("APIGroupList")),
        "version" => {
            let description = "get the version information for this server";
            ("getCodeVersion", description, "version", &["application/json"][..], Some(INFO.to_owned()))
        }
        "openid/v1/jwks" => (
            "getServiceAccountIssuerOpenIDKeyset",
            "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
            "openid",
            &["application/jwk-set+json"][..],
            None,
        ),
        ".well-known/openid-configuration" => (
            "getServiceAccountIssuerOpenIDConfiguration",
            "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
            "WellKnown",
            &["application/json"][..],
            None,
        ),
        group => {
            let group = group.strip_prefix("apis/")?;
            let (id, tag) = (format!("get{}APIGroup", paths::camel(group, "")), paths::short_group(group).join(""));
            let (description, answer) = ("get information of a group", kind("APIGroup"));
            return Some(Root { id, description, tag, content_types: OBJECT_TYPES, answer });
        }
    };
    Some(Root { id: id.to_owned(), description, tag: tag.to_owned(), content_types, answer })
}

/// Adds a definition with those that it refers to.
fn add(schemas: &mut Map<String, Value>, name: &str) {
    let text = || json!({"default": "", "type": "string"});
    let meta = |name: &str| format!("{META}.{name}");
    let refer = |name: &str| json!({"allOf": [Dialect::V3.reference(&meta(name))], "default": {}});
    let list = |items: Value| json!({"items": items, "type": "array", "x-kubernetes-list-type": "atomic"});
    let (properties, required, parts): (Value, &[&str], &[&str]) = match name.rsplit('.').next().unwrap_or_default() {
        "APIVersions" => (
            json!({"versions": list(text()), "serverAddressByClientCIDRs": list(refer("ServerAddressByClientCIDR"))}),
            &["versions", "serverAddressByClientCIDRs"],
            &["ServerAddressByClientCIDR"],
        ),
        "APIGroupList" => (json!({"groups": list(refer("APIGroup"))}), &["groups"], &["APIGroup"]),
        "APIGroup" => (
            json!({
                "name": text(),
                "versions": list(refer("GroupVersionForDiscovery")),
                "preferredVersion": refer("GroupVersionForDiscovery"),
                "serverAddressByClientCIDRs": list(refer("ServerAddressByClientCIDR")),
            }),
            &["name", "versions"],
            &["GroupVersionForDiscovery", "ServerAddressByClientCIDR"],
        ),
        "GroupVersionForDiscovery" => {
            (json!({"groupVersion": text(), "version": text()}), &["groupVersion", "version"], &[])
        }
        "ServerAddressByClientCIDR" => {
            (json!({"clientCIDR": text(), "serverAddress": text()}), &["clientCIDR", "serverAddress"], &[])
        }
        _ => return drop(schemas.insert(INFO.to_owned(), info())),
    };
    let mut schema = json!({"type": "object", "properties": properties, "required": required});
    if let Some(kind) = name.rsplit('.').next().filter(|kind| kind.starts_with("API")) {
        schema["properties"]["apiVersion"] = json!({"type": "string"});
        schema["properties"]["kind"] = json!({"type": "string"});
        schema["x-kubernetes-group-version-kind"] = json!([{"group": "", "version": "v1", "kind": kind}]);
    }
    schemas.insert(name.to_owned(), schema);
    for part in parts {
        add(schemas, &meta(part));
    }
}

fn info() -> Value {
    const REQUIRED: [&str; 9] =
        ["major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"];
    let optional = ["emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor"];
    let required = REQUIRED.iter().map(|name| ((*name).to_owned(), json!({"default": "", "type": "string"})));
    let optional = optional.iter().map(|name| ((*name).to_owned(), json!({"type": "string"})));
    let properties: Map<String, Value> = required.chain(optional).collect();
    json!({"type": "object", "properties": properties, "required": REQUIRED})
}
