//! The runtime that every reconciler runs on: observe through caches, decide in `core`, execute.
//!
//! * [`Cache`]: all objects of one kind, kept current by one watch, shared by all controllers.
//! * [`Controller`]: maps changes of objects to keys and runs a [`Reconciler`] for each key, never
//!   twice at a time, again after a back-off when it fails.
//! * [`Recorder`]: events on objects, counted instead of repeated.
//!
//! A reconciler never runs before its caches hold what was written through them earlier, so that it
//! needs no bookkeeping of its own writes.

mod cache;
mod event;
mod queue;
mod run;

pub use cache::{Cache, CacheError, Caches, Object};
pub use event::{EventKind, Recorder};
pub use queue::Queue;
pub use run::{Controller, Error, Reconciler};

use std::{fmt, time::Duration};

/// Names an object; cluster-scoped ones have an empty namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    /// A key from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// When a key is looked at again, if nothing changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Not until something changes.
    Done,
    /// After this time.
    After(Duration),
}
