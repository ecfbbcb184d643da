//! The shape of every kind: fields, list types and keys, patch strategies, protobuf numbers.
//!
//! One table feeds server-side apply, strategic merge, strict field validation, the protobuf decoder
//! and the OpenAPI documents. Built-in kinds come from `data/schema.txt`, which `cargo xtask generate`
//! writes from the upstream OpenAPI documents and `generated.proto` files; the kinds of a
//! CustomResourceDefinition come from its structural schema. The table holds no defaults other than
//! those that server-side apply needs for keys of lists, and no validation rules.

mod crd;
mod load;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

/// Index of a node in its [`Table`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// A set of shapes that refer to each other by [`NodeId`].
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub nodes: Vec<Node>,
    /// Definition name (`io.k8s.api.core.v1.Pod`) to node.
    pub definitions: BTreeMap<String, NodeId>,
    /// Top-level kinds.
    pub kinds: HashMap<Gvk, NodeId>,
}

/// Group, version and kind; the core group is the empty string.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    pub group: String,
    pub version: String,
    pub kind: String,
}

/// What one value looks like.
#[derive(Clone, Debug)]
pub enum Node {
    /// Named fields. Unknown ones are refused, pruned or kept as `unknown` says.
    Object(Object),
    /// Free keys, one shape for all values.
    Map {
        values: NodeId,
        map_type: MapType,
    },
    List {
        items: NodeId,
        list_type: ListType,
    },
    Scalar(Scalar),
    /// Anything: its shape is what is found (JSON columns, `x-kubernetes-preserve-unknown-fields`).
    Any,
}

#[derive(Clone, Debug, Default)]
pub struct Object {
    /// The definition's own name where it has one.
    pub name: Option<String>,
    pub fields: BTreeMap<String, Field>,
    pub map_type: MapType,
    /// Fields that are not named here are kept (`x-kubernetes-preserve-unknown-fields`).
    pub preserve_unknown: bool,
    /// `x-kubernetes-unions` and other rules are not kept; this is a resource's own object
    /// (`apiVersion`, `kind`, `metadata`) where true (`x-kubernetes-embedded-resource`).
    pub embedded_resource: bool,
    /// Messages whose fields lie in this JSON object but stand in a message of their own in protobuf:
    /// the number and the node of each (`VolumeSource` in `Volume`).
    pub inline: Vec<(u32, NodeId)>,
}

/// One named field of an [`Object`]. `Field::default()` is an optional field of node 0: fill in what differs.
#[derive(Clone, Debug, Default)]
pub struct Field {
    pub node: NodeId,
    pub required: bool,
    pub nullable: bool,
    /// The default of the OpenAPI document, used for keys of associative lists.
    pub default: Option<Value>,
    pub patch: PatchStrategy,
    /// `x-kubernetes-patch-merge-key`.
    pub patch_merge_key: Option<String>,
    /// Field number in the protobuf message; 0 where the kind has no protobuf form.
    pub proto_number: u32,
    /// The protobuf type where the JSON shape does not tell it (`int32`, `int64`, `bytes`, `sint…`).
    pub proto_type: Option<String>,
    /// When the server writes the field: what the Go type and its JSON tag make of zero values.
    pub presence: Presence,
    /// The Go type as decoding errors name it (`v1.RestartPolicy`), where shape and definition do not tell it.
    pub go_type: Option<String>,
    /// The values that a string, or the strings of a list or map, may take; empty where it is no enumeration.
    /// Documents show them; whether a value is allowed is for validation to say.
    pub enum_values: Vec<String>,
}

/// What an upstream server writes for a field whose value is zero (`""`, `0`, `false`, `{}`, `[]`) or absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// A pointer, or a kind that has no Go type: the field is written where it was set, zero or not; null is dropped.
    #[default]
    Explicit,
    /// A plain value with `omitempty`: zero scalars, empty lists and empty maps are dropped.
    OmitEmpty,
    /// A plain value without `omitempty` (also every plain struct): always written, with its zero where it is absent.
    Always,
    /// A pointer, list or map without `omitempty`: always written, as null where it is absent.
    AlwaysNull,
}

/// `x-kubernetes-patch-strategy`, which is a comma-separated set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    pub merge: bool,
    pub replace: bool,
    pub retain_keys: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapType {
    #[default]
    Granular,
    Atomic,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    #[default]
    Atomic,
    Set,
    /// An associative list with the fields that identify an item.
    Map(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    String,
    Integer,
    Number,
    Boolean,
    /// `format: byte`, base64 in JSON.
    Bytes,
    IntOrString,
    Quantity,
    /// RFC 3339 to the second.
    Time,
    /// RFC 3339 with six digits of a second.
    MicroTime,
    /// Go duration (`1h2m`), `metav1.Duration`.
    Duration,
}

impl Table {
    /// The node behind an id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The shape of a top-level kind.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<NodeId> {
        let gvk = Gvk { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() };
        self.kinds.get(&gvk).copied()
    }

    /// The node of a definition (`io.k8s.api.core.v1.Pod`).
    pub fn definition(&self, name: &str) -> Option<NodeId> {
        self.definitions.get(name).copied()
    }

    /// The object behind an id; none where the node is of another sort.
    pub fn object(&self, id: NodeId) -> Option<&Object> {
        match self.node(id) {
            Node::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Adds a node and returns its id.
    pub fn push(&mut self, node: Node) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(node);
        id
    }
}
