//! Rows as lines of JSON: `["TABLE", {"COLUMN": VALUE}]`, columns that are NULL left out.

use ferroflow_platform::records::{Row, Value};
use serde_json::{Map, Value as Json};

use super::Error;
use crate::store::{artifacts, cache, experiments, pipelines, recurring, runs, tasks};

/// A table whose rows travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Experiments,
    Pipelines,
    Versions,
    Recurring,
    Specs,
    Runs,
    Tasks,
    Uses,
    Artifacts,
    Cache,
}

impl Table {
    pub const ALL: [Self; 10] = [
        Self::Experiments,
        Self::Pipelines,
        Self::Versions,
        Self::Recurring,
        Self::Specs,
        Self::Runs,
        Self::Tasks,
        Self::Uses,
        Self::Artifacts,
        Self::Cache,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Experiments => "pipelines_experiments",
            Self::Pipelines => "pipelines_pipelines",
            Self::Versions => "pipelines_versions",
            Self::Recurring => "pipelines_recurring",
            Self::Specs => "pipelines_specs",
            Self::Runs => "pipelines_runs",
            Self::Tasks => "pipelines_tasks",
            Self::Uses => "pipelines_uses",
            Self::Artifacts => "pipelines_artifacts",
            Self::Cache => "pipelines_cache",
        }
    }

    /// All columns, in the order in which rows are read.
    pub fn columns(self) -> &'static str {
        match self {
            Self::Experiments => experiments::COLUMNS,
            Self::Pipelines => pipelines::COLUMNS,
            Self::Versions => pipelines::VERSION_COLUMNS,
            Self::Recurring => recurring::COLUMNS,
            Self::Specs => "digest, spec",
            Self::Runs => runs::COLUMNS,
            Self::Tasks => tasks::COLUMNS,
            Self::Uses => "task_id, run_id",
            Self::Artifacts => artifacts::COLUMNS,
            Self::Cache => cache::COLUMNS,
        }
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        self.columns().split(", ")
    }
}

/// A row as a line.
pub fn line(table: Table, row: &Row) -> Result<String, Error> {
    let mut fields = Map::new();
    for (column, name) in table.names().enumerate() {
        let value = match row.value(column)? {
            Value::Null => continue,
            Value::Integer(value) => (*value).into(),
            Value::Real(value) => (*value).into(),
            Value::Text(text) => text.clone().into(),
            Value::Bytes(_) => {
                return Err(Error::Archive(format!("column {name} of {} holds bytes", table.name())));
            }
        };
        fields.insert(name.to_owned(), value);
    }
    Ok(Json::Array(vec![table.name().into(), Json::Object(fields)]).to_string() + "\n")
}

/// Reads a line.
pub fn parsed(line: &str) -> Result<(Table, Row), Error> {
    let broken = |why: String| Error::Archive(why);
    let (name, mut fields): (String, Map<String, Json>) =
        serde_json::from_str(line).map_err(|error| broken(format!("a line in it is no row: {error}")))?;
    let table = Table::ALL.into_iter().find(|table| table.name() == name);
    let table = table.ok_or_else(|| broken(format!("it has rows of {name}, which this program does not know")))?;
    let mut values = Vec::new();
    for column in table.names() {
        values.push(match fields.remove(column) {
            None => Value::Null,
            Some(Json::String(text)) => Value::Text(text),
            Some(Json::Number(number)) => match number.as_i64() {
                Some(value) => Value::Integer(value),
                None => Value::Real(number.as_f64().unwrap_or_default()),
            },
            Some(other) => return Err(broken(format!("column {column} of {name} holds {other}"))),
        });
    }
    match fields.keys().next() {
        Some(column) => Err(broken(format!(
            "{name} has a column {column} in it, which this program does not know; take the version that wrote it, or a \
             newer one"
        ))),
        None => Ok((table, Row::of(values))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_and_what_is_unknown_is_named() {
        let row = Row::of(vec!["d".into(), "{\"a\": \"é\n\"}".into()]);
        let text = line(Table::Specs, &row).unwrap();
        assert_eq!(parsed(text.trim_end()).unwrap(), (Table::Specs, row));
        let (_, row) = parsed("[\"pipelines_uses\", {\"task_id\": \"t\"}]").unwrap();
        assert_eq!(row, Row::of(vec!["t".into(), Value::Null]));
        for (text, told) in [
            ("{}", "no row"),
            ("[\"pipelines_x\", {}]", "pipelines_x"),
            ("[\"pipelines_uses\", {\"color\": 1}]", "column color"),
            ("[\"pipelines_uses\", {\"task_id\": [1]}]", "holds [1]"),
        ] {
            let error = parsed(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
