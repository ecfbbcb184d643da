//! Bodies: too long, too deep, of the wrong type, kind, encoding or size of number.

use ferroflow_testkit::{objects::definition, raw::Request};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    CONFIG_MAPS,
    Expect::{self, Answer, Code, Refusal},
    Target, config_map,
};

const LIMIT_BYTES: usize = 3 << 20;

fn of_length(bytes: usize) -> String {
    let mut object = config_map("long");
    object["data"] = json!({"a": ""});
    let rest = bytes - object.to_string().len();
    object["data"]["a"] = "x".repeat(rest).into();
    object.to_string()
}

#[tokio::test]
async fn a_body_of_more_than_three_mebibytes_is_413() {
    let mut target = Target::start().await;
    let too_long = of_length(LIMIT_BYTES + 1);
    let rows = [
        ("POST", CONFIG_MAPS.to_owned(), "application/json"),
        ("PUT", format!("{CONFIG_MAPS}/long"), "application/json"),
        ("PATCH", format!("{CONFIG_MAPS}/long"), "application/merge-patch+json"),
        ("PATCH", format!("{CONFIG_MAPS}/long?fieldManager=a"), "application/apply-patch+yaml"),
        ("DELETE", format!("{CONFIG_MAPS}/long"), "application/json"),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(), "application/json"),
    ];
    for (method, path, content_type) in rows {
        let request = Request::new(method, &path).body(content_type, too_long.clone());
        target.expect(&format!("{method} {content_type}"), request, Code(413)).await;
    }
    let longest = Request::new("POST", CONFIG_MAPS).body("application/json", of_length(LIMIT_BYTES));
    let answer = target.expect("just the limit", longest, Code(422)).await;
    assert!(answer.text().contains("Too long: may not be more than 1048576 bytes"), "{}", answer.text());
    target.done().await;
}

#[tokio::test]
async fn a_body_without_end_is_413_before_it_fills_the_memory() {
    let target = Target::start().await;
    let request = Request::new("POST", CONFIG_MAPS)
        .header("Transfer-Encoding", "chunked")
        .header("Content-Type", "application/json")
        .token(&target.cluster.token());
    let (mut reader, mut writer) = request.open(target.cluster.http()).await.into_split();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut sent = 0;
    // Ends when the server closes; 64 MiB would be 1,024 chunks.
    let write = async {
        while sent < 1024 && writer.write_all(chunk.as_bytes()).await.is_ok() {
            sent += 1;
        }
    };
    let mut answer = Vec::new();
    // The system may drop the answer with what the server has not read.
    let _ = tokio::join!(write, reader.read_to_end(&mut answer));
    assert!(sent < 1024, "the server read {sent} chunks of 64 KiB");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
    target.done().await;
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{}{}", open.repeat(depth), close.repeat(depth))
}

#[tokio::test]
async fn deep_nesting_is_refused_and_not_recursed_into() {
    let mut target = Target::start().await;
    let deep = [
        ("lists", nested("[", "]", 200_000)),
        ("objects", format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000))),
        (
            "an object's data",
            format!("{{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"data\":{}}}", nested("[", "]", 100_000)),
        ),
        ("open lists", "[".repeat(500_000)),
    ];
    let existing = Request::new("POST", CONFIG_MAPS).json(&config_map("one"));
    target.expect("create", existing, Code(201)).await;
    let one = format!("{CONFIG_MAPS}/one");
    let sends = [
        ("POST", CONFIG_MAPS.to_owned(), "application/json"),
        ("POST", CONFIG_MAPS.to_owned(), "application/yaml"),
        ("PUT", one.clone(), "application/json"),
        ("PATCH", one.clone(), "application/merge-patch+json"),
        ("PATCH", one.clone(), "application/strategic-merge-patch+json"),
        ("PATCH", one.clone(), "application/json-patch+json"),
        ("PATCH", format!("{one}?fieldManager=a&force=true"), "application/apply-patch+yaml"),
        ("DELETE", one.clone(), "application/json"),
        ("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(), "application/json"),
    ];
    for (name, body) in &deep {
        for (method, path, content_type) in &sends {
            let request = Request::new(method, path).body(content_type, body.clone());
            // Upstream has no reason for options that it cannot read: 500.
            let due = if *method == "DELETE" { Code(500) } else { Refusal };
            target.expect(&format!("{method} {content_type} of {name}"), request, due).await;
        }
    }
    target.done().await;
}

#[tokio::test]
async fn a_definition_of_deep_schemas_is_answered() {
    let mut target = Target::start().await;
    for depth in [10, 30, 60, 120] {
        let mut schema = json!({"type": "string"});
        for level in 0..depth {
            schema = match level % 3 {
                0 => json!({"type": "object", "properties": {"a": schema}}),
                1 => json!({"type": "array", "items": schema}),
                _ => json!({"type": "object", "additionalProperties": schema}),
            };
        }
        let schema = json!({"type": "object", "properties": {"spec": schema}});
        let mut object = serde_json::to_value(definition("deeps", "Deep")).unwrap();
        object["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema;
        object["spec"]["versions"][0].as_object_mut().unwrap().remove("subresources");
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        target.expect(&format!("depth {depth}"), Request::new("POST", path).json(&object), Answer).await;
        let name = format!("{path}/deeps.testkit.dev");
        target.expect("delete", Request::new("DELETE", &name), Answer).await;
    }
    target.done().await;
}

#[tokio::test]
async fn numbers_that_fit_nowhere_are_refused() {
    let mut target = Target::start().await;
    let deployment = |replicas: &str| {
        format!(
            "{{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{{\"name\":\"d\"}},\"spec\":{{\"replicas\":\
             {replicas},\"selector\":{{\"matchLabels\":{{\"a\":\"b\"}}}},\"template\":{{\"metadata\":{{\"labels\":\
             {{\"a\":\"b\"}}}},\"spec\":{{\"containers\":[{{\"name\":\"c\",\"image\":\"i\"}}]}}}}}}}}"
        )
    };
    let digits = "9".repeat(100_000);
    let numbers =
        ["1e400", "-1e400", "1e-400000", "99999999999999999999", "2147483648", "-2147483649", "1.5", "0x10", &digits];
    for number in numbers {
        let shown: String = number.chars().take(24).collect();
        let request = Request::new("POST", "/apis/apps/v1/namespaces/default/deployments");
        let request = request.body("application/json", deployment(number));
        target.expect(&format!("replicas {shown}"), request, Refusal).await;
        let patch = format!("{{\"metadata\":{{\"generation\":{number}}},\"data\":{{\"a\":{number}}}}}");
        let request = Request::new("PATCH", &format!("{CONFIG_MAPS}/none"));
        target.expect(&format!("patch {shown}"), request.body("application/merge-patch+json", patch), Refusal).await;
    }
    let quantities =
        ["1e999999999999", "-1", "1Ki1", "", "٣", "1e", ".", "+", "1EiB", "0x1", "NaN", "Infinity", &digits];
    for quantity in quantities {
        let shown: String = quantity.chars().take(24).collect();
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"generateName": "c-"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": quantity}}}});
        let request = Request::new("POST", "/api/v1/namespaces/default/persistentvolumeclaims").json(&claim);
        let expect = if quantity == digits || quantity == "1e999999999999" { Answer } else { Refusal };
        target.expect(&format!("storage {shown:?}"), request, expect).await;
    }
    target.done().await;
}

#[tokio::test]
async fn bodies_of_the_wrong_kind_or_encoding_are_refused() {
    let mut target = Target::start().await;
    let json = "application/json";
    let protobuf = "application/vnd.kubernetes.protobuf";
    let rows: Vec<(&str, Vec<u8>, Expect)> = vec![
        (json, b"".to_vec(), Refusal),
        (json, b"null".to_vec(), Refusal),
        (json, b"42".to_vec(), Refusal),
        (json, b"[]".to_vec(), Refusal),
        (json, b"\"text\"".to_vec(), Refusal),
        (json, b"{".to_vec(), Code(400)),
        (json, b"{}".to_vec(), Refusal),
        (json, b"{\"a\":1,\"a\":2}".to_vec(), Refusal),
        (json, b"\xff\xfe{}".to_vec(), Code(400)),
        (json, b"{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"\xff\"}}".to_vec(), Refusal),
        (json, b"{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"\\ud800\"}}".to_vec(), Refusal),
        (
            json,
            b"{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\\u0000b\"}}".to_vec(),
            Code(422),
        ),
        (json, json!({"kind": "Pod", "apiVersion": "v1"}).to_string().into(), Code(400)),
        (json, json!({"kind": "ConfigMap", "apiVersion": "v2"}).to_string().into(), Code(400)),
        (json, json!({"kind": "ConfigMap", "apiVersion": 1}).to_string().into(), Code(400)),
        (json, json!({"kind": [], "apiVersion": "v1"}).to_string().into(), Code(400)),
        (json, json!({"kind": "ConfigMapList", "apiVersion": "v1", "items": []}).to_string().into(), Code(400)),
        (json, with("metadata", json!([])), Code(400)),
        (json, with("metadata", json!("text")), Code(400)),
        (json, with("metadata", Value::Null), Code(422)),
        (json, with("metadata", json!({"name": 3})), Code(400)),
        (json, with("metadata", json!({"name": "a", "labels": 3})), Code(400)),
        (json, with("metadata", json!({"name": "a", "labels": {"a": 3}})), Code(400)),
        (json, with("metadata", json!({"name": "a", "creationTimestamp": "yesterday"})), Code(400)),
        (json, with("metadata", json!({"name": "a", "ownerReferences": [null]})), Refusal),
        (json, with("metadata", json!({"name": "a", "managedFields": [{"fieldsV1": "x"}]})), Answer),
        (json, with("data", json!([1, 2])), Code(400)),
        (json, with("binaryData", json!({"a": "%%%"})), Code(400)),
        ("application/yaml", b"a: [".to_vec(), Code(400)),
        ("application/yaml", b"&a [*a, *a]".to_vec(), Refusal),
        ("application/yaml", billion_laughs(), Refusal),
        (protobuf, b"".to_vec(), Refusal),
        (protobuf, b"k8s\0".to_vec(), Refusal),
        (protobuf, b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), Refusal),
        (protobuf, [b"k8s\0\x12".as_slice(), &[0xff; 9], &[0x01]].concat(), Refusal),
        (protobuf, b"{}".to_vec(), Refusal),
        ("text/html", b"<html>".to_vec(), Code(415)),
        ("application/json; charset=\"", b"{}".to_vec(), Refusal),
        ("application/xml", b"<a/>".to_vec(), Code(415)),
        ("nonsense", b"{}".to_vec(), Code(415)),
        ("application/cbor", b"\xd9\xd9\xf7\xa0".to_vec(), Code(415)),
    ];
    for (number, (content_type, body, expect)) in rows.into_iter().enumerate() {
        let shown: String = String::from_utf8_lossy(&body).chars().take(100).collect();
        let request = Request::new("POST", CONFIG_MAPS).body(content_type, body);
        target.expect(&format!("row {number}, {content_type} {shown}"), request, expect).await;
    }
    target.done().await;
}

fn with(field: &str, value: Value) -> Vec<u8> {
    let mut object = config_map("a");
    object[field] = value;
    object.to_string().into_bytes()
}

fn billion_laughs() -> Vec<u8> {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(",")));
    }
    text.push_str("kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n");
    text.into_bytes()
}

/// Rows with a 500 are what a kube-apiserver 1.34 answers, word for word; it blames itself there.
#[tokio::test]
async fn patches_that_make_no_sense_are_refused() {
    let mut target = Target::start().await;
    let created = Request::new("POST", CONFIG_MAPS).json(&config_map("one"));
    target.expect("create", created, Code(201)).await;
    let rows: Vec<(&str, Vec<u8>, Expect)> = vec![
        ("application/json-patch+json", b"{}".to_vec(), Code(400)),
        ("application/json-patch+json", b"[{}]".to_vec(), Refusal),
        ("application/json-patch+json", br#"[{"op":"jump","path":"/a"}]"#.to_vec(), Refusal),
        ("application/json-patch+json", br#"[{"op":"remove","path":"no/slash"}]"#.to_vec(), Refusal),
        ("application/json-patch+json", br#"[{"op":"remove","path":""}]"#.to_vec(), Refusal),
        ("application/json-patch+json", br#"[{"op":"replace","path":"","value":3}]"#.to_vec(), Refusal),
        ("application/json-patch+json", br#"[{"op":"replace","path":"/kind","value":"Pod"}]"#.to_vec(), Refusal),
        (
            "application/json-patch+json",
            br#"[{"op":"replace","path":"/metadata/name","value":"b"}]"#.to_vec(),
            Code(400),
        ),
        (
            "application/json-patch+json",
            br#"[{"op":"move","from":"/metadata","path":"/metadata/labels"}]"#.to_vec(),
            Refusal,
        ),
        (
            "application/json-patch+json",
            br#"[{"op":"add","path":"/metadata/labels/99999999999999999999","value":"b"}]"#.to_vec(),
            Refusal,
        ),
        ("application/json-patch+json", copies(), Refusal),
        ("application/merge-patch+json", b"[]".to_vec(), Refusal),
        ("application/merge-patch+json", b"null".to_vec(), Answer),
        ("application/merge-patch+json", br#"{"metadata":null}"#.to_vec(), Refusal),
        ("application/merge-patch+json", br#"{"kind":"Pod"}"#.to_vec(), Refusal),
        ("application/strategic-merge-patch+json", br#"{"metadata":{"$patch":"nonsense"}}"#.to_vec(), Code(500)),
        (
            "application/strategic-merge-patch+json",
            br#"{"metadata":{"ownerReferences":[{"$patch":"delete"}]}}"#.to_vec(),
            Code(200),
        ),
        (
            "application/strategic-merge-patch+json",
            br#"{"metadata":{"$setElementOrder/ownerReferences":3}}"#.to_vec(),
            Code(500),
        ),
        ("application/strategic-merge-patch+json", br#"{"metadata":{"$retainKeys":3}}"#.to_vec(), Refusal),
        ("application/apply-patch+yaml", b"[".to_vec(), Code(400)),
        ("application/apply-patch+yaml", b"kind: Pod\napiVersion: v1".to_vec(), Code(400)),
        ("application/apply-patch+yaml", b"kind: ConfigMap\napiVersion: v1\nmetadata: {name: two}".to_vec(), Code(400)),
        (
            "application/apply-patch+yaml",
            b"kind: ConfigMap\napiVersion: v1\nmetadata: {name: one}\nnone: 1".to_vec(),
            Code(500),
        ),
        ("application/apply-patch+cbor", b"\xd9\xd9\xf7\xa0".to_vec(), Code(415)),
        ("application/json", b"{}".to_vec(), Code(415)),
    ];
    for (number, (content_type, body, expect)) in rows.into_iter().enumerate() {
        let shown: String = String::from_utf8_lossy(&body).chars().take(100).collect();
        let path = format!("{CONFIG_MAPS}/one?fieldManager=a");
        let request = Request::new("PATCH", &path).body(content_type, body);
        target.expect(&format!("row {number}, {content_type} {shown}"), request, expect).await;
    }
    let nothing_changed = Request::new("GET", &format!("{CONFIG_MAPS}/one"));
    let answer = target.expect("get", nothing_changed, Code(200)).await;
    assert_eq!(answer.json()["kind"], "ConfigMap");
    target.done().await;
}

/// Each operation doubles the object.
fn copies() -> Vec<u8> {
    let mut operations = vec![json!({"op": "add", "path": "/data", "value": {"a": "x".repeat(1000)}})];
    for level in 0..60 {
        operations.push(json!({"op": "copy", "from": "/data", "path": format!("/data/k{level}")}));
    }
    Value::Array(operations).to_string().into_bytes()
}
