//! Subresources, and the resources that are only questions (reviews).

mod eviction;
mod scale;

use ferroflow_platform::identity::Identity;
use http::{Method, Response, StatusCode, header};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    body::{self, Body},
    connect, forward,
    hooks::Matter,
    negotiate::Form,
    proxy,
    server::{self, Call},
    view::{self, View},
    write::{Lost, Request, decode, meta, part, patch, update},
};
use crate::{
    auth::{Claims, token},
    core::{
        admission::{Lookup, Operation},
        field::{ErrorList, FieldError},
        hooks::Kind,
        kinds::pod,
        rbac,
        status::{Failure, Outcome},
    },
};

/// Answers a request for a subresource.
///
/// # Errors
/// 404 for one that the resource does not have, 405 for a verb that it does not take.
pub async fn answer(call: Call<'_>, body: Body) -> Outcome<Response<Body>> {
    let name = call.path.subresource.as_str();
    let known = call.served.resource.subresources.iter().any(|own| own.name == name);
    if !known {
        return Err(Failure::no_such_path());
    }
    match (name, call.parts.method.clone()) {
        ("scale", _) => scale::answer(&call, body).await,
        ("status" | "approval" | "ephemeralcontainers" | "resize" | "finalize", Method::GET | Method::HEAD) => {
            get(&call).await
        }
        ("status" | "approval" | "ephemeralcontainers" | "resize" | "finalize", Method::PUT) => put(&call, body).await,
        ("status" | "approval" | "ephemeralcontainers" | "resize", Method::PATCH) => patch_part(&call, body).await,
        ("binding", Method::POST) => bind(&call, body).await,
        ("eviction", Method::POST) => eviction::evict(&call, body).await,
        ("token", Method::POST) => issue_token(&call, body).await,
        ("log", Method::GET) => connect::log(call).await,
        ("exec" | "attach", _) => connect::command(call).await,
        ("portforward", _) => forward::port_forward(call).await,
        ("proxy", _) => proxy::proxy(call, body).await,
        _ => Err(Failure::method_not_allowed_here()),
    }
}

async fn get(call: &Call<'_>) -> Outcome<Response<Body>> {
    let view = view_of(call)?;
    let request = call.request();
    let entry = request.shown(request.existing()?).await?;
    Ok(server::respond(&view, view.object(&entry)?, StatusCode::OK, &[]))
}

/// How a part is shown; an approval has no other form than its own.
fn view_of(call: &Call<'_>) -> Outcome<View> {
    let view = call.view()?;
    if call.path.subresource == "approval" && view.representation.form != Form::Plain {
        return Err(Failure::not_acceptable(&decode::MEDIA_TYPES));
    }
    Ok(view)
}

async fn put(call: &Call<'_>, body: Body) -> Outcome<Response<Body>> {
    let view = view_of(call)?;
    let format = decode::format(call.header(header::CONTENT_TYPE))?;
    let body = body::read(body).await?;
    let mut warnings = Vec::new();
    let mut request = call.request();
    let written = update::update(&mut request, &body, format, &mut warnings).await?;
    call.written(&view, &written, &warnings).await
}

async fn patch_part(call: &Call<'_>, body: Body) -> Outcome<Response<Body>> {
    let view = view_of(call)?;
    let kind = patch::PatchType::of(call.header(header::CONTENT_TYPE), &call.served.rules)?;
    let body = body::read(body).await?;
    let mut warnings = Vec::new();
    let mut request = call.request();
    let written = patch::patch(&mut request, &body, kind, &mut warnings).await?;
    call.written(&view, &written, &warnings).await
}

async fn read_part(call: &Call<'_>, body: Body, kind: part::PartKind) -> Outcome<Value> {
    let format = decode::format(call.header(header::CONTENT_TYPE))?;
    kind.read(&body::read(body).await?, format)
}

/// Binds a pod to a node.
async fn bind(call: &Call<'_>, body: Body) -> Outcome<Response<Body>> {
    let mut binding = read_part(call, body, part::BINDING).await?;
    if meta::text(&binding, "name") != call.path.name {
        return Err(Failure::bad_request("name in URL does not match name in Binding object"));
    }
    let request = call.request();
    ask(&request, "v1", &mut binding, &mut Vec::new()).await?;
    bind_pod(&request, &binding).await?;
    Ok(server::json(&success(), StatusCode::CREATED))
}

/// Asks webhooks and policies about something that is created and not stored.
async fn ask(request: &Request<'_>, api_version: &str, sent: &mut Value, warnings: &mut Vec<String>) -> Outcome<()> {
    let kind = Kind::of(api_version, sent["kind"].as_str().unwrap_or_default());
    Matter::of_part(request, Operation::Create, kind).ask_all(Some(sent), None, warnings).await
}

fn success() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
}

async fn bind_pod(request: &Request<'_>, binding: &Value) -> Outcome<()> {
    update::check_namespace(request, binding)?;
    let errors = pod::binding::validate(binding);
    if !errors.is_empty() {
        // Upstream hands these on as they are.
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let text = if told.len() == 1 { told.concat() } else { format!("[{}]", told.join(", ")) };
        return Err(Failure::unexplained(text));
    }
    loop {
        let entry = request.existing()?;
        let old = request.parse(&entry)?;
        let mut new = old.clone();
        pod::binding::bind(&mut new, binding, &meta::time(request.now))
            .map_err(|why| Failure::conflict(&request.served.resource, &request.name, &why))?;
        let new = request.account(Some(&old), new);
        match update::settle(request, &entry, &old, new).await {
            Ok(_) => return Ok(()),
            Err(Lost::Stale) => {}
            Err(Lost::Failed(failure)) => return Err(failure),
        }
    }
}

/// Tokens live at least ten minutes and at most a day, as upstream bounds them.
const TOKEN_SECONDS: std::ops::RangeInclusive<i64> = 600..=(1 << 32);
const DEFAULT_TOKEN_SECONDS: i64 = 3600;

async fn issue_token(call: &Call<'_>, body: Body) -> Outcome<Response<Body>> {
    let mut sent = read_part(call, body, part::TOKEN_REQUEST).await?;
    let account = call.request().parse(&*call.request().existing()?)?;
    update::check_namespace(&call.request(), &sent)?;
    let named = meta::text(&sent, "name");
    if !named.is_empty() && named != call.path.name {
        let error = FieldError::invalid("metadata.name", named, "must match the service account name if specified");
        return Err(Failure::invalid("authentication.k8s.io", "TokenRequest", &call.path.name, &vec![error]));
    }
    ask(&call.request(), "authentication.k8s.io/v1", &mut sent, &mut Vec::new()).await?;
    let now = call.api.clock.now();
    let seconds = sent["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT_TOKEN_SECONDS);
    check_token(seconds)?;
    sent["spec"]["expirationSeconds"] = seconds.into();
    let request = call.request();
    let writer = part::Writer { name: request.manager(), subresource: &call.path.subresource, now };
    let mut sent = part::TOKEN_REQUEST.account(None, sent, &writer);
    let audiences: Vec<String> = sent["spec"]["audiences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let audiences = if audiences.is_empty() { vec![token::ISSUER.to_owned()] } else { audiences };
    let expires = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
    let claims = Claims {
        namespace: call.path.namespace.clone(),
        account: call.path.name.clone(),
        account_uid: meta::text(&account, "uid").to_owned(),
        audiences: audiences.clone(),
        bound: bound(call, &sent["spec"]["boundObjectRef"])?,
        id: meta::new_uid(),
        expires: Some(expires),
    };
    let signed = call.api.authenticator.key.sign(&claims, now).map_err(Failure::internal)?;
    sent["spec"]["audiences"] = json!(audiences);
    meta::set(&mut sent, "uid", meta::new_uid());
    meta::set(&mut sent, "name", call.path.name.clone());
    meta::set(&mut sent, "namespace", call.path.namespace.clone());
    meta::set(&mut sent, "creationTimestamp", meta::time(now));
    sent["status"] = json!({"token": signed, "expirationTimestamp": meta::time(expires)});
    Ok(server::json(&sent, StatusCode::CREATED))
}

fn check_token(seconds: i64) -> Outcome<()> {
    let field = "spec.expirationSeconds";
    let error = if seconds < *TOKEN_SECONDS.start() {
        FieldError::invalid(field, seconds, "may not specify a duration less than 10 minutes")
    } else if seconds > *TOKEN_SECONDS.end() {
        FieldError::invalid(field, seconds, "may not specify a duration larger than 2^32 seconds")
    } else {
        return Ok(());
    };
    Err(Failure::invalid("authentication.k8s.io", "TokenRequest", "", &vec![error]))
}

fn bound(call: &Call<'_>, reference: &Value) -> Outcome<Option<token::Bound>> {
    if reference.is_null() {
        return Ok(None);
    }
    let text = |name: &str| reference[name].as_str().unwrap_or_default();
    let (kind, name) = (text("kind"), text("name"));
    let plural = match kind {
        "Pod" => "pods",
        "Secret" => "secrets",
        _ => {
            let (group, version) = part::group_and_version(text("apiVersion"));
            let text = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(Failure::bad_request(text));
        }
    };
    let found = call.api.lookup.get("", plural, &call.path.namespace, name);
    let object = found.ok_or_else(|| Failure::not_found_in("", plural, name))?;
    let uid = meta::text(&object, "uid").to_owned();
    if reference["uid"].as_str().is_some_and(|wanted| !wanted.is_empty() && wanted != uid) {
        return Err(Failure::conflict_of(
            kind,
            name,
            &format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have \
                 been deleted and then recreated",
                text("uid")
            ),
        ));
    }
    let node = object["spec"]["nodeName"].as_str().filter(|node| kind == "Pod" && !node.is_empty());
    let node = node.and_then(|node| {
        let found = call.api.lookup.get("", "nodes", "", node)?;
        Some((node.to_owned(), meta::text(&found, "uid").to_owned()))
    });
    Ok(Some(token::Bound { kind: kind.to_owned(), name: name.to_owned(), uid, node }))
}

/// Answers a review: the object of the request with its status.
///
/// # Errors
/// 400 for a body that is no review of the kind, 422 for one that asks for nothing.
pub async fn review(call: Call<'_>, body: Body) -> Outcome<Response<Body>> {
    let view = call.view()?;
    if view.representation.form != Form::Plain {
        return Err(Failure::not_acceptable(&["application/json", "application/yaml"]));
    }
    let format = decode::format(call.header(header::CONTENT_TYPE))?;
    let bytes = body::read(body).await?;
    let mut warnings = Vec::new();
    let validation = call.options.field_validation;
    let mut review = decode::object(&call.served, &bytes, format, validation, &mut warnings)?;
    let mut request = call.request();
    ask(&request, &call.served.resource.api_version(), &mut review, &mut warnings).await?;
    if call.served.resource.plural == "bindings" {
        meta::text(&review, "name").clone_into(&mut request.name);
        request.served = call.api.registry.get("", "v1", "pods").ok_or_else(Failure::no_such_path)?;
        bind_pod(&request, &review).await?;
        return Ok(server::json(&success(), StatusCode::CREATED));
    }
    let status = match call.served.resource.kind.as_str() {
        "TokenReview" => token_review(&call, &review)?,
        "SelfSubjectReview" => json!({"userInfo": user_info(&call.identity)}),
        "SelfSubjectRulesReview" => {
            let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
            if namespace.is_empty() {
                return Err(Failure::bad_request("no namespace on request"));
            }
            let user = rbac::User { name: &call.identity.name, groups: &call.identity.groups };
            rbac::rules_review::status(&user, namespace, &call.api.lookup)
        }
        "SelfSubjectAccessReview" => access(&call, &review, &call.identity.clone())?,
        "SubjectAccessReview" | "LocalSubjectAccessReview" => access(&call, &review, &subject(&review))?,
        _ => return Err(Failure::method_not_allowed(&call.served.resource, "create")),
    };
    let mut review = match call.served.resource.kind.as_str() {
        // Upstream answers these with an object of its own.
        "SelfSubjectReview" => {
            meta::set(&mut review, "creationTimestamp", meta::time(call.api.clock.now()));
            review
        }
        "SelfSubjectRulesReview" => {
            let (kind, version) = (&call.served.resource.kind, call.served.resource.api_version());
            json!({"kind": kind, "apiVersion": version, "metadata": {}, "spec": {}})
        }
        _ => call.request().account(None, review),
    };
    review["status"] = status;
    let body = body::full(view::write(&review, view.representation.encoding)?);
    Ok(server::respond(&view, body, StatusCode::CREATED, &warnings))
}

fn token_review(call: &Call<'_>, review: &Value) -> Outcome<Value> {
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Failure::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = review["spec"]["audiences"].as_array().into_iter().flatten();
    let audiences: Vec<String> = audiences.filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(call.api.authenticator.review(token, &audiences, call.api.clock.now()))
}

fn user_info(identity: &Identity) -> Value {
    let mut info = json!({"username": identity.name, "groups": identity.groups});
    if !identity.uid.is_empty() {
        info["uid"] = identity.uid.as_str().into();
    }
    if !identity.extra.is_empty() {
        info["extra"] = json!(identity.extra);
    }
    info
}

fn subject(review: &Value) -> Identity {
    let groups = review["spec"]["groups"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Identity {
        name: review["spec"]["user"].as_str().unwrap_or_default().to_owned(),
        groups: groups.map(str::to_owned).collect(),
        ..Identity::default()
    }
}

fn access(call: &Call<'_>, review: &Value, identity: &Identity) -> Outcome<Value> {
    let errors = review_faults(call, review);
    if !errors.is_empty() {
        return Err(invalid_review(call, &errors));
    }
    let spec = &review["spec"];
    let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
    let user = rbac::User { name: &identity.name, groups: &identity.groups };
    let decision = if spec["nonResourceAttributes"].is_object() {
        let (path, verb) = (text(&spec["nonResourceAttributes"]["path"]), text(&spec["nonResourceAttributes"]["verb"]));
        rbac::authorize(&user, &rbac::Attributes::Path { verb: &verb, path: &path }, &call.api.lookup)
    } else {
        let asked = &spec["resourceAttributes"];
        let [verb, group, resource, subresource, namespace, name] =
            ["verb", "group", "resource", "subresource", "namespace", "name"].map(|field| text(&asked[field]));
        let attributes = rbac::Attributes::Resource {
            verb: &verb,
            group: &group,
            resource: &resource,
            subresource: &subresource,
            namespace: &namespace,
            name: &name,
        };
        rbac::authorize(&user, &attributes, &call.api.lookup)
    };
    let mut status = json!({ "allowed": decision.allowed });
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.into();
    }
    Ok(status)
}

/// An access review asks about a resource or about a path, and about somebody.
fn review_faults(call: &Call<'_>, review: &Value) -> ErrorList {
    let spec = &review["spec"];
    let mut errors = ErrorList::new();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_object() && path.is_object() {
        // As Go writes the structure.
        let text = |name: &str| path[name].as_str().unwrap_or_default();
        let value = json!({"Path": text("path"), "Verb": text("verb")});
        let detail = "cannot be specified in combination with resourceAttributes";
        errors.push(FieldError::invalid("spec.nonResourceAttributes", value, detail));
    }
    if !resource.is_object() && !path.is_object() {
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(FieldError::invalid("spec.resourceAttributes", Value::Null, detail));
    }
    let named = spec["user"].as_str().is_some_and(|user| !user.is_empty());
    let grouped = spec["groups"].as_array().is_some_and(|groups| !groups.is_empty());
    if !call.served.resource.kind.starts_with("Self") && !named && !grouped {
        errors.push(FieldError::invalid("spec.user", "", "at least one of user or group must be specified"));
    }
    let of_own = |name: &&String| !matches!(name.as_str(), "namespace" | "managedFields" | "creationTimestamp");
    if review["metadata"].as_object().is_some_and(|meta| meta.keys().any(|name| of_own(&name))) {
        let mut meta = review["metadata"].clone();
        if let Value::Object(fields) = &mut meta {
            fields.retain(|name, _| of_own(&name));
        }
        errors.push(FieldError::invalid("metadata", meta, "must be empty"));
    }
    errors
}

fn invalid_review(call: &Call<'_>, errors: &ErrorList) -> Box<Failure> {
    // Upstream has forgotten the kind by then.
    Failure::invalid(&call.served.resource.group, "", "", errors)
}
