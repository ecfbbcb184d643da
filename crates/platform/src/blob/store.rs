//! [`Blobs`]: objects of any size, in a directory or in S3. They stream: no act holds more than a few parts in memory.

use std::{
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use futures::{
    Stream, StreamExt, TryStreamExt, pin_mut,
    stream::{self, BoxStream},
};
use object_store::{
    GetResult, GetResultPayload, ObjectStore, ObjectStoreExt, buffered::BufWriter, local::LocalFileSystem, path::Path,
};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use super::{S3, key::Layout, tree, unfinished};

/// What can go wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("artifact store: \"{place}\" cannot be used: {why}")]
    Place { place: String, why: String },
    #[error("artifact store: the file \"{name}\" of a directory cannot be used: {why}")]
    Member { name: String, why: String },
    #[error("artifact store: {0}")]
    Tar(String),
    #[error("artifact store: \"{place}\" has {size} bytes; at most {limit} can be read at once")]
    TooLarge { place: String, size: u64, limit: u64 },
    /// What is stored could not be read to its end by whoever sends it.
    #[error("the bytes to store stopped coming: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is read out of the store cannot be put where it goes.
    #[error("the archive cannot be written")]
    Archive(#[source] std::io::Error),
    #[error("artifact store")]
    Store(#[from] object_store::Error),
    #[error("artifact store")]
    Io(#[from] std::io::Error),
}

/// Bytes on their way.
pub type Flow = BoxStream<'static, Result<Bytes, StoreError>>;

/// An object that is being read.
pub struct Blob {
    /// Bytes.
    pub size: u64,
    pub flow: Flow,
}

/// What lies at a place.
pub enum Content {
    File(Blob),
    /// The files below it, as a tar stream.
    Directory(Flow),
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Bytes of the file, or of all files.
    pub size: u64,
    /// `sha256:…` of a file, empty for a directory.
    pub digest: String,
}

/// Objects. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blobs {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) layout: Arc<Layout>,
    /// Where the files are, of a store on disk.
    directory: Option<PathBuf>,
    part: usize,
}

/// Bytes that one read of a file asks for.
const READ: usize = 256 * 1024;
/// Bytes of a part on disk: large enough that a 5 GB file is 5,000 writes.
const PART_ON_DISK: usize = 1024 * 1024;
/// Bytes of a part of an S3 upload. S3 takes 10,000 parts, hence files of 80 GB.
const PART_IN_S3: usize = 8 * 1024 * 1024;
/// Parts of one upload that are under way at once; with the one that is being filled, 24 MiB of memory at most.
const PARTS: usize = 2;

impl Blobs {
    /// Objects as files below `root`, which is made. What is acknowledged is on disk.
    ///
    /// # Errors
    /// [`StoreError`] where the directory cannot be made.
    pub fn local(root: &FilePath) -> Result<Self, StoreError> {
        std::fs::create_dir_all(root)?;
        let store = LocalFileSystem::new_with_prefix(root)?.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self {
            store: Arc::new(store),
            layout: Arc::default(),
            directory: Some(root.to_owned()),
            part: PART_ON_DISK,
        })
    }

    /// Objects in a bucket of S3, below its prefix. A URI of this very bucket (`s3://BUCKET/…`) is the object of that
    /// name, so that what lies there already can be read, and what is written there is found by others.
    ///
    /// # Errors
    /// [`StoreError`] where the options do not fit together; nothing is asked of the server yet ([`S3::check`]).
    pub fn s3(options: &S3) -> Result<Self, StoreError> {
        let layout = Layout::of_bucket(&options.bucket, &options.prefix);
        Ok(Self { store: Arc::new(options.patient()?), layout: Arc::new(layout), directory: None, part: PART_IN_S3 })
    }

    pub(super) fn object(&self, place: &str) -> Result<Path, StoreError> {
        self.layout.object(place)
    }

    /// The place of an artifact that a user names: the one name that all URIs of its object have, as
    /// [`named`](Self::named) has it. `None` for what is kept elsewhere.
    ///
    /// # Errors
    /// [`StoreError::Place`] for what can be no artifact, among it all that is the control plane's own.
    pub fn artifact(&self, uri: &str) -> Result<Option<String>, StoreError> {
        self.layout.artifact(uri)
    }

    /// Writes the object at `place` (a URI, or an own name) from a stream. An older one is replaced when the new one is
    /// whole; when the stream fails, nothing has changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put<E>(&self, place: &str, bytes: impl Stream<Item = Result<Bytes, E>>) -> Result<Stored, StoreError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.write(self.object(place)?, bytes).await
    }

    /// Writes a small object.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_bytes(&self, place: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.store.put(&self.object(place)?, bytes.into()).await?;
        Ok(())
    }

    /// Writes the files of a tar stream as objects below `place`, an artifact's, in place of what was there. When the stream
    /// fails, some of them may be there.
    ///
    /// # Errors
    /// As [`open`](Self::open), [`StoreError::Tar`] and [`StoreError::Member`] for what is no directory of files, and others.
    pub async fn put_tar<E>(
        &self,
        place: &str,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Stored, StoreError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.artifact(place)?;
        self.delete(place).await?;
        let size = tree::unpack(self, &self.object(place)?, bytes).await?;
        Ok(Stored { size, digest: String::new() })
    }

    /// Reads an object; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, place: &str) -> Result<Option<Blob>, StoreError> {
        match self.store.get(&self.object(place)?).await {
            Ok(found) => Ok(Some(Blob { size: found.meta.size, flow: flow(found) })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a whole object that must not be larger than `limit` bytes; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], and others.
    pub async fn read(&self, place: &str, limit: u64) -> Result<Option<Bytes>, StoreError> {
        match self.store.get(&self.object(place)?).await {
            Ok(found) if found.meta.size > limit => {
                Err(StoreError::TooLarge { place: place.to_owned(), size: found.meta.size, limit })
            }
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads an artifact, or the files below its name where there is none; `None` where there is neither. Whose it is must
    /// be asked before.
    ///
    /// # Errors
    /// [`StoreError`], [`StoreError::Place`] for what [`artifact`](Self::artifact) refuses.
    pub async fn open(&self, place: &str) -> Result<Option<Content>, StoreError> {
        self.artifact(place)?;
        if let Some(blob) = self.get(place).await? {
            return Ok(Some(Content::File(blob)));
        }
        let root = self.object(place)?;
        let mut found = self.store.list(Some(&root));
        let Some(first) = found.try_next().await? else { return Ok(None) };
        let all = stream::iter([Ok(first)]).chain(found).boxed();
        Ok(Some(Content::Directory(tree::pack(self.store.clone(), root, all))))
    }

    /// Whether there is an object of this name, or one below it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn exists(&self, place: &str) -> Result<bool, StoreError> {
        let object = self.object(place)?;
        match self.store.head(&object).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(self.store.list(Some(&object)).try_next().await?.is_some()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the object of this name and all below it. Where there is nothing, nothing is done.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete(&self, place: &str) -> Result<(), StoreError> {
        let object = self.object(place)?;
        // A directory of the local store is no object, and deleting it as one is another error than that it is missing.
        let is_object = match self.store.head(&object).await {
            Ok(_) => true,
            Err(object_store::Error::NotFound { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        let below = self.store.list(Some(&object)).map_ok(|found| found.location).boxed();
        let itself = is_object.then_some(Ok(object));
        self.delete_all(stream::iter(itself).chain(below).boxed()).await
    }

    /// Removes all artifacts below this place but those at `kept` or below. Where there is nothing, nothing is done.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn delete_below(&self, place: &str, kept: &[String]) -> Result<(), StoreError> {
        self.artifact(place)?;
        // What cannot be a place holds nothing.
        let kept: Vec<Path> = kept.iter().filter_map(|place| self.object(place).ok()).collect();
        let root = self.object(place)?;
        let below = self.store.list(Some(&root)).map_ok(|found| found.location);
        let doomed = below.try_filter(move |found| {
            let is_kept = kept.iter().any(|place| found.prefix_matches(place));
            futures::future::ready(!is_kept)
        });
        self.delete_all(doomed.boxed()).await
    }

    /// Removes what writes have left that a kill has ended, and that nobody has written to since `before`; returns how much.
    /// That is of a store on disk: parts of uploads to a bucket are removed by a rule of the bucket
    /// (`AbortIncompleteMultipartUpload`).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_unfinished(&self, before: SystemTime) -> Result<usize, StoreError> {
        let Some(directory) = self.directory.clone() else { return Ok(0) };
        let removal = tokio::task::spawn_blocking(move || unfinished::remove(&directory, before));
        Ok(removal.await.map_err(std::io::Error::other)??)
    }

    async fn delete_all(&self, doomed: BoxStream<'static, object_store::Result<Path>>) -> Result<(), StoreError> {
        let mut gone = self.store.delete_stream(doomed);
        while let Some(outcome) = gone.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes one object from a stream.
    pub(super) async fn write<E>(
        &self,
        object: Path,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Stored, StoreError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut writer = BufWriter::with_capacity(self.store.clone(), object, self.part).with_max_concurrency(PARTS);
        match pour(&mut writer, bytes).await {
            Ok(stored) => {
                writer.shutdown().await?;
                Ok(stored)
            }
            Err(error) => {
                // The first error says more than that the rest of the upload could not be removed.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }
}

async fn pour<E>(writer: &mut BufWriter, bytes: impl Stream<Item = Result<Bytes, E>>) -> Result<Stored, StoreError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pin_mut!(bytes);
    let (mut size, mut digest) = (0, Sha256::new());
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk.map_err(|error| StoreError::Source(error.into()))?;
        size += chunk.len() as u64;
        digest.update(&chunk);
        writer.put(chunk).await?;
    }
    Ok(Stored { size, digest: format!("sha256:{}", hex(&digest.finalize())) })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of what was found, a file of the local store in larger pieces than `object_store` would read.
pub(super) fn flow(found: GetResult) -> Flow {
    match found.payload {
        GetResultPayload::File(file, _) => {
            let file = tokio::io::AsyncReadExt::take(tokio::fs::File::from_std(file), found.meta.size);
            ReaderStream::with_capacity(file, READ).map_err(StoreError::from).boxed()
        }
        GetResultPayload::Stream(bytes) => bytes.map_err(StoreError::from).boxed(),
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
