//! Where artifacts lie for a program: URIs of the store as paths, and back.
//!
//! The SDK turns `minio://bucket/key` into `/minio/bucket/key` by itself, and any URI without a scheme that it knows is
//! taken for a path (`kfp/dsl/types/artifact_types.py`). So a step with mounts is told URIs, and one without is told
//! paths below its own directory.

use serde_json::Value;

use super::{resolve::WORKSPACE, value::Artifact};

/// Schemes and the directories that the SDK has for them.
pub const SCHEMES: [(&str, &str); 3] = [("minio://", "minio"), ("s3://", "s3"), ("gs://", "gcs")];

/// The scheme of models that are images.
pub const IMAGE_SCHEME: &str = "oci://";
/// The directory of such an image that the model is in.
pub const MODELS: &str = "/models";

/// The metadata that says that an artifact lies in the workspace.
pub const IN_WORKSPACE: &str = "_kfp_workspace";

/// Where a step's directories are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// The step's directory where nothing is mounted; `None` where `/minio` and the like are.
    pub root: Option<&'a str>,
}

impl Place<'_> {
    /// The path of what lies at a URI of the store; `None` for other URIs, and for those whose path leads elsewhere.
    pub fn path(&self, uri: &str) -> Option<String> {
        let (rest, directory) =
            SCHEMES.iter().find_map(|(scheme, directory)| Some((uri.strip_prefix(scheme)?, directory)))?;
        let is_plain = |part: &str| !matches!(part, "." | "..") && !part.contains('\0');
        if rest.is_empty() || !rest.split('/').all(is_plain) {
            return None;
        }
        Some(format!("{}/{directory}/{rest}", self.root.unwrap_or_default().trim_end_matches('/')))
    }

    /// The URI as a program is told it.
    pub fn shown(&self, uri: &str) -> String {
        match self.root {
            Some(_) => self.path(uri).unwrap_or_else(|| uri.to_owned()),
            None => uri.to_owned(),
        }
    }

    /// The URI that a program means: paths that [`path`](Self::path) made are URIs again, anything else stays.
    pub fn uri(&self, told: &str) -> String {
        let own = SCHEMES.iter().find_map(|(scheme, directory)| {
            let prefix = format!("{}/{directory}/", self.root.unwrap_or_default().trim_end_matches('/'));
            Some(format!("{scheme}{}", told.strip_prefix(&prefix)?))
        });
        own.unwrap_or_else(|| told.to_owned())
    }

    /// Where the directory of a model's image lies, as the SDK has it: `/oci/` and the image with `_` for `/`. `None` for
    /// other URIs, and where nothing is mounted.
    pub fn model_directory(&self, uri: &str) -> Option<String> {
        let image = uri.strip_prefix(IMAGE_SCHEME).filter(|image| !image.is_empty() && self.root.is_none())?;
        Some(format!("/oci/{}", image.replace('/', "_")))
    }

    /// Where the SDK looks for an artifact with these metadata.
    pub fn artifact_path(&self, artifact: &Artifact) -> Option<String> {
        if let Some(directory) = self.model_directory(&artifact.uri) {
            return Some(format!("{directory}{MODELS}"));
        }
        let path = self.path(&artifact.uri)?;
        if artifact.metadata.get(IN_WORKSPACE) == Some(&Value::Bool(true)) {
            return Some(format!("{WORKSPACE}/.artifacts/{}", path.trim_start_matches('/')));
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn uris_of_the_store_are_paths_and_others_are_not() {
        let mounted = Place { root: None };
        let plain = Place { root: Some("/var/w/") };
        for (uri, with_mounts, without) in [
            ("minio://b/k", Some("/minio/b/k"), Some("/var/w/minio/b/k")),
            ("s3://b/k/", Some("/s3/b/k/"), Some("/var/w/s3/b/k/")),
            ("gs://b", Some("/gcs/b"), Some("/var/w/gcs/b")),
            ("gs://b/../c", None, None),
            ("https://a/b", None, None),
            ("/minio/b", None, None),
        ] {
            assert_eq!(mounted.path(uri).as_deref(), with_mounts, "{uri}");
            assert_eq!(plain.path(uri).as_deref(), without, "{uri}");
        }
        let model = Artifact { uri: "oci://host:5000/team/m:1".to_owned(), ..Artifact::default() };
        assert_eq!(mounted.artifact_path(&model).as_deref(), Some("/oci/host:5000_team_m:1/models"));
        assert_eq!(plain.artifact_path(&model), None);
        assert_eq!(mounted.shown("minio://b/k"), "minio://b/k");
        assert_eq!(plain.shown("minio://b/k"), "/var/w/minio/b/k");
        assert_eq!(plain.shown("https://a"), "https://a");
    }

    proptest! {
        #[test]
        fn what_a_program_is_told_leads_back(
            scheme in 0..SCHEMES.len(), rest in "[a-z]{1,5}(/[a-z.]{1,5}x){0,3}", root in proptest::option::of("/[a-z]{1,6}(/minio)?")
        ) {
            let place = Place { root: root.as_deref() };
            let uri = format!("{}{rest}", SCHEMES[scheme].0);
            prop_assert_eq!(place.uri(&place.shown(&uri)), uri.clone());
            prop_assert_eq!(place.uri(&place.path(&uri).unwrap()), uri);
        }
    }
}
