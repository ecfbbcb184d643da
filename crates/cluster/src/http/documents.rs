//! Documents about the API itself: discovery, OpenAPI, version, health, the keys of tokens.
//!
//! They are made when first asked for and kept until the registry changes.

use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use ferroflow_api::names;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    body::{self, Body},
    metrics as figures, negotiate,
    server::{self, Api},
};
use crate::{
    auth::token,
    core::{
        discovery::{self, Form, Root},
        openapi,
        path::Discovery,
        resource::ResourceRef,
        schema::Table,
        status::Outcome,
    },
    registry::Rules,
};

/// A document's bytes as they are sent.
#[derive(Clone)]
struct Document {
    plain: Bytes,
    zipped: Bytes,
    /// With its quotes, as `ETag` carries it.
    tag: String,
}

/// Documents of this size or more are worth zipping.
const ZIP_FROM_BYTES: usize = 8 << 10;

impl Document {
    fn new(value: &Value) -> Self {
        let plain = Bytes::from(value.to_string());
        let digest = Sha256::digest(&plain);
        let hex: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        let zipped = if plain.len() < ZIP_FROM_BYTES { Bytes::new() } else { zip(&plain).unwrap_or_default() };
        Self { plain, zipped, tag: format!("\"{hex}\"") }
    }

    fn respond(&self, parts: &Parts, content_type: &str) -> Response<Body> {
        let text = |name: header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let known = text(header::IF_NONE_MATCH).is_some_and(|tags| tags.contains(&self.tag));
        let zips = negotiate::takes_gzip(&parts.headers) && !self.zipped.is_empty();
        let mut response = match (known, zips) {
            (true, _) => Response::new(body::full(Bytes::new())),
            (false, true) => Response::new(body::full(self.zipped.clone())),
            (false, false) => Response::new(body::full(self.plain.clone())),
        };
        let headers = response.headers_mut();
        server::set(headers, header::ETAG, &self.tag);
        server::set(headers, header::VARY, "Accept");
        server::set(headers, header::CACHE_CONTROL, "public");
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        server::set(headers, header::CONTENT_TYPE, content_type);
        if zips {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

fn zip(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}

/// Documents of one generation of the registry.
#[derive(Default)]
struct Made {
    generation: u64,
    by_name: HashMap<String, Document>,
}

impl Made {
    fn find(&self, generation: u64, name: &str) -> Option<Document> {
        self.by_name.get(name).filter(|_| self.generation == generation).cloned()
    }

    /// Keeps a document that was made of a generation, unless a later one has been seen meanwhile.
    fn keep(&mut self, generation: u64, name: &str, document: &Document) {
        if self.generation < generation {
            *self = Self { generation, by_name: HashMap::new() };
        }
        if self.generation == generation {
            self.by_name.insert(name.to_owned(), document.clone());
        }
    }
}

/// The documents.
#[derive(Default)]
pub struct Documents {
    made: Mutex<Made>,
}

impl Documents {
    /// The document of a name; it is made where the registry has changed since.
    fn get(&self, api: &Api, name: &str, make: impl FnOnce(&[ResourceRef]) -> Option<Value>) -> Option<Document> {
        // Before anything is read of the registry: what is read later may be newer than this, and never older.
        let generation = api.registry.generation() + api.aggregated.generation();
        if let Some(document) = self.made().find(generation, name) {
            return Some(document);
        }
        let document = Document::new(&make(&rows(api))?);
        self.made().keep(generation, name, &document);
        Some(document)
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `/api`, `/apis` and what lies below.
    pub fn discovery(&self, api: &Api, asked: &Discovery, parts: &Parts) -> Option<Response<Body>> {
        // A node comes after the server has begun to answer.
        let metrics = figures::rows(api);
        let suffix = if metrics.is_empty() { "" } else { " with metrics" };
        let all = |rows: &[ResourceRef]| {
            let others = api.aggregated.rows();
            // What another server answers for stands before what this one would say of the same group.
            let is_told = |row: &&ResourceRef| others.iter().any(|other| other.api_version() == row.api_version());
            let own = rows.iter().chain(&metrics).filter(|row| !is_told(row));
            own.chain(&others).cloned().collect::<Vec<_>>()
        };
        let root = match asked {
            Discovery::CoreVersions => Some(Root::Core),
            Discovery::Groups => Some(Root::Groups),
            Discovery::Group(_) | Discovery::Resources { .. } => None,
        };
        if let (Some(root), Some(form)) = (root, aggregated_form(parts)) {
            let document = self.get(api, &format!("{root:?} {form:?}{suffix}"), |rows| {
                Some(discovery::aggregated(&all(rows), root, form))
            })?;
            return Some(document.respond(parts, form.content_type()));
        }
        let name = format!("{}{suffix}", parts.uri.path());
        let document = self.get(api, &name, |rows| match asked {
            Discovery::CoreVersions => Some(discovery::api_versions("127.0.0.1")),
            Discovery::Groups => Some(discovery::groups(&all(rows))),
            Discovery::Group(group) => discovery::group(&all(rows), group),
            Discovery::Resources { group, version } => discovery::resources(&all(rows), group, version),
        })?;
        Some(document.respond(parts, "application/json"))
    }

    /// Everything that is neither a resource nor discovery; `None` where there is nothing.
    pub fn other(&self, api: &Arc<Api>, words: &[&str], parts: &Parts) -> Option<Outcome<Response<Body>>> {
        match words {
            ["version"] => Some(Ok(server::json(&version(), StatusCode::OK))),
            [check @ ("healthz" | "livez" | "readyz")] => Some(Ok(text(&health(check, parts)))),
            ["healthz" | "livez" | "readyz", _] => Some(Ok(text("ok"))),
            ["metrics"] => Some(Ok(text(&metrics(api)))),
            ["openid", "v1", "jwks"] => Some(Ok(server::json(&api.authenticator.key.key_set(), StatusCode::OK))),
            [".well-known", "openid-configuration"] => Some(Ok(server::json(&openid(), StatusCode::OK))),
            ["openapi", "v2"] => {
                let made = self.get(api, "openapi v2", |rows| {
                    let customs = customs(api);
                    Some(openapi::document_v2(Table::builtin(), rows, &schemas(&customs), names::KUBERNETES_VERSION))
                });
                made.map(|document| Ok(document.respond(parts, "application/json")))
            }
            ["openapi", "v3"] => self.index(api).map(|document| Ok(document.respond(parts, "application/json"))),
            ["openapi", "v3", rest @ ..] => {
                let document = self.described(api, &rest.join("/"))?;
                Some(Ok(document.respond(parts, "application/json")))
            }
            [] => Some(Ok(server::json(&paths(api), StatusCode::OK))),
            _ => None,
        }
    }

    fn index(&self, api: &Api) -> Option<Document> {
        self.get(api, "openapi v3", |rows| {
            let mut paths = openapi::root_paths(rows);
            paths.extend(group_versions(api));
            let hashes: Vec<(String, String)> = paths
                .into_iter()
                .filter_map(|path| {
                    let document = self.described(api, &path)?;
                    Some((path, document.tag.trim_matches('"').to_owned()))
                })
                .collect();
            Some(openapi::index(&hashes))
        })
    }

    /// The document of a path of the index: of a group version, or of one of the paths above them.
    fn described(&self, api: &Api, path: &str) -> Option<Document> {
        let (group, version) = match path.split('/').collect::<Vec<_>>()[..] {
            ["api", version] => ("", version),
            ["apis", group, version] => (group, version),
            _ => return self.get(api, &format!("openapi v3 {path}"), |rows| openapi::document_of_root(rows, path)),
        };
        self.get(api, &format!("openapi v3 {path}"), |rows| {
            let customs = customs(api);
            openapi::document_v3(Table::builtin(), rows, &schemas(&customs), group, version)
        })
    }
}

fn rows(api: &Api) -> Vec<ResourceRef> {
    api.registry.all().iter().map(|served| served.resource.clone()).collect()
}

fn aggregated_form(parts: &Parts) -> Option<Form> {
    let accept = parts.headers.get(header::ACCEPT)?.to_str().ok()?;
    for range in negotiate::ranges(accept) {
        if range.media_type == "application/json" && range.parameter("as") == Some("APIGroupDiscoveryList") {
            match range.parameter("v") {
                Some("v2") => return Some(Form::V2),
                Some("v2beta1") => return Some(Form::V2Beta1),
                _ => {}
            }
        } else if matches!(range.media_type, "application/json" | "*/*") {
            return None;
        }
    }
    None
}

/// The custom resources that are served, with their definitions.
fn customs(api: &Api) -> Vec<(ResourceRef, Arc<Value>)> {
    let definitions = api.registry.definitions();
    let rows = definitions.iter().flat_map(|one| one.versions.iter().map(|served| (served, one.crd.clone())));
    rows.map(|(served, crd)| (served.resource.clone(), crd)).collect()
}

/// The schemas that are published for them.
fn schemas(customs: &[(ResourceRef, Arc<Value>)]) -> Vec<openapi::CustomSchema<'_>> {
    let schema = |row: &ResourceRef, crd: &'_ Value| {
        let versions = crd["spec"]["versions"].as_array();
        versions.and_then(|all| all.iter().position(|version| version["name"] == row.version.as_str()))
    };
    customs
        .iter()
        .map(|(row, crd)| openapi::CustomSchema {
            row: row.clone(),
            schema: match schema(row, crd) {
                Some(at) if crd["spec"]["preserveUnknownFields"] != true => {
                    &crd["spec"]["versions"][at]["schema"]["openAPIV3Schema"]
                }
                _ => &Value::Null,
            },
        })
        .collect()
}

fn group_versions(api: &Api) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for served in api.registry.all() {
        let version = served.resource.api_version();
        let path = if served.resource.group.is_empty() { format!("api/{version}") } else { format!("apis/{version}") };
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

fn text(words: &str) -> Response<Body> {
    let mut response = Response::new(body::full(words.to_owned()));
    server::set(response.headers_mut(), header::CONTENT_TYPE, "text/plain; charset=utf-8");
    response
}

/// The server answers, so it is well; a store that cannot be written ends the process.
fn health(check: &str, parts: &Parts) -> String {
    let is_verbose = parts.uri.query().is_some_and(|query| query.split('&').any(|word| word.starts_with("verbose")));
    if !is_verbose {
        return "ok".to_owned();
    }
    format!("[+]ping ok\n[+]log ok\n[+]store ok\n{check} check passed\n")
}

fn version() -> Value {
    let full = names::KUBERNETES_VERSION;
    let mut numbers = full.trim_start_matches('v').split('.');
    json!({
        "major": numbers.next(),
        "minor": numbers.next(),
        "emulationMajor": "1",
        "emulationMinor": "34",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "33",
        "gitVersion": full,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    })
}

fn openid() -> Value {
    json!({
        "issuer": token::ISSUER,
        "jwks_uri": format!("{}/openid/v1/jwks", token::ISSUER),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

fn paths(api: &Api) -> Value {
    let mut paths: Vec<String> = Vec::new();
    for path in group_versions(api) {
        if let Some((group, _)) = path.strip_prefix("apis/").and_then(|rest| rest.split_once('/')) {
            paths.push(format!("/apis/{group}"));
        }
        paths.push(format!("/{path}"));
    }
    for path in [
        "/api",
        "/apis",
        "/healthz",
        "/healthz/ping",
        "/livez",
        "/livez/ping",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/readyz/ping",
        "/version",
    ] {
        paths.push(path.to_owned());
    }
    paths.sort();
    paths.dedup();
    json!({ "paths": paths })
}

/// What a Prometheus server reads: object counts and the revision.
fn metrics(api: &Api) -> String {
    let mut text = String::from(
        "# HELP apiserver_storage_objects Number of stored objects by resource.\n\
         # TYPE apiserver_storage_objects gauge\n",
    );
    for served in api.registry.all() {
        if served.is_stored_version() && !matches!(&served.rules, Rules::Builtin if served.resource.verbs.len() == 1) {
            let storage = &served.resource.storage;
            text.push_str(&format!("apiserver_storage_objects{{resource={storage:?}}} {}\n", api.store.count(storage)));
        }
    }
    text.push_str(&format!(
        "# HELP ferroflow_store_revision Newest durable revision.\n\
         # TYPE ferroflow_store_revision gauge\nferroflow_store_revision {}\n",
        api.store.revision()
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_an_earlier_generation_never_stands_for_a_later_one() {
        let (mut made, old, new) = (Made::default(), Document::new(&json!(1)), Document::new(&json!(2)));
        // One that began before a definition came, and ends after another has seen it.
        made.keep(2, "index", &new);
        made.keep(1, "index", &old);
        assert_eq!(made.find(2, "index").map(|found| found.tag), Some(new.tag));
        assert!(made.find(1, "index").is_none() && made.find(3, "index").is_none());
        // One that ends before anybody has seen the later generation.
        made.keep(3, "groups", &old);
        assert!(made.find(4, "groups").is_none());
    }
}
