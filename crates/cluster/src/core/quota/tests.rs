use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;

fn quota(hard: Value, used: Value) -> Value {
    json!({"metadata": {"name": "q", "resourceVersion": "7"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}})
}

fn pod(requests: Value, limits: Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main", "resources": {"requests": requests, "limits": limits}}]}})
}

fn check_pod(quota: &Value, pod: &Value, expect: Result<Value, &str>) {
    let write = Write { group: "", plural: "pods", subresource: "", object: pod, old: None };
    let found = check(&[quota], &write, Timestamp::UNIX_EPOCH);
    let found = found.map(|charges| charges.first().map_or(Value::Null, |charge| charge.used.clone()));
    assert_eq!(found, expect.map_err(str::to_owned));
}

#[test]
fn a_pod_that_fits_is_charged_to_the_quota() {
    let quota = quota(json!({"pods": "2", "requests.cpu": "1"}), json!({"pods": "1", "requests.cpu": "250m"}));
    check_pod(&quota, &pod(json!({"cpu": "500m"}), json!({})), Ok(json!({"pods": "2", "requests.cpu": "750m"})));
}

#[test]
fn a_pod_too_many_is_refused_with_the_numbers() {
    let quota = quota(json!({"pods": "2", "services": "5"}), json!({"pods": "2", "services": "0"}));
    let expect = "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2";
    check_pod(&quota, &pod(json!({}), json!({})), Err(expect));
}

#[test]
fn what_a_quota_limits_must_be_stated() {
    let quota = quota(json!({"limits.cpu": "2", "memory": "1Gi"}), json!({"limits.cpu": "0", "memory": "0"}));
    let expect = "failed quota: q: must specify limits.cpu for: main; memory for: main";
    check_pod(&quota, &pod(json!({}), json!({})), Err(expect));
}

#[test]
fn a_quota_without_counted_usage_refuses() {
    let quota = quota(json!({"pods": "2"}), json!({}));
    check_pod(&quota, &pod(json!({}), json!({})), Err("status unknown for quota: q, resources: pods"));
}

#[test]
fn extended_resources_count_under_requests() {
    let quota = quota(json!({"requests.nvidia.com/gpu": "1"}), json!({"requests.nvidia.com/gpu": "1"}));
    let expect = "exceeded quota: q, requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=1, \
                  limited: requests.nvidia.com/gpu=1";
    check_pod(&quota, &pod(json!({"nvidia.com/gpu": "1"}), json!({"nvidia.com/gpu": "1"})), Err(expect));
}

#[test]
fn scopes_decide_which_pods_a_quota_sees() {
    let mut best_effort = quota(json!({"pods": "0"}), json!({"pods": "0"}));
    best_effort["spec"]["scopes"] = json!(["BestEffort"]);
    check_pod(&best_effort, &pod(json!({"cpu": "1"}), json!({})), Ok(Value::Null));
    let refused = "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0";
    check_pod(&best_effort, &pod(json!({}), json!({})), Err(refused));

    let mut by_class = quota(json!({"pods": "0"}), json!({"pods": "0"}));
    by_class["spec"]["scopeSelector"] =
        json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]});
    let mut high = pod(json!({}), json!({}));
    check_pod(&by_class, &high, Ok(Value::Null));
    high["spec"]["priorityClassName"] = json!("high");
    check_pod(&by_class, &high, Err(refused));
}

#[test]
fn an_update_is_charged_with_the_difference() {
    let quota = quota(json!({"services.nodeports": "2"}), json!({"services.nodeports": "0"}));
    let old = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 1}, {"port": 2}]}});
    let new = json!({"spec": {"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}});
    let write = Write { group: "", plural: "services", subresource: "", object: &new, old: Some(&old) };
    let charges = check(&[&quota], &write, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(charges[0].used, json!({"services.nodeports": "2"}));
    let back = Write { object: &old, old: Some(&new), ..write };
    assert!(check(&[&quota], &back, Timestamp::UNIX_EPOCH).unwrap().is_empty());
}

#[test]
fn claims_count_by_class_too() {
    let hard = json!({"gold.storageclass.storage.k8s.io/requests.storage": "10Gi", "persistentvolumeclaims": "5"});
    let contents = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "3Gi"}}}});
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    let objects = [&contents];
    let contents = [Contents { group: "", plural: "persistentvolumeclaims", objects: &objects }];
    let status = status(&quota, &contents, Timestamp::UNIX_EPOCH).unwrap();
    let expect = json!({"gold.storageclass.storage.k8s.io/requests.storage": "3Gi", "persistentvolumeclaims": "1"});
    assert_eq!(status["used"], expect);
}

#[test]
fn computing_the_status_twice_changes_nothing() {
    let pods = [pod(json!({"cpu": "100m", "memory": "1Gi"}), json!({})), pod(json!({"cpu": "1"}), json!({}))];
    let mut quota =
        json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "3", "requests.cpu": "2", "count/secrets": "1"}}});
    let objects: Vec<&Value> = pods.iter().collect();
    let contents = [Contents { group: "", plural: "pods", objects: &objects }];
    let first = status(&quota, &contents, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(first["used"], json!({"pods": "2", "requests.cpu": "1100m", "count/secrets": "0"}));
    quota["status"] = first;
    assert_eq!(status(&quota, &contents, Timestamp::UNIX_EPOCH), None);
}

#[test]
fn a_pod_that_ended_holds_only_its_object() {
    let mut ended = pod(json!({"cpu": "1"}), json!({}));
    ended["status"] = json!({"phase": "Succeeded"});
    let usage = Evaluator::Pods.usage(&ended, Timestamp::UNIX_EPOCH);
    assert_eq!(amounts::render(&usage), "count/pods=1");
}

#[test]
fn sidecars_and_init_containers_raise_what_a_pod_asks_for() {
    let container = |cpu: &str, policy: Value| json!({"name": "c", "restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}});
    let pod = json!({"spec": {
        "containers": [container("100m", Value::Null)],
        "initContainers": [container("200m", json!("Always")), container("500m", Value::Null)],
        "overhead": {"cpu": "10m"}}});
    let total = pods::total(&pod, pods::Side::Requests, pods::Overhead::Counted);
    assert_eq!(amounts::render(&total), "cpu=710m");
}

#[test]
fn only_the_resources_that_a_quota_limits_are_needed() {
    let quota = json!({"spec": {"hard": {"count/deployments.apps": "1", "limits.cpu": "1"}}});
    let served = [("", "pods"), ("apps", "deployments"), ("", "services"), ("", "events")];
    assert_eq!(needed(&quota, served.into_iter()), [("", "pods"), ("apps", "deployments")]);
}
