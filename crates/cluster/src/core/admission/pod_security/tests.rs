use serde_json::{Value, json};

use super::super::tests::{World, admitted, create, pod};
use super::super::{Operation, validate};
use super::*;

fn namespace(labels: Value) -> World {
    World::new().with("", "namespaces", "", json!({"metadata": {"name": "ns", "labels": labels}}))
}

fn enforcing(level: &str) -> World {
    namespace(json!({"pod-security.kubernetes.io/enforce": level}))
}

fn restricted_pod() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "main", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}})
}

#[test]
fn without_labels_everything_goes() {
    let mut pod = pod();
    pod["spec"]["hostNetwork"] = json!(true);
    assert!(admitted(&World::new(), create("pods"), pod).is_ok());
}

#[test]
fn baseline_refuses_what_reaches_the_host() {
    let mut bad = pod();
    bad["spec"]["hostNetwork"] = json!(true);
    bad["spec"]["hostPID"] = json!(true);
    bad["spec"]["volumes"] = json!([{"name": "h", "hostPath": {"path": "/"}}]);
    bad["spec"]["containers"][0]["securityContext"] =
        json!({"privileged": true, "capabilities": {"add": ["NET_ADMIN", "CHOWN"]}});
    bad["spec"]["containers"][0]["ports"] = json!([{"containerPort": 1, "hostPort": 8080}]);
    let expect = "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": non-default capabilities (container \"main\" \
                  must not include \"NET_ADMIN\" in securityContext.capabilities.add), host namespaces (hostNetwork=true, \
                  hostPID=true), hostPath volumes (volume \"h\"), hostPort (container \"main\" uses hostPort 8080), privileged \
                  (container \"main\" must not set securityContext.privileged=true)";
    assert_eq!(admitted(&enforcing("baseline"), create("pods"), bad), Err(expect.to_owned()));
    assert!(admitted(&enforcing("baseline"), create("pods"), pod()).is_ok());
}

#[test]
fn restricted_wants_everything_said() {
    let expect = "pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false \
                  (container \"main\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities \
                  (container \"main\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or \
                  container \"main\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"main\" \
                  must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
    assert_eq!(admitted(&enforcing("restricted"), create("pods"), pod()), Err(expect.to_owned()));
    assert!(admitted(&enforcing("restricted"), create("pods"), restricted_pod()).is_ok());
}

#[test]
fn a_version_keeps_the_rules_of_its_release() {
    let world = namespace(
        json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.18"}),
    );
    let mut old = restricted_pod();
    old["spec"]["securityContext"]["seccompProfile"] = Value::Null;
    old["spec"]["containers"][0]["securityContext"]["capabilities"] = Value::Null;
    assert!(admitted(&world, create("pods"), old).is_ok());
}

#[test]
fn workloads_are_warned_about_and_not_refused() {
    let world = enforcing("baseline");
    let request = Request { group: "apps", ..create("deployments") };
    let deployment =
        json!({"metadata": {"name": "d"}, "spec": {"template": {"spec": {"hostIPC": true, "containers": []}}}});
    let admitted = validate(&request, &world, &deployment, None).unwrap();
    assert_eq!(admitted.warnings, ["would violate PodSecurity \"baseline:latest\": host namespaces (hostIPC=true)"]);
}

#[test]
fn labels_that_say_nothing_are_refused_on_the_namespace() {
    let request = Request { namespace: "", ..create("namespaces") };
    let object = json!({"metadata": {"name": "n", "labels": {"pod-security.kubernetes.io/enforce": "strict"}}});
    let denied = validate(&request, &World::new(), &object, None).unwrap_err();
    assert_eq!((denied.code, denied.reason), (422, "Invalid"));
    assert_eq!(
        denied.message,
        "Namespace \"n\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one \
         of privileged, baseline, restricted"
    );
}

#[test]
fn a_stricter_label_warns_about_pods_that_are_there() {
    let shared = |name: &str| json!({"metadata": {"name": name}, "spec": {"hostNetwork": true, "containers": []}});
    let world = World::new().with("", "pods", "ns", shared("a")).with("", "pods", "ns", shared("b"));
    let old = json!({"metadata": {"name": "ns"}});
    let new = json!({"metadata": {"name": "ns", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    let request = Request { operation: Operation::Update, namespace: "", name: "ns", ..create("namespaces") };
    let admitted = validate(&request, &world, &new, Some(&old)).unwrap();
    assert_eq!(
        admitted.warnings,
        [
            "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "a (and 1 other pod): host namespaces"
        ]
    );
}

#[test]
fn an_update_that_changes_no_image_is_not_judged() {
    let mut standing = pod();
    standing["spec"]["hostNetwork"] = json!(true);
    let request = Request { operation: Operation::Update, name: "p", ..create("pods") };
    assert!(validate(&request, &enforcing("baseline"), &standing, Some(&standing)).is_ok());
    let mut changed = standing.clone();
    changed["spec"]["containers"][0]["image"] = json!("new");
    assert!(validate(&request, &enforcing("baseline"), &changed, Some(&standing)).is_err());
}
