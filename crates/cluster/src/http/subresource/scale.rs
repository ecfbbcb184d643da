//! The subresource `scale`: how many pods an object asks for, read and written as a `Scale`.
//!
//! A `Scale` is stored nowhere. Who owns its one field is kept in the managed fields of the object, under the path that
//! the object has it at.

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use serde_json::Value;

use super::{
    super::{
        body::{self, Body},
        hooks::Matter,
        server::{self, Call},
        write::{Accounting, Lost, Request, decode, meta, part, patch, update},
    },
    read_part,
};
use crate::{
    core::{
        admission::Operation,
        apply::{self, ScalePath},
        field::FieldError,
        hooks::Kind,
        kinds::scaling::{self, ScaleRefused},
        status::{Failure, Outcome},
    },
    registry::Rules,
};

/// Where built-in kinds have their replicas.
const REPLICAS: [&str; 2] = ["spec", "replicas"];

/// Reads or writes the scale of an object.
///
/// # Errors
/// 404 where the object, or the subresource of its version, is not; 409 and 422 as the scale deserves.
pub async fn answer(call: &Call<'_>, body: Body) -> Outcome<Response<Body>> {
    let view = call.view()?;
    let mut request = call.request();
    let shown_with =
        |value: &Value, warnings: &[String]| Ok(server::respond(&view, view.scale(value)?, StatusCode::OK, warnings));
    let shown = |value: &Value| shown_with(value, &[]);
    if matches!(call.parts.method, Method::GET | Method::HEAD) {
        let object = request.read(&request.existing()?).await?;
        return shown(&of_object(call, &object)?);
    }
    let sent = match call.parts.method {
        Method::PUT => {
            let mut scale = read_part(call, body, part::SCALE).await?;
            update::check_namespace(&request, &scale)?;
            update::check_name(&request, &scale)?;
            meta::set(&mut scale, "namespace", call.path.namespace.clone());
            Sent::Whole(scale)
        }
        Method::PATCH => {
            let kind = patch::PatchType::of(call.header(header::CONTENT_TYPE), &Rules::Builtin)?;
            Sent::Patch(kind, body::read(body).await?)
        }
        _ => return Err(Failure::method_not_allowed_here()),
    };
    request.accounting = Accounting::Applied;
    loop {
        let entry = request.existing()?;
        let old = request.read(&entry).await?;
        let owners = Owners::of(call, &old);
        let before = of_object(call, &old)?;
        let mut scale = sent.onto(&request, &before, &owners)?;
        let mut warnings = Vec::new();
        let matter = Matter::of_part(&request, Operation::Update, Kind::of("autoscaling/v1", "Scale"));
        matter.ask_all(Some(&mut scale), Some(&before), &mut warnings).await?;
        update::check_namespace(&request, &scale)?;
        let version = meta::text(&scale, "resourceVersion");
        if !version.is_empty() && version != meta::text(&old, "resourceVersion") {
            return Err(Failure::modified(&call.served.resource, &call.path.name));
        }
        let mut new = old.clone();
        apply_to(call, &mut new, &scale)?;
        meta::set(&mut new, "managedFields", owners.after(&scale)?);
        match update::change(&request, &entry, &old, new, &mut warnings).await {
            Ok(written) => return shown_with(&of_object(call, &request.read(&written.entry).await?)?, &warnings),
            Err(Lost::Stale) => {}
            Err(Lost::Failed(failure)) => return Err(failure),
        }
    }
}

fn of_object(call: &Call<'_>, object: &Value) -> Outcome<Value> {
    match &call.served.rules {
        Rules::Builtin => Ok(scaling::to_scale(object)),
        Rules::Custom(custom) => {
            let paths = custom.compiled.scale.as_ref().ok_or_else(Failure::no_such_path)?;
            paths.to_scale(object).map_err(Failure::internal)
        }
    }
}

fn apply_to(call: &Call<'_>, object: &mut Value, scale: &Value) -> Outcome<()> {
    match &call.served.rules {
        Rules::Builtin => scaling::apply_scale(object, scale).map_err(|refused| match refused {
            ScaleRefused::Invalid(errors) => Failure::invalid("autoscaling", "Scale", &call.path.name, &errors),
            ScaleRefused::Conflict(why) => Failure::conflict(&call.served.resource, &call.path.name, &why),
        }),
        Rules::Custom(custom) => {
            let paths = custom.compiled.scale.as_ref().ok_or_else(Failure::no_such_path)?;
            paths.apply_scale(object, scale).map_err(Failure::bad_request)
        }
    }
}

/// Who owns the replicas of an object, in it and in its scale.
struct Owners<'a> {
    api_version: String,
    /// Each version of the object and the steps to its replicas there; none where it has no scale.
    paths: Vec<(String, Vec<String>)>,
    of_object: Option<&'a Value>,
}

impl<'a> Owners<'a> {
    fn of(call: &Call<'_>, object: &'a Value) -> Self {
        let row = &call.served.resource;
        let paths = match &call.served.rules {
            Rules::Builtin => vec![(row.api_version(), REPLICAS.map(str::to_owned).to_vec())],
            Rules::Custom(_) => {
                let definitions = call.api.registry.definitions();
                let own = definitions.iter().find(|one| {
                    one.crd["spec"]["group"] == row.group.as_str()
                        && one.crd["spec"]["names"]["kind"] == row.kind.as_str()
                });
                let versions = own.and_then(|own| own.crd["spec"]["versions"].as_array()).into_iter().flatten();
                versions.map(|version| path_of(&row.group, version)).collect()
            }
        };
        Self { api_version: row.api_version(), paths, of_object: object["metadata"].get("managedFields") }
    }

    /// Calls with the paths in the form that accounting takes.
    fn with_paths<T>(&self, act: impl FnOnce(&[ScalePath<'_>]) -> Result<T, String>) -> Outcome<T> {
        let steps: Vec<Vec<&str>> =
            self.paths.iter().map(|(_, path)| path.iter().map(String::as_str).collect()).collect();
        let paths = self.paths.iter().zip(&steps);
        let paths: Vec<ScalePath<'_>> = paths.map(|((api_version, _), path)| ScalePath { api_version, path }).collect();
        act(&paths).map_err(Failure::internal)
    }

    /// The managed fields of the scale.
    fn of_scale(&self) -> Outcome<Value> {
        self.with_paths(|paths| apply::to_scale(self.of_object, paths))
    }

    /// The managed fields of the object, after a write has left `scale`.
    fn after(&self, scale: &Value) -> Outcome<Value> {
        let of_scale = scale["metadata"].get("managedFields");
        let fields = self.with_paths(|paths| apply::to_parent(self.of_object, of_scale, &self.api_version, paths))?;
        Ok(if fields.is_null() { Value::Array(Vec::new()) } else { fields })
    }
}

fn path_of(group: &str, version: &Value) -> (String, Vec<String>) {
    let name = version["name"].as_str().unwrap_or_default();
    let path = version["subresources"]["scale"]["specReplicasPath"].as_str().unwrap_or_default();
    (format!("{group}/{name}"), path.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect())
}

enum Sent {
    Whole(Value),
    /// Read when there is something to patch: an object that is not there is told first.
    Patch(patch::PatchType, Bytes),
}

impl Sent {
    /// The scale that this makes of the present one, with its managed fields.
    fn onto(&self, request: &Request<'_>, scale: &Value, owners: &Owners<'_>) -> Outcome<Value> {
        let mut live = scale.clone();
        match owners.of_scale()? {
            Value::Null => {}
            fields => meta::set(&mut live, "managedFields", fields),
        }
        let (kind, body) = match self {
            Self::Whole(whole) => return Ok(part::SCALE.account(Some(&live), whole.clone(), &writer(request))),
            Self::Patch(kind, body) => (*kind, body),
        };
        if kind == patch::PatchType::Apply {
            let applied = decode::yaml(body).map_err(Failure::bad_request)?;
            let mut new = part::SCALE.apply(&live, &applied, &writer(request), patch::force(request))?;
            decoded(&mut new)?;
            return Ok(new);
        }
        let mut new = kind.patch_scale(scale, body)?;
        decoded(&mut new)?;
        Ok(part::SCALE.account(Some(&live), new, &writer(request)))
    }
}

fn decoded(scale: &mut Value) -> Outcome<()> {
    let before = scale.to_string();
    part::SCALE
        .decode(scale)
        .map_err(|fault| Failure::invalid("", "", "", &vec![FieldError::invalid("patch", before, fault)]))
}

fn writer<'a>(request: &'a Request<'_>) -> part::Writer<'a> {
    part::Writer { name: request.manager(), subresource: &request.subresource, now: request.now }
}
