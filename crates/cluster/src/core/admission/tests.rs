use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

/// Objects by group, plural, namespace and name.
#[derive(Default)]
pub(super) struct World(BTreeMap<(String, String, String, String), Arc<Value>>);

impl World {
    pub(super) fn new() -> Self {
        Self::default()
            .with("", "namespaces", "", json!({"metadata": {"name": "ns"}, "status": {"phase": "Active"}}))
            .with("", "serviceaccounts", "ns", json!({"metadata": {"name": "default"}}))
    }

    pub(super) fn with(mut self, group: &str, plural: &str, namespace: &str, object: Value) -> Self {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.0.insert((group.into(), plural.into(), namespace.into(), name), Arc::new(object));
        self
    }
}

impl Lookup for World {
    fn get(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.0.get(&(group.into(), plural.into(), namespace.into(), name.into())).cloned()
    }

    fn list(&self, group: &str, plural: &str, namespace: &str) -> Vec<Arc<Value>> {
        let wanted = |key: &(String, String, String, String)| key.0 == group && key.1 == plural && key.2 == namespace;
        self.0.iter().filter(|(key, _)| wanted(key)).map(|(_, object)| object.clone()).collect()
    }
}

pub(super) fn create(plural: &'static str) -> Request<'static> {
    Request {
        operation: Operation::Create,
        group: "",
        plural,
        subresource: "",
        namespace: "ns",
        name: "",
        suffix: "x2b4z",
        now: Timestamp::UNIX_EPOCH,
    }
}

pub(super) fn pod() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main"}]}})
}

pub(super) fn admitted(world: &World, request: Request, mut object: Value) -> Result<Value, String> {
    mutate(&request, world, &mut object, None).map_err(|denied| denied.message)?;
    validate(&request, world, &object, None).map_err(|denied| denied.message)?;
    Ok(object)
}

fn check_refused(world: &World, request: Request, object: Value, expect: &str) {
    assert_eq!(admitted(world, request, object), Err(expect.to_owned()));
}

#[test]
fn a_pod_gets_account_token_priority_and_tolerations() {
    let pod = admitted(&World::new(), create("pods"), pod()).unwrap();
    let spec = &pod["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["priority"], 0);
    assert_eq!(spec["preemptionPolicy"], "PreemptLowerPriority");
    let mounts = json!([{"name": "kube-api-access-x2b4z", "readOnly": true,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]);
    assert_eq!(spec["containers"][0]["volumeMounts"], mounts);
    assert_eq!(spec["volumes"][0]["name"], "kube-api-access-x2b4z");
    assert_eq!(spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
    let keys: Vec<&Value> = spec["tolerations"].as_array().unwrap().iter().map(|one| &one["key"]).collect();
    assert_eq!(keys, ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
}

#[test]
fn admitting_an_admitted_pod_changes_nothing() {
    let world = World::new().with(
        "",
        "limitranges",
        "ns",
        json!({"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}}]}}),
    );
    let mut gpu = pod();
    gpu["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = json!("1");
    let once = admitted(&world, create("pods"), gpu).unwrap();
    assert_eq!(admitted(&world, create("pods"), once.clone()), Ok(once));
}

#[test]
fn no_token_is_mounted_where_pod_or_account_say_so() {
    let quiet = json!({"metadata": {"name": "default"}, "automountServiceAccountToken": false});
    let world = World::new().with("", "serviceaccounts", "ns", quiet);
    assert!(admitted(&world, create("pods"), pod()).unwrap()["spec"]["volumes"].is_null());
    let mut eager = pod();
    eager["spec"]["automountServiceAccountToken"] = json!(true);
    assert!(admitted(&world, create("pods"), eager).unwrap()["spec"]["volumes"].is_array());
}

#[test]
fn an_account_that_does_not_exist_refuses_the_pod() {
    let mut pod = pod();
    pod["spec"]["serviceAccountName"] = json!("robot");
    let expect =
        "pods \"p\" is forbidden: error looking up service account ns/robot: serviceaccount \"robot\" not found";
    check_refused(&World::new(), create("pods"), pod, expect);
}

#[test]
fn an_account_may_hold_pods_to_its_own_secrets() {
    let strict = json!({"metadata": {"name": "default", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
        "secrets": [{"name": "ours"}]});
    let world = World::new().with("", "serviceaccounts", "ns", strict);
    let mut pod = pod();
    pod["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "theirs"}}]);
    let expect = "pods \"p\" is forbidden: volume with secret.secretName=\"theirs\" is not allowed because service account \
                  default does not reference that secret";
    check_refused(&world, create("pods"), pod, expect);
}

#[test]
fn nothing_enters_a_namespace_that_is_absent_or_going() {
    let elsewhere = Request { namespace: "gone", ..create("configmaps") };
    check_refused(&World::new(), elsewhere, json!({"metadata": {"name": "c"}}), "namespaces \"gone\" not found");
    let going = json!({"metadata": {"name": "ns"}, "status": {"phase": "Terminating"}});
    let world = World::new().with("", "namespaces", "", going);
    let mut object = json!({"metadata": {"generateName": "c-"}});
    let denied = mutate(&create("configmaps"), &world, &mut object, None).unwrap_err();
    assert_eq!(
        denied.message,
        "configmaps \"c-\" is forbidden: unable to create new content in namespace ns because it is being terminated"
    );
    assert_eq!(denied.status()["details"]["causes"][0]["reason"], "NamespaceTerminating");
}

#[test]
fn the_first_namespaces_may_not_be_deleted() {
    let request = Request { operation: Operation::Delete, name: "default", namespace: "", ..create("namespaces") };
    let denied = delete(&request, &World::new()).unwrap_err();
    assert_eq!(denied.message, "namespaces \"default\" is forbidden: this namespace may not be deleted");
    assert_eq!(delete(&Request { name: "mine", ..request }, &World::new()), Ok(()));
}

fn limited(limit: Value) -> World {
    World::new().with("", "limitranges", "ns", json!({"metadata": {"name": "l"}, "spec": {"limits": [limit]}}))
}

#[test]
fn limit_ranges_fill_in_what_containers_leave_out_and_say_so() {
    let world = limited(
        json!({"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}),
    );
    let pod = admitted(&world, create("pods"), pod()).unwrap();
    assert_eq!(
        pod["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m"}})
    );
    assert_eq!(
        pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container main; cpu, memory limit for container main"
    );
}

#[test]
fn limit_ranges_refuse_with_every_fault() {
    let world = limited(json!({"type": "Container", "max": {"cpu": "1"}, "min": {"memory": "1Gi"}}));
    let mut pod = pod();
    pod["spec"]["containers"][0]["resources"] =
        json!({"limits": {"cpu": "2"}, "requests": {"cpu": "2", "memory": "5Mi"}});
    let expect = "pods \"p\" is forbidden: [minimum memory usage per Container is 1Gi, but request is 5Mi, \
                  maximum cpu usage per Container is 1, but limit is 2]";
    check_refused(&world, create("pods"), pod, expect);
}

#[test]
fn ratios_and_claims_are_held_to_their_limits() {
    let world = limited(json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "1500m"}}));
    let mut pod = pod();
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}});
    let expect = "pods \"p\" is forbidden: cpu max limit to request ratio per Container is 1500m, but provided ratio is \
                  2.000000";
    check_refused(&world, create("pods"), pod, expect);
    let world = limited(json!({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}));
    let claim = json!({"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    let expect = "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but \
                  request is 2Gi";
    check_refused(&world, create("persistentvolumeclaims"), claim, expect);
}

#[test]
fn priority_comes_from_the_class_and_from_nowhere_else() {
    let class = json!({"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"});
    let world = World::new().with("scheduling.k8s.io", "priorityclasses", "", class);
    let mut named = pod();
    named["spec"]["priorityClassName"] = json!("high");
    let spec = admitted(&world, create("pods"), named.clone()).unwrap()["spec"].clone();
    assert_eq!((&spec["priority"], &spec["preemptionPolicy"]), (&json!(1000), &json!("Never")));
    named["spec"]["priority"] = json!(7);
    let expect = "pods \"p\" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority \
                  admission controller computed 1000 from the given PriorityClass name";
    check_refused(&world, create("pods"), named, expect);
    let mut unknown = pod();
    unknown["spec"]["priorityClassName"] = json!("none");
    check_refused(
        &world,
        create("pods"),
        unknown,
        "pods \"p\" is forbidden: no PriorityClass with name none was found",
    );
}

#[test]
fn one_priority_class_may_be_the_default() {
    let class = json!({"metadata": {"name": "a"}, "value": 5, "globalDefault": true});
    let world = World::new().with("scheduling.k8s.io", "priorityclasses", "", class);
    assert_eq!(admitted(&world, create("pods"), pod()).unwrap()["spec"]["priorityClassName"], "a");
    let request = Request { group: "scheduling.k8s.io", namespace: "", ..create("priorityclasses") };
    let second = json!({"metadata": {"name": "b"}, "value": 6, "globalDefault": true});
    let expect = "priorityclasses.scheduling.k8s.io \"b\" is forbidden: PriorityClass a is already marked as default. \
                  Only one default can exist";
    check_refused(&world, request, second, expect);
}

#[test]
fn devices_are_tolerated_by_those_who_ask_for_them() {
    let mut gpu = pod();
    gpu["spec"]["containers"][0]["resources"] = json!({"requests": {"nvidia.com/gpu": "1", "cpu": "1"}});
    let pod = admitted(&World::new(), create("pods"), gpu).unwrap();
    let last = pod["spec"]["tolerations"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last, json!({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}));
}

#[test]
fn overhead_comes_from_the_runtime_class() {
    let class = json!({"metadata": {"name": "vm"}, "handler": "vm", "overhead": {"podFixed": {"cpu": "250m"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}}});
    let world = World::new().with("node.k8s.io", "runtimeclasses", "", class);
    let mut in_vm = pod();
    in_vm["spec"]["runtimeClassName"] = json!("vm");
    let spec = admitted(&world, create("pods"), in_vm.clone()).unwrap()["spec"].clone();
    assert_eq!((&spec["overhead"], &spec["nodeSelector"]), (&json!({"cpu": "250m"}), &json!({"vm": "yes"})));
    in_vm["spec"]["overhead"] = json!({"cpu": "1"});
    let expect = "pods \"p\" is forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
    check_refused(&world, create("pods"), in_vm.clone(), expect);
    in_vm["spec"]["runtimeClassName"] = json!("none");
    let expect = "pods \"p\" is forbidden: pod rejected: RuntimeClass \"none\" not found";
    check_refused(&world, create("pods"), in_vm, expect);
}

#[test]
fn claims_get_the_newest_default_class_and_a_finalizer() {
    let class = |name: &str, created: &str| {
        json!({"metadata": {"name": name, "creationTimestamp": created,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}})
    };
    let world = World::new().with("storage.k8s.io", "storageclasses", "", class("old", "2020-01-01T00:00:00Z")).with(
        "storage.k8s.io",
        "storageclasses",
        "",
        class("new", "2021-01-01T00:00:00Z"),
    );
    let claim = json!({"metadata": {"name": "c"}, "spec": {}});
    let claim = admitted(&world, create("persistentvolumeclaims"), claim).unwrap();
    assert_eq!(claim["spec"]["storageClassName"], "new");
    assert_eq!(claim["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    let none = json!({"metadata": {"name": "c"}, "spec": {"storageClassName": ""}});
    let none = admitted(&world, create("persistentvolumeclaims"), none).unwrap();
    assert_eq!(none["spec"]["storageClassName"], "");
}

#[test]
fn quotas_refuse_and_charge() {
    let quota = json!({"metadata": {"name": "q", "resourceVersion": "3"}, "spec": {"hard": {"pods": "1"}},
        "status": {"hard": {"pods": "1"}, "used": {"pods": "0"}}});
    let world = World::new().with("", "resourcequotas", "ns", quota.clone());
    let charges =
        validate(&create("pods"), &world, &admitted(&world, create("pods"), pod()).unwrap(), None).unwrap().charges;
    assert_eq!((&*charges[0].name, &charges[0].used), ("q", &json!({"pods": "1"})));
    let mut full = quota;
    full["status"]["used"] = json!({"pods": "1"});
    let world = World::new().with("", "resourcequotas", "ns", full);
    let expect = "pods \"p\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
    check_refused(&world, create("pods"), pod(), expect);
}

#[test]
fn bad_shapes_are_passed_over_and_never_panic() {
    for object in [
        json!(null),
        json!([]),
        json!({"metadata": 1, "spec": "x"}),
        json!({"spec": {"containers": 3, "tolerations": {}}}),
    ] {
        for plural in ["pods", "persistentvolumeclaims", "persistentvolumes", "nodes", "namespaces"] {
            let _ = admitted(&World::new(), create(plural), object.clone());
        }
    }
}
