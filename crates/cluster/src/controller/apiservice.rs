//! APIServices that lead to another server: asks whether it answers, says so in their status, and keeps what it tells
//! of its resources for discovery.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ferroflow_platform::{
    clock::SharedClock,
    task::{Group, Kind as TaskKind},
};
use futures::future::join_all;
use kube::{
    Api as KubeApi, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams},
};
use serde_json::Value;

use crate::{
    core::{
        admission::Lookup,
        aggregation::{self, GROUP, Registration},
    },
    http::{aggregate, server::Api},
    store::Watch,
};

/// A server that does not answer yet is asked again after this, one that does after [`CALM`].
const EAGER: Duration = Duration::from_secs(1);
const CALM: Duration = Duration::from_secs(30);
/// Changes that are read at a time.
const BATCH: usize = 256;

/// Starts the controller.
pub fn register(api: &Arc<Api>, client: Client, clock: SharedClock, group: &Group) {
    let controller = Controller { api: api.clone(), client, clock };
    group.spawn("controller apiservice", TaskKind::Essential, async move {
        loop {
            let store = &controller.api.store;
            // A watch that fell behind starts again; a pass looks at all registrations anyhow.
            if let Ok(watch) = store.watch("apiservices.apiregistration.k8s.io", store.revision()) {
                controller.follow(watch).await;
            }
        }
        #[expect(unreachable_code, reason = "gives the loop its result type")]
        Ok::<(), std::convert::Infallible>(())
    });
}

struct Controller {
    api: Arc<Api>,
    client: Client,
    clock: SharedClock,
}

impl Controller {
    /// Works until the watch is lost.
    async fn follow(&self, mut watch: Watch) {
        loop {
            let wait = match self.pass().await {
                // Without registrations nothing happens until there are some.
                None => None,
                Some(true) => Some(CALM),
                Some(false) => Some(EAGER),
            };
            match wait {
                None => watch.changed().await,
                Some(wait) => tokio::select! {
                    () = watch.changed() => {}
                    () = self.clock.sleep(wait) => {}
                },
            }
            loop {
                match watch.take(BATCH) {
                    Err(_) => return,
                    Ok(changes) if changes.len() < BATCH => break,
                    Ok(_) => {}
                }
            }
        }
    }

    /// Asks all servers; whether all answer, or nothing where there is none.
    async fn pass(&self) -> Option<bool> {
        let objects = self.api.lookup.list(GROUP, "apiservices", "");
        let registered = objects.iter().filter_map(|object| Some((object, Registration::of(object)?)));
        let registered: Vec<(&Arc<Value>, Registration)> = registered.collect();
        let asked =
            join_all(registered.iter().map(|(_, registration)| aggregate::probe(&self.api, registration))).await;
        let mut rows = HashMap::new();
        let mut statuses = Vec::new();
        let mut all = true;
        for ((object, registration), (health, told)) in registered.iter().zip(asked) {
            let is_there = health == aggregation::Health::Passed;
            all &= is_there;
            if is_there {
                rows.insert((registration.group.clone(), registration.version.clone()), told);
            }
            let status = aggregation::status(object, &health, self.clock.now());
            statuses.extend(status.map(|status| (*object, status)));
        }
        // Discovery tells of a group before its registration says that it is there.
        self.api.aggregated.keep(rows);
        for (object, status) in statuses {
            if let Err(error) = self.write_status(object, status).await {
                tracing::debug!(%error, "registration is looked at again");
                all = false;
            }
        }
        (!registered.is_empty()).then_some(all)
    }

    async fn write_status(&self, object: &Value, status: Value) -> kube::Result<()> {
        let mut object = object.clone();
        object["status"] = status;
        let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        let name = object.metadata.name.clone().unwrap_or_default();
        let kind = GroupVersionKind::gvk(GROUP, "v1", "APIService");
        let api: KubeApi<DynamicObject> = KubeApi::all_with(self.client.clone(), &ApiResource::from_gvk(&kind));
        api.replace_status(&name, &PostParams::default(), &object).await.map(drop)
    }
}
