//! `patch`: JSON patch, merge patch, strategic merge patch and server-side apply.

use bytes::Bytes;
use json_patch::{AddOperation, CopyOperation, PatchOperation, ReplaceOperation, TestOperation, jsonptr::PointerBuf};
use serde_json::{Map, Value, json};

use super::{Accounting, Lost, Request, Written, create, decode, meta, part, update};
use crate::{
    core::{
        apply::{self, ApplyError, Force},
        field::FieldError,
        schema::Table,
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

    /// Patches a scale, which is no stored object; not for an applied one.
    ///
    /// # Errors
    /// 400 or 422 as patch and scale deserve.
    pub fn patch_scale(self, scale: &Value, body: &[u8]) -> Outcome<Value> {
        let patch = self.read(body)?;
        match self {
            Self::Json => json_patch(scale, &patch),
            Self::Strategic => {
                let table = Table::builtin();
                let node = table.kind("autoscaling", "v1", "Scale").ok_or_else(Failure::no_such_path)?;
                strategic::patch(table, node, scale, &patch).map_err(strategic_failure)
            }
            Self::Merge | Self::Apply => {
                let mut new = scale.clone();
                json_patch::merge(&mut new, &patch);
                Ok(new)
            }
        }
    }

    /// Reads a patch that is no applied object.
    ///
    /// # Errors
    /// 400 for what is no patch of the kind.
    pub fn read(self, body: &[u8]) -> Outcome<Value> {
        let refused = |fault: String| match self {
            Self::Strategic => Failure::bad_request(fault),
            _ => Failure::bad_request(format!("error decoding patch: {fault}")),
        };
        let patch = decode::json(body).map_err(refused)?;
        match (self, &patch) {
            (Self::Merge, Value::Null) => Err(Failure::bad_request("Invalid JSON Patch")),
            (Self::Json, Value::Null) => Ok(Value::Array(Vec::new())),
            (Self::Strategic, Value::Null) => Ok(Value::Object(Map::new())),
            (Self::Json, Value::Array(steps)) => match steps.iter().find_map(step_fault) {
                Some(fault) => Err(refused(fault)),
                None => Ok(with_values(patch)),
            },
            (Self::Json, other) => Err(refused(decode::mismatch(other, "[]handlers.jsonPatchOp"))),
            (_, Value::Object(_)) => Ok(patch),
            (_, other) => Err(refused(decode::mismatch(other, decode::MAP_OF_GO))),
        }
    }
}

/// Why upstream cannot read a step of a JSON patch.
fn step_fault(step: &Value) -> Option<String> {
    match step {
        Value::Null => None,
        Value::Object(fields) => ["op", "path", "from"].into_iter().find_map(|name| {
            let value = fields.get(name).filter(|value| !value.is_string() && !value.is_null())?;
            let sort = decode::sort(value);
            Some(format!("json: cannot unmarshal {sort} into Go struct field jsonPatchOp.{name} of type string"))
        }),
        other => Some(decode::mismatch(other, "handlers.jsonPatchOp")),
    }
}

/// To upstream's library a step that adds or replaces without a value has null.
fn with_values(mut steps: Value) -> Value {
    for step in steps.as_array_mut().into_iter().flatten() {
        if let Value::Object(fields) = step
            && fields.get("op").is_some_and(|op| op == "add" || op == "replace")
        {
            fields.entry("value").or_insert(Value::Null);
        }
    }
    steps
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
    let patch = if kind == PatchType::Apply {
        request.accounting = Accounting::Applied;
        applied_object(request, body)
    } else {
        kind.read(body)
    };
    loop {
        let entry = match (request.existing(), kind) {
            (Ok(entry), _) => entry,
            (Err(_), PatchType::Apply) if request.subresource.is_empty() => {
                return apply_new(request, &patch?, warnings).await;
            }
            // An object that is not there is told before a patch that cannot be read.
            (Err(failure), _) => return Err(failure),
        };
        let patch = patch.as_ref().map_err(Clone::clone)?;
        let old = request.read(&entry).await?;
        match once(request, &entry, &old, patch, kind, warnings).await {
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
    let refused = |fault: String| Failure::bad_request(format!("error decoding YAML: {fault}"));
    let object = decode::yaml(body).map_err(|fault| refused(format!("error converting YAML to JSON: {fault}")))?;
    if !object.is_object() && !object.is_null() {
        let fault = decode::mismatch(&object, decode::MAP_OF_GO);
        return Err(refused(format!("error unmarshaling JSON: while decoding JSON: {fault}")));
    }
    let row = &request.served.resource;
    let sent = (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
    if sent != (row.api_version().as_str(), row.kind.as_str()) && request.subresource != "scale" {
        // As Go writes a group, version and kind.
        let (group, version) = sent.0.split_once('/').unwrap_or(("", sent.0));
        return Err(Failure::bad_request(format!("invalid object type: {group}/{version}, Kind={}", sent.1)));
    }
    if object["metadata"].get("name").is_some_and(Value::is_null) {
        update::check_name(request, &object)?;
    }
    if object["metadata"]["managedFields"].as_array().is_some_and(|all| !all.is_empty()) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    Ok(object)
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
    update::check_name(request, &object)?;
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
    keep_type(request, &mut new, old, kind).map_err(Lost::Failed)?;
    let validation = if kind == PatchType::Apply { FieldValidation::Ignore } else { request.validation() };
    if let Err(failure) = decode::refine(&request.served, &mut new, None, validation, warnings) {
        // Decoding has changed the object by now.
        let mut sent = patched(request, old, patch, kind).map_err(Lost::Failed)?;
        keep_type(request, &mut sent, old, kind).map_err(Lost::Failed)?;
        return Err(Lost::Failed(at_patch(request, &failure, sent.to_string(), kind)));
    }
    // A patch that replaces the whole object may leave out where it stands.
    if meta::text(&new, "namespace").is_empty() && request.served.resource.namespaced() {
        meta::set(&mut new, "namespace", request.namespace.clone());
    }
    check_identity(request, &new, old).map_err(Lost::Failed)?;
    update::change(request, entry, old, new, warnings).await
}

/// No patch makes an object one of another kind: upstream decodes the result of a JSON or merge patch
/// into the kind that the path names, and takes no types from a strategic one.
fn keep_type(request: &Request<'_>, new: &mut Value, old: &Value, kind: PatchType) -> Outcome<()> {
    let Value::Object(fields) = new else { return Ok(()) };
    let is_decoded = matches!(kind, PatchType::Json | PatchType::Merge);
    let wrong = ["apiVersion", "kind"].into_iter().find_map(|name| {
        let value = fields.get(name).filter(|value| !value.is_null() && !value.is_string())?;
        Some(decode::mismatched_type(name, value))
    });
    let text = |name: &str| fields.get(name).and_then(Value::as_str).or(old[name].as_str()).unwrap_or_default();
    let is_other = ["apiVersion", "kind"].into_iter().any(|name| Some(text(name)) != old[name].as_str());
    let fault = match wrong {
        Some(fault) => Some(fault),
        None if is_other && is_decoded && matches!(request.served.rules, Rules::Builtin) => {
            Some(part::not_registered(text("apiVersion"), text("kind")))
        }
        None => None,
    };
    if let Some(fault) = fault {
        let error = FieldError::invalid("patch", Value::Object(fields.clone()).to_string(), fault);
        return Err(Failure::invalid("", "", "", &vec![error]));
    }
    // Of a custom resource, validation tells.
    if !(is_other && is_decoded) {
        for name in ["apiVersion", "kind"] {
            fields.insert(name.to_owned(), old[name].clone());
        }
    }
    Ok(())
}

/// A patch whose result is no object of the kind is at fault as a whole.
fn at_patch(request: &Request<'_>, failure: &Failure, patched: String, kind: PatchType) -> Box<Failure> {
    let row = &request.served.resource;
    let told = |at: usize| failure.message.get(at..).unwrap_or_default();
    if let Some(at) = failure.message.find("strict decoding error") {
        return Failure::invalid("", "", "", &vec![FieldError::invalid("patch", patched, told(at))]);
    }
    // The words of the decoder stand behind those that name the kind.
    let lead = format!("cannot be handled as a {}: ", row.kind);
    let fault = told(failure.message.find(&lead).map_or(0, |at| at + lead.len()));
    if kind == PatchType::Apply {
        let gvk = format!("{}/{}, Kind={}", row.group, row.version, row.kind);
        let name = format!("{}/{}", request.namespace, request.name);
        return Failure::unexplained(format!(
            "failed to convert new object ({name}; {gvk}) to proper version: unable to convert unstructured object to \
             {gvk}: {fault}"
        ));
    }
    Failure::invalid("", "", "", &vec![FieldError::invalid("patch", patched, fault)])
}

fn patched(request: &Request<'_>, old: &Value, patch: &Value, kind: PatchType) -> Outcome<Value> {
    match kind {
        PatchType::Json => json_patch(old, patch),
        PatchType::Merge => {
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

/// The object that a JSON patch makes of another.
///
/// # Errors
/// 422 for steps that cannot be carried out.
pub fn json_patch(old: &Value, patch: &Value) -> Outcome<Value> {
    let operations: json_patch::Patch = serde_json::from_value(patch.clone()).map_err(Failure::rejected)?;
    if operations.0.len() > JSON_PATCH_OPERATIONS {
        return Err(Failure::too_large(JSON_PATCH_OPERATIONS));
    }
    let mut new = old.clone();
    let mut copied_bytes = 0;
    for operation in operations.0 {
        if let PatchOperation::Copy(copy) = &operation {
            let source = new.pointer(copy.from.as_str());
            copied_bytes += source.map_or(0, |value| value.to_string().len());
            check_copies(copied_bytes)?;
        }
        if let Some(operation) = leniently(operation, &new) {
            json_patch::patch(&mut new, &[operation]).map_err(Failure::rejected)?;
        }
    }
    Ok(new)
}

/// To upstream's library a field that is not there is null: it can be replaced, copied, and tested for being null.
fn leniently(operation: PatchOperation, object: &Value) -> Option<PatchOperation> {
    let is_missing = |path: &PointerBuf| {
        let parent = path.parent().and_then(|parent| object.pointer(parent.as_str()));
        object.pointer(path.as_str()).is_none() && parent.is_some_and(Value::is_object)
    };
    match operation {
        PatchOperation::Replace(ReplaceOperation { path, value }) if is_missing(&path) => {
            Some(PatchOperation::Add(AddOperation { path, value }))
        }
        PatchOperation::Copy(CopyOperation { from, path }) if is_missing(&from) => {
            Some(PatchOperation::Add(AddOperation { path, value: Value::Null }))
        }
        PatchOperation::Test(TestOperation { path, value }) if value.is_null() && is_missing(&path) => None,
        other => Some(other),
    }
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
    let reset = request.served.reset_fields(&request.subresource);
    apply::apply(table, node, live, patch, &manager, force(request), &reset).map_err(apply_failure)
}

/// Whether a request takes fields from their owners.
pub fn force(request: &Request<'_>) -> Force {
    if request.options.force == Some(true) { Force::Yes } else { Force::No }
}

/// The answer to a configuration that cannot be applied.
pub fn apply_failure(error: ApplyError) -> Box<Failure> {
    match error {
        ApplyError::Conflict { message, causes } => {
            let causes = causes
                .iter()
                .map(|cause| json!({"reason": "FieldManagerConflict", "message": cause.message, "field": cause.field}));
            Failure::apply_conflict(message, causes.collect())
        }
        ApplyError::BadRequest(text) => Failure::bad_request(text),
        ApplyError::Internal(text) => Failure::unexplained(text),
    }
}

/// A patch may guard itself by naming what it was made from.
fn check_identity(request: &Request<'_>, new: &Value, old: &Value) -> Outcome<()> {
    let resource = &request.served.resource;
    let version = meta::text(new, "resourceVersion");
    update::check_name(request, new)?;
    update::check_namespace(request, new)?;
    if !version.is_empty() && version != meta::text(old, "resourceVersion") {
        meta::check_revision(version)?;
        return Err(Failure::modified(resource, &request.name));
    }
    let uid = meta::text(new, "uid");
    if !uid.is_empty() && uid != meta::text(old, "uid") {
        let error = FieldError::invalid("metadata.uid", uid, "field is immutable");
        return Err(Failure::invalid(&resource.group, &resource.kind, &request.name, &vec![error]));
    }
    if meta::text(new, "namespace") != meta::text(old, "namespace") {
        let text = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Failure::bad_request(text));
    }
    Ok(())
}
