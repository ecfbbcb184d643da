//! What Services hold: addresses and node ports, given out under one lock.
//!
//! Which are free follows from the stored services and from the writes that are under way. What a
//! service gets is decided in `core::kinds::service::allocation`.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use serde_json::Value;

use super::{admission::chance, server::Api, write::Request};
use crate::{
    core::{
        kinds::service::allocation::{self, Held, Refused},
        status::{Failure, Outcome},
    },
    store::{ListRange, ObjectKey},
};

/// Hands out addresses and ports.
#[derive(Default)]
pub struct Allocator {
    /// Services as writes that are under way will leave them.
    writing: Mutex<HashMap<ObjectKey, Value>>,
}

impl Api {
    /// Gives a Service what it asks for: its own address and ports, or free ones. What it gets is
    /// held until [`allocated`](Self::allocated).
    ///
    /// # Errors
    /// 422 for an address or port that another service has or that is out of range.
    pub fn allocate(&self, request: &Request<'_>, service: &mut Value, old: Option<&Value>) -> Outcome<()> {
        if !is_service(request) || !request.subresource.is_empty() {
            return Ok(());
        }
        let mut writing = self.services.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let own = request.key();
        let mut held = Held::default();
        if let Ok(snapshot) = self.store.list("services", &ListRange::default()) {
            let others = snapshot.entries.iter().filter(|entry| entry.key != own);
            others.filter_map(|entry| serde_json::from_slice(&entry.json).ok()).for_each(|other| held.add(&other));
        }
        writing.iter().filter(|(key, _)| **key != own).for_each(|(_, other)| held.add(other));
        let given = match old {
            None => allocation::create(service, &held, chance()),
            Some(old) => allocation::update(service, old, &held, chance()),
        };
        given.map_err(|refused| match refused {
            Refused::Invalid(errors) => Failure::invalid("", "Service", &request.name, &errors),
            Refused::Exhausted(text) => Failure::internal(text),
        })?;
        if !request.options.dry_run {
            writing.insert(own, service.clone());
        }
        Ok(())
    }

    /// Says that the write of a Service has ended: the store now tells what it holds.
    pub fn allocated(&self, request: &Request<'_>) {
        if is_service(request) {
            self.services.writing.lock().unwrap_or_else(PoisonError::into_inner).remove(&request.key());
        }
    }
}

fn is_service(request: &Request<'_>) -> bool {
    request.served.resource.storage == "services"
}
