//! Artifacts that tasks have made or imported.

use ferroflow_platform::records::{Error, Records, Row, Statement};

use super::{json, text};
use crate::core::value::Artifact;

/// One artifact, and where it came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArtifactRow {
    pub artifact: Artifact,
    pub run_id: String,
    pub task_id: String,
    pub namespace: String,
    pub pipeline_name: String,
    /// The output of the task.
    pub output: String,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

/// The columns of an artifact in the order in which [`artifact`] reads them.
pub const COLUMNS: &str = "artifact_id, run_id, task_id, namespace, pipeline_name, output, name, schema_title, \
    schema_version, uri, metadata, created_ms";

/// Reads a row of [`COLUMNS`].
///
/// # Errors
/// [`Error::Column`].
pub fn artifact(mut row: Row) -> Result<ArtifactRow, Error> {
    Ok(ArtifactRow {
        artifact: Artifact {
            id: row.take_text(0)?,
            name: row.take_text(6)?,
            schema_title: row.take_text(7)?,
            schema_version: row.take_text(8)?,
            uri: row.take_text(9)?,
            metadata: json(&row, 10)?,
        },
        run_id: row.take_text(1)?,
        task_id: row.take_text(2)?,
        namespace: row.take_text(3)?,
        pipeline_name: row.take_text(4)?,
        output: row.take_text(5)?,
        created_ms: row.integer(11)?,
    })
}

/// Records an artifact; one that is there already stays as it is, since its id follows from what it is.
pub fn insert(row: &ArtifactRow) -> Statement {
    let sql = "INSERT INTO pipelines_artifacts (artifact_id, run_id, task_id, namespace, pipeline_name, output, name, \
               schema_title, schema_version, uri, metadata, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
               $11, $12) ON CONFLICT (artifact_id) DO NOTHING";
    let values = [
        (&row.artifact.id).into(),
        (&row.run_id).into(),
        (&row.task_id).into(),
        (&row.namespace).into(),
        (&row.pipeline_name).into(),
        (&row.output).into(),
        (&row.artifact.name).into(),
        (&row.artifact.schema_title).into(),
        (&row.artifact.schema_version).into(),
        (&row.artifact.uri).into(),
        text(&row.artifact.metadata).into(),
        row.created_ms.into(),
    ];
    Statement::new(sql, values)
}

/// The artifact of an id.
///
/// # Errors
/// [`Error`].
pub async fn get(records: &Records, artifact_id: &str) -> Result<Option<ArtifactRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM pipelines_artifacts WHERE artifact_id = $1");
    let rows = records.read(Statement::new(sql, [artifact_id.into()])).await?;
    rows.into_iter().next().map(artifact).transpose()
}

/// Artifacts of a pipeline with a URI, the newest first; 100 at the most, of which an importer takes the first that fits.
///
/// # Errors
/// [`Error`].
pub async fn of_uri(
    records: &Records,
    namespace: &str,
    pipeline_name: &str,
    uri: &str,
) -> Result<Vec<ArtifactRow>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM pipelines_artifacts WHERE uri = $1 AND namespace = $2 AND pipeline_name = $3 \
         ORDER BY created_ms DESC, artifact_id LIMIT 100"
    );
    let values = [uri.into(), namespace.into(), pipeline_name.into()];
    records.read(Statement::new(sql, values)).await?.into_iter().map(artifact).collect()
}
