//! Built-in kinds that are served in more than one version, and how one form becomes the other.
//!
//! Events of `events.k8s.io` are stored as those of the core group, autoscalers of `autoscaling/v1` as those of `v2`.
//! It never touches kinds of CustomResourceDefinitions, whose versions differ in their name alone.

use std::borrow::Cow;

use serde_json::Value;

use super::{apps::daemon_set, autoscaler, small};
use crate::core::resource::Resource;

/// Where autoscalers of every version are stored.
const AUTOSCALERS: &str = "horizontalpodautoscalers.autoscaling";

/// The `apiVersion` with which objects of a built-in resource are stored.
pub fn stored(resource: &Resource) -> String {
    match resource.storage.as_str() {
        "events" => "v1".to_owned(),
        AUTOSCALERS => "autoscaling/v2".to_owned(),
        _ => resource.api_version(),
    }
}

/// An object of the resource's version in the stored form.
pub fn to_stored(resource: &Resource, object: &Value) -> Value {
    match (resource.storage.as_str(), resource.api_version().as_str()) {
        ("events", "events.k8s.io/v1") => small::event_to_core(object),
        (AUTOSCALERS, "autoscaling/v1") => autoscaler::from_v1(object),
        _ => object.clone(),
    }
}

/// What rows and metadata alone are taken from: as upstream, the form that no version names.
pub fn unversioned<'a>(resource: &Resource, object: &'a Value) -> Cow<'a, Value> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("autoscaling", ..) if object["apiVersion"] == "autoscaling/v1" => Cow::Owned(autoscaler::from_v1(object)),
        ("apps", "DaemonSet") => Cow::Owned(daemon_set::without_template_generation(object)),
        _ => Cow::Borrowed(object),
    }
}

/// Whether rows and metadata alone are taken from the stored form, which another version cannot say whole.
pub fn is_printed_as_stored(resource: &Resource) -> bool {
    resource.storage == AUTOSCALERS
}

/// A stored object in the resource's version.
pub fn from_stored(resource: &Resource, object: &Value) -> Value {
    match (resource.storage.as_str(), resource.api_version().as_str()) {
        ("events", "events.k8s.io/v1") => small::event_from_core(object),
        (AUTOSCALERS, "autoscaling/v1") => autoscaler::to_v1(object),
        _ => object.clone(),
    }
}
