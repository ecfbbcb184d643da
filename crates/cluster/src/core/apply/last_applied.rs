//! The annotation of client-side apply: what it lets `kubectl apply --server-side` take over without a
//! conflict, and how it is kept current afterwards.
//!
//! Rules follow `apimachinery/pkg/util/managedfields/internal` (`lastappliedmanager.go`,
//! `lastappliedupdater.go`).

use serde_json::{Map, Value};

use super::compare::compare;
use super::conflict::Conflict;
use super::json::{self, Writer};
use super::shape::{Shape, Shapes};
use super::validate::{Duplicates, validate};
use super::walk::field_set;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Keys and values of all annotations together: 256 KiB.
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;
/// The one manager that the annotation concerns.
pub const KUBECTL: &str = "kubectl";

/// What may be done about conflicts of `kubectl`.
pub enum Verdict<'v> {
    /// The annotation does not help: all conflicts stand.
    AsBefore(Vec<Conflict<'v>>),
    /// Some are explained by the annotation; these are not.
    Remaining(Vec<Conflict<'v>>),
    /// All are explained: apply again with force.
    Force,
}

/// Compares conflicts with what client-side apply had set to the values that still stand.
pub fn judge<'v>(
    shapes: &Shapes<'_>,
    root: Shape,
    api_version: &str,
    live: &Value,
    conflicts: Vec<Conflict<'v>>,
) -> Verdict<'v> {
    let Some(last) = last_applied(live, api_version) else { return Verdict::AsBefore(conflicts) };
    let fits = |value: &Value| validate(shapes, root, value, Duplicates::Refused).is_ok();
    if !fits(live) || !fits(&last) {
        return Verdict::AsBefore(conflicts);
    }
    let comparison = compare(shapes, root, &last, live);
    let allowed = field_set(shapes, root, &last)
        .difference(&comparison.modified)
        .difference(&comparison.added)
        .difference(&comparison.removed);
    let remaining: Vec<Conflict<'v>> =
        conflicts.into_iter().filter(|conflict| !allowed.contains(&conflict.path)).collect();
    if remaining.is_empty() { Verdict::Force } else { Verdict::Remaining(remaining) }
}

fn last_applied(live: &Value, api_version: &str) -> Option<Value> {
    let text = annotation(live)?;
    let last: Value = serde_json::from_str(text).ok()?;
    let has_kind = last.get("kind").and_then(Value::as_str).is_some_and(|kind| !kind.is_empty());
    let same_version = last.get("apiVersion").and_then(Value::as_str) == Some(api_version);
    (has_kind && same_version).then_some(last)
}

fn annotation(object: &Value) -> Option<&str> {
    let text = object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

/// Writes the applied configuration into the annotation where the object has one.
pub fn refresh(object: &mut Value, applied: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut config = applied.clone();
    forget_annotation(&mut config);
    let mut text = String::new();
    json::write(&config, Writer::Object, &mut text);
    text.push('\n');
    let annotations =
        object.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations")).and_then(Value::as_object_mut);
    let Some(annotations) = annotations else { return };
    annotations.insert(ANNOTATION.to_owned(), Value::String(text));
    fill_nulls(annotations);
    if bytes(annotations) > MAX_ANNOTATION_BYTES {
        annotations.remove(ANNOTATION);
    }
}

fn forget_annotation(config: &mut Value) {
    let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    match metadata.get_mut("annotations") {
        Some(Value::Object(annotations)) => {
            annotations.remove(ANNOTATION);
            fill_nulls(annotations);
        }
        _ => drop(metadata.remove("annotations")),
    }
}

/// Reading annotations makes null the empty string.
fn fill_nulls(annotations: &mut Map<String, Value>) {
    for value in annotations.values_mut().filter(|value| value.is_null()) {
        *value = Value::from("");
    }
}

fn bytes(annotations: &Map<String, Value>) -> usize {
    annotations.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum()
}
