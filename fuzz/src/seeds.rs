//! The first inputs of each target, made from objects that the server accepts. Any target writes them all when it is
//! started with [`VARIABLE`] set.
//!
//! Protobuf bodies are encoded here by the numbers of the schema table, since the server itself only decodes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::Engine;
use serde_json::{Value, json};

use crate::{
    core::schema::{Field, Node, NodeId, Object, Scalar, Table},
    targets,
};

/// The directory that seeds are to be written to.
const VARIABLE: &str = "FERROFLOW_FUZZ_SEEDS";

const PATHS: [&str; 14] = [
    "/api",
    "/apis/apps/v1",
    "/api/v1/namespaces/default/pods/web-0",
    "/api/v1/pods?labelSelector=app%3Dweb&limit=500",
    "/apis/batch/v1/namespaces/default/jobs/mnist-demo/status",
    "/api/v1/watch/namespaces/default/pods",
    "/api/v1/namespaces/default/services/web:80/proxy/a/%2e%2e/b",
    "/openapi/v3/apis/apps/v1",
    "/api/v1/namespaces",
    "/api/v1/namespaces/default/finalize",
    "/api/v1/nodes/ferroflow/proxy/logs",
    "/version",
    "/%2e%2e/%00",
    "/api/v1/namespaces/default/pods?watch=1&resourceVersion=0&allowWatchBookmarks=true&timeoutSeconds=10",
];

const SELECTORS: [&str; 10] = [
    "app=web,tier!=back",
    "app in (a, b),!old",
    "x notin (y),z",
    "example.com/size>3,n<9",
    "metadata.name=web-0",
    "status.phase!=Running,spec.nodeName=",
    "type=kubernetes.io/tls",
    "metadata.name=a\\,b\\=c",
    r#"{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]}"#,
    "",
];

const PATCHES: [(u8, &str); 8] = [
    (0, r#"[{"op":"add","path":"/metadata/labels","value":{"a":"b"}},{"op":"test","path":"/kind","value":"Pod"}]"#),
    (0, r#"[{"op":"remove","path":"/spec"},{"op":"copy","from":"/metadata","path":"/spec"}]"#),
    (1, r#"{"metadata":{"annotations":{"a":"b"},"labels":null},"spec":{"replicas":3}}"#),
    (2, r#"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"x"},{"$patch":"delete","name":"d"}]}}}}"#),
    (
        2,
        r#"{"spec":{"containers":[{"name":"c","env":[{"name":"A","value":"1"}]}],"$setElementOrder/containers":[{"name":"c"}]}}"#,
    ),
    (
        2,
        r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["a/b"]},"spec":{"$retainKeys":["type"],"type":"Recreate"}}"#,
    ),
    (2, r#"{"spec":{"ports":[{"port":80,"protocol":"TCP"}],"$patch":"replace"}}"#),
    (2, r#"{"data":{"a":null,"b":"c"},"stringData":{"d":"e"}}"#),
];

const CRON_TAB: &str = r#"{"schema":{"type":"object","required":["spec"],"properties":{"spec":{"type":"object",
"x-kubernetes-validations":[{"rule":"self.min <= self.max","message":"min is too large"},{"rule":"self.names.all(n, n.size() < 9)"},
{"rule":"oldSelf.min == self.min"}],"properties":{"min":{"type":"integer","minimum":0,"default":1},"max":{"type":"integer",
"maximum":100},"cron":{"type":"string","pattern":"^(\\d+|\\*)(/\\d+)?$","maxLength":20},"names":{"type":"array","maxItems":9,
"x-kubernetes-list-type":"set","items":{"type":"string","enum":["a","b"],"maxLength":5}},"ports":{"type":"array",
"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["port"],"items":{"type":"object","required":["port"],
"properties":{"port":{"type":"integer","format":"int32"},"host":{"type":"string","format":"ipv4"}}}},"any":{
"x-kubernetes-preserve-unknown-fields":true},"size":{"x-kubernetes-int-or-string":true},"at":{"type":"string","format":"date-time",
"nullable":true},"more":{"type":"object","additionalProperties":{"type":"number","multipleOf":0.5}}},"oneOf":[{"required":["min"]},
{"required":["max"]}],"not":{"required":["never"]}}}},"object":{"apiVersion":"fuzz.example.com/v1","kind":"Thing","metadata":
{"name":"one","namespace":"default"},"spec":{"min":1,"cron":"*/5","names":["a"],"ports":[{"port":80,"host":"10.0.0.1"}],"any":{"x":[1]},
"size":"5%","at":"2024-01-01T00:00:00Z","more":{"a":1.5}}},"old":{"apiVersion":"fuzz.example.com/v1","kind":"Thing","metadata":
{"name":"one"},"spec":{"min":1,"max":7}}}"#;

const RULES: [&str; 8] = [
    "self.a.matches('^x+$') && self.b > 3",
    "has(self.a) ? self.a.startsWith('x') : true",
    "self.list.exists_one(e, e == 'a') || size(self.list) == 0",
    "quantity(self.a).isGreaterThan(quantity('1Gi'))",
    "duration('1h') > duration('5m') && timestamp('2024-01-01T00:00:00Z').getFullYear() == 2024",
    "self.a.split(',').map(x, x.trim()).join('-') == 'a-b'",
    "isURL(self.a) && url(self.a).getHost() != ''",
    "cidr('10.0.0.0/8').containsIP(ip(self.a)) || self.list == ['a', 'b'] + []",
];

/// Where seeds are asked for, writes them and ends the process.
pub fn write_if_asked() {
    let Some(root) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
    if let Err(error) = write_all(&root) {
        eprintln!("error: {}: {error}", root.display());
        std::process::exit(1);
    }
    std::process::exit(0);
}

fn write_all(root: &Path) -> std::io::Result<()> {
    write(root, "path", PATHS.iter().map(|path| path.as_bytes().to_vec()))?;
    let chosen = |texts: &'static [&'static str]| {
        texts.iter().zip(0_u8..).map(|(text, number)| [&[number], text.as_bytes()].concat())
    };
    write(root, "selector", chosen(&SELECTORS))?;
    let objects = targets::stored();
    let patches = PATCHES.iter().flat_map(|(kind, json)| {
        (0..3_u8).map(move |number| [&[*kind, number.wrapping_mul(7)], json.as_bytes()].concat())
    });
    // An object applied to itself is where server-side apply begins.
    let applied = objects
        .iter()
        .zip(0_u8..)
        .map(|(object, number)| [&[3 + 4 * (number % 2), number], object.to_string().as_bytes()].concat());
    write(root, "patch", patches.chain(applied))?;
    write(root, "protobuf", objects.iter().filter_map(body))?;
    write(root, "object", objects.iter().map(|object| object.to_string().into_bytes()))?;
    write(root, "definition", definitions())?;
    fs::write(root.join("words.dict"), dictionary())
}

fn write(root: &Path, target: &str, inputs: impl Iterator<Item = Vec<u8>>) -> std::io::Result<()> {
    let directory = root.join(target);
    fs::create_dir_all(&directory)?;
    for (number, input) in inputs.enumerate() {
        fs::write(directory.join(format!("seed-{number:03}")), input)?;
    }
    Ok(())
}

fn definitions() -> impl Iterator<Item = Vec<u8>> {
    let rules = RULES.iter().map(|rule| {
        let fields = json!({"a": {"type": "string", "maxLength": 20}, "b": {"type": "integer"},
            "list": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 5}}});
        let object = json!({"a": "10.0.0.1", "b": 4, "list": ["a", "b"]});
        let schema = json!({"type": "object", "x-kubernetes-validations": [{"rule": rule}], "properties": fields});
        let schema = json!({"type": "object", "properties": {"spec": schema}});
        json!({"schema": schema, "object": {"spec": object}, "old": {"spec": {}}}).to_string().into_bytes()
    });
    std::iter::once(CRON_TAB.as_bytes().to_vec()).chain(rules)
}

/// Names of fields and words of the formats, which chance would not find.
fn dictionary() -> String {
    let table = Table::builtin();
    let mut names: Vec<String> = table
        .nodes
        .iter()
        .flat_map(|node| match node {
            Node::Object(object) => object.fields.keys().map(|name| format!("\"\\\"{name}\\\":\"")).collect(),
            _ => Vec::new(),
        })
        .collect();
    let words = [
        "$patch",
        "$retainKeys",
        "$setElementOrder/",
        "$deleteFromPrimitiveList/",
        "replace",
        "delete",
        "merge",
        "metadata.name",
        " notin (",
        " in (",
        "%2f",
        "%2e%2e",
        "x-kubernetes-",
        "anyOf",
        "allOf",
        "pattern",
        "oldSelf",
        "self",
    ];
    names.extend(words.map(|word| format!("\"{word}\"")));
    names.sort();
    names.dedup();
    names.into_iter().map(|name| name + "\n").collect()
}

/// A body as clients send one.
fn body(object: &Value) -> Option<Vec<u8>> {
    let (api_version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let table = Table::builtin();
    let shape = table.object(table.kind(group, version, kind)?)?;
    let meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    let raw = message(table, shape, object);
    Some([b"k8s\0".to_vec(), bytes(1, &meta), bytes(2, &raw), bytes(3, b""), bytes(4, b"")].concat())
}

fn message(table: &Table, shape: &Object, object: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, field) in shape.fields.iter().filter(|(_, field)| field.proto_number > 0) {
        if let Some(value) = object.get(name) {
            out.extend(values(table, field, value));
        }
    }
    for (number, inline) in &shape.inline {
        if let Some(inline) = table.object(*inline) {
            out.extend(bytes(*number, &message(table, inline, object)));
        }
    }
    out
}

fn values(table: &Table, field: &Field, value: &Value) -> Vec<u8> {
    let number = field.proto_number;
    match (table.node(field.node), value) {
        (Node::List { items, .. }, Value::Array(list)) => {
            list.iter().flat_map(|item| single(table, *items, number, item)).collect()
        }
        (Node::Map { values, .. }, Value::Object(map)) => {
            let entry = |(key, value): (&String, &Value)| {
                bytes(number, &[bytes(1, key.as_bytes()), single(table, *values, 2, value)].concat())
            };
            map.iter().flat_map(entry).collect()
        }
        _ => single(table, field.node, number, value),
    }
}

fn single(table: &Table, node: NodeId, number: u32, value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    match table.node(node) {
        Node::Object(shape) => bytes(number, &message(table, shape, value)),
        Node::Any => bytes(number, &bytes(1, value.to_string().as_bytes())),
        Node::Scalar(Scalar::Integer) => tagged(number, value.as_i64().unwrap_or_default().cast_unsigned()),
        Node::Scalar(Scalar::Boolean) => tagged(number, u64::from(value.as_bool().unwrap_or_default())),
        Node::Scalar(Scalar::Quantity) => bytes(number, &bytes(1, text.as_bytes())),
        Node::Scalar(Scalar::Bytes) => {
            bytes(number, &base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default())
        }
        Node::Scalar(Scalar::IntOrString) => {
            let inner = match value.as_i64() {
                Some(integer) => [tagged(1, 0), tagged(2, integer.cast_unsigned())].concat(),
                None => [tagged(1, 1), bytes(3, text.as_bytes())].concat(),
            };
            bytes(number, &inner)
        }
        Node::Scalar(Scalar::Time | Scalar::MicroTime) => {
            bytes(number, &[tagged(1, 1_700_000_000), tagged(2, 5)].concat())
        }
        Node::Scalar(Scalar::Duration) => bytes(number, &tagged(1, 5_000_000_000)),
        _ => bytes(number, text.as_bytes()),
    }
}

fn tagged(number: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value)].concat()
}

fn bytes(number: u32, content: &[u8]) -> Vec<u8> {
    let length = u64::try_from(content.len()).unwrap_or_default();
    [varint(u64::from(number) << 3 | 2), varint(length), content.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
    out
}
