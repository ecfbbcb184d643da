//! Objects by names that mean the same in every store: what one store gives under a name, another takes under it.
//!
//! A name is a URI without its colon and slashes, `minio/mlpipeline/v2/a`, or `own/…` for what has no scheme; characters
//! that an object's name cannot have are escaped as in the store itself.

use bytes::Bytes;
use futures::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{ObjectStore, ObjectStoreExt};

use super::{Blob, Blobs, StoreError, Stored, key::Layout, store::flow};

/// An object of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    /// Bytes.
    pub size: u64,
}

impl Blobs {
    /// The object at `place` and all below it.
    ///
    /// # Errors
    /// [`StoreError::Place`] for a place that is none of the store, and others in the stream.
    pub async fn named(&self, place: &str) -> Result<BoxStream<'static, Result<Named, StoreError>>, StoreError> {
        let object = self.object(place)?;
        let name = Layout::default().object(place)?;
        let itself = match self.store.head(&object).await {
            Ok(found) => Some(Ok(Named { name: name.as_ref().to_owned(), size: found.size })),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let root = object.clone();
        let below = self.store.list(Some(&object)).map_err(StoreError::from).try_filter_map(move |found| {
            let rest = found.location.as_ref().strip_prefix(root.as_ref()).unwrap_or_default();
            // A directory's listing of a file may be that file.
            let named = (!rest.is_empty()).then(|| Named { name: format!("{name}{rest}"), size: found.size });
            futures::future::ready(Ok(named))
        });
        Ok(stream::iter(itself).chain(below).boxed())
    }

    /// Reads the object of a name; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get_named(&self, name: &str) -> Result<Option<Blob>, StoreError> {
        match self.store.get(&self.layout.named(name)?).await {
            Ok(found) => Ok(Some(Blob { size: found.meta.size, flow: flow(found) })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is an object of a name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_named(&self, name: &str) -> Result<bool, StoreError> {
        match self.store.head(&self.layout.named(name)?).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the object of a name from a stream, as [`put`](Self::put).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_named<E>(
        &self,
        name: &str,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Stored, StoreError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.write(self.layout.named(name)?, bytes).await
    }
}
