//! What the store writes down of names and of layers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{digest::Digest, platform::Platform};

/// The version of these forms; a store of a later one is not touched.
pub const VERSION: u32 = 1;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameRecord {
    pub version: u32,
    /// The name with every part written out.
    pub name: String,
    /// The manifest of the image.
    pub manifest: Digest,
    /// What the registry has under the name: the manifest, or the index that it is in.
    pub target: Digest,
    pub config: Digest,
    pub platform: Platform,
    /// The unpacked layers, from the lowest up.
    pub layers: Vec<Digest>,
    /// When the name was given, in seconds since 1970.
    pub pulled_s: u64,
    /// When the image was last used.
    pub used_s: u64,
}

/// The version of [`UseRecord`].
pub const USE_VERSION: u32 = 1;

/// Somebody who runs from an image, which stays as long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UseRecord {
    pub version: u32,
    /// Whoever wrote it finds it by this again.
    pub key: String,
    /// Who it is, for people: `pod default/web`.
    pub holder: String,
    /// It counts as long as this exists.
    pub while_exists: PathBuf,
    pub manifest: Digest,
    pub config: Digest,
    pub layers: Vec<Digest>,
}

/// What is known of an unpacked layer, and what its files alone cannot say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerRecord {
    pub version: u32,
    /// Bytes of its files.
    pub size_bytes: u64,
    pub entries: u64,
    /// Paths of lower layers that it removes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whiteouts: Vec<String>,
    /// Directories that hide what lower layers have in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opaque: Vec<String>,
    /// Whether the tree marks both in overlayfs's form.
    pub marked: bool,
    /// Owners that could not be set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<OwnerRecord>,
    /// What was left out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// Who should own a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRecord {
    pub path: String,
    pub user: u32,
    pub group: u32,
}

/// A part of a layer that is not in its tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub path: String,
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_first_version_are_read() {
        let digest = Digest::of(b"");
        let name = format!(
            r#"{{"version":1,"name":"docker.io/library/a:1","manifest":"{digest}","target":"{digest}","config":"{digest}",
               "platform":{{"os":"linux","architecture":"amd64"}},"layers":["{digest}"],"pulledS":1,"usedS":2}}"#
        );
        let name: NameRecord = serde_json::from_str(&name).unwrap();
        assert_eq!((name.version, name.used_s, name.layers.len()), (VERSION, 2, 1));
        let layer = r#"{"version":1,"sizeBytes":5,"entries":2,"whiteouts":["a"],"marked":true,
                        "owners":[{"path":"b","user":1,"group":2}],"skipped":[{"path":"c","why":"a device"}]}"#;
        let layer: LayerRecord = serde_json::from_str(layer).unwrap();
        assert_eq!((layer.size_bytes, layer.owners[0].group, layer.opaque.len()), (5, 2, 0));
        let used = format!(
            r#"{{"version":1,"key":"k","holder":"pod a/b","whileExists":"/x","manifest":"{digest}","config":"{digest}",
               "layers":["{digest}"]}}"#
        );
        let used: UseRecord = serde_json::from_str(&used).unwrap();
        assert_eq!((used.version, used.holder.as_str(), used.layers.len()), (USE_VERSION, "pod a/b", 1));
    }
}
