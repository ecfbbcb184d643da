//! `patch`: JSON patch, merge patch, strategic merge patch and server-side apply.

use bytes::Bytes;
use json_patch::PatchOperation;
use serde_json::{Value, json};

use super::{Accounting, Lost, Request, Written, create, decode, meta, update};
use crate::{
    core::{
        apply::{self, ApplyError, Force},
        field::FieldError,
        status::{Failure, Outcome},
        strategic,
    },
    http::{body, options::FieldValidation},
    registry::Rules,
    store::Entry,
};

/// The kinds of patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

const TYPES: [(&str, PatchType); 4] = [
    ("application/json-patch+json", PatchType::Json),
    ("application/merge-patch+json", PatchType::Merge),
    ("application/strategic-merge-patch+json", PatchType::Strategic),
    ("application/apply-patch+yaml", PatchType::Apply),
];

/// Operations that a JSON patch may hold, as upstream.
const JSON_PATCH_OPERATIONS: usize = 10_000;

impl PatchType {
    /// The kind of patch by its `Content-Type`; custom resources have no strategic merge.
    ///
    /// # Errors
    /// 415 for any other.
    pub fn of(content_type: Option<&str>, rules: &Rules) -> Outcome<Self> {
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let found = TYPES.iter().find(|(name, _)| *name == media_type).map(|(_, kind)| *kind);
        match (found, rules) {
            (None, _) | (Some(Self::Strategic), Rules::Custom(_)) => Err(Failure::unsupported_patch()),
            (Some(kind), _) => Ok(kind),
        }
    }
}

/// Patches the object.
///
/// # Errors
/// Anything from 400 to 422, as patch and object deserve.
pub async fn patch(
    request: &mut Request<'_>,
    body: &Bytes,
    kind: PatchType,
    warnings: &mut Vec<String>,
) -> Outcome<Written> {
    check_options(request, kind)?;
    let patch = match kind {
        PatchType::Apply => {
            request.accounting = Accounting::Applied;
            applied_object(request, body)?
        }
        _ => decode::json(body).map_err(|fault| Failure::bad_request(format!("error decoding patch: {fault}")))?,
    };
    loop {
        let entry = match (request.existing(), kind) {
            (Ok(entry), _) => entry,
            (Err(_), PatchType::Apply) if request.subresource.is_empty() => {
                return apply_new(request, &patch, warnings).await;
            }
            (Err(failure), _) => return Err(failure),
        };
        let old = request.parse(&entry)?;
        match once(request, &entry, &old, &patch, kind, warnings).await {
            Err(Lost::Stale) => warnings.clear(),
            Err(Lost::Failed(failure)) => return Err(failure),
            Ok(written) => return Ok(written),
        }
    }
}

fn check_options(request: &Request<'_>, kind: PatchType) -> Outcome<()> {
    let fault = match (kind, request.options.force, &request.options.field_manager) {
        (PatchType::Apply, _, None) => FieldError::required("fieldManager", "is required for apply patch"),
        (PatchType::Apply, ..) | (_, None, _) => return Ok(()),
        (_, Some(_), _) => FieldError::forbidden("force", "may not be specified for non-apply patch"),
    };
    Err(Failure::invalid("meta.k8s.io", "PatchOptions", "", &vec![fault]))
}

/// The object of an apply patch. Its fields are checked when it is merged.
fn applied_object(request: &Request<'_>, body: &Bytes) -> Outcome<Value> {
    let object = decode::yaml(body)
        .map_err(|failure| Failure::bad_request(format!("error decoding YAML: {}", failure.message)))?;
    let row = &request.served.resource;
    let sent = (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
    if sent != (row.api_version().as_str(), row.kind.as_str()) && request.subresource != "scale" {
        let text = format!(
            "error decoding YAML: the applied object is a {:?} of {:?}, the path names a {:?} of {:?}",
            sent.1,
            sent.0,
            row.kind,
            row.api_version()
        );
        return Err(Failure::bad_request(text));
    }
    let name = meta::text(&object, "name");
    if !name.is_empty() && name != request.name {
        return Err(Failure::bad_request("name in URL does not match name in provided object"));
    }
    if object["metadata"]["managedFields"].as_array().is_some_and(|all| !all.is_empty()) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    Ok(drop_nulls(object))
}

/// A null in an applied object is a field that is not given.
fn drop_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, drop_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(drop_nulls).collect()),
        other => other,
    }
}

async fn apply_new(request: &mut Request<'_>, patch: &Value, warnings: &mut Vec<String>) -> Outcome<Written> {
    if !meta::text(patch, "uid").is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {}, and no existing object was found",
            meta::text(patch, "uid")
        );
        return Err(Failure::conflict(&request.served.resource, &request.name, &why));
    }
    let mut object = merged(request, None, patch)?;
    if meta::text(&object, "name").is_empty() {
        let text =
            format!("the name of the object ({} based on URL) was undeterminable: name must be provided", request.name);
        return Err(Failure::bad_request(text));
    }
    decode::refine(&request.served, &mut object, None, FieldValidation::Ignore, warnings)?;
    create::create_object(request, object, warnings).await
}

async fn once(
    request: &Request<'_>,
    entry: &Entry,
    old: &Value,
    patch: &Value,
    kind: PatchType,
    warnings: &mut Vec<String>,
) -> Result<Written, Lost> {
    let mut new = patched(request, old, patch, kind).map_err(Lost::Failed)?;
    keep_type(&mut new, old, kind).map_err(Lost::Failed)?;
    let validation = if kind == PatchType::Apply { FieldValidation::Ignore } else { request.validation() };
    let before = (validation == FieldValidation::Strict).then(|| new.to_string());
    decode::refine(&request.served, &mut new, None, validation, warnings)
        .map_err(|failure| Lost::Failed(at_patch(request, failure, before)))?;
    check_identity(request, &new, old).map_err(Lost::Failed)?;
    update::change(request, entry, old, new, warnings).await
}

/// No patch makes an object one of another kind: upstream decodes the result of a JSON or merge patch
/// into the kind that the path names, and takes no types from a strategic one.
fn keep_type(new: &mut Value, old: &Value, kind: PatchType) -> Outcome<()> {
    let Value::Object(fields) = new else { return Ok(()) };
    for name in ["apiVersion", "kind"] {
        let is_other = fields.get(name).is_some_and(|sent| !sent.is_null() && *sent != old[name]);
        if is_other && matches!(kind, PatchType::Json | PatchType::Merge) {
            let text = format!("unable to decode {} into a {}", fields[name], old["kind"].as_str().unwrap_or_default());
            let error = FieldError::invalid("patch", Value::Object(fields.clone()).to_string(), text);
            return Err(Failure::invalid("", "", "", &vec![error]));
        }
        fields.insert(name.to_owned(), old[name].clone());
    }
    Ok(())
}

/// A patch whose result has unknown fields is at fault as a whole.
fn at_patch(request: &Request<'_>, failure: Box<Failure>, patched: Option<String>) -> Box<Failure> {
    let Some(patched) = patched.filter(|_| failure.message.contains("strict decoding error")) else { return failure };
    let text = failure.message.find("strict decoding error").map(|at| &failure.message[at..]).unwrap_or_default();
    let error = FieldError::invalid("patch", patched, text);
    let row = &request.served.resource;
    Failure::invalid(&row.group, &row.kind, &request.name, &vec![error])
}

fn patched(request: &Request<'_>, old: &Value, patch: &Value, kind: PatchType) -> Outcome<Value> {
    match kind {
        PatchType::Json => json_patch(old, patch),
        PatchType::Merge => {
            if !patch.is_object() {
                return Err(Failure::bad_request("error decoding patch: a merge patch is an object"));
            }
            let mut new = old.clone();
            json_patch::merge(&mut new, patch);
            Ok(new)
        }
        PatchType::Strategic => {
            let Some((table, node)) = request.served.schema() else { return Err(Failure::no_such_path()) };
            strategic::patch(table, node, old, patch).map_err(strategic_failure)
        }
        PatchType::Apply => merged(request, Some(old), patch),
    }
}

fn strategic_failure(error: strategic::Error) -> Box<Failure> {
    match error.class {
        strategic::ErrorClass::BadRequest => Failure::bad_request(error.to_string()),
        strategic::ErrorClass::Unprocessable => Failure::unprocessable(error.to_string()),
        strategic::ErrorClass::Internal => Failure::unexplained(error.to_string()),
    }
}

fn json_patch(old: &Value, patch: &Value) -> Outcome<Value> {
    let operations: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    if operations.0.len() > JSON_PATCH_OPERATIONS {
        return Err(Failure::too_large(JSON_PATCH_OPERATIONS));
    }
    let refused = |error: json_patch::PatchError| {
        Failure::unprocessable(format!("the server rejected our request due to an error in our request: {error}"))
    };
    let mut new = old.clone();
    let copies = operations.0.iter().any(|operation| matches!(operation, PatchOperation::Copy(_)));
    if !copies {
        json_patch::patch(&mut new, &operations).map_err(refused)?;
        return Ok(new);
    }
    let mut copied_bytes = 0;
    for operation in &operations.0 {
        if let PatchOperation::Copy(copy) = operation {
            let source = new.pointer(copy.from.as_str());
            copied_bytes += source.map_or(0, |value| value.to_string().len());
            check_copies(copied_bytes)?;
        }
        json_patch::patch(&mut new, std::slice::from_ref(operation)).map_err(refused)?;
    }
    Ok(new)
}

/// Copies of copies double with each operation, so what they add has a bound: that of a body, as upstream.
fn check_copies(copied_bytes: usize) -> Outcome<()> {
    if copied_bytes <= body::LIMIT_BYTES {
        return Ok(());
    }
    Err(Failure::unprocessable(format!(
        "Unable to complete the copy, the accumulated size increase of copy is {copied_bytes}, exceeding the limit {}",
        body::LIMIT_BYTES
    )))
}

/// The result of server-side apply, managed fields included.
fn merged(request: &Request<'_>, live: Option<&Value>, patch: &Value) -> Outcome<Value> {
    let Some((table, node)) = request.served.schema() else { return Err(Failure::no_such_path()) };
    let api_version = request.served.resource.api_version();
    let manager = apply::Manager {
        name: request.manager(),
        api_version: &api_version,
        subresource: &request.subresource,
        now: request.now,
    };
    let force = if request.options.force == Some(true) { Force::Yes } else { Force::No };
    let reset = request.served.reset_fields(&request.subresource);
    apply::apply(table, node, live, patch, &manager, force, &reset).map_err(|error| match error {
        ApplyError::Conflict { message, causes } => {
            let causes = causes
                .iter()
                .map(|cause| json!({"reason": "FieldManagerConflict", "message": cause.message, "field": cause.field}));
            Failure::apply_conflict(message, causes.collect())
        }
        ApplyError::BadRequest(text) => Failure::bad_request(text),
        ApplyError::Internal(text) => Failure::unexplained(text),
    })
}

/// A patch may guard itself by naming what it was made from.
fn check_identity(request: &Request<'_>, new: &Value, old: &Value) -> Outcome<()> {
    let resource = &request.served.resource;
    let version = meta::text(new, "resourceVersion");
    if !version.is_empty() && version != meta::text(old, "resourceVersion") {
        return Err(Failure::modified(resource, &request.name));
    }
    let uid = meta::text(new, "uid");
    if !uid.is_empty() && uid != meta::text(old, "uid") {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", meta::text(old, "uid"));
        return Err(Failure::conflict(resource, &request.name, &why));
    }
    if meta::text(new, "namespace") != meta::text(old, "namespace") {
        return Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if meta::text(new, "name") != meta::text(old, "name") {
        return Err(Failure::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            meta::text(new, "name"),
            request.name
        )));
    }
    Ok(())
}
