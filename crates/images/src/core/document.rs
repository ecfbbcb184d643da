//! Reads the JSON of an image: index, manifest and configuration, in the forms of OCI and of Docker.
//!
//! It checks what it reads against [`Limits`] and never fetches anything.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    digest::Digest,
    limits::Limits,
    platform::Platform,
    run::{RawRun, Run},
};

/// Media types that a registry is asked for, the best first.
pub const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// How a layer's tar file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// A blob as a manifest refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// An image's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub config: Blob,
    /// From the lowest up.
    pub layers: Vec<Blob>,
}

/// One image of an index.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    pub platform: Option<Platform>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    Index(Vec<Listed>),
    Manifest(Manifest),
}

/// What an image's configuration says that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub platform: Platform,
    /// Digests of the layers' tar files, unpacked.
    pub diff_ids: Vec<Digest>,
    /// How a process of it is run.
    pub run: Run,
}

/// Why a document is not that of an image.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("the {what} is not the JSON that it should be")]
    Json { what: &'static str, source: serde_json::Error },
    #[error("the manifest is of the old form, version {0}; push the image again with a tool of today")]
    Old(u64),
    #[error("the manifest is of media type {0:?}; an image's is one of OCI's or Docker's, version 2")]
    MediaType(String),
    #[error("the manifest is neither an index nor an image's: it has no field {0:?}")]
    Field(&'static str),
    #[error("layer {number} is of media type {media_type:?}, which is no tar file that is plain, gzip or zstd")]
    Layer { number: usize, media_type: String },
    #[error("the manifest has {layers} layers and the configuration {diff_ids} diff_ids; they go in pairs")]
    Pairs { layers: usize, diff_ids: usize },
    #[error("the image has {count} layers; at most {most} are taken")]
    ManyLayers { count: usize, most: usize },
    #[error("the {what} has {size_bytes} bytes; at most {most_bytes} are taken")]
    Large { what: &'static str, size_bytes: u64, most_bytes: u64 },
    #[error("there is no image for {wanted}; the index has {}", listed(offered))]
    Platform { wanted: Platform, offered: Vec<Platform> },
}

fn listed(platforms: &[Platform]) -> String {
    match platforms {
        [] => "none that names a platform".to_owned(),
        some => some.iter().map(Platform::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<Blob>,
    layers: Option<Vec<Blob>>,
    manifests: Option<Vec<Listed>>,
}

#[derive(Deserialize)]
struct RawConfig {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
    rootfs: RawRootFs,
    config: Option<RawRun>,
}

#[derive(Deserialize)]
struct RawRootFs {
    diff_ids: Vec<Digest>,
}

impl Document {
    /// Reads what a registry or an archive holds under a name.
    ///
    /// # Errors
    /// [`DocumentError`] when it is no index and no image's manifest, or is beyond the limits.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, DocumentError> {
        let raw: Raw =
            serde_json::from_slice(bytes).map_err(|source| DocumentError::Json { what: "manifest", source })?;
        if let Some(version) = raw.schema_version.filter(|version| *version != 2) {
            return Err(DocumentError::Old(version));
        }
        if let Some(kind) = raw.media_type.filter(|kind| !kind.is_empty() && !ACCEPTED.contains(&kind.as_str())) {
            return Err(DocumentError::MediaType(kind));
        }
        if let Some(manifests) = raw.manifests {
            return Ok(Self::Index(manifests));
        }
        let config = raw.config.ok_or(DocumentError::Field("config"))?;
        let layers = raw.layers.ok_or(DocumentError::Field("layers"))?;
        if layers.len() > limits.layers {
            return Err(DocumentError::ManyLayers { count: layers.len(), most: limits.layers });
        }
        limits.check_document("configuration", config.size)?;
        for (index, layer) in layers.iter().enumerate() {
            packing_of(index, &layer.media_type)?;
            if layer.size > limits.layer_bytes {
                let most_bytes = limits.layer_bytes;
                return Err(DocumentError::Large { what: "layer", size_bytes: layer.size, most_bytes });
            }
        }
        Ok(Self::Manifest(Manifest { config, layers }))
    }
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`DocumentError::Json`] when it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        let raw: RawConfig =
            serde_json::from_slice(bytes).map_err(|source| DocumentError::Json { what: "configuration", source })?;
        let platform = Platform { os: raw.os, architecture: raw.architecture, variant: raw.variant };
        Ok(Self { platform, diff_ids: raw.rootfs.diff_ids, run: raw.config.unwrap_or_default().into() })
    }
}

/// A layer that an image needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedLayer {
    /// The packed bytes.
    pub blob: Blob,
    /// The digest of the tar file in them, which names the unpacked layer.
    pub diff_id: Digest,
    pub packing: Packing,
}

/// The layers of an image with what each must unpack to.
///
/// # Errors
/// When manifest and configuration do not go together.
pub fn layers(manifest: &Manifest, config: &Config) -> Result<Vec<WantedLayer>, DocumentError> {
    if manifest.layers.len() != config.diff_ids.len() {
        return Err(DocumentError::Pairs { layers: manifest.layers.len(), diff_ids: config.diff_ids.len() });
    }
    let pairs = manifest.layers.iter().zip(&config.diff_ids).enumerate();
    pairs
        .map(|(index, (blob, diff_id))| {
            let packing = packing_of(index, &blob.media_type)?;
            Ok(WantedLayer { blob: blob.clone(), diff_id: diff_id.clone(), packing })
        })
        .collect()
}

/// The image of an index that fits a platform best; of several that fit alike the first.
///
/// # Errors
/// [`DocumentError::Platform`] with what there is.
pub fn choose<'a>(index: &'a [Listed], wanted: &Platform) -> Result<&'a Listed, DocumentError> {
    let mut best: Option<(u8, &Listed)> = None;
    for listed in index {
        // An index with one image need not say for which platform it is; its configuration does.
        let fit = match &listed.platform {
            Some(offered) => wanted.fit(offered),
            None => Some(0).filter(|_| ACCEPTED.contains(&listed.media_type.as_str())),
        };
        if let Some(fit) = fit.filter(|fit| best.is_none_or(|(other, _)| *fit > other)) {
            best = Some((fit, listed));
        }
    }
    let offered = || index.iter().filter_map(|listed| listed.platform.clone()).collect();
    best.map(|(_, listed)| listed).ok_or_else(|| DocumentError::Platform { wanted: wanted.clone(), offered: offered() })
}

fn packing_of(index: usize, media_type: &str) -> Result<Packing, DocumentError> {
    let base = media_type.strip_prefix("application/vnd.oci.image.layer.v1.tar");
    let base = base.or_else(|| media_type.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar"));
    let docker = media_type.strip_prefix("application/vnd.docker.image.rootfs.diff.tar");
    match (base, docker) {
        (Some(""), _) | (_, Some("")) => Ok(Packing::Plain),
        (Some("+gzip"), _) | (_, Some(".gzip")) => Ok(Packing::Gzip),
        (Some("+zstd"), _) | (_, Some(".zstd")) => Ok(Packing::Zstd),
        _ => Err(DocumentError::Layer { number: index + 1, media_type: media_type.to_owned() }),
    }
}

/// How bytes are packed, by the marks they start with.
pub fn packing_by_magic(first: &[u8]) -> Packing {
    match first {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        _ => Packing::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(seed: &str) -> Digest {
        Digest::of(seed.as_bytes())
    }

    fn read(text: &str) -> Result<Document, DocumentError> {
        Document::read(text.as_bytes(), &Limits::default())
    }

    fn manifest(layer_type: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":2}},
               "layers":[{{"mediaType":"{layer_type}","digest":"{}","size":10}}]}}"#,
            digest("config"),
            digest("layer")
        )
    }

    #[test]
    fn layers_of_oci_and_of_docker_are_read() {
        for (media_type, packing) in [
            ("application/vnd.oci.image.layer.v1.tar", Packing::Plain),
            ("application/vnd.oci.image.layer.v1.tar+gzip", Packing::Gzip),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Packing::Zstd),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Packing::Gzip),
        ] {
            let Document::Manifest(manifest) = read(&manifest(media_type)).unwrap() else { panic!("a manifest") };
            let config =
                Config { platform: "linux/amd64".parse().unwrap(), diff_ids: vec![digest("tar")], run: Run::default() };
            let layers = layers(&manifest, &config).unwrap();
            assert_eq!((layers[0].packing, &layers[0].diff_id), (packing, &digest("tar")));
        }
    }

    #[test]
    fn what_is_no_image_is_refused_with_the_field() {
        for (text, part) in [
            ("{", "not the JSON"),
            (r#"{"schemaVersion":1}"#, "old form, version 1"),
            (r#"{"schemaVersion":2}"#, "no field \"config\""),
            (r#"{"schemaVersion":2,"mediaType":"text/plain"}"#, "media type \"text/plain\""),
            (&manifest("application/vnd.cncf.helm.chart.content.v1.tar+gzip"), "layer 1 is of media type"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let limits = Limits { layer_bytes: 9, ..Limits::default() };
        let large = Document::read(manifest("application/vnd.oci.image.layer.v1.tar").as_bytes(), &limits);
        assert!(matches!(large, Err(DocumentError::Large { what: "layer", .. })));
        let limits = Limits { layers: 0, ..Limits::default() };
        let many = Document::read(manifest("application/vnd.oci.image.layer.v1.tar").as_bytes(), &limits);
        assert!(matches!(many, Err(DocumentError::ManyLayers { .. })));
    }

    #[test]
    fn the_image_of_an_index_is_the_one_for_the_machine() {
        let entry = |platform: &str| {
            let platform: Platform = platform.parse().unwrap();
            let platform = serde_json::to_string(&platform).unwrap();
            let digest = digest(&platform);
            format!(r#"{{"mediaType":"{}","digest":"{digest}","size":1,"platform":{platform}}}"#, ACCEPTED[1])
        };
        let offered = ["linux/amd64", "linux/arm/v6", "linux/arm/v7", "unknown/unknown"];
        let entries: Vec<String> = offered.iter().map(|platform| entry(platform)).collect();
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
        let Document::Index(index) = read(&text).unwrap() else { panic!("an index") };
        for (wanted, found) in [("linux/amd64", 0), ("linux/arm/v7", 2), ("linux/arm/v6", 1)] {
            assert_eq!(choose(&index, &wanted.parse().unwrap()).unwrap(), &index[found], "{wanted}");
        }
        let error = choose(&index, &"linux/s390x".parse().unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("there is no image for linux/s390x; the index has linux/amd64, "), "{error}");
    }
}
