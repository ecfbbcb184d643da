//! How pipelines are put together: records, engine and API.

use std::sync::Arc;

use ferroflow_platform::{
    access::Access,
    clock::SharedClock,
    records::{self, Records},
};

use crate::http::api::Api;

/// What pipelines are started with.
pub struct Options {
    pub records: Records,
    pub access: Access,
    pub clock: SharedClock,
    /// The namespace of whatever names none: `kubeflow`.
    pub namespace: String,
}

/// Pipelines cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the records of pipelines cannot be opened")]
    Records(#[from] records::Error),
}

/// Starts pipelines and returns what answers their API, to be mounted at `/pipeline`.
///
/// # Errors
/// [`Error`].
pub async fn register(options: Options) -> Result<Arc<Api>, Error> {
    let Options { records, access, clock, namespace } = options;
    Ok(Arc::new(Api { records, access, clock, namespace }))
}
