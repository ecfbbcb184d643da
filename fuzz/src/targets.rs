//! One function a target. Each follows the way of such bytes through the server, and says what must hold beside not
//! panicking where there is something to say.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::core::{
    apply::{self, Force, Manager, ResetFields},
    crd::{self, CompiledVersion, definition},
    fields,
    kinds::{self, Context},
    path::{self, Target},
    protobuf,
    resource::{self, ResourceRef},
    schema::{NodeId, Table},
    selector::{fields::Selector as FieldSelector, labels::Selector as LabelSelector},
    strategic,
};

/// Objects as the server stores them: what patches change and selectors look at.
const OBJECTS: &str = include_str!("../../crates/cluster/src/core/kinds/data/accepted.jsonl");
/// Operations that a JSON patch may hold.
const JSON_PATCH_OPERATIONS: usize = 10_000;

static ROWS: LazyLock<Vec<ResourceRef>> = LazyLock::new(resource::builtin);

static STORED: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let lines = OBJECTS.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.map(|mut line| line["object"].take()).filter(|object| shape(object).is_some()).collect()
});

/// Stored objects of built-in kinds.
pub fn stored() -> &'static [Value] {
    &STORED
}

/// The row and shape of an object's kind.
fn shape(object: &Value) -> Option<(&'static ResourceRef, NodeId)> {
    let (api_version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
    let row = ROWS.iter().find(|row| row.kind == kind && row.api_version() == api_version)?;
    Some((row, Table::builtin().kind(&row.group, &row.version, &row.kind)?))
}

fn pick<T>(all: &[T], choice: u8) -> Option<&T> {
    all.get(usize::from(choice) % all.len().max(1))
}

/// Paths and query strings. What a path names can be a name: nothing in it climbs out of a directory.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = path::query(text);
    let Ok(Target::Resource(found)) = path::parse(text) else { return };
    if found.subresource != "proxy" {
        for name in [&found.namespace, &found.resource, &found.name, &found.subresource] {
            assert!(name != "." && name != ".." && !name.contains('/'), "{found:?}");
        }
    }
}

/// Label and field selectors: the first byte says which object is looked at.
pub fn selector(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let Some((object, (row, _))) = pick(&STORED, *choice).and_then(|one| Some((one, shape(one)?))) else { return };
    if let Ok(labels) = LabelSelector::parse(text) {
        let _ = (labels.matches_object(object), labels.is_empty());
    }
    if let Ok(fields) = FieldSelector::parse(text) {
        if let Ok(fields) = fields.for_resource(row) {
            let _ = fields.matches(row, object);
        }
        let _ = fields.exact_match("metadata.name");
    }
    if let Ok(json) = serde_json::from_str::<Value>(text)
        && let Ok(labels) = LabelSelector::from_json(&json)
    {
        let _ = labels.matches_object(object);
    }
}

/// Patches of all four kinds: the first byte says of which, the second of which object, the rest is JSON.
pub fn patch(data: &[u8]) {
    let [kind, choice, json @ ..] = data else { return };
    let Some((old, (row, node))) = pick(&STORED, *choice).and_then(|one| Some((one, shape(one)?))) else { return };
    let Ok(patch) = serde_json::from_slice::<Value>(json) else { return };
    let table = Table::builtin();
    let new = match kind % 4 {
        0 => {
            let Ok(operations) = serde_json::from_value::<json_patch::Patch>(patch) else { return };
            let mut new = old.clone();
            let few = operations.0.len() <= JSON_PATCH_OPERATIONS;
            (few && json_patch::patch(&mut new, &operations).is_ok()).then_some(new)
        }
        1 if patch.is_object() => {
            let mut new = old.clone();
            json_patch::merge(&mut new, &patch);
            Some(new)
        }
        1 => None,
        2 => strategic::patch(table, node, old, &patch).ok(),
        _ => {
            let api_version = row.api_version();
            let manager =
                Manager { name: "fuzz", api_version: &api_version, subresource: "", now: Timestamp::UNIX_EPOCH };
            let force = if kind & 4 == 0 { Force::No } else { Force::Yes };
            let reset = ResetFields::builtin(&row.group, &row.kind, "");
            apply::apply(table, node, Some(old), &patch, &manager, force, &reset).ok()
        }
    };
    if let Some(new) = new {
        written(row, node, Some(old), new);
    }
}

/// Bodies in protobuf.
pub fn protobuf(data: &[u8]) {
    let Ok((api_version, kind, object)) = protobuf::decode(data) else { return };
    assert_eq!((object["apiVersion"].as_str(), object["kind"].as_str()), (Some(&*api_version), Some(&*kind)));
    if let Some((row, node)) = shape(&object) {
        written(row, node, None, object);
    }
}

/// Bodies in JSON, of built-in kinds.
pub fn object(data: &[u8]) {
    let Ok(object) = serde_json::from_slice::<Value>(data) else { return };
    let Some((row, node)) = shape(&object) else { return };
    let _ = fields::strict_errors(data, Table::builtin(), node);
    written(row, node, None, object);
}

/// What follows once an object is there: decoding as its kind, defaults, validation, managed fields.
fn written(row: &ResourceRef, node: NodeId, old: Option<&Value>, mut object: Value) {
    let table = Table::builtin();
    let _ = fields::unknown_fields(table, node, &object);
    if fields::decode(table, node, &mut object).is_err() {
        return;
    }
    let ctx = Context { now: Timestamp::UNIX_EPOCH, user: None };
    kinds::defaults(row, &mut object);
    let api_version = row.api_version();
    let manager = Manager { name: "fuzz", api_version: &api_version, subresource: "", now: Timestamp::UNIX_EPOCH };
    let reset = ResetFields::builtin(&row.group, &row.kind, "");
    let mut object = apply::update(table, node, old, object, &manager, &reset);
    match old {
        None => {
            kinds::prepare_create(row, &mut object, &ctx);
            let _ = kinds::validate_create(row, &object);
        }
        Some(old) => {
            kinds::prepare_update(row, "", &mut object, old, &ctx);
            let _ = kinds::validate_update(row, "", &object, old);
        }
    }
    let _ = kinds::warnings(row, &object, old);
}

/// Schemas of CustomResourceDefinitions and objects of them: JSON with `schema`, `object` and `old`.
pub fn definition(data: &[u8]) {
    let Ok(Value::Object(mut input)) = serde_json::from_slice(data) else { return };
    let mut take = |name: &str| input.remove(name).unwrap_or_default();
    let mut crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.fuzz.example.com"},
        "spec": {"group": "fuzz.example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": null}}]}});
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = take("schema");
    let Some((_, node)) = shape(&crd) else { return };
    if fields::decode(Table::builtin(), node, &mut crd).is_err() {
        return;
    }
    definition::default(&mut crd);
    definition::prepare_create(&mut crd);
    let _ = (definition::validate(&crd), definition::warnings(&crd, None));
    let Ok(compiled) = CompiledVersion::compile(&crd, "v1") else { return };
    let mut objects = [take("object"), take("old")];
    for object in &mut objects {
        crd::normalize_numbers(object);
        if compiled.prune(object).is_err() {
            return;
        }
        compiled.default(object);
        compiled.prepare_create(object);
        let _ = (compiled.unknown_fields(object), compiled.validate(object, None));
    }
    let [new, old] = objects;
    let _ = (compiled.validate(&new, Some(&old)), compiled.selectable_values(&new));
}
