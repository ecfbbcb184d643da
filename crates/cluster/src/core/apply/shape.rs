//! What server-side apply needs to know of a value's shape, read from the schema table.
//!
//! One shape may allow a scalar, a list and a map at once (free-form JSON); the value decides. The rules
//! that turn OpenAPI into shapes follow `kube-openapi/pkg/schemaconv`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::core::schema::{Field, ListType, MapType, Node, NodeId, Scalar, Table};

/// The shape of a value: a node of the table, or one of the two shapes of free-form JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A node; `open` where an enclosing node keeps unknown fields, which its descendants inherit.
    Node { id: NodeId, open: bool },
    /// Maps field by field, lists as a whole.
    Deduced,
    /// Maps and lists as a whole.
    Atomic,
}

/// What scalars a shape allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarKind {
    String,
    Numeric,
    Boolean,
    Any,
}

#[derive(Clone, Copy, Debug)]
pub struct ListShape<'t> {
    /// Items are told apart by keys or by value; otherwise the list is one value.
    pub associative: bool,
    pub keys: &'t [String],
    pub items: Shape,
}

#[derive(Clone, Copy, Debug)]
pub struct MapShape<'t> {
    pub fields: Option<&'t BTreeMap<String, Field>>,
    /// The shape of keys that are not fields; none where they are refused.
    pub others: Option<Shape>,
    pub atomic: bool,
    open: bool,
}

/// What a shape allows: up to one each of scalar, list and map.
#[derive(Clone, Copy, Debug, Default)]
pub struct Atom<'t> {
    pub scalar: Option<ScalarKind>,
    pub list: Option<ListShape<'t>>,
    pub map: Option<MapShape<'t>>,
}

/// The form that an [`Atom`] takes: maps come first, then scalars, then lists.
#[derive(Clone, Copy, Debug)]
pub enum Form<'t> {
    Map(MapShape<'t>),
    Scalar(ScalarKind),
    List(ListShape<'t>),
    Nothing,
}

impl<'t> Atom<'t> {
    /// The form of this value, or the first allowed form where the value fits none.
    pub fn form(&self, value: Option<&Value>) -> Form<'t> {
        let fitting = match value {
            Some(Value::Object(_)) => self.map.map(Form::Map),
            Some(Value::Array(_)) => self.list.map(Form::List),
            Some(Value::Null) | None => None,
            Some(_) => self.scalar.map(Form::Scalar),
        };
        fitting.unwrap_or(match (self.map, self.scalar, self.list) {
            (Some(map), _, _) => Form::Map(map),
            (None, Some(scalar), _) => Form::Scalar(scalar),
            (None, None, Some(list)) => Form::List(list),
            (None, None, None) => Form::Nothing,
        })
    }

    /// Whether two values of this shape would be read in the same form.
    pub fn same_form(&self, left: &Value, right: &Value) -> bool {
        self.narrowed(left) == self.narrowed(right)
    }

    fn narrowed(&self, value: &Value) -> u8 {
        match value {
            Value::Object(_) if self.map.is_some() => 1,
            Value::Array(_) if self.list.is_some() => 2,
            Value::Bool(_) | Value::Number(_) | Value::String(_) if self.scalar.is_some() => 3,
            // The whole atom is kept; it equals a narrowed one only where it allows a single form.
            _ => match (self.map.is_some(), self.list.is_some(), self.scalar.is_some()) {
                (true, false, false) => 1,
                (false, true, false) => 2,
                (false, false, true) => 3,
                _ => 0,
            },
        }
    }
}

impl<'t> MapShape<'t> {
    /// The shape below a key, and whether the key is a named field.
    pub fn below(&self, name: &str) -> (Option<Shape>, bool) {
        match self.fields.and_then(|fields| fields.get(name)) {
            Some(field) => (Some(Shape::Node { id: field.node, open: self.open }), true),
            None => (self.others, false),
        }
    }
}

/// A table with what the walks ask of it.
#[derive(Clone, Copy, Debug)]
pub struct Shapes<'t> {
    pub table: &'t Table,
    /// Free-form JSON that is one value (`runtime.RawExtension`).
    raw: Option<NodeId>,
}

const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

impl<'t> Shapes<'t> {
    /// The shapes of a table.
    pub fn new(table: &'t Table) -> Self {
        Self { table, raw: table.definitions.get(RAW_EXTENSION).copied() }
    }

    /// The shape of a whole object.
    pub fn root(node: NodeId) -> Shape {
        Shape::Node { id: node, open: false }
    }

    /// What a shape allows.
    pub fn atom(&self, shape: Shape) -> Atom<'t> {
        let (id, open) = match shape {
            Shape::Node { id, .. } if Some(id) == self.raw => return free_form(Shape::Atomic),
            Shape::Node { id, open } => (id, open),
            free => return free_form(free),
        };
        match self.table.node(id) {
            Node::Any | Node::Scalar(Scalar::IntOrString) => free_form(Shape::Deduced),
            Node::Scalar(scalar) => Atom { scalar: Some(scalar_kind(*scalar)), ..Atom::default() },
            Node::List { items, list_type } => {
                let items = Shape::Node { id: *items, open };
                let (associative, keys): (bool, &[String]) = match list_type {
                    ListType::Atomic => (false, &[]),
                    ListType::Set => (true, &[]),
                    ListType::Map(keys) => (true, keys),
                };
                Atom { list: Some(ListShape { associative, keys, items }), ..Atom::default() }
            }
            Node::Map { values, map_type } => {
                let others = Some(Shape::Node { id: *values, open });
                let map = MapShape { fields: None, others, atomic: *map_type == MapType::Atomic, open };
                Atom { map: Some(map), ..Atom::default() }
            }
            Node::Object(object) => {
                // Definitions of their own do not inherit that unknown fields are kept.
                let open = (open && object.name.is_none()) || object.preserve_unknown;
                let others = (open || object.fields.is_empty()).then_some(Shape::Deduced);
                let atomic = object.map_type == MapType::Atomic;
                let map = MapShape { fields: Some(&object.fields), others, atomic, open };
                Atom { map: Some(map), ..Atom::default() }
            }
        }
    }

    /// The default of a key field of an associative list's items.
    pub fn key_default(&self, list: &ListShape<'t>, name: &str) -> Result<Option<&'t Value>, String> {
        match self.atom(list.items).map {
            None => Err("associative list may not have non-map types".to_owned()),
            Some(map) => Ok(map.fields.and_then(|fields| fields.get(name)).and_then(|field| field.default.as_ref())),
        }
    }
}

fn free_form<'t>(shape: Shape) -> Atom<'t> {
    let map = MapShape { fields: None, others: Some(shape), atomic: shape == Shape::Atomic, open: false };
    let list = ListShape { associative: false, keys: &[], items: Shape::Atomic };
    Atom { scalar: Some(ScalarKind::Any), list: Some(list), map: Some(map) }
}

fn scalar_kind(scalar: Scalar) -> ScalarKind {
    match scalar {
        Scalar::String | Scalar::Bytes | Scalar::Duration => ScalarKind::String,
        Scalar::Integer | Scalar::Number => ScalarKind::Numeric,
        Scalar::Boolean => ScalarKind::Boolean,
        Scalar::IntOrString | Scalar::Quantity | Scalar::Time | Scalar::MicroTime => ScalarKind::Any,
    }
}
