//! Reads the built-in table from `data/schema.txt`.
//!
//! The text's form is told at its top. It is part of the program, so a line that cannot be read is left out
//! rather than reported; a test holds that there is none.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Field, Gvk, ListType, MapType, Node, NodeId, Object, PatchStrategy, Presence, Scalar, Table};

static TEXT: &str = include_str!("../../../data/schema.txt");
static BUILTIN: LazyLock<Table> = LazyLock::new(|| parse(TEXT).0);

/// Full name of the definition of `metadata`.
pub const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

impl Table {
    /// The shapes of every built-in kind; parsed at the first call.
    pub fn builtin() -> &'static Table {
        &BUILTIN
    }
}

/// Parses schema text; the second value is the lines that make no sense.
pub(super) fn parse(text: &str) -> (Table, Vec<String>) {
    let mut loader = Loader::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if loader.line(line).is_none() {
            loader.faults.push(line.to_owned());
        }
    }
    loader.finish()
}

struct Loader<'a> {
    table: Table,
    faults: Vec<String>,
    names: HashMap<String, NodeId>,
    lists: HashMap<(NodeId, String), NodeId>,
    maps: HashMap<(NodeId, bool), NodeId>,
    scalars: HashMap<&'static str, NodeId>,
    /// Copies of definitions with another map type: copy, original, type.
    overrides: Vec<(NodeId, NodeId, MapType)>,
    package: &'a str,
    open: Option<(NodeId, &'a str, Object)>,
}

const SCALARS: &[(&str, Option<Scalar>)] = &[
    ("string", Some(Scalar::String)),
    ("int32", Some(Scalar::Integer)),
    ("int64", Some(Scalar::Integer)),
    ("double", Some(Scalar::Number)),
    ("bool", Some(Scalar::Boolean)),
    ("bytes", Some(Scalar::Bytes)),
    ("any", None),
];

impl<'a> Loader<'a> {
    fn new() -> Self {
        let mut table = Table::default();
        let mut scalars = HashMap::new();
        for (name, scalar) in SCALARS {
            let node = scalar.map_or(Node::Any, Node::Scalar);
            scalars.insert(*name, table.push(node));
        }
        Self {
            table,
            faults: Vec::new(),
            names: HashMap::with_capacity(1024),
            lists: HashMap::new(),
            maps: HashMap::new(),
            scalars,
            overrides: Vec::new(),
            package: "",
            open: None,
        }
    }

    fn line(&mut self, line: &'a str) -> Option<()> {
        let (head, rest) = line.split_once(' ')?;
        match head {
            "=" => self.open_definition(rest),
            "k" => {
                let (group, rest) = rest.split_once('/')?;
                let (version, kind) = rest.split_once('/')?;
                let gvk = Gvk { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() };
                let id = self.open.as_ref()?.0;
                self.table.kinds.insert(gvk, id);
                Some(())
            }
            "s" => {
                let (id, ..) = self.open.take()?;
                let slot = self.table.nodes.get_mut(id.0 as usize)?;
                *slot = scalar_node(rest)?;
                Some(())
            }
            "i" => {
                let (number, name) = rest.split_once(' ')?;
                let node = self.named(name);
                self.open.as_mut()?.2.inline.push((number.parse().ok()?, node));
                Some(())
            }
            name => self.field(name, rest),
        }
    }

    fn open_definition(&mut self, rest: &'a str) -> Option<()> {
        self.close();
        let mut words = rest.split(' ');
        let name = words.next()?;
        let id = self.named(name);
        let mut object = Object { name: Some(name.to_owned()), ..Object::default() };
        let mut hidden = false;
        for word in words {
            match word {
                "hidden" => hidden = true,
                _ => object.map_type = map_type(word.strip_prefix("map=")?),
            }
        }
        if !hidden {
            self.table.definitions.insert(name.to_owned(), id);
        }
        self.package = name.rsplit_once('.')?.0;
        self.open = Some((id, name, object));
        Some(())
    }

    fn close(&mut self) {
        if let Some((id, _, object)) = self.open.take()
            && let Some(slot) = self.table.nodes.get_mut(id.0 as usize)
        {
            *slot = Node::Object(object);
        }
    }

    fn named(&mut self, name: &str) -> NodeId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = self.table.push(Node::Any);
        self.names.insert(name.to_owned(), id);
        id
    }

    fn field(&mut self, name: &str, rest: &'a str) -> Option<()> {
        let (rest, default) = match rest.split_once(" default=") {
            None => (rest, None),
            Some((rest, default)) => (rest, Some(serde_json::from_str(default).ok()?)),
        };
        let (rest, enum_values) = match rest.split_once(" enum=") {
            None => (rest, Vec::new()),
            Some((rest, values)) => (rest, serde_json::from_str(values).ok()?),
        };
        let mut words = rest.split(' ');
        let expression = words.next()?;
        let mut field = Field { default, enum_values, ..Field::default() };
        let (mut list, mut map) = ("", None);
        for word in words {
            if let Some(number) = word.strip_prefix('#') {
                field.proto_number = number.parse().ok()?;
                continue;
            }
            match word.split_once('=') {
                None => match word {
                    "!" => field.required = true,
                    "o" => field.presence = Presence::OmitEmpty,
                    "a" => field.presence = Presence::Always,
                    "n" => field.presence = Presence::AlwaysNull,
                    _ => return None,
                },
                Some(("list", value)) => list = value,
                Some(("map", value)) => map = Some(map_type(value)),
                Some(("patch", value)) => field.patch = patch_strategy(value),
                Some(("key", value)) => field.patch_merge_key = Some(value.to_owned()),
                Some(("go", value)) => field.go_type = Some(value.to_owned()),
                Some(("pb", value)) => field.proto_type = Some(value.to_owned()),
                Some(_) => return None,
            }
        }
        let leaf = expression.trim_start_matches("[]").trim_start_matches("{}").trim_start_matches("[]");
        if field.proto_type.is_none() && (leaf == "int32" || leaf == "int64") {
            field.proto_type = Some(leaf.to_owned());
        }
        field.node = self.expression(expression, list, map)?;
        self.open.as_mut()?.2.fields.insert(name.to_owned(), field);
        Some(())
    }

    fn expression(&mut self, text: &str, list: &str, map: Option<MapType>) -> Option<NodeId> {
        if let Some(items) = text.strip_prefix("[]") {
            let items = self.expression(items, "", None)?;
            let key = (items, list.to_owned());
            if let Some(id) = self.lists.get(&key) {
                return Some(*id);
            }
            let id = self.table.push(Node::List { items, list_type: list_type(list)? });
            self.lists.insert(key, id);
            return Some(id);
        }
        if let Some(values) = text.strip_prefix("{}") {
            let values = self.expression(values, "", None)?;
            let map_type = map.unwrap_or_default();
            let key = (values, map_type == MapType::Atomic);
            if let Some(id) = self.maps.get(&key) {
                return Some(*id);
            }
            let id = self.table.push(Node::Map { values, map_type });
            self.maps.insert(key, id);
            return Some(id);
        }
        if let Some(id) = self.scalars.get(text) {
            return Some(*id);
        }
        let id = match text.strip_prefix('.') {
            Some(short) => self.named(&format!("{}.{short}", self.package)),
            None => self.named(text),
        };
        let Some(map_type) = map else { return Some(id) };
        let copy = self.table.push(Node::Any);
        self.overrides.push((copy, id, map_type));
        Some(copy)
    }

    fn finish(mut self) -> (Table, Vec<String>) {
        self.close();
        for (copy, original, map_type) in std::mem::take(&mut self.overrides) {
            let mut node = self.table.node(original).clone();
            if let Node::Object(object) = &mut node {
                object.map_type = map_type;
            }
            if let Some(slot) = self.table.nodes.get_mut(copy.0 as usize) {
                *slot = node;
            }
        }
        (self.table, self.faults)
    }
}

fn scalar_node(name: &str) -> Option<Node> {
    Some(match name {
        "quantity" => Node::Scalar(Scalar::Quantity),
        "int-or-string" => Node::Scalar(Scalar::IntOrString),
        "time" => Node::Scalar(Scalar::Time),
        "micro-time" => Node::Scalar(Scalar::MicroTime),
        "duration" => Node::Scalar(Scalar::Duration),
        "any" => Node::Any,
        _ => return None,
    })
}

fn map_type(text: &str) -> MapType {
    if text == "atomic" { MapType::Atomic } else { MapType::Granular }
}

fn list_type(text: &str) -> Option<ListType> {
    match text {
        "" => Some(ListType::Atomic),
        "set" => Some(ListType::Set),
        _ => {
            let keys = text.strip_prefix("map:")?;
            Some(ListType::Map(keys.split(',').map(str::to_owned).collect()))
        }
    }
}

fn patch_strategy(text: &str) -> PatchStrategy {
    let has = |name: &str| text.split(',').any(|word| word == name);
    PatchStrategy { merge: has("merge"), replace: has("replace"), retain_keys: has("retainKeys") }
}
