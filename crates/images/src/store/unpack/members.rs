//! Reads a tar file entry by entry, with every bound that a stranger's file needs.
//!
//! The `tar` crate reads the fields of a header; what it would read into memory without a bound (long names, extended
//! headers) is read here. Nothing is written here.

use std::io::{self, BufRead};

use tar::{EntryType, GnuExtSparseHeader, Header};

use super::Error;
use crate::core::{
    limits::Limits,
    pax::{self, Extended, Extent, PaxError},
};

/// Bytes of a block of a tar file.
const BLOCK: u64 = 512;
/// Maps of holes have at most this many parts: 16 bytes each, a megabyte.
const MOST_EXTENTS: usize = 65_536;

/// One entry.
#[derive(Clone, Debug)]
pub struct Member {
    pub kind: EntryType,
    pub path: Vec<u8>,
    /// Where a link points.
    pub link: Vec<u8>,
    pub mode: u32,
    pub user: u64,
    pub group: u64,
    /// Whole seconds since 1970 and nanoseconds.
    pub modified: (i64, u32),
    /// Bytes of data in the archive.
    pub size: u64,
    /// Where they go in a file of that size, for one with holes.
    pub sparse: Option<(u64, Vec<Extent>)>,
    pub attributes: Vec<(String, Vec<u8>)>,
}

/// Where a tar file is read from.
pub trait Source: BufRead {
    /// Passes over bytes.
    ///
    /// # Errors
    /// When there are not so many.
    fn skip(&mut self, count: u64) -> io::Result<()>;
}

/// The entries of a tar file.
pub struct Members<'a, R> {
    source: R,
    limits: &'a Limits,
    /// Bytes of the present entry's data that were not read yet.
    data_left: u64,
    /// Bytes that fill the last block of it.
    padding: u64,
    entries: u64,
}

impl<'a, R: Source> Members<'a, R> {
    pub fn new(source: R, limits: &'a Limits) -> Self {
        Self { source, limits, data_left: 0, padding: 0, entries: 0 }
    }

    /// How many entries there were so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Where it is read from.
    pub fn source(&self) -> &R {
        &self.source
    }

    /// The next entry; `None` at the end of the archive.
    ///
    /// # Errors
    /// When the archive is damaged or beyond a bound.
    pub fn next(&mut self) -> Result<Option<Member>, Error> {
        let mut extended = Extended::default();
        loop {
            self.skip_data()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size().map_err(Error::Read)?;
            match header.entry_type() {
                EntryType::GNULongName => extended.path = Some(self.long(size)?),
                EntryType::GNULongLink => extended.link = Some(self.long(size)?),
                EntryType::XHeader => {
                    let records = self.text(size)?;
                    extended.take(&records)?;
                }
                EntryType::XGlobalHeader => self.begin(size),
                _ => {
                    self.entries += 1;
                    if self.entries > self.limits.entries {
                        return Err(Error::Entries { most: self.limits.entries });
                    }
                    return self.member(&header, extended).map(Some);
                }
            }
        }
    }

    /// Hands the data of the present entry on, piece by piece.
    ///
    /// # Errors
    /// Of the archive, or of `take`.
    pub fn data(&mut self, size: u64, take: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let mut left = size;
        while left > 0 {
            let piece = self.source.fill_buf().map_err(Error::Read)?;
            if piece.is_empty() {
                return Err(Error::Read(io::ErrorKind::UnexpectedEof.into()));
            }
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            take(&piece[..length])?;
            self.source.consume(length);
            left -= length as u64;
        }
        self.data_left = self.data_left.saturating_sub(size);
        Ok(())
    }

    fn begin(&mut self, size: u64) {
        self.data_left = size;
        self.padding = size.wrapping_neg() % BLOCK;
    }

    fn skip_data(&mut self) -> Result<(), Error> {
        let left = self.data_left.checked_add(self.padding).ok_or(PaxError("a size is out of bounds"))?;
        self.source.skip(left).map_err(Error::Read)?;
        (self.data_left, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header; `None` at a block of zeros or the end.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? || header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let expected = header.cksum().map_err(Error::Read)?;
        let bytes = header.as_bytes();
        let summed = || bytes[..148].iter().chain(&[b' '; 8]).chain(&bytes[156..]);
        let unsigned: u32 = summed().map(|byte| u32::from(*byte)).sum();
        // Very old programs summed signed characters.
        let signed: i64 = summed().map(|byte| i64::from(byte.cast_signed())).sum();
        if unsigned != expected && signed != i64::from(expected) {
            return Err(Error::Checksum);
        }
        Ok(Some(header))
    }

    /// Fills a block; whether there was one.
    fn block(&mut self, block: &mut [u8; 512]) -> Result<bool, Error> {
        if self.source.fill_buf().map_err(Error::Read)?.is_empty() {
            return Ok(false);
        }
        self.source.read_exact(block).map_err(Error::Read)?;
        Ok(true)
    }

    /// The data of a header of extensions, in memory.
    fn text(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        if size > self.limits.header_bytes {
            return Err(Error::Header { size_bytes: size, most_bytes: self.limits.header_bytes });
        }
        self.begin(size);
        let mut text = Vec::new();
        self.data(size, &mut |piece| {
            text.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(text)
    }

    fn long(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        let mut name = self.text(size)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn member(&mut self, header: &Header, extended: Extended) -> Result<Member, Error> {
        let path = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extended.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let mut kind = header.entry_type();
        // The oldest tar files know no directories but by the name.
        if matches!(kind, EntryType::Regular) && path.ends_with(b"/") {
            kind = EntryType::Directory;
        }
        let has_data = matches!(kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse);
        let is_known = has_data || is_header_only(kind);
        let stored = extended.size.map_or_else(|| header.entry_size().map_err(Error::Read), Ok)?;
        let size = if has_data || !is_known { stored } else { 0 };
        self.begin(size);
        let number = |given: Option<u64>, own: io::Result<u64>| given.map_or_else(|| own.map_err(Error::Read), Ok);
        let mut member = Member {
            kind,
            path,
            link: link.unwrap_or_default(),
            mode: header.mode().map_err(Error::Read)? & 0o7777,
            user: number(extended.user, header.uid())?,
            group: number(extended.group, header.gid())?,
            modified: (i64::try_from(number(None, header.mtime())?).unwrap_or_default(), 0),
            size,
            sparse: None,
            attributes: extended.attributes,
        };
        member.modified = extended.modified.unwrap_or(member.modified);
        let real_size = extended.sparse.real_size;
        member.sparse = match (kind, extended.sparse.major, real_size) {
            (EntryType::GNUSparse, ..) => Some(self.old_map(header)?),
            (_, Some(1), Some(real_size)) => Some((real_size, self.leading_map(&mut member.size)?)),
            (_, None | Some(0), Some(real_size)) => Some((real_size, extended.sparse.extents)),
            _ => None,
        };
        if let Some((real_size, extents)) = &member.sparse {
            pax::check_extents(extents, *real_size)?;
            if extents.iter().map(|extent| extent.length).sum::<u64>() > member.size {
                return Err(PaxError("a map of holes is larger than the data").into());
            }
        }
        Ok(member)
    }

    /// The map of GNU tar's own form: in the header and in blocks after it.
    fn old_map(&mut self, header: &Header) -> Result<(u64, Vec<Extent>), Error> {
        let gnu = header.as_gnu().ok_or(PaxError("a file with holes has no header for them"))?;
        let real_size = gnu.real_size().map_err(Error::Read)?;
        let mut extents = Vec::new();
        let mut add = |block: &tar::GnuSparseHeader| -> Result<(), Error> {
            if !block.is_empty() {
                let offset = block.offset().map_err(Error::Read)?;
                extents.push(Extent { offset, length: block.length().map_err(Error::Read)? });
            }
            Ok(())
        };
        gnu.sparse.iter().try_for_each(&mut add)?;
        let mut is_extended = gnu.is_extended();
        let mut blocks = 0;
        while is_extended {
            blocks += 1;
            if blocks * 21 > MOST_EXTENTS {
                return Err(PaxError("a map of holes is too long").into());
            }
            let mut more = GnuExtSparseHeader::new();
            if !self.block(more.as_mut_bytes())? {
                return Err(Error::Read(io::ErrorKind::UnexpectedEof.into()));
            }
            more.sparse().iter().try_for_each(&mut add)?;
            is_extended = more.is_extended();
        }
        Ok((real_size, extents))
    }

    /// The map of the latest form: decimal lines before the data, in whole blocks, which `size` is then without.
    fn leading_map(&mut self, size: &mut u64) -> Result<Vec<Extent>, Error> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut line = Vec::new();
        while numbers.first().is_none_or(|count| (numbers.len() as u64) < count.saturating_mul(2).saturating_add(1)) {
            if *size < BLOCK || numbers.len() > 2 * MOST_EXTENTS {
                return Err(PaxError("a map of holes is damaged").into());
            }
            *size -= BLOCK;
            self.data(BLOCK, &mut |piece| {
                for byte in piece {
                    match byte {
                        b'\n' => numbers.push(pax::number(&std::mem::take(&mut line))?),
                        0 => {}
                        digit => line.push(*digit),
                    }
                }
                Ok(())
            })?;
        }
        let pairs = numbers.get(1..).unwrap_or_default().chunks_exact(2);
        Ok(pairs.map(|pair| Extent { offset: pair[0], length: pair[1] }).collect())
    }
}

/// Kinds whose size says nothing of the archive, as Go's reader has it.
fn is_header_only(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}
