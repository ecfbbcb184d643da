//! Random objects of built-in kinds and random patches of them, every directive included.
//!
//! A patch has one fault at most, and no two parts whose order matters: upstream walks maps in random
//! order, and such patches have no one outcome.

use ferroflow_cluster::core::schema::{Field, Node, NodeId, Scalar, Table};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Map, Value, json};

pub const KINDS: &[(&str, &str, &str)] = &[
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("", "v1", "Node"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Secret"),
    ("", "v1", "Endpoints"),
    ("", "v1", "Namespace"),
    ("", "v1", "ReplicationController"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "DaemonSet"),
    ("apps", "v1", "ReplicaSet"),
    ("apps", "v1", "ControllerRevision"),
    ("batch", "v1", "Job"),
    ("batch", "v1", "CronJob"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"),
    ("storage.k8s.io", "v1", "CSINode"),
    ("discovery.k8s.io", "v1", "EndpointSlice"),
];

const DEPTH_MAX: usize = 8;
const NAMES: &[&str] = &["a", "b", "c", "d", "e", "x/y"];

pub fn random_case(rng: &mut StdRng) -> Value {
    let table = Table::builtin();
    let (group, version, kind) = KINDS[rng.random_range(0..KINDS.len())];
    let node = table.kind(group, version, kind).expect("a built-in kind");
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let original = random_value(table, node, 0, rng);
    let faulty = rng.random_bool(0.15);
    let mut writer = Writer { table, faults_left: usize::from(faulty), rng };
    let patch = match &original {
        Value::Object(original) => writer.object(node, original, 0),
        _ => Map::new(),
    };
    json!({
        "subject": "strategic",
        "apiVersion": api_version,
        "kind": kind,
        "original": original,
        "patch": patch,
    })
}

fn random_value(table: &Table, node: NodeId, depth: usize, rng: &mut StdRng) -> Value {
    match table.node(node) {
        Node::List { .. } if depth >= DEPTH_MAX => json!([]),
        Node::Map { .. } | Node::Object(_) if depth >= DEPTH_MAX => json!({}),
        Node::Any => json!({"any": rng.random_range(0..3)}),
        Node::Scalar(scalar) => random_scalar(*scalar, rng),
        Node::List { items, .. } => {
            (0..rng.random_range(0..5)).map(|_| random_value(table, *items, depth + 1, rng)).collect()
        }
        Node::Map { values, .. } => (0..rng.random_range(0..4))
            .map(|_| (pick(NAMES, rng), random_value(table, *values, depth + 1, rng)))
            .collect(),
        Node::Object(object) => {
            let mut fields = Map::new();
            for (name, field) in &object.fields {
                if rng.random_bool(chance(table, name, field)) {
                    fields.insert(name.clone(), random_field(table, field, depth, rng));
                }
            }
            Value::Object(fields)
        }
    }
}

/// How often a field is set: ways to merged lists often, scalars seldom.
fn chance(table: &Table, name: &str, field: &Field) -> f64 {
    let way = matches!(name, "metadata" | "spec" | "template" | "containers" | "jobTemplate");
    match table.node(field.node) {
        _ if way => 0.9,
        _ if field.patch.merge || field.patch.retain_keys => 0.4,
        Node::Map { .. } => 0.25,
        Node::Object(_) => 0.12,
        Node::List { .. } => 0.15,
        Node::Scalar(_) | Node::Any => 0.1,
    }
}

fn random_field(table: &Table, field: &Field, depth: usize, rng: &mut StdRng) -> Value {
    let mut value = random_value(table, field.node, depth + 1, rng);
    let (Some(key), Value::Array(items), Node::List { items: item, .. }) =
        (field.patch_merge_key.as_deref(), &mut value, table.node(field.node))
    else {
        if let Value::Array(items) = &mut value
            && field.patch.merge
        {
            without_repeats(items, |item| item.clone());
        }
        return value;
    };
    for place in items.iter_mut() {
        place[key] = key_value(table, *item, key, rng);
    }
    without_repeats(items, |item| item[key].clone());
    value
}

fn without_repeats(items: &mut Vec<Value>, key: impl Fn(&Value) -> Value) {
    let mut seen = Vec::new();
    items.retain(|item| {
        let fresh = !seen.contains(&key(item));
        seen.push(key(item));
        fresh
    });
}

fn key_value(table: &Table, item: NodeId, key: &str, rng: &mut StdRng) -> Value {
    match table.node(item) {
        Node::Object(object) => match object.fields.get(key).map(|field| table.node(field.node)) {
            Some(Node::Scalar(Scalar::Integer)) => json!(rng.random_range(1..6)),
            _ => json!(pick(NAMES, rng)),
        },
        _ => Value::Null,
    }
}

fn random_scalar(scalar: Scalar, rng: &mut StdRng) -> Value {
    match scalar {
        Scalar::Integer => json!(rng.random_range(0..4)),
        Scalar::Number => json!(f64::from(rng.random_range(0..4)) / 2.0),
        Scalar::Boolean => json!(rng.random_bool(0.5)),
        Scalar::IntOrString if rng.random_bool(0.5) => json!(rng.random_range(0..4)),
        _ => json!(pick(NAMES, rng)),
    }
}

fn pick(pool: &[&str], rng: &mut StdRng) -> String {
    pool[rng.random_range(0..pool.len())].to_owned()
}

/// Writes patches.
struct Writer<'a> {
    table: &'a Table,
    faults_left: usize,
    rng: &'a mut StdRng,
}

impl Writer<'_> {
    /// Whether the patch's one fault is made here.
    fn fault(&mut self) -> bool {
        let here = self.faults_left > 0 && self.rng.random_bool(0.15);
        self.faults_left -= usize::from(here);
        here
    }

    fn object(&mut self, node: NodeId, original: &Map<String, Value>, depth: usize) -> Map<String, Value> {
        let mut patch = Map::new();
        let Node::Object(object) = self.table.node(node) else { return self.map(node, original, depth) };
        let fields: Vec<(&String, &Field)> = object.fields.iter().collect();
        for (name, field) in fields {
            let present = original.get(name);
            let likely = match present {
                Some(_) => 0.6,
                None => chance(self.table, name, field) * 0.5,
            };
            if self.rng.random_bool(likely) {
                self.field(&mut patch, name, field, present, depth);
            }
        }
        if depth > 0 && self.rng.random_bool(0.02) {
            patch.insert("$patch".to_owned(), json!(pick(&["replace", "delete"], self.rng)));
        } else if self.fault() {
            patch.insert(
                "$patch".to_owned(),
                [json!("merge"), json!("odd"), json!(1), json!(true)][self.rng.random_range(0..4)].clone(),
            );
        } else if self.rng.random_bool(0.05) {
            self.retain_keys(&mut patch, original);
        }
        patch
    }

    fn retain_keys(&mut self, patch: &mut Map<String, Value>, original: &Map<String, Value>) {
        let mut names: Vec<String> = patch.keys().filter(|name| !name.starts_with('$')).cloned().collect();
        names.extend(original.keys().filter(|_| self.rng.random_bool(0.3)).cloned());
        names.shuffle(self.rng);
        if self.fault() {
            names.pop();
        }
        let list = if self.fault() { json!("names") } else { json!(names) };
        patch.insert("$retainKeys".to_owned(), list);
    }

    fn map(&mut self, node: NodeId, original: &Map<String, Value>, depth: usize) -> Map<String, Value> {
        let mut patch = Map::new();
        let Node::Map { values, .. } = self.table.node(node) else { return patch };
        for name in NAMES {
            match original.get(*name) {
                Some(_) if self.rng.random_bool(0.2) => patch.insert((*name).to_owned(), Value::Null),
                _ if self.rng.random_bool(0.3) => {
                    patch.insert((*name).to_owned(), random_value(self.table, *values, depth + 1, self.rng))
                }
                _ => None,
            };
        }
        if self.rng.random_bool(0.03) {
            patch.insert("$patch".to_owned(), json!(pick(&["replace", "delete"], self.rng)));
        }
        patch
    }

    fn field(
        &mut self,
        patch: &mut Map<String, Value>,
        name: &str,
        field: &Field,
        present: Option<&Value>,
        depth: usize,
    ) {
        if self.rng.random_bool(0.06) {
            patch.insert(name.to_owned(), Value::Null);
            return;
        }
        if self.fault() {
            patch.insert(
                name.to_owned(),
                [json!("text"), json!([1]), json!({"a": {"b": {}}})][self.rng.random_range(0..3)].clone(),
            );
            return;
        }
        match (self.table.node(field.node), present) {
            (Node::List { items, .. }, present) => {
                let present = present.and_then(Value::as_array).cloned();
                self.list(patch, name, field, *items, present, depth);
            }
            (Node::Object(_), Some(Value::Object(present))) => {
                let value = self.object(field.node, present, depth + 1);
                patch.insert(name.to_owned(), Value::Object(value));
            }
            (Node::Map { values, .. }, Some(Value::Object(present)))
                if matches!(self.table.node(*values), Node::Scalar(_)) =>
            {
                let value = self.map(field.node, present, depth + 1);
                patch.insert(name.to_owned(), Value::Object(value));
            }
            _ => {
                let mut value = random_field(self.table, field, depth, self.rng);
                self.sprinkle(&mut value);
                patch.insert(name.to_owned(), value);
            }
        }
    }

    /// Nulls and directives in a value that has nothing to merge with.
    fn sprinkle(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.values_mut().for_each(|member| self.sprinkle(member));
                if self.rng.random_bool(0.03) {
                    members.insert("$patch".to_owned(), json!(pick(&["replace", "delete", "merge"], self.rng)));
                }
                if self.rng.random_bool(0.05) {
                    members.insert("nothing".to_owned(), Value::Null);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.sprinkle(item)),
            _ => {}
        }
    }

    fn list(
        &mut self,
        patch: &mut Map<String, Value>,
        name: &str,
        field: &Field,
        items: NodeId,
        present: Option<Vec<Value>>,
        depth: usize,
    ) {
        let present = present.unwrap_or_default();
        let key = field.patch_merge_key.as_deref().unwrap_or_default();
        let mut list = match (key, field.patch.merge) {
            ("", true) => self.scalars(items, &present),
            (_, true) => self.keyed(items, key, &present, depth),
            _ => random_value(self.table, field.node, depth + 1, self.rng).as_array().cloned().unwrap_or_default(),
        };
        if field.patch.merge && self.fault() {
            list.push(if key.is_empty() { json!({"a": 1}) } else { json!("item") });
        }
        let scalar = field.patch.merge && key.is_empty();
        let ordered = field.patch.merge && self.rng.random_bool(0.35);
        if ordered {
            let order = self.order(key, &list, &present);
            patch.insert(format!("$setElementOrder/{name}"), order);
        }
        if scalar && self.rng.random_bool(0.4) {
            let mut deleted: Vec<Value> = present.iter().filter(|_| self.rng.random_bool(0.5)).cloned().collect();
            deleted.extend((0..self.rng.random_range(0..2)).map(|_| random_value(self.table, items, depth, self.rng)));
            let prefix = if self.fault() { "$deleteFromPrimitiveLists" } else { "$deleteFromPrimitiveList" };
            patch.insert(format!("{prefix}/{name}"), json!(deleted));
            // Without the order directive it is chance whether the list is merged or cut first.
            if !ordered {
                return;
            }
        }
        if !(ordered && self.rng.random_bool(0.2)) {
            patch.insert(name.to_owned(), Value::Array(list));
        }
    }

    fn scalars(&mut self, items: NodeId, present: &[Value]) -> Vec<Value> {
        let mut list: Vec<Value> = present.iter().filter(|_| self.rng.random_bool(0.4)).cloned().collect();
        list.extend((0..self.rng.random_range(0..3)).map(|_| random_value(self.table, items, 0, self.rng)));
        list.shuffle(self.rng);
        list
    }

    fn keyed(&mut self, items: NodeId, key: &str, present: &[Value], depth: usize) -> Vec<Value> {
        let mut list = Vec::new();
        for item in present {
            let Value::Object(members) = item else { continue };
            match self.rng.random_range(0..10) {
                0..=3 => {
                    let mut value = self.object(items, members, depth + 1);
                    value.remove("$patch");
                    // A retained list that lacks the key would drop it from the original's item.
                    value.remove("$retainKeys");
                    value.insert(key.to_owned(), item[key].clone());
                    list.push(Value::Object(value));
                }
                4 => list.push(json!({key: item[key], "$patch": "delete"})),
                _ => {}
            }
        }
        for _ in 0..self.rng.random_range(0..3) {
            let mut value = random_value(self.table, items, depth + 1, self.rng);
            value[key] = key_value(self.table, items, key, self.rng);
            self.sprinkle(&mut value);
            if let Value::Object(members) = &mut value {
                members.remove("$patch");
            }
            list.push(value);
        }
        if self.rng.random_bool(0.03) {
            list.push(json!({"$patch": "replace"}));
        }
        if self.fault() {
            list.push(
                [json!({"$patch": "delete"}), json!({"$patch": "merge"}), json!({"x": 1})][self.rng.random_range(0..3)]
                    .clone(),
            );
        }
        if self.rng.random_bool(0.3) {
            list.shuffle(self.rng);
        }
        list
    }

    /// An order that knows the list's items and some of the original's.
    fn order(&mut self, key: &str, list: &[Value], present: &[Value]) -> Value {
        let name = |item: &Value| if key.is_empty() { item.clone() } else { json!({key: item[key]}) };
        let kept = list.iter().filter(|item| item.get("$patch").is_none());
        let mut order: Vec<Value> = kept.map(name).collect();
        for item in present {
            if self.rng.random_bool(0.5) {
                let place = self.rng.random_range(0..=order.len());
                order.insert(place, name(item));
            }
        }
        if !self.rng.random_bool(0.1) {
            without_repeats(&mut order, |item| item.clone());
        }
        if self.fault() {
            order.shuffle(self.rng);
            order.pop();
        }
        if self.fault() {
            return [json!(1), json!([{}]), json!(["a", 1]), json!([])][self.rng.random_range(0..4)].clone();
        }
        json!(order)
    }
}
