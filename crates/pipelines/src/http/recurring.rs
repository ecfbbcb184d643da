//! Recurring runs.

use ferroflow_api::pipelines as wire;
use ferroflow_platform::http::body::Body;
use http::{Response, StatusCode};

use super::{
    call::{Call, fields},
    failure::{Failure, Outcome},
    limits, reply, runs,
    source::{self, Source},
    splice,
};
use crate::{
    core::{ir, query::RECURRING, runtime, schedule, wire::time},
    store::recurring::{self, Recurring},
};

const MODES: [(i64, &str); 3] = [(0, "MODE_UNSPECIFIED"), (1, "ENABLE"), (2, "DISABLE")];
/// Runs of one recurring run that may be under way, as upstream.
const CONCURRENCY: std::ops::RangeInclusive<i64> = 1..=10;

/// `POST /recurringruns`
///
/// # Errors
/// 400 for a trigger, a pipeline or parameters that cannot be, 404 for an experiment or version that is not there.
pub async fn create(call: Call, body: Body) -> Outcome<Response<Body>> {
    let mut fields = fields(body).await?;
    let (display_name, description) = (fields.text("display_name")?, fields.text("description")?);
    let (experiment_id, asked_namespace) = (fields.text("experiment_id")?, fields.text("namespace")?);
    let source = source::read(&mut fields)?;
    let runtime_config = source::runtime_config(&mut fields)?;
    let service_account = fields.text("service_account")?;
    let max_concurrency = fields.integer("max_concurrency")?.filter(|count| *count != 0).unwrap_or(1);
    let trigger = fields.object("trigger")?;
    let trigger =
        trigger.ok_or_else(|| Failure::invalid("trigger: missing; give a cron_schedule or a periodic_schedule"))?;
    let trigger = schedule::read(trigger)?;
    let mode = fields.word("mode", &MODES)?;
    let no_catchup = fields.boolean("no_catchup")?;
    source::no_plugins(&mut fields)?;
    fields.ignore(&["recurring_run_id", "created_at", "updated_at", "status", "error"]);
    fields.end(
        "display_name, description, experiment_id, trigger, mode, max_concurrency, no_catchup and what runs have",
    )?;
    limits::name("display_name", &display_name, limits::RUN)?;
    if !CONCURRENCY.contains(&max_concurrency) {
        return Err(Failure::invalid(format!("max_concurrency: {max_concurrency} is not from 1 to 10")));
    }
    let is_enabled = match mode {
        Some("ENABLE") => true,
        Some("DISABLE") => false,
        _ => return Err(Failure::invalid("mode: missing; give ENABLE or DISABLE")),
    };
    let (experiment_id, namespace) = runs::experiment(&call.api, &experiment_id).await?;
    if !asked_namespace.is_empty() && asked_namespace != namespace {
        let message = format!("namespace: {asked_namespace:?} is not that of the experiment, {namespace:?}");
        return Err(Failure::invalid(message));
    }
    call.may("create", "jobs", &namespace).await?;
    let resolved = source::resolve_for(&call, &source).await?;
    check(&resolved.spec, &runtime_config)?;
    let now = call.api.now_ms();
    let recurring = Recurring {
        recurring_run_id: call.api.new_id(),
        experiment_id,
        namespace,
        display_name,
        description,
        created_ms: now,
        updated_ms: now,
        is_enabled,
        max_concurrency,
        no_catchup,
        trigger,
        pipeline_id: resolved.pipeline_id,
        // Without a version, each run takes the newest.
        pipeline_version_id: if matches!(source, Source::Latest { .. }) { None } else { resolved.version_id },
        spec: matches!(source, Source::Spec(_)).then(|| resolved.spec.to_string()),
        runtime_config,
        service_account,
        last_ms: None,
        next_index: 1,
        error: String::new(),
    };
    call.api.records.write(vec![recurring::insert(&recurring)]).await?;
    call.api.schedules.notify_one();
    answer(&recurring)
}

/// Refuses what no run could be made from, before the first one is due.
fn check(spec: &serde_json::Value, runtime_config: &serde_json::Value) -> Outcome<()> {
    let pipeline = ir::read::pipeline(spec)?;
    let given = runtime_config["parameters"].as_object().cloned().unwrap_or_default();
    runtime::parameters(&pipeline, given)?;
    Ok(())
}

/// `GET /recurringruns/{id}`
///
/// # Errors
/// 404.
pub async fn get(call: Call) -> Outcome<Response<Body>> {
    answer(&find(&call, "get").await?)
}

/// `GET /recurringruns`
///
/// # Errors
/// 400 for a page that cannot be had, 404 for an experiment that is not there.
pub async fn list(call: Call) -> Outcome<Response<Body>> {
    let scope = runs::scope(&call, "jobs").await?;
    let page = call.page(&RECURRING, "created_at")?;
    let found = recurring::list(&call.api.records, &scope, &page).await?;
    // The one name of the whole API that is not in snake case.
    let json = splice::list("recurringRuns", &found.rows, write, found.total, &found.next)?;
    Ok(reply::written(StatusCode::OK, json))
}

/// `POST /recurringruns/{id}:enable`
///
/// # Errors
/// 404.
pub async fn enable(call: Call) -> Outcome<Response<Body>> {
    switch(call, "enable", true).await
}

/// `POST /recurringruns/{id}:disable`
///
/// # Errors
/// 404.
pub async fn disable(call: Call) -> Outcome<Response<Body>> {
    switch(call, "disable", false).await
}

async fn switch(call: Call, verb: &'static str, is_enabled: bool) -> Outcome<Response<Body>> {
    let recurring = find(&call, verb).await?;
    let write = recurring::enable(&recurring.recurring_run_id, is_enabled, call.api.now_ms());
    call.api.records.write(vec![write]).await?;
    call.api.schedules.notify_one();
    Ok(reply::empty())
}

/// `DELETE /recurringruns/{id}`: its runs stay, whatever propagation is asked for.
///
/// # Errors
/// 404.
pub async fn delete(call: Call) -> Outcome<Response<Body>> {
    let recurring = find(&call, "delete").await?;
    call.api.records.write(vec![recurring::delete(&recurring.recurring_run_id)]).await?;
    call.api.schedules.notify_one();
    Ok(reply::empty())
}

async fn find(call: &Call, verb: &'static str) -> Outcome<Recurring> {
    let id = call.argument("recurring_run_id");
    let found = recurring::get(&call.api.records, id).await?;
    let recurring = found.ok_or_else(|| Failure::missing("recurring run", id))?;
    call.may(verb, "jobs", &recurring.namespace).await?;
    Ok(recurring)
}

fn answer(recurring: &Recurring) -> Outcome<Response<Body>> {
    Ok(reply::written(StatusCode::OK, splice::alone(|json| write(json, recurring))?))
}

fn write(json: &mut Vec<u8>, recurring: &Recurring) -> Outcome<()> {
    let (pipeline_id, version_id) = (&recurring.pipeline_id, &recurring.pipeline_version_id);
    let reference = pipeline_id.as_deref().map(|pipeline_id| wire::VersionReference {
        pipeline_id,
        pipeline_version_id: version_id.as_deref().unwrap_or_default(),
    });
    let (mode, status) = if recurring.is_enabled { ("ENABLE", "ENABLED") } else { ("DISABLE", "DISABLED") };
    let failed = || wire::Status { code: 13, message: recurring.error.clone(), details: Vec::new() };
    let shown = wire::RecurringRun {
        recurring_run_id: &recurring.recurring_run_id,
        display_name: &recurring.display_name,
        description: &recurring.description,
        pipeline_version_reference: reference,
        service_account: &recurring.service_account,
        max_concurrency: recurring.max_concurrency.to_string(),
        trigger: recurring.trigger.show(),
        mode,
        created_at: time(recurring.created_ms),
        updated_at: time(recurring.updated_ms),
        status,
        error: (!recurring.error.is_empty()).then(failed),
        no_catchup: recurring.no_catchup,
        namespace: &recurring.namespace,
        experiment_id: &recurring.experiment_id,
    };
    let config = recurring.runtime_config.to_string();
    let config = (config != "{}").then_some(config.as_str());
    splice::object(json, &shown, &[("runtime_config", config), ("pipeline_spec", recurring.spec.as_deref())])
}
