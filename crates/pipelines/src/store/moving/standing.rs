//! What there is of experiments, pipelines and versions, as a manifest has it; and rows, a page at a time.

use ferroflow_platform::records::{Records, Row, Statement, Value};
use sha2::{Digest, Sha256};

use super::{Error, line::Table};
use crate::core::moving::{
    manifest::{Named, VersionOf},
    plan::Standing,
};

/// Rows that one reading statement gives: of specs of some hundred KiB, some ten MiB.
const PAGE: i64 = 200;

/// Reads a page of rows after a key.
///
/// `what` is all of the statement up to its `WHERE`, `further` a condition on `$3` beside that of the key.
pub async fn page(
    records: &Records,
    what: &str,
    key: &str,
    after: &str,
    further: Option<(&str, &str)>,
) -> Result<Vec<Row>, Error> {
    let mut values: Vec<Value> = vec![after.into(), PAGE.into()];
    let mut condition = String::new();
    if let Some((column, value)) = further {
        condition = format!(" AND {column} = $3");
        values.push(value.into());
    }
    let sql = format!("{what} WHERE {key} > $1{condition} ORDER BY {key} LIMIT $2");
    Ok(records.read(Statement::new(sql, values)).await?)
}

/// Calls `each` with all rows of a table, by its key.
pub async fn each(
    records: &Records,
    table: Table,
    key: &str,
    further: Option<(&str, &str)>,
    mut each: impl AsyncFnMut(Row) -> Result<(), Error>,
) -> Result<(), Error> {
    let what = format!("SELECT {key}, {} FROM {}", table.columns(), table.name());
    let mut after = String::new();
    loop {
        let rows = page(records, &what, key, &after, further).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        last.text(0)?.clone_into(&mut after);
        for row in rows {
            each(row.from(1)).await?;
        }
    }
}

/// All experiments, pipelines and versions of namespaces that are wanted; versions only of pipelines that are, but which
/// pipeline each is of, of all.
pub async fn standing(
    records: &Records,
    is_wanted: impl Fn(&str) -> bool,
    is_pipeline: impl Fn(&Named) -> bool,
) -> Result<Standing, Error> {
    let mut all = Standing::default();
    for (table, id, name) in
        [(Table::Experiments, "experiment_id", "display_name"), (Table::Pipelines, "pipeline_id", "name")]
    {
        let sql = format!("SELECT {id}, namespace, {name} FROM {} ORDER BY created_ms, {id}", table.name());
        for row in records.read(Statement::new(sql, [])).await? {
            let text = |column| row.text(column).map(str::to_owned);
            let named = Named { id: text(0)?, namespace: text(1)?, name: text(2)? };
            match table {
                _ if !is_wanted(&named.namespace) => {}
                Table::Experiments => all.experiments.push(named),
                _ => all.pipelines.push(named),
            }
        }
    }
    for pipeline in all.pipelines.iter().filter(|pipeline| is_pipeline(pipeline)) {
        let further = Some(("pipeline_id", pipeline.id.as_str()));
        let versions = &mut all.versions;
        each(records, Table::Versions, "pipeline_version_id", further, async |row| {
            let digest = Sha256::digest(row.text(9)?.as_bytes());
            versions.push(VersionOf {
                id: row.text(0)?.to_owned(),
                pipeline_id: row.text(1)?.to_owned(),
                name: row.text(2)?.to_owned(),
                digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            });
            Ok(())
        })
        .await?;
    }
    let sql = "SELECT pipeline_version_id, pipeline_id FROM pipelines_versions";
    for row in records.read(Statement::new(sql, [])).await? {
        all.owners.insert(row.text(0)?.to_owned(), row.text(1)?.to_owned());
    }
    Ok(all)
}
