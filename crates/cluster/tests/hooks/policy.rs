//! ValidatingAdmissionPolicies.

use serde_json::{Value, json};

use crate::server::{Bed, HOOKS, MAPS, map};

async fn bind(bed: &Bed, policy: Value, binding: Value) {
    let named = |kind: &str, spec: Value| json!({"kind": kind, "apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": "p"}, "spec": spec});
    let mut spec = policy;
    spec["matchConstraints"] = json!({"resourceRules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": [""],
        "apiVersions": ["v1"], "resources": ["configmaps"]}]});
    let mut bound = binding;
    bound["policyName"] = "p".into();
    bed.done("POST", &format!("{HOOKS}/validatingadmissionpolicies"), named("ValidatingAdmissionPolicy", spec)).await;
    let bindings = format!("{HOOKS}/validatingadmissionpolicybindings");
    bed.done("POST", &bindings, named("ValidatingAdmissionPolicyBinding", bound)).await;
}

#[tokio::test]
async fn a_bound_policy_judges_with_its_parameters() {
    let bed = Bed::start().await;
    let mut limits = map("limits", json!({"most": "2"}));
    limits["metadata"]["namespace"] = "default".into();
    bed.done("POST", MAPS, limits).await;
    let policy = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "variables": [{"name": "most", "expression": "int(params.data.most)"}],
        "validations": [{"expression": "size(object.data) <= variables.most",
            "messageExpression": "'at most ' + string(variables.most) + ' in ' + namespaceObject.metadata.name"}]});
    let reference = json!({"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"});
    bind(&bed, policy, json!({"paramRef": reference, "validationActions": ["Deny"]})).await;
    bed.done("POST", MAPS, map("few", json!({"a": "1", "b": "2"}))).await;
    let many = map("many", json!({"a": "1", "b": "2", "c": "3"}));
    let (code, message) = bed.refused("POST", MAPS, many).await;
    assert_eq!(code, 422);
    assert_eq!(
        message,
        "configmaps \"many\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: at most 2 in \
         default"
    );
}

#[tokio::test]
async fn a_policy_may_only_warn() {
    let bed = Bed::start().await;
    let policy = json!({"validations": [{"expression": "has(object.data)", "message": "no data"}]});
    bind(&bed, policy, json!({"validationActions": ["Warn"]})).await;
    let answer =
        bed.send("POST", MAPS, json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "m"}})).await;
    assert_eq!(answer.code, 201);
    let told = "validation failed for validatingadmissionpolicy 'p' with binding 'p': no data";
    assert!(answer.head.to_lowercase().contains(told), "{}", answer.head);
}
