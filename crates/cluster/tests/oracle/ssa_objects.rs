//! Random objects for `ssa`: within a schema, over small pools of names and values, so that writers meet.

use ferroflow_cluster::core::schema::{ListType, MapType, Node, NodeId, Object, Scalar, Table};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Map, Value, json};

/// Deep enough for `spec.template.spec.containers[].ports[].hostPort` and a bit more.
const MAX_DEPTH: usize = 9;
const NAMES: &[&str] = &["a", "b", "c", "x-y", "a<b", "é.f/g"];

/// A kind with its schema.
pub struct Kind {
    pub api_version: String,
    pub kind: String,
    /// Null for built-in kinds.
    pub schema: Value,
    pub node: NodeId,
    custom: Option<Table>,
}

impl Kind {
    /// A built-in kind where the schema is null, else a custom one.
    pub fn new(group: &str, version: &str, kind: &str, schema: Value) -> Self {
        let custom = (!schema.is_null()).then(|| Table::from_crd(&schema, group, version, kind));
        let table = custom.as_ref().unwrap_or_else(|| Table::builtin());
        let node = table.kind(group, version, kind).expect("a known kind");
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        Self { api_version, kind: kind.to_owned(), schema, node, custom }
    }

    pub fn table(&self) -> &Table {
        self.custom.as_ref().unwrap_or_else(|| Table::builtin())
    }
}

const BUILTIN: &[(&str, &str, &str)] = &[
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "ControllerRevision"),
    ("batch", "v1", "Job"),
    ("batch", "v1", "CronJob"),
    ("", "v1", "Pod"),
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("", "v1", "Service"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Secret"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "Node"),
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "PersistentVolume"),
    ("", "v1", "Event"),
    ("", "v1", "LimitRange"),
    ("", "v1", "Endpoints"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
    ("discovery.k8s.io", "v1", "EndpointSlice"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"),
    ("storage.k8s.io", "v1", "StorageClass"),
];

/// All kinds that cases are about.
pub fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (group, version, kind) in BUILTIN {
        kinds.push(Kind::new(group, version, kind, Value::Null));
    }
    for (position, schema) in custom_schemas().into_iter().enumerate() {
        for _ in 0..2 {
            kinds.push(Kind::new("example.com", "v1", &format!("Thing{position}"), schema.clone()));
        }
    }
    kinds
}

fn custom_schemas() -> Vec<Value> {
    let text = json!({ "type": "string" });
    let int = json!({ "type": "integer" });
    let item = json!({ "type": "object", "properties": {
        "name": text, "port": int, "protocol": { "type": "string", "default": "TCP" }, "value": text,
        "tags": { "type": "array", "items": text, "x-kubernetes-list-type": "set" },
        "extra": { "type": "object", "additionalProperties": text },
    }});
    let keyed = |keys: Value| json!({ "type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys });
    vec![
        json!({ "type": "object", "properties": {
            "spec": { "type": "object", "properties": {
                "byName": keyed(json!(["name"])), "byPort": keyed(json!(["port", "protocol"])),
                "numbers": { "type": "array", "items": { "type": "number" }, "x-kubernetes-list-type": "set" },
                "flags": { "type": "array", "items": { "type": "boolean" }, "x-kubernetes-list-type": "set" },
                "plain": { "type": "array", "items": item },
                "whole": { "type": "object", "x-kubernetes-map-type": "atomic", "properties": { "a": text, "b": int } },
                "labels": { "type": "object", "additionalProperties": text },
                "atomicLabels": { "type": "object", "additionalProperties": text, "x-kubernetes-map-type": "atomic" },
                "nested": { "type": "object", "additionalProperties": item },
                "replicas": int,
            }},
            "status": { "type": "object", "properties": { "conditions": keyed(json!(["name"])), "phase": text }},
        }}),
        json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
        json!({ "type": "object", "properties": {
            "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                "known": { "type": "object", "properties": { "a": text, "b": { "type": "array", "items": text }}},
                "byName": keyed(json!(["name"])),
            }},
            "any": { "x-kubernetes-preserve-unknown-fields": true },
            "port": { "x-kubernetes-int-or-string": true },
            "ports": { "type": "object", "additionalProperties": { "x-kubernetes-int-or-string": true }},
            "free": { "type": "object" },
            "freeMap": { "type": "object", "additionalProperties": true },
            "nullable": { "type": "object", "nullable": true, "properties": { "a": text }},
        }}),
        json!({ "type": "object", "properties": {
            "spec": { "type": "object", "properties": {
                "template": { "type": "object", "x-kubernetes-embedded-resource": true, "properties": { "spec": { "type": "object", "properties": { "a": text }}}},
                "outer": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": { "type": "object", "required": ["name"], "properties": { "name": text, "inner": keyed(json!(["name"])),
                        "sets": { "type": "array", "items": int, "x-kubernetes-list-type": "set" }}}},
                "defaulted": { "type": "object", "default": {}, "properties": { "deep": { "type": "object", "properties": { "a": text }}}},
            }},
        }}),
    ]
}

/// A random object of a kind, named and typed.
pub fn random_object(kind: &Kind, rng: &mut StdRng) -> Value {
    let mut object = match random_value(kind.table(), kind.node, 0, rng) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    identify(kind, &mut object);
    Value::Object(object)
}

fn identify(kind: &Kind, object: &mut Map<String, Value>) {
    object.insert("apiVersion".to_owned(), json!(kind.api_version));
    object.insert("kind".to_owned(), json!(kind.kind));
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    if let Value::Object(metadata) = metadata {
        metadata.retain(|name, _| matches!(name.as_str(), "labels" | "annotations" | "finalizers" | "ownerReferences"));
        metadata.insert("name".to_owned(), json!("x"));
        metadata.insert("namespace".to_owned(), json!("n"));
    }
}

fn random_value(table: &Table, node: NodeId, depth: usize, rng: &mut StdRng) -> Value {
    match table.node(node) {
        Node::Any => random_json(2, rng),
        Node::Scalar(scalar) => random_scalar(*scalar, rng),
        Node::List { .. } | Node::Map { .. } | Node::Object(_) if depth >= MAX_DEPTH => empty_of(table.node(node)),
        Node::List { items, list_type } => random_list(table, *items, list_type, depth, rng),
        Node::Map { values, .. } => {
            let count = rng.random_range(0..4);
            (0..count).map(|_| (pick(NAMES, rng), random_value(table, *values, depth + 1, rng))).collect()
        }
        Node::Object(object) => Value::Object(random_fields(table, object, depth, rng)),
    }
}

fn empty_of(node: &Node) -> Value {
    if matches!(node, Node::List { .. }) { json!([]) } else { json!({}) }
}

fn random_fields(table: &Table, object: &Object, depth: usize, rng: &mut StdRng) -> Map<String, Value> {
    let mut fields = Map::new();
    // Ways into the depth are taken more often than scalars, of which there are many more.
    let mut names: Vec<&String> = Vec::new();
    for (name, field) in &object.fields {
        let weight = match table.node(field.node) {
            Node::List { list_type: ListType::Map(_) | ListType::Set, .. } => 6,
            Node::Object(Object { map_type: MapType::Granular, .. }) => 3,
            Node::Map { .. } => 4,
            _ => 1,
        };
        // Entries of nested metadata hold free-form JSON that must be an object.
        let weight = if name == "managedFields" { 0 } else { weight };
        let weight = if name == "spec" || name == "template" || name == "containers" { weight * 4 } else { weight };
        names.extend(std::iter::repeat_n(name, weight));
    }
    for _ in 0..rng.random_range(1..6) {
        if names.is_empty() {
            break;
        }
        let name = names[rng.random_range(0..names.len())];
        let value = random_value(table, object.fields[name].node, depth + 1, rng);
        fields.insert(name.clone(), value);
    }
    if object.preserve_unknown || object.fields.is_empty() {
        for _ in 0..rng.random_range(0..3) {
            let name = format!("u{}", rng.random_range(0..3));
            if !object.fields.contains_key(&name) {
                fields.insert(name, random_json(2, rng));
            }
        }
    }
    fields
}

fn random_list(table: &Table, items: NodeId, list_type: &ListType, depth: usize, rng: &mut StdRng) -> Value {
    let mut list: Vec<Value> = Vec::new();
    for _ in 0..rng.random_range(0..4) {
        let mut item = random_value(table, items, depth + 1, rng);
        if let (ListType::Map(keys), Node::Object(object), Value::Object(fields)) =
            (list_type, table.node(items), &mut item)
        {
            for key in keys {
                let Some(field) = object.fields.get(key) else { continue };
                if field.default.is_none() || rng.random_bool(0.7) {
                    fields.insert(key.clone(), random_value(table, field.node, depth + 2, rng));
                } else {
                    fields.remove(key);
                }
            }
        }
        list.push(item);
    }
    without_repeats(table, items, list_type, &mut list);
    Value::Array(list)
}

/// Drops items that have the key of an earlier one.
fn without_repeats(table: &Table, items: NodeId, list_type: &ListType, list: &mut Vec<Value>) {
    let mut seen: Vec<Value> = Vec::new();
    list.retain(|item| {
        let key = match list_type {
            ListType::Atomic => return true,
            ListType::Set => number_free(item),
            ListType::Map(keys) => keys.iter().map(|key| number_free(&key_of(table, items, item, key))).collect(),
        };
        let fresh = !seen.contains(&key);
        seen.push(key);
        fresh
    });
}

fn key_of(table: &Table, items: NodeId, item: &Value, key: &str) -> Value {
    let default = table.object(items).and_then(|object| object.fields.get(key)).and_then(|field| field.default.clone());
    item.get(key).cloned().or(default).unwrap_or_default()
}

/// `1` and `1.0` are one key.
fn number_free(value: &Value) -> Value {
    match value.as_f64() {
        Some(number) => json!(number),
        None => value.clone(),
    }
}

fn pick(pool: &[&str], rng: &mut StdRng) -> String {
    pool[rng.random_range(0..pool.len())].to_owned()
}

fn random_scalar(scalar: Scalar, rng: &mut StdRng) -> Value {
    match scalar {
        Scalar::String => json!(pick(NAMES, rng)),
        Scalar::Bytes => json!(pick(&["YQ==", "Yg=="], rng)),
        Scalar::Duration => json!(pick(&["1h", "2m"], rng)),
        Scalar::Integer => json!([0, 1, 2, 80, 1_000_000][rng.random_range(0..5)]),
        Scalar::Number => [json!(1), json!(1.5), json!(2.0), json!(0.000_01)][rng.random_range(0..4)].clone(),
        Scalar::Boolean => json!(rng.random_bool(0.5)),
        Scalar::IntOrString => [json!(80), json!("http"), json!("25%")][rng.random_range(0..3)].clone(),
        Scalar::Quantity => [json!("1"), json!("100m"), json!(1), json!("1Gi")][rng.random_range(0..4)].clone(),
        Scalar::Time | Scalar::MicroTime => json!(pick(&["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"], rng)),
    }
}

fn random_json(depth: usize, rng: &mut StdRng) -> Value {
    match rng.random_range(0..if depth == 0 { 4 } else { 7 }) {
        0 => json!(pick(NAMES, rng)),
        1 => json!(rng.random_range(0..3)),
        2 => json!(rng.random_bool(0.5)),
        3 => json!(1.5),
        4 => (0..rng.random_range(0..3)).map(|_| random_json(depth - 1, rng)).collect(),
        _ => (0..rng.random_range(0..3)).map(|_| (pick(NAMES, rng), random_json(depth - 1, rng))).collect(),
    }
}

/// Another object like this one: parts left out, values changed, items moved.
pub fn variant(kind: &Kind, object: &Value, rng: &mut StdRng) -> Value {
    let mut fields = match vary(kind.table(), kind.node, object, 0, rng) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    identify(kind, &mut fields);
    Value::Object(fields)
}

fn vary(table: &Table, node: NodeId, value: &Value, depth: usize, rng: &mut StdRng) -> Value {
    if rng.random_bool(0.004) {
        return [json!(null), empty_of(table.node(node))][usize::from(!matches!(table.node(node), Node::Scalar(_)))]
            .clone();
    }
    match (table.node(node), value) {
        (Node::Object(object), Value::Object(fields)) => vary_object(table, object, fields, depth, rng),
        (Node::Map { values, .. }, Value::Object(fields)) => {
            let mut varied: Map<String, Value> = Map::new();
            for (name, value) in fields {
                if rng.random_bool(0.8) {
                    varied.insert(name.clone(), vary(table, *values, value, depth + 1, rng));
                }
            }
            if rng.random_bool(0.15) {
                varied.insert(pick(NAMES, rng), random_value(table, *values, depth + 1, rng));
            }
            Value::Object(varied)
        }
        (Node::List { items, list_type }, Value::Array(list)) => {
            let mut varied: Vec<Value> = Vec::new();
            for item in list {
                if rng.random_bool(0.8) {
                    varied.push(vary_item(table, *items, list_type, item, depth, rng));
                }
            }
            if rng.random_bool(0.15)
                && let Value::Array(fresh) = random_list(table, *items, list_type, depth, rng)
            {
                varied.extend(fresh);
            }
            if rng.random_bool(0.25) {
                varied.shuffle(rng);
            }
            without_repeats(table, *items, list_type, &mut varied);
            Value::Array(varied)
        }
        _ if rng.random_bool(0.2) => random_value(table, node, depth, rng),
        _ => value.clone(),
    }
}

fn vary_object(table: &Table, object: &Object, fields: &Map<String, Value>, depth: usize, rng: &mut StdRng) -> Value {
    let mut varied = Map::new();
    let keep = if depth < 2 { 0.95 } else { 0.8 };
    for (name, value) in fields {
        if !rng.random_bool(keep) {
            continue;
        }
        let value = match object.fields.get(name) {
            Some(field) => vary(table, field.node, value, depth + 1, rng),
            None if rng.random_bool(0.2) => random_json(1, rng),
            None => value.clone(),
        };
        varied.insert(name.clone(), value);
    }
    if depth < MAX_DEPTH && rng.random_bool(0.05) {
        for (name, value) in random_fields(table, object, depth, rng) {
            varied.entry(name).or_insert(value);
        }
    }
    Value::Object(varied)
}

/// An item keeps its keys.
fn vary_item(
    table: &Table,
    items: NodeId,
    list_type: &ListType,
    item: &Value,
    depth: usize,
    rng: &mut StdRng,
) -> Value {
    let mut varied = vary(table, items, item, depth + 1, rng);
    if let (ListType::Map(keys), Value::Object(fields)) = (list_type, &mut varied) {
        for key in keys {
            match item.get(key) {
                Some(value) => fields.insert(key.clone(), value.clone()),
                None => fields.remove(key),
            };
        }
    }
    if varied.is_null() && *list_type != ListType::Atomic { item.clone() } else { varied }
}

/// Breaks one thing that server-side apply must refuse.
pub fn spoil(kind: &Kind, object: &mut Value, rng: &mut StdRng) {
    match rng.random_range(0..8) {
        0 => object["metadata"]["managedFields"] = json!([]),
        1 => object["kind"] = json!("Other"),
        2 => object["metadata"]["labels"] = json!("text"),
        3 => object["metadata"]["labels"] = json!({ "a": { "b": 1 } }),
        4 => object["metadata"]["undeclared"] = json!(1),
        5 => object["metadata"]["finalizers"] = json!(["a", "a"]),
        6 => object["metadata"]["ownerReferences"] = json!([{ "name": "a" }, null]),
        _ => {
            let mut places = Vec::new();
            breakable(kind.table(), kind.node, object, &mut Vec::new(), &mut places);
            if places.is_empty() {
                object["metadata"]["generation"] = json!("1");
                return;
            }
            let pointer = &places[rng.random_range(0..places.len())];
            if let Some(place) = object.pointer_mut(pointer) {
                *place = match place {
                    Value::Array(items) if !items.is_empty() && rng.random_bool(0.5) => {
                        items.push(items[0].clone());
                        return;
                    }
                    Value::Array(_) => json!({ "a": 1 }),
                    Value::Object(_) => json!([1, "a"]),
                    Value::Bool(_) => json!("true"),
                    Value::Number(_) => json!("1"),
                    _ => json!(1.5),
                };
            }
        }
    }
}

/// Repeats an item of some list, which stored objects may hold.
pub fn repeat_items(kind: &Kind, object: &mut Value, rng: &mut StdRng) {
    let mut places = Vec::new();
    breakable(kind.table(), kind.node, object, &mut Vec::new(), &mut places);
    places.retain(|pointer| matches!(object.pointer(pointer), Some(Value::Array(items)) if !items.is_empty()));
    if places.is_empty() {
        return;
    }
    let pointer = &places[rng.random_range(0..places.len())];
    if let Some(Value::Array(items)) = object.pointer_mut(pointer) {
        let item = items[rng.random_range(0..items.len())].clone();
        items.insert(rng.random_range(0..=items.len()), item);
    }
}

/// JSON pointers to values whose type the schema fixes.
fn breakable(table: &Table, node: NodeId, value: &Value, path: &mut Vec<String>, places: &mut Vec<String>) {
    let mut below = |name: String, node: NodeId, value: &Value| {
        path.push(name.replace('~', "~0").replace('/', "~1"));
        breakable(table, node, value, path, places);
        path.pop();
    };
    match (table.node(node), value) {
        (Node::Object(object), Value::Object(fields)) => {
            for (name, value) in fields {
                if let Some(field) = object.fields.get(name).filter(|_| !matches!(name.as_str(), "kind" | "apiVersion"))
                {
                    below(name.clone(), field.node, value);
                }
            }
        }
        (Node::Map { values, .. }, Value::Object(fields)) => {
            fields.iter().for_each(|(name, value)| below(name.clone(), *values, value));
        }
        (Node::List { items, .. }, Value::Array(list)) => {
            list.iter().enumerate().for_each(|(position, item)| below(position.to_string(), *items, item));
        }
        _ => {}
    }
    let fixed = !matches!(
        table.node(node),
        Node::Any | Node::Scalar(Scalar::IntOrString | Scalar::Quantity | Scalar::Time | Scalar::MicroTime)
    );
    if fixed && !path.is_empty() {
        places.push(path.iter().fold(String::new(), |pointer, step| format!("{pointer}/{step}")));
    }
}
