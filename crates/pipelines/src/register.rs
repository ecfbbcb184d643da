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
    let Options { config, records, blobs, client, access, zone, clock, group } = options;
    let namespace = config.namespace.clone();
    let key = TokenKey::new(&config.token_key);
    // The engine makes its tables first: those that follow refer to them.
    let engine = Engine::start(config, records.clone(), blobs.clone(), client, clock.clone(), group.clone()).await?;
    catalogue::migrate(&records).await?;
    default_experiment(&records, &namespace, clock.now().as_millisecond()).await?;
    let launchers = Launchers::new(engine.clone(), blobs.clone(), key, clock.clone());
    let schedules = Arc::new(Notify::new());
    let api = Api { records, blobs, engine, launchers, access, clock, namespace, schedules: schedules.clone() };
    let api = Arc::new(api);
    schedule::start(api.clone(), schedules, zone, &group);
    Ok(api)
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
