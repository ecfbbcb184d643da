//! Layers made by hand, also such as no honest program makes.
#![allow(dead_code, reason = "each suite uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod registry;
pub mod server;

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use ferroflow_images::{
    core::{digest::Digest, document::Packing, limits::Limits, record::LayerRecord},
    pull::{Progress, Step},
    store::{Packed, Store, StoreError, UnpackError},
};
use flate2::{Compression, write::GzEncoder};
use tar::{EntryType, Header};
use tempfile::TempDir;

/// A tar file that is written entry by entry, with whatever names one likes.
#[derive(Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    pub fn add(mut self, kind: EntryType, path: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = Self::header(kind, path, mode, content.len() as u64);
        if matches!(kind, EntryType::Link | EntryType::Symlink) {
            header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content);
            header.set_size(0);
            header.set_cksum();
            self.bytes.extend_from_slice(header.as_bytes());
            return self;
        }
        self.raw(&header, content);
        self
    }

    /// A header with a path as it is, which the crate's own functions would refuse.
    pub fn header(kind: EntryType, path: &str, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000);
        header.set_size(size);
        header.set_cksum();
        header
    }

    pub fn raw(&mut self, header: &Header, content: &[u8]) {
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    pub fn file(self, path: &str, content: &[u8]) -> Self {
        self.add(EntryType::Regular, path, 0o644, content)
    }

    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.add(EntryType::Directory, path, mode, b"")
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, path, 0o777, target.as_bytes())
    }

    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.add(EntryType::Link, path, 0o644, target.as_bytes())
    }

    /// An extended header for the entry that follows.
    pub fn extended(self, records: &[(&str, &[u8])]) -> Self {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            text.extend_from_slice(format!("{length} {key}=").as_bytes());
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        self.add(EntryType::XHeader, "pax", 0o644, &text)
    }

    pub fn done(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A store in a place of its own, beside which nothing may appear.
pub struct Place {
    pub root: TempDir,
    pub store: Store,
}

impl Place {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(&root.path().join("images")).unwrap();
        Self { root, store }
    }

    /// Unpacks a tar file as a layer.
    pub fn unpack(&self, tar: &[u8]) -> Result<LayerRecord, UnpackError> {
        self.unpack_packed(tar, Packing::Plain, &Digest::of(tar), &Limits::default())
    }

    pub fn unpack_packed(
        &self,
        bytes: &[u8],
        packing: Packing,
        diff_id: &Digest,
        limits: &Limits,
    ) -> Result<LayerRecord, UnpackError> {
        let packed = Packed { packing, size_bytes: bytes.len() as u64, diff_id };
        match self.store.add_layer(bytes, packed, limits) {
            Ok(()) => Ok(self.store.layer_record(diff_id).unwrap()),
            Err(StoreError::Unpack { source, .. }) => {
                assert!(!self.store.has_layer(diff_id), "half a layer has its name");
                let staged = std::fs::read_dir(self.root.path().join("images/staging")).unwrap().count();
                assert_eq!(staged, 0, "a layer that failed leaves something behind");
                Err(source)
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Where a path of a layer is on this machine.
    pub fn path(&self, tar: &[u8], path: &str) -> std::path::PathBuf {
        self.store.layer_tree(&Digest::of(tar)).join(path)
    }

    /// Everything that lies beside the store.
    pub fn beside(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "images").collect()
    }
}

/// Keeps every step.
#[derive(Default)]
pub struct Steps(pub Mutex<Vec<(Digest, Step)>>);

impl Progress for Steps {
    fn step(&self, layer: &Digest, step: Step) {
        self.0.lock().unwrap().push((layer.clone(), step));
    }
}

impl Steps {
    pub fn shared() -> Arc<Self> {
        Arc::default()
    }

    pub fn count(&self, wanted: Step) -> usize {
        self.0.lock().unwrap().iter().filter(|(_, step)| *step == wanted).count()
    }
}
