use serde_json::json;

use super::*;
use crate::core::resource::Scope;

fn resource(group: &str, kind: &str, scope: Scope, selectable_fields: &[&str]) -> Resource {
    Resource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: format!("{}s", kind.to_lowercase()),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope,
        verbs: Vec::new(),
        subresources: Vec::new(),
        selectable_fields: selectable_fields.iter().map(|field| (*field).to_owned()).collect(),
        storage: String::new(),
        custom: group.ends_with(".dev"),
    }
}

fn pod() -> Resource {
    let fields = ["spec.nodeName", "spec.hostNetwork", "status.phase", "status.podIP"];
    resource("", "Pod", Scope::Namespaced, &fields)
}

#[test]
fn selectors_print_sorted_and_escaped() {
    for (text, printed) in [
        ("", ""),
        ("b=2,a==1", "a=1,b=2"),
        ("a!=x\\,y\\=z\\\\", "a!=x\\,y\\=z\\\\"),
        (",,a=", "a="),
        ("=", ""),
        ("a=b!c", "a=b!c"),
    ] {
        assert_eq!(Selector::parse(text).unwrap().to_string(), printed, "{text}");
    }
}

#[test]
fn a_bad_selector_says_what_upstream_says() {
    for (text, message) in [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("a=\\", "invalid field selector: invalid escape sequence: \\"),
    ] {
        assert_eq!(Selector::parse(text).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_field_that_is_not_offered_is_refused_in_the_words_of_its_kind() {
    let job = resource("batch", "Job", Scope::Namespaced, &["status.successful"]);
    let node = resource("", "Node", Scope::Cluster, &["spec.unschedulable"]);
    let widget = resource("example.dev", "Widget", Scope::Cluster, &[]);
    let slice = resource("resource.k8s.io", "ResourceSlice", Scope::Cluster, &["spec.nodeName"]);
    let claim = resource("", "ConfigMap", Scope::Namespaced, &[]);
    for (resource, text, message) in [
        (pod(), "spec.x=1", "field label not supported: spec.x"),
        (job, "spec.x=1", "field label \"spec.x\" not supported for Job"),
        (node, "metadata.namespace=a", "field label not supported: metadata.namespace"),
        (widget, "metadata.namespace=a", "field label not supported: metadata.namespace"),
        (slice, "x=1", "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: x"),
        (claim, "data=1", "\"data\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""),
    ] {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.for_resource(&resource).unwrap_err().to_string(), message);
    }
}

#[test]
fn absent_fields_have_upstreams_values() {
    let object = json!({"metadata": {"name": "a", "namespace": "b"}, "status": {"podIP": "10.0.0.1"}});
    for (text, selected) in [
        ("spec.nodeName=", true),
        ("spec.host=", true),
        ("spec.hostNetwork=false", true),
        ("status.podIP=10.0.0.1", true),
        ("status.phase!=Running", true),
        ("metadata.name=a,metadata.namespace=b", true),
        ("metadata.name!=a", false),
    ] {
        let selector = Selector::parse(text).unwrap().for_resource(&pod()).unwrap();
        assert_eq!(selector.matches(&pod(), &object), selected, "{text}");
    }
}

#[test]
fn fields_of_custom_resources_are_printed() {
    let widget = resource("example.dev", "Widget", Scope::Namespaced, &["spec.on", "spec.size"]);
    let object = json!({"metadata": {"name": "a"}, "spec": {"on": true, "size": 7}});
    for (text, selected) in [("spec.on=true,spec.size=7", true), ("spec.size!=7", false), ("metadata.name=a", true)] {
        let selector = Selector::parse(text).unwrap().for_resource(&widget).unwrap();
        assert_eq!(selector.matches(&widget, &object), selected, "{text}");
    }
}
