//! Definitions whose versions a webhook converts.

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::server::{Bed, Webhook};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const V1: &str = "/apis/hook.dev/v1/namespaces/default/cars";
const V2: &str = "/apis/hook.dev/v2/namespaces/default/cars";

/// `spec.address: "h:1"` of v1 is `spec.host` and `spec.port` of v2.
fn converted(review: &Value) -> Value {
    let wanted = review["request"]["desiredAPIVersion"].as_str().unwrap();
    let objects = review["request"]["objects"].as_array().unwrap().iter();
    let objects = objects.map(|object| {
        let mut object = object.clone();
        let spec = object["spec"].clone();
        object["apiVersion"] = wanted.into();
        object["spec"] = if wanted.ends_with("v2") {
            let (host, port) = spec["address"].as_str().unwrap().split_once(':').unwrap();
            json!({"host": host, "port": port})
        } else {
            json!({"address": format!("{}:{}", spec["host"].as_str().unwrap(), spec["port"].as_str().unwrap())})
        };
        object
    });
    json!({"convertedObjects": objects.collect::<Vec<_>>(), "result": {"status": "Success"}})
}

fn version(name: &str, is_stored: bool, fields: &[&str]) -> Value {
    let fields: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), json!({"type": "string"}))).collect();
    let spec = json!({"type": "object", "properties": fields});
    let mut version = json!({"name": name, "served": true, "storage": is_stored,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}});
    if name == "v2" {
        version["selectableFields"] = json!([{"jsonPath": ".spec.host"}]);
    }
    version
}

async fn define(bed: &Bed, hook: &Webhook) {
    let webhook = json!({"clientConfig": hook.client("convert"), "conversionReviewVersions": ["v1"]});
    let versions = [version("v1", true, &["address"]), version("v2", false, &["host", "port"])];
    let definition = json!({"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"name": "cars.hook.dev"}, "spec": {"group": "hook.dev", "scope": "Namespaced", "versions": versions,
        "names": {"plural": "cars", "singular": "car", "kind": "Car", "listKind": "CarList"},
        "conversion": {"strategy": "Webhook", "webhook": webhook}}});
    bed.done("POST", DEFINITIONS, definition).await;
    let client = bed.0.client();
    let definitions: kube::Api<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    > = kube::Api::all(client);
    ferroflow_testkit::wait::until(&definitions, "cars.hook.dev", "is established", |found| {
        kube::runtime::wait::Condition::matches_object(&kube::runtime::conditions::is_crd_established(), Some(found))
    })
    .await;
}

fn car(version: &str, name: &str, spec: Value) -> Value {
    json!({"kind": "Car", "apiVersion": format!("hook.dev/{version}"), "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn objects_are_written_read_listed_watched_and_deleted_in_every_version() {
    let bed = Bed::start().await;
    let hook = Webhook::start(|_, review| Some(converted(review))).await;
    define(&bed, &hook).await;
    bed.done("POST", V1, car("v1", "a", json!({"address": "h:1"}))).await;
    let made = bed.done("POST", V2, car("v2", "b", json!({"host": "g", "port": "2"}))).await;
    assert_eq!(made["spec"], json!({"host": "g", "port": "2"}));
    assert_eq!(bed.done("GET", &format!("{V2}/a"), Value::Null).await["spec"], json!({"host": "h", "port": "1"}));
    assert_eq!(bed.done("GET", &format!("{V1}/b"), Value::Null).await["spec"], json!({"address": "g:2"}));
    let patched = bed.done("PATCH", &format!("{V2}/a"), json!({"spec": {"port": "3"}})).await;
    assert_eq!(patched["spec"], json!({"host": "h", "port": "3"}));
    let list = bed.done("GET", V2, Value::Null).await;
    let hosts: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|item| &item["spec"]["host"]).collect();
    assert_eq!(hosts, ["h", "g"]);
    let chosen = bed.done("GET", &format!("{V2}?fieldSelector=spec.host=g"), Value::Null).await;
    assert_eq!(chosen["items"].as_array().unwrap().len(), 1);
    assert_eq!(chosen["items"][0]["metadata"]["name"], "b");
    let path = format!(
        "{V2}?watch=true&resourceVersion={}&timeoutSeconds=30",
        list["metadata"]["resourceVersion"].as_str().unwrap()
    );
    let mut watch = ferroflow_testkit::raw::Request::new("GET", &path).token(&bed.0.token()).open(bed.0.http()).await;
    bed.done("PATCH", &format!("{V1}/a"), json!({"spec": {"address": "x:9"}})).await;
    let mut seen = Vec::new();
    ferroflow_testkit::wait::eventually("the change is told", async {
        while !String::from_utf8_lossy(&seen).contains("\"host\":\"x\"") {
            let mut buffer = [0; 4096];
            let count = watch.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the watch ended: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..count]);
        }
    })
    .await;
    assert!(String::from_utf8_lossy(&seen).contains("hook.dev/v2"));
    bed.done("DELETE", &format!("{V2}/a"), Value::Null).await;
    assert_eq!(bed.send("GET", &format!("{V1}/a"), Value::Null).await.code, 404);
}

#[tokio::test]
async fn a_webhook_that_does_not_convert_is_told_of_and_its_definition_can_go() {
    let bed = Bed::start().await;
    let hook = Webhook::start(|_, _| Some(json!({"result": {"status": "Failure", "message": "broken"}}))).await;
    define(&bed, &hook).await;
    bed.done("POST", V1, car("v1", "a", json!({"address": "h:1"}))).await;
    assert_eq!(bed.done("GET", &format!("{V1}/a"), Value::Null).await["spec"]["address"], "h:1");
    let told = (500, "conversion webhook for hook.dev/v1, Kind=Car failed: broken".to_owned());
    assert_eq!(bed.refused("GET", &format!("{V2}/a"), Value::Null).await, told);
    assert_eq!(bed.refused("GET", V2, Value::Null).await, told);
    bed.done("DELETE", &format!("{DEFINITIONS}/cars.hook.dev"), Value::Null).await;
}
