use std::sync::Arc;

use super::*;
use crate::core::resource::builtin;
use crate::core::resource::tests::FACTS;

fn custom(group: &str, version: &str, plural: &str, kind: &str) -> ResourceRef {
    Arc::new(Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: vec![],
        categories: vec![],
        scope: Scope::Namespaced,
        verbs: vec!["get".to_owned(), "list".to_owned()],
        subresources: vec![
            Subresource { name: "status".to_owned(), kind: None, verbs: vec!["get".to_owned()] },
            Subresource {
                name: "scale".to_owned(),
                kind: Some(("autoscaling".to_owned(), "v1".to_owned(), "Scale".to_owned())),
                verbs: vec!["get".to_owned()],
            },
        ],
        selectable_fields: vec![],
        storage: format!("{plural}.{group}"),
        custom: true,
    })
}

fn rows() -> Vec<ResourceRef> {
    let mut rows = builtin();
    rows.push(custom("z.example.com", "v1alpha1", "things", "Thing"));
    rows.push(custom("z.example.com", "v1", "things", "Thing"));
    rows.push(custom("a.example.com", "v1", "others", "Other"));
    rows
}

fn names<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|entry| entry.pointer(key).and_then(Value::as_str).unwrap_or("")).collect()
}

#[test]
fn groups_come_in_upstream_order_and_custom_ones_last_by_name() {
    let document = groups(&rows());
    let names = names(&document["groups"], "/name");
    assert_eq!(&names[..4], ["apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io"]);
    assert_eq!(&names[18..], ["flowcontrol.apiserver.k8s.io", "a.example.com", "z.example.com"]);
    assert_eq!(document["kind"], "APIGroupList");
}

#[test]
fn versions_come_from_the_preferred_one_down() {
    let document = group(&rows(), "z.example.com").unwrap();
    assert_eq!(document["preferredVersion"], json!({"groupVersion": "z.example.com/v1", "version": "v1"}));
    assert_eq!(names(&document["versions"], "/version"), ["v1", "v1alpha1"]);
    assert_eq!(document["kind"], "APIGroup");
    assert_eq!(group(&rows(), "nothing.example.com"), None);
}

#[test]
fn resources_agree_with_upstream_discovery() {
    for line in FACTS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (group, version) = words[0].split_once('/').unwrap_or(("", words[0]));
        let document = resources(&rows(), group, version).unwrap();
        let list = document["resources"].as_array().unwrap();
        let entry = list.iter().find(|entry| entry["name"] == words[1]).unwrap();
        let kind = words[2].rsplit('/').next().unwrap();
        assert_eq!(entry["kind"], kind, "{line}");
        assert_eq!(entry["namespaced"], words[3] == "ns", "{line}");
        let hash = words.iter().find_map(|word| word.split_once('#').map(|(_, hash)| hash));
        assert_eq!(entry["storageVersionHash"].as_str(), hash, "{line}");
        assert_eq!(entry.get("group").is_some(), words[2].contains('/'), "{line}");
    }
}

#[test]
fn a_document_of_resources_names_its_group_version() {
    let core = resources(&rows(), "", "v1").unwrap();
    assert_eq!(core["groupVersion"], "v1");
    assert_eq!(core.get("apiVersion"), None);
    let apps = resources(&rows(), "apps", "v1").unwrap();
    assert_eq!(apps["groupVersion"], "apps/v1");
    assert_eq!(apps["apiVersion"], "v1");
    assert_eq!(resources(&rows(), "apps", "v2"), None);
}

#[test]
fn resources_are_sorted_with_their_subresources() {
    let document = resources(&rows(), "z.example.com", "v1").unwrap();
    assert_eq!(names(&document["resources"], "/name"), ["things", "things/status", "things/scale"]);
    let scale = &document["resources"][2];
    assert_eq!(
        (&scale["group"], &scale["version"], &scale["kind"]),
        (&json!("autoscaling"), &json!("v1"), &json!("Scale"))
    );
    assert_eq!(scale["singularName"], "");
}

#[test]
fn aggregated_discovery_holds_everything_in_one_document() {
    let document = aggregated(&rows(), Root::Groups, Form::V2);
    assert_eq!(document["apiVersion"], "apidiscovery.k8s.io/v2");
    assert_eq!(document["items"][1]["metadata"], json!({"name": "apps"}));
    let resources = &document["items"][1]["versions"][0]["resources"];
    assert_eq!(
        names(resources, "/resource"),
        ["controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"]
    );
    assert_eq!(resources[2]["responseKind"], json!({"group": "", "version": "", "kind": "Deployment"}));
    assert_eq!(
        resources[2]["subresources"][0]["responseKind"],
        json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
    );
    let custom = &document["items"].as_array().unwrap().last().unwrap()["versions"][0]["resources"][0];
    assert_eq!(custom["responseKind"], json!({"group": "z.example.com", "version": "v1", "kind": "Thing"}));
}

#[test]
fn the_core_group_stands_alone_in_its_document() {
    let document = aggregated(&rows(), Root::Core, Form::V2Beta1);
    assert_eq!(document["apiVersion"], "apidiscovery.k8s.io/v2beta1");
    assert_eq!(document["items"].as_array().unwrap().len(), 1);
    assert_eq!(document["items"][0]["metadata"], json!({}));
    assert_eq!(document["items"][0]["versions"][0]["version"], "v1");
}

#[test]
fn versions_are_ordered_by_stability_and_number() {
    let mut versions =
        vec!["v1alpha1", "foo1", "v1", "v10", "v2beta1", "v3beta1", "v11alpha2", "foo10", "v2", "v12alpha1"];
    versions.sort_by(|left, right| compare_versions(left, right));
    assert_eq!(
        versions,
        ["v10", "v2", "v1", "v3beta1", "v2beta1", "v12alpha1", "v11alpha2", "v1alpha1", "foo1", "foo10"]
    );
}
