//! Failures as a Kubernetes API server words them: `metav1.Status` with code, reason and details.
//!
//! The constructors follow `k8s.io/apimachinery/pkg/api/errors`. Which failure applies is decided by
//! whoever makes one.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::{field::ErrorList, resource::Resource};

/// A request that is answered with a `Status` of `Failure`.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub code: u16,
    pub reason: Cow<'static, str>,
    pub message: String,
    pub details: Option<Value>,
    /// For a list whose view is gone: a token that goes on in a newer view.
    pub continue_token: Option<String>,
}

/// The result of anything that a request can fail in.
pub type Outcome<T> = Result<T, Box<Failure>>;

impl Failure {
    fn new(code: u16, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { code, reason: reason.into(), message: message.into(), details: None, continue_token: None })
    }

    fn with(mut self: Box<Self>, details: Value) -> Box<Self> {
        self.details = Some(details);
        self
    }

    /// 400: the request itself cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Box<Self> {
        Self::new(400, "BadRequest", message)
    }

    /// The same words as upstream sends them where nothing there makes an API error of them: 500 without a reason.
    pub fn uninterpreted(&self) -> Box<Self> {
        Self::new(500, "", self.message.as_str())
    }

    /// 401: no credentials, or none that are known.
    pub fn unauthorized() -> Box<Self> {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 with the reason given in full.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Box<Self> {
        let quoted = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        let message = format!("{}{quoted} is forbidden: {why}", resource.group_resource());
        Self::new(403, "Forbidden", message).with(details(name, &resource.group, &resource.plural))
    }

    /// A failure from a whole `Status` object.
    pub fn from_status(status: &Value) -> Box<Self> {
        let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
        let mut failure = Self::new(code, reason_of(code), status["message"].as_str().unwrap_or_default());
        failure.details = status.get("details").cloned();
        failure
    }

    /// What another program says, with its own reason, in a whole `Status` object.
    pub fn of_another(status: &Value) -> Box<Self> {
        let mut failure = Self::from_status(status);
        failure.reason = status["reason"].as_str().unwrap_or_default().to_owned().into();
        failure.details = status.get("details").filter(|details| details.is_object()).cloned();
        failure
    }

    /// 403 for a path that is no resource.
    pub fn forbidden_path(message: String) -> Box<Self> {
        Self::new(403, "Forbidden", message).with(json!({}))
    }

    /// 404: no such object.
    pub fn not_found(resource: &Resource, name: &str) -> Box<Self> {
        Self::not_found_in(&resource.group, &resource.plural, name)
    }

    /// 404: no such object of a resource that is named by its words.
    pub fn not_found_in(group: &str, plural: &str, name: &str) -> Box<Self> {
        let dot = if group.is_empty() { "" } else { "." };
        let message = format!("{plural}{dot}{group} {name:?} not found");
        Self::new(404, "NotFound", message).with(details(name, group, plural))
    }

    /// 404 in words.
    pub fn missing(message: impl Into<String>) -> Box<Self> {
        Self::new(404, "NotFound", message)
    }

    /// 404: no such path.
    pub fn no_such_path() -> Box<Self> {
        Self::new(404, "NotFound", "the server could not find the requested resource").with(json!({}))
    }

    /// 405: the resource has no such verb.
    pub fn method_not_allowed(resource: &Resource, verb: &str) -> Box<Self> {
        let message = format!("{verb} is not supported on resources of kind {:?}", resource.group_resource());
        Self::new(405, "MethodNotAllowed", message).with(json!({"group": resource.group, "kind": resource.plural}))
    }

    /// 405 without a resource.
    pub fn method_not_allowed_here() -> Box<Self> {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
            .with(json!({}))
    }

    /// 406: the route has no acceptable representation, in the words of upstream's router.
    pub fn no_representation(available: &[&str]) -> Box<Self> {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {}", available.join(", "));
        Self::new(406, "NotAcceptable", message).with(json!({}))
    }

    /// 406: no acceptable representation.
    pub fn not_acceptable(supported: &[&str]) -> Box<Self> {
        let message = format!("only the following media types are accepted: {}", supported.join(", "));
        Self::new(406, "NotAcceptable", message)
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!("{} {name:?} already exists", resource.group_resource());
        Self::new(409, "AlreadyExists", message).with(details(name, &resource.group, &resource.plural))
    }

    /// 409: another writer was faster, or a precondition does not hold.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Box<Self> {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.group_resource());
        Self::new(409, "Conflict", message).with(details(name, &resource.group, &resource.plural))
    }

    /// 409 about an object that upstream names by its kind.
    pub fn conflict_of(kind: &str, name: &str, why: &str) -> Box<Self> {
        let message = format!("Operation cannot be fulfilled on {kind} {name:?}: {why}");
        Self::new(409, "Conflict", message).with(details(name, "", kind))
    }

    /// 409: the object has changed since the client read it.
    pub fn modified(resource: &Resource, name: &str) -> Box<Self> {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 409: fields belong to other managers; `causes` as server-side apply lists them.
    pub fn apply_conflict(message: String, causes: Value) -> Box<Self> {
        Self::new(409, "Conflict", message).with(json!({ "causes": causes }))
    }

    /// 410: the revision is too old.
    pub fn expired(message: impl Into<String>) -> Box<Self> {
        Self::new(410, "Expired", message)
    }

    /// 413: the body is longer than any object may be.
    pub fn too_large(limit_bytes: usize) -> Box<Self> {
        let message = format!("Request entity too large: limit is {limit_bytes}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 415: the body's type is none that the verb takes.
    pub fn unsupported_media_type(supported: &[&str]) -> Box<Self> {
        let list = supported.join(", ");
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {list}");
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 415: the patch is of no known type.
    pub fn unsupported_patch() -> Box<Self> {
        Self::new(415, "UnsupportedMediaType", "415: Unsupported Media Type")
    }

    /// 409 in the words of a deletion's preconditions, which name the kind.
    pub fn precondition(resource: &Resource, name: &str, why: &str) -> Box<Self> {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.group_kind());
        Self::new(409, "Conflict", message).with(details(name, &resource.group, &resource.kind))
    }

    /// 422: fields are at fault. `kind` and `group` name the kind as messages do.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &ErrorList) -> Box<Self> {
        let dot = if group.is_empty() { "" } else { "." };
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for error in errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let listed = match &texts[..] {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let causes: Vec<Value> = errors
            .iter()
            .map(|error| json!({"reason": error.kind.reason(), "message": error.body(), "field": error.field}))
            .collect();
        let mut about = details(name, group, kind);
        if !causes.is_empty()
            && let Value::Object(about) = &mut about
        {
            about.insert("causes".to_owned(), Value::Array(causes));
        }
        Self::new(422, "Invalid", format!("{kind}{dot}{group} {name:?} is invalid: {listed}")).with(about)
    }

    /// 422 in words, where no field is at fault.
    pub fn unprocessable(message: impl Into<String>) -> Box<Self> {
        Self::new(422, "Invalid", message)
    }

    /// 422 for a patch whose steps cannot be carried out: upstream's words, and the step's fault as a cause.
    pub fn rejected(fault: impl std::fmt::Display) -> Box<Self> {
        Self::unprocessable("the server rejected our request due to an error in our request")
            .with(json!({"causes": [{"message": fault.to_string()}]}))
    }

    /// 429: not now.
    pub fn too_many_requests(message: impl Into<String>, details: Option<Value>) -> Box<Self> {
        let mut failure = Self::new(429, "TooManyRequests", message);
        failure.details = details;
        failure
    }

    /// 500: a fault of the server.
    pub fn internal(message: impl std::fmt::Display) -> Box<Self> {
        let text = message.to_string();
        Self::new(500, "InternalError", format!("Internal error occurred: {text}"))
            .with(json!({"causes": [{"message": text}]}))
    }

    /// 500 without a reason, as upstream answers a patch that does not fit.
    pub fn unexplained(message: impl Into<String>) -> Box<Self> {
        Self::new(500, "", message)
    }

    /// 503: not yet.
    pub fn unavailable(message: impl Into<String>) -> Box<Self> {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// 504: the client asks for a revision that has not come.
    pub fn future_revision(asked: u64, current: u64) -> Box<Self> {
        let message = format!("Too large resource version: {asked}, current: {current}");
        let causes = json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
        Self::new(504, "Timeout", format!("Timeout: {message}")).with(json!({"causes": causes, "retryAfterSeconds": 1}))
    }

    /// The `Status` object.
    pub fn status(&self) -> Value {
        let mut status = Map::new();
        status.insert("kind".to_owned(), "Status".into());
        status.insert("apiVersion".to_owned(), "v1".into());
        status.insert(
            "metadata".to_owned(),
            match &self.continue_token {
                Some(token) => json!({ "continue": token }),
                None => json!({}),
            },
        );
        status.insert("status".to_owned(), "Failure".into());
        status.insert("message".to_owned(), self.message.clone().into());
        if !self.reason.is_empty() {
            status.insert("reason".to_owned(), Value::from(&*self.reason));
        }
        if let Some(details) = &self.details {
            status.insert("details".to_owned(), details.clone());
        }
        status.insert("code".to_owned(), self.code.into());
        Value::Object(status)
    }
}

/// The reason that a code has where nothing more is said.
fn reason_of(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    }
}

fn details(name: &str, group: &str, kind: &str) -> Value {
    let mut details = Map::new();
    for (field, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details.insert(field.to_owned(), value.into());
        }
    }
    Value::Object(details)
}

/// The `Status` of a deletion that has been carried out.
pub fn deleted(resource: &Resource, name: &str, uid: &str) -> Value {
    let mut about = details(name, &resource.group, &resource.plural);
    if let Value::Object(about) = &mut about {
        about.insert("uid".to_owned(), uid.into());
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": about})
}
