//! The API against a map of ConfigMaps, and writes that change nothing.

use std::{collections::BTreeMap, pin::pin};

use ferroflow_testkit::{
    TestCluster,
    objects::{config_map, definition, deployment, from, job, namespace, pod},
    wait::eventually,
};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    core::{ApiResource, GroupVersionKind, TypeMeta},
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::{runner, runtime};

#[derive(Clone, Debug)]
enum Op {
    Create {
        name: usize,
        value: u8,
    },
    /// A replace with the version that was last seen.
    Replace {
        name: usize,
        value: u8,
    },
    /// A replace with a version from before the last write.
    Stale {
        name: usize,
        value: u8,
    },
    Merge {
        name: usize,
        value: u8,
    },
    Apply {
        name: usize,
        value: u8,
    },
    Delete {
        name: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..4_usize;
    // Few values, so that many writes say what is there already.
    let value = || 0..3_u8;
    prop_oneof![
        3 => (name(), value()).prop_map(|(name, value)| Op::Create { name, value }),
        3 => (name(), value()).prop_map(|(name, value)| Op::Replace { name, value }),
        2 => (name(), value()).prop_map(|(name, value)| Op::Stale { name, value }),
        2 => (name(), value()).prop_map(|(name, value)| Op::Merge { name, value }),
        2 => (name(), value()).prop_map(|(name, value)| Op::Apply { name, value }),
        2 => name().prop_map(|name| Op::Delete { name }),
    ]
}

fn version(map: &ConfigMap) -> u64 {
    map.resource_version().unwrap().parse().unwrap()
}

fn value_of(map: &ConfigMap) -> String {
    map.data.as_ref().and_then(|data| data.get("value")).cloned().unwrap_or_default()
}

struct Run<'a> {
    cluster: &'a TestCluster,
    maps: Api<ConfigMap>,
    live: BTreeMap<String, ConfigMap>,
    /// An earlier state of each name, of this object or one before it.
    earlier: BTreeMap<String, ConfigMap>,
    /// What a watch must show: type, name, version, value.
    events: Vec<(&'static str, String, u64, String)>,
}

impl Run<'_> {
    async fn step(&mut self, op: Op) -> Result<(), TestCaseError> {
        let before = self.cluster.store().revision();
        let name = |name: usize| format!("map-{name}");
        let (name, result) = match op {
            Op::Create { name: number, value } => {
                let map = config_map(&name(number), "value", &value.to_string());
                (name(number), self.maps.create(&PostParams::default(), &map).await)
            }
            Op::Replace { name: number, value } => {
                let Some(mut map) = self.live.get(&name(number)).cloned() else { return Ok(()) };
                map.data.get_or_insert_default().insert("value".to_owned(), value.to_string());
                (name(number), self.maps.replace(&name(number), &PostParams::default(), &map).await)
            }
            Op::Stale { name: number, value } => return self.stale(name(number), value).await,
            Op::Merge { name: number, value } => {
                let patch = Patch::Merge(json!({"data": {"value": value.to_string()}}));
                (name(number), self.maps.patch(&name(number), &PatchParams::default(), &patch).await)
            }
            Op::Apply { name: number, value } => {
                let map = config_map(&name(number), "value", &value.to_string());
                let map =
                    ConfigMap { metadata: kube::core::ObjectMeta { managed_fields: None, ..map.metadata }, ..map };
                let params = PatchParams::apply("model").force();
                (name(number), self.maps.patch(&name(number), &params, &Patch::Apply(&typed(&map))).await)
            }
            Op::Delete { name: number } => return self.delete(name(number)).await,
        };
        self.settle(op_creates(&op), name, result, before)
    }

    /// Compares the answer to a create, replace or patch with the model.
    fn settle(
        &mut self,
        creates: Creates,
        name: String,
        result: kube::Result<ConfigMap>,
        before: u64,
    ) -> Result<(), TestCaseError> {
        let after = self.cluster.store().revision();
        match (self.live.get(&name), result) {
            (Some(_), Err(kube::Error::Api(status))) if creates == Creates::Only => {
                prop_assert_eq!(status.reason.as_str(), "AlreadyExists");
                prop_assert_eq!(before, after);
            }
            (None, Err(kube::Error::Api(status))) if creates == Creates::Never => {
                prop_assert_eq!(status.code, 404);
                prop_assert_eq!(before, after);
            }
            (known, Ok(map)) => {
                prop_assert_eq!(known.is_none(), creates != Creates::Never && known.is_none());
                if known.is_some_and(|known| version(known) == version(&map)) {
                    prop_assert_eq!(before, after, "a write that changes nothing commits nothing");
                    prop_assert_eq!(known, Some(&map));
                    return Ok(());
                }
                prop_assert!(version(&map) > before, "{} after {before}", version(&map));
                let event = if known.is_none() { "ADDED" } else { "MODIFIED" };
                self.events.push((event, name.clone(), version(&map), value_of(&map)));
                if let Some(known) = self.live.insert(name.clone(), map) {
                    self.earlier.insert(name, known);
                }
            }
            (_, Err(error)) => return Err(TestCaseError::fail(format!("{name}: {error}"))),
        }
        Ok(())
    }

    async fn stale(&mut self, name: String, value: u8) -> Result<(), TestCaseError> {
        let (Some(earlier), Some(known)) = (self.earlier.get(&name), self.live.get(&name)) else { return Ok(()) };
        let before = self.cluster.store().revision();
        let mut map = earlier.clone();
        map.data.get_or_insert_default().insert("value".to_owned(), value.to_string());
        match self.maps.replace(&name, &PostParams::default(), &map).await {
            Ok(_) => prop_assert!(false, "a stale update won: {} over {}", version(earlier), version(known)),
            Err(kube::Error::Api(status)) => prop_assert_eq!(status.code, 409, "{}", status.message),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
        prop_assert_eq!(before, self.cluster.store().revision());
        Ok(())
    }

    async fn delete(&mut self, name: String) -> Result<(), TestCaseError> {
        let before = self.cluster.store().revision();
        match (self.live.remove(&name), self.maps.delete(&name, &DeleteParams::default()).await) {
            (Some(known), Ok(_)) => {
                let after = self.cluster.store().revision();
                prop_assert!(after > before);
                self.events.push(("DELETED", name.clone(), after, value_of(&known)));
                self.earlier.insert(name, known);
            }
            (None, Err(kube::Error::Api(status))) => prop_assert_eq!(status.code, 404),
            (known, answer) => {
                return Err(TestCaseError::fail(format!("{name}: {answer:?} though the model has {known:?}")));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Creates {
    Only,
    Also,
    Never,
}

fn op_creates(op: &Op) -> Creates {
    match op {
        Op::Create { .. } => Creates::Only,
        Op::Apply { .. } => Creates::Also,
        _ => Creates::Never,
    }
}

fn typed(map: &ConfigMap) -> Value {
    let mut value = serde_json::to_value(map).unwrap();
    value["apiVersion"] = "v1".into();
    value["kind"] = "ConfigMap".into();
    value
}

async fn play(cluster: &TestCluster, client: &Client, number: usize, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let name = format!("case-{number}");
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    namespaces.create(&PostParams::default(), &namespace(&name)).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &name);
    let from = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut run =
        Run { cluster, maps: maps.clone(), live: BTreeMap::new(), earlier: BTreeMap::new(), events: Vec::new() };
    let halfway = ops.len() / 2;
    let mut first_page = None;
    for (step, op) in ops.into_iter().enumerate() {
        if step == halfway {
            let whole = maps.list(&ListParams::default()).await.unwrap();
            let page = maps.list(&ListParams::default().limit(1)).await.unwrap();
            prop_assert_eq!(&whole.items[..whole.items.len().min(1)], &page.items[..]);
            first_page = Some((whole.items, page));
        }
        run.step(op).await?;
    }
    if let Some((whole, page)) = first_page {
        let mut joined = page.items;
        let mut token = page.metadata.continue_;
        while let Some(next) = token.filter(|token| !token.is_empty()) {
            let page = maps.list(&ListParams::default().limit(2).continue_token(&next)).await.unwrap();
            joined.extend(page.items);
            token = page.metadata.continue_;
        }
        prop_assert_eq!(joined, whole, "pages that were continued after writes are of the first one's view");
    }
    let list = maps.list(&ListParams::default()).await.unwrap();
    let live: Vec<ConfigMap> = run.live.into_values().collect();
    prop_assert_eq!(&list.items, &live);
    let mut seen = Vec::new();
    let mut watch = pin!(maps.watch(&WatchParams::default(), &from).await.unwrap());
    while seen.len() < run.events.len() {
        let (event, map) = match eventually("the watch shows each write", watch.next()).await.unwrap().unwrap() {
            WatchEvent::Added(map) => ("ADDED", map),
            WatchEvent::Modified(map) => ("MODIFIED", map),
            WatchEvent::Deleted(map) => ("DELETED", map),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(status) => return Err(TestCaseError::fail(status.message)),
        };
        seen.push((event, map.name_any(), version(&map), value_of(&map)));
    }
    prop_assert_eq!(seen, run.events, "a watch is the difference of two lists");
    Ok(())
}

#[test]
fn any_history_of_the_api_is_that_of_a_map() {
    let runtime = runtime();
    let cluster = runtime.block_on(TestCluster::server_only());
    let client = {
        let _inside = runtime.enter();
        cluster.client()
    };
    let number = std::cell::Cell::new(0);
    let played = runner(40).run(&vec(op(), 2..40), |ops| {
        number.set(number.get() + 1);
        runtime.block_on(play(&cluster, &client, number.get(), ops))
    });
    played.unwrap();
}

/// Objects of many kinds, with the plural of each.
fn samples() -> Vec<(&'static str, Value)> {
    let typed = |api_version: &str, kind: &str, spec: Value| {
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "sample"}});
        object.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        object
    };
    let value = |object: Value, api_version: &str, kind: &str| {
        let mut object = object;
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
        object
    };
    let selector = json!({"matchLabels": {"app": "sample"}});
    let template = serde_json::to_value(deployment("sample", 1)).unwrap()["spec"]["template"].clone();
    vec![
        ("configmaps", value(serde_json::to_value(config_map("sample", "a", "1")).unwrap(), "v1", "ConfigMap")),
        ("secrets", typed("v1", "Secret", json!({"stringData": {"a": "1"}}))),
        ("services", typed("v1", "Service", json!({"spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}}))),
        ("pods", value(serde_json::to_value(pod("sample")).unwrap(), "v1", "Pod")),
        (
            "persistentvolumeclaims",
            typed(
                "v1",
                "PersistentVolumeClaim",
                json!({"spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}}),
            ),
        ),
        ("resourcequotas", typed("v1", "ResourceQuota", json!({"spec": {"hard": {"services": "5"}}}))),
        ("deployments", value(serde_json::to_value(deployment("sample", 1)).unwrap(), "apps/v1", "Deployment")),
        ("replicasets", typed("apps/v1", "ReplicaSet", json!({"spec": {"selector": selector, "template": template}}))),
        (
            "statefulsets",
            typed(
                "apps/v1",
                "StatefulSet",
                json!({"spec": {
            "serviceName": "sample", "selector": selector, "template": template}}),
            ),
        ),
        ("daemonsets", typed("apps/v1", "DaemonSet", json!({"spec": {"selector": selector, "template": template}}))),
        ("jobs", value(serde_json::to_value(job("sample")).unwrap(), "batch/v1", "Job")),
        (
            "ingresses",
            typed(
                "networking.k8s.io/v1",
                "Ingress",
                json!({"spec": {"defaultBackend": {
            "service": {"name": "a", "port": {"number": 80}}}}}),
            ),
        ),
        ("networkpolicies", typed("networking.k8s.io/v1", "NetworkPolicy", json!({"spec": {"podSelector": {}}}))),
        (
            "poddisruptionbudgets",
            typed(
                "policy/v1",
                "PodDisruptionBudget",
                json!({"spec": {
            "minAvailable": 1, "selector": selector}}),
            ),
        ),
        (
            "roles",
            typed(
                "rbac.authorization.k8s.io/v1",
                "Role",
                json!({"rules": [{
            "apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
            ),
        ),
        ("leases", typed("coordination.k8s.io/v1", "Lease", json!({"spec": {"leaseDurationSeconds": 5}}))),
        (
            "horizontalpodautoscalers",
            typed(
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                json!({"spec": {
            "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}}),
            ),
        ),
    ]
}

fn api_of(client: &Client, plural: &str, object: &Value) -> Api<DynamicObject> {
    let types: TypeMeta = serde_json::from_value(object.clone()).unwrap();
    let kind = GroupVersionKind::try_from(&types).unwrap();
    Api::default_namespaced_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, plural))
}

#[test]
fn a_write_that_says_what_is_there_commits_nothing() {
    runtime().block_on(async {
        let cluster = TestCluster::server_only().await;
        let client = cluster.client();
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        let accounts = api_of(&client, "serviceaccounts", &account);
        accounts.create(&PostParams::default(), &from(account)).await.unwrap();
        for (plural, object) in samples() {
            let api = api_of(&client, plural, &object);
            let kept = api.create(&PostParams::default(), &from(object.clone())).await;
            let kept = kept.unwrap_or_else(|error| panic!("{plural}: {error}"));
            let applying = PatchParams::apply("model").force();
            let mut partial = object.clone();
            partial["metadata"]["labels"] = json!({"by": "model"});
            // Secrets turn stringData into data, which an apply would not find again.
            partial.as_object_mut().unwrap().remove("stringData");
            let kept = match api.patch("sample", &applying, &Patch::Apply(&partial)).await {
                Ok(applied) => applied,
                Err(error) => panic!("{plural}: apply after {kept:?}: {error}"),
            };
            let before = cluster.store().revision();
            let writes: Vec<(&str, kube::Result<DynamicObject>)> = vec![
                ("put", api.replace("sample", &PostParams::default(), &kept).await),
                ("empty merge", api.patch("sample", &PatchParams::default(), &Patch::Merge(json!({}))).await),
                (
                    "strategic",
                    api.patch(
                        "sample",
                        &PatchParams::default(),
                        &Patch::Strategic(json!({"metadata": {"labels": {"by": "model"}}})),
                    )
                    .await,
                ),
                ("apply", api.patch("sample", &applying, &Patch::Apply(&partial)).await),
            ];
            for (write, answer) in writes {
                let answer = answer.unwrap_or_else(|error| panic!("{plural}: {write}: {error}"));
                assert_eq!(answer.metadata.resource_version, kept.metadata.resource_version, "{plural}: {write}");
            }
            assert_eq!(cluster.store().revision(), before, "{plural}");
        }
        custom(&cluster, &client).await;
    });
}

async fn custom(cluster: &TestCluster, client: &Client) {
    let definitions = Api::all(client.clone());
    definitions.create(&PostParams::default(), &definition("lamps", "Lamp")).await.unwrap();
    ferroflow_testkit::wait::until(&definitions, "lamps.testkit.dev", "is established", |found| {
        kube::runtime::wait::Condition::matches_object(&kube::runtime::conditions::is_crd_established(), Some(found))
    })
    .await;
    let object = json!({"apiVersion": "testkit.dev/v1", "kind": "Lamp", "metadata": {"name": "sample"}, "spec": {"replicas": 1}});
    let api = api_of(client, "lamps", &object);
    let kept = api.create(&PostParams::default(), &from(object)).await.unwrap();
    let before = cluster.store().revision();
    let put = api.replace("sample", &PostParams::default(), &kept).await.unwrap();
    let merge =
        api.patch("sample", &PatchParams::default(), &Patch::Merge(json!({"spec": {"color": null}}))).await.unwrap();
    assert_eq!(put.metadata.resource_version, kept.metadata.resource_version);
    assert_eq!(merge.metadata.resource_version, kept.metadata.resource_version, "a default comes back");
    assert_eq!(cluster.store().revision(), before);
}
