//! CustomResourceDefinitions and the objects they define, as pure functions.
//!
//! Answers what `apiextensions.k8s.io/v1` answers: whether a definition is valid and what its status
//! says, which resources it adds, how an object of it is pruned, defaulted, validated, scaled and
//! converted. Nothing here stores or serves anything. The server calls, in this order: [`compiled`]
//! `prune`, `default`, `validate`.

pub mod cel;
pub mod compiled;
pub mod conversion;
mod conversion_rules;
mod correlate;
mod default_rules;
pub mod definition;
mod definition_defaults;
mod definition_parts;
mod embedded;
mod failure;
mod field_path;
pub mod formats;
mod go;
pub mod go_time;
pub mod go_url;
mod list_schema_rules;
mod list_type;
mod object_meta;
pub mod pattern;
mod prune;
pub mod rows;
mod scalar;
pub mod scale;
mod schema_rules;
pub mod status;
pub mod structural;
mod structural_rules;
mod validate;

pub use compiled::{CompiledVersion, Error};
pub use go::normalize as normalize_numbers;
pub use rows::rows;
pub use scale::ScalePaths;

use serde_json::Value;

use crate::core::field::{ErrorList, Path};

/// Validates the metadata of an embedded resource: names, labels, annotations.
fn embedded_metadata(metadata: &Value, namespaced: bool, path: &Path) -> ErrorList {
    embedded::validate(metadata, namespaced, path)
}

#[cfg(test)]
mod tests;
