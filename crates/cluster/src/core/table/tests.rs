use serde_json::json;

use super::*;
use crate::core::resource::Scope;

fn resource(group: &str, kind: &str) -> Resource {
    Resource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        list_kind: String::new(),
        plural: String::new(),
        singular: String::new(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope: Scope::Namespaced,
        verbs: Vec::new(),
        subresources: Vec::new(),
        selectable_fields: Vec::new(),
        storage: String::new(),
        custom: false,
    }
}

fn now() -> Timestamp {
    "2025-01-02T00:00:00Z".parse().unwrap()
}

/// The cells of an object that was created a day ago, joined by bars.
fn check(group: &str, kind: &str, object: Value, expected: &str) {
    let mut object = object;
    object["metadata"]["name"] = json!("x");
    object["metadata"]["creationTimestamp"] = json!("2025-01-01T00:00:00Z");
    let table = table(&resource(group, kind), &[&object], IncludeObject::None, now(), None);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    let cells: Vec<String> = cells.iter().map(view::plain).collect();
    assert_eq!(cells.join("|"), expected, "{kind}");
    let columns = table["columnDefinitions"].as_array().unwrap().len();
    assert!(cells.len() >= columns, "{kind} has {columns} columns");
}

fn pod(status: Value) -> Value {
    json!({
        "spec": {
            "containers": [{"name": "a"}, {"name": "b"}],
            "initContainers": [{"name": "i"}, {"name": "j"}],
            "nodeName": "n",
        },
        "status": status,
    })
}

#[test]
fn a_pods_status_tells_what_holds_it_up() {
    let ended = |code: i64, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason}});
    for (status, expected) in [
        (json!({"phase": "Pending"}), "0/2|Pending|0"),
        (json!({"phase": "Failed", "reason": "Evicted"}), "0/2|Evicted|0"),
        (
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
            "0/2|SchedulingGated|0",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            "0/2|Init:0/2|0",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [
                {"name": "i", "state": ended(0, "Completed")},
                {"name": "j", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"finishedAt": "2025-01-01T23:55:00Z"}}},
            ]}),
            "0/2|Init:CrashLoopBackOff|2 (5m ago)",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": ended(3, "")}]}),
            "0/2|Init:ExitCode:3|0",
        ),
        (
            json!({"phase": "Running", "containerStatuses": [
                {"name": "a", "ready": true, "state": {"running": {}}},
                {"name": "b", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"finishedAt": "2025-01-01T23:59:00Z"}}},
            ]}),
            "1/2|CrashLoopBackOff|3 (60s ago)",
        ),
        (
            json!({"phase": "Succeeded", "containerStatuses": [{"name": "a", "state": ended(0, "Completed")}]}),
            "0/2|Completed|0",
        ),
        (
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [
                {"name": "a", "state": ended(0, "Completed")},
                {"name": "b", "ready": true, "state": {"running": {}}},
            ]}),
            "1/2|Running|0",
        ),
        (
            json!({"phase": "Running", "containerStatuses": [{"name": "a", "state": {"terminated": {"signal": 9}}}]}),
            "0/2|Signal:9|0",
        ),
    ] {
        check("", "Pod", pod(status), &format!("x|{expected}|24h|<none>|n|<none>|<none>"));
    }
}

#[test]
fn a_deleted_pod_is_terminating_unless_it_has_ended() {
    for (phase, expected) in [("Running", "Terminating"), ("Succeeded", "Succeeded")] {
        let mut pod = pod(json!({"phase": phase, "podIP": "10.0.0.1"}));
        pod["metadata"] = json!({"deletionTimestamp": "2025-01-01T00:00:00Z"});
        check("", "Pod", pod, &format!("x|0/2|{expected}|0|24h|10.0.0.1|n|<none>|<none>"));
    }
}

#[test]
fn sidecars_count_as_containers() {
    let pod = json!({
        "spec": {
            "containers": [{"name": "a"}],
            "initContainers": [{"name": "s", "restartPolicy": "Always"}],
            "readinessGates": [{"conditionType": "g"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "g", "status": "True"}],
            "initContainerStatuses": [
                {"name": "s", "started": true, "ready": true, "restartCount": 1, "state": {"running": {}}},
            ],
            "containerStatuses": [{"name": "a", "ready": true, "state": {"running": {}}}],
        },
    });
    check("", "Pod", pod, "x|2/2|Running|1|24h|<none>|<none>|<none>|1/1");
}

#[test]
fn finished_pods_have_a_condition() {
    let object = json!({"metadata": {"name": "x"}, "status": {"phase": "Failed"}});
    let table = table(&resource("", "Pod"), &[&object], IncludeObject::Metadata, now(), None);
    let row = &table["rows"][0];
    assert_eq!(
        row["conditions"],
        json!([{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}])
    );
    assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
}

#[test]
fn workloads_tell_their_counts_and_containers() {
    let template = json!({"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:2"}]}});
    let selector = json!({"matchLabels": {"app": "x"}});
    check(
        "apps",
        "Deployment",
        json!({"spec": {"replicas": 3, "selector": selector, "template": template},
            "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}}),
        "x|1/3|2|1|24h|a,b|i:1,j:2|app=x",
    );
    check(
        "apps",
        "ReplicaSet",
        json!({"spec": {"replicas": 3, "selector": selector, "template": template}, "status": {"replicas": 2}}),
        "x|3|2|0|24h|a,b|i:1,j:2|app=x",
    );
    check("apps", "StatefulSet", json!({"spec": {"replicas": 2, "template": template}}), "x|0/2|24h|a,b|i:1,j:2");
    check(
        "apps",
        "DaemonSet",
        json!({"spec": {"template": template}, "status": {"desiredNumberScheduled": 1}}),
        "x|1|0|0|0|0|<none>|24h|a,b|i:1,j:2|<none>",
    );
    let owner = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true});
    check(
        "apps",
        "ControllerRevision",
        json!({"metadata": {"ownerReferences": [owner]}, "revision": 3}),
        "x|statefulset.apps/web|3|24h",
    );
}

#[test]
fn jobs_tell_their_state_and_run_time() {
    let job = |spec: Value, status: Value| json!({"spec": spec, "status": status});
    check("batch", "Job", job(json!({"completions": 2}), json!({})), "x|Running|0/2||24h|||<none>");
    check(
        "batch",
        "Job",
        job(
            json!({"completions": 1}),
            json!({"succeeded": 1, "startTime": "2025-01-01T00:00:00Z", "completionTime": "2025-01-01T00:00:07Z",
                "conditions": [{"type": "Complete", "status": "True"}]}),
        ),
        "x|Complete|1/1|7s|24h|||<none>",
    );
    check(
        "batch",
        "Job",
        job(json!({"parallelism": 3}), json!({"conditions": [{"type": "Suspended", "status": "True"}]})),
        "x|Suspended|0/1 of 3||24h|||<none>",
    );
    check(
        "batch",
        "CronJob",
        json!({"spec": {"schedule": "* * * * *", "suspend": false}, "status": {"active": [{}]}}),
        "x|* * * * *|<none>|False|1|<none>|24h|||<none>",
    );
}

#[test]
fn services_tell_how_they_are_reached() {
    check(
        "",
        "Service",
        json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "selector": {"app": "x"},
            "ports": [{"port": 80, "nodePort": 30000, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}),
        "x|NodePort|10.0.0.1|<none>|80:30000/TCP,53/UDP|24h|app=x",
    );
    check(
        "",
        "Service",
        json!({"spec": {"type": "LoadBalancer", "clusterIPs": ["None"]}}),
        "x|LoadBalancer|None|<pending>|<none>|24h|<none>",
    );
    check(
        "",
        "Endpoints",
        json!({"subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "::1"}], "ports": [{"port": 80}, {"port": 81}]}]}),
        "x|1.1.1.1:80,[::1]:80,1.1.1.1:81 + 1 more...|24h",
    );
    check(
        "discovery.k8s.io",
        "EndpointSlice",
        json!({"addressType": "IPv4", "endpoints": [{"addresses": ["1.1.1.1"]}], "ports": []}),
        "x|IPv4|<unset>|1.1.1.1|24h",
    );
}

#[test]
fn nodes_tell_their_state_roles_and_addresses() {
    check(
        "",
        "Node",
        json!({
            "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "gpu"}},
            "spec": {"unschedulable": true},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                "nodeInfo": {"kubeletVersion": "v1.34.4", "osImage": "Linux"},
            },
        }),
        "x|Ready,SchedulingDisabled|gpu,worker|24h|v1.34.4|10.0.0.1|<none>|Linux|<unknown>|<unknown>",
    );
}

#[test]
fn events_of_both_groups_read_the_same() {
    check(
        "",
        "Event",
        json!({"involvedObject": {"kind": "Pod", "name": "p"}, "type": "Normal", "reason": "Started",
            "message": " started ", "source": {"component": "kubelet", "host": "n"},
            "firstTimestamp": "2025-01-01T00:00:00Z", "lastTimestamp": "2025-01-01T23:59:50Z", "count": 3}),
        "10s|Normal|Started|pod/p||kubelet, n|started|24h|3|x",
    );
    check(
        "events.k8s.io",
        "Event",
        json!({"regarding": {"kind": "Pod", "name": "p"}, "type": "Normal", "reason": "Started", "note": "started",
            "reportingController": "kubelet", "eventTime": "2025-01-01T00:00:00.000000Z"}),
        "24h|Normal|Started|pod/p||kubelet|started|24h|1|x",
    );
}

#[test]
fn volumes_and_claims_tell_their_binding() {
    check(
        "",
        "PersistentVolumeClaim",
        json!({"spec": {"volumeName": "v", "storageClassName": "s", "volumeMode": "Filesystem"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}}),
        "x|Bound|v|1Gi|RWO|s|<unset>|24h|Filesystem",
    );
    check(
        "",
        "PersistentVolume",
        json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadOnlyMany", "ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete", "claimRef": {"namespace": "n", "name": "c"}},
            "status": {"phase": "Bound"}}),
        "x|1Gi|RWO,ROX|Delete|Bound|n/c||<unset>||24h|<unset>",
    );
}

#[test]
fn autoscalers_tell_their_metrics() {
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}});
    let status = json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40}}});
    let external = json!({"type": "External", "external": {"target": {"averageValue": "5"}}});
    check(
        "autoscaling",
        "HorizontalPodAutoscaler",
        json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 5,
            "metrics": [metric, external, external]}, "status": {"currentMetrics": [status]}}),
        "x|Deployment/d|cpu: 40%/80%, <unknown>/5 (avg) + 1 more...|<unset>|5|0|24h",
    );
}

#[test]
fn a_kind_without_a_printer_shows_its_creation_time() {
    check("rbac.authorization.k8s.io", "Role", json!({}), "x|2025-01-01T00:00:00Z");
}

#[test]
fn custom_resources_show_the_columns_of_their_definition() {
    let columns = json!([
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
        {"name": "Ratio", "type": "number", "jsonPath": ".spec.ratio", "priority": 1},
        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
        {"name": "Tags", "type": "string", "jsonPath": ".spec.tags"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Bad", "type": "date", "jsonPath": ".spec.on", "description": "no date"},
        {"name": "Worse", "type": "date", "jsonPath": ".spec.tags[0]"},
    ]);
    let object = json!({
        "metadata": {"name": "w", "creationTimestamp": "2025-01-01T23:59:00Z"},
        "spec": {"size": 3, "on": true, "ratio": 2.0, "tags": ["a", "b"]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    });
    let columns = CrdColumns::from_json(Some(&columns));
    let table = table(&resource("example.dev", "Widget"), &[&object], IncludeObject::Object, now(), Some(&columns));
    assert_eq!(table["rows"][0]["cells"], json!(["w", 3, true, 2, "True", "[\"a\",\"b\"]", "60s", null, "<invalid>"]));
    assert_eq!(table["rows"][0]["object"], object);
    assert_eq!(table["columnDefinitions"][3]["priority"], 1);
    assert_eq!(table["columnDefinitions"][7]["description"], "no date");
}

#[test]
fn custom_resources_without_columns_show_their_age() {
    let object = json!({"metadata": {"name": "w", "creationTimestamp": "2025-01-01T23:59:00Z"}});
    let columns = CrdColumns::from_json(None);
    let table = table(&resource("example.dev", "Widget"), &[&object], IncludeObject::None, now(), Some(&columns));
    assert_eq!(table["rows"][0]["cells"], json!(["w", "60s"]));
    assert_eq!(table["rows"][0]["object"], Value::Null);
}

#[test]
fn only_the_first_event_of_a_watch_declares_columns() {
    let options = Options {
        include: IncludeObject::Metadata,
        headers: Headers::Hidden,
        version: "v1beta1",
        now: now(),
        columns: None,
    };
    let table = render(&resource("", "Pod"), &[], &options);
    assert_eq!(table["columnDefinitions"], Value::Null);
    assert_eq!(table["apiVersion"], "meta.k8s.io/v1beta1");
    assert_eq!(table["rows"], json!([]));
}
