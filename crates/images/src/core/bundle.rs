//! What is in an archive of images, by what its own lists say: the OCI layout, and the older form of `docker save`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{
    digest::Digest,
    document::{DocumentError, Listed, choose},
    manifest::{Descriptor, image_manifest},
    platform::Platform,
    reference::Reference,
};

/// The full name that containerd, docker and this program write.
const FULL_NAME: &str = "io.containerd.image.name";
/// A name or only a tag, as other programs write it.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// One image of `manifest.json` in the older form.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Saved {
    /// The member that is the configuration.
    pub config: String,
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    /// The members that are layers, from the lowest up.
    pub layers: Vec<String>,
}

/// Reads `manifest.json` in the older form.
///
/// # Errors
/// [`DocumentError::Json`] when it is something else.
pub fn read_saved(bytes: &[u8]) -> Result<Vec<Saved>, DocumentError> {
    serde_json::from_slice(bytes).map_err(|source| DocumentError::Json { what: "manifest.json", source })
}

/// The images of an index with their names. An image without a name gets `given`; `None` where there is none either.
///
/// # Errors
/// When several images of one name are none for the platform.
pub fn named<'a>(
    index: &'a [Listed],
    platform: &Platform,
    given: Option<&Reference>,
) -> Result<Option<Vec<(Reference, &'a Listed)>>, DocumentError> {
    let mut groups: BTreeMap<Option<Reference>, Vec<Listed>> = BTreeMap::new();
    for listed in index {
        groups.entry(name_of(listed)).or_default().push(listed.clone());
    }
    let has_names = groups.keys().any(Option::is_some);
    let mut images = Vec::new();
    for (name, group) in &groups {
        let chosen = match group.as_slice() {
            [one] => one,
            several => choose(several, platform)?,
        };
        let name = match (name, given) {
            (Some(name), _) => name,
            (None, Some(given)) => given,
            // Beside images with names these are signatures and the like.
            (None, None) if has_names => continue,
            (None, None) => return Ok(None),
        };
        images.extend(index.iter().find(|listed| *listed == chosen).map(|listed| (name.clone(), listed)));
    }
    Ok(Some(images))
}

fn name_of(listed: &Listed) -> Option<Reference> {
    let full = listed.annotations.get(FULL_NAME);
    let other = listed.annotations.get(REF_NAME).filter(|name| name.contains(['/', ':']));
    full.or(other).and_then(|name| name.parse().ok())
}

/// The names of an image in the older form; those that are none are left out.
pub fn names_of(saved: &Saved, given: Option<&Reference>) -> BTreeSet<Reference> {
    let tags = saved.repo_tags.iter().flatten().filter_map(|tag| tag.parse().ok());
    let names: BTreeSet<Reference> = tags.collect();
    if names.is_empty() { given.cloned().into_iter().collect() } else { names }
}

/// A manifest for an image that has none.
///
/// # Errors
/// When serde refuses, which it does for none of these types.
pub fn manifest_for(config: &[u8], layers: &[(Digest, u64)]) -> Result<Vec<u8>, DocumentError> {
    let layers: Vec<Descriptor> =
        layers.iter().map(|(digest, size_bytes)| Descriptor::layer(digest.clone(), *size_bytes)).collect();
    image_manifest(config, &layers).map_err(|source| DocumentError::Json { what: "manifest", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(seed: &str, annotations: &[(&str, &str)], platform: Option<&str>) -> Listed {
        Listed {
            media_type: super::super::document::ACCEPTED[1].to_owned(),
            digest: Digest::of(seed.as_bytes()),
            size: 1,
            platform: platform.map(|platform| platform.parse().unwrap()),
            annotations: annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn names(index: &[Listed], given: Option<&str>) -> Option<Vec<String>> {
        let given = given.map(|name| name.parse().unwrap());
        let found = named(index, &"linux/amd64".parse().unwrap(), given.as_ref()).unwrap()?;
        Some(found.iter().map(|(name, listed)| format!("{name} {}", &listed.digest.hex()[..4])).collect())
    }

    #[test]
    fn names_are_those_of_any_program() {
        let a = &Digest::of(b"a").hex()[..4].to_owned();
        for annotations in [
            &[(FULL_NAME, "docker.io/library/x:1"), (REF_NAME, "1")][..],
            &[(REF_NAME, "x:1")],
            &[(REF_NAME, "docker.io/library/x:1")],
        ] {
            let found = names(&[listed("a", annotations, None), listed("signature", &[], None)], None);
            assert_eq!(found, Some(vec![format!("docker.io/library/x:1 {a}")]));
        }
        let tag_only = [listed("a", &[(REF_NAME, "1")], None)];
        assert_eq!(names(&tag_only, None), None);
        assert_eq!(names(&tag_only, Some("y:2")), Some(vec![format!("docker.io/library/y:2 {a}")]));
    }

    #[test]
    fn of_one_name_for_several_platforms_the_fitting_image_is_taken() {
        let name = [(REF_NAME, "x:1")];
        let index = [listed("b", &name, Some("linux/arm64")), listed("a", &name, Some("linux/amd64"))];
        let a = &Digest::of(b"a").hex()[..4].to_owned();
        assert_eq!(names(&index, None), Some(vec![format!("docker.io/library/x:1 {a}")]));
    }

    #[test]
    fn the_older_form_lists_members() {
        let saved = read_saved(br#"[{"Config":"c.json","RepoTags":["a:1","b:2"],"Layers":["x/layer.tar"]}]"#).unwrap();
        assert_eq!((saved[0].config.as_str(), saved[0].layers.len()), ("c.json", 1));
        let names: Vec<String> = names_of(&saved[0], None).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["docker.io/library/a:1", "docker.io/library/b:2"]);
        assert!(read_saved(b"{}").is_err());
    }
}
