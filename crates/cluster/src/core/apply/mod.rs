//! Server-side apply and managed fields: who owns which field, what an applied configuration makes of an
//! object, and which conflicts it meets.
//!
//! Pure: objects go in as JSON with the schema table of their kind, and come out with
//! `metadata.managedFields` set. Nothing here defaults, validates a kind's rules, converts between API
//! versions or reads a clock. Rules follow `apimachinery/pkg/util/managedfields` and
//! `structured-merge-diff`, version 6.

mod compare;
mod conflict;
mod element;
mod fieldset;
mod go;
mod json;
mod last_applied;
mod managed;
mod merge;
mod number;
mod reset;
mod scale;
mod shape;
#[cfg(test)]
mod tests;
mod updater;
mod validate;
mod walk;
mod zero;

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use conflict::{ApplyError, Cause};
pub use element::{Element, same};
pub use fieldset::{Set, path_text};
pub use reset::ResetFields;
pub use scale::{ScalePath, to_parent, to_scale};
pub use updater::Force;
pub use zero::zero;

use crate::core::schema::{NodeId, Table};
use last_applied::{KUBECTL, Verdict};
use managed::{Entry, Identity, Managed, Operation, is_reset, time_text};
use shape::Shapes;
use updater::{Refusal, Updater};
use validate::{Duplicates, validate, validate_change};

/// Who owns fields that were there before anyone was tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Who writes, through what, and when.
#[derive(Clone, Copy, Debug)]
pub struct Manager<'a> {
    /// The `fieldManager` parameter, or the first part of the user agent; `unknown` stands for the empty name.
    pub name: &'a str,
    /// Of the request: `apps/v1`.
    pub api_version: &'a str,
    /// Empty on the main path.
    pub subresource: &'a str,
    pub now: Timestamp,
}

impl Manager<'_> {
    fn identity(&self, operation: Operation) -> Identity {
        let name = if self.name.is_empty() { "unknown" } else { self.name };
        Identity::new(name, operation, self.api_version, self.subresource)
    }
}

/// Fields that nobody owns.
static STRIPPED: LazyLock<Set<'static>> = LazyLock::new(|| {
    let mut set = Set::of_fields(&[&["apiVersion"], &["kind"], &["metadata"]]);
    for name in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.insert(&[Element::Field("metadata"), Element::Field(name)]);
    }
    set
});

/// Sets the managed fields of an object that is about to be created (`live` is none) or replaced.
///
/// The managed fields that `new` brings along are the base where they can be read; else those of `live`. A
/// write that changes no owned field leaves them as they are. An object that does not fit its schema loses
/// them: the request is refused elsewhere.
pub fn update(
    table: &Table,
    node: NodeId,
    live: Option<&Value>,
    mut new: Value,
    manager: &Manager<'_>,
    reset: &ResetFields,
) -> Value {
    let given = take_managed_fields(&mut new);
    let fields = updated_fields(table, node, live, &new, given.as_ref(), manager, reset);
    set_managed_fields(&mut new, fields);
    new
}

fn updated_fields(
    table: &Table,
    node: NodeId,
    live: Option<&Value>,
    new: &Value,
    given: Option<&Value>,
    manager: &Manager<'_>,
    reset: &ResetFields,
) -> Value {
    let mut managed = base(live, given, manager.subresource);
    // An object that exists and has no owners is not tracked until it is applied.
    if managed.entries.is_empty() && live.is_some_and(has_uid) {
        return Value::Null;
    }
    let nothing;
    let live = match live {
        Some(live) => live,
        None => {
            nothing = zero_of(table, node, new);
            &nothing
        }
    };
    match track(table, node, live, new, &mut managed, manager, reset) {
        Ok(()) => managed.encode(),
        Err(_) => Value::Null,
    }
}

/// The entries that a plain write starts from.
fn base<'v>(live: Option<&'v Value>, given: Option<&'v Value>, subresource: &str) -> Managed<'v> {
    let of_live = || Managed::decode(live.and_then(managed_fields)).unwrap_or_default();
    if !subresource.is_empty() {
        return of_live();
    }
    if is_reset(given) {
        return Managed::default();
    }
    match Managed::decode(given) {
        Ok(managed) if !managed.entries.is_empty() => managed,
        _ => of_live(),
    }
}

/// Enters a plain write from `live` to `new` into the entries.
fn track<'v>(
    table: &'v Table,
    node: NodeId,
    live: &'v Value,
    new: &'v Value,
    managed: &mut Managed<'v>,
    manager: &Manager<'_>,
    reset: &ResetFields,
) -> Result<(), String> {
    let shapes = Shapes::new(table);
    let root = Shapes::root(node);
    validate(&shapes, root, live, Duplicates::Allowed)?;
    validate_change(&shapes, root, live, new)?;
    let updater = Updater { shapes, root, reset, api_version: manager.api_version, kind: kind_of(new) };
    let set = updater.update(live, new, managed).difference(&STRIPPED);
    if !set.is_empty() {
        let identity = manager.identity(Operation::Update);
        let time = Some(time_text(manager.now));
        match managed.get_mut(&identity) {
            Some(entry) => {
                entry.set = set.union(&entry.set);
                entry.time = time;
            }
            None => {
                let api_version = manager.api_version.to_owned();
                managed.entries.push(Entry { identity, api_version, time, set });
            }
        }
    }
    managed.cap();
    Ok(())
}

/// Applies a configuration to an object, or to nothing where `live` is none.
///
/// The result has its managed fields set and is not defaulted yet. Where the configuration changes nothing
/// it is the live object, with an entry for the manager.
///
/// # Errors
/// [`ApplyError::Conflict`] where other managers own what would change and `force` is no;
/// [`ApplyError::BadRequest`] where the configuration is of another kind or brings managed fields;
/// [`ApplyError::Internal`] where it does not fit the schema, as upstream answers.
pub fn apply(
    table: &Table,
    node: NodeId,
    live: Option<&Value>,
    applied: &Value,
    manager: &Manager<'_>,
    force: Force,
    reset: &ResetFields,
) -> Result<Value, ApplyError> {
    check_kind(table, node, applied, manager)?;
    if managed_fields(applied).is_some_and(Value::is_array) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    let entries = live.and_then(managed_fields).cloned();
    let mut managed = Managed::decode(entries.as_ref())
        .map_err(|fault| ApplyError::Internal(format!("failed to decode managed fields: {fault}")))?;
    let nothing = zero_of(table, node, applied);
    let bare = live.map(|live| {
        let mut bare = live.clone();
        take_managed_fields(&mut bare);
        bare
    });
    let before = bare.as_ref().unwrap_or(&nothing);
    if managed.entries.is_empty() {
        let first = Manager { name: BEFORE_FIRST_APPLY, ..*manager };
        track(table, node, &nothing, before, &mut managed, &first, reset)
            .map_err(|fault| ApplyError::Internal(format!("failed to create manager for existing fields: {fault}")))?;
    }
    let shapes = Shapes::new(table);
    let root = Shapes::root(node);
    validate(&shapes, root, applied, Duplicates::Refused).map_err(|fault| {
        ApplyError::Internal(format!("failed to create typed patch object ({}): {fault}", describe(applied)))
    })?;
    validate(&shapes, root, before, Duplicates::Allowed).map_err(|fault| {
        ApplyError::Internal(format!("failed to create typed live object ({}): {fault}", describe(before)))
    })?;
    let updater = Updater { shapes, root, reset, api_version: manager.api_version, kind: kind_of(applied) };
    let (new, managed) = apply_or_take_over(&updater, before, applied, managed, manager, force)?;
    let mut object = new.unwrap_or_else(|| before.clone());
    if manager.name == KUBECTL {
        last_applied::refresh(&mut object, applied);
    }
    set_managed_fields(&mut object, managed);
    Ok(object)
}

/// The merged object, none where nothing changes, and the encoded entries.
fn apply_or_take_over<'v>(
    updater: &Updater<'v, '_>,
    before: &'v Value,
    applied: &'v Value,
    managed: Managed<'v>,
    manager: &Manager<'_>,
    force: Force,
) -> Result<(Option<Value>, Value), ApplyError> {
    let identity = manager.identity(Operation::Apply);
    let mut attempt = managed.clone();
    let new = match updater.apply(before, applied, &mut attempt, &identity, force) {
        Ok(new) => new,
        Err(Refusal::Broken(fault)) => return Err(ApplyError::Internal(fault)),
        Err(Refusal::Conflicts(conflicts)) if manager.name != KUBECTL => {
            return Err(conflict::conflict_error(conflicts));
        }
        Err(Refusal::Conflicts(conflicts)) => {
            let judged = last_applied::judge(&updater.shapes, updater.root, manager.api_version, before, conflicts);
            match judged {
                Verdict::AsBefore(conflicts) | Verdict::Remaining(conflicts) => {
                    return Err(conflict::conflict_error(conflicts));
                }
                Verdict::Force => {
                    attempt = managed;
                    match updater.apply(before, applied, &mut attempt, &identity, Force::Yes) {
                        Ok(new) => new,
                        Err(Refusal::Broken(fault)) => return Err(ApplyError::Internal(fault)),
                        Err(Refusal::Conflicts(conflicts)) => return Err(conflict::conflict_error(conflicts)),
                    }
                }
            }
        }
    };
    if let Some(entry) = attempt.get_mut(&identity) {
        if new.is_some() {
            entry.time = Some(time_text(manager.now));
        }
        entry.set = entry.set.difference(&STRIPPED);
    }
    attempt.entries.retain(|entry| !entry.set.is_empty());
    Ok((new, attempt.encode()))
}

/// Whether two versions of an object differ in nothing but the times of their managed fields.
///
/// A write that does so is none: the caller keeps `live`. Follows
/// `apiserver/pkg/endpoints/handlers/fieldmanager/equality.go`.
pub fn differs_in_times_only(live: &Value, new: &Value) -> bool {
    let (Some(old), Some(fresh)) = (managed_fields(live), managed_fields(new)) else { return false };
    let (Some(old), Some(fresh)) = (old.as_array(), fresh.as_array()) else { return false };
    let same_entry = |a: &Value, b: &Value| match (a.as_object(), b.as_object()) {
        (Some(a), Some(b)) => without(a, "time").eq(without(b, "time")),
        _ => a == b,
    };
    let same_metadata = || match (live.get("metadata"), new.get("metadata")) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => without(a, "managedFields").eq(without(b, "managedFields")),
        _ => false,
    };
    let same_rest = || match (live.as_object(), new.as_object()) {
        (Some(a), Some(b)) => without(a, "metadata").eq(without(b, "metadata")),
        _ => false,
    };
    old.len() == fresh.len()
        && old != fresh
        && old.iter().zip(fresh).all(|(a, b)| same_entry(a, b))
        && same_metadata()
        && same_rest()
}

fn without<'v>(fields: &'v Map<String, Value>, name: &'static str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    fields.iter().filter(move |(known, _)| *known != name)
}

/// Checks the managed fields of an object that a plug-in has changed.
///
/// # Errors
/// Says what is wrong with the first entry that cannot be read.
pub fn check_managed_fields(object: &Value) -> Result<(), String> {
    Managed::decode(managed_fields(object)).map(drop)
}

/// Whether the configuration is of the kind and version that the request names.
fn check_kind(table: &Table, node: NodeId, applied: &Value, manager: &Manager<'_>) -> Result<(), ApplyError> {
    let api_version = applied.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let kind = kind_of(applied);
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    if api_version == manager.api_version && table.kind(group, version, kind) == Some(node) {
        return Ok(());
    }
    Err(ApplyError::BadRequest(format!("invalid object type: {group}/{version}, Kind={kind}")))
}

fn zero_of(table: &Table, node: NodeId, object: &Value) -> Value {
    let mut nothing = zero(table, node);
    if let Value::Object(fields) = &mut nothing {
        for name in ["apiVersion", "kind"] {
            fields.insert(name.to_owned(), object.get(name).cloned().unwrap_or(Value::Null));
        }
    }
    nothing
}

fn managed_fields(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields")
}

fn take_managed_fields(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
}

fn set_managed_fields(object: &mut Value, fields: Value) {
    let Value::Object(object) = object else { return };
    if fields.is_null() {
        return;
    }
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(metadata) = metadata {
        metadata.insert("managedFields".to_owned(), fields);
    }
}

fn has_uid(object: &Value) -> bool {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get("uid"))
        .and_then(Value::as_str)
        .is_some_and(|uid| !uid.is_empty())
}

fn kind_of(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// An object as upstream names it in errors: `default/web; apps/v1, Kind=Deployment`.
fn describe(object: &Value) -> String {
    let metadata = |name: &str| {
        object.get("metadata").and_then(|metadata| metadata.get(name)).and_then(Value::as_str).unwrap_or_default()
    };
    let api_version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    format!("{}/{}; {group}/{version}, Kind={}", metadata("namespace"), metadata("name"), kind_of(object))
}
