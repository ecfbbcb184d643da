use serde_json::json;

use super::*;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn bytes(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn number(field: u64, value: i64) -> Vec<u8> {
    [varint(field << 3), varint(value as u64)].concat()
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), bytes(1, &meta), bytes(2, raw), bytes(3, b""), bytes(4, b"")].concat()
}

fn check(api_version: &str, kind: &str, raw: &[u8], expect: Value) {
    let (found_version, found_kind, value) = decode(&body(api_version, kind, raw)).unwrap();
    assert_eq!((found_version.as_str(), found_kind.as_str()), (api_version, kind));
    let mut expect = expect;
    expect["apiVersion"] = json!(api_version);
    expect["kind"] = json!(kind);
    assert_eq!(value, expect);
}

#[test]
fn zero_values_that_clients_send_are_dropped() {
    // As kubectl sends a namespace: empty strings, an empty creation time, an empty status.
    let meta = [bytes(1, b"demo"), bytes(2, b""), bytes(8, b"")].concat();
    let raw = [bytes(1, &meta), bytes(2, b""), bytes(3, &bytes(1, b""))].concat();
    check("v1", "Namespace", &raw, json!({"metadata": {"name": "demo"}, "spec": {}, "status": {}}));
}

#[test]
fn maps_become_objects_and_bytes_become_base64() {
    let entry = |key: &str, value: &[u8]| bytes(2, &[bytes(1, key.as_bytes()), bytes(2, value)].concat());
    let raw = [entry("b", b"\x00\xff"), entry("a", b"")].concat();
    check("v1", "Secret", &raw, json!({"metadata": {}, "data": {"a": "", "b": "AP8="}}));
}

#[test]
fn pointers_to_zero_stay() {
    let spec = number(1, 0);
    let raw = bytes(2, &spec);
    let (_, _, value) = decode(&body("apps/v1", "Deployment", &raw)).unwrap();
    assert_eq!(value["spec"]["replicas"], json!(0));
    assert_eq!(value["spec"].get("paused"), None);
    assert_eq!(value["spec"]["template"]["spec"]["containers"], Value::Null);
    assert_eq!(value["spec"]["strategy"], json!({}));
}

#[test]
fn negative_numbers_keep_their_sign() {
    let spec = number(25, -5);
    let (_, _, value) = decode(&body("v1", "Pod", &bytes(2, &spec))).unwrap();
    assert_eq!(value["spec"]["priority"], json!(-5));
}

#[test]
fn ports_are_numbers_or_names() {
    let port = |target: Vec<u8>| bytes(1, &[number(3, 80), bytes(4, &target)].concat());
    let spec =
        [port([number(1, 0), number(2, 8080)].concat()), port([number(1, 1), bytes(3, b"http")].concat())].concat();
    let (_, _, value) = decode(&body("v1", "Service", &bytes(2, &spec))).unwrap();
    assert_eq!(value["spec"]["ports"][0]["targetPort"], json!(8080));
    assert_eq!(value["spec"]["ports"][1]["targetPort"], json!("http"));
}

#[test]
fn quantities_take_their_canonical_form() {
    let entry = [bytes(1, b"cpu"), bytes(2, &bytes(1, b"0.5"))].concat();
    let spec = bytes(1, &entry);
    let (_, _, value) = decode(&body("v1", "ResourceQuota", &bytes(2, &spec))).unwrap();
    assert_eq!(value["spec"]["hard"], json!({"cpu": "500m"}));
}

#[test]
fn a_time_has_seconds_and_a_micro_time_six_digits() {
    let stamp = [number(1, 1_700_000_000), number(2, 123_456_789)].concat();
    let meta = bytes(8, &stamp);
    let spec = bytes(3, &stamp);
    let raw = [bytes(1, &meta), bytes(2, &spec)].concat();
    check(
        "coordination.k8s.io/v1",
        "Lease",
        &raw,
        json!({"metadata": {"creationTimestamp": "2023-11-14T22:13:20Z"},
               "spec": {"acquireTime": "2023-11-14T22:13:20.123456Z"}}),
    );
}

#[test]
fn inlined_messages_lie_in_the_outer_object() {
    let volume = [bytes(1, b"tmp"), bytes(2, &bytes(2, b""))].concat();
    let (_, _, value) = decode(&body("v1", "Pod", &bytes(2, &bytes(1, &volume)))).unwrap();
    assert_eq!(value["spec"]["volumes"], json!([{"name": "tmp", "emptyDir": {}}]));
}

#[test]
fn extra_values_are_unwrapped_from_their_message() {
    let extra = [bytes(1, b"scopes"), bytes(2, &[bytes(1, b"a"), bytes(1, b"b")].concat())].concat();
    let spec = [bytes(3, b"me"), bytes(5, &extra)].concat();
    let (_, _, value) = decode(&body("authorization.k8s.io/v1", "SubjectAccessReview", &bytes(2, &spec))).unwrap();
    assert_eq!(value["spec"]["extra"], json!({"scopes": ["a", "b"]}));
}

#[test]
fn schemas_of_definitions_decode_with_their_unions() {
    let text = |kind: &str| bytes(5, kind.as_bytes());
    let items = bytes(24, &bytes(1, &text("string")));
    let extra = bytes(30, &[number(1, 1), bytes(2, &text("integer"))].concat());
    let property = |name: &str, schema: &[u8]| bytes(29, &[bytes(1, name.as_bytes()), bytes(2, schema)].concat());
    let default = bytes(8, &bytes(1, b"{\"a\":1}"));
    let schema = [
        text("object"),
        property("list", &[text("array"), items].concat()),
        property("map", &[text("object"), extra, default].concat()),
    ]
    .concat();
    let version = [bytes(1, b"v1"), bytes(4, &bytes(1, &schema))].concat();
    let raw = bytes(2, &bytes(7, &version));
    let (_, _, value) = decode(&body("apiextensions.k8s.io/v1", "CustomResourceDefinition", &raw)).unwrap();
    assert_eq!(
        value["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
        json!({"type": "object", "properties": {
            "list": {"type": "array", "items": {"type": "string"}},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}, "default": {"a": 1}}}})
    );
}

#[test]
fn delete_options_decode_in_every_group() {
    let raw = [number(1, 0), bytes(4, b"Background")].concat();
    let expect = json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background"});
    check("apps/v1", "DeleteOptions", &raw, expect.clone());
    check("example.com/v1", "DeleteOptions", &raw, expect);
}

#[test]
fn unknown_numbers_are_passed_over() {
    let raw = [number(9_999, 1), bytes(9_998, b"x"), bytes(1, &bytes(1, b"a"))].concat();
    check("v1", "ConfigMap", &raw, json!({"metadata": {"name": "a"}}));
}

#[test]
fn bodies_that_are_no_protobuf_are_refused() {
    assert_eq!(decode(b"{}"), Err(Error::Prefix));
    assert_eq!(decode(b""), Err(Error::Prefix));
    assert_eq!(
        Error::Prefix.to_string(),
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    );
}

#[test]
fn kinds_without_a_shape_are_named() {
    let error = decode(&body("example.com/v1", "Thing", b"")).unwrap_err();
    assert_eq!(error, Error::UnknownKind { api_version: "example.com/v1".to_owned(), kind: "Thing".to_owned() });
}

#[test]
fn broken_bytes_are_refused() {
    let check = |raw: &[u8], expect: Error| assert_eq!(decode(&body("v1", "ConfigMap", raw)), Err(expect));
    check(&[0x0a, 0x05, 0x01], Error::UnexpectedEnd);
    check(&[0x0b], Error::WireType(3));
    check(&[0x02], Error::Tag { message: "ConfigMap".to_owned() });
    check(&[0xff; 11], Error::Overflow);
    check(&number(1, 1), Error::WrongType { field: "metadata".to_owned(), wire_type: 0 });
}

#[test]
fn a_body_of_many_small_messages_is_refused() {
    let spec = [0x12, 0x00].repeat(MAX_ITEMS + 1);
    assert_eq!(decode(&body("v1", "Pod", &bytes(2, &spec))), Err(Error::Items));
}

#[test]
fn a_body_that_nests_too_deep_is_refused() {
    let mut schema = Vec::new();
    for _ in 0..MAX_DEPTH + 10 {
        schema = bytes(28, &schema);
    }
    let raw = bytes(2, &bytes(7, &bytes(4, &bytes(1, &schema))));
    let found = decode(&body("apiextensions.k8s.io/v1", "CustomResourceDefinition", &raw));
    assert_eq!(found, Err(Error::Depth));
}

#[test]
fn durations_are_written_as_go_writes_them() {
    for (nanoseconds, expect) in [
        (0, "0s"),
        (1_500_000_000, "1.5s"),
        (60_000_000_000, "1m0s"),
        (5_400_000_000_000, "1h30m0s"),
        (-2_000_000, "-2ms"),
    ] {
        assert_eq!(
            special::scalar("x", Scalar::Duration, false, Payload::Bytes(&number(1, nanoseconds))),
            Ok(json!(expect))
        );
    }
}
