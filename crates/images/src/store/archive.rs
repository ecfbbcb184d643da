//! Writes images into one tar file in the OCI image layout, which containerd, skopeo and podman load.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

use super::{Error, LayerFile};
use crate::core::{
    digest::Digest,
    manifest::{self, Descriptor, Start},
    name::in_full,
};

/// An image of an archive.
#[derive(Clone, Debug)]
pub struct Image {
    /// All its names; a short one is written out in full.
    pub names: Vec<String>,
    /// From the lowest up.
    pub layers: Vec<LayerFile>,
    pub start: Start,
}

enum Blob {
    Bytes(Vec<u8>),
    File { path: PathBuf, size_bytes: u64 },
}

/// Writes an archive of images for this machine's architecture; what they share is in it once.
///
/// # Errors
/// [`Error::Read`] for a layer, [`Error::Write`] for `path`.
pub fn write_archive(images: &[Image], path: &Path) -> Result<(), Error> {
    let architecture = manifest::architecture(std::env::consts::ARCH);
    let mut blobs = BTreeMap::new();
    let mut manifests = Vec::new();
    for image in images {
        let layers: Vec<Descriptor> = image.layers.iter().map(|layer| layer.descriptor.clone()).collect();
        let documents = manifest::documents(architecture, &image.start, &layers)?;
        for layer in &image.layers {
            let file = Blob::File { path: layer.path.clone(), size_bytes: layer.descriptor.size };
            blobs.insert(layer.descriptor.digest.clone(), file);
        }
        blobs.insert(Digest::of(&documents.config), Blob::Bytes(documents.config));
        blobs.insert(Digest::of(&documents.manifest), Blob::Bytes(documents.manifest.clone()));
        manifests.push(documents.manifest);
    }
    let names: Vec<(String, &[u8])> = images
        .iter()
        .zip(&manifests)
        .flat_map(|(image, manifest)| image.names.iter().map(|name| (in_full(name), manifest.as_slice())))
        .collect();
    write(&manifest::index(architecture, &names)?, &blobs, path)
}

fn write(index: &[u8], blobs: &BTreeMap<Digest, Blob>, path: &Path) -> Result<(), Error> {
    let write = |source| Error::Write { path: path.to_owned(), source };
    let mut builder = Builder::new(BufWriter::new(File::create(path).map_err(write)?));
    append(&mut builder, "oci-layout", manifest::LAYOUT.len() as u64, manifest::LAYOUT.as_bytes()).map_err(write)?;
    append(&mut builder, "index.json", index.len() as u64, index).map_err(write)?;
    for (digest, blob) in blobs {
        let name = format!("blobs/sha256/{}", digest.hex());
        match blob {
            Blob::Bytes(bytes) => append(&mut builder, &name, bytes.len() as u64, bytes.as_slice()).map_err(write)?,
            Blob::File { path: layer, size_bytes } => {
                let content = File::open(layer).map_err(|source| Error::Read { path: layer.clone(), source })?;
                append(&mut builder, &name, *size_bytes, content).map_err(write)?;
            }
        }
    }
    builder.into_inner().and_then(|mut out| out.flush()).map_err(write)
}

fn append<W: Write>(builder: &mut Builder<W>, name: &str, size_bytes: u64, content: impl io::Read) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size_bytes);
    builder.append_data(&mut header, name, content)
}
