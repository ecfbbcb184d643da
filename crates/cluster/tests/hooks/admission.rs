//! Webhooks that complete and judge what is written.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use crate::server::{Bed, HOOKS, MAPS, Webhook, allowed, map, patched, rules};

#[tokio::test]
async fn webhooks_complete_an_object_in_the_order_of_their_names_and_are_asked_again_where_they_ask_for_it() {
    let bed = Bed::start().await;
    let hook = Webhook::start(|path, review| {
        let data = &review["request"]["object"]["data"];
        Some(match path {
            "first" if data["count"] == "1" => patched(json!([{"op": "add", "path": "/data/seen", "value": "again"}])),
            "second" if data["count"].is_null() => patched(json!([{"op": "add", "path": "/data/count", "value": "1"}])),
            _ => allowed(),
        })
    })
    .await;
    let about = || rules(&["CREATE"], &["configmaps"]);
    let second = hook.hook("second", about(), json!({"reinvocationPolicy": "Never"}));
    bed.register("Mutating", "b", json!([second])).await;
    let first = hook.hook("first", about(), json!({"reinvocationPolicy": "IfNeeded"}));
    bed.register("Mutating", "a", json!([first])).await;
    let made = bed.done("POST", MAPS, map("m", json!({"a": "b"}))).await;
    assert_eq!(made["data"], json!({"a": "b", "count": "1", "seen": "again"}));
    assert_eq!(hook.paths(), ["first", "second", "first"]);
    let asked = hook.asked.lock().unwrap()[0].1.clone();
    assert_eq!(asked["object"]["metadata"].get("uid"), None, "an object has no uid before it is stored");
    assert_eq!(asked["userInfo"]["username"], "system:admin");
    assert_eq!(asked["options"], json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}));
}

#[tokio::test]
async fn what_a_webhook_adds_is_decoded_and_completed_like_what_a_client_sends() {
    let bed = Bed::start().await;
    let hook = Webhook::start(|_, _| {
        let container = json!({"name": "added", "image": "i"});
        Some(patched(json!([{"op": "add", "path": "/spec/initContainers", "value": [container]},
            {"op": "add", "path": "/spec/unknown", "value": 1}])))
    })
    .await;
    bed.register("Mutating", "a", json!([hook.hook("pods", rules(&["CREATE"], &["pods"]), json!({}))])).await;
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
    bed.done("POST", "/api/v1/namespaces/default/serviceaccounts", account).await;
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"generateName": "p-"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let made = bed.done("POST", "/api/v1/namespaces/default/pods", pod).await;
    assert_eq!(made["spec"]["initContainers"][0]["terminationMessagePolicy"], "File");
    assert_eq!(made["spec"].get("unknown"), None);
    let asked = hook.asked.lock().unwrap()[0].1.clone();
    assert_eq!((asked.get("name"), asked["object"]["metadata"].get("name")), (None, None));
    assert!(made["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("p-") && name.len() == 7));
}

#[tokio::test]
async fn a_denial_is_told_with_the_webhooks_code_reason_causes_and_warnings() {
    let bed = Bed::start().await;
    let hook = Webhook::start(|path, _| {
        let status = json!({"code": 402, "reason": "Unpaid", "message": "pay first",
            "details": {"causes": [{"message": "no money"}]}});
        Some(match path {
            "warns" => json!({"allowed": true, "warnings": ["be careful"]}),
            _ => json!({"allowed": false, "status": status}),
        })
    })
    .await;
    let about = |resource| rules(&["*"], &[resource]);
    let hooks =
        json!([hook.hook("warns", about("configmaps"), json!({})), hook.hook("denies", about("secrets"), json!({}))]);
    bed.register("Validating", "a", hooks).await;
    let answer = bed.send("POST", MAPS, map("m", json!({}))).await;
    assert_eq!(answer.code, 201);
    assert!(answer.head.contains("warning: 299 - \"be careful\""), "{}", answer.head);
    let secret = json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}});
    let answer = bed.send("POST", "/api/v1/namespaces/default/secrets", secret).await;
    assert_eq!(answer.code, 402);
    let status = answer.json();
    assert_eq!(status["message"], "admission webhook \"denies.hook.dev\" denied the request: pay first");
    assert_eq!((&status["reason"], &status["details"]["causes"][0]["message"]), (&json!("Unpaid"), &json!("no money")));
}

#[tokio::test]
async fn a_webhook_that_cannot_be_asked_fails_the_request_or_does_not_as_its_policy_says() {
    let bed = Bed::start().await;
    let hook = Webhook::start(|path, _| (path != "silent").then(allowed)).await;
    let about = || rules(&["CREATE"], &["configmaps"]);
    let mut stranger = hook.hook("unknown", about(), json!({}));
    stranger["clientConfig"]["caBundle"] = Webhook::start(|_, _| None).await.bundle.clone().into();
    let nobody = json!({"service": {"namespace": "default", "name": "none", "path": "/x"}});
    let rows = [
        (stranger, "certificate signed by unknown authority"),
        (hook.hook("silent", about(), json!({"timeoutSeconds": 1})), "/silent?timeout=1s\": context deadline exceeded"),
        (
            hook.hook("nobody", about(), json!({ "clientConfig": nobody })),
            "Post \"https://none.default.svc:443/x?timeout=10s\": service \"none\" not found",
        ),
    ];
    for (index, (mut configured, expected)) in rows.into_iter().enumerate() {
        let name = configured["name"].as_str().unwrap().to_owned();
        bed.register("Validating", "a", json!([configured])).await;
        let (code, message) = bed.refused("POST", MAPS, map("m", json!({}))).await;
        assert_eq!(code, 500);
        let start = format!(
            "Internal error occurred: failed calling webhook {name:?}: failed to call webhook: Post \"https://"
        );
        assert!(message.starts_with(&start) && message.ends_with(expected), "{message}");
        let path = format!("{HOOKS}/validatingwebhookconfigurations/a");
        bed.done("DELETE", &path, Value::Null).await;
        configured["failurePolicy"] = "Ignore".into();
        bed.register("Validating", "a", json!([configured])).await;
        bed.done("POST", MAPS, map(&format!("m{index}"), json!({}))).await;
        bed.done("DELETE", &path, Value::Null).await;
    }
}

#[tokio::test]
async fn webhooks_judge_deletions_statuses_and_scales_and_never_their_own_configuration() {
    let bed = Bed::start().await;
    let hook = Webhook::start(|_, review| {
        let name = review["request"]["name"].as_str().unwrap_or_default();
        Some(json!({"allowed": name != "held"}))
    })
    .await;
    bed.done("POST", MAPS, map("held", json!({}))).await;
    bed.done("POST", MAPS, map("free", json!({}))).await;
    bed.register("Validating", "held", json!([hook.hook("all", rules(&["*"], &["*/*"]), json!({}))])).await;
    let denied = "admission webhook \"all.hook.dev\" denied the request without explanation".to_owned();
    assert_eq!(bed.refused("DELETE", &format!("{MAPS}/held"), Value::Null).await, (400, denied.clone()));
    assert_eq!(bed.refused("DELETE", MAPS, Value::Null).await, (400, denied.clone()));
    assert_eq!(bed.send("GET", &format!("{MAPS}/held"), Value::Null).await.code, 200);
    let asked = hook.asked.lock().unwrap().last().unwrap().1.clone();
    assert_eq!((&asked["operation"], &asked["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(asked["oldObject"]["metadata"]["name"], "held");
    let apps = "/apis/apps/v1/namespaces/default/deployments";
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    bed.done("POST", apps, deployment).await;
    bed.done("PATCH", &format!("{apps}/d/scale"), json!({"spec": {"replicas": 3}})).await;
    let asked = hook.asked.lock().unwrap().last().unwrap().1.clone();
    assert_eq!((&asked["subResource"], &asked["kind"]["kind"]), (&json!("scale"), &json!("Scale")));
    assert_eq!(
        (&asked["object"]["spec"], &asked["oldObject"]["spec"]),
        (&json!({"replicas": 3}), &json!({"replicas": 1}))
    );
    bed.done("PATCH", &format!("{apps}/d/status"), json!({"status": {"observedGeneration": 1}})).await;
    let asked = hook.asked.lock().unwrap().last().unwrap().1.clone();
    assert_eq!((&asked["subResource"], &asked["kind"]["kind"]), (&json!("status"), &json!("Deployment")));
    // The configuration has the name that the webhook denies everything of.
    bed.done("DELETE", &format!("{HOOKS}/validatingwebhookconfigurations/held"), Value::Null).await;
    bed.done("DELETE", &format!("{MAPS}/held"), Value::Null).await;
}

#[tokio::test]
async fn selectors_and_conditions_choose_what_a_webhook_is_asked_about() {
    let bed = Bed::start().await;
    let hook = Webhook::start(|_, _| Some(json!({"allowed": false}))).await;
    let labels =
        |labels: Value| json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "n", "labels": labels}});
    bed.done("POST", "/api/v1/namespaces", labels(json!({"watched": "yes"}))).await;
    let conditions = json!([{"name": "not-skipped", "expression": "object.metadata.name != 'skip-me'"}]);
    let more = json!({"namespaceSelector": {"matchLabels": {"watched": "yes"}}, "matchConditions": conditions,
        "objectSelector": {"matchExpressions": [{"key": "free", "operator": "DoesNotExist"}]}});
    bed.register("Validating", "a", json!([hook.hook("all", rules(&["CREATE"], &["configmaps"]), more)])).await;
    let maps = "/api/v1/namespaces/n/configmaps";
    let mut free = map("free", json!({}));
    free["metadata"]["labels"] = json!({"free": "yes"});
    bed.done("POST", MAPS, map("elsewhere", json!({}))).await;
    bed.done("POST", maps, map("skip-me", json!({}))).await;
    bed.done("POST", maps, free).await;
    assert_eq!(hook.paths(), Vec::<String>::new());
    bed.refused("POST", maps, map("seen", json!({}))).await;
    assert_eq!(hook.paths(), ["all"]);
    let bad = json!([hook.hook(
        "bad",
        rules(&["*"], &["pods"]),
        json!({"matchConditions": [{"name": "c", "expression": "object.x +"}]})
    )]);
    let body = json!({"kind": "ValidatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1",
        "metadata": {"name": "bad"}, "webhooks": bad});
    let (code, message) = bed.refused("POST", &format!("{HOOKS}/validatingwebhookconfigurations"), body).await;
    assert_eq!(code, 422);
    assert!(
        message.contains("webhooks[0].matchConditions[0].expression") && message.contains("compilation failed"),
        "{message}"
    );
}

#[tokio::test]
async fn a_dry_run_is_told_and_refused_where_a_webhook_has_side_effects() {
    let bed = Bed::start().await;
    let hook = Webhook::start(|_, _| Some(allowed())).await;
    let effects = json!({"sideEffects": "NoneOnDryRun"});
    bed.register("Validating", "a", json!([hook.hook("all", rules(&["CREATE"], &["configmaps"]), effects)])).await;
    bed.done("POST", &format!("{MAPS}?dryRun=All"), map("m", json!({}))).await;
    let asked = hook.asked.lock().unwrap()[0].1.clone();
    assert_eq!((&asked["dryRun"], &asked["options"]["dryRun"]), (&json!(true), &json!(["All"])));
    assert_eq!(bed.send("GET", &format!("{MAPS}/m"), Value::Null).await.code, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_object_that_changes_while_a_webhook_is_asked_is_asked_about_again() {
    let bed = Arc::new(Bed::start().await);
    let inner: Arc<OnceLock<(tokio::runtime::Handle, Arc<Bed>)>> = Arc::default();
    let (held, once) = (inner.clone(), std::sync::Mutex::new(true));
    let hook = Webhook::start(move |_, review| {
        let is_ours = review["request"]["object"]["data"]["ours"] == "yes";
        if is_ours && std::mem::take(&mut *once.lock().unwrap()) {
            let (handle, bed) = held.get().cloned().unwrap();
            // While this webhook is asked, another client writes; nothing holds it up.
            let path = format!("{MAPS}/m");
            let writes = std::thread::spawn(move || {
                handle.block_on(bed.done("PATCH", &path, json!({"data": {"theirs": "yes"}})));
            });
            // What this thread had to do otherwise is done by another meanwhile.
            tokio::task::block_in_place(|| writes.join().unwrap());
        }
        Some(allowed())
    })
    .await;
    inner.set((tokio::runtime::Handle::current(), bed.clone())).ok().unwrap();
    bed.done("POST", MAPS, map("m", json!({}))).await;
    bed.register("Validating", "a", json!([hook.hook("all", rules(&["UPDATE"], &["configmaps"]), json!({}))])).await;
    let path = format!("{MAPS}/m");
    let waiting = bed.clone();
    let made = tokio::task::spawn(async move { waiting.done("PATCH", &path, json!({"data": {"ours": "yes"}})).await });
    assert_eq!(made.await.unwrap()["data"], json!({"ours": "yes", "theirs": "yes"}));
    assert_eq!(hook.paths().len(), 3, "ours, theirs, and ours once more");
}
