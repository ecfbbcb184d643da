//! What an export says of itself, before all else.

use serde::{Deserialize, Serialize};

/// What [`Manifest::format`] is.
pub const FORMAT: &str = "ferroflow-export";
/// The version of the format that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// An experiment or a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Named {
    pub id: String,
    pub namespace: String,
    pub name: String,
}

/// A version of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VersionOf {
    pub id: String,
    pub pipeline_id: String,
    pub name: String,
    /// SHA-256 of the text of its spec, in hexadecimal digits.
    pub digest: String,
}

/// What an export holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`]
    pub format: String,
    /// [`VERSION`]
    pub version: u32,
    /// The version of the program that wrote it.
    pub ferroflow: String,
    /// Milliseconds since 1970.
    pub exported_ms: i64,
    pub runs: u64,
    pub recurring_runs: u64,
    /// Whether the bytes of artifacts and logs are in it.
    pub has_objects: bool,
    /// All namespaces that it has something of, sorted.
    pub namespaces: Vec<String>,
    pub experiments: Vec<Named>,
    pub pipelines: Vec<Named>,
    pub versions: Vec<VersionOf>,
}

impl Manifest {
    /// Reads the first file of an archive.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let found: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|error| format!("its manifest.json is no JSON: {error}"))?;
        if found.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
            return Err(format!("its manifest.json does not say \"format\": \"{FORMAT}\""));
        }
        match found.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version <= u64::from(VERSION) => {}
            Some(version) => {
                return Err(format!(
                    "it is of version {version} of the format, and this program reads {VERSION} at the most; take a \
                     newer one"
                ));
            }
            None => return Err("its manifest.json has no \"version\"".to_owned()),
        }
        serde_json::from_value(found).map_err(|error| format!("its manifest.json cannot be read: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_back_and_others_are_refused_with_the_reason() {
        let manifest = Manifest { format: FORMAT.to_owned(), version: VERSION, runs: 3, ..Manifest::default() };
        assert_eq!(Manifest::read(&serde_json::to_vec(&manifest).unwrap()), Ok(manifest));
        for (text, told) in [
            ("PK", "no JSON"),
            ("{}", "\"format\""),
            ("{\"format\": \"ferroflow-export\"}", "no \"version\""),
            ("{\"format\": \"ferroflow-export\", \"version\": 2}", "take a newer one"),
            ("{\"format\": \"ferroflow-export\", \"version\": 1}", "cannot be read"),
        ] {
            let fault = Manifest::read(text.as_bytes()).unwrap_err();
            assert!(fault.contains(told), "{text}: {fault}");
        }
    }
}
