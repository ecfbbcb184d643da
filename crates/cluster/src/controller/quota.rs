//! The quota controller: computes the usage of each ResourceQuota anew when something in its namespace
//! has changed. Admission charges what is created meanwhile; this repairs what it could not know.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, Key, Next, Reconciler};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceQuota;
use serde_json::{Value, json};

use super::execute::is_code;
use super::feed::{Resources, Seen};
use super::garbage::Tap;
use crate::core::admission::Lookup;
use crate::core::garbage::ResourceId;
use crate::core::quota::{Contents, needed, status};
use crate::store::ChangeKind;

/// After something is gone, its room is free so soon.
const AFTER_DELETION: Duration = Duration::from_millis(50);
/// Other changes are looked at together: admission has counted them already.
const AFTER_CHANGE: Duration = Duration::from_secs(1);
/// Every quota is computed anew this often, whatever happens.
const RESYNC: Duration = Duration::from_secs(300);

/// A charge comes before the object that it is for. A quota that was written so recently may count an
/// object that is not stored yet, and is left alone.
const UNSETTLED: Duration = Duration::from_millis(100);

/// When each quota was last seen to change.
type Changes = Arc<Mutex<HashMap<Key, Timestamp>>>;

struct Quotas {
    quotas: Cache<ResourceQuota>,
    changes: Changes,
    lookup: Arc<dyn Lookup + Send + Sync>,
    resources: Arc<dyn Resources>,
}

/// Starts the controller; the tap it returns is to be shown every change.
pub fn register(
    caches: &Caches,
    clock: &SharedClock,
    lookup: Arc<dyn Lookup + Send + Sync>,
    resources: Arc<dyn Resources>,
) -> Tap {
    let quotas: Cache<ResourceQuota> = caches.of();
    let changes = Changes::default();
    let controller = Controller::new("quota", clock.clone()).reads(&quotas);
    let (queue, known) = (controller.queue(), quotas.clone());
    watch(&quotas, &controller, clock, &changes);
    controller.run(&caches.group(), Quotas { quotas, changes, lookup, resources });
    Box::new(move |seen: &Seen| {
        let namespace = &*seen.entry.key.namespace;
        let of_quota = seen.resource.group.is_empty() && seen.resource.plural == "resourcequotas";
        if namespace.is_empty() || (of_quota && seen.kind == ChangeKind::Put) {
            return;
        }
        let delay = if seen.kind == ChangeKind::Delete { AFTER_DELETION } else { AFTER_CHANGE };
        for quota in known.list_in(namespace) {
            queue.add_after(Key::new(namespace, quota.metadata.name.clone().unwrap_or_default()), delay);
        }
    })
}

/// Wakes a quota whose limits change. Changes of its status are this controller's own, and charges.
fn watch(quotas: &Cache<ResourceQuota>, controller: &Controller, clock: &SharedClock, changes: &Changes) {
    let (queue, clock, changes) = (controller.queue(), clock.clone(), changes.clone());
    quotas.on_change(move |old, new| {
        let Some(metadata) = new.or(old).map(|quota| &quota.metadata) else { return };
        let key = Key::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
        let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
        match new {
            Some(_) => changes.insert(key.clone(), clock.now()),
            None => changes.remove(&key),
        };
        if old.and_then(|quota| quota.spec.as_ref()) != new.and_then(|quota| quota.spec.as_ref()) {
            queue.add(key);
        }
    });
}

impl Quotas {
    /// How long a quota that counts already is to be left alone.
    fn unsettled(&self, key: &Key, quota: &Value, now: Timestamp) -> Option<Duration> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let since = Duration::try_from(now.duration_since(*changes.get(key)?)).unwrap_or(Duration::ZERO);
        let counts = quota["status"]["used"].is_object();
        UNSETTLED.checked_sub(since).filter(|left| counts && !left.is_zero())
    }
}

impl Reconciler for Quotas {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(quota) = self.lookup.get("", "resourcequotas", &key.namespace, &key.name) else {
            return Ok(Next::Done);
        };
        if quota["metadata"]["deletionTimestamp"].is_string() {
            return Ok(Next::Done);
        }
        if let Some(left) = self.unsettled(&key, &quota, now) {
            return Ok(Next::After(left));
        }
        let served = self.resources.stored();
        let namespaced = served.iter().map(|(_, resource)| &**resource).filter(|resource| resource.namespaced);
        let names = namespaced.map(|ResourceId { group, plural, .. }| (group.as_str(), plural.as_str()));
        let objects: Vec<(&str, &str, Vec<Arc<Value>>)> = needed(&quota, names)
            .into_iter()
            .map(|(group, plural)| (group, plural, self.lookup.list(group, plural, &key.namespace)))
            .collect();
        let borrowed: Vec<(&str, &str, Vec<&Value>)> = objects
            .iter()
            .map(|(group, plural, objects)| (*group, *plural, objects.iter().map(|object| &**object).collect()))
            .collect();
        let contents: Vec<Contents> =
            borrowed.iter().map(|(group, plural, objects)| Contents { group, plural, objects }).collect();
        let Some(new) = status(&quota, &contents, now) else { return Ok(Next::After(RESYNC)) };
        let version = &quota["metadata"]["resourceVersion"];
        // Lists of amounts are replaced whole: what is no longer limited is named as gone.
        let patch = json!({"metadata": {"resourceVersion": version}, "status": replaced(&quota["status"], &new)});
        match self.quotas.merge_status(&key, &patch).await {
            Ok(_) => Ok(Next::After(RESYNC)),
            Err(error) if is_code(&error, 404) => Ok(Next::Done),
            Err(error) => Err(error.into()),
        }
    }
}

/// The merge patch that makes `new` of `old`.
fn replaced(old: &Value, new: &Value) -> Value {
    let mut patch = new.clone();
    for field in ["hard", "used"] {
        let gone = old[field].as_object().into_iter().flatten().map(|(name, _)| name);
        for name in gone.filter(|name| new[field].get(*name).is_none()) {
            patch[field][name] = Value::Null;
        }
    }
    patch
}
