//! OpenAPI documents: the index and the per-version documents of `/openapi/v3`, and `/openapi/v2` as JSON.
//!
//! They derive from the schema table, the rows of resources and the schemas of custom resources. Schemas carry
//! the list, map and patch extensions, so that `kubectl` can apply, explain and validate; long descriptions they
//! do not carry. Caching, hashing for `ETag` and compression are done where documents are served.

mod custom;
mod definitions;
mod describe;
mod operations;
mod paths;
mod roots;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::core::resource::ResourceRef;
use crate::core::schema::Table;
use definitions::Definitions;
pub use roots::{document_of_root, root_paths};

const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";

/// The version of a document's own format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

impl Dialect {
    /// What a reference to a definition starts with.
    fn prefix(self) -> &'static str {
        match self {
            Self::V2 => "#/definitions/",
            Self::V3 => "#/components/schemas/",
        }
    }

    fn reference(self, name: &str) -> Value {
        json!({"$ref": format!("{}{name}", self.prefix())})
    }
}

/// One served version of a custom resource: its row and the `openAPIV3Schema` of the version.
#[derive(Clone, Debug)]
pub struct CustomSchema<'a> {
    pub row: ResourceRef,
    /// Null where the version has no schema, or the definition preserves unknown fields at its root.
    pub schema: &'a Value,
}

/// `/openapi/v3`: the documents that there are, by path (`api/v1`, `apis/apps/v1`) and the hash of each.
pub fn index(documents: &[(String, String)]) -> Value {
    let paths: Map<String, Value> = documents
        .iter()
        .map(|(path, hash)| (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")})))
        .collect();
    json!({"paths": paths})
}

/// The path of a group version in the index: `api/v1` or `apis/apps/v1`.
pub fn index_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The document of one group version; none where no row has it.
///
/// `rows` are all served rows, those of custom resources too; `customs` holds the schemas of the latter.
pub fn document_v3(
    table: &Table,
    rows: &[ResourceRef],
    customs: &[CustomSchema<'_>],
    group: &str,
    version: &str,
) -> Option<Value> {
    let own: Vec<&ResourceRef> = rows.iter().filter(|row| row.group == group && row.version == version).collect();
    if own.is_empty() {
        return None;
    }
    let definitions = Definitions::new(table, customs, Dialect::V3);
    let mut paths = Map::new();
    for row in own {
        paths::add_resource(&mut paths, row, &definitions);
    }
    paths::add_discovery(&mut paths, group, version, Dialect::V3);
    let schemas = definitions.referred(&Value::Object(paths.clone()), &kinds_of(&definitions, rows, group, version));
    Some(document(paths, schemas))
}

/// A document of version 3 around its paths; one that defines nothing says nothing of schemas.
fn document(paths: Map<String, Value>, schemas: Map<String, Value>) -> Value {
    let mut document = json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "1.34"},
        "paths": paths,
        "components": {
            "securitySchemes": {"BearerToken": {
                "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
            }},
        },
    });
    if !schemas.is_empty() {
        document["components"]["schemas"] = Value::Object(schemas);
    }
    document
}

/// `/openapi/v2`: everything that is served in one document.
pub fn document_v2(table: &Table, rows: &[ResourceRef], customs: &[CustomSchema<'_>], version: &str) -> Value {
    let definitions = Definitions::new(table, customs, Dialect::V2);
    let mut paths = Map::new();
    let mut group_versions: BTreeMap<(&str, &str), ()> = BTreeMap::new();
    for row in rows {
        paths::add_resource(&mut paths, row, &definitions);
        group_versions.insert((&row.group, &row.version), ());
    }
    let mut kinds = Vec::new();
    for (group, version) in group_versions.into_keys() {
        paths::add_discovery(&mut paths, group, version, Dialect::V2);
        kinds.extend(kinds_of(&definitions, rows, group, version));
    }
    let definitions = definitions.referred(&Value::Object(paths.clone()), &kinds);
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "definitions": definitions,
        "parameters": operations::shared_parameters(),
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
        }},
        "security": [{"BearerToken": []}],
    })
}

/// Definitions of the kinds of a group version, which a document holds even where no path refers to them.
fn kinds_of(definitions: &Definitions<'_>, rows: &[ResourceRef], group: &str, version: &str) -> Vec<String> {
    let mut names = Vec::new();
    for row in rows.iter().filter(|row| row.group == group && row.version == version) {
        names.extend(definitions.name_of(group, version, &row.kind));
        if row.allows("list") {
            names.extend(definitions.name_of(group, version, &row.list_kind));
        }
        if row.allows("watch") {
            names.push(WATCH_EVENT.to_owned());
        }
    }
    names
}
