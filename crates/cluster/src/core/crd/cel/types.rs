//! Types of expressions, and when one may stand for another.
//!
//! The unification follows cel-go's checker: type parameters are bound as they are met, `dyn` fits
//! everything. Nothing here knows an expression.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Dyn,
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Duration,
    Timestamp,
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    /// An object of a schema, or a Kubernetes value type such as `kubernetes.Quantity`.
    Object(Arc<ObjectType>),
    /// The type of a type.
    Type(Option<Arc<Type>>),
    /// `optional_type`, `net.IP`.
    Opaque(&'static str, Vec<Type>),
    Param(Arc<str>),
}

/// The fields that expressions may select; a value type has none at all.
#[derive(Debug)]
pub struct ObjectType {
    pub name: String,
    pub fields: Option<BTreeMap<String, Type>>,
}

impl PartialEq for ObjectType {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Type {
    pub fn list(items: Self) -> Self {
        Self::List(Arc::new(items))
    }

    pub fn map(keys: Self, values: Self) -> Self {
        Self::Map(Arc::new(keys), Arc::new(values))
    }

    pub fn optional(inner: Self) -> Self {
        Self::Opaque("optional_type", vec![inner])
    }

    /// What stands inside an optional, and whether there was one.
    pub fn unwrap_optional(&self) -> (&Self, bool) {
        match self {
            Self::Opaque("optional_type", inner) if inner.len() == 1 => (&inner[0], true),
            other => (other, false),
        }
    }

    pub fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// Whether values of the type have a size of one.
    pub fn is_scalar(&self) -> bool {
        match self {
            Self::Bool | Self::Double | Self::Duration | Self::Int | Self::Timestamp | Self::Uint => true,
            Self::Opaque("optional_type", inner) => inner.first().is_some_and(Self::is_scalar),
            _ => false,
        }
    }

    fn is_nullable(&self) -> bool {
        matches!(self, Self::Opaque(..) | Self::Object(_) | Self::Duration | Self::Timestamp | Self::Null)
    }

    /// The type's own name without parameters, as messages about conversions use it.
    pub fn name(&self) -> &str {
        match self {
            Self::Dyn => "dyn",
            Self::Error => "!error!",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::Timestamp => "timestamp",
            Self::List(_) => "list",
            Self::Map(..) => "map",
            Self::Object(object) => &object.name,
            Self::Type(_) => "type",
            Self::Opaque(name, _) => name,
            Self::Param(name) => name,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(items) => write!(f, "list({items})"),
            Self::Map(keys, values) => write!(f, "map({keys}, {values})"),
            Self::Type(Some(inner)) => write!(f, "type({inner})"),
            Self::Opaque(name, params) if !params.is_empty() => {
                let params: Vec<String> = params.iter().map(ToString::to_string).collect();
                write!(f, "{name}({})", params.join(", "))
            }
            other => f.write_str(other.name()),
        }
    }
}

/// What type parameters stand for so far.
#[derive(Clone, Debug, Default)]
pub struct Bindings(HashMap<Arc<str>, Type>);

impl Bindings {
    /// Whether `from` may stand where `to` is wanted; parameters are bound only if so.
    pub fn assignable(&mut self, to: &Type, from: &Type) -> bool {
        let mut trial = self.clone();
        let fits = trial.fits(to, from);
        if fits {
            *self = trial;
        }
        fits
    }

    /// Whether a whole list of types fits.
    pub fn assignable_list(&mut self, to: &[Type], from: &[Type]) -> bool {
        let mut trial = self.clone();
        let fits = trial.fits_list(to, from);
        if fits {
            *self = trial;
        }
        fits
    }

    fn fits(&mut self, left: &Type, right: &Type) -> bool {
        if let Type::Param(name) = right {
            let (valid, bound) = self.bind(left, name);
            if valid || bound {
                return valid;
            }
        }
        if let Type::Param(name) = left {
            return self.bind(right, name).0;
        }
        if left.is_dyn_or_error() || right.is_dyn_or_error() {
            return true;
        }
        match (left, right) {
            (Type::Null, other) | (other, Type::Null) => other.is_nullable(),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(left), Type::List(right)) => self.fits(left, right),
            (Type::Map(left_keys, left_values), Type::Map(right_keys, right_values)) => {
                self.fits(left_keys, right_keys) && self.fits(left_values, right_values)
            }
            (Type::Opaque(left_name, left), Type::Opaque(right_name, right)) => {
                left_name == right_name && self.fits_list(left, right)
            }
            (left, right) => left == right,
        }
    }

    fn fits_list(&mut self, left: &[Type], right: &[Type]) -> bool {
        left.len() == right.len() && left.iter().zip(right).all(|(left, right)| self.fits(left, right))
    }

    /// Binds a parameter to a type; answers whether that is valid and whether it was bound before.
    fn bind(&mut self, to: &Type, name: &Arc<str>) -> (bool, bool) {
        if matches!(to, Type::Param(other) if other == name) {
            return (true, true);
        }
        if let Some(known) = self.0.get(name).cloned() {
            if *to == known {
                return (true, true);
            }
            if self.fits(to, &known) {
                let general = most_general(to, &known).clone();
                if self.not_referenced(name, &general) {
                    self.0.insert(name.clone(), general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.not_referenced(name, to) {
            self.0.insert(name.clone(), to.clone());
            return (true, false);
        }
        (false, false)
    }

    fn not_referenced(&self, name: &Arc<str>, within: &Type) -> bool {
        match within {
            Type::Param(other) if other == name => false,
            Type::Param(other) => self.0.get(other).is_none_or(|bound| self.not_referenced(name, bound)),
            Type::List(items) => self.not_referenced(name, items),
            Type::Map(keys, values) => self.not_referenced(name, keys) && self.not_referenced(name, values),
            Type::Opaque(_, params) => params.iter().all(|param| self.not_referenced(name, param)),
            Type::Type(Some(inner)) => self.not_referenced(name, inner),
            _ => true,
        }
    }

    /// The type with bound parameters replaced; `free` says what becomes of unbound ones.
    pub fn substitute(&self, of: &Type, free: Free) -> Type {
        match of {
            Type::Param(name) => match self.0.get(name) {
                Some(bound) => self.substitute(bound, free),
                None if free == Free::Dyn => Type::Dyn,
                None => of.clone(),
            },
            Type::List(items) => Type::list(self.substitute(items, free)),
            Type::Map(keys, values) => Type::map(self.substitute(keys, free), self.substitute(values, free)),
            Type::Opaque(name, params) => {
                Type::Opaque(name, params.iter().map(|param| self.substitute(param, free)).collect())
            }
            Type::Type(Some(inner)) => Type::Type(Some(Arc::new(self.substitute(inner, free)))),
            other => other.clone(),
        }
    }
}

/// What becomes of parameters that nothing bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    Keep,
    Dyn,
}

/// The less specific of two types that fit each other.
pub fn most_general<'a>(left: &'a Type, right: &'a Type) -> &'a Type {
    if less_specific(left, right) { left } else { right }
}

fn less_specific(left: &Type, right: &Type) -> bool {
    match (left, right) {
        (Type::Dyn | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::List(left), Type::List(right)) => less_specific(left, right),
        (Type::Map(left_keys, left_values), Type::Map(right_keys, right_values)) => {
            less_specific(left_keys, right_keys) && less_specific(left_values, right_values)
        }
        (Type::Opaque(left_name, left), Type::Opaque(right_name, right)) => {
            left_name == right_name
                && left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| less_specific(left, right))
        }
        (Type::Type(_), Type::Type(_)) => true,
        (left, right) => left == right,
    }
}
