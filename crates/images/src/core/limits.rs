//! How much of an image is taken from strangers.

use super::document::DocumentError;

/// Bounds of what is read, fetched and unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an index, a manifest or a configuration. Registries take manifests up to 4 MiB.
    pub document_bytes: u64,
    /// Layers of an image. Overlayfs takes 500.
    pub layers: usize,
    /// Bytes of a packed layer: 64 GiB, three times the largest images for machine learning.
    pub layer_bytes: u64,
    /// Bytes that a layer may always unpack to, however small it is: 1 GiB.
    pub unpacked_least_bytes: u64,
    /// How many times its packed size a layer may unpack to beyond that. Programs and data pack three to ten times;
    /// gzip ends at 1,032.
    pub unpacked_ratio: u64,
    /// Bytes that a layer may unpack to in any case: 256 GiB.
    pub unpacked_most_bytes: u64,
    /// Paths in a layer. The largest trees of packages have some hundred thousand.
    pub entries: u64,
    /// Bytes of an extended header. Names and attributes of one file fill far less.
    pub header_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 4 << 20,
            layers: 500,
            layer_bytes: 64 << 30,
            unpacked_least_bytes: 1 << 30,
            unpacked_ratio: 200,
            unpacked_most_bytes: 256 << 30,
            entries: 4_000_000,
            header_bytes: 1 << 20,
        }
    }
}

impl Limits {
    /// How many bytes a layer of this packed size may unpack to.
    pub fn unpacked_bytes(&self, packed_bytes: u64) -> u64 {
        let scaled = packed_bytes.saturating_mul(self.unpacked_ratio);
        scaled.max(self.unpacked_least_bytes).min(self.unpacked_most_bytes)
    }

    /// Refuses a document that is too large to be read into memory.
    ///
    /// # Errors
    /// [`DocumentError::Large`] with what it is.
    pub fn check_document(&self, what: &'static str, size_bytes: u64) -> Result<(), DocumentError> {
        let most_bytes = self.document_bytes;
        if size_bytes > most_bytes { Err(DocumentError::Large { what, size_bytes, most_bytes }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_unpacks_to_a_multiple_of_its_size_within_bounds() {
        let limits = Limits::default();
        assert_eq!(limits.unpacked_bytes(0), 1 << 30);
        assert_eq!(limits.unpacked_bytes(100 << 20), 200 * (100 << 20));
        assert_eq!(limits.unpacked_bytes(u64::MAX), 256 << 30);
    }
}
