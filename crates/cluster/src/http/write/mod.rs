//! `create`, `update`, `patch` and `delete`: from a body to a commit.
//!
//! Every write runs the same steps: decode, keep what the server owns, default, admit, validate,
//! account for field managers, commit. A step's decision is in `core`; this module only orders them.

pub mod create;
pub mod decode;
pub mod delete;
pub mod meta;
pub mod part;
pub mod patch;
pub mod update;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    convert,
    options::{FieldValidation, Options},
    server::Api,
};
use crate::{
    core::{
        apply, fields,
        kinds::{self, versions},
        status::{Failure, Outcome},
    },
    registry::{Rules, Served},
    store::{Draft, Durability, Entry, Expected, ObjectKey, Write, WriteError, write_object},
};
use ferroflow_platform::identity::Identity;

/// One write request, as far as it does not depend on the body.
pub struct Request<'a> {
    pub api: &'a Api,
    pub served: Arc<Served>,
    pub namespace: String,
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
    pub options: Options,
    pub identity: Identity,
    /// The part of `User-Agent` before the first slash, which names the manager when none is given.
    pub agent: String,
    pub now: Timestamp,
    pub accounting: Accounting,
    /// The name was made up by the server.
    pub has_generated_name: bool,
}

/// Who accounts for field managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounting {
    /// The fields that the write changes become the manager's.
    Update,
    /// Server-side apply has accounted already.
    Applied,
}

/// What a write leaves.
pub struct Written {
    pub entry: Arc<Entry>,
    /// 201 when the object is new.
    pub is_new: bool,
}

impl Request<'_> {
    /// The store's key of the object.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.namespace, &self.name)
    }

    /// The object as it stands.
    ///
    /// # Errors
    /// 404 when there is none.
    pub fn existing(&self) -> Outcome<Arc<Entry>> {
        let found = self.api.store.get(&self.served.resource.storage, &self.key());
        found.ok_or_else(|| Failure::not_found(&self.served.resource, &self.name))
    }

    /// A stored object of a built-in kind as the served version shows it.
    ///
    /// # Errors
    /// 500 for damaged bytes.
    pub fn parse(&self, entry: &Entry) -> Outcome<Value> {
        parse(&self.served, entry)
    }

    /// A stored object as the served version shows it.
    ///
    /// # Errors
    /// 500 for damaged bytes, and where a webhook does not convert.
    pub async fn read(&self, entry: &Arc<Entry>) -> Outcome<Value> {
        parse(&self.served, &*self.shown(entry.clone()).await?)
    }

    /// An entry with its object in the served version, where a webhook is what makes it so.
    ///
    /// # Errors
    /// 500 where the webhook does not convert.
    pub async fn shown(&self, entry: Arc<Entry>) -> Outcome<Arc<Entry>> {
        let mut shown = convert::entries(self.api, &self.served, vec![entry]).await?;
        shown.pop().ok_or_else(|| Failure::internal("an object was lost while it was converted"))
    }

    /// The field validation that applies: managers that apply always have unknown fields refused.
    pub fn validation(&self) -> FieldValidation {
        self.options.field_validation
    }

    /// Who writes: the given manager, or the program's name.
    pub fn manager(&self) -> &str {
        self.options.field_manager.as_deref().unwrap_or(&self.agent)
    }

    /// What kinds are told of the request.
    pub fn kind_context<'a>(&self, user: &'a Value) -> kinds::Context<'a> {
        kinds::Context { now: self.now, user: Some(user) }
    }

    /// The writer as objects name one.
    pub fn user(&self) -> Value {
        json!({
            "username": self.identity.name, "uid": self.identity.uid, "groups": self.identity.groups,
            "extra": self.identity.extra,
        })
    }

    /// Accounts for the fields that this write sets.
    pub fn account(&self, live: Option<&Value>, new: Value) -> Value {
        if self.accounting == Accounting::Applied {
            return new;
        }
        let Some((table, node)) = self.served.schema() else { return new };
        let api_version = self.served.resource.api_version();
        let manager = apply::Manager {
            name: self.manager(),
            api_version: &api_version,
            subresource: &self.subresource,
            now: self.now,
        };
        let reset = self.served.reset_fields(&self.subresource);
        match kinds::accounted(&self.served.resource, &new) {
            None => apply::update(table, node, live, new, &manager, &reset),
            Some(form) => {
                let managed = apply::update(table, node, live, form, &manager, &reset);
                let mut new = new;
                match managed["metadata"].get("managedFields") {
                    Some(fields) => meta::set(&mut new, "managedFields", fields.clone()),
                    None => meta::remove(&mut new, "managedFields"),
                }
                new
            }
        }
    }

    /// Makes `object`, which is [`settled`](Self::settled), the new state, or only shows what it would be.
    ///
    /// # Errors
    /// `None` inside when the object has changed since it was read: decide again.
    pub async fn commit(&self, expected: Expected, object: Value) -> Result<Arc<Entry>, Lost> {
        let object = self.stored_form(object).await.map_err(Lost::Failed)?;
        if self.options.dry_run {
            let key = self.key_of(&object);
            let revision = match expected {
                Expected::Absent => None,
                Expected::At(revision) => Some(revision),
            };
            return Ok(Arc::new(Entry::new(key, revision.unwrap_or(0), bytes_of(object, revision))));
        }
        let key = self.key_of(&object);
        let draft = Draft::new(object);
        let build = move |revision| draft.at(revision);
        self.write(key, expected, Write::Put(Box::new(build))).await
    }

    /// Removes the object; `last` is its last state, which is [`settled`](Self::settled).
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn remove(&self, expected: u64, last: Value) -> Result<Arc<Entry>, Lost> {
        let last = self.stored_form(last).await.map_err(Lost::Failed)?;
        let key = self.key_of(&last);
        if self.options.dry_run {
            return Ok(Arc::new(Entry::new(key, expected, bytes_of(last, Some(expected)))));
        }
        let draft = Draft::new(last);
        let build = move |revision| draft.at(revision);
        self.write(key, Expected::At(expected), Write::Delete(Box::new(build))).await
    }

    async fn write(&self, key: ObjectKey, expected: Expected, act: Write) -> Result<Arc<Entry>, Lost> {
        let storage = &self.served.resource.storage;
        let durability = durability(storage, &key.namespace);
        self.api.store.write(storage, key, expected, act, durability).await.map_err(|error| match error {
            WriteError::Stale => Lost::Stale,
            WriteError::Disk(error) => Lost::Failed(Failure::internal(error)),
        })
    }

    /// What reading back the object gives, in its own version.
    pub fn settled(&self, mut object: Value) -> Value {
        let served = &self.served;
        // Definitions and registrations are stored as JSON upstream.
        let is_json = served.is_definition() || served.resource.group == "apiregistration.k8s.io";
        if matches!(served.rules, Rules::Builtin)
            && !is_json
            && let Some((table, node)) = served.schema()
        {
            fields::store(table, node, &mut object);
        }
        object
    }

    async fn stored_form(&self, object: Value) -> Outcome<Value> {
        let served = &self.served;
        if served.is_stored_version() {
            return Ok(object);
        }
        Ok(match &served.rules {
            Rules::Builtin => {
                let mut stored = versions::to_stored(&served.resource, &object);
                // A version that cannot say all of a specification says nothing of it through the status.
                if self.subresource == "status"
                    && let Ok(entry) = self.existing()
                    && let Ok(old) = serde_json::from_slice::<Value>(&entry.json)
                {
                    stored["spec"] = old["spec"].clone();
                }
                stored
            }
            Rules::Custom(_) => self.in_stored_version(object).await?,
        })
    }

    /// A custom resource in the version that is stored, with what that version's schema adds.
    async fn in_stored_version(&self, object: Value) -> Outcome<Value> {
        let mut object = convert::to_version(self.api, &self.served, object, &self.served.stored_version).await?;
        let (group, version) = part::group_and_version(&self.served.stored_version);
        let stored = self.api.registry.get(group, version, &self.served.resource.plural);
        if let Some(Rules::Custom(custom)) = stored.as_ref().map(|stored| &stored.rules) {
            custom.compiled.default(&mut object);
        }
        Ok(object)
    }

    fn key_of(&self, object: &Value) -> ObjectKey {
        let namespace = if self.served.resource.namespaced() { &self.namespace } else { "" };
        ObjectKey::new(namespace, meta::text(object, "name"))
    }
}

/// A commit that was not made.
pub enum Lost {
    /// Another writer was faster.
    Stale,
    Failed(Box<Failure>),
}

/// A stored object in the version of `served`; where a webhook converts, one that it has converted.
///
/// # Errors
/// 500 for damaged bytes.
pub fn parse(served: &Served, entry: &Entry) -> Outcome<Value> {
    let object: Value = serde_json::from_slice(&entry.json).map_err(Failure::internal)?;
    Ok(match &served.rules {
        Rules::Builtin if served.is_stored_version() => object,
        Rules::Builtin => versions::from_stored(&served.resource, &object),
        Rules::Custom(_) => with_version(object, &served.resource.api_version()),
    })
}

fn with_version(mut object: Value, api_version: &str) -> Value {
    object["apiVersion"] = api_version.into();
    object
}

/// An object's bytes with its resourceVersion, or without one.
fn bytes_of(mut object: Value, revision: Option<u64>) -> Bytes {
    match revision {
        Some(revision) => meta::set(&mut object, "resourceVersion", revision.to_string()),
        None => meta::remove(&mut object, "resourceVersion"),
    }
    write_object(object)
}

/// Events and node heartbeats may lag on disk; everything else is synced before it is acknowledged.
fn durability(storage: &str, namespace: &str) -> Durability {
    match (storage, namespace) {
        ("events", _) | ("leases.coordination.k8s.io", "kube-node-lease") => Durability::Relaxed,
        _ => Durability::Synced,
    }
}
