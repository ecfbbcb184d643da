//! Who runs from which image: a file each, so that every program that removes images knows what must stay.
//!
//! A use counts as long as the path that it names exists; whoever ends without a word leaves no image behind that
//! can never be removed. It starts nothing and removes no image.

use std::path::{Path, PathBuf};

use super::{
    StoreError,
    local::{Store, check_version, read_record, to_json},
};
use crate::core::{
    digest::Digest,
    record::{NameRecord, USE_VERSION, UseRecord},
};

impl Store {
    /// Writes down that somebody runs from an image, from now on until `while_exists` is gone. The caller holds the
    /// lock for adding, and has seen that the image is whole.
    ///
    /// Others see it at once; the disk is not waited for. What a power cut takes of it is no loss: it has ended the
    /// processes too, and who starts them again writes it again.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_use(&self, key: &str, holder: &str, while_exists: &Path, image: &NameRecord) -> Result<(), StoreError> {
        let record = UseRecord {
            version: USE_VERSION,
            key: key.to_owned(),
            holder: holder.to_owned(),
            while_exists: while_exists.to_owned(),
            manifest: image.manifest.clone(),
            config: image.config.clone(),
            layers: image.layers.clone(),
        };
        let path = self.use_file(key);
        let text = to_json(&path, &record)?;
        self.write_soon(&path, &text)
    }

    /// The uses that count, sorted by who they are of.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn uses(&self) -> Result<Vec<UseRecord>, StoreError> {
        let mut uses = Vec::new();
        for path in self.entries("uses")? {
            let Found::Use(record) = read_use(&path)? else { continue };
            if record.while_exists.exists() {
                uses.push(record);
            }
        }
        uses.sort_by(|one, other| (&one.holder, &one.key).cmp(&(&other.holder, &other.key)));
        Ok(uses)
    }

    /// Removes the uses whose key says yes, and those that do not count any more.
    ///
    /// # Errors
    /// When one cannot be read or removed.
    pub fn end_uses(&self, is_ended: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        for path in self.entries("uses")? {
            let ends = match read_use(&path)? {
                Found::Use(record) => is_ended(&record.key) || !record.while_exists.exists(),
                Found::Part => true,
                Found::Nothing => false,
            };
            if ends {
                self.remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Remembers when an image was last used.
    ///
    /// # Errors
    /// When its record cannot be written.
    pub fn touch(&self, name: &str, now_s: u64) -> Result<(), StoreError> {
        let _guard = self.lock_name(name)?;
        match self.find_name(name)? {
            Some(record) if record.used_s < now_s => self.put_name(&NameRecord { used_s: now_s, ..record }),
            _ => Ok(()),
        }
    }

    fn use_file(&self, key: &str) -> PathBuf {
        self.root.join("uses").join(format!("{}.json", Digest::of(key.as_bytes()).hex()))
    }
}

/// What is where a use was.
enum Found {
    Use(UseRecord),
    /// What a power cut has left of one.
    Part,
    /// Another program has removed it meanwhile.
    Nothing,
}

fn read_use(path: &Path) -> Result<Found, StoreError> {
    match read_record::<UseRecord>(path) {
        Ok(record) => check_version(path, record.version).map(|()| Found::Use(record)),
        Err(StoreError::Record { .. }) => Ok(Found::Part),
        Err(StoreError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_power_cut_leaves_of_a_use_counts_for_nothing_and_goes() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        for (key, text) in [("a/c", ""), ("b/c", "{\"version\":")] {
            std::fs::write(store.use_file(key), text).unwrap();
        }
        assert_eq!(store.uses().unwrap(), []);
        store.end_uses(|_| false).unwrap();
        assert!(store.entries("uses").unwrap().is_empty());
    }
}
