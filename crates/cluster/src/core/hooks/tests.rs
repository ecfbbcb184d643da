use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::answer::{self, Sort};
use super::expression::{Params, Seen};
use super::rules::{self, Place, Resource};
use super::*;
use crate::core::crd::cel::authorizer::Decision;

fn resource(group: &str, version: &str, plural: &str, subresource: &str) -> Resource {
    let text = str::to_owned;
    Resource { group: text(group), version: text(version), plural: text(plural), subresource: text(subresource) }
}

fn rule(operations: &[&str], groups: &[&str], versions: &[&str], resources: &[&str], scope: &str) -> Value {
    json!({"operations": operations, "apiGroups": groups, "apiVersions": versions, "resources": resources, "scope": scope})
}

#[test]
fn rules_are_about_what_they_name() {
    use Operation::{Connect, Create, Delete, Update};
    let all = rule(&["*"], &["*"], &["*"], &["*"], "*");
    let every = rule(&["*"], &["*"], &["*"], &["*/*"], "*");
    let pods = rule(&["CREATE", "UPDATE"], &[""], &["v1"], &["pods", "pods/status"], "Namespaced");
    let statuses = rule(&["UPDATE"], &["*"], &["*"], &["*/status"], "*");
    let parts = rule(&["CONNECT"], &[""], &["v1"], &["pods/*"], "*");
    let cluster = rule(&["*"], &["*"], &["*"], &["*/*"], "Cluster");
    let rows = [
        (&all, Create, resource("apps", "v1", "deployments", ""), "n", true),
        (&all, Create, resource("apps", "v1", "deployments", "scale"), "n", false),
        (&every, Connect, resource("", "v1", "pods", "exec"), "n", true),
        (&pods, Create, resource("", "v1", "pods", ""), "n", true),
        (&pods, Update, resource("", "v1", "pods", "status"), "n", true),
        (&pods, Update, resource("", "v1", "pods", "ephemeralcontainers"), "n", false),
        (&pods, Delete, resource("", "v1", "pods", ""), "n", false),
        (&pods, Create, resource("", "v1", "configmaps", ""), "n", false),
        (&pods, Create, resource("x", "v1", "pods", ""), "n", false),
        (&pods, Create, resource("", "v2", "pods", ""), "n", false),
        (&pods, Create, resource("", "v1", "pods", ""), "", false),
        (&statuses, Update, resource("x", "v3", "cars", "status"), "", true),
        (&statuses, Update, resource("x", "v3", "cars", ""), "", false),
        (&parts, Connect, resource("", "v1", "pods", "attach"), "n", true),
        (&parts, Connect, resource("", "v1", "pods", ""), "n", true),
        (&cluster, Create, resource("", "v1", "namespaces", ""), "n", true),
        (&cluster, Create, resource("", "v1", "nodes", ""), "", true),
        (&cluster, Create, resource("", "v1", "pods", ""), "n", false),
    ];
    for (rule, operation, resource, namespace, expected) in rows {
        let place = Place { operation, namespace };
        assert_eq!(rules::matches(rule, &resource, "", place), expected, "{rule} {resource:?} {namespace:?}");
    }
}

fn attributes() -> Attributes {
    Attributes {
        operation: Operation::Create,
        resource: resource("apps", "v1", "deployments", ""),
        kind: Kind::of("apps/v1", "Deployment"),
        namespace: "n".to_owned(),
        name: "d".to_owned(),
        options: json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}),
        dry_run: false,
        user: json!({"username": "u", "groups": ["g"], "uid": "", "extra": {}}),
    }
}

#[test]
fn an_equivalent_version_is_found_unless_the_match_is_to_be_exact() {
    let rules = json!([rule(&["*"], &["apps"], &["v1beta1"], &["deployments"], "*")]);
    let others = [resource("apps", "v1beta1", "deployments", "")];
    let found = by_rules(&json!({"rules": rules}), "rules", &attributes(), &others);
    assert_eq!(found.unwrap().resource.version, "v1beta1");
    let exact = json!({"rules": rules, "matchPolicy": "Exact"});
    assert_eq!(by_rules(&exact, "rules", &attributes(), &others), None);
    let own = json!([
        rule(&["*"], &["apps"], &["v1beta1"], &["deployments"], "*"),
        rule(&["*"], &["*"], &["*"], &["*"], "*")
    ]);
    let found = by_rules(&json!({"rules": own}), "rules", &attributes(), &others);
    assert_eq!(found.unwrap().resource.version, "v1", "the request's own version goes before any other");
}

#[test]
fn configurations_of_webhooks_and_policies_are_seen_by_none() {
    let mut attributes = attributes();
    attributes.resource = resource(GROUP, "v1", "validatingwebhookconfigurations", "");
    assert!(attributes.is_exempt());
    attributes.resource = resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "");
    assert!(!attributes.is_exempt());
}

#[test]
fn a_review_says_what_is_asked_for_and_no_more() {
    let object = json!({"kind": "Deployment"});
    let invocation = Invocation { resource: resource("apps", "v1", "deployments", "") };
    let objects = Objects { new: Some(&object), old: None };
    let kind = Kind::of("apps/v1", "Deployment");
    let review = review::build("v1", "7", &attributes(), &invocation, &kind, objects);
    let request = &review["request"];
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(request["kind"], json!({"group": "apps", "version": "v1", "kind": "Deployment"}));
    assert_eq!(request["operation"], "CREATE");
    assert_eq!((&request["object"], &request["oldObject"]), (&object, &Value::Null));
    assert_eq!(request["userInfo"], json!({"username": "u", "groups": ["g"]}));
    assert_eq!(request.get("subResource"), None);
    assert_eq!(request["dryRun"], false);
}

fn read(response: Value, sort: Sort) -> Result<answer::Verdict, String> {
    let review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
    answer::read(review.to_string().as_bytes(), "v1", "u", sort)
}

#[test]
fn answers_that_are_none_are_told_in_upstreams_words() {
    let rows = [
        (json!(null), Sort::Mutating, "webhook response was absent"),
        (json!({"uid": "x"}), Sort::Mutating, "expected response.uid=\"u\", got \"x\""),
        (
            json!({"uid": "u", "patch": "W10="}),
            Sort::Mutating,
            "webhook returned response.patch but not response.patchType",
        ),
        (
            json!({"uid": "u", "patchType": "JSONPatch"}),
            Sort::Mutating,
            "webhook returned response.patchType but not response.patch",
        ),
        (json!({"uid": "u", "patch": "W10="}), Sort::Validating, "validating webhook may not return response.patch"),
        (
            json!({"uid": "u", "patchType": "JSONPatch"}),
            Sort::Validating,
            "validating webhook may not return response.patchType",
        ),
    ];
    for (response, sort, expected) in rows {
        assert_eq!(read(response, sort).unwrap_err(), format!("received invalid webhook response: {expected}"));
    }
    let verdict = read(json!({"uid": "u", "allowed": true, "patch": "W10=", "patchType": "JSONPatch"}), Sort::Mutating);
    assert_eq!(verdict.unwrap().patch, b"[]");
}

#[test]
fn a_denial_has_the_code_reason_and_words_of_the_webhook() {
    let rows = [
        (
            json!({"message": "no", "reason": "R", "code": 402}),
            402,
            "R",
            "admission webhook \"h\" denied the request: no",
        ),
        (json!({"reason": "R"}), 400, "R", "admission webhook \"h\" denied the request: R"),
        (json!({"code": 200}), 400, "", "admission webhook \"h\" denied the request without explanation"),
        (Value::Null, 400, "", "admission webhook \"h\" denied the request without explanation"),
    ];
    for (status, code, reason, message) in rows {
        let failure = answer::denial("h", &status);
        assert_eq!((failure.code, &*failure.reason, failure.message.as_str()), (code, reason, message));
    }
    let causes = json!({"causes": [{"message": "why"}]});
    assert_eq!(answer::denial("h", &json!({"details": causes})).details, Some(causes));
}

fn with_seen<T>(object: &Value, check: impl FnOnce(&Seen<'_>) -> T) -> T {
    let attributes = attributes();
    let invocation = Invocation { resource: attributes.resource.clone() };
    let request = expression::request(&attributes, &invocation, &attributes.kind);
    check(&Seen {
        objects: Objects { new: Some(object), old: None },
        request: &request,
        namespace: None,
        params: None,
        judge: Arc::new(|question| Decision { allowed: question.verb == "get", reason: String::new() }),
        attributes: &attributes,
    })
}

fn hold(policy: &str, expressions: &[&str]) -> Result<bool, String> {
    let conditions: Vec<Value> = expressions.iter().map(|one| json!({"name": "c", "expression": one})).collect();
    let holder = json!({"failurePolicy": policy, "matchConditions": conditions});
    with_seen(&json!({"spec": {"replicas": 2}}), |seen| conditions::hold(&holder, Params::None, seen, &mut 1_000_000))
}

#[test]
fn conditions_are_asked_in_turn_and_a_false_one_decides() {
    assert_eq!(hold("Fail", &["object.spec.replicas == 2", "request.operation == 'CREATE'"]), Ok(true));
    assert_eq!(hold("Fail", &["object.spec.none == 2", "oldObject != null"]), Ok(false));
    assert_eq!(hold("Ignore", &["object.spec.none == 2"]), Ok(false));
    let fault = hold("Fail", &["object.spec.none == 2"]).unwrap_err();
    assert_eq!(fault, "expression 'object.spec.none == 2' resulted in error: no such key: none");
    assert_eq!(hold("Fail", &["authorizer.group('apps').resource('deployments').check('get').allowed()"]), Ok(true));
    assert_eq!(hold("Fail", &["authorizer.requestResource.check('delete').allowed()"]), Ok(false));
    assert_eq!(hold("Fail", &["request.userInfo.username == 'u' && 'g' in request.userInfo.groups"]), Ok(true));
}

#[test]
fn an_expression_that_cannot_be_compiled_is_a_fault() {
    assert!(conditions::fault("object.x == 1", Params::None).is_none());
    for (source, expected) in [
        ("... [] bad expression", "compilation failed: ERROR: <input>:1:2: Syntax error"),
        ("'text'", "must evaluate to bool"),
        ("params.x", "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params'"),
        ("request.nothing == 1", "undefined field 'nothing'"),
    ] {
        let fault = conditions::fault(source, Params::None).unwrap();
        assert!(fault.contains(expected), "{source}: {fault}");
    }
}

#[test]
fn a_policy_denies_with_its_own_message() {
    let policy = json!({"spec": {"variables": [{"name": "count", "expression": "object.spec.replicas"}], "validations": [
        {"expression": "variables.count > 5", "messageExpression": "'wants more than ' + string(variables.count)"},
        {"expression": "variables.count > 1"},
        {"expression": "false", "message": "never", "reason": "Forbidden"},
        {"expression": "object.spec.none"},
    ]}});
    let denials = with_seen(&json!({"spec": {"replicas": 2}}), |seen| policy::judge(&policy, seen));
    let told: Vec<_> = denials.iter().map(|denial| (denial.message.as_str(), denial.reason.as_str())).collect();
    assert_eq!(
        told,
        [
            ("wants more than 2", ""),
            ("never", "Forbidden"),
            ("expression 'object.spec.none' resulted in error: no such key: none", ""),
        ]
    );
    let failure = policy::refusal(&attributes(), None, "p", Some("b"), &denials[0]);
    assert_eq!((failure.code, &*failure.reason), (422, "Invalid"));
    assert_eq!(
        failure.message,
        "deployments.apps \"d\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: wants more \
         than 2"
    );
}

#[test]
fn a_policys_variables_are_known_to_what_comes_after_them() {
    let spec = json!({"variables": [{"name": "a", "expression": "object.x"}, {"name": "b", "expression": "variables.a + 1"}],
        "validations": [{"expression": "variables.b > 1"}, {"expression": "variables.c > 1"}]});
    let faults = policy::faults(&spec);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].0, "validations[1].expression");
    assert!(faults[0].2.contains("undefined field 'c'"), "{}", faults[0].2);
}

proptest! {
    #[test]
    fn a_rule_that_lists_everything_is_about_every_request(
        group in "[a-z]{0,3}", version in "v[1-9]", plural in "[a-z]{1,5}", subresource in "[a-z]{0,3}",
        namespace in "[a-z]{0,3}",
    ) {
        let resource = resource(&group, &version, &plural, &subresource);
        let place = Place { operation: Operation::Update, namespace: &namespace };
        let all = rule(&["*"], &["*"], &["*"], &["*/*"], "*");
        prop_assert!(rules::matches(&all, &resource, "", place));
        let scoped = |scope| rules::matches(&rule(&["*"], &["*"], &["*"], &["*/*"], scope), &resource, "", place);
        prop_assert!(scoped("Cluster") != scoped("Namespaced"));
        let named = rule(&["UPDATE"], &[&group], &[&version], &[&format!("{plural}/{subresource}")], "*");
        prop_assert!(rules::matches(&named, &resource, "", place));
    }
}
