//! CustomResourceDefinitions: brings what they define into the registry, tells in their status what
//! became of them, and removes their objects when they go.
//!
//! A definition is served before its status says `Established`, so that a client that waits for the
//! condition never finds a resource missing, and no longer when the definition goes, so that one that
//! waits for its end never finds the resource still there.

use std::{sync::Arc, time::Duration};

use ferroflow_platform::{
    clock::SharedClock,
    task::{Group, Kind as TaskKind},
};
use kube::{
    Api as KubeApi, Client,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    core::crd::{
        self,
        status::{self, CLEANUP_FINALIZER, NamesInUse, Termination},
    },
    http::server::Api,
    registry::{CustomDefinition, Rules, Served},
    rules::Custom,
    store::{ListRange, Watch},
};

const STORAGE: &str = "customresourcedefinitions.apiextensions.k8s.io";
/// Changes that are read at a time.
const BATCH: usize = 256;
/// How long a failed pass waits, unless something changes before.
const RETRY: Duration = Duration::from_millis(500);

/// Serves what is established already, before anyone asks.
pub fn load(api: &Arc<Api>) {
    for definition in definitions(api) {
        serve(api, &definition);
    }
}

/// Starts the controller.
pub fn register(api: &Arc<Api>, client: Client, clock: SharedClock, group: &Group) {
    let controller = Controller { api: api.clone(), client, clock };
    group.spawn("controller crd", TaskKind::Essential, async move {
        loop {
            // A watch that fell behind starts again; a pass looks at all definitions anyhow.
            if let Ok(watch) = controller.api.store.watch(STORAGE, controller.api.store.revision()) {
                controller.follow(watch).await;
            }
        }
        #[expect(unreachable_code, reason = "gives the loop its result type")]
        Ok::<(), std::convert::Infallible>(())
    });
}

fn definitions(api: &Api) -> Vec<Value> {
    let Ok(snapshot) = api.store.list(STORAGE, &ListRange::default()) else { return Vec::new() };
    snapshot.entries.iter().filter_map(|entry| serde_json::from_slice(&entry.json).ok()).collect()
}

/// Brings a definition into the registry; versions that do not compile are not served.
fn serve(api: &Api, definition: &Value) {
    let name = definition["metadata"]["name"].as_str().unwrap_or_default();
    let rows = crd::rows(definition);
    if rows.is_empty() {
        api.registry.set_definition(name, None);
        return;
    }
    let stored = definition["spec"]["versions"].as_array().into_iter().flatten().find(|one| one["storage"] == true);
    let stored = stored.and_then(|version| version["name"].as_str()).unwrap_or_default();
    let stored_version = format!("{}/{stored}", definition["spec"]["group"].as_str().unwrap_or_default());
    let mut versions = Vec::new();
    for row in rows {
        match Custom::compile(definition, &row.version) {
            Ok(custom) => versions.push(Arc::new(Served {
                resource: Arc::new(row),
                rules: Rules::Custom(Arc::new(custom)),
                stored_version: stored_version.clone(),
            })),
            Err(error) => tracing::warn!(definition = name, version = row.version, %error, "version is not served"),
        }
    }
    api.registry.set_definition(name, Some(CustomDefinition { crd: Arc::new(definition.clone()), versions }));
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
            let mut settled = true;
            for definition in definitions(&self.api) {
                if let Err(error) = self.pass(&definition).await {
                    tracing::debug!(%error, "definition is looked at again");
                    settled = false;
                }
            }
            self.forget();
            if settled {
                watch.changed().await;
            } else {
                tokio::select! {
                    () = watch.changed() => {}
                    () = self.clock.sleep(RETRY) => {}
                }
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

    /// Takes definitions that are gone out of the registry.
    fn forget(&self) {
        let present = definitions(&self.api);
        for served in self.api.registry.definitions() {
            let name = &served.crd["metadata"]["name"];
            if !present.iter().any(|definition| definition["metadata"]["name"] == *name) {
                self.api.registry.set_definition(name.as_str().unwrap_or_default(), None);
            }
        }
    }

    async fn pass(&self, definition: &Value) -> kube::Result<()> {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let now = self.clock.now();
        if definition["metadata"]["deletionTimestamp"].is_string() {
            return self.terminate(definition).await;
        }
        let all = definitions(&self.api);
        let group = definition["spec"]["group"].as_str().unwrap_or_default();
        let others = NamesInUse::of(&all, group, name);
        let mut new = definition.clone();
        new["status"] = status::conditions(definition, &others, now);
        let served = self.api.registry.definitions();
        let known = served.iter().find(|one| one.crd["metadata"]["name"] == name);
        let stale = known.is_none_or(|one| one.crd["spec"] != new["spec"] || one.crd["status"] != new["status"]);
        if stale {
            serve(&self.api, &new);
        }
        if new["status"] != definition["status"] {
            self.write_status(&new).await?;
        }
        Ok(())
    }

    fn client_for_definitions(&self) -> KubeApi<DynamicObject> {
        let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        KubeApi::all_with(self.client.clone(), &ApiResource::from_gvk(&kind))
    }

    async fn write_status(&self, definition: &Value) -> kube::Result<()> {
        let object: DynamicObject = serde_json::from_value(definition.clone()).map_err(kube::Error::SerdeError)?;
        let name = object.metadata.name.clone().unwrap_or_default();
        self.client_for_definitions().replace_status(&name, &PostParams::default(), &object).await.map(drop)
    }

    /// Removes the objects of a definition that is going, then what holds the definition.
    async fn terminate(&self, definition: &Value) -> kube::Result<()> {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let finalizers = definition["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !finalizers.iter().any(|finalizer| finalizer == CLEANUP_FINALIZER) {
            return Ok(());
        }
        serve(&self.api, definition);
        if !self.delete_objects(definition).await? {
            return Err(kube::Error::Service(format!("{name} has objects that are held by finalizers").into()));
        }
        let mut new = definition.clone();
        new["status"] = status::terminating(definition, Termination::Completed, self.clock.now());
        self.write_status(&new).await?;
        let left: Vec<Value> = finalizers.into_iter().filter(|finalizer| finalizer != CLEANUP_FINALIZER).collect();
        let patch = json!({"metadata": {"finalizers": left}});
        if left.is_empty() {
            // Should the write fail, the next pass serves it again.
            self.api.registry.set_definition(name, None);
        }
        self.client_for_definitions().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
    }

    /// Deletes all objects; whether none is left.
    async fn delete_objects(&self, definition: &Value) -> kube::Result<bool> {
        // In the version that is stored where it is served: nothing needs converting to be deleted.
        let versions = definition["spec"]["versions"].as_array();
        let stored = versions.and_then(|all| all.iter().find(|version| version["storage"] == true));
        let rows = crd::rows(definition);
        let row = rows.iter().find(|row| stored.is_some_and(|stored| stored["name"] == row.version.as_str()));
        let Some(row) = row.or(rows.first()).cloned() else { return Ok(true) };
        let kind = GroupVersionKind::gvk(&row.group, &row.version, &row.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &row.plural);
        let Ok(snapshot) = self.api.store.list(&row.storage, &ListRange::default()) else { return Ok(false) };
        for entry in snapshot.entries {
            let api: KubeApi<DynamicObject> = if row.namespaced() {
                KubeApi::namespaced_with(self.client.clone(), &entry.key.namespace, &resource)
            } else {
                KubeApi::all_with(self.client.clone(), &resource)
            };
            match api.delete(&entry.key.name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                other => drop(other?),
            }
        }
        Ok(self.api.store.count(&row.storage) == 0)
    }
}
