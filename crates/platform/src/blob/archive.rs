//! One file that holds many: a tar archive, which streams in both directions.
//!
//! Every archive can be listed and unpacked by other programs. Sums stand in it as files of their own, so that a damage is
//! seen before what follows from it is recorded ([`Archive::seal`], [`Unpacked::is_sealed`]).

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, pin_mut, stream::BoxStream};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{
    StoreError,
    reader::Reader,
    store::hex,
    tar::{self, Announced, BLOCK, Extension},
};

/// An archive that is being written.
pub struct Archive<W> {
    to: W,
    sum: Sha256,
    /// Bytes so far.
    size: u64,
}

impl<W: AsyncWrite + Unpin> Archive<W> {
    /// Begins an archive.
    pub fn new(to: W) -> Self {
        Self { to, sum: Sha256::new(), size: 0 }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.sum.update(bytes);
        self.size += bytes.len() as u64;
        self.to.write_all(bytes).await.map_err(StoreError::Archive)
    }

    /// Adds a file.
    ///
    /// # Errors
    /// [`StoreError::Archive`].
    pub async fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let size = bytes.len() as u64;
        self.write(&tar::head(name.as_bytes(), size)).await?;
        self.write(bytes).await?;
        self.write(&vec![0; tar::padding(size)]).await
    }

    /// Adds a file of `size` bytes from a stream.
    ///
    /// # Errors
    /// [`StoreError`]; the archive cannot be used after it.
    pub async fn stream(
        &mut self,
        name: &str,
        size: u64,
        bytes: impl Stream<Item = Result<Bytes, StoreError>>,
    ) -> Result<(), StoreError> {
        pin_mut!(bytes);
        self.write(&tar::head(name.as_bytes(), size)).await?;
        let mut left = size;
        let changed = || StoreError::Tar(format!("\"{name}\" changed while it was read"));
        while let Some(chunk) = bytes.try_next().await? {
            left = left.checked_sub(chunk.len() as u64).ok_or_else(changed)?;
            self.write(&chunk).await?;
        }
        if left > 0 {
            return Err(changed());
        }
        self.write(&vec![0; tar::padding(size)]).await
    }

    /// Adds the sum of all bytes so far, as a file.
    ///
    /// # Errors
    /// [`StoreError::Archive`].
    pub async fn seal(&mut self, name: &str) -> Result<(), StoreError> {
        let sum = hex(&self.sum.clone().finalize());
        self.file(name, sum.as_bytes()).await
    }

    /// Ends the archive; returns where it was written to, and its bytes.
    ///
    /// # Errors
    /// [`StoreError::Archive`].
    pub async fn end(mut self) -> Result<(W, u64), StoreError> {
        self.write(&tar::END).await?;
        self.to.flush().await.map_err(StoreError::Archive)?;
        Ok((self.to, self.size))
    }
}

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// An archive that is being read.
pub struct Unpacked {
    reader: Reader<BoxStream<'static, Result<Bytes, StoreError>>>,
    /// Bytes of the current file that nobody has read, and those that fill its last block.
    left: u64,
    padding: usize,
    /// The sum of what stood before the current file.
    before: String,
}

impl Unpacked {
    /// Reads an archive.
    pub fn new<E>(bytes: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let bytes = bytes.map_err(|error| StoreError::Source(error.into())).boxed();
        Self { reader: Reader::new(bytes, "an archive").summing(), left: 0, padding: 0, before: String::new() }
    }

    /// The next file; what nobody has read of the last one is passed over. `None` at the end of the archive, which a block of
    /// zeros is: an archive that has lost what followed is known by the lack of its last seal.
    ///
    /// # Errors
    /// [`StoreError::Tar`] for what is no archive, and for one that is cut short.
    pub async fn next(&mut self) -> Result<Option<Entry>, StoreError> {
        self.reader.skip(std::mem::take(&mut self.left)).await?;
        self.reader.exactly(std::mem::take(&mut self.padding)).await?;
        self.before = self.reader.sum();
        let mut extension = Extension::default();
        loop {
            let block: [u8; BLOCK] = self.reader.exactly(BLOCK).await?.as_ref().try_into().unwrap_or([0; BLOCK]);
            match std::mem::take(&mut extension).announced(&block)? {
                Announced::End => return Ok(None),
                Announced::Directory => {}
                Announced::Extension { size } => {
                    extension = Extension::read(&self.reader.exactly(size as usize).await?)?;
                    self.reader.exactly(tar::padding(size)).await?;
                }
                Announced::File { name, size } => {
                    (self.left, self.padding) = (size, tar::padding(size));
                    let name = String::from_utf8(name)
                        .map_err(|_| StoreError::Tar("the name of a file in the archive is no UTF-8".to_owned()))?;
                    return Ok(Some(Entry { name, size }));
                }
            }
        }
    }

    /// The current file as a whole, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], and others.
    pub async fn bytes(&mut self, entry: &Entry, limit: u64) -> Result<Bytes, StoreError> {
        if self.left > limit {
            return Err(StoreError::TooLarge { place: entry.name.clone(), size: self.left, limit });
        }
        let size = std::mem::take(&mut self.left);
        self.reader.exactly(size as usize).await
    }

    /// The current file as a stream. Whoever does not read it to its end ends the reading of the archive.
    pub fn stream(&mut self) -> impl Stream<Item = Result<Bytes, StoreError>> {
        let size = std::mem::take(&mut self.left);
        self.reader.file(size)
    }

    /// Whether the current file, made by [`Archive::seal`], holds the sum of what stood before it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_sealed(&mut self, entry: &Entry) -> Result<bool, StoreError> {
        let before = std::mem::take(&mut self.before);
        Ok(self.bytes(entry, before.len() as u64).await? == before.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    async fn archive() -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        archive.file("a.json", b"{}").await.unwrap();
        let long = format!("deep/{}", "n".repeat(300));
        let pieces = [Bytes::from_static(b"abc"), Bytes::from(vec![7; 600])];
        archive.stream(&long, 603, stream::iter(pieces.map(Ok))).await.unwrap();
        archive.seal("sum").await.unwrap();
        archive.file("last", b"").await.unwrap();
        let (bytes, size) = archive.end().await.unwrap();
        assert_eq!(bytes.len() as u64, size);
        bytes
    }

    /// In pieces of `count` bytes.
    fn unpacked(bytes: &[u8], count: usize) -> Unpacked {
        let pieces: Vec<_> =
            bytes.chunks(count).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
        Unpacked::new(stream::iter(pieces))
    }

    /// Names and sizes of all files, and whether the seal fits.
    async fn all(bytes: &[u8], count: usize) -> Result<(Vec<(usize, u64)>, bool), StoreError> {
        let (mut archive, mut found, mut fits) = (unpacked(bytes, count), Vec::new(), false);
        while let Some(entry) = archive.next().await? {
            found.push((entry.name.len(), entry.size));
            if entry.name == "sum" {
                fits = archive.is_sealed(&entry).await?;
            }
        }
        Ok((found, fits))
    }

    #[tokio::test]
    async fn files_come_out_as_they_went_in_whatever_the_pieces() {
        let bytes = archive().await;
        for count in [1, 511, 512, 4096, bytes.len()] {
            let (found, fits) = all(&bytes, count).await.unwrap();
            assert_eq!(found, [(6, 2), (305, 603), (3, 64), (4, 0)]);
            assert!(fits);
        }
        let mut archive = unpacked(&bytes, 100);
        let first = archive.next().await.unwrap().unwrap();
        assert!(matches!(archive.bytes(&first, 1).await, Err(StoreError::TooLarge { size: 2, .. })));
        assert_eq!(archive.bytes(&first, 2).await.unwrap(), "{}");
        archive.next().await.unwrap();
        let content: Vec<Bytes> = archive.stream().try_collect().await.unwrap();
        assert_eq!(content.concat()[..4], *b"abc\x07");
    }

    #[tokio::test]
    async fn a_damaged_archive_does_not_fit_its_seal_and_a_short_one_has_no_end() {
        let mut bytes = archive().await;
        let short = &bytes[..bytes.len() - 1025];
        assert!(all(short, 512).await.is_err());
        let content = bytes.iter().position(|byte| *byte == 7).unwrap();
        bytes[content] = 8;
        assert!(!all(&bytes, 512).await.unwrap().1);
        assert!(all(b"no archive", 5).await.is_err());
    }

    #[tokio::test]
    async fn a_file_of_another_size_than_announced_ends_the_archive() {
        for size in [2, 4] {
            let mut archive = Archive::new(Vec::new());
            let content = stream::iter([Ok(Bytes::from_static(b"abc"))]);
            let error = archive.stream("x", size, content).await.unwrap_err();
            assert!(error.to_string().contains("changed while it was read"), "{error}");
        }
    }
}
