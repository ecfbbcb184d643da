//! Writes a layer as a tar file, and says what its digest is.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

use super::Error;
use crate::core::{
    digest::Hasher,
    layer::{Content, Entry, Kind, LATEST_MODIFIED_S, Layer},
    manifest::Descriptor,
};

/// A layer that lies in a file.
#[derive(Clone, Debug)]
pub struct LayerFile {
    pub path: PathBuf,
    pub descriptor: Descriptor,
}

/// Writes a layer to `path`.
///
/// # Errors
/// [`Error::Read`] and [`Error::Changed`] for a file of the layer, [`Error::Write`] for `path`.
pub fn write_layer(layer: &Layer, path: &Path) -> Result<LayerFile, Error> {
    let write = |source| Error::Write { path: path.to_owned(), source };
    let file = File::create(path).map_err(write)?;
    let mut builder = Builder::new(Hashing { hasher: Hasher::default(), to: BufWriter::new(file) });
    for (name, entry) in layer.entries() {
        append(&mut builder, name, entry).map_err(|fault| fault.told(write))?;
    }
    let mut out = builder.into_inner().map_err(write)?;
    out.flush().map_err(write)?;
    let size_bytes = out.hasher.size_bytes();
    Ok(LayerFile { path: path.to_owned(), descriptor: Descriptor::layer(out.hasher.finish(), size_bytes) })
}

/// What went wrong with an entry: a fault of its own, or of the file that is written.
enum Fault {
    Entry(Error),
    Output(io::Error),
}

impl Fault {
    fn told(self, write: impl Fn(io::Error) -> Error) -> Error {
        match self {
            Self::Entry(error) => error,
            Self::Output(error) => write(error),
        }
    }
}

fn append<W: Write>(builder: &mut Builder<W>, name: &str, entry: &Entry) -> Result<(), Fault> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode & 0o7777);
    header.set_uid(entry.owner.user.into());
    header.set_gid(entry.owner.group.into());
    header.set_mtime(entry.modified_s.min(LATEST_MODIFIED_S));
    header.set_size(0);
    match &entry.kind {
        Kind::Directory => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, format!("{name}/"), io::empty()).map_err(Fault::Output)
        }
        Kind::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, name, target).map_err(Fault::Output)
        }
        Kind::File(Content::Bytes(bytes)) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, bytes.as_slice()).map_err(Fault::Output)
        }
        Kind::File(Content::Host { path, size_bytes }) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(*size_bytes);
            let read = |source| Fault::Entry(Error::Read { path: path.clone(), source });
            let mut file = File::open(path).map_err(read)?;
            let mut content = (&mut file).take(*size_bytes);
            builder.append_data(&mut header, name, &mut content).map_err(Fault::Output)?;
            let short = content.limit() > 0;
            let long = file.read(&mut [0]).map_err(read)? > 0;
            let changed = Error::Changed { path: path.clone(), size_bytes: *size_bytes };
            if short || long { Err(Fault::Entry(changed)) } else { Ok(()) }
        }
    }
}

struct Hashing<W> {
    hasher: Hasher,
    to: W,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
