//! What a webhook is sent: an `AdmissionReview`.

use serde_json::{Map, Value, json};

use super::{Attributes, Invocation, Kind, Objects, rules};

/// The versions of a review that this server speaks, in the order in which a webhook names its own.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// The version of a review that a webhook is sent: the first of its own that is known.
pub fn version(hook: &Value) -> Option<&str> {
    let own = hook["admissionReviewVersions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    own.into_iter().find(|version| VERSIONS.contains(version))
}

/// A review that asks for a verdict on `objects`, which are of `kind`.
pub fn build(
    version: &str,
    uid: &str,
    attributes: &Attributes,
    invocation: &Invocation,
    kind: &Kind,
    objects: Objects<'_>,
) -> Value {
    let mut request = Map::new();
    let mut put = |name: &str, value: Value| {
        request.insert(name.to_owned(), value);
    };
    put("uid", uid.into());
    put("kind", kind_json(kind));
    put("resource", resource_json(&invocation.resource));
    put("requestKind", kind_json(&attributes.kind));
    put("requestResource", resource_json(&attributes.resource));
    for (name, subresource) in [
        ("subResource", &invocation.resource.subresource),
        ("requestSubResource", &attributes.resource.subresource),
        ("name", &attributes.name),
        ("namespace", &attributes.namespace),
    ] {
        if !subresource.is_empty() {
            put(name, subresource.as_str().into());
        }
    }
    put("operation", rules::operation_name(attributes.operation).into());
    put("userInfo", user_json(&attributes.user));
    put("object", objects.new.cloned().unwrap_or_default());
    put("oldObject", objects.old.cloned().unwrap_or_default());
    put("dryRun", attributes.dry_run.into());
    put("options", attributes.options.clone());
    json!({"kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"), "request": request})
}

fn kind_json(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn resource_json(resource: &rules::Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "resource": resource.plural})
}

fn user_json(user: &Value) -> Value {
    let said = |value: &Value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    };
    let fields = user.as_object().into_iter().flatten().filter(|(_, value)| said(value));
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}
