//! Names of images as people write them, read by the whole grammar.
//!
//! Grammar: <https://github.com/distribution/reference>, `reference.go` and `normalize.go`. It never asks a registry.

use std::{fmt, str::FromStr};

use super::digest::{Digest, DigestError};

/// The registry that a name without one means.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// Other names of the default registry.
const DEFAULT_ALIAS: &str = "index.docker.io";
/// The tag of a name that has neither a tag nor a digest.
const DEFAULT_TAG: &str = "latest";
/// Bytes of a repository with its registry, by the grammar.
const MOST_NAME: usize = 255;
/// Bytes of a tag, by the grammar.
const MOST_TAG: usize = 128;

/// An image's name with every part written out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Host and port, as `docker.io` or `localhost:5000`.
    pub registry: String,
    /// The path there, as `library/busybox`.
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

/// Why a text names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("the name of an image is empty; write one as busybox:1.36")]
    Empty,
    #[error("image {name:?}: the registry {registry:?} is not a host with an optional port")]
    Registry { name: String, registry: String },
    #[error("image {name:?}: a repository is in lower case; write {lower:?}")]
    UpperCase { name: String, lower: String },
    #[error(
        "image {name:?}: the part {part:?} of the repository may hold a-z and 0-9, and between them one of . _ __ or \
         any number of -"
    )]
    Part { name: String, part: String },
    #[error("image {name:?}: the name is longer than {MOST_NAME} bytes")]
    Long { name: String },
    #[error(
        "image {name:?}: the tag {tag:?} may hold letters, digits, _, . and -, starts with none of . and -, and has at \
         most {MOST_TAG} characters"
    )]
    Tag { name: String, tag: String },
    #[error("image {name:?}: {source}")]
    Digest { name: String, source: DigestError },
    #[error("image {name:?}: 64 hexadecimal digits are the id of an image, not a name")]
    Id { name: String },
}

impl Reference {
    /// What a registry is asked for: the digest where there is one, else the tag.
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(name: &str) -> Result<Self, ReferenceError> {
        if name.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ReferenceError::Id { name: name.to_owned() });
        }
        let (rest, digest) = match name.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (name, None),
        };
        let digest = digest.map(str::parse).transpose();
        let digest = digest.map_err(|source| ReferenceError::Digest { name: name.to_owned(), source })?;
        let (registry, path) = split_registry(rest);
        let (path, tag) = match path.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (path, None),
        };
        check_registry(name, registry)?;
        check_tag(name, tag)?;
        let registry = if registry == DEFAULT_ALIAS { DEFAULT_REGISTRY } else { registry };
        let is_short = registry == DEFAULT_REGISTRY && !path.contains('/');
        let repository = if is_short { format!("library/{path}") } else { path.to_owned() };
        check_repository(name, path)?;
        if registry.len() + 1 + repository.len() > MOST_NAME {
            return Err(ReferenceError::Long { name: name.to_owned() });
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

/// The first part is a registry when it cannot be a folder: it has a dot, a port or an upper-case letter, or is
/// `localhost`.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn check_registry(name: &str, registry: &str) -> Result<(), ReferenceError> {
    let fault = || ReferenceError::Registry { name: name.to_owned(), registry: registry.to_owned() };
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or_else(fault)?;
            let good = address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':') && !address.is_empty();
            if !good || !(after.is_empty() || after.starts_with(':')) {
                return Err(fault());
            }
            ("ipv6", after.strip_prefix(':'))
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    let is_part = |part: &str| {
        let good = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        good && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
    };
    let is_port = port.is_none_or(|port| !port.starts_with('+') && port.parse::<u16>().is_ok());
    if host.split('.').all(is_part) && is_port { Ok(()) } else { Err(fault()) }
}

fn check_repository(name: &str, path: &str) -> Result<(), ReferenceError> {
    for part in path.split('/') {
        if part.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let lower = name.replacen(path, &path.to_ascii_lowercase(), 1);
            return Err(ReferenceError::UpperCase { name: name.to_owned(), lower });
        }
        if !is_part(part) {
            return Err(ReferenceError::Part { name: name.to_owned(), part: part.to_owned() });
        }
    }
    Ok(())
}

/// Letters and digits, with one separator between two groups of them.
fn is_part(part: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    if !bytes.first().is_some_and(is_word) || !bytes.last().is_some_and(is_word) {
        return false;
    }
    let is_separator = |text: &[u8]| matches!(text, b"." | b"_" | b"__") || text.iter().all(|byte| *byte == b'-');
    bytes.split(is_word).all(is_separator)
}

fn check_tag(name: &str, tag: Option<&str>) -> Result<(), ReferenceError> {
    let Some(tag) = tag else { return Ok(()) };
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let fits = !tag.is_empty() && tag.len() <= MOST_TAG && !tag.starts_with(['.', '-']);
    if fits && tag.bytes().all(is_good) {
        return Ok(());
    }
    Err(ReferenceError::Tag { name: name.to_owned(), tag: tag.to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for (name, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("a/b", "docker.io/a/b:latest"),
            ("docker.io/a", "docker.io/library/a:latest"),
            ("index.docker.io/library/a:1", "docker.io/library/a:1"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a/b/c:v1.2_3-x", "localhost:5000/a/b/c:v1.2_3-x"),
            ("ghcr.io/a/b", "ghcr.io/a/b:latest"),
            ("Registry/a", "Registry/a:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("10.0.0.1:80/a__b/c--d/e.f", "10.0.0.1:80/a__b/c--d/e.f:latest"),
        ] {
            assert_eq!(name.parse::<Reference>().unwrap().to_string(), full, "{name}");
        }
        let pinned: Reference = format!("a:1@sha256:{HEX}").parse().unwrap();
        assert_eq!(pinned.to_string(), format!("docker.io/library/a:1@sha256:{HEX}"));
        assert_eq!(pinned.wanted(), format!("sha256:{HEX}"));
        let untagged: Reference = format!("a@sha256:{HEX}").parse().unwrap();
        assert_eq!(untagged.tag, None);
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_part_that_is_wrong() {
        for (name, part) in [
            ("", "empty"),
            ("bad name", "\"bad name\" of the repository"),
            ("a//b", "the part \"\""),
            ("a/", "the part \"\""),
            ("/a", "the part \"\""),
            ("a/../b", "the part \"..\""),
            ("a..b/c", "registry \"a..b\""),
            ("a/b..c", "the part \"b..c\""),
            ("a___b", "the part \"a___b\""),
            ("-a", "the part \"-a\""),
            ("library/BusyBox", "write \"library/busybox\""),
            ("a:", "the tag \"\""),
            ("a:-x", "the tag \"-x\""),
            ("localhost:99999/a", "registry \"localhost:99999\""),
            ("a@sha256:00", "64 hexadecimal digits"),
            ("a@sha512:00", "not supported"),
            (HEX, "the id of an image"),
        ] {
            let error = name.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(part), "{name:?}: {error}");
        }
        let long = format!("a/{}", "b".repeat(300));
        assert!(matches!(long.parse::<Reference>(), Err(ReferenceError::Long { .. })));
    }

    proptest! {
        #[test]
        fn a_name_that_is_written_out_is_read_the_same(name in "[a-zA-Z0-9./:@_-]{1,40}") {
            if let Ok(reference) = name.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }

        #[test]
        fn no_text_makes_the_reader_fail(name in any::<String>()) {
            let _ = name.parse::<Reference>();
        }

        #[test]
        fn a_repository_has_no_part_that_leads_elsewhere(name in "[a-z./]{1,30}") {
            if let Ok(reference) = name.parse::<Reference>() {
                prop_assert!(reference.repository.split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
            }
        }
    }
}
