//! `update`, and the steps that every change of an existing object runs.

use bytes::Bytes;
use serde_json::Value;

use super::{Lost, Request, Written, decode, decode::Format, meta};
use crate::{
    core::{
        apply, deletion,
        field::FieldError,
        kinds,
        status::{Failure, Outcome},
    },
    http::admission::Operation,
    store::{Entry, Expected},
};

/// Replaces the object by that of a body.
///
/// # Errors
/// Anything from 400 to 422, as the object deserves.
pub async fn update(
    request: &mut Request<'_>,
    body: &Bytes,
    format: Format,
    warnings: &mut Vec<String>,
) -> Outcome<Written> {
    let sent = decode::object(&request.served, body, format, request.validation(), warnings)?;
    replace(request, sent, warnings).await
}

/// Replaces the object by a decoded one.
///
/// # Errors
/// As [`update`].
pub async fn replace(request: &mut Request<'_>, mut sent: Value, warnings: &mut Vec<String>) -> Outcome<Written> {
    check_place(request, &mut sent)?;
    loop {
        let entry = match request.existing() {
            Ok(entry) => entry,
            Err(failure) => return absent(request, sent, warnings, failure).await,
        };
        let old = request.read(&entry).await?;
        check_version(request, &sent, &old)?;
        match change(request, &entry, &old, sent.clone(), warnings).await {
            Err(Lost::Stale) if meta::revision(&sent) == 0 => warnings.clear(),
            Err(Lost::Stale) => return Err(Failure::modified(&request.served.resource, &request.name)),
            Err(Lost::Failed(failure)) => return Err(failure),
            Ok(written) => return Ok(written),
        }
    }
}

/// A few kinds are created by an update of one that is not there.
async fn absent(
    request: &mut Request<'_>,
    mut sent: Value,
    warnings: &mut Vec<String>,
    failure: Box<Failure>,
) -> Outcome<Written> {
    if !kinds::allows_create_on_update(&request.served.resource)
        || !request.subresource.is_empty()
        || meta::revision(&sent) != 0
    {
        return Err(failure);
    }
    meta::remove(&mut sent, "resourceVersion");
    super::create::create_object(request, sent, warnings).await
}

fn check_place(request: &Request<'_>, sent: &mut Value) -> Outcome<()> {
    check_namespace(request, sent)?;
    check_name(request, sent)?;
    if request.served.resource.namespaced() {
        meta::set(sent, "namespace", request.namespace.clone());
    }
    Ok(())
}

/// Whether an object has the namespace of the path, or none.
///
/// # Errors
/// 400 when it has another.
pub fn check_namespace(request: &Request<'_>, sent: &Value) -> Outcome<()> {
    let namespace = meta::text(sent, "namespace");
    if request.served.resource.namespaced() && !namespace.is_empty() && namespace != request.namespace {
        let text = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Failure::bad_request(text));
    }
    Ok(())
}

/// Whether an object has the name of the path.
///
/// # Errors
/// 400 when it has none or another.
pub fn check_name(request: &Request<'_>, sent: &Value) -> Outcome<()> {
    let (name, own) = (meta::text(sent, "name"), &request.name);
    if name.is_empty() {
        let text = format!("the name of the object ({own} based on URL) was undeterminable: name must be provided");
        return Err(Failure::bad_request(text));
    }
    if name != own {
        let text = format!("the name of the object ({name}) does not match the name on the URL ({own})");
        return Err(Failure::bad_request(text));
    }
    Ok(())
}

fn check_version(request: &Request<'_>, sent: &Value, old: &Value) -> Outcome<()> {
    let resource = &request.served.resource;
    let uid = meta::text(sent, "uid");
    if !uid.is_empty() && uid != meta::text(old, "uid") {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", meta::text(old, "uid"));
        return Err(Failure::conflict(resource, &request.name, &why));
    }
    match meta::text(sent, "resourceVersion") {
        "" if !kinds::allows_unconditional_update(resource) => {
            let error = FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update");
            Err(Failure::invalid(&resource.group, &resource.kind, &request.name, &vec![error]))
        }
        "" => Ok(()),
        version if version == meta::text(old, "resourceVersion") => Ok(()),
        version => {
            meta::check_revision(version)?;
            Err(Failure::modified(resource, &request.name))
        }
    }
}

/// Brings an object from `old` to `new`: keeps what the server owns, validates, accounts, commits.
///
/// # Errors
/// [`Lost::Stale`] when `entry` is no longer the newest state.
pub async fn change(
    request: &Request<'_>,
    entry: &Entry,
    old: &Value,
    mut new: Value,
    warnings: &mut Vec<String>,
) -> Result<Written, Lost> {
    keep_server_fields(&mut new, old);
    let settled = match prepare(request, new, old, warnings).await {
        Ok(new) => settle(request, entry, old, new).await,
        Err(failure) => Err(Lost::Failed(failure)),
    };
    request.api.allocated(request);
    settled
}

/// Commits `new`, unless nothing has changed; an object that waited only for this goes.
///
/// # Errors
/// [`Lost::Stale`] when `entry` is no longer the newest state.
pub async fn settle(request: &Request<'_>, entry: &Entry, old: &Value, mut new: Value) -> Result<Written, Lost> {
    meta::set(&mut new, "resourceVersion", meta::text(old, "resourceVersion").to_owned());
    let new = request.settled(new);
    if deletion::is_released(&request.served.resource, &new) {
        let entry = request.remove(entry.revision, new).await?;
        return Ok(Written { entry, is_new: false });
    }
    if new == *old || apply::differs_in_times_only(old, &new) {
        let unchanged = request.api.store.get(&request.served.resource.storage, &request.key());
        return match unchanged.filter(|now| now.revision == entry.revision) {
            Some(entry) => Ok(Written { entry, is_new: false }),
            None => Err(Lost::Stale),
        };
    }
    let entry = request.commit(Expected::At(entry.revision), new).await?;
    Ok(Written { entry, is_new: false })
}

/// Fields of the metadata that no update changes.
fn keep_server_fields(new: &mut Value, old: &Value) {
    for field in ["uid", "creationTimestamp", "selfLink", "generation", "deletionGracePeriodSeconds"] {
        match old["metadata"].get(field) {
            Some(value) if field == "uid" && !meta::text(new, "uid").is_empty() => drop(value.clone()),
            Some(value) => meta::set(new, field, value.clone()),
            None => meta::remove(new, field),
        }
    }
    match old["metadata"].get("deletionTimestamp") {
        Some(at) => meta::set(new, "deletionTimestamp", at.clone()),
        None => meta::remove(new, "deletionTimestamp"),
    }
    if meta::text(new, "resourceVersion").is_empty() {
        meta::set(new, "resourceVersion", meta::text(old, "resourceVersion").to_owned());
    }
    // A client that leaves managedFields out keeps them; `[]` or `[{}]` clears them.
    if new["metadata"].get("managedFields").is_none_or(Value::is_null)
        && let Some(managed) = old["metadata"].get("managedFields")
    {
        meta::set(new, "managedFields", managed.clone());
    }
}

/// Upstream's order: who owns which field is settled on what the client sent, before the server adds
/// its own.
async fn prepare(request: &Request<'_>, mut new: Value, old: &Value, warnings: &mut Vec<String>) -> Outcome<Value> {
    let served = &request.served;
    let resource = &served.resource;
    let subresource = request.subresource.as_str();
    served.default(&mut new);
    let mut owned = request.account(Some(old), new);
    let new = &mut owned;
    request.admit(Operation::Update, new, Some(old), warnings).await?;
    request.api.allocate(request, new, Some(old))?;
    served.prepare_update(subresource, new, old, &request.kind_context(&request.user()));
    let errors = served.validate_update(subresource, new, old);
    if !errors.is_empty() {
        return Err(Failure::invalid(&resource.group, &resource.kind, &request.name, &errors));
    }
    if subresource.is_empty() {
        warnings.extend(served.warnings(new, Some(old)));
    }
    request.check(Operation::Update, new, Some(old), warnings).await?;
    Ok(owned)
}
