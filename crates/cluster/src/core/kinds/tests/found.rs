//! What the suite of recorded answers (`conformance/clients/answers`) once found to differ, a case each.

use serde_json::{Value, json};

use super::super::*;
use super::context;
use crate::core::resource::{self, ResourceRef};

fn row(group: &str, kind: &str) -> ResourceRef {
    resource::builtin().into_iter().find(|row| row.group == group && row.kind == kind).unwrap()
}

fn told(group: &str, kind: &str, object: &Value) -> Vec<String> {
    warnings(&row(group, kind), object, None)
}

#[test]
fn a_job_is_accounted_for_with_the_labels_that_it_has_from_its_pods() {
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}});
    assert_eq!(accounted(&row("batch", "Job"), &job).unwrap()["metadata"]["labels"], json!({"a": "b"}));
    let labelled = json!({"metadata": {"name": "j", "labels": {"c": "d"}}});
    assert_eq!(accounted(&row("batch", "Job"), &labelled), None);
}

#[test]
fn a_jobs_status_leaves_it_the_labels_of_its_pods() {
    let old = json!({"metadata": {}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}});
    let mut new = json!({"metadata": {}, "status": {"active": 1}});
    prepare_update(&row("batch", "Job"), "status", &mut new, &old, &context());
    assert_eq!(new["metadata"]["labels"], json!({"a": "b"}));
}

#[test]
fn the_count_of_templates_stands_in_no_row() {
    let row = row("apps", "DaemonSet");
    let mut set = json!({"metadata": {"name": "d"}, "spec": {}});
    defaults(&row, &mut set);
    assert_eq!(set["metadata"]["annotations"], json!({"deprecated.daemonset.template.generation": "0"}));
    assert_eq!(versions::unversioned(&row, &set)["metadata"], json!({"name": "d"}));
}

#[test]
fn a_service_of_an_external_name_has_no_policy_of_traffic() {
    let old = json!({"metadata": {}, "spec": {"type": "ClusterIP", "internalTrafficPolicy": "Cluster"}});
    let mut new = json!({"metadata": {}, "spec": {"type": "ExternalName", "externalName": "a.b", "internalTrafficPolicy": "Cluster"}});
    prepare_update(&row("", "Service"), "", &mut new, &old, &context());
    assert_eq!(new["spec"].get("internalTrafficPolicy"), None);
}

#[test]
fn a_negative_grace_of_a_pod_is_one_second() {
    let mut pod = json!({"metadata": {}, "spec": {"terminationGracePeriodSeconds": -1, "containers": []}});
    defaults(&row("", "Pod"), &mut pod);
    assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 1);
}

#[test]
fn a_stateful_sets_name_has_no_dots() {
    let errors = validate_create(&row("apps", "StatefulSet"), &json!({"metadata": {"name": "a.b", "namespace": "n"}}));
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(errors.iter().any(|error| error.contains("must not contain dots")), "{errors:?}");
}

#[test]
fn labels_of_old_and_what_is_no_certificate_are_told_in_upstreams_words() {
    let old = json!({"beta.kubernetes.io/os": "linux"});
    let rows = [
        (
            told("node.k8s.io", "RuntimeClass", &json!({"scheduling": {"nodeSelector": old}})),
            "scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/os\" instead",
        ),
        (
            told("storage.k8s.io", "CSIStorageCapacity", &json!({"nodeTopology": {"matchLabels": old}})),
            "nodeTopology.matchLabels.beta.kubernetes.io/os: deprecated since v1.14; use \"kubernetes.io/os\" instead",
        ),
        (
            told("", "Secret", &json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}})),
            "tls: failed to find any PEM data in certificate input",
        ),
        (
            told(
                "networking.k8s.io",
                "NetworkPolicy",
                &json!({"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]}}),
            ),
            "spec.ingress[0].from[0].ipBlock.cidr: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \
             \"10.0.0.0/8\" or \"10.0.0.1/32\"?)",
        ),
    ];
    for (told, expected) in rows {
        assert_eq!(told, [expected]);
    }
}

#[test]
fn an_autoscaler_of_v1_keeps_what_its_pods_use() {
    let old = json!({"apiVersion": "autoscaling/v1", "metadata": {}, "spec": {}, "status": {"currentCPUUtilizationPercentage": 7}});
    let metrics = json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7}}}]);
    assert_eq!(autoscaler::from_v1(&old)["status"]["currentMetrics"], metrics);
}
