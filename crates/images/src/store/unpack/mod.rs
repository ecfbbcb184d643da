//! Unpacks a layer into a directory: every path once, nothing outside of it, and a record of what files cannot say.

mod members;
mod pipe;
mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    os::fd::OwnedFd,
    thread,
};

use rustix::fs::FileType;
use tar::EntryType;
pub use tree::remove;

pub use self::members::{Members, Source};
use self::{
    members::Member,
    pipe::Pieces,
    tree::{Bearing, Content, Missed, Tree},
};
use crate::core::{
    digest::Digest,
    document::Packing,
    limits::Limits,
    member::{Meaning, MemberError, MemberPath, may_set_attribute, meaning},
    pax::PaxError,
    record::{LayerRecord, OwnerRecord, Skipped, VERSION},
};

/// Notes of what was left out that a record keeps; a layer of a million devices is told by the first thousand.
const MOST_NOTES: usize = 1000;

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the layer is damaged")]
    Read(#[source] io::Error),
    #[error("the layer is damaged: a header's checksum is not its own")]
    Checksum,
    #[error("the layer is damaged")]
    Pax(#[from] PaxError),
    #[error("the layer is refused")]
    Member(#[from] MemberError),
    #[error("the layer is refused: a header has {size_bytes} bytes, more than {most_bytes}")]
    Header { size_bytes: u64, most_bytes: u64 },
    #[error("the layer is refused: it has more than {most} paths")]
    Entries { most: u64 },
    #[error("the layer is refused: it unpacks to more than {most_bytes} bytes, too many for its size")]
    Unpacked { most_bytes: u64 },
    #[error(
        "the layer is refused: path {path:?} lies below {above:?}, which is no directory in this layer; links are not \
         followed"
    )]
    Below { path: String, above: String },
    #[error("the layer is refused: {path:?} is to be another name of {target:?}, which is no file of this layer")]
    HardLink { path: String, target: String },
    #[error("the layer has the digest {found}, and not {expected} as the image says")]
    Digest { expected: Digest, found: Digest },
    #[error("path {path:?} of the layer cannot be written")]
    Write { path: String, source: io::Error },
    #[error("the layer was not read to its end")]
    Stopped,
}

/// A layer as it comes.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    pub packing: Packing,
    /// Bytes of it as it is packed.
    pub size_bytes: u64,
    /// The digest that the unpacked tar file must have.
    pub diff_id: &'a Digest,
}

/// Unpacks into `root`, an empty directory. On an error what is there is of no use.
///
/// # Errors
/// [`Error`] with the path where there is one.
pub fn unpack(
    input: impl Read + Send,
    packed: Packed<'_>,
    root: OwnedFd,
    limits: &Limits,
) -> Result<LayerRecord, Error> {
    let (feed, pieces) = pipe::pipe();
    let most_bytes = limits.unpacked_bytes(packed.size_bytes);
    let (fed, record) = thread::scope(|scope| {
        let feeding = scope.spawn(|| feed.run(input, packed.packing, most_bytes));
        let record = Unpacking::new(root, most_bytes).run(pieces, limits);
        (feeding.join(), record)
    });
    let fed = fed.unwrap_or(Err(Error::Stopped));
    match (fed, record) {
        // The writer's fault comes first: it made the other stop.
        (Err(Error::Stopped), Err(error)) => Err(error),
        (Err(error), _) | (Ok(_), Err(error)) => Err(error),
        (Ok(found), Ok(record)) if found == *packed.diff_id => Ok(record),
        (Ok(found), Ok(_)) => Err(Error::Digest { expected: packed.diff_id.clone(), found }),
    }
}

struct Unpacking {
    tree: Tree,
    is_root: bool,
    most_bytes: u64,
    /// What directories bear is set at the end: a directory may forbid writing.
    directories: BTreeMap<MemberPath, Bearing>,
    whiteouts: BTreeSet<MemberPath>,
    opaque: BTreeSet<MemberPath>,
    record: LayerRecord,
}

impl Unpacking {
    fn new(root: OwnedFd, most_bytes: u64) -> Self {
        let top = Bearing { mode: 0o755, user: 0, group: 0, modified: (0, 0), attributes: Vec::new() };
        Self {
            tree: Tree::new(root),
            is_root: rustix::process::geteuid().is_root(),
            most_bytes,
            directories: BTreeMap::from([(MemberPath::default(), top)]),
            whiteouts: BTreeSet::new(),
            opaque: BTreeSet::new(),
            record: LayerRecord { version: VERSION, marked: true, ..LayerRecord::default() },
        }
    }

    fn run(mut self, mut pieces: Pieces, limits: &Limits) -> Result<LayerRecord, Error> {
        let mut members = Members::new(&mut pieces, limits);
        while let Some(member) = members.next()? {
            match meaning(&member.path)? {
                Meaning::Entry(path) => self.entry(&path, member, &mut members)?,
                Meaning::Whiteout(path) => {
                    self.whiteouts.insert(path);
                }
                Meaning::Opaque(path) => {
                    self.opaque.insert(path);
                }
                Meaning::Nothing => {}
            }
        }
        self.record.entries = members.entries();
        // The digest is that of everything, also of what follows the last entry.
        io::copy(&mut pieces, &mut io::sink()).map_err(Error::Read)?;
        self.mark()?;
        for (path, bearing) in std::mem::take(&mut self.directories).into_iter().rev() {
            let missed = self.tree.finish_directory(&path, &bearing, self.is_root)?;
            self.note(&path, &bearing, missed);
        }
        self.record.owners.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(self.record)
    }

    fn entry(
        &mut self,
        path: &MemberPath,
        member: Member,
        members: &mut Members<'_, &mut Pieces>,
    ) -> Result<(), Error> {
        let is_directory = member.kind == EntryType::Directory;
        if !is_directory && path.is_root() {
            self.skip(path, "the root of an image is a directory");
            return Ok(());
        }
        let bearing = self.bearing(path, &member);
        if !is_directory && self.directories.contains_key(path) {
            // A later entry of the same path takes the place of a directory and of everything below it.
            self.directories.retain(|other, _| !other.parts().starts_with(path.parts()));
        }
        let missed = match member.kind {
            EntryType::Directory => {
                self.tree.directory(path)?;
                self.directories.insert(path.clone(), bearing);
                return Ok(());
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(path, &member, &bearing, members)?
            }
            EntryType::Symlink => {
                self.tree.symlink(path, &member.link)?;
                self.tree.finish_link(path, &bearing, self.is_root)?
            }
            EntryType::Link => return self.tree.hard_link(path, &MemberPath::read(&member.link)?),
            EntryType::Fifo => {
                self.tree.fifo(path)?;
                self.tree.finish_fifo(path, &bearing, self.is_root)?
            }
            EntryType::Char | EntryType::Block => {
                self.skip(path, "a device");
                return Ok(());
            }
            _ => {
                self.skip(path, "of a kind that is not known");
                return Ok(());
            }
        };
        self.note(path, &bearing, missed);
        Ok(())
    }

    fn file(
        &mut self,
        path: &MemberPath,
        member: &Member,
        bearing: &Bearing,
        members: &mut Members<'_, &mut Pieces>,
    ) -> Result<Missed, Error> {
        let written = |source| Error::Write { path: path.text(), source };
        let real_size = member.sparse.as_ref().map_or(member.size, |(real_size, _)| *real_size);
        self.record.size_bytes = self.record.size_bytes.saturating_add(real_size);
        if self.record.size_bytes > self.most_bytes {
            return Err(Error::Unpacked { most_bytes: self.most_bytes });
        }
        let mut file = self.tree.file(path)?;
        let extents = member.sparse.as_ref().map(|(_, extents)| extents.as_slice()).unwrap_or_default();
        if member.sparse.is_some() {
            file.set_len(real_size).map_err(written)?;
        }
        let size = if member.sparse.is_some() && extents.is_empty() { 0 } else { member.size };
        let mut content = Content::new(&mut file, extents);
        members.data(size, &mut |piece| content.write(piece).map_err(written))?;
        tree::finish(path, &file, bearing, self.is_root)
    }

    fn bearing(&mut self, path: &MemberPath, member: &Member) -> Bearing {
        let (allowed, other): (Vec<_>, Vec<_>) =
            member.attributes.iter().cloned().partition(|(name, _)| may_set_attribute(name));
        for (name, _) in other {
            self.skip(path, &format!("attribute {name}, which would change how layers are put together"));
        }
        // A number that is none stands for nobody, as in the kernel.
        let id = |number: u64| u32::try_from(number).unwrap_or(65_534);
        let (user, group) = (id(member.user), id(member.group));
        Bearing { mode: member.mode, user, group, modified: member.modified, attributes: allowed }
    }

    fn note(&mut self, path: &MemberPath, bearing: &Bearing, missed: Missed) {
        if missed.owner {
            let (user, group) = (bearing.user, bearing.group);
            self.record.owners.push(OwnerRecord { path: path.text(), user, group });
        }
        for name in missed.attributes {
            self.skip(path, &format!("attribute {name}, which could not be set"));
        }
    }

    fn skip(&mut self, path: &MemberPath, why: &str) {
        if self.record.skipped.len() < MOST_NOTES {
            self.record.skipped.push(Skipped { path: path.text(), why: why.to_owned() });
        }
    }

    /// Marks what lower layers lose. What this layer has itself stays: a directory then hides the lower one.
    fn mark(&mut self) -> Result<(), Error> {
        let mut removed = Vec::new();
        for path in std::mem::take(&mut self.whiteouts) {
            match self.tree.kind(&path)? {
                None => removed.push(path),
                Some(FileType::Directory) => {
                    self.opaque.insert(path);
                }
                // A file hides whatever lies below it.
                Some(_) => {}
            }
        }
        for path in &removed {
            self.record.marked &= self.tree.mark_removed(path)?;
        }
        for path in std::mem::take(&mut self.opaque) {
            // A layer may say that a directory hides others without having it among its entries.
            self.tree.directory(&path)?;
            self.record.marked &= self.tree.mark_opaque(&path)?;
            self.record.opaque.push(path.text());
        }
        self.record.whiteouts = removed.iter().map(MemberPath::text).collect();
        Ok(())
    }
}
