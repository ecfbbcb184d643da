//! The tables of what runs are made from: experiments, pipelines with versions and tags, recurring runs. A step is never
//! changed after a release.

use ferroflow_platform::records::{Error, Records};

pub(crate) const STEPS: &[&[&str]] = &[&[
    "CREATE TABLE pipelines_experiments (experiment_id TEXT PRIMARY KEY, namespace TEXT NOT NULL, \
     display_name TEXT NOT NULL, description TEXT NOT NULL, storage_state TEXT NOT NULL, created_ms BIGINT NOT NULL, \
     last_run_ms BIGINT NOT NULL, UNIQUE (namespace, display_name))",
    "CREATE INDEX pipelines_experiments_by_creation ON pipelines_experiments (namespace, created_ms, experiment_id)",
    "CREATE TABLE pipelines_pipelines (pipeline_id TEXT PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, \
     display_name TEXT NOT NULL, description TEXT NOT NULL, created_ms BIGINT NOT NULL, tags TEXT NOT NULL, \
     UNIQUE (namespace, name))",
    "CREATE INDEX pipelines_pipelines_by_creation ON pipelines_pipelines (namespace, created_ms, pipeline_id)",
    "CREATE TABLE pipelines_versions (pipeline_version_id TEXT PRIMARY KEY, pipeline_id TEXT NOT NULL, \
     name TEXT NOT NULL, display_name TEXT NOT NULL, description TEXT NOT NULL, created_ms BIGINT NOT NULL, \
     package_url TEXT NOT NULL, code_source_url TEXT NOT NULL, tags TEXT NOT NULL, spec TEXT NOT NULL, \
     UNIQUE (pipeline_id, name))",
    "CREATE INDEX pipelines_versions_by_creation ON pipelines_versions (pipeline_id, created_ms, pipeline_version_id)",
    "CREATE TABLE pipelines_tags (owner TEXT NOT NULL, tag TEXT NOT NULL, value TEXT NOT NULL, \
     PRIMARY KEY (owner, tag))",
    "CREATE TABLE pipelines_recurring (recurring_run_id TEXT PRIMARY KEY, experiment_id TEXT NOT NULL, \
     namespace TEXT NOT NULL, display_name TEXT NOT NULL, description TEXT NOT NULL, created_ms BIGINT NOT NULL, \
     updated_ms BIGINT NOT NULL, is_enabled BIGINT NOT NULL, max_concurrency BIGINT NOT NULL, \
     no_catchup BIGINT NOT NULL, schedule TEXT NOT NULL, pipeline_id TEXT, pipeline_version_id TEXT, \
     spec TEXT, runtime_config TEXT NOT NULL, service_account TEXT NOT NULL, last_ms BIGINT, \
     next_index BIGINT NOT NULL, error TEXT NOT NULL)",
    "CREATE INDEX pipelines_recurring_by_creation ON pipelines_recurring (namespace, created_ms, recurring_run_id)",
    // The lists of runs that clients ask for most, in which a page and the count come from the index.
    "CREATE INDEX pipelines_runs_by_namespace ON pipelines_runs (namespace, created_ms, run_id)",
    "CREATE INDEX pipelines_artifacts_by_creation ON pipelines_artifacts (namespace, created_ms, artifact_id)",
    "CREATE INDEX pipelines_tasks_by_parent ON pipelines_tasks (parent_id)",
]];

/// Makes or renews the tables, after those of runs.
///
/// # Errors
/// [`Error`].
pub async fn migrate(records: &Records) -> Result<(), Error> {
    records.migrate("pipelines_catalogue", STEPS).await
}
