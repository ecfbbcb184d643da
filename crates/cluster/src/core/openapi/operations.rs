//! What one operation says of itself: parameters, bodies, answers.

use serde_json::{Map, Value, json};

use super::Dialect;

/// The actions of `x-kubernetes-action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    List,
    DeleteCollection,
    Post,
    Get,
    Put,
    Patch,
    Delete,
    Connect,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::DeleteCollection => "deletecollection",
            Self::Post => "post",
            Self::Get => "get",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Connect => "connect",
        }
    }
}

/// One operation of a path.
pub(super) struct Operation {
    pub(super) action: Action,
    pub(super) id: String,
    pub(super) description: String,
    pub(super) tag: String,
    /// Group, version and kind of the resource that the operation works on.
    pub(super) kind: Value,
    /// The definition of the answer; none where it is plain text.
    pub(super) answer: Option<String>,
    pub(super) body: Option<String>,
    /// Names of query parameters.
    pub(super) parameters: &'static [&'static str],
    /// The kind has a strategic merge patch.
    pub(super) builtin: bool,
}

const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
const DELETE_COLLECTION: &[&str] = &[
    "continue",
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "labelSelector",
    "limit",
    "orphanDependents",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
];
const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
const DELETE: &[&str] = &[
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
];

/// The query parameters of an action.
pub(super) fn parameters_of(action: Action) -> &'static [&'static str] {
    match action {
        Action::List => LIST,
        Action::DeleteCollection => DELETE_COLLECTION,
        Action::Post | Action::Put => WRITE,
        Action::Patch => PATCH,
        Action::Delete => DELETE,
        Action::Get | Action::Connect => &[],
    }
}

/// The query parameters of subresources that stream or forward.
pub(super) fn connect_parameters(name: &str) -> &'static [&'static str] {
    match name {
        "attach" => &["container", "stderr", "stdin", "stdout", "tty"],
        "exec" => &["command", "container", "stderr", "stdin", "stdout", "tty"],
        "portforward" => &["ports"],
        "proxy" => &["path"],
        "log" => &[
            "container",
            "follow",
            "insecureSkipTLSVerifyBackend",
            "limitBytes",
            "previous",
            "sinceSeconds",
            "stream",
            "tailLines",
            "timestamps",
        ],
        _ => &[],
    }
}

const BOOLEANS: &[&str] = &[
    "allowWatchBookmarks",
    "follow",
    "force",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "insecureSkipTLSVerifyBackend",
    "orphanDependents",
    "previous",
    "sendInitialEvents",
    "stderr",
    "stdin",
    "stdout",
    "timestamps",
    "tty",
    "watch",
];
const INTEGERS: &[&str] =
    &["gracePeriodSeconds", "limit", "limitBytes", "ports", "sinceSeconds", "tailLines", "timeoutSeconds"];
/// Names of every query parameter whose type is text.
const TEXTS: &[&str] = &[
    "command",
    "container",
    "continue",
    "dryRun",
    "fieldManager",
    "fieldSelector",
    "fieldValidation",
    "labelSelector",
    "path",
    "pretty",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "stream",
];

fn parameter_type(name: &str) -> &'static str {
    if BOOLEANS.contains(&name) {
        "boolean"
    } else if INTEGERS.contains(&name) {
        "integer"
    } else {
        "string"
    }
}

/// A parameter in the query, or in the path where it is the name or the namespace.
pub(super) fn parameter(name: &str, dialect: Dialect) -> Value {
    let place = if name == "name" || name == "namespace" { "path" } else { "query" };
    let kind = parameter_type(name);
    let mut parameter = match dialect {
        Dialect::V2 => json!({"in": place, "name": name, "type": kind, "uniqueItems": true}),
        Dialect::V3 => json!({"in": place, "name": name, "schema": {"type": kind, "uniqueItems": true}}),
    };
    if place == "path" {
        parameter["required"] = json!(true);
    }
    parameter
}

/// The parameters that operations of version 2 refer to.
pub(super) fn shared_parameters() -> Map<String, Value> {
    let names = BOOLEANS.iter().chain(INTEGERS).chain(TEXTS);
    names.map(|name| ((*name).to_owned(), parameter(name, Dialect::V2))).collect()
}

fn parameters(operation: &Operation, dialect: Dialect) -> Vec<Value> {
    let one = |name: &&str| match dialect {
        Dialect::V2 => json!({"$ref": format!("#/parameters/{name}")}),
        Dialect::V3 => parameter(name, dialect),
    };
    operation.parameters.iter().map(one).collect()
}

const JSON_TYPES: &[&str] = &["application/json", "application/yaml"];
const LIST_TYPES: &[&str] = &["application/json", "application/json;stream=watch", "application/yaml"];
const ANY_TYPE: &[&str] = &["*/*"];
const TEXT_TYPES: &[&str] = &["text/plain", "application/json", "application/yaml"];
const PATCH_TYPES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Content types that an operation accepts.
fn consumes(operation: &Operation) -> &'static [&'static str] {
    match (operation.action, operation.builtin) {
        (Action::Patch, true) => PATCH_TYPES,
        (Action::Patch, false) => PATCH_TYPES.get(..3).unwrap_or_default(),
        _ => ANY_TYPE,
    }
}

/// Content types that an operation answers with.
fn produces(operation: &Operation) -> &'static [&'static str] {
    match (operation.action, &operation.answer) {
        (Action::Connect, _) => ANY_TYPE,
        (_, None) => TEXT_TYPES,
        (Action::List, _) => LIST_TYPES,
        _ => JSON_TYPES,
    }
}

/// Codes of success, with their text.
fn successes(action: Action) -> &'static [(&'static str, &'static str)] {
    match action {
        Action::Post => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
        Action::Put | Action::Patch => &[("200", "OK"), ("201", "Created")],
        Action::Delete => &[("200", "OK"), ("202", "Accepted")],
        Action::List | Action::DeleteCollection | Action::Get | Action::Connect => &[("200", "OK")],
    }
}

/// The operation as it stands in a document.
pub(super) fn render(operation: &Operation, dialect: Dialect) -> Value {
    let mut rendered = json!({
        "description": operation.description,
        "operationId": operation.id,
        "tags": [operation.tag],
        "x-kubernetes-action": operation.action.name(),
        "x-kubernetes-group-version-kind": operation.kind,
    });
    let schema = match &operation.answer {
        Some(name) => dialect.reference(name),
        None => json!({"type": "string"}),
    };
    let mut parameters = parameters(operation, dialect);
    let mut responses = Map::new();
    responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    let required = !matches!(operation.action, Action::Delete | Action::DeleteCollection);
    match dialect {
        Dialect::V2 => {
            for (code, text) in successes(operation.action) {
                responses.insert((*code).to_owned(), json!({"description": text, "schema": schema}));
            }
            rendered["consumes"] = json!(consumes(operation));
            rendered["produces"] = json!(produces(operation));
            rendered["schemes"] = json!(["https"]);
            if let Some(body) = &operation.body {
                let mut parameter = json!({"in": "body", "name": "body", "schema": dialect.reference(body)});
                if required {
                    parameter["required"] = json!(true);
                }
                parameters.insert(0, parameter);
            }
        }
        Dialect::V3 => {
            let content = |types: &[&str], schema: &Value| -> Map<String, Value> {
                types.iter().map(|name| ((*name).to_owned(), json!({"schema": schema}))).collect()
            };
            for (code, text) in successes(operation.action) {
                let content = content(produces(operation), &schema);
                responses.insert((*code).to_owned(), json!({"description": text, "content": content}));
            }
            if let Some(body) = &operation.body {
                let content = content(consumes(operation), &dialect.reference(body));
                rendered["requestBody"] = json!({"content": content});
                if required {
                    rendered["requestBody"]["required"] = json!(true);
                }
            }
        }
    }
    rendered["responses"] = Value::Object(responses);
    if !parameters.is_empty() {
        rendered["parameters"] = Value::Array(parameters);
    }
    rendered
}
