//! What is recorded of pipelines, runs, tasks, artifacts and the cache.
//!
//! * [`schema`]: the tables of runs and what belongs to them.
//! * [`runs`], [`tasks`], [`artifacts`], [`cache`]: rows of those tables, read and written.
//! * [`removal`], [`expiry`]: what goes when runs go, and after they have ended.
//! * [`places`]: whose what is in the store of files.
//! * [`catalogue`]: the tables of what runs are made from.
//! * [`experiments`], [`pipelines`], [`recurring`]: rows of those.
//! * [`shown`]: runs as they are shown.
//! * [`moving`]: all of it as an archive, and back.
//! * [`query`]: a page of any of them.

pub mod artifacts;
pub mod cache;
pub mod catalogue;
#[cfg(test)]
mod differential_tests;
pub mod experiments;
pub mod expiry;
pub mod moving;
pub mod pipelines;
pub mod places;
#[cfg(test)]
mod places_tests;
pub mod query;
#[cfg(test)]
mod query_tests;
pub mod recurring;
pub mod removal;
pub mod runs;
pub mod schema;
pub mod shown;
pub mod tasks;
#[cfg(test)]
mod tests;

use ferroflow_platform::records::{Error, Records, Row};
use serde::de::{DeserializeOwned, IntoDeserializer, value};
use serde_json::Value;

/// Makes or renews the tables of runs.
///
/// # Errors
/// [`Error`].
pub async fn migrate(records: &Records) -> Result<(), Error> {
    records.migrate("pipelines_runs", schema::RUNS).await
}

/// What a column holds as JSON.
pub(crate) fn json<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T, Error> {
    serde_json::from_str(row.text(column)?).map_err(|_| Error::Column { column, wanted: "the JSON that belongs there" })
}

/// What a column holds as JSON, or `None` for NULL.
pub(crate) fn optional_json<T: DeserializeOwned>(row: &Row, column: usize) -> Result<Option<T>, Error> {
    let wanted = "the JSON that belongs there";
    let read = |text| serde_json::from_str(text).map_err(|_| Error::Column { column, wanted });
    row.optional_text(column)?.map(read).transpose()
}

/// A value as the text of its JSON. Maps with keys that are no strings do not occur in rows.
pub(crate) fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap_or(Value::Null).to_string()
}

/// Reads a word that an enum has as its JSON.
pub(crate) fn word<T: DeserializeOwned>(row: &Row, column: usize, wanted: &'static str) -> Result<T, Error> {
    let word: value::StrDeserializer<'_, value::Error> = row.text(column)?.into_deserializer();
    T::deserialize(word).map_err(|_| Error::Column { column, wanted })
}

/// The word that an enum has as its JSON.
pub(crate) fn word_of(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}
