//! Asks whether runs of a namespace may name and read a place, and notes which places they have.

use ferroflow_platform::{blob::StoreError, records::Statement};

use super::{api::EngineError, shared::Shared};
use crate::{
    core::{
        engine::{Facts, handover::Handed},
        fault::Fault,
        ir::Pipeline,
        reach::{self, Wanted},
    },
    store::places,
};

/// Refuses a URI that leads to what is another namespace's, or the server's own. What is kept elsewhere is not looked at.
pub(super) async fn check(shared: &Shared, namespace: &str, uri: &str) -> Result<(), EngineError> {
    let Some(name) = name(shared, uri)? else { return Ok(()) };
    let root = shared.blobs.artifact(&shared.config.pipeline_root).ok().flatten();
    let wanted = Wanted { namespace, uri, name: &name, root: root.as_deref() };
    let standing = places::standing(&shared.records, namespace, &name).await?;
    reach::check(wanted, &standing).map_err(EngineError::Denied)
}

/// The place of a URI; `None` for one that is kept elsewhere.
pub(super) fn name(shared: &Shared, uri: &str) -> Result<Option<String>, EngineError> {
    shared.blobs.artifact(uri).map_err(|error| match error {
        StoreError::Place { why, .. } => EngineError::Denied(format!("{uri} can be no artifact: {why}")),
        other => EngineError::Blobs(other.to_string()),
    })
}

/// Refuses a run whose outputs would lie among those of another namespace's, or among what is the server's own; the place
/// that they lie below. A root that is of no store fails the steps that have outputs.
pub(super) async fn root(shared: &Shared, facts: &Facts, pipeline: &Pipeline) -> Result<Option<String>, EngineError> {
    let denied = |what| EngineError::Fault(Fault::new("pipeline_root", what));
    let place = match name(shared, &Handed::directory(facts, pipeline)) {
        Err(EngineError::Denied(what)) => return Err(denied(what)),
        other => other?,
    };
    let Some(root) = place.as_deref().and_then(|place| place.rsplit_once('/')).map(|(root, _)| root.to_owned()) else {
        return Ok(None);
    };
    if reach::runs(&root).is_empty() {
        return Ok(Some(root));
    }
    let mut standing = places::standing(&shared.records, &facts.namespace, &root).await?;
    // Beside what others have made there is room.
    standing.holds_others = false;
    let wanted = Wanted { namespace: &facts.namespace, uri: &facts.root, name: &root, root: None };
    reach::check(wanted, &standing).map_err(denied)?;
    Ok(Some(root))
}

/// Notes the places of runs that were recorded before places were.
pub(super) async fn note_older(shared: &Shared) -> Result<(), EngineError> {
    loop {
        let runs = places::unplaced(&shared.records).await?;
        if runs.is_empty() {
            return Ok(());
        }
        let mut statements: Vec<Statement> = runs.iter().map(|run| places::placed(run)).collect();
        for (namespace, root) in places::unplaced_roots(&shared.records).await? {
            let name = shared.blobs.artifact(&root).ok().flatten();
            statements.extend(name.and_then(|name| places::hold(&namespace, &name)));
        }
        shared.records.write(statements).await?;
    }
}
