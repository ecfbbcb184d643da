//! Keeps the table, the zone and the list of doors as objects say. One task, woken by every change: what has
//! changed while it worked is in the next pass.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ferroflow_platform::{
    clock::SharedClock,
    controller::{Cache, Caches},
    task::{Group, Kind},
};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod, Service},
    discovery::v1::EndpointSlice,
};
use tokio::sync::{Notify, watch};

use super::NetworkError;
use crate::core::{
    dns::zone::Zone,
    network::Table,
    services::{
        Slices,
        reach::{self, Behind, Door},
        table::{self, Facts},
    },
};

/// The doors that should be open.
pub type Wanted = BTreeMap<Door, Behind>;

/// Writes what follows from objects.
pub struct Books {
    facts: Facts,
    path: PathBuf,
    services: Cache<Service>,
    slices: Cache<EndpointSlice>,
    namespaces: Cache<Namespace>,
    pods: Cache<Pod>,
    clock: SharedClock,
    zone: watch::Sender<Arc<Zone>>,
    doors: watch::Sender<Wanted>,
    changed: Arc<Notify>,
    written: Option<Table>,
}

impl Books {
    /// Books that are written to `path`, and to those who listen for zones and doors.
    pub fn new(
        facts: Facts,
        path: PathBuf,
        caches: &Caches,
        clock: SharedClock,
        zone: watch::Sender<Arc<Zone>>,
        doors: watch::Sender<Wanted>,
    ) -> Self {
        Self {
            facts,
            path,
            services: caches.of(),
            slices: caches.of(),
            namespaces: caches.of(),
            pods: caches.of(),
            clock,
            zone,
            doors,
            changed: Arc::default(),
            written: None,
        }
    }

    /// Writes what is there, and goes on writing what changes.
    ///
    /// # Errors
    /// [`NetworkError`] of the first pass; later ones are tried again with the next change.
    pub async fn start(mut self, group: &Group) -> Result<(), NetworkError> {
        tokio::try_join!(
            self.services.current(),
            self.slices.current(),
            self.namespaces.current(),
            self.pods.current()
        )?;
        let wake = || {
            let changed = self.changed.clone();
            move || changed.notify_one()
        };
        let (service, slice, namespace, pod) = (wake(), wake(), wake(), wake());
        self.services.on_change(move |_, _| service());
        self.slices.on_change(move |_, _| slice());
        self.namespaces.on_change(move |_, _| namespace());
        self.pods.on_change(move |old, new| {
            // Of pods only host ports stand in the books.
            let has_ports = |pod: &Arc<Pod>| reach::host_ports(pod).next().is_some();
            if old.is_some_and(has_ports) || new.is_some_and(has_ports) {
                pod();
            }
        });
        self.pass()?;
        group.spawn("network table", Kind::Essential, async move {
            loop {
                self.changed.notified().await;
                if let Err(error) = self.pass() {
                    tracing::error!(%error, "pods do not learn what has changed of services");
                }
            }
            #[expect(unreachable_code, reason = "gives the loop its result type")]
            Ok::<(), std::convert::Infallible>(())
        });
        Ok(())
    }

    fn pass(&mut self) -> Result<(), NetworkError> {
        let (services, slices, pods) = (self.services.list(), self.slices.list(), self.pods.list());
        let by_service = Slices::new(slices.iter().map(|slice| &**slice));
        let all = || services.iter().map(|service| &**service);
        let with_ports = || pods.iter().map(|pod| &**pod).filter(|pod| reach::host_ports(pod).next().is_some());
        let table = table::plan(&self.facts, all(), &by_service, with_ports());
        if self.written.as_ref() != Some(&table) {
            let written = write(&self.path, &table);
            written.map_err(|source| NetworkError::Table { path: self.path.clone(), source })?;
            self.written = Some(table);
        }
        // A name is told only when the table knows what it stands for.
        let namespaces = self.namespaces.list();
        let names = namespaces.iter().filter_map(|namespace| namespace.metadata.name.clone());
        // Serial numbers wrap (RFC 1982).
        let serial = self.clock.now().as_second().rem_euclid(i64::from(u32::MAX));
        let zone = Zone::new(all(), &by_service, names, u32::try_from(serial).unwrap_or(0));
        self.zone.send_replace(Arc::new(zone));
        let doors = reach::doors(self.facts.block, all(), &by_service, with_ports());
        self.doors.send_if_modified(|standing| {
            let differs = *standing != doors;
            if differs {
                *standing = doors;
            }
            differs
        });
        Ok(())
    }
}

/// Replaces the table as a whole. It is not brought to disk: no pod outlives the machine.
fn write(path: &Path, table: &Table) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, serde_json::to_vec(table)?)?;
    fs::rename(&partial, path)
}
