//! Runs.

use ferroflow_platform::{http::body::Body, records::Records};
use http::{Response, StatusCode};
use serde_json::Value;

use super::{
    api::Api,
    call::{Call, fields},
    experiments,
    failure::{Code, Failure, Outcome},
    limits, reply, show,
    source::{self, Source},
    splice,
};
use crate::{
    controller::EngineError,
    core::{fault::Fault, query::RUN, wire::Fields},
    store::{experiments as experiment_rows, query::Scope, runs::RunRow, shown, shown::ShownRun},
};

/// What a run is made from.
#[derive(Clone, Debug)]
pub struct NewRun {
    pub display_name: String,
    pub description: String,
    pub experiment_id: String,
    pub source: Source,
    pub runtime_config: Value,
    pub service_account: String,
}

/// Reads a run as it is asked for.
///
/// # Errors
/// [`Fault`] that names the field.
pub fn read(mut fields: Fields) -> Result<NewRun, Fault> {
    let run = NewRun {
        display_name: fields.text("display_name")?,
        description: fields.text("description")?,
        experiment_id: fields.text("experiment_id")?,
        source: source::read(&mut fields)?,
        runtime_config: source::runtime_config(&mut fields)?,
        service_account: fields.text("service_account")?,
    };
    source::no_plugins(&mut fields)?;
    fields.ignore(&["run_id", "storage_state", "created_at", "scheduled_at", "finished_at", "state", "error"]);
    fields.ignore(&["run_details", "recurring_run_id", "state_history", "plugins_output"]);
    fields.end(
        "display_name, description, experiment_id, pipeline_spec, pipeline_version_reference, runtime_config, \
         service_account",
    )?;
    Ok(run)
}

/// `POST /runs`
///
/// # Errors
/// 400 for a pipeline or parameters that cannot be run, 404 for an experiment or version that is not there.
pub async fn create(call: Call, body: Body) -> Outcome<Response<Body>> {
    let mut fields = fields(body).await?;
    // Older clients name the experiment in the query.
    if !fields.has("experiment_id") {
        fields.set("experiment_id", call.parameter("experiment_id"));
    }
    let new = read(fields)?;
    limits::name("display_name", &new.display_name, limits::RUN)?;
    let (experiment_id, namespace) = experiment(&call.api, &new.experiment_id).await?;
    call.may("create", "runs", &namespace).await?;
    let resolved = source::resolve_for(&call, &new.source).await?;
    let now = call.api.now_ms();
    let row = RunRow {
        run_id: call.api.new_id(),
        experiment_id,
        namespace,
        display_name: new.display_name,
        description: new.description,
        created_ms: now,
        scheduled_ms: now,
        service_account: new.service_account,
        pipeline_id: resolved.pipeline_id,
        pipeline_version_id: resolved.version_id,
        runtime_config: new.runtime_config,
        ..RunRow::default()
    };
    let run = submit(&call.api, row, resolved.spec).await?;
    let run = find_row(&call.api.records, &run.run_id).await?;
    let json = splice::alone(|json| show::run(json, &run, None))?;
    Ok(reply::written(StatusCode::OK, json))
}

/// Hands a run to the engine, and notes it with its experiment.
///
/// # Errors
/// 400 for what cannot be run.
pub async fn submit(api: &Api, row: RunRow, spec: Value) -> Outcome<RunRow> {
    let run = api.engine.submit(row, spec).await.map_err(failure)?;
    api.records.write(vec![experiment_rows::note_run(&run.experiment_id, run.created_ms)]).await?;
    Ok(run)
}

/// The id and namespace of an experiment that is named, or of the default one.
///
/// # Errors
/// 404.
pub async fn experiment(api: &Api, id: &str) -> Outcome<(String, String)> {
    if id.is_empty() {
        return Ok((experiments::default_id(&api.namespace), api.namespace.clone()));
    }
    let found = experiment_rows::get(&api.records, id).await?;
    let found = found.ok_or_else(|| Failure::missing("experiment", id))?;
    Ok((found.experiment_id, found.namespace))
}

/// `GET /runs/{id}`
///
/// # Errors
/// 404.
pub async fn get(call: Call) -> Outcome<Response<Body>> {
    let id = call.argument("run_id");
    let found = shown::with_tasks(&call.api.records, id).await?;
    let (run, tasks) = found.ok_or_else(|| Failure::missing("run", id))?;
    call.may("get", "runs", &run.namespace).await?;
    let json = splice::alone(|json| show::run(json, &run, Some(&tasks)))?;
    Ok(reply::written(StatusCode::OK, json))
}

/// `GET /runs`
///
/// # Errors
/// 400 for a page that cannot be had, 404 for an experiment that is not there.
pub async fn list(call: Call) -> Outcome<Response<Body>> {
    let scope = scope(&call, "runs").await?;
    let page = call.page(&RUN, "created_at")?;
    let found = shown::list(&call.api.records, &scope, &page).await?;
    let write = |json: &mut Vec<u8>, run: &ShownRun| show::run(json, run, None);
    let json = splice::list("runs", &found.rows, write, found.total, &found.next)?;
    Ok(reply::written(StatusCode::OK, json))
}

/// What a list of runs or recurring runs is narrowed to: an experiment, or a namespace.
///
/// # Errors
/// 404 for an experiment that is not there, 403.
pub async fn scope(call: &Call, resource: &'static str) -> Outcome<Vec<Scope>> {
    let id = call.parameter("experiment_id");
    if id.is_empty() {
        let namespace = call.namespace();
        call.may("list", resource, &namespace).await?;
        return Ok(vec![("namespace", namespace)]);
    }
    let (id, namespace) = experiment(&call.api, id).await?;
    let asked = call.parameter("namespace");
    if !asked.is_empty() && asked != namespace {
        let message =
            format!("experiment_id: {id} is in namespace {namespace:?}, not in {asked:?}; leave one of them out");
        return Err(Failure::invalid(message));
    }
    call.may("list", resource, &namespace).await?;
    Ok(vec![("experiment_id", id)])
}

/// `POST /runs/{id}:archive`
///
/// # Errors
/// 404.
pub async fn archive(call: Call) -> Outcome<Response<Body>> {
    let run = find(&call, "archive").await?;
    call.api.records.write(vec![shown::store(&run.run_id, "ARCHIVED")]).await?;
    Ok(reply::empty())
}

/// `POST /runs/{id}:unarchive`
///
/// # Errors
/// 404.
pub async fn unarchive(call: Call) -> Outcome<Response<Body>> {
    let run = find(&call, "unarchive").await?;
    call.api.records.write(vec![shown::store(&run.run_id, "AVAILABLE")]).await?;
    Ok(reply::empty())
}

/// `POST /runs/{id}:terminate`
///
/// # Errors
/// 404; 400 for a run that has ended.
pub async fn terminate(call: Call) -> Outcome<Response<Body>> {
    let run = find(&call, "terminate").await?;
    call.api.engine.terminate(&run.run_id).await.map_err(failure)?;
    Ok(reply::empty())
}

/// `POST /runs/{id}:retry`
///
/// # Errors
/// 404; 409 for a run that has not failed.
pub async fn retry(call: Call) -> Outcome<Response<Body>> {
    let run = find(&call, "retry").await?;
    call.api.engine.retry(&run.run_id).await.map_err(failure)?;
    Ok(reply::empty())
}

/// `DELETE /runs/{id}`
///
/// # Errors
/// 404.
pub async fn delete(call: Call) -> Outcome<Response<Body>> {
    let run = find(&call, "delete").await?;
    call.api.engine.delete(&run.run_id).await.map_err(failure)?;
    Ok(reply::empty())
}

/// The run that a request names.
///
/// # Errors
/// 404, 403.
pub async fn find(call: &Call, verb: &'static str) -> Outcome<ShownRun> {
    let run = find_row(&call.api.records, call.argument("run_id")).await?;
    call.may(verb, "runs", &run.namespace).await?;
    Ok(run)
}

async fn find_row(records: &Records, id: &str) -> Outcome<ShownRun> {
    shown::get(records, id).await?.ok_or_else(|| Failure::missing("run", id))
}

/// What the engine refuses, as it is told.
pub fn failure(error: EngineError) -> Failure {
    let code = match &error {
        EngineError::NotFound { .. } | EngineError::NoLog { .. } => Code::NotFound,
        EngineError::Fault(_) | EngineError::NotRunning { .. } => Code::InvalidArgument,
        EngineError::NotFinished { .. } | EngineError::NotFailed { .. } | EngineError::NoWorkspace { .. } => {
            Code::Aborted
        }
        EngineError::Exists(_) => Code::AlreadyExists,
        EngineError::Denied(_) => Code::PermissionDenied,
        EngineError::Busy(_) => Code::TooMuch,
        EngineError::Records(error) => super::failure::code(error),
        EngineError::Blobs(_) | EngineError::Panicked(_) => Code::Internal,
        EngineError::Kube(_) | EngineError::Resumes(_) | EngineError::Stopped => Code::Unavailable,
    };
    if code == Code::Internal {
        tracing::error!(%error, "the engine");
    }
    Failure::new(code, error.to_string())
}
