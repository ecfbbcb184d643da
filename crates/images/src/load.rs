//! Loads the images of an archive into a store: the OCI layout in a tar file, and what `docker save` writes.

use std::{
    fs::File,
    io::{self, Read, Seek},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;

use crate::{
    core::{
        bundle,
        digest::{Digest, Hasher},
        document::{self, Blob, Config, Document, DocumentError, Packing, WantedLayer},
        limits::Limits,
        platform::Platform,
        record::{NameRecord, VERSION},
        reference::Reference,
    },
    pull::{Progress, Step},
    store::{ArchiveError, ArchiveFile, Packed, Section, Store, StoreError, Work},
};

/// Why an archive cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    #[error("it is larger than {most_bytes} bytes once it is unpacked")]
    Large { most_bytes: u64 },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("it is neither in the OCI layout (index.json) nor as `docker save` writes it (manifest.json)")]
    Form,
    #[error("an image in it has no name")]
    NoName,
    #[error("an image in it cannot be loaded")]
    Document(#[from] DocumentError),
    #[error("its member {name:?} has the digest {found}, and not the one that it is named by")]
    Digest { name: String, found: Digest },
    #[error("an image in it cannot be kept")]
    Store(#[from] StoreError),
}

/// How archives are loaded.
pub struct Loader {
    pub store: Store,
    pub platform: Platform,
    pub limits: Limits,
    /// The name of an image that has none in the archive.
    pub name: Option<Reference>,
    pub progress: Arc<dyn Progress>,
}

/// An image as it lies in an archive.
struct Found {
    names: Vec<Reference>,
    target: Digest,
    manifest: Vec<u8>,
    config: Vec<u8>,
    /// Each layer with the member that has it.
    layers: Vec<(WantedLayer, String)>,
}

impl Loader {
    /// Loads an archive that comes as a stream. `now_s` is the time since 1970.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_stream(&self, stream: impl Read, now_s: u64) -> Result<Vec<NameRecord>, LoadError> {
        let file = self.kept(stream, self.limits.unpacked_most_bytes)?;
        self.load(file, now_s)
    }

    /// Loads every image of an archive, which may be packed as a whole.
    ///
    /// # Errors
    /// [`LoadError`]; what was unpacked before stays until images are pruned, without a name.
    pub fn load(&self, mut file: File, now_s: u64) -> Result<Vec<NameRecord>, LoadError> {
        if !file.metadata().map_err(LoadError::Read)?.is_file() {
            return self.load_stream(file, now_s);
        }
        let _guard = self.store.lock(Work::Add)?;
        let mut first = Vec::new();
        (&mut file).take(4).read_to_end(&mut first).map_err(LoadError::Read)?;
        file.rewind().map_err(LoadError::Read)?;
        let size_bytes = file.metadata().map_err(LoadError::Read)?.len();
        let most_bytes = self.limits.unpacked_bytes(size_bytes);
        let file = match document::packing_by_magic(&first) {
            Packing::Plain => file,
            Packing::Gzip => self.kept(MultiGzDecoder::new(file), most_bytes)?,
            Packing::Zstd => self.kept(zstd::Decoder::new(file).map_err(LoadError::Read)?, most_bytes)?,
        };
        let archive = ArchiveFile::open(file, &self.limits)?;
        let found = if archive.has("index.json") {
            self.layout(&archive)?
        } else if archive.has("manifest.json") {
            self.saved(&archive)?
        } else {
            return Err(LoadError::Form);
        };
        let mut records = Vec::new();
        for image in found {
            records.extend(self.keep(&archive, &image, now_s)?);
        }
        Ok(records)
    }

    fn kept(&self, stream: impl Read, most_bytes: u64) -> Result<File, LoadError> {
        let mut file = self.store.unnamed_file()?;
        let copied = io::copy(&mut stream.take(most_bytes + 1), &mut file).map_err(LoadError::Read)?;
        if copied > most_bytes { Err(LoadError::Large { most_bytes }) } else { Ok(file) }
    }

    /// The images of an archive in the OCI layout.
    fn layout(&self, archive: &ArchiveFile) -> Result<Vec<Found>, LoadError> {
        let bytes = archive.read("index.json", self.limits.document_bytes)?;
        let Document::Index(index) = Document::read(&bytes, &self.limits)? else { return Err(LoadError::Form) };
        let images = bundle::named(&index, &self.platform, self.name.as_ref())?.ok_or(LoadError::NoName)?;
        let mut found = Vec::new();
        for (name, listed) in images {
            let mut bytes = self.document(archive, &listed.digest)?;
            let mut read = Document::read(&bytes, &self.limits)?;
            if let Document::Index(inner) = &read {
                bytes = self.document(archive, &document::choose(inner, &self.platform)?.digest)?;
                read = Document::read(&bytes, &self.limits)?;
            }
            let Document::Manifest(manifest) = read else { return Err(DocumentError::Field("config").into()) };
            let config = self.document(archive, &manifest.config.digest)?;
            let layers = document::layers(&manifest, &Config::read(&config)?)?;
            let layers = layers.into_iter().map(|layer| (layer.clone(), member(&layer.blob.digest))).collect();
            found.push(Found { names: vec![name], target: listed.digest.clone(), manifest: bytes, config, layers });
        }
        Ok(found)
    }

    /// The images of an archive as `docker save` writes it.
    fn saved(&self, archive: &ArchiveFile) -> Result<Vec<Found>, LoadError> {
        let bytes = archive.read("manifest.json", self.limits.document_bytes)?;
        let mut found = Vec::new();
        for saved in bundle::read_saved(&bytes)? {
            let names: Vec<Reference> = bundle::names_of(&saved, self.name.as_ref()).into_iter().collect();
            if names.is_empty() {
                return Err(LoadError::NoName);
            }
            let config = archive.read(&saved.config, self.limits.document_bytes)?;
            let diff_ids = Config::read(&config)?.diff_ids;
            if diff_ids.len() != saved.layers.len() {
                let (layers, diff_ids) = (saved.layers.len(), diff_ids.len());
                return Err(DocumentError::Pairs { layers, diff_ids }.into());
            }
            let mut layers = Vec::new();
            for (member, diff_id) in saved.layers.into_iter().zip(diff_ids) {
                layers.push((saved_layer(archive.section(&member)?, diff_id, &member)?, member));
            }
            let described: Vec<(Digest, u64)> =
                layers.iter().map(|(layer, _)| (layer.blob.digest.clone(), layer.blob.size)).collect();
            let manifest = bundle::manifest_for(&config, &described)?;
            found.push(Found { names, target: Digest::of(&manifest), manifest, config, layers });
        }
        Ok(found)
    }

    fn document(&self, archive: &ArchiveFile, digest: &Digest) -> Result<Vec<u8>, LoadError> {
        let name = member(digest);
        let bytes = archive.read(&name, self.limits.document_bytes)?;
        let found = Digest::of(&bytes);
        if found == *digest { Ok(bytes) } else { Err(LoadError::Digest { name, found }) }
    }

    fn keep(&self, archive: &ArchiveFile, image: &Found, now_s: u64) -> Result<Vec<NameRecord>, LoadError> {
        for (layer, member) in &image.layers {
            self.layer(archive, layer, member)?;
        }
        let manifest = Digest::of(&image.manifest);
        let config = Digest::of(&image.config);
        self.store.add_blob(&config, &image.config)?;
        self.store.add_blob(&manifest, &image.manifest)?;
        let platform = Config::read(&image.config)?.platform;
        let record = |name: &Reference| NameRecord {
            version: VERSION,
            name: name.to_string(),
            manifest: manifest.clone(),
            target: image.target.clone(),
            config: config.clone(),
            platform: platform.clone(),
            layers: image.layers.iter().map(|(layer, _)| layer.diff_id.clone()).collect(),
            pulled_s: now_s,
            used_s: now_s,
        };
        let records: Vec<NameRecord> = image.names.iter().map(record).collect();
        records.iter().try_for_each(|record| self.store.add_name(record))?;
        Ok(records)
    }

    fn layer(&self, archive: &ArchiveFile, layer: &WantedLayer, member: &str) -> Result<(), LoadError> {
        let _guard = self.store.lock_layer(&layer.diff_id)?;
        if self.store.has_layer(&layer.diff_id) {
            self.progress.step(&layer.diff_id, Step::Present);
            return Ok(());
        }
        self.progress.step(&layer.diff_id, Step::Unpacking);
        // The digest of a plain tar file is checked while it is unpacked.
        if layer.blob.digest != layer.diff_id {
            let found = digest(archive.section(member)?).map_err(LoadError::Read)?;
            if found != layer.blob.digest {
                return Err(LoadError::Digest { name: member.to_owned(), found });
            }
        }
        let section = archive.section(member)?;
        let packed = Packed { packing: layer.packing, size_bytes: section.size_bytes(), diff_id: &layer.diff_id };
        self.store.add_layer(section, packed, &self.limits)?;
        self.progress.step(&layer.diff_id, Step::Unpacked);
        Ok(())
    }
}

/// The member of an OCI layout that has a digest.
fn member(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// What an archive of the older form does not say of a layer: how it is packed, and its digest then.
fn saved_layer(section: Section, diff_id: Digest, member: &str) -> Result<WantedLayer, LoadError> {
    let read = |source| ArchiveError::Read { name: member.to_owned(), source };
    let size = section.size_bytes();
    let mut first = Vec::new();
    let mut section = section;
    (&mut section).take(4).read_to_end(&mut first).map_err(read)?;
    let packing = document::packing_by_magic(&first);
    let packed = match packing {
        Packing::Plain => diff_id.clone(),
        Packing::Gzip | Packing::Zstd => digest(first.chain(section)).map_err(read)?,
    };
    Ok(WantedLayer { blob: Blob { media_type: String::new(), digest: packed, size }, diff_id, packing })
}

fn digest(mut bytes: impl Read) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match bytes.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}
