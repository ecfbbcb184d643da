//! Waits that end with an event, or fail with a sentence when their time is up.

use std::{fmt::Debug, future::Future, time::Duration};

use kube::{Api, runtime::wait::await_condition};
use serde::de::DeserializeOwned;

/// Anything in process happens well within this on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Completes with `future`, and fails when that takes longer than [`PATIENCE`].
pub async fn eventually<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Watches the object `name` until `holds` is true of it, and returns it.
pub async fn until<K>(api: &Api<K>, name: &str, what: &str, holds: impl Fn(&K) -> bool) -> K
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let condition = |object: Option<&K>| object.is_some_and(&holds);
    let found = eventually(&format!("{name}: {what}"), await_condition(api.clone(), name, condition)).await;
    found.expect("the watch works").expect("the condition holds of an object")
}

/// Watches the object `name` until it is gone.
pub async fn until_gone<K>(api: &Api<K>, name: &str)
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let condition = |object: Option<&K>| object.is_none();
    let gone = eventually(&format!("{name} goes"), await_condition(api.clone(), name, condition)).await;
    gone.expect("the watch works");
}
