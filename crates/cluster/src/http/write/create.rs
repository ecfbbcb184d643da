//! `create`: a new object from a body.

use bytes::Bytes;
use serde_json::Value;

use super::{Lost, Request, Written, decode, decode::Format, meta};
use crate::{
    core::status::{Failure, Outcome},
    http::admission::Operation,
    store::Expected,
};

/// Tries of a generated name that is taken, as upstream since 1.32.
const NAME_TRIES: usize = 8;

/// Creates the object of a body.
///
/// # Errors
/// Anything from 400 to 422, as the object deserves.
pub async fn create(
    request: &mut Request<'_>,
    body: &Bytes,
    format: Format,
    warnings: &mut Vec<String>,
) -> Outcome<Written> {
    let object = decode::object(&request.served, body, format, request.validation(), warnings)?;
    create_object(request, object, warnings).await
}

/// Creates a decoded object.
///
/// # Errors
/// As [`create`].
pub async fn create_object(request: &mut Request<'_>, object: Value, warnings: &mut Vec<String>) -> Outcome<Written> {
    let prefix = meta::text(&object, "generateName").to_owned();
    if !meta::text(&object, "name").is_empty() || prefix.is_empty() {
        return once(request, object, warnings).await;
    }
    for last in (0..NAME_TRIES).rev() {
        let mut object = object.clone();
        meta::set(&mut object, "name", meta::generated_name(&prefix));
        request.has_generated_name = true;
        match once(request, object, warnings).await {
            Err(failure) if failure.reason == "AlreadyExists" && last > 0 => warnings.clear(),
            other => return other,
        }
    }
    Err(Failure::internal("no name could be generated"))
}

async fn once(request: &mut Request<'_>, mut object: Value, warnings: &mut Vec<String>) -> Outcome<Written> {
    place(request, &mut object)?;
    meta::text(&object, "name").clone_into(&mut request.name);
    let committed = match prepare(request, object, warnings).await {
        Ok(object) => request.commit(Expected::Absent, request.settled(object)).await,
        Err(failure) => Err(Lost::Failed(failure)),
    };
    request.api.allocated(request);
    match committed {
        Ok(entry) => Ok(Written { entry, is_new: true }),
        Err(Lost::Stale) => Err(Failure::already_exists(&request.served.resource, &request.name)),
        Err(Lost::Failed(failure)) => Err(failure),
    }
}

/// Checks and sets where the object stands, and drops what only the server may say.
fn place(request: &Request<'_>, object: &mut Value) -> Outcome<()> {
    let resource = &request.served.resource;
    if !meta::text(object, "resourceVersion").is_empty() {
        return Err(Failure::bad_request("resourceVersion should not be set on objects to be created"));
    }
    if resource.namespaced() {
        let sent = meta::text(object, "namespace");
        if !sent.is_empty() && sent != request.namespace {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        meta::set(object, "namespace", request.namespace.clone());
    } else {
        meta::remove(object, "namespace");
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
        meta::remove(object, field);
    }
    meta::set(object, "creationTimestamp", meta::time(request.now));
    meta::set(object, "uid", meta::new_uid());
    Ok(())
}

async fn prepare(request: &Request<'_>, mut object: Value, warnings: &mut Vec<String>) -> Outcome<Value> {
    let served = &request.served;
    let resource = &served.resource;
    served.default(&mut object);
    let mut object = request.account(None, object);
    request.admit(Operation::Create, &mut object, None, warnings).await?;
    request.api.allocate(request, &mut object, None)?;
    served.prepare_create(&mut object, &request.kind_context(&request.user()));
    let errors = served.validate_create(&object);
    if !errors.is_empty() {
        // A custom object may name another kind; the refusal names the one that was sent.
        let kind = object["kind"].as_str().unwrap_or(&resource.kind);
        return Err(Failure::invalid(&resource.group, kind, meta::text(&object, "name"), &errors));
    }
    warnings.extend(served.warnings(&object, None));
    request.check(Operation::Create, &object, None, warnings).await?;
    Ok(object)
}
