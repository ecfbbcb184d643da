//! Deletion in all its forms, subresources of built-in kinds, commands in pods.

use ferroflow_testkit::{
    objects::{config_map, deployment, from, namespace, pod},
    wait::{eventually, until, until_gone},
};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        authentication::v1::TokenRequest,
        core::v1::{ConfigMap, Namespace, Node, Pod, ServiceAccount},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, ResourceExt,
    api::{AttachParams, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::bed::{Bed, refusal};

async fn family(bed: &Bed) -> Api<ConfigMap> {
    let maps: Api<ConfigMap> = bed.api();
    let owner = maps.create(&PostParams::default(), &config_map("owner", "a", "1")).await.unwrap();
    let mut dependent = config_map("dependent", "a", "1");
    dependent.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        name: "owner".to_owned(),
        uid: owner.uid().unwrap(),
        block_owner_deletion: Some(true),
        ..OwnerReference::default()
    }]);
    maps.create(&PostParams::default(), &dependent).await.unwrap();
    maps
}

pub async fn a_background_deletion_takes_the_dependents_along(bed: &Bed) {
    let maps = family(bed).await;
    maps.delete("owner", &DeleteParams::background()).await.unwrap();
    assert!(maps.get_opt("owner").await.unwrap().is_none());
    until_gone(&maps, "dependent").await;
}

pub async fn a_foreground_deletion_goes_after_its_dependents(bed: &Bed) {
    let maps = family(bed).await;
    let hold = Patch::Merge(json!({"metadata": {"finalizers": ["testkit.dev/hold"]}}));
    maps.patch("dependent", &PatchParams::default(), &hold).await.unwrap();
    let answer = maps.delete("owner", &DeleteParams::foreground()).await.unwrap();
    let marked = answer.left().expect("the owner is answered, still there");
    assert_eq!(marked.finalizers(), ["foregroundDeletion"]);
    until(&maps, "dependent", "is being deleted", |map: &ConfigMap| map.metadata.deletion_timestamp.is_some()).await;
    assert!(maps.get_opt("owner").await.unwrap().is_some(), "the owner waits");
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("dependent", &PatchParams::default(), &free).await.unwrap();
    until_gone(&maps, "owner").await;
    assert!(maps.get_opt("dependent").await.unwrap().is_none());
}

pub async fn an_orphaning_deletion_leaves_the_dependents_without_owner(bed: &Bed) {
    let maps = family(bed).await;
    maps.delete("owner", &DeleteParams::orphan()).await.unwrap();
    until_gone(&maps, "owner").await;
    let orphan = until(&maps, "dependent", "has no owner", |map: &ConfigMap| map.owner_references().is_empty()).await;
    assert!(orphan.metadata.deletion_timestamp.is_none());
}

pub async fn a_finalizer_holds_an_object_until_it_is_taken_off(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    let mut map = config_map("map", "a", "1");
    map.finalizers_mut().push("testkit.dev/hold".to_owned());
    maps.create(&PostParams::default(), &map).await.unwrap();
    maps.delete("map", &DeleteParams::default()).await.unwrap();
    let held = maps.get("map").await.unwrap();
    assert!(held.metadata.deletion_timestamp.is_some());
    let more = Patch::Merge(json!({"metadata": {"finalizers": ["testkit.dev/hold", "testkit.dev/more"]}}));
    let (code, message) = refusal(maps.patch("map", &PatchParams::default(), &more).await);
    assert_eq!(code, 422);
    assert!(message.contains("no new finalizers can be added if the object is being deleted"), "{message}");
    let free = Patch::Merge(json!({"metadata": {"finalizers": []}}));
    maps.patch("map", &PatchParams::default(), &free).await.unwrap();
    assert!(maps.get_opt("map").await.unwrap().is_none());
}

pub async fn a_deletion_with_another_uid_is_a_conflict(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    let map = maps.create(&PostParams::default(), &config_map("map", "a", "1")).await.unwrap();
    let other = Preconditions { uid: Some("00000000-0000-0000-0000-000000000000".to_owned()), resource_version: None };
    let (code, message) = refusal(maps.delete("map", &DeleteParams::default().preconditions(other)).await);
    assert_eq!(code, 409);
    assert!(
        message.contains("the UID in the precondition (00000000-0000-0000-0000-000000000000) does not match"),
        "{message}"
    );
    let own = Preconditions { uid: map.uid(), resource_version: map.resource_version() };
    maps.delete("map", &DeleteParams::default().preconditions(own)).await.unwrap();
}

pub async fn a_collection_is_deleted_by_selector(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    for (name, label) in [("one", "go"), ("two", "go"), ("three", "stay")] {
        let mut map = config_map(name, "a", "1");
        map.labels_mut().insert("then".to_owned(), label.to_owned());
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("then=go")).await.unwrap();
    let left = maps.list(&ListParams::default().labels("then")).await.unwrap();
    assert_eq!(left.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["three"]);
}

pub async fn a_namespace_goes_with_everything_in_it(bed: &Bed) {
    let namespaces: Api<Namespace> = Api::all(bed.client.clone());
    let name = format!("{}-2", bed.namespace);
    namespaces.create(&PostParams::default(), &namespace(&name)).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(bed.client.clone(), &name);
    let mut map = config_map("map", "a", "1");
    map.finalizers_mut().push("testkit.dev/hold".to_owned());
    maps.create(&PostParams::default(), &map).await.unwrap();
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    until(&maps, "map", "is being deleted", |map: &ConfigMap| map.metadata.deletion_timestamp.is_some()).await;
    let (code, message) = refusal(maps.create(&PostParams::default(), &config_map("late", "a", "1")).await);
    assert_eq!(code, 403);
    assert!(message.contains("because it is being terminated"), "{message}");
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("map", &PatchParams::default(), &free).await.unwrap();
    until_gone(&namespaces, &name).await;
}

pub async fn a_deployment_scales_through_its_subresource(bed: &Bed) {
    let deployments: Api<Deployment> = bed.api();
    deployments.create(&PostParams::default(), &deployment("web", 1)).await.unwrap();
    let scale = deployments.get_scale("web").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(1));
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let scale = deployments.patch_scale("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(3));
    assert_eq!(deployments.get("web").await.unwrap().spec.unwrap().replicas, Some(3));
    let below = Patch::Merge(json!({"spec": {"replicas": -1}}));
    let (code, message) = refusal(deployments.patch_scale("web", &PatchParams::default(), &below).await);
    assert_eq!(code, 422, "{message}");
}

pub async fn a_service_account_is_given_a_token(bed: &Bed) {
    let accounts: Api<ServiceAccount> = bed.api();
    let account: ServiceAccount = from(json!({"metadata": {"name": "robot"}}));
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
        "spec": {"audiences": [], "expirationSeconds": 600}});
    let answer: TokenRequest =
        accounts.create_subresource("token", "robot", &PostParams::default(), &request).await.unwrap();
    let token = answer.status.unwrap().token;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
        "spec": {"token": token}});
    let post = http::Request::post("/apis/authentication.k8s.io/v1/tokenreviews");
    let post = post.header("content-type", "application/json").body(review.to_string().into_bytes()).unwrap();
    let review: Value = bed.client.request(post).await.unwrap();
    assert_eq!(review["status"]["authenticated"], true);
    assert_eq!(review["status"]["user"]["username"], format!("system:serviceaccount:{}:robot", bed.namespace));
}

pub async fn a_command_runs_in_a_pod_where_there_is_a_node(bed: &Bed) {
    let nodes: Api<Node> = Api::all(bed.client.clone());
    if nodes.list(&ListParams::default()).await.unwrap().items.is_empty() {
        eprintln!("skipped a_command_runs_in_a_pod_where_there_is_a_node: this cluster has no node");
        return;
    }
    let accounts: Api<ServiceAccount> = bed.api();
    until(&accounts, "default", "is there", |_| true).await;
    let pods: Api<Pod> = bed.api();
    pods.create(&PostParams::default(), &pod("sleeper")).await.unwrap();
    let runs = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    until(&pods, "sleeper", "runs", runs).await;
    let command = ["sh", "-c", "echo out; echo err >&2; exit 3"];
    let mut process = pods.exec("sleeper", command, &AttachParams::default().stderr(true)).await.unwrap();
    let mut text = String::new();
    let mut stdout = process.stdout().unwrap();
    eventually("the output ends", stdout.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "out\n");
    let status = eventually("the command ends", process.take_status().unwrap()).await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"));
    pods.delete("sleeper", &DeleteParams::default().grace_period(0)).await.unwrap();
}
