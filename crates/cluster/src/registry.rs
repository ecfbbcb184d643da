//! The resources that are served now: built-in rows, and those of established
//! CustomResourceDefinitions. Requests hold a row while they run; a change of the registry concerns
//! the next request.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use serde_json::Value;

use crate::{
    core::{
        kinds::versions,
        resource::{self, Resource, ResourceRef},
        schema::{NodeId, Table},
    },
    rules::Custom,
};

/// One served resource, with what its kind decides.
#[derive(Clone)]
pub struct Served {
    pub resource: ResourceRef,
    pub rules: Rules,
    /// The `apiVersion` that objects are stored with.
    pub stored_version: String,
}

/// Where a kind's rules come from.
#[derive(Clone)]
pub enum Rules {
    Builtin,
    Custom(Arc<Custom>),
}

impl Served {
    fn builtin(resource: ResourceRef) -> Self {
        let stored_version = versions::stored(&resource);
        Self { resource, rules: Rules::Builtin, stored_version }
    }

    /// The shape of the kind and the table that it stands in.
    pub fn schema(&self) -> Option<(&Table, NodeId)> {
        match &self.rules {
            Rules::Builtin => {
                let table = Table::builtin();
                let row = &self.resource;
                table.kind(&row.group, &row.version, &row.kind).map(|node| (table, node))
            }
            Rules::Custom(custom) => Some((&custom.table, custom.node)),
        }
    }

    /// Whether stored bytes are what a client of this version is sent.
    pub fn is_stored_version(&self) -> bool {
        self.stored_version == self.resource.api_version()
    }
}

/// The served versions of one CustomResourceDefinition.
pub struct CustomDefinition {
    pub crd: Arc<Value>,
    pub versions: Vec<Arc<Served>>,
}

#[derive(Default)]
struct Tables {
    by_path: HashMap<(String, String, String), Arc<Served>>,
    definitions: HashMap<String, Arc<CustomDefinition>>,
    generation: u64,
}

/// The registry. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    builtin: Arc<Vec<Arc<Served>>>,
    tables: Arc<RwLock<Arc<Tables>>>,
}

fn path_of(resource: &Resource) -> (String, String, String) {
    (resource.group.clone(), resource.version.clone(), resource.plural.clone())
}

impl Tables {
    fn of(builtin: &[Arc<Served>], definitions: HashMap<String, Arc<CustomDefinition>>, generation: u64) -> Self {
        let customs = definitions.values().flat_map(|definition| &definition.versions);
        let by_path = builtin.iter().chain(customs).map(|served| (path_of(&served.resource), served.clone())).collect();
        Self { by_path, definitions, generation }
    }
}

impl Registry {
    /// The built-in resources.
    pub fn new() -> Self {
        let rows = resource::builtin().into_iter();
        let builtin: Vec<_> = rows.map(|resource| Arc::new(Served::builtin(resource))).collect();
        let tables = Tables::of(&builtin, HashMap::new(), 1);
        Self { builtin: Arc::new(builtin), tables: Arc::new(RwLock::new(Arc::new(tables))) }
    }

    fn tables(&self) -> Arc<Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The resource of a path.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Served>> {
        self.tables().by_path.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    /// Whether any resource of a version is served.
    pub fn has_version(&self, group: &str, version: &str) -> bool {
        self.tables().by_path.keys().any(|(own, its, _)| own == group && its == version)
    }

    /// A number that grows with each change, for what is derived from the registry.
    pub fn generation(&self) -> u64 {
        self.tables().generation
    }

    /// All served resources: built-in ones in their order, then custom ones by group and plural.
    pub fn all(&self) -> Vec<Arc<Served>> {
        let tables = self.tables();
        let mut customs: Vec<_> = tables.definitions.values().flat_map(|one| one.versions.iter().cloned()).collect();
        customs.sort_by_key(|served| path_of(&served.resource));
        self.builtin.iter().cloned().chain(customs).collect()
    }

    /// The resource of a kind, in the version given or else in any served one.
    pub fn by_kind(&self, group: &str, version: Option<&str>, kind: &str) -> Option<Arc<Served>> {
        let tables = self.tables();
        let mut fitting = tables.by_path.values().filter(|served| {
            let row = &served.resource;
            row.group == group && row.kind == kind && version.is_none_or(|version| row.version == version)
        });
        fitting.next().cloned()
    }

    /// The definitions that are served.
    pub fn definitions(&self) -> Vec<Arc<CustomDefinition>> {
        let tables = self.tables();
        let mut all: Vec<_> = tables.definitions.iter().map(|(name, one)| (name.clone(), one.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().map(|(_, one)| one).collect()
    }

    /// Serves a definition's versions, or with `None` no longer.
    pub fn set_definition(&self, name: &str, definition: Option<CustomDefinition>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let mut definitions = tables.definitions.clone();
        match definition {
            Some(definition) => definitions.insert(name.to_owned(), Arc::new(definition)),
            None => definitions.remove(name),
        };
        *tables = Arc::new(Tables::of(&self.builtin, definitions, tables.generation + 1));
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}
