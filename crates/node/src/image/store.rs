//! The images of a node: what is there, how more is had, who runs from it, and what goes when the disk fills.
//!
//! The same store as that of `ferroflow images`; locks in it keep the two from each other. No pod is known here but
//! by a name and a directory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ferroflow_images::{
    core::{
        collect::{self, Goal},
        digest::Digest,
        document::Config,
        limits::Limits,
        platform::Platform,
        record::NameRecord,
        reference::Reference,
        registries::Registries,
        run::Run,
    },
    pull::{PullError, Puller},
    registry::{Http, Keyring, RegistryError},
    store::{Store, StoreError, Work},
};
use ferroflow_platform::clock::SharedClock;
use tokio::sync::Notify;

use super::pulls::{Key, Pulled, Pulls, Telling};
use crate::core::{collection::Collection, stored};

/// Where images lie and how more are had.
#[derive(Clone, Debug, Default)]
pub struct StoreConfig {
    pub directory: PathBuf,
    pub registries: Registries,
    /// The folder of Docker's `config.json`; `.docker` of the home directory where there is none.
    pub docker_config: Option<PathBuf>,
    pub home: Option<PathBuf>,
    /// When images are removed.
    pub collection: Collection,
}

/// The logins of a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// Of type `kubernetes.io/dockerconfigjson`.
    Config { name: String, text: Vec<u8> },
    /// Of type `kubernetes.io/dockercfg`.
    Old { name: String, text: Vec<u8> },
}

/// An image that somebody runs from.
#[derive(Clone, Debug)]
pub struct Image {
    pub record: NameRecord,
    /// The trees of its layers, the top one first.
    pub layers: Vec<PathBuf>,
    pub run: Run,
}

/// What a collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    pub names: Vec<String>,
    pub wanted_bytes: u64,
    pub freed_bytes: u64,
}

/// When an image was last used is written down no more often: a write waits for the disk, and a start for the write.
const USED_GRAIN_S: u64 = 60;

/// A node's images.
pub struct ImageStore {
    store: Store,
    config: StoreConfig,
    platform: Platform,
    clock: SharedClock,
    http: Mutex<Option<Http>>,
    pulls: Pulls,
    changed: Notify,
}

impl ImageStore {
    /// Opens the store, and forgets uses of pods that are gone.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(config: StoreConfig, clock: SharedClock) -> Result<Self, StoreError> {
        let store = Store::open(&config.directory)?;
        store.end_uses(|_| false)?;
        let platform = Platform::linux(std::env::consts::ARCH);
        let (http, pulls, changed) = (Mutex::default(), Pulls::default(), Notify::new());
        Ok(Self { store, config, platform, clock, http, pulls, changed })
    }

    /// The record of an image that is there, whole, and for this machine.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find(&self, image: &Reference) -> Result<Option<NameRecord>, String> {
        let by_name = self.store.find_name(&image.to_string()).map_err(|error| told(&error))?;
        let found = match by_name {
            None if image.digest.is_some() => {
                let records = self.store.names().map_err(|error| told(&error))?;
                stored::find(image, &records).cloned()
            }
            found => found,
        };
        let usable = |record: &NameRecord| self.platform.fit(&record.platform).is_some() && self.store.is_whole(record);
        Ok(found.filter(usable))
    }

    /// Pulls an image with these logins, those of the first secret first. Whoever drops this waits no longer.
    ///
    /// # Errors
    /// Why it cannot be had, with the causes and what to do.
    pub async fn pull(&self, image: &Reference, logins: Vec<Login>) -> Result<Arc<Pulled>, String> {
        let key = Key { image: image.clone(), logins: digest_of(&logins) };
        let puller = self.puller(image, &logins)?;
        let (image, clock) = (image.clone(), self.clock.clone());
        let is_tls = self.config.registries.endpoints(&image.registry).last().is_some_and(|one| one.scheme == "https");
        let now_s = self.now_s();
        let pull = async move {
            let pulled = puller.pull(&image, now_s).await.map_err(|error| explained(&error, is_tls))?;
            tracing::info!(image = %image, digest = %pulled.target, "pulled an image");
            Ok(pulled)
        };
        let pulled = self.pulls.join(key, clock, pull).await?;
        self.changed.notify_one();
        Ok(pulled)
    }

    fn puller(&self, image: &Reference, logins: &[Login]) -> Result<Puller, String> {
        let home = self.config.home.as_deref();
        let mut keyring = Keyring::of_user(self.config.docker_config.as_deref(), home).map_err(|error| told(&error))?;
        for login in logins.iter().rev() {
            keyring = match login {
                Login::Config { name, text } => keyring.with_secret(name, text),
                Login::Old { name, text } => keyring.with_old_secret(name, text),
            }
            .map_err(|error| told(&error))?;
        }
        Ok(Puller {
            store: self.store.clone(),
            http: self.http()?,
            registries: self.config.registries.clone(),
            keyring,
            platform: self.platform.clone(),
            limits: Limits::default(),
            progress: Arc::new(Telling::new(image, self.clock.clone())),
        })
    }

    /// One client for all pulls; made when it is first needed, for a machine without certificates runs pods too.
    fn http(&self) -> Result<Http, String> {
        let mut http = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(http) = http.as_ref() {
            return Ok(http.clone());
        }
        let made = Http::new().map_err(|error| told(&error))?;
        Ok(http.insert(made).clone())
    }

    /// Takes an image into use under a key, until `while_exists` is gone or the key is released; `None` when it is
    /// not whole any more. May wait: not for the tasks of the runtime.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn take(
        &self,
        record: &NameRecord,
        key: &str,
        holder: &str,
        while_exists: &Path,
    ) -> Result<Option<Image>, String> {
        let failed = |error: StoreError| told(&error);
        let _guard = self.store.lock(Work::Add).map_err(failed)?;
        if !self.store.is_whole(record) {
            return Ok(None);
        }
        self.store.add_use(key, holder, while_exists, record).map_err(failed)?;
        if record.used_s.saturating_add(USED_GRAIN_S) <= self.now_s() {
            self.store.touch(&record.name, self.now_s()).map_err(failed)?;
        }
        let config = self.store.read_blob(&record.config).map_err(failed)?;
        let run = Config::read(&config).map_err(|error| told(&error))?.run;
        let layers = top_first(&record.layers).iter().map(|layer| self.store.layer_tree(layer)).collect();
        Ok(Some(Image { record: record.clone(), layers, run }))
    }

    /// Ends the uses whose key begins so.
    pub fn release(&self, prefix: &str) {
        if let Err(error) = self.store.end_uses(|key| key.starts_with(prefix)) {
            tracing::warn!(%error, "cannot write down that a pod is done with its images");
        }
    }

    /// Bytes of an image's layers.
    pub fn size_bytes(&self, record: &NameRecord) -> u64 {
        top_first(&record.layers)
            .iter()
            .filter_map(|layer| self.store.layer_record(layer).ok())
            .map(|layer| layer.size_bytes)
            .sum()
    }

    /// The images that are there, with their sizes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn images(&self) -> Result<Vec<(NameRecord, u64)>, String> {
        let records = self.store.names().map_err(|error| told(&error))?;
        let whole = records.into_iter().filter(|record| self.store.is_whole(record));
        Ok(whole.map(|record| (record.clone(), self.size_bytes(&record))).collect())
    }

    /// Completes when images may have come or gone through this program.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Something that is another when images have come or gone, through whichever program.
    pub fn generation(&self) -> Option<std::time::SystemTime> {
        std::fs::metadata(self.config.directory.join("names")).and_then(|found| found.modified()).ok()
    }

    /// Removes images that nothing uses where the disk is too full, those used longest ago first; `None` when it is
    /// not, or when others work on the store. May wait: not for the tasks of the runtime.
    ///
    /// # Errors
    /// When the disk or the store cannot be read, or something cannot be removed.
    pub fn collect(&self) -> Result<Option<Collected>, String> {
        let disk = rustix::fs::statvfs(&self.config.directory)
            .map_err(|error| format!("the disk of {:?} cannot be looked at: {error}", self.config.directory))?;
        let total_bytes = disk.f_blocks.saturating_mul(disk.f_frsize);
        // What only root may use counts as taken, as for those who write here.
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        self.collect_for(total_bytes, free_bytes)
    }

    fn collect_for(&self, total_bytes: u64, free_bytes: u64) -> Result<Option<Collected>, String> {
        let settings = &self.config.collection;
        let Some(wanted_bytes) = settings.wanted_bytes(total_bytes, free_bytes) else { return Ok(None) };
        let used_bytes = total_bytes.saturating_sub(free_bytes);
        self.remove(wanted_bytes, |layers_bytes| Goal::AtMost {
            size_bytes: collect::allowance(total_bytes, used_bytes, layers_bytes, settings.low_percent),
        })
    }

    /// Removes every image that nothing uses, but those that were just pulled: what a kubelet does before it ends a
    /// pod for the disk. May wait: not for the tasks of the runtime.
    ///
    /// # Errors
    /// As [`Self::collect`].
    pub fn remove_unused(&self) -> Result<Option<Collected>, String> {
        self.remove(0, |_| Goal::Unused)
    }

    fn remove(&self, wanted_bytes: u64, goal: impl FnOnce(u64) -> Goal) -> Result<Option<Collected>, String> {
        let failed = |error: StoreError| told(&error);
        let Some(_guard) = self.store.try_lock(Work::Remove).map_err(failed)? else { return Ok(None) };
        let found = self.store.stored().map_err(failed)?;
        let before_s = self.now_s().saturating_sub(self.config.collection.least_age_s);
        let plan = collect::plan(&found, goal(found.layers.values().sum()), before_s);
        self.store.remove(&plan).map_err(failed)?;
        self.changed.notify_one();
        Ok(Some(Collected { names: plan.names, wanted_bytes, freed_bytes: plan.freed_bytes }))
    }

    /// Seconds since 1970.
    fn now_s(&self) -> u64 {
        u64::try_from(self.clock.now().as_second()).unwrap_or_default()
    }
}

/// Layers from the top down, each once: what a lower one of the same content has, the upper one has too.
fn top_first(layers: &[Digest]) -> Vec<&Digest> {
    let mut order = BTreeMap::new();
    for (index, layer) in layers.iter().rev().enumerate() {
        order.entry(layer).or_insert(index);
    }
    let mut order: Vec<(usize, &Digest)> = order.into_iter().map(|(layer, index)| (index, layer)).collect();
    order.sort();
    order.into_iter().map(|(_, layer)| layer).collect()
}

/// A text that is the same for the same logins; it says nothing of them.
fn digest_of(logins: &[Login]) -> Digest {
    let mut text = Vec::new();
    for login in logins {
        let (kind, name, content) = match login {
            Login::Config { name, text } => (b'c', name, text),
            Login::Old { name, text } => (b'o', name, text),
        };
        text.push(kind);
        for part in [name.as_bytes(), content] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
    }
    Digest::of(&text)
}

/// An error with its causes, in a line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// Why a pull failed, and what may help.
fn explained(error: &PullError, is_tls: bool) -> String {
    let text = told(error);
    let PullError::Registry { image, source, .. } = error else { return text };
    match &**source {
        RegistryError::Denied { .. } => format!(
            "{text}; name a secret with a login for {} in imagePullSecrets, if the image is there at all",
            image.registry
        ),
        RegistryError::Connect { .. } if is_tls => format!(
            "{text}; if {} speaks no TLS, write plain_http = true for it into the file of `ferroflow up --images`",
            image.registry
        ),
        _ => text,
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
