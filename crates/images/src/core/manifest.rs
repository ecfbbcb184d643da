//! The JSON of an image: configuration, manifest and index.
//!
//! Forms: <https://github.com/opencontainers/image-spec>, version 1.1.

use std::collections::BTreeMap;

use serde::Serialize;

use super::digest::Digest;

/// The file that says which version of the layout an archive has.
pub const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

/// A blob as others refer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    media_type: &'static str,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

impl Descriptor {
    /// A layer that is a plain tar file, so that the digest of its content and that of the blob are one.
    pub fn layer(digest: Digest, size_bytes: u64) -> Self {
        Self { media_type: LAYER_TYPE, digest, size: size_bytes }
    }
}

/// How containers of an image start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Start {
    /// `uid:gid`, or nothing for root.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
}

/// The JSON of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
}

#[derive(Serialize)]
struct ConfigFile<'a> {
    architecture: &'a str,
    os: &'static str,
    config: &'a Start,
    rootfs: RootFs<'a>,
}

#[derive(Serialize)]
struct RootFs<'a> {
    r#type: &'static str,
    diff_ids: Vec<&'a Digest>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: &'a [Descriptor],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Named<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    #[serde(flatten)]
    descriptor: Descriptor,
    platform: BTreeMap<&'static str, &'a str>,
    annotations: BTreeMap<&'static str, &'a str>,
}

/// The architecture of this machine in the words of images (`amd64`).
pub fn architecture(rust_name: &str) -> &str {
    match rust_name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The configuration and the manifest of an image for Linux.
///
/// # Errors
/// When serde refuses, which it does for none of these types.
pub fn documents(architecture: &str, start: &Start, layers: &[Descriptor]) -> serde_json::Result<Documents> {
    let diff_ids = layers.iter().map(|layer| &layer.digest).collect();
    let rootfs = RootFs { r#type: "layers", diff_ids };
    let config = serde_json::to_vec(&ConfigFile { architecture, os: "linux", config: start, rootfs })?;
    let manifest = image_manifest(&config, layers)?;
    Ok(Documents { config, manifest })
}

/// The manifest of an image with a configuration that is there already.
///
/// # Errors
/// As [`documents`].
pub fn image_manifest(config: &[u8], layers: &[Descriptor]) -> serde_json::Result<Vec<u8>> {
    let described = Descriptor { media_type: CONFIG_TYPE, digest: Digest::of(config), size: config.len() as u64 };
    serde_json::to_vec(&Manifest { schema_version: 2, media_type: MANIFEST_TYPE, config: described, layers })
}

/// The index of an archive: each name with the manifest that it names.
///
/// Containerd takes the name from one annotation, skopeo from the other.
///
/// # Errors
/// As [`documents`].
pub fn index(architecture: &str, names: &[(String, &[u8])]) -> serde_json::Result<Vec<u8>> {
    let manifests = names
        .iter()
        .map(|(name, manifest)| Named {
            descriptor: Descriptor {
                media_type: MANIFEST_TYPE,
                digest: Digest::of(manifest),
                size: manifest.len() as u64,
            },
            platform: BTreeMap::from([("architecture", architecture), ("os", "linux")]),
            annotations: BTreeMap::from([
                ("io.containerd.image.name", name.as_str()),
                ("org.opencontainers.image.ref.name", name.as_str()),
            ]),
        })
        .collect();
    serde_json::to_vec(&Index { schema_version: 2, media_type: INDEX_TYPE, manifests })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_written_as_the_specification_says() {
        let layer = Descriptor::layer(Digest::of(b"layer"), 5);
        let start = Start { user: "65532:65532".into(), entrypoint: vec!["/a".into()], ..Start::default() };
        let documents = documents("amd64", &start, std::slice::from_ref(&layer)).unwrap();
        let id = &layer.digest;
        assert_eq!(
            String::from_utf8(documents.config.clone()).unwrap(),
            format!(
                r#"{{"architecture":"amd64","os":"linux","config":{{"User":"65532:65532","Entrypoint":["/a"]}},"rootfs":{{"type":"layers","diff_ids":["{id}"]}}}}"#
            )
        );
        let manifest: serde_json::Value = serde_json::from_slice(&documents.manifest).unwrap();
        assert_eq!(manifest["schemaVersion"], 2);
        assert_eq!(manifest["config"]["digest"], Digest::of(&documents.config).to_string());
        assert_eq!(manifest["config"]["size"], documents.config.len());
        assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar");
        assert_eq!(manifest["layers"][0]["size"], 5);
    }

    #[test]
    fn one_manifest_may_have_several_names() {
        let names = [("docker.io/library/a:1".to_owned(), &b"m"[..]), ("docker.io/library/b:1".to_owned(), &b"m"[..])];
        let index: serde_json::Value = serde_json::from_slice(&index("amd64", &names).unwrap()).unwrap();
        let manifests = index["manifests"].as_array().unwrap();
        assert_eq!(manifests[0]["digest"], manifests[1]["digest"]);
        assert_eq!(manifests[0]["platform"]["architecture"], "amd64");
        let named: Vec<&str> =
            manifests.iter().filter_map(|one| one["annotations"]["io.containerd.image.name"].as_str()).collect();
        assert_eq!(named, ["docker.io/library/a:1", "docker.io/library/b:1"]);
    }
}
