//! Server-side apply, the patch types, dry runs, preconditions, validation.

use ferroflow_testkit::objects::{config_map, deployment};
use http::Request;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, ValidationDirective},
};
use serde_json::{Value, json};

use crate::bed::{Bed, refusal};

fn data(value: Value) -> Patch<Value> {
    Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}, "data": value}))
}

pub async fn apply_owns_fields_and_names_the_other_manager_in_a_conflict(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    let one = PatchParams::apply("one");
    let two = PatchParams::apply("two");
    let made = maps.patch("map", &one, &data(json!({"a": "1", "b": "1"}))).await.unwrap();
    let managers: Vec<_> = made.managed_fields().iter().map(|entry| entry.manager.clone().unwrap()).collect();
    assert_eq!(managers, ["one"]);
    let shared = maps.patch("map", &two, &data(json!({"a": "1", "c": "2"}))).await.unwrap();
    assert_eq!(shared.managed_fields().len(), 2);
    let (code, message) = refusal(maps.patch("map", &two, &data(json!({"b": "2"}))).await);
    assert_eq!(code, 409);
    assert_eq!(message, "Apply failed with 1 conflict: conflict with \"one\": .data.b");
    let forced = maps.patch("map", &two.clone().force(), &data(json!({"b": "2"}))).await.unwrap();
    let values = forced.data.unwrap();
    assert_eq!((values["a"].as_str(), values["b"].as_str(), values.get("c")), ("1", "2", None));
    let again = maps.patch("map", &two.force(), &data(json!({"b": "2"}))).await.unwrap();
    assert_eq!(again.metadata.resource_version, forced.metadata.resource_version, "the same apply changes nothing");
}

pub async fn apply_removes_what_its_manager_no_longer_says(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    let params = PatchParams::apply("one");
    maps.patch("map", &params, &data(json!({"a": "1", "b": "1"}))).await.unwrap();
    let added = Patch::Merge(json!({"data": {"z": "other"}}));
    maps.patch("map", &PatchParams::default(), &added).await.unwrap();
    let applied = maps.patch("map", &params, &data(json!({"a": "1"}))).await.unwrap();
    let names: Vec<String> = applied.data.unwrap().into_keys().collect();
    assert_eq!(names, ["a", "z"]);
}

pub async fn merge_patch_removes_with_null(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    maps.create(&PostParams::default(), &config_map("map", "a", "1")).await.unwrap();
    let patch = Patch::Merge(json!({"data": {"a": null, "b": "2"}, "metadata": {"labels": {"x": "y"}}}));
    let patched = maps.patch("map", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.labels()["x"], "y");
    assert_eq!(patched.data.unwrap().into_iter().collect::<Vec<_>>(), [("b".to_owned(), "2".to_owned())]);
    let (code, message) = refusal(maps.patch("none", &PatchParams::default(), &patch).await);
    assert_eq!((code, message.as_str()), (404, "configmaps \"none\" not found"));
}

pub async fn strategic_patch_merges_containers_by_name(bed: &Bed) {
    let deployments: Api<Deployment> = bed.api();
    deployments.create(&PostParams::default(), &deployment("web", 0)).await.unwrap();
    let containers = json!([{"name": "side", "image": "side:1"}, {"name": "main", "image": "main:2"}]);
    let patch = Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": containers}}}}));
    let patched = deployments.patch("web", &PatchParams::default(), &patch).await.unwrap();
    let containers = patched.spec.unwrap().template.spec.unwrap().containers;
    let images: Vec<_> = containers.iter().map(|one| (one.name.as_str(), one.image.as_deref().unwrap())).collect();
    assert_eq!(images.len(), 2);
    assert!(images.contains(&("main", "main:2")) && images.contains(&("side", "side:1")), "{images:?}");
    let main = containers.iter().find(|one| one.name == "main").unwrap();
    assert_eq!(
        main.command.as_deref(),
        Some(["sleep".to_owned(), "3600".to_owned()].as_slice()),
        "what was there stays"
    );
    let patch = Patch::Strategic(json!({"spec": {"template": {"spec": {
        "containers": [{"$patch": "delete", "name": "side"}]}}}}));
    let patched = deployments.patch("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.spec.unwrap().template.spec.unwrap().containers.len(), 1);
}

pub async fn json_patch_tests_before_it_writes(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    maps.create(&PostParams::default(), &config_map("map", "a", "1")).await.unwrap();
    let send = async |patch: Value| -> kube::Result<ConfigMap> {
        let request = Request::patch(format!("/api/v1/namespaces/{}/configmaps/map", bed.namespace));
        let request = request.header("content-type", "application/json-patch+json");
        bed.client.request(request.body(patch.to_string().into_bytes()).unwrap()).await
    };
    let patched = send(json!([
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "copy", "from": "/data/a", "path": "/data/b"},
        {"op": "replace", "path": "/data/a", "value": "2"},
    ]));
    let values = patched.await.unwrap().data.unwrap();
    assert_eq!((values["a"].as_str(), values["b"].as_str()), ("2", "1"));
    let (code, _) = refusal(send(json!([{"op": "test", "path": "/data/a", "value": "1"}])).await);
    assert_eq!(code, 422);
    let (code, _) = refusal(send(json!([{"op": "remove", "path": "/data/none"}])).await);
    assert_eq!(code, 422);
    let (code, _) = refusal(send(json!({"op": "remove"})).await);
    assert_eq!(code, 400);
    assert_eq!(maps.get("map").await.unwrap().data.unwrap()["a"], "2");
}

pub async fn a_dry_run_answers_as_if_and_keeps_nothing(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let made = maps.create(&dry, &config_map("map", "a", "1")).await.unwrap();
    assert!(made.metadata.uid.is_some());
    assert!(maps.get_opt("map").await.unwrap().is_none());
    let kept = maps.create(&PostParams::default(), &config_map("map", "a", "1")).await.unwrap();
    let patch = Patch::Merge(json!({"data": {"a": "2"}}));
    let patched = maps.patch("map", &PatchParams::default().dry_run(), &patch).await.unwrap();
    assert_eq!(patched.data.unwrap()["a"], "2");
    let applied =
        maps.patch("map", &PatchParams::apply("one").force().dry_run(), &data(json!({"a": "3"}))).await.unwrap();
    assert_eq!(applied.data.unwrap()["a"], "3");
    maps.delete("map", &DeleteParams::default().dry_run()).await.unwrap();
    let now = maps.get("map").await.unwrap();
    assert_eq!(now, kept, "nothing of it was kept");
}

pub async fn a_stale_replace_is_a_conflict_and_a_same_one_changes_nothing(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    let first = maps.create(&PostParams::default(), &config_map("map", "a", "1")).await.unwrap();
    let same = maps.replace("map", &PostParams::default(), &first).await.unwrap();
    assert_eq!(same.metadata.resource_version, first.metadata.resource_version);
    let mut second = first.clone();
    second.data.as_mut().unwrap().insert("a".to_owned(), "2".to_owned());
    maps.replace("map", &PostParams::default(), &second).await.unwrap();
    let mut stale = first.clone();
    stale.data.as_mut().unwrap().insert("a".to_owned(), "3".to_owned());
    let (code, message) = refusal(maps.replace("map", &PostParams::default(), &stale).await);
    assert_eq!(code, 409);
    assert_eq!(
        message,
        "Operation cannot be fulfilled on configmaps \"map\": the object has been modified; please apply your \
         changes to the latest version and try again"
    );
    stale.metadata.resource_version = None;
    let forced = maps.replace("map", &PostParams::default(), &stale).await.unwrap();
    assert_eq!(forced.data.unwrap()["a"], "3");
}

pub async fn a_name_is_generated_and_a_taken_one_is_refused(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    let mut map = config_map("", "a", "1");
    map.metadata.name = None;
    map.metadata.generate_name = Some("map-".to_owned());
    let one = maps.create(&PostParams::default(), &map).await.unwrap();
    let two = maps.create(&PostParams::default(), &map).await.unwrap();
    assert_ne!(one.name_any(), two.name_any());
    assert!(one.name_any().starts_with("map-") && one.name_any().len() == "map-".len() + 5, "{}", one.name_any());
    let taken = config_map(&one.name_any(), "a", "1");
    let (code, message) = refusal(maps.create(&PostParams::default(), &taken).await);
    assert_eq!((code, message), (409, format!("configmaps \"{}\" already exists", one.name_any())));
    map.metadata.generate_name = None;
    let (code, message) = refusal(maps.create(&PostParams::default(), &map).await);
    assert_eq!(code, 422);
    assert!(message.contains("name or generateName is required"), "{message}");
}

pub async fn strict_validation_names_the_unknown_field(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    maps.create(&PostParams::default(), &config_map("map", "a", "1")).await.unwrap();
    let patch = Patch::Merge(json!({"datum": {"a": "2"}}));
    let strict = PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::default() };
    let (code, message) = refusal(maps.patch("map", &strict, &patch).await);
    assert!(code == 400 || code == 422, "{code}");
    assert!(message.contains("unknown field \"datum\""), "{message}");
    let lenient = PatchParams { field_validation: Some(ValidationDirective::Ignore), ..PatchParams::default() };
    maps.patch("map", &lenient, &patch).await.unwrap();
}
