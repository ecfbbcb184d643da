//! Where in the store a URI's bytes lie, and how a file's name stands in an object's name.
//!
//! `minio://bucket/a/b` lies at `minio/bucket/a/b`: the store is one directory, or one bucket, and the scheme and bucket
//! of a URI are parts of the names in it. A name without a scheme is the control plane's own and lies below `own`. In a
//! bucket all of that is below a prefix, and a URI of the bucket itself is the object of that name.
//!
//! What users name is an artifact ([`Layout::artifact`]): it never leads to what is the control plane's own, and has one
//! name by which it is told whose it is, whatever URI leads to it.

use std::fmt::Write;

use object_store::path::Path;

use super::store::StoreError;

/// Schemes of URIs that are kept here.
const SCHEMES: [&str; 4] = ["minio", "s3", "gs", "gcs"];
/// What stands for a scheme in the names of what is the control plane's own.
const OWN: &str = "own";
/// Bytes of an object's name: S3's limit, which also keeps a path on disk far below that of Linux (4096).
const LONGEST: usize = 1024;

/// How a store is laid out: a directory as it is by default.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// What all names begin with: empty, or with a slash at its end.
    prefix: String,
    /// The bucket that the store is.
    bucket: Option<String>,
}

impl Layout {
    /// A bucket's, whose names begin with `prefix`.
    pub fn of_bucket(bucket: &str, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { prefix, bucket: Some(bucket.to_owned()) }
    }

    /// The object that a URI or own name stands for.
    pub fn object(&self, place: &str) -> Result<Path, StoreError> {
        let (scheme, rest) = place.split_once("://").unwrap_or((OWN, place));
        if place.contains("://") && !SCHEMES.contains(&scheme) {
            return Err(fault(place, "only minio://, s3://, gs:// and gcs:// are kept here"));
        }
        self.below(place, scheme, rest.as_bytes())
    }

    /// The place of an artifact: the one name that all URIs of its object have, which is a URI without its colon and
    /// slashes. `None` for what is kept elsewhere.
    ///
    /// # Errors
    /// [`StoreError::Place`] for a URI without a scheme, for one that is no place, and for one that leads to what is the
    /// control plane's own, or to something that holds it.
    pub fn artifact(&self, uri: &str) -> Result<Option<String>, StoreError> {
        let Some((scheme, _)) = uri.split_once("://") else {
            return Err(fault(uri, "it has no scheme; begin it with minio://, s3:// or gs://"));
        };
        if !SCHEMES.contains(&scheme) {
            return Ok(None);
        }
        let object = self.object(uri)?;
        let holds = |name: &str| format!("{name}/").starts_with(&format!("{}/", object.as_ref()));
        if std::iter::once(OWN).chain(SCHEMES).any(|name| holds(&format!("{}{name}", self.prefix))) {
            return Err(fault(uri, "the server keeps what is its own below it; name something more precise"));
        }
        let bucket = self.bucket.as_deref().unwrap_or_default();
        let below = object.as_ref().strip_prefix(self.prefix.as_str()).filter(|below| {
            let (scheme, rest) = below.split_once('/').unwrap_or((below, ""));
            // What would be a URI of the bucket itself is another object.
            let is_itself = scheme == "s3" && !bucket.is_empty() && rest.split('/').next() == Some(bucket);
            SCHEMES.contains(&scheme) && !is_itself
        });
        Ok(Some(below.map_or_else(|| format!("s3/{bucket}/{object}"), str::to_owned)))
    }

    /// The object that is called `name` where names begin with the scheme and nothing has a prefix: in
    /// [`Layout::default`].
    pub fn named(&self, name: &str) -> Result<Path, StoreError> {
        let (scheme, rest) = name.split_once('/').unwrap_or((name, ""));
        if scheme != OWN && !SCHEMES.contains(&scheme) {
            return Err(fault(name, "it begins with none of minio/, s3/, gs/, gcs/ and own/"));
        }
        self.below(name, scheme, &decoded(rest))
    }

    fn below(&self, shown: &str, scheme: &str, rest: &[u8]) -> Result<Path, StoreError> {
        let slash = rest.iter().position(|byte| *byte == b'/');
        let (bucket, key) = slash.map_or((rest, &rest[rest.len()..]), |slash| (&rest[..slash], &rest[slash + 1..]));
        let is_itself = scheme == "s3" && self.bucket.as_ref().is_some_and(|own| own.as_bytes() == bucket);
        let (mut name, rest) =
            if is_itself { (String::new(), key) } else { (format!("{}{scheme}", self.prefix), rest) };
        for part in rest.strip_suffix(b"/").unwrap_or(rest).split(|byte| *byte == b'/') {
            let part = encoded(part).ok_or_else(|| fault(shown, "it has an empty part, \".\" or \"..\""))?;
            if !name.is_empty() {
                name.push('/');
            }
            name.push_str(&part);
        }
        if is_itself && format!("{name}/").starts_with(&format!("{}{OWN}/", self.prefix)) {
            return Err(fault(shown, "the server keeps what is its own there"));
        }
        parsed(name).map_err(|why| fault(shown, &why))
    }
}

fn fault(place: &str, why: &str) -> StoreError {
    StoreError::Place { place: place.to_owned(), why: why.to_owned() }
}

/// The object of a file below `root`, named by its relative path.
pub fn member(root: &Path, name: &[u8]) -> Result<Path, StoreError> {
    let shown = || String::from_utf8_lossy(name).into_owned();
    let fault = |why: &str| StoreError::Member { name: shown(), why: why.to_owned() };
    let mut whole = root.as_ref().to_owned();
    for part in name.split(|byte| *byte == b'/') {
        let part = encoded(part).ok_or_else(|| fault("it has an empty part, \".\" or \"..\""))?;
        whole.push('/');
        whole.push_str(&part);
    }
    parsed(whole).map_err(|why| fault(&why))
}

/// The relative path that [`member`] was given; `None` for an object that is not below `root`.
pub fn name_of(root: &Path, object: &Path) -> Option<Vec<u8>> {
    let rest = object.as_ref().strip_prefix(root.as_ref())?.strip_prefix('/')?;
    Some(decoded(rest))
}

fn parsed(name: String) -> Result<Path, String> {
    if name.len() > LONGEST {
        return Err(format!("its name in the store has {} bytes, {LONGEST} are allowed", name.len()));
    }
    Path::parse(name).map_err(|error| error.to_string())
}

/// A part of a path as it stands in an object's name: control characters and bytes that are no UTF-8 are written
/// `%XX`, and so are `%` itself and `#`, with which the local store marks files that are being written.
fn encoded(part: &[u8]) -> Option<String> {
    if matches!(part, b"" | b"." | b"..") {
        return None;
    }
    let mut text = String::with_capacity(part.len());
    for chunk in part.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '%' | '#' => escape(&mut text, letter as u8),
                '\0'..='\x1f' | '\x7f' => escape(&mut text, letter as u8),
                _ => text.push(letter),
            }
        }
        chunk.invalid().iter().for_each(|byte| escape(&mut text, *byte));
    }
    Some(text)
}

fn escape(text: &mut String, byte: u8) {
    // Writing to a string does not fail.
    let _ = write!(text, "%{byte:02X}");
}

fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(place: &str) -> Result<Path, StoreError> {
        Layout::default().object(place)
    }

    #[test]
    fn a_uri_of_the_bucket_itself_is_the_object_of_that_name() {
        for (prefix, place, expected) in [
            ("", "s3://b/data/x.csv", Some("data/x.csv")),
            ("", "s3://other/x", Some("s3/other/x")),
            ("team/a", "s3://b/data/x.csv", Some("data/x.csv")),
            ("/team/a/", "minio://b/x", Some("team/a/minio/b/x")),
            ("team/a", "logs/1", Some("team/a/own/logs/1")),
            ("team/a", "s3://b/team/a/own/logs/1", None),
            ("team/a", "s3://b/team/a/own", None),
            ("team/a", "s3://b/team/a/owner", Some("team/a/owner")),
            ("", "s3://b/own/logs/1", None),
            ("", "s3://b", None),
            ("", "s3://b/", None),
            ("", "s3://b/../x", None),
        ] {
            let found = Layout::of_bucket("b", prefix).object(place);
            assert_eq!(found.ok().as_ref().map(Path::as_ref), expected, "{prefix} {place}");
        }
    }

    #[test]
    fn an_artifact_has_one_name_whatever_uri_leads_to_it() {
        let (directory, bare) = (Layout::default(), Layout::of_bucket("b", ""));
        let bucket = Layout::of_bucket("b", "team/a");
        for (layout, uri, expected) in [
            (&directory, "minio://m/v2/x", Some("minio/m/v2/x")),
            (&directory, "minio://m/v2/x/", Some("minio/m/v2/x")),
            (&directory, "s3://b/team/a/minio/m/x", Some("s3/b/team/a/minio/m/x")),
            (&directory, "gs://m/%2e%2e/x", Some("gs/m/%252e%252e/x")),
            (&directory, "https://m/x", None),
            (&directory, "oci://m/x:1", None),
            // Schemes have small letters, here and in the SDK: this one is kept nowhere.
            (&directory, "S3://b/x", None),
            (&bucket, "minio://m/x", Some("minio/m/x")),
            (&bucket, "s3://b/team/a/minio/m/x", Some("minio/m/x")),
            (&bucket, "s3://b/team/a/artifacts/x", Some("s3/b/team/a/artifacts/x")),
            (&bucket, "s3://b/team/a/s3/other/x", Some("s3/other/x")),
            (&bucket, "s3://other/x", Some("s3/other/x")),
            (&bucket, "s3://b/team/a/s3/b/x", Some("s3/b/team/a/s3/b/x")),
            (&bucket, "s3://b/data/x.csv", Some("s3/b/data/x.csv")),
            (&bucket, "s3://b/team/b", Some("s3/b/team/b")),
            (&bare, "s3://b/minio/m/x", Some("minio/m/x")),
            (&bare, "s3://b/data", Some("s3/b/data")),
        ] {
            let name = layout.artifact(uri).unwrap();
            assert_eq!(name.as_deref(), expected, "{uri}");
            if let Some((scheme, rest)) = name.as_deref().and_then(|name| name.split_once('/')) {
                let again = format!("{scheme}://{}", String::from_utf8(decoded(rest)).unwrap());
                assert_eq!(layout.object(&again).unwrap(), layout.object(uri).unwrap(), "{uri}");
            }
        }
    }

    #[test]
    fn an_artifact_is_never_what_is_the_control_planes_own_or_above_it() {
        let (directory, bare) = (Layout::default(), Layout::of_bucket("b", ""));
        let bucket = Layout::of_bucket("b", "team/a");
        for (layout, uri) in [
            (&directory, "pipelines/logs"),
            (&directory, "pipelines/logs/run/task/0"),
            (&directory, "own/pipelines"),
            (&directory, "/etc/passwd"),
            (&directory, ""),
            (&directory, "minio:/m/x"),
            (&directory, "minio://m/../../own"),
            (&directory, "minio://m//x"),
            (&directory, "minio://"),
            (&bucket, "s3://b"),
            (&bucket, "s3://b/"),
            (&bucket, "s3://b/team"),
            (&bucket, "s3://b/team/"),
            (&bucket, "s3://b/team/a"),
            (&bucket, "s3://b/team/a/own"),
            (&bucket, "s3://b/team/a/own/pipelines/logs"),
            (&bucket, "s3://b/team/a/minio"),
            (&bare, "s3://b/own/pipelines"),
            (&bare, "s3://b/own/"),
            (&bare, "s3://b/gs"),
            (&bare, "pipelines/logs"),
        ] {
            assert!(matches!(layout.artifact(uri), Err(StoreError::Place { .. })), "{uri}");
        }
    }

    #[test]
    fn a_uri_is_an_object_below_its_scheme_and_bucket() {
        for (place, expected) in [
            ("minio://mlpipeline/v2/a", "minio/mlpipeline/v2/a"),
            ("s3://b/k/", "s3/b/k"),
            ("gs://b/a#1", "gs/b/a%231"),
            ("logs/run/task", "own/logs/run/task"),
        ] {
            assert_eq!(object(place).unwrap().as_ref(), expected);
        }
    }

    #[test]
    fn what_has_a_name_in_one_store_is_found_under_it_in_another() {
        let member_of = |layout: &Layout, place: &str| member(&layout.object(place).unwrap(), b"100% \xff#1").unwrap();
        let bucket = Layout::of_bucket("b", "team");
        for (place, expected) in [
            ("minio://m/a", "team/minio/m/a/100%25 %FF%231"),
            ("s3://b/a", "a/100%25 %FF%231"),
            ("s3://other/a", "team/s3/other/a/100%25 %FF%231"),
            ("logs/1", "team/own/logs/1/100%25 %FF%231"),
        ] {
            let name = member_of(&Layout::default(), place);
            assert_eq!(bucket.named(name.as_ref()).unwrap().as_ref(), expected);
            assert_eq!(member_of(&bucket, place).as_ref(), expected);
            assert_eq!(Layout::default().named(name.as_ref()).unwrap(), name);
        }
        for name in ["", "own", "minio/", "etc/x", "minio/b/../c", "own/%2e%2e/x", "s3/b/team/own/logs/1", "/own/x"] {
            assert!(matches!(bucket.named(name), Err(StoreError::Place { .. })), "{name}");
        }
    }

    #[test]
    fn a_uri_that_leaves_the_store_is_refused() {
        for place in
            ["", "minio://", "minio://b/../c", "minio://b//c", "http://b/k", "file:///etc/passwd", "/etc", "a/./b"]
        {
            assert!(matches!(object(place), Err(StoreError::Place { .. })), "{place}");
        }
        assert!(object(&format!("s3://b/{}", "a".repeat(1100))).is_err());
    }

    #[test]
    fn names_of_files_come_back_as_they_were() {
        let root = object("minio://b/k").unwrap();
        for name in
            [&b"plain"[..], b"a/b.txt", b"100%", b"x#1", "é/日本".as_bytes(), b"line\nbreak", b"\xff\xfe", b"a b?[c]"]
        {
            let object = member(&root, name).unwrap();
            assert_eq!(name_of(&root, &object).unwrap(), name);
        }
        for name in [&b""[..], b"/abs", b"a//b", b"../up", b"a/.."] {
            assert!(member(&root, name).is_err());
        }
    }
}
