//! Pipelines and their versions.

use ferroflow_platform::records::{Error, Records, Row, Statement};
use serde_json::{Map, Value};

use super::{
    json,
    query::{self, Listed, Selected},
};
use crate::core::query::{PIPELINE, Page, VERSION};

/// Tags by name.
pub type Tags = Map<String, Value>;

/// One pipeline. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pipeline {
    pub pipeline_id: String,
    pub namespace: String,
    pub name: String,
    pub display_name: String,
    pub description: String,
    pub created_ms: i64,
    pub tags: Tags,
}

/// One version of a pipeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Version {
    pub pipeline_version_id: String,
    pub pipeline_id: String,
    pub name: String,
    pub display_name: String,
    pub description: String,
    pub created_ms: i64,
    pub package_url: String,
    pub code_source_url: String,
    pub tags: Tags,
    /// The text of the JSON of its spec, as clients get it.
    pub spec: String,
}

pub(crate) const COLUMNS: &str = "pipeline_id, namespace, name, display_name, description, created_ms, tags";
pub(crate) const VERSION_COLUMNS: &str = "pipeline_version_id, pipeline_id, name, display_name, description, created_ms, \
    package_url, code_source_url, tags, spec";

pub(crate) fn read(mut row: Row) -> Result<Pipeline, Error> {
    Ok(Pipeline {
        pipeline_id: row.take_text(0)?,
        namespace: row.take_text(1)?,
        name: row.take_text(2)?,
        display_name: row.take_text(3)?,
        description: row.take_text(4)?,
        created_ms: row.integer(5)?,
        tags: json(&row, 6)?,
    })
}

pub(crate) fn read_version(mut row: Row) -> Result<Version, Error> {
    Ok(Version {
        pipeline_version_id: row.take_text(0)?,
        pipeline_id: row.take_text(1)?,
        name: row.take_text(2)?,
        display_name: row.take_text(3)?,
        description: row.take_text(4)?,
        created_ms: row.integer(5)?,
        package_url: row.take_text(6)?,
        code_source_url: row.take_text(7)?,
        tags: json(&row, 8)?,
        spec: row.take_text(9)?,
    })
}

/// Records a new pipeline with its tags.
pub fn insert(pipeline: &Pipeline) -> Vec<Statement> {
    let sql = "INSERT INTO pipelines_pipelines (pipeline_id, namespace, name, display_name, description, created_ms, tags) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = [
        (&pipeline.pipeline_id).into(),
        (&pipeline.namespace).into(),
        (&pipeline.name).into(),
        (&pipeline.display_name).into(),
        (&pipeline.description).into(),
        pipeline.created_ms.into(),
        Value::Object(pipeline.tags.clone()).to_string().into(),
    ];
    with_tags(Statement::new(sql, values), &pipeline.pipeline_id, &pipeline.tags)
}

/// Records a new version with its tags, of a pipeline that is there and stays until the write ends.
pub fn insert_version(version: &Version) -> Vec<Statement> {
    let sql = "INSERT INTO pipelines_versions (pipeline_version_id, pipeline_id, name, display_name, description, \
               created_ms, package_url, code_source_url, tags, spec) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let values = [
        (&version.pipeline_version_id).into(),
        (&version.pipeline_id).into(),
        (&version.name).into(),
        (&version.display_name).into(),
        (&version.description).into(),
        version.created_ms.into(),
        (&version.package_url).into(),
        (&version.code_source_url).into(),
        Value::Object(version.tags.clone()).to_string().into(),
        (&version.spec).into(),
    ];
    let mut all = vec![hold(&version.pipeline_id).must_change()];
    all.extend(with_tags(Statement::new(sql, values), &version.pipeline_version_id, &version.tags));
    all
}

/// Keeps others from adding versions to a pipeline, or removing it, until the write ends.
fn hold(id: &str) -> Statement {
    let sql = "UPDATE pipelines_pipelines SET pipeline_id = pipeline_id WHERE pipeline_id = $1";
    Statement::new(sql, [id.into()])
}

fn with_tags(statement: Statement, owner: &str, tags: &Tags) -> Vec<Statement> {
    let mut all = vec![statement];
    all.extend(tags.iter().map(|(tag, value)| {
        let sql = "INSERT INTO pipelines_tags (owner, tag, value) VALUES ($1, $2, $3)";
        Statement::new(sql, [owner.into(), tag.into(), value.as_str().unwrap_or_default().into()])
    }));
    all
}

/// An update with tags in place of those that were there. The update comes first: who would do the same waits.
fn renewed(update: Statement, owner: &str, tags: &Tags) -> Vec<Statement> {
    let mut all = with_tags(update.must_change(), owner, tags);
    all.insert(1, delete_tags(owner));
    all
}

fn delete_tags(owner: &str) -> Statement {
    Statement::new("DELETE FROM pipelines_tags WHERE owner = $1", [owner.into()])
}

/// Records what may be changed of a pipeline: how it is shown, and its tags.
pub fn update(pipeline: &Pipeline) -> Vec<Statement> {
    let sql = "UPDATE pipelines_pipelines SET display_name = $2, description = $3, tags = $4 WHERE pipeline_id = $1";
    let values = [
        (&pipeline.pipeline_id).into(),
        (&pipeline.display_name).into(),
        (&pipeline.description).into(),
        Value::Object(pipeline.tags.clone()).to_string().into(),
    ];
    renewed(Statement::new(sql, values), &pipeline.pipeline_id, &pipeline.tags)
}

/// The same of a version.
pub fn update_version(version: &Version) -> Vec<Statement> {
    let sql =
        "UPDATE pipelines_versions SET display_name = $2, description = $3, tags = $4 WHERE pipeline_version_id = $1";
    let values = [
        (&version.pipeline_version_id).into(),
        (&version.display_name).into(),
        (&version.description).into(),
        Value::Object(version.tags.clone()).to_string().into(),
    ];
    renewed(Statement::new(sql, values), &version.pipeline_version_id, &version.tags)
}

/// The pipeline of an id.
///
/// # Errors
/// [`Error`].
pub async fn get(records: &Records, id: &str) -> Result<Option<Pipeline>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM pipelines_pipelines WHERE pipeline_id = $1");
    let rows = records.read(Statement::new(sql, [id.into()])).await?;
    rows.into_iter().next().map(read).transpose()
}

/// The pipeline of a name.
///
/// # Errors
/// [`Error`].
pub async fn by_name(records: &Records, namespace: &str, name: &str) -> Result<Option<Pipeline>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM pipelines_pipelines WHERE namespace = $1 AND name = $2");
    let rows = records.read(Statement::new(sql, [namespace.into(), name.into()])).await?;
    rows.into_iter().next().map(read).transpose()
}

/// A page of the pipelines of a namespace.
///
/// # Errors
/// [`Error`].
pub async fn list(records: &Records, namespace: &str, page: &Page) -> Result<Listed<Pipeline>, Error> {
    let scope = [("namespace", namespace.to_owned())];
    let selected = Selected { columns: COLUMNS, joined: ("", "") };
    query::list(records, &PIPELINE, &scope, page, selected, read).await
}

/// The version of an id, of any pipeline.
///
/// # Errors
/// [`Error`].
pub async fn version(records: &Records, id: &str) -> Result<Option<Version>, Error> {
    let sql = format!("SELECT {VERSION_COLUMNS} FROM pipelines_versions WHERE pipeline_version_id = $1");
    let rows = records.read(Statement::new(sql, [id.into()])).await?;
    rows.into_iter().next().map(read_version).transpose()
}

/// The newest version of a pipeline.
///
/// # Errors
/// [`Error`].
pub async fn latest(records: &Records, pipeline_id: &str) -> Result<Option<Version>, Error> {
    let sql = format!(
        "SELECT {VERSION_COLUMNS} FROM pipelines_versions WHERE pipeline_id = $1 \
         ORDER BY created_ms DESC, pipeline_version_id DESC LIMIT 1"
    );
    let rows = records.read(Statement::new(sql, [pipeline_id.into()])).await?;
    rows.into_iter().next().map(read_version).transpose()
}

/// A page of the versions of a pipeline.
///
/// # Errors
/// [`Error`].
pub async fn versions(records: &Records, pipeline_id: &str, page: &Page) -> Result<Listed<Version>, Error> {
    let scope = [("pipeline_id", pipeline_id.to_owned())];
    let selected = Selected { columns: VERSION_COLUMNS, joined: ("", "") };
    query::list(records, &VERSION, &scope, page, selected, read_version).await
}

/// Removes a version.
pub fn delete_version(id: &str) -> Vec<Statement> {
    let sql = "DELETE FROM pipelines_versions WHERE pipeline_version_id = $1";
    vec![Statement::new(sql, [id.into()]).must_change(), delete_tags(id)]
}

/// Removes a pipeline that has no versions.
pub fn delete(id: &str) -> Vec<Statement> {
    let sql = "DELETE FROM pipelines_pipelines WHERE pipeline_id = $1 \
               AND NOT EXISTS (SELECT 1 FROM pipelines_versions WHERE pipeline_id = $1)";
    vec![hold(id), Statement::new(sql, [id.into()]).must_change(), delete_tags(id)]
}

/// Removes a pipeline with its versions.
pub fn delete_all(id: &str) -> Vec<Statement> {
    let tags = "DELETE FROM pipelines_tags WHERE owner IN \
                (SELECT pipeline_version_id FROM pipelines_versions WHERE pipeline_id = $1)";
    let versions = "DELETE FROM pipelines_versions WHERE pipeline_id = $1";
    let hold_versions = "UPDATE pipelines_versions SET pipeline_id = pipeline_id WHERE pipeline_id = $1";
    let of = |sql: &'static str| Statement::new(sql, [id.into()]);
    let mut all = vec![hold(id), of(hold_versions), of(tags), of(versions)];
    all.extend(delete(id));
    all
}
