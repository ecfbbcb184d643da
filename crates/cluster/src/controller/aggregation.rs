//! Keeps the rules of aggregated ClusterRoles equal to those of the roles that they select.

use std::sync::Arc;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, Key, Next, Reconciler};
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::ClusterRole;
use serde_json::{Value, json};

use crate::core::rbac::aggregate;

struct Aggregation {
    roles: Cache<ClusterRole>,
}

/// Starts the controller.
pub fn register(caches: &Caches, clock: &SharedClock) {
    let roles: Cache<ClusterRole> = caches.of();
    let known = roles.clone();
    Controller::new("clusterrole-aggregation", clock.clone())
        .watch_mapped(&roles, move |_: &ClusterRole| {
            let aggregated = known.list().into_iter().filter(|role| role.aggregation_rule.is_some());
            aggregated.map(|role| Key::new("", role.metadata.name.clone().unwrap_or_default())).collect()
        })
        .run(&caches.group(), Aggregation { roles });
}

impl Reconciler for Aggregation {
    async fn reconcile(&self, key: Key, _now: Timestamp) -> Result<Next, Error> {
        let Some(role) = self.roles.get(&key) else { return Ok(Next::Done) };
        if role.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Done);
        }
        let roles = self.roles.list();
        let all = roles.iter().map(|one| serde_json::to_value(&**one).map(Arc::new));
        let all: Vec<Arc<Value>> = all.collect::<serde_json::Result<_>>()?;
        if let Some(rules) = aggregate::rules(&serde_json::to_value(&*role)?, &all) {
            self.roles.merge(&key, &json!({"rules": rules})).await?;
        }
        Ok(Next::Done)
    }
}
