//! The two tar headers that directories travel with: a file's, and the longer name or size of the file that follows.

use std::str;

use tar::{EntryType, Header};

use super::StoreError;

/// Bytes of a block.
pub const BLOCK: usize = 512;
/// Two empty blocks end an archive.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// Bytes of a longer name's entry. The name itself must fit an object's name (1 KiB).
pub const LONGEST_EXTENSION: u64 = 64 * 1024;

/// Bytes that fill the last block of a file.
pub fn padding(size: u64) -> usize {
    let over = size % BLOCK as u64;
    if over == 0 { 0 } else { BLOCK - over as usize }
}

/// What stands before a file's bytes. Name and size always stand in a pax record as well where the old header has no
/// place for them.
pub fn head(name: &[u8], size: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(3 * BLOCK);
    if name.len() > 100 || size >= 1 << 33 {
        let mut records = record("path", name);
        records.extend(record("size", size.to_string().as_bytes()));
        bytes.extend(header(b"pax", EntryType::XHeader, records.len() as u64));
        bytes.extend(&records);
        bytes.resize(bytes.len() + padding(records.len() as u64), 0);
    }
    bytes.extend(header(&name[..name.len().min(100)], EntryType::Regular, size));
    bytes
}

fn header(name: &[u8], kind: EntryType, size: u64) -> [u8; BLOCK] {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    *header.as_bytes()
}

/// `LENGTH key=value\n`, where the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut bytes = format!("{length} {key}=").into_bytes();
    bytes.extend(value);
    bytes.push(b'\n');
    bytes
}

/// What a header announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The archive ends.
    End,
    File {
        name: Vec<u8>,
        size: u64,
    },
    Directory,
    /// A pax record of so many bytes, for [`Extension::read`].
    Extension {
        size: u64,
    },
}

/// What the next file's header does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extension {
    /// Reads the records of a pax header.
    ///
    /// # Errors
    /// [`StoreError::Tar`].
    pub fn read(mut bytes: &[u8]) -> Result<Self, StoreError> {
        let fault = || StoreError::Tar("a longer name in the stream cannot be read".to_owned());
        let mut found = Self::default();
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(fault)?;
            let length: usize =
                str::from_utf8(&bytes[..space]).ok().and_then(|text| text.parse().ok()).ok_or_else(fault)?;
            let line = bytes.get(space + 1..length).and_then(|line| line.strip_suffix(b"\n")).ok_or_else(fault)?;
            let equals = line.iter().position(|byte| *byte == b'=').ok_or_else(fault)?;
            let value = &line[equals + 1..];
            match &line[..equals] {
                b"path" => found.path = Some(value.to_vec()),
                b"size" => {
                    let size = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    found.size = Some(size.ok_or_else(fault)?);
                }
                _ => {}
            }
            bytes = &bytes[length..];
        }
        Ok(found)
    }

    /// Reads a header; what came before it takes precedence.
    ///
    /// # Errors
    /// [`StoreError::Tar`] for what is no tar, and for links, devices and the like.
    pub fn announced(&self, block: &[u8; BLOCK]) -> Result<Announced, StoreError> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(Announced::End);
        }
        let header = Header::from_byte_slice(block);
        let fault = |what: &str| StoreError::Tar(format!("{what} in the tar stream"));
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        if header.cksum().ok() != Some(sum) {
            return Err(fault("there is a broken header"));
        }
        let size = header.entry_size().map_err(|_| fault("there is a broken size"))?;
        let size = self.size.unwrap_or(size);
        match header.entry_type() {
            EntryType::Regular => {
                let name = self.path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
                Ok(Announced::File { name, size })
            }
            EntryType::Directory => Ok(Announced::Directory),
            EntryType::XHeader if size <= LONGEST_EXTENSION => Ok(Announced::Extension { size }),
            _ => Err(fault("there is something other than files and directories")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: &[u8]) -> &[u8; BLOCK] {
        bytes[..BLOCK].try_into().unwrap()
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        for (name, size) in
            [(b"a/b".to_vec(), 3), (vec![b'n'; 300], 0), (b"huge".to_vec(), 1 << 40), (vec![b'n'; 93], 9)]
        {
            let bytes = head(&name, size);
            let mut rest = &bytes[..];
            let mut extension = Extension::default();
            if let Announced::Extension { size } = extension.announced(block(rest)).unwrap() {
                extension = Extension::read(&rest[BLOCK..BLOCK + size as usize]).unwrap();
                rest = &rest[BLOCK + size as usize + padding(size)..];
            }
            assert_eq!(rest.len(), BLOCK);
            assert_eq!(extension.announced(block(rest)).unwrap(), Announced::File { name, size });
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Fifo] {
            let block = header(b"x", kind, 0);
            assert!(matches!(Extension::default().announced(&block), Err(StoreError::Tar(_))), "{kind:?}");
        }
        assert!(Extension::default().announced(&[7; BLOCK]).is_err());
        for bytes in [&b"9 path=a"[..], b"x", b"99999 path=a\n", b"0 path=a\n", b"5 size"] {
            assert!(Extension::read(bytes).is_err());
        }
    }
}
