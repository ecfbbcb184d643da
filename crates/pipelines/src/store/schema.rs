//! The tables of runs, in the steps that made them. A step is never changed after a release.

/// Steps of runs, tasks, artifacts and the cache.
pub const RUNS: &[&[&str]] = &[FIRST, USES, DUE, IMAGE, EXPIRY, PLACES];

/// Who uses the outputs of whose tasks, and whose files are to be removed.
const USES: &[&str] = &[
    "CREATE TABLE pipelines_uses (task_id TEXT NOT NULL, run_id TEXT NOT NULL, PRIMARY KEY (task_id, run_id))",
    "CREATE INDEX pipelines_uses_by_run ON pipelines_uses (run_id)",
    "CREATE TABLE pipelines_removals (run_id TEXT PRIMARY KEY, place TEXT NOT NULL, created_ms BIGINT NOT NULL)",
];

/// When the next attempt of a task may begin.
const DUE: &[&str] = &["ALTER TABLE pipelines_tasks ADD COLUMN due_ms BIGINT"];

/// Which image a cached step ran from.
const IMAGE: &[&str] = &["ALTER TABLE pipelines_cache ADD COLUMN image TEXT"];

/// When the pods of runs that have ended go.
const EXPIRY: &[&str] = &[
    "CREATE TABLE pipelines_expiries (run_id TEXT PRIMARY KEY, due_ms BIGINT NOT NULL)",
    "CREATE INDEX pipelines_expiries_by_time ON pipelines_expiries (due_ms, run_id)",
];

/// Which places runs of which namespaces lie below, with all above those; and runs of which that is not noted yet.
const PLACES: &[&str] = &[
    "CREATE TABLE pipelines_places (place TEXT NOT NULL, namespace TEXT NOT NULL, PRIMARY KEY (place, namespace))",
    "CREATE TABLE pipelines_unplaced (run_id TEXT PRIMARY KEY)",
    "INSERT INTO pipelines_unplaced (run_id) SELECT DISTINCT run_id FROM pipelines_artifacts",
];

const FIRST: &[&str] = &[
    "CREATE TABLE pipelines_specs (digest TEXT PRIMARY KEY, spec TEXT NOT NULL)",
    "CREATE TABLE pipelines_runs (run_id TEXT PRIMARY KEY, experiment_id TEXT NOT NULL, namespace TEXT NOT NULL, \
     display_name TEXT NOT NULL, description TEXT NOT NULL, storage_state TEXT NOT NULL, state TEXT NOT NULL, \
     created_ms BIGINT NOT NULL, scheduled_ms BIGINT NOT NULL, finished_ms BIGINT, service_account TEXT NOT NULL, \
     pipeline_id TEXT, pipeline_version_id TEXT, recurring_run_id TEXT, pipeline_name TEXT NOT NULL, \
     spec_digest TEXT NOT NULL, runtime_config TEXT NOT NULL, error TEXT, history TEXT NOT NULL)",
    "CREATE INDEX pipelines_runs_by_creation ON pipelines_runs (created_ms, run_id)",
    "CREATE INDEX pipelines_runs_by_experiment ON pipelines_runs (experiment_id, created_ms, run_id)",
    "CREATE INDEX pipelines_runs_by_recurring ON pipelines_runs (recurring_run_id, created_ms)",
    "CREATE INDEX pipelines_runs_by_spec ON pipelines_runs (spec_digest)",
    // Of all runs only those that are under way are looked for by their state.
    "CREATE INDEX pipelines_runs_active ON pipelines_runs (state) WHERE finished_ms IS NULL",
    "CREATE TABLE pipelines_tasks (task_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, parent_id TEXT, path TEXT NOT NULL, \
     task_key TEXT NOT NULL, display_name TEXT NOT NULL, kind TEXT NOT NULL, iteration BIGINT, iteration_count BIGINT, \
     state TEXT NOT NULL, attempt BIGINT NOT NULL, first_attempt BIGINT NOT NULL, pod_name TEXT, work_root TEXT, \
     created_ms BIGINT NOT NULL, started_ms BIGINT, ended_ms BIGINT, error TEXT, inputs TEXT NOT NULL, \
     outputs TEXT NOT NULL, cache TEXT NOT NULL)",
    "CREATE INDEX pipelines_tasks_by_run ON pipelines_tasks (run_id, path)",
    "CREATE TABLE pipelines_artifacts (artifact_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, task_id TEXT NOT NULL, \
     namespace TEXT NOT NULL, pipeline_name TEXT NOT NULL, output TEXT NOT NULL, name TEXT NOT NULL, \
     schema_title TEXT NOT NULL, schema_version TEXT NOT NULL, uri TEXT NOT NULL, metadata TEXT NOT NULL, \
     created_ms BIGINT NOT NULL)",
    "CREATE INDEX pipelines_artifacts_by_run ON pipelines_artifacts (run_id)",
    "CREATE INDEX pipelines_artifacts_by_uri ON pipelines_artifacts (uri)",
    "CREATE TABLE pipelines_cache (namespace TEXT NOT NULL, pipeline_name TEXT NOT NULL, fingerprint TEXT NOT NULL, \
     run_id TEXT NOT NULL, task_id TEXT NOT NULL, outputs TEXT NOT NULL, kept TEXT NOT NULL, created_ms BIGINT NOT NULL, \
     PRIMARY KEY (namespace, pipeline_name, fingerprint))",
];
