//! The network's table on disk, read again when it has been replaced.

use std::{fs, io, os::unix::fs::MetadataExt, path::PathBuf};

use crate::core::network::Table;

/// A table with ten thousand services of ten backends takes 3 MB.
const LIMIT: u64 = 16 << 20;

/// Which file was read: device, inode, size, time of its last change.
type Stamp = (u64, u64, u64, i64, i64);

/// The table as it was read last.
pub struct TableFile {
    path: PathBuf,
    stamp: Stamp,
    table: Table,
}

impl TableFile {
    /// Reads the table.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: PathBuf) -> Result<Self, String> {
        let mut file = Self { path, stamp: Stamp::default(), table: Table::default() };
        file.refresh().map_err(|error| format!("cannot read {}: {error}", file.path.display()))?;
        Ok(file)
    }

    /// The table as it stands on disk; the one before where that cannot be read.
    pub fn current(&mut self) -> &Table {
        // The agent replaces the file whole. What it wrote last stays true for a pod whose agent has gone.
        let _ = self.refresh();
        &self.table
    }

    /// The table as it was read last.
    pub fn last(&self) -> &Table {
        &self.table
    }

    fn refresh(&mut self) -> io::Result<()> {
        let found = fs::metadata(&self.path)?;
        let stamp = (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec());
        if stamp == self.stamp {
            return Ok(());
        }
        if found.size() > LIMIT {
            return Err(io::Error::other(format!("it is longer than {LIMIT} bytes")));
        }
        self.table = serde_json::from_slice(&fs::read(&self.path)?)?;
        self.stamp = stamp;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_again_when_it_was_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table.json");
        let write = |block: u8| {
            let table = Table { version: 1, block, ..Table::default() };
            let temporary = path.with_extension("new");
            fs::write(&temporary, serde_json::to_vec(&table).unwrap()).unwrap();
            fs::rename(&temporary, &path).unwrap();
        };
        assert!(TableFile::open(path.clone()).err().unwrap().contains("table.json"));
        write(16);
        let mut file = TableFile::open(path.clone()).unwrap();
        write(17);
        assert_eq!(file.last().block, 16);
        assert_eq!(file.current().block, 17);
        fs::write(&path, "{").unwrap();
        assert_eq!(file.current().block, 17);
    }
}
