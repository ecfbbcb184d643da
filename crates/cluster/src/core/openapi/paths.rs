//! Paths of a resource and of its subresources, with their operations.

use serde_json::{Map, Value, json};

use super::Dialect;
use super::definitions::{Definitions, kind_value};
use super::operations::{Action, Operation, connect_parameters, parameter, parameters_of, render};
use crate::core::resource::{Resource, Subresource};
use crate::core::schema::Gvk;

const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const RESOURCE_LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList";

/// Kinds whose deletion answers with the object instead of a status.
const DELETION_RETURNS_OBJECT: &[&str] = &[
    "CSIDriver",
    "CSINode",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PodTemplate",
    "ResourceQuota",
    "Service",
    "ServiceAccount",
    "StorageClass",
    "VolumeAttachment",
    "VolumeAttributesClass",
];

/// Adds everything that is served of one resource.
pub(super) fn add_resource(paths: &mut Map<String, Value>, row: &Resource, definitions: &Definitions<'_>) {
    let writer = Writer { row, definitions, root: root(row) };
    let collection = writer.collection();
    if row.namespaced() && row.allows("list") {
        let operation = writer.main(Action::List, "ForAllNamespaces");
        let item = Map::from_iter([("get".to_owned(), render(&operation, definitions.dialect))]);
        let parameters = vec![parameter("pretty", definitions.dialect)];
        paths.insert(format!("{}/{}", writer.root, row.plural), path_item(item, parameters));
    }
    let actions = [
        ("list", "get", Action::List),
        ("create", "post", Action::Post),
        ("deletecollection", "delete", Action::DeleteCollection),
    ];
    writer.add(paths, &collection, &actions, &[]);
    let actions = [
        ("get", "get", Action::Get),
        ("update", "put", Action::Put),
        ("patch", "patch", Action::Patch),
        ("delete", "delete", Action::Delete),
    ];
    writer.add(paths, &format!("{collection}/{{name}}"), &actions, &["name"]);
    for subresource in &row.subresources {
        writer.add_subresource(paths, &format!("{collection}/{{name}}/{}", subresource.name), subresource);
    }
}

/// Adds the path under which the resources of a group version are listed.
pub(super) fn add_discovery(paths: &mut Map<String, Value>, group: &str, version: &str, dialect: Dialect) {
    let operation = Operation {
        action: Action::Get,
        id: format!("get{}APIResources", camel(group, version)),
        description: "get available resources".to_owned(),
        tag: tag(group, version),
        kind: Value::Null,
        answer: Some(RESOURCE_LIST.to_owned()),
        body: None,
        parameters: &[],
        builtin: true,
    };
    let mut rendered = render(&operation, dialect);
    if let Value::Object(rendered) = &mut rendered {
        rendered.remove("x-kubernetes-action");
        rendered.remove("x-kubernetes-group-version-kind");
    }
    let root = if group.is_empty() { format!("/api/{version}/") } else { format!("/apis/{group}/{version}/") };
    paths.insert(root, json!({"get": rendered}));
}

fn root(row: &Resource) -> String {
    if row.group.is_empty() { format!("/api/{}", row.version) } else { format!("/apis/{}/{}", row.group, row.version) }
}

/// `apps_v1`; the core group is called so.
fn tag(group: &str, version: &str) -> String {
    format!("{}_{version}", if group.is_empty() { "core".to_owned() } else { short_group(group).join("") })
}

/// The words of a group without the domain of Kubernetes.
pub(super) fn short_group(group: &str) -> Vec<String> {
    let group = group.strip_suffix(".k8s.io").unwrap_or(group);
    let mut words = group.split('.');
    let first = words.next().unwrap_or_default().to_owned();
    std::iter::once(first).chain(words.map(title)).collect()
}

fn title(word: &str) -> String {
    let mut characters = word.chars();
    match characters.next() {
        None => String::new(),
        Some(first) => first.to_uppercase().chain(characters).collect(),
    }
}

/// `AppsV1`, as operations name a group version.
pub(super) fn camel(group: &str, version: &str) -> String {
    let group = if group.is_empty() { "Core".to_owned() } else { title(&short_group(group).join("")) };
    let group: String = group.split('-').map(title).collect();
    format!("{group}{}", title(version))
}

/// A path with its operations; parameters that all of them share move to the path.
fn path_item(mut operations: Map<String, Value>, mut parameters: Vec<Value>) -> Value {
    let lists: Vec<Vec<Value>> = operations
        .values()
        .map(|operation| operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default())
        .collect();
    let in_query = |one: &&Value| one.get("in") != Some(&json!("body"));
    let shared: Vec<Value> = lists
        .first()
        .into_iter()
        .flatten()
        .filter(in_query)
        .filter(|one| lists.iter().all(|list| list.contains(one)))
        .cloned()
        .collect();
    for operation in operations.values_mut() {
        if let Some(Value::Array(own)) = operation.get_mut("parameters") {
            own.retain(|one| !shared.contains(one));
            if own.is_empty()
                && let Value::Object(operation) = operation
            {
                operation.remove("parameters");
            }
        }
    }
    parameters.extend(shared);
    parameters.sort_by_key(|one| one.get("name").or_else(|| one.get("$ref")).map(Value::to_string));
    operations.insert("parameters".to_owned(), Value::Array(parameters));
    Value::Object(operations)
}

struct Writer<'a> {
    row: &'a Resource,
    definitions: &'a Definitions<'a>,
    root: String,
}

impl Writer<'_> {
    fn collection(&self) -> String {
        let namespace = if self.row.namespaced() { "/namespaces/{namespace}" } else { "" };
        format!("{}{namespace}/{}", self.root, self.row.plural)
    }

    /// Adds the operations of a path whose verbs the resource has.
    fn add(&self, paths: &mut Map<String, Value>, path: &str, actions: &[(&str, &str, Action)], names: &[&str]) {
        let mut item = Map::new();
        for (verb, method, action) in actions {
            if self.row.allows(verb) {
                let rendered = render(&self.main(*action, ""), self.definitions.dialect);
                item.insert((*method).to_owned(), rendered);
            }
        }
        self.insert(paths, path, item, names);
    }

    fn insert(&self, paths: &mut Map<String, Value>, path: &str, item: Map<String, Value>, names: &[&str]) {
        if item.is_empty() {
            return;
        }
        let namespace = self.row.namespaced().then_some("namespace");
        let parameters: Vec<Value> = names
            .iter()
            .copied()
            .chain(namespace)
            .chain(["pretty"])
            .map(|name| parameter(name, self.definitions.dialect))
            .collect();
        paths.insert(path.to_owned(), path_item(item, parameters));
    }

    /// An operation on the resource itself.
    fn main(&self, action: Action, suffix: &str) -> Operation {
        let row = self.row;
        let own = self.name_of(&row.group, &row.version, &row.kind);
        let (answer, body) = match action {
            Action::List => (self.name_of(&row.group, &row.version, &row.list_kind), None),
            Action::DeleteCollection => (Some(STATUS.to_owned()), Some(DELETE_OPTIONS.to_owned())),
            Action::Delete => {
                let returns_object = !row.custom && DELETION_RETURNS_OBJECT.contains(&row.kind.as_str());
                let answer = if returns_object { own } else { Some(STATUS.to_owned()) };
                (answer, Some(DELETE_OPTIONS.to_owned()))
            }
            Action::Patch => (own, Some(PATCH.to_owned())),
            Action::Post | Action::Put => (own.clone(), own),
            Action::Get | Action::Connect => (own, None),
        };
        let kind = (row.group.as_str(), row.version.as_str(), row.kind.as_str());
        self.operation(action, "", suffix, kind, (answer, body))
    }

    fn add_subresource(&self, paths: &mut Map<String, Value>, path: &str, subresource: &Subresource) {
        let row = self.row;
        let kind = match &subresource.kind {
            Some((group, version, kind)) => (group.as_str(), version.as_str(), kind.as_str()),
            None => (row.group.as_str(), row.version.as_str(), row.kind.as_str()),
        };
        let own = self.name_of(kind.0, kind.1, kind.2);
        let connects = kind.2.ends_with("Options");
        let mut item = Map::new();
        for verb in &subresource.verbs {
            let (method, action) = match verb.as_str() {
                "get" => ("get", Action::Get),
                "create" => ("post", Action::Post),
                "update" => ("put", Action::Put),
                "patch" => ("patch", Action::Patch),
                "delete" => ("delete", Action::Delete),
                _ => continue,
            };
            let operation = if connects {
                let mut operation = self.operation(Action::Connect, &subresource.name, "", kind, (None, None));
                operation.id = format!(
                    "connect{}{}{}{}{}",
                    camel(&row.group, &row.version),
                    title(method),
                    self.scope(),
                    row.kind,
                    title(&subresource.name)
                );
                operation.description =
                    format!("connect {} requests to {} of {}", method.to_uppercase(), subresource.name, row.kind);
                operation
            } else {
                let body = match action {
                    Action::Patch => Some(PATCH.to_owned()),
                    Action::Post | Action::Put => own.clone(),
                    _ => None,
                };
                let answer = if subresource.name == "log" { None } else { own.clone() };
                self.operation(action, &subresource.name, "", kind, (answer, body))
            };
            item.insert(method.to_owned(), render(&operation, self.definitions.dialect));
        }
        self.insert(paths, path, item, &["name"]);
    }

    fn operation(
        &self,
        action: Action,
        subresource: &str,
        suffix: &str,
        kind: (&str, &str, &str),
        (answer, body): (Option<String>, Option<String>),
    ) -> Operation {
        let row = self.row;
        let verb = match action {
            Action::List => "list",
            Action::DeleteCollection | Action::Delete => "delete",
            Action::Post => "create",
            Action::Get => "read",
            Action::Put => "replace",
            Action::Patch => "patch",
            Action::Connect => "connect",
        };
        let collection = if action == Action::DeleteCollection { "Collection" } else { "" };
        let scope = if suffix.is_empty() { self.scope() } else { "" };
        let subresource_parameters = connect_parameters(subresource);
        let parameters = if subresource_parameters.is_empty() { parameters_of(action) } else { subresource_parameters };
        let gvk = Gvk { group: kind.0.to_owned(), version: kind.1.to_owned(), kind: kind.2.to_owned() };
        Operation {
            action,
            id: format!(
                "{verb}{}{collection}{scope}{}{}{suffix}",
                camel(&row.group, &row.version),
                row.kind,
                title(subresource)
            ),
            description: description(action, &row.kind, subresource),
            tag: tag(&row.group, &row.version),
            kind: kind_value(&gvk),
            answer,
            body,
            parameters,
            builtin: !row.custom,
        }
    }

    fn scope(&self) -> &'static str {
        if self.row.namespaced() { "Namespaced" } else { "" }
    }

    fn name_of(&self, group: &str, version: &str, kind: &str) -> Option<String> {
        self.definitions.name_of(group, version, kind)
    }
}

fn description(action: Action, kind: &str, subresource: &str) -> String {
    let of = if subresource.is_empty() { String::new() } else { format!("{subresource} of ") };
    let article = if kind.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    match action {
        Action::List => format!("list or watch objects of kind {kind}"),
        Action::DeleteCollection => format!("delete collection of {kind}"),
        Action::Post => format!("create {of}{article} {kind}"),
        Action::Get => format!("read {of}the specified {kind}"),
        Action::Put => format!("replace {of}the specified {kind}"),
        Action::Patch => format!("partially update {of}the specified {kind}"),
        Action::Delete => format!("delete {of}{article} {kind}"),
        Action::Connect => format!("connect requests to {subresource} of {kind}"),
    }
}
