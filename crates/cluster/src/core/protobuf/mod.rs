//! Decodes protobuf request bodies of built-in kinds to the JSON that the rest of the server works with.
//!
//! One generic decoder reads the wire format by the numbers of the schema table; the few types with a form of
//! their own are in `special`. Zero values end up as an upstream server would write them. Nothing is encoded
//! to protobuf: every client accepts JSON.

mod special;
#[cfg(test)]
mod tests;
mod wire;

use serde_json::{Map, Value};

use crate::core::fields;
use crate::core::schema::{Field, Node, NodeId, Object, Scalar, Table};
use wire::{Payload, Reader};

/// What every body starts with.
const MAGIC: &[u8] = b"k8s\0";
/// Schemas of definitions nest two messages a level; nothing else comes near.
const MAX_DEPTH: usize = 200;
/// Messages and items in one body: keeps a body of small messages from growing to many times its size.
const MAX_ITEMS: usize = 300_000;

/// Why a body cannot be decoded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    #[error("unexpected EOF")]
    UnexpectedEnd,
    #[error("proto: integer overflow")]
    Overflow,
    #[error("proto: illegal wireType {0}")]
    WireType(u64),
    #[error("proto: {message}: illegal tag 0")]
    Tag { message: String },
    #[error("proto: wrong wireType = {wire_type} for field {field}")]
    WrongType { field: String, wire_type: u64 },
    #[error("message nests deeper than {MAX_DEPTH} levels")]
    Depth,
    #[error("message has more than {MAX_ITEMS} items")]
    Items,
    #[error("field {field}: {reason}")]
    Value { field: String, reason: String },
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\" in scheme \"pkg/runtime/scheme.go:110\"")]
    UnknownKind { api_version: String, kind: String },
}

/// Decodes a body: its API version, its kind, and the object, which carries both as well.
///
/// # Errors
/// [`Error::Prefix`] where it is no Kubernetes protobuf, [`Error::UnknownKind`] for kinds without a built-in
/// shape, the others for bytes that break the wire format or the limits of one body.
pub fn decode(body: &[u8]) -> Result<(String, String, Value), Error> {
    let envelope = Envelope::read(body)?;
    let table = Table::builtin();
    let node = kind_node(table, &envelope.api_version, &envelope.kind)
        .ok_or_else(|| Error::UnknownKind { api_version: envelope.api_version.clone(), kind: envelope.kind.clone() })?;
    let mut decoder = Decoder { table, items: 0 };
    let mut map = Map::new();
    if let Node::Object(object) = table.node(node) {
        decoder.message(envelope.raw, object, &mut map, 0)?;
    }
    let mut value = Value::Object(map);
    fields::normalize(table, node, &mut value);
    if let Value::Object(map) = &mut value {
        map.insert("apiVersion".to_owned(), Value::String(envelope.api_version.clone()));
        map.insert("kind".to_owned(), Value::String(envelope.kind.clone()));
    }
    Ok((envelope.api_version, envelope.kind, value))
}

/// The shape of a kind; options of requests are the same in every group version.
fn kind_node(table: &Table, api_version: &str, kind: &str) -> Option<NodeId> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    table.kind(group, version, kind).or_else(|| {
        let everywhere = ["CreateOptions", "DeleteOptions", "PatchOptions", "UpdateOptions", "WatchEvent"];
        everywhere.contains(&kind).then(|| table.kind("", "v1", kind)).flatten()
    })
}

/// `runtime.Unknown`: what the message is, and its bytes.
struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body.strip_prefix(MAGIC).ok_or(Error::Prefix)?);
        let mut envelope = Self { api_version: String::new(), kind: String::new(), raw: &[] };
        while let Some((number, payload)) = reader.field("Unknown")? {
            match (number, payload) {
                (1, Payload::Bytes(bytes)) => {
                    let mut reader = Reader::new(bytes);
                    while let Some((number, payload)) = reader.field("TypeMeta")? {
                        match (number, payload) {
                            (1, Payload::Bytes(text)) => envelope.api_version = wire::text(text),
                            (2, Payload::Bytes(text)) => envelope.kind = wire::text(text),
                            _ => {}
                        }
                    }
                }
                (2, Payload::Bytes(bytes)) => envelope.raw = bytes,
                _ => {}
            }
        }
        Ok(envelope)
    }
}

struct Decoder<'a> {
    table: &'a Table,
    items: usize,
}

impl Decoder<'_> {
    /// Reads the fields of one message into the JSON object `into`.
    fn message(
        &mut self,
        bytes: &[u8],
        object: &Object,
        into: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Error> {
        self.count()?;
        if depth > MAX_DEPTH {
            return Err(Error::Depth);
        }
        let mut reader = Reader::new(bytes);
        let message = object.name.as_deref().unwrap_or_default();
        while let Some((number, payload)) = reader.field(message)? {
            if let Some((name, field)) = by_number(object, number) {
                self.field(name, field, payload, into, depth)?;
            } else if let Some((_, inline)) = object.inline.iter().find(|(own, _)| *own == number)
                && let Node::Object(inline) = self.table.node(*inline)
            {
                let Payload::Bytes(bytes) = payload else { return Err(wrong_type(message, &payload)) };
                self.message(bytes, inline, into, depth + 1)?;
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        name: &str,
        field: &Field,
        payload: Payload<'_>,
        into: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Error> {
        match self.table.node(field.node) {
            Node::List { items, .. } => {
                let list = into.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(list) = list else { return Ok(()) };
                self.list_items(name, field, *items, payload, list, depth)
            }
            Node::Map { values, .. } => {
                let map = into.entry(name).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(map) = map else { return Ok(()) };
                self.map_entry(name, field, *values, payload, map, depth)
            }
            Node::Object(object) => {
                let Payload::Bytes(bytes) = payload else { return Err(wrong_type(name, &payload)) };
                let below = into.entry(name).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(below) = below else { return Ok(()) };
                self.message(bytes, object, below, depth + 1)
            }
            Node::Scalar(_) | Node::Any => {
                let value = self.single(name, field, field.node, payload, depth)?;
                into.insert(name.to_owned(), value);
                Ok(())
            }
        }
    }

    fn list_items(
        &mut self,
        name: &str,
        field: &Field,
        items: NodeId,
        payload: Payload<'_>,
        list: &mut Vec<Value>,
        depth: usize,
    ) -> Result<(), Error> {
        let numeric = matches!(self.table.node(items), Node::Scalar(Scalar::Integer | Scalar::Boolean));
        if let (true, Payload::Bytes(packed)) = (numeric, &payload) {
            let mut reader = Reader::new(packed);
            while !reader.is_empty() {
                let payload = Payload::Varint(reader.varint()?);
                list.push(self.single(name, field, items, payload, depth)?);
            }
            return Ok(());
        }
        list.push(self.single(name, field, items, payload, depth)?);
        Ok(())
    }

    /// An entry is a message of a key and a value.
    fn map_entry(
        &mut self,
        name: &str,
        field: &Field,
        values: NodeId,
        payload: Payload<'_>,
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Error> {
        let Payload::Bytes(bytes) = payload else { return Err(wrong_type(name, &payload)) };
        let mut reader = Reader::new(bytes);
        let mut key = String::new();
        let mut value = Value::Null;
        while let Some((number, payload)) = reader.field(name)? {
            match (number, payload) {
                (1, Payload::Bytes(text)) => key = wire::text(text),
                (2, payload) => value = self.single(name, field, values, payload, depth)?,
                _ => {}
            }
        }
        map.insert(key, value);
        Ok(())
    }

    /// One value: of a singular field, an item of a list, or the value of a map's entry.
    fn single(
        &mut self,
        name: &str,
        field: &Field,
        node: NodeId,
        payload: Payload<'_>,
        depth: usize,
    ) -> Result<Value, Error> {
        self.count()?;
        match (self.table.node(node), payload) {
            (Node::Object(object), Payload::Bytes(bytes)) => {
                let mut map = Map::new();
                self.message(bytes, object, &mut map, depth + 1)?;
                Ok(Value::Object(map))
            }
            // A map of lists, which protobuf wraps in a message of its own.
            (Node::List { items, .. }, Payload::Bytes(bytes)) => {
                let mut list = Vec::new();
                let mut reader = Reader::new(bytes);
                while let Some((number, payload)) = reader.field(name)? {
                    if number == 1 {
                        list.push(self.single(name, field, *items, payload, depth + 1)?);
                    }
                }
                Ok(Value::Array(list))
            }
            (Node::Any, Payload::Bytes(bytes)) => self.free_form(name, field, bytes, depth),
            (Node::Scalar(scalar), payload) => {
                let narrow = field.proto_type.as_deref() == Some("int32");
                special::scalar(name, *scalar, narrow, payload)
            }
            (_, payload) => Err(wrong_type(name, &payload)),
        }
    }

    /// JSON in bytes, and the unions of JSON schemas.
    fn free_form(&mut self, name: &str, field: &Field, bytes: &[u8], depth: usize) -> Result<Value, Error> {
        let kind = field.proto_type.as_deref().unwrap_or_default();
        if !kind.starts_with("JSONSchemaPropsOr") {
            return special::raw_json(name, bytes);
        }
        let mut schemas = Vec::new();
        let mut alone = Value::Null;
        let mut reader = Reader::new(bytes);
        while let Some((number, payload)) = reader.field(kind)? {
            match (kind, number, payload) {
                ("JSONSchemaPropsOrBool", 1, Payload::Varint(allows)) if alone.is_null() => {
                    alone = Value::Bool(allows != 0);
                }
                ("JSONSchemaPropsOrBool", 2, Payload::Bytes(bytes)) => alone = self.json_schema(bytes, depth)?,
                ("JSONSchemaPropsOrArray" | "JSONSchemaPropsOrStringArray", 1, Payload::Bytes(bytes)) => {
                    alone = self.json_schema(bytes, depth)?;
                }
                ("JSONSchemaPropsOrArray", 2, Payload::Bytes(bytes)) => schemas.push(self.json_schema(bytes, depth)?),
                ("JSONSchemaPropsOrStringArray", 2, Payload::Bytes(text)) => {
                    schemas.push(Value::String(wire::text(text)));
                }
                _ => {}
            }
        }
        Ok(match kind {
            _ if !schemas.is_empty() => Value::Array(schemas),
            "JSONSchemaPropsOrBool" if alone.is_null() => Value::Bool(false),
            _ => alone,
        })
    }

    fn json_schema(&mut self, bytes: &[u8], depth: usize) -> Result<Value, Error> {
        let table = self.table;
        let node = table.definition("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");
        let mut map = Map::new();
        if let Some(object) = node.and_then(|node| table.object(node)) {
            self.message(bytes, object, &mut map, depth + 1)?;
        }
        Ok(Value::Object(map))
    }

    fn count(&mut self) -> Result<(), Error> {
        self.items += 1;
        if self.items > MAX_ITEMS { Err(Error::Items) } else { Ok(()) }
    }
}

/// The field of a number; messages are short enough for a walk.
fn by_number(object: &Object, number: u32) -> Option<(&String, &Field)> {
    object.fields.iter().find(|(_, field)| field.proto_number == number)
}

fn wrong_type(field: &str, payload: &Payload<'_>) -> Error {
    Error::WrongType { field: field.to_owned(), wire_type: payload.wire_type() }
}
