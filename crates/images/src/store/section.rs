//! Finds the members of an archive of images, and reads them where they lie.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    os::unix::fs::FileExt,
};

use tar::EntryType;

use super::unpack::{self, Members, Source};
use crate::core::{limits::Limits, member::MemberPath};

/// Links from link to link that are followed within an archive.
const MOST_LINKS: usize = 8;

/// Why a member cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("it is no tar file that can be read")]
    Tar(#[from] unpack::Error),
    #[error("it has no member {0:?}")]
    Missing(String),
    #[error("its member {name:?} has {size_bytes} bytes; at most {most_bytes} are taken")]
    Large { name: String, size_bytes: u64, most_bytes: u64 },
    #[error("its member {name:?} cannot be read")]
    Read { name: String, source: io::Error },
}

/// An archive in a file.
pub struct ArchiveFile {
    file: File,
    members: BTreeMap<Vec<u8>, Place>,
}

enum Place {
    Data { offset: u64, size_bytes: u64 },
    Link(MemberPath),
}

/// A member's bytes.
pub struct Section {
    file: File,
    at: u64,
    end: u64,
}

impl ArchiveFile {
    /// Reads where everything is.
    ///
    /// # Errors
    /// When it is no archive or has paths that lead out of it.
    pub fn open(mut file: File, limits: &Limits) -> Result<Self, ArchiveError> {
        file.rewind().map_err(unpack::Error::Read)?;
        let reader = Positioned { reader: BufReader::new(&file), position: 0, end: length(&file)? };
        let mut found = Members::new(reader, limits);
        let mut members = BTreeMap::new();
        while let Some(member) = found.next()? {
            let path = MemberPath::read(&member.path).map_err(unpack::Error::Member)?;
            let place = match member.kind {
                EntryType::Regular | EntryType::Continuous if member.sparse.is_none() => {
                    Place::Data { offset: found.source().position, size_bytes: member.size }
                }
                EntryType::Link => Place::Link(MemberPath::read(&member.link).map_err(unpack::Error::Member)?),
                EntryType::Symlink => Place::Link(beside(&path, &member.link)?),
                _ => continue,
            };
            members.insert(path.bytes(), place);
        }
        Ok(Self { file, members })
    }

    /// Whether there is a member of this name.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name.as_bytes())
    }

    /// A member's bytes, where they lie.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn section(&self, name: &str) -> Result<Section, ArchiveError> {
        let missing = || ArchiveError::Missing(name.to_owned());
        let mut path = MemberPath::read(name.as_bytes()).map_err(|_| missing())?;
        for _ in 0..MOST_LINKS {
            match self.members.get(&path.bytes()).ok_or_else(missing)? {
                Place::Link(to) => path = to.clone(),
                Place::Data { offset, size_bytes } => {
                    let read = |source| ArchiveError::Read { name: name.to_owned(), source };
                    let file = self.file.try_clone().map_err(read)?;
                    return Ok(Section { file, at: *offset, end: offset + size_bytes });
                }
            }
        }
        Err(missing())
    }

    /// A member in memory.
    ///
    /// # Errors
    /// When there is none, or it is larger than this.
    pub fn read(&self, name: &str, most_bytes: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut section = self.section(name)?;
        let size_bytes = section.size_bytes();
        if size_bytes > most_bytes {
            return Err(ArchiveError::Large { name: name.to_owned(), size_bytes, most_bytes });
        }
        let mut bytes = Vec::new();
        let read = section.read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|source| ArchiveError::Read { name: name.to_owned(), source })
    }
}

impl Section {
    /// Bytes that are left.
    pub fn size_bytes(&self) -> u64 {
        self.end - self.at
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.size_bytes()).unwrap_or(usize::MAX).min(buffer.len());
        if length == 0 {
            return Ok(0);
        }
        let length = self.file.read_at(&mut buffer[..length], self.at)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += length as u64;
        Ok(length)
    }
}

/// Where a symbolic link of an archive leads within it.
fn beside(path: &MemberPath, target: &[u8]) -> Result<MemberPath, unpack::Error> {
    let parents = path.split().map(|(parents, _)| parents).unwrap_or_default();
    let mut parts: Vec<&[u8]> = parents.iter().map(Vec::as_slice).collect();
    if target.starts_with(b"/") {
        parts.clear();
    }
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b".." => {
                parts.pop();
            }
            b"" | b"." => {}
            part => parts.push(part),
        }
    }
    Ok(MemberPath::read(&parts.join(&b'/'))?)
}

fn length(file: &File) -> Result<u64, unpack::Error> {
    file.metadata().map(|found| found.len()).map_err(unpack::Error::Read)
}

/// A file that says how far it was read.
struct Positioned<'a> {
    reader: BufReader<&'a File>,
    position: u64,
    end: u64,
}

impl Source for Positioned<'_> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let position = self.position.checked_add(count).filter(|position| *position <= self.end);
        self.position = position.ok_or(io::ErrorKind::UnexpectedEof)?;
        let count = i64::try_from(count).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        self.reader.seek_relative(count)
    }
}

impl BufRead for Positioned<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.position += count as u64;
        self.reader.consume(count);
    }
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.position += length as u64;
        Ok(length)
    }
}
