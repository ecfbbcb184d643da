//! What a list is asked for: sorting, filters, pages.
//!
//! * [`Listable`]: what can be listed, with the fields that it is sorted and filtered by.
//! * [`filter`]: the predicates of a filter, read from the JSON that clients send.
//! * [`page`]: the order, the size and the token of the next page.

pub mod filter;
pub mod page;

#[cfg(test)]
mod tests;

pub use filter::{Operand, Operation, Predicate, Target};
pub use page::{After, Order, Page, Query};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Milliseconds since 1970, which filters compare as seconds, as upstream.
    Time,
}

/// A field of something that can be listed.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// As clients name it.
    pub key: &'static str,
    /// SQL of its column, never NULL.
    pub column: &'static str,
    pub kind: Kind,
}

/// Something that can be listed.
#[derive(Debug, PartialEq, Eq)]
pub struct Listable {
    /// `run`
    pub name: &'static str,
    pub table: &'static str,
    /// The column of its id.
    pub key: &'static str,
    pub fields: &'static [Field],
    /// Whether it has tags, by which it is filtered as `tags.team`.
    pub has_tags: bool,
}

const fn text(key: &'static str, column: &'static str) -> Field {
    Field { key, column, kind: Kind::Text }
}

const fn time(key: &'static str, column: &'static str) -> Field {
    Field { key, column, kind: Kind::Time }
}

impl Listable {
    /// The field of a key.
    pub fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }
}

/// Runs.
pub const RUN: Listable = Listable {
    name: "run",
    table: "pipelines_runs",
    key: "run_id",
    fields: &[
        text("run_id", "run_id"),
        text("id", "run_id"),
        text("display_name", "display_name"),
        text("name", "display_name"),
        time("created_at", "created_ms"),
        time("finished_at", "COALESCE(finished_ms, 0)"),
        time("scheduled_at", "scheduled_ms"),
        text("description", "description"),
        text("storage_state", "storage_state"),
        text("status", "state"),
        text("state", "state"),
        text("namespace", "namespace"),
        text("experiment_id", "experiment_id"),
        text("recurring_run_id", "COALESCE(recurring_run_id, '')"),
        text("pipeline_id", "COALESCE(pipeline_id, '')"),
        text("pipeline_version_id", "COALESCE(pipeline_version_id, '')"),
    ],
    has_tags: false,
};

/// Experiments.
pub const EXPERIMENT: Listable = Listable {
    name: "experiment",
    table: "pipelines_experiments",
    key: "experiment_id",
    fields: &[
        text("experiment_id", "experiment_id"),
        text("id", "experiment_id"),
        text("display_name", "display_name"),
        text("name", "display_name"),
        time("created_at", "created_ms"),
        time("last_run_created_at", "last_run_ms"),
        text("description", "description"),
        text("namespace", "namespace"),
        text("storage_state", "storage_state"),
    ],
    has_tags: false,
};

/// Pipelines.
pub const PIPELINE: Listable = Listable {
    name: "pipeline",
    table: "pipelines_pipelines",
    key: "pipeline_id",
    fields: &[
        text("pipeline_id", "pipeline_id"),
        text("id", "pipeline_id"),
        text("name", "name"),
        text("display_name", "display_name"),
        time("created_at", "created_ms"),
        text("description", "description"),
        text("namespace", "namespace"),
    ],
    has_tags: true,
};

/// Versions of pipelines.
pub const VERSION: Listable = Listable {
    name: "pipeline version",
    table: "pipelines_versions",
    key: "pipeline_version_id",
    fields: &[
        text("pipeline_version_id", "pipeline_version_id"),
        text("id", "pipeline_version_id"),
        text("name", "name"),
        text("display_name", "display_name"),
        time("created_at", "created_ms"),
        text("description", "description"),
        text("code_source_url", "code_source_url"),
        text("pipeline_spec", "spec"),
    ],
    has_tags: true,
};

/// Recurring runs.
pub const RECURRING: Listable = Listable {
    name: "recurring run",
    table: "pipelines_recurring",
    key: "recurring_run_id",
    fields: &[
        text("recurring_run_id", "recurring_run_id"),
        text("id", "recurring_run_id"),
        text("display_name", "display_name"),
        text("name", "display_name"),
        time("created_at", "created_ms"),
        time("updated_at", "updated_ms"),
        text("description", "description"),
        text("namespace", "namespace"),
        text("experiment_id", "experiment_id"),
        text("pipeline_id", "COALESCE(pipeline_id, '')"),
    ],
    has_tags: false,
};

/// Tasks of runs.
pub const TASK: Listable = Listable {
    name: "task",
    table: "pipelines_tasks",
    key: "task_id",
    fields: &[
        text("path", "path"),
        text("task_id", "task_id"),
        text("run_id", "run_id"),
        text("parent_task_id", "COALESCE(parent_id, '')"),
        text("name", "task_key"),
        text("display_name", "display_name"),
        text("type", "kind"),
        text("state", "state"),
        text("status", "state"),
        time("create_time", "created_ms"),
        time("created_at", "created_ms"),
        time("start_time", "COALESCE(started_ms, 0)"),
        time("end_time", "COALESCE(ended_ms, 0)"),
    ],
    has_tags: false,
};

/// Artifacts.
pub const ARTIFACT: Listable = Listable {
    name: "artifact",
    table: "pipelines_artifacts",
    key: "artifact_id",
    fields: &[
        text("artifact_id", "artifact_id"),
        text("name", "name"),
        text("type", "schema_title"),
        text("uri", "uri"),
        time("created_at", "created_ms"),
        text("namespace", "namespace"),
        text("run_id", "run_id"),
        text("task_id", "task_id"),
        text("pipeline_name", "pipeline_name"),
    ],
    has_tags: false,
};
