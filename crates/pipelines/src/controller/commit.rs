//! What a run wants recorded, as statements; and a step's pod with its name and labels.

use std::collections::BTreeMap;

use ferroflow_api::names::REPORTS_ITSELF_ANNOTATION;
use ferroflow_platform::records::Statement;
use k8s_openapi::api::core::v1::Pod;

use super::{
    pods::{ATTEMPT_LABEL, RUN_LABEL, TASK_LABEL},
    shared::Shared,
};
use crate::{
    core::{
        engine::{Commit, NodeId, Run, StepView, Use, handover::Handed},
        fault::Fault,
        pod, preamble,
        step::{AUDIENCE, StepClaims},
    },
    store::{
        self,
        artifacts::ArtifactRow,
        cache::{CacheEntry, CacheKey},
        runs::RunRow,
    },
};

/// A step's token is good for this long, and a pod that runs longer cannot report: four weeks.
const TOKEN_S: i64 = 28 * 24 * 3600;

/// Digests by the names of images.
pub(super) type Digests = BTreeMap<String, String>;

/// What the images of steps stand for that are about to go into the cache: they have just run from them.
pub(super) async fn images(shared: &Shared, commit: &Commit) -> Digests {
    let mut digests = Digests::new();
    for entry in &commit.cache {
        if !digests.contains_key(&entry.image)
            && let Some(digest) = super::lookup::digest(shared, &entry.image).await
        {
            digests.insert(entry.image.clone(), digest);
        }
    }
    digests
}

/// One write.
pub(super) fn statements(row: &RunRow, commit: Commit, images: &Digests, now_ms: i64) -> Vec<Statement> {
    let guards = commit.guards.iter().map(|(task, attempt)| store::tasks::is_current(task, *attempt));
    let removed = commit.removed.iter().map(|task| store::tasks::remove(task));
    let tasks = commit.tasks.iter().map(store::tasks::save);
    let artifacts = commit.artifacts.into_iter().map(|(task_id, output, artifact)| {
        store::artifacts::insert(&ArtifactRow {
            artifact,
            run_id: row.run_id.clone(),
            task_id,
            namespace: row.namespace.clone(),
            pipeline_name: row.pipeline_name.clone(),
            output,
            created_ms: now_ms,
        })
    });
    let cache = commit.cache.into_iter().map(|entry| {
        let (namespace, pipeline_name) = (row.namespace.clone(), row.pipeline_name.clone());
        let key = CacheKey { namespace, pipeline_name, fingerprint: entry.fingerprint };
        let image = images.get(&entry.image).cloned();
        let entry = CacheEntry { task_id: entry.task_id, outputs: entry.outputs, kept: entry.kept, image };
        store::cache::save(&key, &row.run_id, &entry, now_ms)
    });
    let uses = commit.uses.into_iter().flat_map(|used| match used {
        Use::Hit { fingerprint, task_id } => {
            let (namespace, pipeline_name) = (row.namespace.clone(), row.pipeline_name.clone());
            let key = CacheKey { namespace, pipeline_name, fingerprint };
            store::removal::use_hit(&key, &task_id, &row.run_id)
        }
        Use::Artifact(id) => vec![store::removal::use_artifact(&id, &row.run_id)],
    });
    let run = commit.run.is_some().then(|| store::runs::update_state(row));
    guards.chain(uses).chain(removed).chain(tasks).chain(artifacts).chain(cache).chain(run).collect()
}

/// The pod of a step, ready to be made.
pub(super) fn pod(shared: &Shared, run: &Run, row: &RunRow, node: NodeId, step: StepView<'_>) -> Result<Pod, Fault> {
    let claims = StepClaims {
        aud: AUDIENCE.to_owned(),
        run: row.run_id.clone(),
        task: step.task_id.to_owned(),
        attempt: step.attempt,
        exp: shared.now_ms() / 1000 + TOKEN_S,
    };
    let labels = [
        (RUN_LABEL, row.run_id.clone()),
        (TASK_LABEL, step.task_id.to_owned()),
        (ATTEMPT_LABEL, step.attempt.to_string()),
    ];
    let handed = Handed::of(run, node, step)?;
    let annotates = shared.config.annotates;
    let python = annotates.then(|| preamble::annotation(pod::MAIN, &handed.command())).flatten();
    let itself = annotates.then(|| (REPORTS_ITSELF_ANNOTATION.to_owned(), "true".to_owned()));
    let mut pod = handed.pod(&pod::Placement {
        name: step.pod_name,
        labels: labels.map(|(label, value)| (label.to_owned(), value)).into(),
        annotations: python.into_iter().chain(itself).collect(),
        service_account: &row.service_account,
        launcher: &shared.config.launcher,
        endpoint: &shared.config.endpoint,
        token: &shared.tokens.sign(&claims),
        retry: handed.retry(),
    })?;
    pod.metadata.namespace = Some(row.namespace.clone());
    Ok(pod)
}
