//! What is known of a cluster that was started: how many nodes, its first process, and how far it is.

use std::{fs, io};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{extra::Extra, layout::Layout};

/// How far a cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    Starting,
    Ready,
    /// Why it did not get ready, or which part ended.
    Failed(String),
}

/// The record, in `record.json` of the cluster's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub nodes: u8,
    /// The first process of the cluster's process namespace, as the host counts; with it, all others end.
    pub first_process: i32,
    pub phase: Phase,
    /// What it was asked to have beside Kubernetes; records of before do not say.
    #[serde(default)]
    pub extras: Vec<Extra>,
}

impl Record {
    /// The record, if the cluster has one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(layout: &Layout) -> anyhow::Result<Option<Self>> {
        match fs::read(layout.path("record.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).context("record.json"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("record.json"),
        }
    }

    /// Writes it whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, layout: &Layout) -> anyhow::Result<()> {
        let part = layout.path("record.json.part");
        fs::write(&part, serde_json::to_vec(self)?).context("record.json")?;
        fs::rename(part, layout.path("record.json")).context("record.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_before_there_were_servers_beside_is_read() {
        let record: Record = serde_json::from_str(r#"{"nodes":2,"firstProcess":7,"phase":"ready"}"#).unwrap();
        assert_eq!(record, Record { nodes: 2, first_process: 7, phase: Phase::Ready, extras: vec![] });
    }
}
