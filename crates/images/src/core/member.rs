//! Where a path of a layer may lie, and what its name means there.
//!
//! Whiteouts: <https://github.com/opencontainers/image-spec/blob/main/layer.md>. It decides by names alone; that no
//! link is followed is the business of whoever writes.

/// Bytes of a path, as Linux has it.
const MOST_PATH: usize = 4096;
/// Bytes of one part of a path.
const MOST_PART: usize = 255;
/// Parts of a path: a directory is kept open for each while files are written, and a process may open a thousand.
const MOST_PARTS: usize = 128;
/// Starts the name of a file that removes another.
const WHITEOUT: &[u8] = b".wh.";
/// Names that the union file system of old Docker kept for itself.
const WHITEOUT_META: &[u8] = b".wh..wh.";
/// Makes a directory hide what lower layers have in it.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A path below the root of a layer: parts that are neither empty nor lead upwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberPath {
    parts: Vec<Vec<u8>>,
}

/// Why a layer is refused for one of its paths.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    #[error("path {0:?} has a part .., which could lead out of the image")]
    Upwards(String),
    #[error("path {0:?} has a zero byte")]
    Zero(String),
    #[error(
        "path {0:?}… is longer than {MOST_PATH} bytes or {MOST_PARTS} parts, or a part of it than {MOST_PART} bytes"
    )]
    Long(String),
    #[error("path {0:?} is a whiteout of no file")]
    Whiteout(String),
}

/// What an entry of a layer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It stands at this path.
    Entry(MemberPath),
    /// It removes this path of lower layers.
    Whiteout(MemberPath),
    /// It hides what lower layers have in this directory.
    Opaque(MemberPath),
    /// It is a note of the program that made the layer.
    Nothing,
}

impl MemberPath {
    /// Reads a path of an archive. A leading slash means the root of the image, as everyone reads it.
    ///
    /// # Errors
    /// [`MemberError`] when the path could lead elsewhere or cannot be had on Linux.
    pub fn read(bytes: &[u8]) -> Result<Self, MemberError> {
        let shown = |most: usize| String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned();
        if bytes.len() > MOST_PATH {
            return Err(MemberError::Long(shown(64)));
        }
        if bytes.contains(&0) {
            return Err(MemberError::Zero(shown(MOST_PATH)));
        }
        let parts = bytes.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
        let parts: Vec<Vec<u8>> = parts.map(<[u8]>::to_vec).collect();
        if parts.iter().any(|part| part == b"..") {
            return Err(MemberError::Upwards(shown(MOST_PATH)));
        }
        if parts.len() > MOST_PARTS || parts.iter().any(|part| part.len() > MOST_PART) {
            return Err(MemberError::Long(shown(64)));
        }
        Ok(Self { parts })
    }

    /// Whether this is the root of the image itself.
    pub fn is_root(&self) -> bool {
        self.parts.is_empty()
    }

    /// The directory that it lies in and its name there; `None` for the root.
    pub fn split(&self) -> Option<(&[Vec<u8>], &[u8])> {
        self.parts.split_last().map(|(name, parents)| (parents, name.as_slice()))
    }

    /// All parts, from the root down.
    pub fn parts(&self) -> &[Vec<u8>] {
        &self.parts
    }

    /// The path with slashes, as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.parts.join(&b'/')
    }

    /// The path as text that stands for these bytes alone: what is no UTF-8, control characters and `%` are written
    /// `%41`.
    pub fn text(&self) -> String {
        let bytes = self.bytes();
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character == '%' || character.is_control() {
                    let mut buffer = [0; 4];
                    let escaped = character.encode_utf8(&mut buffer).bytes();
                    escaped.for_each(|byte| text.push_str(&format!("%{byte:02X}")));
                } else {
                    text.push(character);
                }
            }
            chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
        }
        text
    }

    fn beside(parents: &[Vec<u8>], name: &[u8]) -> Self {
        Self { parts: [parents, &[name.to_vec()]].concat() }
    }
}

/// What the entry at a path does to the image.
///
/// # Errors
/// [`MemberError`] as [`MemberPath::read`], and for a whiteout that names no file.
pub fn meaning(path: &[u8]) -> Result<Meaning, MemberError> {
    let path = MemberPath::read(path)?;
    let Some((parents, name)) = path.split() else { return Ok(Meaning::Entry(path)) };
    if parents.iter().any(|part| part.starts_with(WHITEOUT_META)) {
        return Ok(Meaning::Nothing);
    }
    if name == OPAQUE {
        return Ok(Meaning::Opaque(MemberPath { parts: parents.to_vec() }));
    }
    if name.starts_with(WHITEOUT_META) {
        return Ok(Meaning::Nothing);
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Meaning::Entry(path)),
        Some(b"" | b"." | b"..") => Err(MemberError::Whiteout(path.text())),
        Some(hidden) => Ok(Meaning::Whiteout(MemberPath::beside(parents, hidden))),
    }
}

/// Whether an attribute of an archive may be set: none that changes how layers are put over each other.
pub fn may_set_attribute(name: &str) -> bool {
    !["trusted.overlay.", "user.overlay.", "user.fuseoverlayfs."].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> MemberPath {
        MemberPath::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn paths_are_below_the_root_however_they_are_written() {
        for (written, read) in
            [("./a/b/", "a/b"), ("/etc/passwd", "etc/passwd"), ("a//./b", "a/b"), ("a%\n", "a%25%0A")]
        {
            assert_eq!(path(written).text(), read);
        }
        assert!(path("./").is_root());
        assert_eq!(MemberPath::read(b"a\xff").unwrap().text(), "a%FF");
    }

    #[test]
    fn paths_that_could_lead_out_are_refused() {
        for bad in [&b".."[..], b"../a", b"a/../../b", b"a/..", b"/../etc", b"a\0b"] {
            assert!(MemberPath::read(bad).is_err(), "{bad:?}");
        }
        assert!(matches!(MemberPath::read(&[b'a'; 256]), Err(MemberError::Long(_))));
        assert!(matches!(MemberPath::read(&b"a/".repeat(2049)), Err(MemberError::Long(_))));
    }

    #[test]
    fn whiteouts_name_what_they_remove() {
        for (written, means) in [
            ("a/b", Meaning::Entry(path("a/b"))),
            ("a/.wh.b", Meaning::Whiteout(path("a/b"))),
            (".wh.b", Meaning::Whiteout(path("b"))),
            ("a/.wh..wh..opq", Meaning::Opaque(path("a"))),
            (".wh..wh..opq", Meaning::Opaque(path(""))),
            (".wh..wh.aufs", Meaning::Nothing),
            (".wh..wh.plnk/1.2", Meaning::Nothing),
        ] {
            assert_eq!(meaning(written.as_bytes()).unwrap(), means, "{written}");
        }
        for bad in ["a/.wh.", "a/.wh..", ".wh..."] {
            assert!(matches!(meaning(bad.as_bytes()), Err(MemberError::Whiteout(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_path_that_is_read_leads_upwards(bytes in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'/'), Just(b'w'), Just(b'h'), any::<u8>()], 0..40)) {
            if let Ok(Meaning::Entry(path) | Meaning::Whiteout(path) | Meaning::Opaque(path)) = meaning(&bytes) {
                prop_assert!(path.parts().iter().all(|part| !part.is_empty() && part != b"." && part != b".." && !part.contains(&b'/')));
            }
        }
    }
}
