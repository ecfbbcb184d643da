//! Pulls an image into a store: asks, checks, downloads what is missing and unpacks it.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};

use crate::{
    core::{
        digest::{Digest, Hasher},
        document::{self, Blob, Config, Document, DocumentError, Manifest, WantedLayer},
        limits::Limits,
        platform::Platform,
        record::{NameRecord, VERSION},
        reference::Reference,
        registries::Registries,
        retry,
    },
    registry::{Http, Keyring, RegistryError, Session},
    store::{Guard, Packed, Store, StoreError, Work},
};

/// Layers that are downloaded and unpacked at once, as other runtimes have it.
const AT_ONCE: usize = 3;
/// How often a download goes on after a break that came after some progress: once for each gigabyte of the largest.
const MOST_BREAKS: u32 = 64;
/// How often it is looked whether another program is done: a lock of a file tells nobody.
const LOOK: Duration = Duration::from_millis(50);

/// Why an image cannot be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error("image {image} cannot be pulled{}", of_mirrors(mirrors))]
    Registry {
        image: Box<Reference>,
        /// What the mirrors said before.
        mirrors: Vec<RegistryError>,
        source: Box<RegistryError>,
    },
    #[error("image {image} cannot be pulled")]
    Document { image: Box<Reference>, source: DocumentError },
    #[error("image {image} cannot be kept")]
    Store { image: Box<Reference>, source: StoreError },
    #[error("image {image}: the work was cut off")]
    Cut { image: Box<Reference> },
}

fn of_mirrors(mirrors: &[RegistryError]) -> String {
    mirrors.iter().map(|error| format!(", also from its mirror: {error}")).collect()
}

/// What happens to a layer, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is there already.
    Present,
    /// It is downloaded, so far.
    Downloaded {
        bytes: u64,
        of_bytes: u64,
    },
    Unpacking,
    Unpacked,
}

/// Told of every step of every layer.
pub trait Progress: Send + Sync {
    fn step(&self, layer: &Digest, step: Step);
}

/// How images are pulled.
pub struct Puller {
    pub store: Store,
    pub http: Http,
    pub registries: Registries,
    pub keyring: Keyring,
    pub platform: Platform,
    pub limits: Limits,
    pub progress: Arc<dyn Progress>,
}

/// What one pull works with.
struct Job<'a> {
    puller: &'a Puller,
    image: &'a Reference,
    sessions: Vec<Session>,
}

impl Puller {
    /// Pulls an image and names it; what is there already is not fetched again. `now_s` is the time since 1970.
    ///
    /// # Errors
    /// [`PullError`] with the cause. What was downloaded stays for another attempt.
    pub async fn pull(&self, image: &Reference, now_s: u64) -> Result<NameRecord, PullError> {
        let stored = |source| PullError::Store { image: Box::new(image.clone()), source };
        let guard = patiently(|| self.store.try_lock(Work::Add)).await.map_err(stored)?;
        let job = Job { puller: self, image, sessions: self.sessions(image).await? };
        let (target, digest, manifest) = job.manifest().await?;
        let config = job.small("configuration", &manifest.read.config).await?;
        let wrong = |source| PullError::Document { image: Box::new(image.clone()), source };
        let read = Config::read(&config).map_err(wrong)?;
        let layers = document::layers(&manifest.read, &read).map_err(wrong)?;
        let mut seen = BTreeSet::new();
        let distinct = layers.iter().filter(|layer| seen.insert(&layer.diff_id));
        let work: Vec<BoxFuture<'_, Result<(), PullError>>> = distinct.map(|layer| job.layer(layer).boxed()).collect();
        stream::iter(work).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        let record = NameRecord {
            version: VERSION,
            name: image.to_string(),
            manifest: digest,
            target,
            config: manifest.read.config.digest.clone(),
            platform: read.platform,
            layers: layers.iter().map(|layer| layer.diff_id.clone()).collect(),
            pulled_s: now_s,
            used_s: now_s,
        };
        let store = &self.store;
        let kept =
            store.add_blob(&record.config, &config).and_then(|()| store.add_blob(&record.manifest, &manifest.bytes));
        kept.and_then(|()| store.add_name(&record)).map_err(stored)?;
        drop(guard);
        Ok(record)
    }

    async fn sessions(&self, image: &Reference) -> Result<Vec<Session>, PullError> {
        let mut sessions = Vec::new();
        for endpoint in self.registries.endpoints(&image.registry) {
            // A mirror is told its own login, never that of the registry that it stands for.
            let place = match endpoint.mirrors {
                Some(_) => Reference { registry: endpoint.host.clone(), ..image.clone() },
                None => image.clone(),
            };
            let keyring = self.keyring.clone();
            let found = blocking(image, move || keyring.find(&place)).await?;
            let found = found.map_err(|error| refused(image, error.into()))?;
            sessions.push(Session::new(self.http.clone(), endpoint, &image.repository, found));
        }
        Ok(sessions)
    }
}

/// A manifest with its bytes.
struct Kept {
    bytes: Vec<u8>,
    read: Manifest,
}

impl Job<'_> {
    /// The manifest for the platform: what the name stands for, the manifest's digest, and it.
    async fn manifest(&self) -> Result<(Digest, Digest, Kept), PullError> {
        let limits = &self.puller.limits;
        let wrong = |source| PullError::Document { image: Box::new(self.image.clone()), source };
        let (target, bytes) = self.document(&self.image.wanted(), self.image.digest.as_ref()).await?;
        let index = match Document::read(&bytes, limits).map_err(wrong)? {
            Document::Manifest(read) => return Ok((target.clone(), target, Kept { bytes, read })),
            Document::Index(index) => index,
        };
        let chosen = document::choose(&index, &self.puller.platform).map_err(wrong)?;
        let (digest, bytes) = self.document(&chosen.digest.to_string(), Some(&chosen.digest)).await?;
        match Document::read(&bytes, limits).map_err(wrong)? {
            Document::Manifest(read) => Ok((target, digest, Kept { bytes, read })),
            Document::Index(_) => Err(wrong(DocumentError::Field("config"))),
        }
    }

    async fn document(&self, wanted: &str, expected: Option<&Digest>) -> Result<(Digest, Vec<u8>), PullError> {
        let what = format!("manifests/{wanted}");
        let most_bytes = self.puller.limits.document_bytes;
        let what = what.as_str();
        self.anywhere(|session| {
            let ask = async move {
                let bytes = session.get(what, 0).await?.bytes(what, most_bytes).await?;
                let found = Digest::of(&bytes);
                check(session, what, expected, &found)?;
                Ok((found, bytes))
            };
            ask.boxed()
        })
        .await
    }

    /// A blob that is read into memory.
    async fn small(&self, name: &'static str, blob: &Blob) -> Result<Vec<u8>, PullError> {
        let limits = &self.puller.limits;
        limits
            .check_document(name, blob.size)
            .map_err(|source| PullError::Document { image: Box::new(self.image.clone()), source })?;
        let what = format!("blobs/{}", blob.digest);
        let what = what.as_str();
        self.anywhere(|session| {
            let ask = async move {
                let bytes = session.get(what, 0).await?.bytes(what, blob.size).await?;
                check(session, what, Some(&blob.digest), &Digest::of(&bytes))?;
                Ok(bytes)
            };
            ask.boxed()
        })
        .await
    }

    /// Asks one server after the other until one has it.
    async fn anywhere<'s, T>(
        &'s self,
        ask: impl Fn(&'s Session) -> BoxFuture<'s, Result<T, RegistryError>>,
    ) -> Result<T, PullError> {
        let mut mirrors = Vec::new();
        for session in &self.sessions {
            match ask(session).await {
                Ok(found) => return Ok(found),
                Err(error) => mirrors.push(error),
            }
        }
        let source = mirrors.pop().unwrap_or_else(|| RegistryError::Address(self.image.registry.clone()));
        Err(PullError::Registry { image: Box::new(self.image.clone()), mirrors, source: Box::new(source) })
    }

    /// Makes a layer be there. Whoever comes second waits for the first, and finds it done.
    async fn layer(&self, wanted: &WantedLayer) -> Result<(), PullError> {
        let (puller, image) = (self.puller, self.image);
        let stored = |source| PullError::Store { image: Box::new(image.clone()), source };
        let progress = puller.progress.clone();
        let guard = patiently(|| puller.store.try_lock_layer(&wanted.diff_id)).await.map_err(stored)?;
        if puller.store.has_layer(&wanted.diff_id) {
            progress.step(&wanted.diff_id, Step::Present);
            return Ok(());
        }
        let path = puller.store.partial(&wanted.blob.digest, &wanted.diff_id);
        self.anywhere(|session| self.download(session, wanted, &path).boxed()).await?;
        progress.step(&wanted.diff_id, Step::Unpacking);
        let (store, limits, layer) = (puller.store.clone(), puller.limits, wanted.clone());
        // The lock goes with the work: a pull that is given up leaves it to whoever still writes.
        let unpacked = blocking(image, move || {
            let _guard = guard;
            let file =
                File::open(&path).map_err(|source| StoreError::File { act: "read", path: path.clone(), source })?;
            let packed = Packed { packing: layer.packing, size_bytes: layer.blob.size, diff_id: &layer.diff_id };
            let outcome = store.add_layer(file, packed, &limits);
            // What was checked and cannot be unpacked will be no better another time.
            store.remove_file(&path).and(outcome)
        });
        unpacked.await?.map_err(stored)?;
        progress.step(&wanted.diff_id, Step::Unpacked);
        Ok(())
    }

    /// Downloads a layer to a file, going on where another attempt ended, until it has the size and digest it should.
    async fn download(&self, session: &Session, wanted: &WantedLayer, path: &Path) -> Result<(), RegistryError> {
        let blob = &wanted.blob;
        let what = format!("blobs/{}", blob.digest);
        let file = |source| RegistryError::File { path: path.to_owned(), source };
        let mut part = Part::open(path, blob.size).map_err(file)?;
        let mut is_resumed = part.hasher.size_bytes() > 0;
        let (mut breaks, mut failures) = (0, 0);
        loop {
            let before = part.hasher.size_bytes();
            let outcome = self.fetch(session, wanted, &what, &mut part, path).await;
            let fetched_bytes = part.hasher.size_bytes();
            match outcome {
                Ok(()) => {
                    let found = std::mem::take(&mut part.hasher).finish();
                    if found == blob.digest {
                        // It need not reach the disk: it is removed once the layer has.
                        return Ok(());
                    }
                    part.restart().map_err(file)?;
                    // What an earlier attempt left may be damaged; what came just now may not.
                    if !std::mem::take(&mut is_resumed) {
                        return check(session, &what, Some(&blob.digest), &found);
                    }
                }
                Err(error) if error.is_passing() && breaks < MOST_BREAKS => {
                    breaks += 1;
                    failures = if fetched_bytes > before { 1 } else { failures + 1 };
                    if failures >= retry::ATTEMPTS {
                        return Err(error);
                    }
                    tracing::debug!(%error, fetched_bytes, "a download goes on");
                    tokio::time::sleep(retry::wait(failures, None)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn fetch(
        &self,
        session: &Session,
        wanted: &WantedLayer,
        what: &str,
        part: &mut Part,
        path: &Path,
    ) -> Result<(), RegistryError> {
        let of_bytes = wanted.blob.size;
        let server = || session.endpoint.host.clone();
        let file = |source| RegistryError::File { path: path.to_owned(), source };
        if part.hasher.size_bytes() == of_bytes {
            return Ok(());
        }
        let mut answer = session.get(what, part.hasher.size_bytes()).await?;
        if answer.status != http::StatusCode::PARTIAL_CONTENT {
            // The server gives the whole or nothing.
            part.restart().map_err(file)?;
        }
        if answer.status == http::StatusCode::RANGE_NOT_SATISFIABLE {
            let what = what.to_owned();
            return Err(RegistryError::Short { server: server(), what, found_bytes: 0, expected_bytes: of_bytes });
        }
        while let Some(piece) = answer.next().await? {
            if part.hasher.size_bytes() + piece.len() as u64 > of_bytes {
                part.restart().map_err(file)?;
                return Err(RegistryError::Large { server: server(), what: what.to_owned(), most_bytes: of_bytes });
            }
            part.file.write_all(&piece).map_err(file)?;
            part.hasher.update(&piece);
            let bytes = part.hasher.size_bytes();
            self.puller.progress.step(&wanted.diff_id, Step::Downloaded { bytes, of_bytes });
        }
        let found_bytes = part.hasher.size_bytes();
        if found_bytes < of_bytes {
            return Err(RegistryError::Short {
                server: server(),
                what: what.to_owned(),
                found_bytes,
                expected_bytes: of_bytes,
            });
        }
        Ok(())
    }
}

/// A download, as far as it is.
struct Part {
    file: File,
    hasher: Hasher,
}

impl Part {
    fn open(path: &Path, most_bytes: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 256 << 10];
        loop {
            let length = file.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            hasher.update(&buffer[..length]);
        }
        let mut part = Self { file, hasher };
        if part.hasher.size_bytes() > most_bytes {
            part.restart()?;
        }
        Ok(part)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.hasher = Hasher::default();
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0)).map(|_| ())
    }
}

fn refused(image: &Reference, source: RegistryError) -> PullError {
    PullError::Registry { image: Box::new(image.clone()), mirrors: Vec::new(), source: Box::new(source) }
}

fn check(session: &Session, what: &str, expected: Option<&Digest>, found: &Digest) -> Result<(), RegistryError> {
    match expected.filter(|expected| *expected != found) {
        None => Ok(()),
        Some(expected) => Err(RegistryError::Digest {
            server: session.endpoint.host.clone(),
            what: what.to_owned(),
            expected: expected.clone(),
            found: found.clone(),
        }),
    }
}

/// Waits for a lock such that the wait can be given up at any time.
async fn patiently(attempt: impl Fn() -> Result<Option<Guard>, StoreError>) -> Result<Guard, StoreError> {
    loop {
        if let Some(guard) = attempt()? {
            return Ok(guard);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Runs what may wait on the pool for that.
async fn blocking<T: Send + 'static>(
    image: &Reference,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PullError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| PullError::Cut { image: Box::new(image.clone()) })
}
