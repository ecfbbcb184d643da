//! Experiments.

use ferroflow_api::pipelines as wire;
use ferroflow_platform::{http::body::Body, records};
use http::Response;

use super::{
    call::{Call, fields},
    failure::{Code, Failure, Outcome},
    limits, reply,
};
use crate::{
    core::{id, query::EXPERIMENT, wire::time},
    store::experiments::{self, Experiment},
};

/// The name of the experiment of runs that name none. Its id follows from its namespace.
pub const DEFAULT: &str = id::DEFAULT_EXPERIMENT;

/// The default experiment of a namespace.
pub fn default_of(namespace: &str, now_ms: i64) -> Experiment {
    Experiment {
        experiment_id: default_id(namespace),
        namespace: namespace.to_owned(),
        display_name: DEFAULT.to_owned(),
        description: "Runs that name no experiment.".to_owned(),
        storage_state: "AVAILABLE".to_owned(),
        created_ms: now_ms,
        last_run_ms: 0,
    }
}

/// The id of the default experiment of a namespace.
pub fn default_id(namespace: &str) -> String {
    id::default_experiment(namespace)
}

/// `POST /experiments`
///
/// # Errors
/// 400 for a name that is none, 409 for one that is taken.
pub async fn create(call: Call, body: Body) -> Outcome<Response<Body>> {
    let mut fields = fields(body).await?;
    let display_name = fields.text("display_name")?;
    let description = fields.text("description")?;
    let namespace = call.api.namespace_or_default(&fields.text("namespace")?);
    fields.ignore(&["experiment_id", "created_at", "storage_state", "last_run_created_at"]);
    fields.end("display_name, description, namespace")?;
    limits::name("display_name", &display_name, limits::EXPERIMENT)?;
    limits::length("namespace", &namespace, limits::NAMESPACE)?;
    call.may("create", "experiments", &namespace).await?;
    let experiment = Experiment {
        experiment_id: call.api.new_id(),
        namespace,
        display_name,
        description,
        storage_state: "AVAILABLE".to_owned(),
        created_ms: call.api.now_ms(),
        last_run_ms: 0,
    };
    match call.api.records.write(vec![experiments::insert(&experiment)]).await {
        Ok(_) => reply::object(&show(&experiment)),
        Err(records::Error::Duplicate(_)) => {
            let name = &experiment.display_name;
            let message = format!("experiment {name:?} exists already; take another display_name, or that experiment");
            Err(Failure::new(Code::AlreadyExists, message))
        }
        Err(error) => Err(error.into()),
    }
}

/// `GET /experiments/{id}`
///
/// # Errors
/// 404.
pub async fn get(call: Call) -> Outcome<Response<Body>> {
    let experiment = find(&call, "get").await?;
    reply::object(&show(&experiment))
}

/// `GET /experiments`
///
/// # Errors
/// 400 for a page that cannot be had.
pub async fn list(call: Call) -> Outcome<Response<Body>> {
    let namespace = call.namespace();
    call.may("list", "experiments", &namespace).await?;
    let page = call.page(&EXPERIMENT, "created_at")?;
    let found = experiments::list(&call.api.records, &namespace, &page).await?;
    reply::object(&wire::Experiments {
        experiments: found.rows.iter().map(show).collect(),
        total_size: found.total,
        next_page_token: &found.next,
    })
}

/// `POST /experiments/{id}:archive`
///
/// # Errors
/// 404.
pub async fn archive(call: Call) -> Outcome<Response<Body>> {
    let experiment = find(&call, "archive").await?;
    call.api.records.write(experiments::archive(&experiment.experiment_id, call.api.now_ms())).await?;
    call.api.schedules.notify_one();
    Ok(reply::empty())
}

/// `POST /experiments/{id}:unarchive`
///
/// # Errors
/// 404.
pub async fn unarchive(call: Call) -> Outcome<Response<Body>> {
    let experiment = find(&call, "unarchive").await?;
    call.api.records.write(vec![experiments::unarchive(&experiment.experiment_id)]).await?;
    Ok(reply::empty())
}

/// `DELETE /experiments/{id}`
///
/// # Errors
/// 404; 400 for the default experiment.
pub async fn delete(call: Call) -> Outcome<Response<Body>> {
    let experiment = find(&call, "delete").await?;
    if experiment.experiment_id == default_id(&experiment.namespace) {
        let message = "the default experiment cannot be deleted: runs that name none belong to it; archive it instead";
        return Err(Failure::invalid(message));
    }
    call.api.records.write(vec![experiments::delete(&experiment.experiment_id)]).await?;
    Ok(reply::empty())
}

async fn find(call: &Call, verb: &'static str) -> Outcome<Experiment> {
    let id = call.argument("experiment_id");
    let found = experiments::get(&call.api.records, id).await?;
    let experiment = found.ok_or_else(|| Failure::missing("experiment", id))?;
    call.may(verb, "experiments", &experiment.namespace).await?;
    Ok(experiment)
}

fn show(experiment: &Experiment) -> wire::Experiment<'_> {
    wire::Experiment {
        experiment_id: &experiment.experiment_id,
        display_name: &experiment.display_name,
        description: &experiment.description,
        created_at: time(experiment.created_ms),
        namespace: &experiment.namespace,
        storage_state: &experiment.storage_state,
        last_run_created_at: time(experiment.last_run_ms),
    }
}
