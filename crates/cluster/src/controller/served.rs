//! The registry as controllers of objects of every kind see it.

use std::sync::Arc;

use super::feed::Resources;
use crate::core::garbage::{Kinds, ResourceId};
use crate::registry::{Registry, Served};

impl Kinds for Registry {
    fn namespaced(&self, api_version: &str, kind: &str) -> Option<bool> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.by_kind(group, Some(version), kind).map(|served| served.resource.namespaced())
    }
}

impl Resources for Registry {
    fn generation(&self) -> u64 {
        Registry::generation(self)
    }

    fn stored(&self) -> Vec<(String, Arc<ResourceId>)> {
        let mut stored: Vec<(String, Arc<ResourceId>)> = Vec::new();
        for served in self.all().iter().filter(|served| is_collected(served)) {
            let row = &served.resource;
            if stored.iter().any(|(storage, _)| *storage == row.storage) {
                continue;
            }
            let id = ResourceId {
                group: row.group.clone(),
                version: row.version.clone(),
                kind: row.kind.clone(),
                plural: row.plural.clone(),
                namespaced: row.namespaced(),
            };
            stored.push((row.storage.clone(), Arc::new(id)));
        }
        stored
    }
}

/// Objects that are stored and can be deleted. Events own nothing, and expire by themselves.
fn is_collected(served: &Served) -> bool {
    let row = &served.resource;
    let has = |verb: &str| row.verbs.iter().any(|own| own == verb);
    has("delete") && has("list") && has("watch") && row.storage != "events"
}
