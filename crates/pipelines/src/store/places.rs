//! Whose what is in the store: places that runs of a namespace lie below, and whose runs are.

use std::collections::BTreeSet;

use ferroflow_platform::records::{Error, Records, Row, Statement, Value};

use crate::core::reach::{self, Owner, Standing};

/// Runs that are looked at together.
const BATCH: usize = 500;

/// Notes that runs of a namespace lie below a place, for it and all above it; `None` where there is none.
pub fn hold(namespace: &str, name: &str) -> Option<Statement> {
    // The highest comes first everywhere, so that writes that wait for each other never do so in a circle.
    let above: Vec<&str> = reach::above(name).collect();
    let rows: Vec<String> = (0..above.len()).map(|number| format!("(${}, $1)", number + 2)).collect();
    let sql = format!(
        "INSERT INTO pipelines_places (place, namespace) VALUES {} ON CONFLICT (place, namespace) DO NOTHING",
        rows.join(", ")
    );
    let values: Vec<Value> = std::iter::once(namespace).chain(above.iter().copied()).map(Value::from).collect();
    (!name.is_empty()).then(|| Statement::new(sql, values))
}

/// Where a run has put what lies at a URI, without the run itself: `<root>/<pipeline>`. `None` for what lies elsewhere.
pub fn root_of<'a>(uri: &'a str, pipeline_name: &str, run_id: &str) -> Option<&'a str> {
    uri.find(&format!("/{pipeline_name}/{run_id}/")).map(|at| &uri[..=at + pipeline_name.len()])
}

/// What is recorded of a place, as runs of a namespace see it.
///
/// # Errors
/// [`Error`].
pub async fn standing(records: &Records, namespace: &str, name: &str) -> Result<Standing, Error> {
    let sql = "SELECT 1 FROM pipelines_places WHERE place = $1 AND namespace <> $2 LIMIT 1";
    let mut statements = vec![Statement::new(sql, [name.into(), namespace.into()])];
    let runs = reach::runs(name);
    if !runs.is_empty() {
        let marks: Vec<String> = (1..=runs.len()).map(|number| format!("${number}")).collect();
        let marks = marks.join(", ");
        let known = format!(
            "SELECT run_id, namespace FROM pipelines_runs WHERE run_id IN ({marks}) \
             UNION SELECT run_id, namespace FROM pipelines_artifacts WHERE run_id IN ({marks})"
        );
        let going = format!("SELECT run_id FROM pipelines_removals WHERE run_id IN ({marks})");
        let values: Vec<Value> = runs.iter().map(|run| Value::from(*run)).collect();
        statements.push(Statement::new(known, values.clone()));
        statements.push(Statement::new(going, values));
    }
    let mut answers = records.read_all(statements).await?.into_iter();
    let holds_others = answers.next().is_some_and(|rows| !rows.is_empty());
    let (mut owners, mut known) = (Vec::new(), BTreeSet::new());
    for row in answers.next().into_iter().flatten() {
        known.insert(row.text(0)?.to_owned());
        owners.push(Owner { namespace: row.text(1)?.to_owned() });
    }
    for row in answers.next().into_iter().flatten() {
        if !known.contains(row.text(0)?) {
            owners.push(Owner { namespace: String::new() });
        }
    }
    Ok(Standing { owners, holds_others })
}

/// Runs whose places are not noted, since they were recorded before places were; [`BATCH`] at the most.
///
/// # Errors
/// [`Error`].
pub async fn unplaced(records: &Records) -> Result<Vec<String>, Error> {
    let sql = format!("SELECT run_id FROM pipelines_unplaced ORDER BY run_id LIMIT {BATCH}");
    let rows = records.read(Statement::new(sql, [])).await?;
    rows.iter().map(|row: &Row| row.text(0).map(str::to_owned)).collect()
}

/// Namespaces and roots, with the pipeline, of the runs that [`unplaced`] tells, by what is recorded of their artifacts.
///
/// # Errors
/// [`Error`].
pub async fn unplaced_roots(records: &Records) -> Result<BTreeSet<(String, String)>, Error> {
    let sql = format!(
        "SELECT DISTINCT namespace, pipeline_name, run_id, uri FROM pipelines_artifacts \
         WHERE run_id IN (SELECT run_id FROM pipelines_unplaced ORDER BY run_id LIMIT {BATCH})"
    );
    let mut roots = BTreeSet::new();
    for row in records.read(Statement::new(sql, [])).await? {
        if let Some(root) = root_of(row.text(3)?, row.text(1)?, row.text(2)?) {
            roots.insert((row.text(0)?.to_owned(), root.to_owned()));
        }
    }
    Ok(roots)
}

/// Notes that the places of a run are noted.
pub fn placed(run_id: &str) -> Statement {
    Statement::new("DELETE FROM pipelines_unplaced WHERE run_id = $1", [run_id.into()])
}
