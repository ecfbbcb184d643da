//! Kinds of the group `coordination.k8s.io`.

use serde_json::Value;

use super::column::{AGE, NAME, Printer, text};

pub(super) const PRINTERS: &[Printer] =
    &[Printer::new("coordination.k8s.io", "Lease", &[NAME, text("Holder", "Who holds the lease"), AGE], |lease| {
        vec![lease.name(), Value::from(lease.text("/spec/holderIdentity")), lease.age()]
    })];
