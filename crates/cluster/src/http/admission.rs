//! Admission in the write path: lends the store to the pure plugins and carries out what follows.

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use serde_json::{Value, json};

use super::{
    hooks::{Matter, Rounds},
    write::{Request, meta},
};
use crate::{
    core::{
        admission::{self, Denied, Lookup},
        quota::Charge,
        rbac,
        status::{Failure, Outcome},
    },
    registry::Registry,
    store::{Durability, Expected, ListRange, ObjectKey, Store, Write, WriteError, write_object},
};

pub use crate::core::admission::Operation;

/// How long a request waits for an object that a controller is about to make, as upstream.
const PASSING_PATIENCE: Duration = Duration::from_secs(1);

/// Reads objects for admission and for authorization.
#[derive(Clone)]
pub struct StoreLookup {
    pub store: Store,
    pub registry: Registry,
}

/// The key prefix of a resource that is named by its group and plural.
pub fn storage_of(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

impl Lookup for StoreLookup {
    fn get(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let entry = self.store.get(&storage_of(group, plural), &ObjectKey::new(namespace, name))?;
        entry.value()
    }

    fn list(&self, group: &str, plural: &str, namespace: &str) -> Vec<Arc<Value>> {
        let range = ListRange { namespace: Some(namespace), ..ListRange::default() };
        let Ok(snapshot) = self.store.list(&storage_of(group, plural), &range) else { return Vec::new() };
        snapshot.entries.iter().filter_map(|entry| entry.value()).collect()
    }
}

impl From<Denied> for Box<Failure> {
    fn from(denied: Denied) -> Self {
        Box::new(Failure {
            code: denied.code,
            reason: denied.reason.into(),
            message: denied.message,
            details: Some(denied.details),
            continue_token: None,
        })
    }
}

impl Request<'_> {
    fn admission<'a>(&'a self, operation: Operation, suffix: &'a str) -> admission::Request<'a> {
        let resource = &self.served.resource;
        admission::Request {
            operation,
            group: &resource.group,
            plural: &resource.plural,
            subresource: &self.subresource,
            namespace: if resource.namespaced() { &self.namespace } else { "" },
            name: &self.name,
            suffix,
            now: self.now,
        }
    }

    /// Completes an object, or refuses it: first the server's own plugins, then webhooks. Where a webhook has changed
    /// the object, both look at it once more, as upstream.
    ///
    /// # Errors
    /// What the first that refuses says.
    pub async fn admit(
        &self,
        operation: Operation,
        object: &mut Value,
        old: Option<&Value>,
        warnings: &mut Vec<String>,
    ) -> Outcome<()> {
        self.complete(operation, object, old).await?;
        // A scale is what a webhook is told of, not the object that has it.
        if self.subresource == "scale" {
            return Ok(());
        }
        let matter = Matter::of_incomplete(self, operation);
        let mut rounds = Rounds::default();
        if matter.complete(object, old, &mut rounds, warnings).await? {
            rounds.again();
            self.complete(operation, object, old).await?;
            matter.complete(object, old, &mut rounds, warnings).await?;
        }
        Ok(())
    }

    async fn complete(&self, operation: Operation, object: &mut Value, old: Option<&Value>) -> Outcome<()> {
        // No plugin of the server's own looks at a status but that of a pod.
        if operation == Operation::Update && self.subresource == "status" && self.served.resource.kind != "Pod" {
            return Ok(());
        }
        let suffix = meta::suffix();
        let request = self.admission(operation, &suffix);
        let waited = self.api.clock.sleep(PASSING_PATIENCE);
        tokio::pin!(waited);
        loop {
            let seen = self.api.store.revision();
            let denied = match admission::mutate(&request, &self.api.lookup, object, old) {
                Ok(()) => return Ok(()),
                Err(denied) if !denied.passing => return Err(denied.into()),
                Err(denied) => denied,
            };
            tokio::select! {
                () = self.api.store.reached(seen + 1) => {}
                () = &mut waited => return Err(denied.into()),
            }
        }
    }

    /// Judges a deletion by the server's own rules.
    ///
    /// # Errors
    /// 403 for a namespace that may not be deleted.
    pub fn check_deletion(&self) -> Outcome<()> {
        Ok(admission::delete(&self.admission(Operation::Delete, ""), &self.api.lookup)?)
    }

    /// Judges a complete object and charges quotas for it.
    ///
    /// # Errors
    /// What the first plugin that refuses says.
    pub async fn check(
        &self,
        operation: Operation,
        object: &Value,
        old: Option<&Value>,
        warnings: &mut Vec<String>,
    ) -> Outcome<()> {
        let request = self.admission(operation, "");
        self.check_grant(object, old)?;
        let mut admitted = admission::validate(&request, &self.api.lookup, object, old)?;
        if self.subresource != "scale" {
            Matter::of_object(self, operation).judge(Some(object), old, warnings).await?;
        }
        loop {
            if self.options.dry_run || self.charge(admitted.charges).await? {
                warnings.extend(admitted.warnings);
                return Ok(());
            }
            admitted = admission::validate(&request, &self.api.lookup, object, old)?;
        }
    }

    /// Nobody gives away more rights than he has.
    fn check_grant(&self, object: &Value, old: Option<&Value>) -> Outcome<()> {
        let resource = &self.served.resource;
        if resource.group != rbac::GROUP {
            return Ok(());
        }
        let user = rbac::User { name: &self.identity.name, groups: &self.identity.groups };
        let write = rbac::escalation::Write { plural: &resource.plural, namespace: &self.namespace, object, old };
        Ok(rbac::escalation::check(&user, &write, &self.api.lookup)?)
    }

    /// Stores new usages; whether all quotas were as admission saw them.
    async fn charge(&self, charges: Vec<Charge>) -> Outcome<bool> {
        for charge in charges {
            let key = ObjectKey::new(&self.namespace, &charge.name);
            let Some(entry) = self.api.store.get("resourcequotas", &key) else { return Ok(false) };
            let Ok(mut quota) = serde_json::from_slice::<Value>(&entry.json) else { return Ok(false) };
            if meta::text(&quota, "resourceVersion") != charge.resource_version {
                return Ok(false);
            }
            quota["status"] = json!({"hard": quota["status"]["hard"], "used": charge.used});
            let build = move |revision: u64| {
                let mut quota = quota;
                meta::set(&mut quota, "resourceVersion", revision.to_string());
                write_object(quota)
            };
            let act = Write::Put(Box::new(build));
            let expected = Expected::At(entry.revision);
            match self.api.store.write("resourcequotas", key, expected, act, Durability::Synced).await {
                Ok(_) => {}
                Err(WriteError::Stale) => return Ok(false),
                Err(WriteError::Disk(error)) => return Err(Failure::internal(error)),
            }
        }
        Ok(true)
    }
}

/// A random number for allocations.
pub fn chance() -> u64 {
    rand::rng().random()
}
