//! Strategic merge patch: a JSON patch that merges lists by the keys of their schema.
//!
//! Follows `k8s.io/apimachinery/pkg/util/strategicpatch` as the API server calls it, down to the order
//! of merged lists and the texts of errors. It neither validates the result nor knows about versions
//! of kinds; what is left of directives in odd places is an unknown field to whoever checks fields.

mod lists;
mod merge;
mod order;
mod print;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::core::schema::{NodeId, Table};

/// Why a patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// How the API server answers.
    pub class: ErrorClass,
    message: String,
}

/// How a fault of a patch is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// 400 `BadRequest`.
    BadRequest,
    /// 422 with an empty reason (`Unknown`).
    Unprocessable,
    /// 500 `InternalError`.
    Internal,
}

impl Error {
    fn bad_request(message: &str) -> Self {
        Self { class: ErrorClass::BadRequest, message: message.to_owned() }
    }

    fn internal(message: impl Into<String>) -> Self {
        Self { class: ErrorClass::Internal, message: message.into() }
    }

    fn lists_of_lists() -> Self {
        Self { class: ErrorClass::Unprocessable, message: "lists of lists are not supported".to_owned() }
    }

    fn set_element_order() -> Self {
        Self::bad_request("invalid patch format of setElementOrder list")
    }

    fn retain_keys() -> Self {
        Self::bad_request("invalid patch format of retainKeys")
    }

    fn primitive_list() -> Self {
        Self::bad_request("invalid patch format of primitive list")
    }
}

type Object = Map<String, Value>;

/// Applies a patch to an object whose shape is the table's `node`.
///
/// # Errors
/// A malformed directive, a list item without its merge key, a nested object where the schema has
/// none, in the words of upstream; [`Error::class`] says how the API server answers.
pub fn patch(table: &Table, node: NodeId, original: &Value, patch: &Value) -> Result<Value, Error> {
    let (Value::Object(original), Value::Object(patch)) = (original, patch) else {
        return Err(Error::bad_request("invalid JSON document"));
    };
    merge::objects(table, node, original.clone(), patch.clone()).map(Value::Object)
}
