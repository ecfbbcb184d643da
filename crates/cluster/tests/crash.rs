//! Power cuts: what no fsync has made safe is lost, or half lost, and every acknowledged write is there.
//!
//! A kill of the process leaves the page cache whole, so it cannot show a missing fsync. Here a file
//! layer under SQLite keeps the bytes that are safe apart from those that are only written, and a cut
//! leaves the safe ones, with any of the others, torn at sectors of 512 bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "crash/layer.rs"]
mod layer;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use ferroflow_cluster::store::{Durability, Expected, ListRange, ObjectKey, Store, Write};
use ferroflow_testkit::ledger::{Ledger, Promise};
use jiff::Timestamp;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::{sync::watch, task::JoinSet};

const RESOURCE: &str = "configmaps";
const WRITERS: usize = 4;
const KEYS: usize = 8;
/// Enough that the log is carried over into the database several times in a long round.
const BODY_BYTES: usize = 3000;

fn open(directory: &Path) -> Result<Store, String> {
    let failed = Box::new(|_| {});
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    Store::open(directory, now, failed).map_err(|error| error.to_string())
}

/// Writes to keys of its own until the round is over.
async fn writer(store: Store, ledger: Arc<Ledger>, count: Arc<watch::Sender<usize>>, number: usize, mut rng: StdRng) {
    let mut revisions: BTreeMap<String, u64> = BTreeMap::new();
    for state in 1.. {
        let name = format!("w{number}-{}", rng.random_range(0..KEYS));
        let key = ObjectKey::new("a", &name);
        let known = revisions.get(&name).copied();
        let body = move |revision: u64| -> Bytes {
            let filler = "x".repeat(BODY_BYTES);
            json!({"state": state, "filler": filler, "metadata": {"resourceVersion": revision.to_string()}})
                .to_string()
                .into()
        };
        let expected = known.map_or(Expected::Absent, Expected::At);
        let deletes = known.is_some() && rng.random_bool(0.2);
        let act = if deletes { Write::Delete(Box::new(body)) } else { Write::Put(Box::new(body)) };
        ledger.intend(&name, (!deletes).then_some(state));
        let Ok(entry) = store.write(RESOURCE, key, expected, act, Durability::Synced).await else { return };
        if deletes {
            revisions.remove(&name);
        } else {
            revisions.insert(name.clone(), entry.revision);
        }
        count.send_replace(ledger.acknowledge(&name, entry.revision));
    }
}

/// Writes until a number of acknowledgements is reached, and cuts the power into the middle of it.
async fn write_and_cut(directory: &Path, seed: u64) -> (Arc<Ledger>, Promise, layer::Disk) {
    let mut rng = StdRng::seed_from_u64(seed);
    let store = open(directory).unwrap();
    let ledger = Arc::new(Ledger::default());
    let count = Arc::new(watch::Sender::new(0));
    let mut reached = count.subscribe();
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let rng = StdRng::seed_from_u64(rng.next_u64());
        writers.spawn(writer(store.clone(), ledger.clone(), count.clone(), number, rng));
    }
    // Short rounds cut into the first commits, long ones into checkpoints.
    let goal = 1_usize << rng.random_range(0..11);
    reached.wait_for(|count| *count >= goal).await.unwrap();
    let promise = ledger.promise();
    let disk = layer::cut(directory, &mut rng);
    writers.shutdown().await;
    (ledger, promise, disk)
}

/// What is wrong with the store that a cut has left.
fn faults(directory: &Path, ledger: &Ledger, promise: &Promise) -> Vec<String> {
    let store = match open(directory) {
        Ok(store) => store,
        Err(error) => return vec![error],
    };
    let entries = store.list(RESOURCE, &ListRange::default()).unwrap().entries;
    let found = entries.iter().map(|entry| {
        let object: Value = serde_json::from_slice(&entry.json).unwrap();
        (entry.key.name.to_string(), object["state"].as_u64().unwrap())
    });
    let mut faults = ledger.broken(promise, &found.collect());
    if store.revision() < promise.revision {
        faults.push(format!("revision {} after {} was acknowledged", store.revision(), promise.revision));
    }
    faults
}

fn round(seed: u64, syncs: layer::Syncs) -> Vec<String> {
    let before = tempdir().unwrap();
    let before = before.path().canonicalize().unwrap();
    layer::record(&before, syncs);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (ledger, promise, disk) = runtime.block_on(write_and_cut(&before, seed));
    drop(runtime);
    let after = tempdir().unwrap();
    for (name, bytes) in disk {
        std::fs::write(after.path().join(name), bytes).unwrap();
    }
    let faults = faults(after.path(), &ledger, &promise);
    layer::forget(&before);
    let _ = std::fs::remove_dir_all(&before);
    faults
}

#[test]
fn every_acknowledged_write_survives_a_power_cut() {
    for seed in 0..60 {
        assert_eq!(round(seed, layer::Syncs::Kept), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn a_layer_whose_fsync_does_nothing_is_found_out() {
    let lost = (0..10).filter(|seed| !round(*seed, layer::Syncs::Ignored).is_empty()).count();
    assert!(lost >= 5, "only {lost} of 10 cuts without fsync lost anything: the test above proves little");
}
