//! `delete` and `deletecollection`.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::{Lost, Request, decode, meta, part};
use crate::{
    core::{
        crd::status::{CLEANUP_FINALIZER, Termination, terminating},
        deletion::{self, DeleteOptions, Plan},
        status::{self, Failure, Outcome},
    },
    http::{hooks, options::Options},
    store::{Entry, Expected},
};

/// What a deletion answers with.
pub enum Deleted {
    /// The object is gone: a `Status` that says so.
    Gone(Value),
    /// The object stays for now, marked.
    Marked(Arc<Entry>),
    /// The object is gone and is itself the answer, as for pods and services.
    Last(Arc<Entry>),
}

/// The options of a deletion: from the body, else from the query.
///
/// # Errors
/// 500 without a reason for a body that cannot be read, as upstream; 422 for options that contradict each other.
pub fn options(query: &Options, body: &Bytes, content_type: Option<&str>) -> Outcome<DeleteOptions> {
    let mut options = if body.is_empty() {
        DeleteOptions {
            grace_period_seconds: query.grace_period_seconds,
            propagation_policy: query.propagation_policy.clone(),
            orphan_dependents: query.orphan_dependents,
            ..DeleteOptions::default()
        }
    } else {
        let sent = part::DELETE_OPTIONS.read_options(body, decode::format(content_type)?)?;
        DeleteOptions::from_value(&sent)
    };
    options.dry_run |= query.dry_run;
    check(&options)?;
    Ok(options)
}

/// Whether the options of a deletion contradict nothing.
///
/// # Errors
/// 422 when they do.
pub fn check(options: &DeleteOptions) -> Outcome<()> {
    let errors = options.validate();
    if errors.is_empty() { Ok(()) } else { Err(Failure::invalid("meta.k8s.io", "DeleteOptions", "", &errors)) }
}

/// Deletes the object.
///
/// # Errors
/// 404 when there is none, 409 when a precondition does not hold.
pub async fn delete(request: &Request<'_>, options: &DeleteOptions, warnings: &mut Vec<String>) -> Outcome<Deleted> {
    loop {
        let entry = request.existing()?;
        let object = request.read(&entry).await?;
        if let Some(why) = options.mismatch(&object) {
            return Err(Failure::precondition(&request.served.resource, &request.name, &why));
        }
        request.check_deletion()?;
        // Upstream asks nobody about the deletion that an eviction is: about the eviction it has asked.
        if request.subresource.is_empty() {
            hooks::Matter::of_deletion(request, options).ask_all(None, Some(&object), warnings).await?;
        }
        let object = if request.served.is_definition() { held_for_objects(object, request.now) } else { object };
        match once(request, &entry, object, options).await {
            Err(Lost::Stale) => warnings.clear(),
            Err(Lost::Failed(failure)) => return Err(failure),
            Ok(deleted) => return Ok(deleted),
        }
    }
}

/// A definition that is deleted stays until its objects are gone.
fn held_for_objects(mut definition: Value, now: Timestamp) -> Value {
    if meta::is_deleting(&definition) {
        return definition;
    }
    let mut finalizers: Vec<String> = meta::finalizers(&definition).into_iter().map(str::to_owned).collect();
    finalizers.push(CLEANUP_FINALIZER.to_owned());
    meta::set(&mut definition, "finalizers", finalizers);
    definition["status"] = terminating(&definition, Termination::Pending, now);
    definition
}

async fn once(
    request: &Request<'_>,
    entry: &Arc<Entry>,
    object: Value,
    options: &DeleteOptions,
) -> Result<Deleted, Lost> {
    let resource = &request.served.resource;
    match deletion::plan(resource, &object, options, request.now) {
        Plan::Pending => Ok(Deleted::Marked(entry.clone())),
        Plan::Mark(marked) => {
            let marked = request.commit(Expected::At(entry.revision), request.settled(marked)).await?;
            Ok(Deleted::Marked(marked))
        }
        Plan::Remove(last) => {
            let uid = meta::text(&object, "uid").to_owned();
            let last = request.remove(entry.revision, request.settled(last)).await?;
            let shows_object = matches!(
                resource.storage.as_str(),
                "pods"
                    | "services"
                    | "persistentvolumeclaims"
                    | "persistentvolumes"
                    | "serviceaccounts"
                    | "podtemplates"
                    | "resourcequotas"
                    | "storageclasses.storage.k8s.io"
                    | "csinodes.storage.k8s.io"
                    | "csidrivers.storage.k8s.io"
                    | "volumeattachments.storage.k8s.io"
            );
            if shows_object {
                return Ok(Deleted::Last(last));
            }
            Ok(Deleted::Gone(status::deleted(resource, &request.name, &uid)))
        }
    }
}

/// Deletes the listed objects of a namespace and answers with those that were there.
///
/// # Errors
/// The first failure other than 404.
pub async fn collection(
    request: &mut Request<'_>,
    entries: Vec<Arc<Entry>>,
    options: &DeleteOptions,
    warnings: &mut Vec<String>,
) -> Outcome<Vec<Arc<Entry>>> {
    let mut deleted = Vec::with_capacity(entries.len());
    for entry in entries {
        request.namespace = entry.key.namespace.to_string();
        request.name = entry.key.name.to_string();
        let mut told = Vec::new();
        let deleted_one = delete(request, options, &mut told).await;
        warnings.extend(told);
        match deleted_one {
            Ok(_) => deleted.push(entry),
            Err(failure) if failure.code == 404 => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(deleted)
}
