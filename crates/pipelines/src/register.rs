//! How pipelines are put together: records, engine, schedules and API.

use std::sync::Arc;

use ferroflow_platform::{
    access::Access,
    blob::Blobs,
    clock::SharedClock,
    records::{self, Records},
    task::Group,
};
use jiff::tz::TimeZone;
use tokio::sync::Notify;

use crate::{
    controller::{Engine, EngineConfig, EngineError, schedule},
    core::token::TokenKey,
    http::{api::Api, experiments, launcher::Launchers},
    store::{catalogue, experiments as rows},
};

/// What pipelines are started with.
#[derive(Clone)]
pub struct Options {
    pub config: EngineConfig,
    pub records: Records,
    pub blobs: Blobs,
    /// Makes and watches pods.
    pub client: kube::Client,
    pub access: Access,
    /// Where cron schedules are read.
    pub zone: TimeZone,
    pub clock: SharedClock,
    pub group: Group,
}

/// Pipelines cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the records of pipelines cannot be opened")]
    Records(#[from] records::Error),
    #[error("the engine of pipelines cannot be started")]
    Engine(#[from] EngineError),
}

/// Starts pipelines and returns what answers their API, to be mounted at `/pipeline`.
///
/// # Errors
/// [`Error`].
pub async fn register(options: Options) -> Result<Arc<Api>, Error> {
    let (zone, group) = (options.zone.clone(), options.group.clone());
    let Options { config, records, blobs, client, clock, .. } = &options;
    // The engine makes its tables first: those that follow refer to them.
    let engine =
        Engine::start(config.clone(), records.clone(), blobs.clone(), client.clone(), clock.clone(), group.clone());
    let api = api(engine.await?, options).await?;
    schedule::start(api.clone(), api.schedules.clone(), zone, &group);
    Ok(api)
}

/// Returns what answers from the records alone: all but what [`is_for_leader`](crate::http::api::is_for_leader) says.
/// Nothing is started.
///
/// # Errors
/// [`Error`].
pub async fn reader(options: Options) -> Result<Arc<Api>, Error> {
    let Options { config, records, blobs, client, clock, group, .. } = &options;
    let engine =
        Engine::reading(config.clone(), records.clone(), blobs.clone(), client.clone(), clock.clone(), group.clone());
    api(engine.await?, options).await
}

async fn api(engine: Engine, options: Options) -> Result<Arc<Api>, Error> {
    let Options { config, records, blobs, access, clock, .. } = options;
    let EngineConfig { namespace, token_key, .. } = config;
    catalogue::migrate(&records).await?;
    default_experiment(&records, &namespace, clock.now().as_millisecond()).await?;
    let launchers = Launchers::new(engine.clone(), blobs.clone(), TokenKey::new(&token_key), clock.clone());
    let schedules = Arc::new(Notify::new());
    Ok(Arc::new(Api { records, blobs, engine, launchers, access, clock, namespace, schedules }))
}

/// Runs that name no experiment belong to one that is always there.
async fn default_experiment(records: &Records, namespace: &str, now_ms: i64) -> Result<(), records::Error> {
    let experiment = experiments::default_of(namespace, now_ms);
    if rows::get(records, &experiment.experiment_id).await?.is_some() {
        return Ok(());
    }
    match records.write(vec![rows::insert(&experiment)]).await {
        // Somebody has made one of that name already.
        Ok(_) | Err(records::Error::Duplicate(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
