//! A directory as objects below one name, and as a tar stream on its way.
//!
//! Only files are kept, as in any object store: no modes, no links, no empty directories. A directory without any file is
//! marked by one empty object, so that it exists.

use std::{mem, sync::Arc};

use bytes::Bytes;
use futures::{
    Stream, StreamExt, TryStreamExt, pin_mut,
    stream::{self, BoxStream, FuturesUnordered},
};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};

use super::{
    Blobs, StoreError, key,
    reader::Reader,
    store::{Flow, flow},
    tar::{self, Announced, BLOCK, Extension},
};

/// The file that stands for an empty directory.
const MARK: &str = ".ferroflow-directory";
/// Files of one directory: a bound on what one step may fill the store with. ImageNet's training set has 1.3 million.
const FILES: u64 = 4_000_000;
/// Bytes of a file that is gathered in memory and written beside others.
const SMALL: u64 = 1024 * 1024;
/// Small files that are written at once: 8 MiB of memory, and an S3 server or a disk that is asked for several.
const BESIDE: usize = 8;

/// The objects of `list` as a tar stream.
pub fn pack(
    store: Arc<dyn ObjectStore>,
    root: Path,
    list: BoxStream<'static, object_store::Result<ObjectMeta>>,
) -> Flow {
    let files = list.map_err(StoreError::from).and_then(move |found| file(store.clone(), root.clone(), found));
    let end = stream::iter([Ok(Bytes::from_static(&tar::END))]);
    files.try_flatten().chain(end).boxed()
}

async fn file(store: Arc<dyn ObjectStore>, root: Path, found: ObjectMeta) -> Result<Flow, StoreError> {
    let name = key::name_of(&root, &found.location).unwrap_or_default();
    if name.is_empty() || name == MARK.as_bytes() {
        return Ok(stream::empty().boxed());
    }
    let object = store.get(&found.location).await?;
    let size = object.meta.size;
    let head = stream::iter([Ok(Bytes::from(tar::head(&name, size)))]);
    let padding = stream::iter([Ok(Bytes::from(vec![0; tar::padding(size)]))]);
    Ok(head.chain(whole(flow(object), size)).chain(padding).boxed())
}

/// Fails where a file is shorter than was announced, rather than to shift all that follows.
fn whole(flow: Flow, size: u64) -> Flow {
    stream::try_unfold((flow, size), |(mut flow, left)| async move {
        match flow.try_next().await? {
            Some(chunk) if chunk.len() as u64 <= left => {
                let left = left - chunk.len() as u64;
                Ok(Some((chunk, (flow, left))))
            }
            None if left == 0 => Ok(None),
            _ => Err(StoreError::Tar("a file changed while it was read".to_owned())),
        }
    })
    .boxed()
}

/// Writes the files of a tar stream below `root`; returns the bytes of all files.
pub async fn unpack<E>(
    blobs: &Blobs,
    root: &Path,
    bytes: impl Stream<Item = Result<Bytes, E>>,
) -> Result<u64, StoreError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pin_mut!(bytes);
    let bytes = bytes.map_err(|error| StoreError::Source(error.into()));
    let mut reader = Reader::new(bytes, "a directory");
    let mut extension = Extension::default();
    let mut beside = FuturesUnordered::new();
    let (mut files, mut total) = (0, 0_u64);
    loop {
        let block: [u8; BLOCK] = reader.exactly(BLOCK).await?.as_ref().try_into().unwrap_or([0; BLOCK]);
        match mem::take(&mut extension).announced(&block)? {
            Announced::End => break,
            Announced::Directory => {}
            Announced::Extension { size } => {
                extension = Extension::read(&reader.exactly(size as usize).await?)?;
                reader.exactly(tar::padding(size)).await?;
            }
            Announced::File { name, size } => {
                files += 1;
                if files > FILES {
                    return Err(StoreError::Tar(format!(
                        "a directory has more than {FILES} files; pack them into one"
                    )));
                }
                total = total.saturating_add(size);
                let object = key::member(root, &name)?;
                if size <= SMALL {
                    let content = reader.exactly(size as usize).await?;
                    beside.push(async move { blobs.store.put(&object, content.into()).await });
                    if beside.len() >= BESIDE {
                        beside.try_next().await?;
                    }
                } else {
                    blobs.write(object, reader.file(size)).await?;
                }
                reader.exactly(tar::padding(size)).await?;
            }
        }
    }
    while beside.try_next().await?.is_some() {}
    // The sender may have more zeros to send, and wants its answer only then.
    while reader.bytes.try_next().await?.is_some() {}
    if files == 0 {
        blobs.store.put(&key::member(root, MARK.as_bytes())?, Bytes::new().into()).await?;
    }
    Ok(total)
}
