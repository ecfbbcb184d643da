//! Old views of lists are given up some minutes after they were current, as an etcd behind a kube-apiserver gives them up.
//!
//! A client that pages through a list more slowly is told so (410), with a token to go on from where it stood. Watches
//! are not concerned: they live by the ring of changes alone.

use std::{convert::Infallible, time::Duration};

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::task::{Group, Kind as TaskKind};

use crate::store::Store;

/// A view lives for one to two of these. kube-apiserver's `--etcd-compaction-interval` is the same by default.
const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Starts the loop that gives old views up.
pub fn register(group: &Group, clock: &SharedClock, store: Store) {
    let clock = clock.clone();
    group.spawn("compaction", TaskKind::Essential, async move {
        let mut before = store.revision();
        loop {
            clock.sleep(INTERVAL).await;
            store.compact(before);
            before = store.revision();
        }
        #[expect(unreachable_code, reason = "gives the loop its result type")]
        Ok::<(), Infallible>(())
    });
}
