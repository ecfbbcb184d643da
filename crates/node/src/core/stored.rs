//! What is shown of images in the store: ids, messages, and the Node's list. The words are those of a kubelet
//! (`pkg/kubelet/images/image_manager.go`, `pkg/kubelet/nodestatus/setters.go`).

use std::{collections::BTreeMap, time::Duration};

use ferroflow_images::core::{digest::Digest, record::NameRecord, reference::Reference};
use k8s_openapi::api::core::v1::{Container, ContainerImage};

/// Images that a Node's status lists, and names of one: a kubelet's bounds.
const MOST_LISTED: usize = 50;
const MOST_NAMES: usize = 5;

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Always,
    IfNotPresent,
    Never,
}

impl Policy {
    /// The container's policy; the API server has set one.
    pub fn of(container: &Container) -> Self {
        match container.image_pull_policy.as_deref() {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            _ => Self::IfNotPresent,
        }
    }
}

/// What a container's status says of its image: the repository and the digest there.
pub fn image_id(image: &Reference, target: &Digest) -> String {
    format!("{}/{}@{target}", image.registry, image.repository)
}

/// What is told when an image was pulled.
pub fn pulled(name: &str, took: Duration, with_waiting: Duration, size_bytes: u64) -> String {
    let (took, all) = (seconds(took), seconds(with_waiting));
    format!("Successfully pulled image {name:?} in {took} ({all} including waiting). Image size: {size_bytes} bytes.")
}

/// A time as Go prints it, in milliseconds: `0s`, `532ms`, `1.204s`, `2m3.5s`.
pub fn seconds(time: Duration) -> String {
    let milliseconds = time.as_millis();
    if milliseconds == 0 || milliseconds >= 1000 {
        let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000);
        let fraction = format!("{:03}", rest % 1000);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        let minutes = match (minutes / 60, minutes % 60) {
            (0, 0) => String::new(),
            (0, minutes) => format!("{minutes}m"),
            (hours, minutes) => format!("{hours}h{minutes}m"),
        };
        return format!("{minutes}{}{point}{fraction}s", rest / 1000);
    }
    format!("{milliseconds}ms")
}

/// Why a text is no name of an image, as the runtime tells it.
pub fn invalid_name(name: &str) -> String {
    let bare = name.split(['@']).next().unwrap_or_default();
    let path = bare.split_once('/').map_or(bare, |(_, path)| path);
    let upper = path.bytes().any(|byte| byte.is_ascii_uppercase());
    let why = if upper && name.parse::<Reference>().is_err() && name.to_lowercase().parse::<Reference>().is_ok() {
        format!("invalid reference format: repository name ({bare}) must be lowercase")
    } else {
        "invalid reference format".to_owned()
    };
    format!("Failed to apply default image tag {name:?}: couldn't parse image name {name:?}: {why}")
}

/// The record of an image among those that are there: that of its name, or, where it is named by its digest, any of
/// the repository that has it.
pub fn find<'a>(image: &Reference, records: &'a [NameRecord]) -> Option<&'a NameRecord> {
    let name = image.to_string();
    if let Some(found) = records.iter().find(|record| record.name == name) {
        return Some(found);
    }
    let digest = image.digest.as_ref()?;
    records.iter().find(|record| {
        let same = |other: Reference| other.registry == image.registry && other.repository == image.repository;
        (record.target == *digest || record.manifest == *digest) && record.name.parse().is_ok_and(same)
    })
}

/// The list in a Node's status, from the images that are there with their sizes in bytes; the largest come first.
pub fn listed(images: &[(NameRecord, u64)]) -> Vec<ContainerImage> {
    let mut all: BTreeMap<&Digest, (Vec<String>, Vec<String>, u64)> = BTreeMap::new();
    for (record, size_bytes) in images {
        let Ok(name) = record.name.parse::<Reference>() else { continue };
        let (digests, tags, size) = all.entry(&record.config).or_default();
        let by_digest = image_id(&name, &record.target);
        if !digests.contains(&by_digest) {
            digests.push(by_digest);
        }
        if name.digest.is_none() {
            tags.push(record.name.clone());
        }
        *size = *size_bytes;
    }
    let mut rows: Vec<(u64, Vec<String>)> = all
        .into_values()
        .map(|(digests, tags, size)| (size, digests.into_iter().chain(tags).take(MOST_NAMES).collect()))
        .collect();
    rows.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    rows.truncate(MOST_LISTED);
    let row =
        |(size, names): (u64, Vec<String>)| ContainerImage { names: Some(names), size_bytes: i64::try_from(size).ok() };
    rows.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, content: &str) -> NameRecord {
        let digest = |what: &str| Digest::of(format!("{what} {content}").as_bytes());
        NameRecord {
            version: 1,
            name: name.to_owned(),
            manifest: digest("manifest"),
            target: digest("index"),
            config: digest("config"),
            platform: "linux/amd64".parse().unwrap(),
            layers: Vec::new(),
            pulled_s: 0,
            used_s: 0,
        }
    }

    #[test]
    fn times_are_shown_as_go_shows_them() {
        for (milliseconds, text) in [
            (0, "0s"),
            (532, "532ms"),
            (1000, "1s"),
            (1204, "1.204s"),
            (1500, "1.5s"),
            (60_000, "1m0s"),
            (123_500, "2m3.5s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(
            pulled("a", Duration::from_millis(5), Duration::from_millis(7), 9),
            "Successfully pulled image \"a\" in 5ms (7ms including waiting). Image size: 9 bytes."
        );
    }

    #[test]
    fn a_name_that_is_none_is_told_in_upstreams_words() {
        assert!(invalid_name("bad name").ends_with("couldn't parse image name \"bad name\": invalid reference format"));
        assert!(invalid_name("reg:5/Upper:1").ends_with("repository name (reg:5/Upper:1) must be lowercase"));
    }

    #[test]
    fn an_image_is_found_by_its_name_or_by_a_digest_of_its_repository() {
        let records = [record("docker.io/library/a:1", "x"), record("quay.io/a/b:1", "y")];
        let found = |name: &str| find(&name.parse().unwrap(), &records).map(|record| record.name.as_str());
        assert_eq!(found("a:1"), Some("docker.io/library/a:1"));
        assert_eq!(found("a"), None);
        let (index, manifest) = (&records[1].target, &records[1].manifest);
        assert_eq!(found(&format!("quay.io/a/b@{index}")), Some("quay.io/a/b:1"));
        assert_eq!(found(&format!("quay.io/a/b:2@{manifest}")), Some("quay.io/a/b:1"));
        assert_eq!(found(&format!("quay.io/a/c@{index}")), None);
    }

    #[test]
    fn a_node_lists_its_images_with_all_their_names_the_largest_first() {
        let (small, large) =
            (record("a:1".parse::<Reference>().unwrap().to_string().as_str(), "x"), record("quay.io/b:2", "y"));
        let other = NameRecord { name: "docker.io/library/a:2".to_owned(), ..small.clone() };
        let list = listed(&[(small.clone(), 5), (other, 5), (large.clone(), 9)]);
        assert_eq!(list.len(), 2);
        assert_eq!(list[0].size_bytes, Some(9));
        assert_eq!(
            list[0].names.as_ref().unwrap()[..],
            [format!("quay.io/b@{}", large.target), "quay.io/b:2".to_owned()]
        );
        let names = list[1].names.as_ref().unwrap();
        assert_eq!(names[0], format!("docker.io/library/a@{}", small.target));
        assert_eq!(names[1..], ["docker.io/library/a:1", "docker.io/library/a:2"]);
        let many: Vec<(NameRecord, u64)> =
            (0..60).map(|n| (record(&format!("quay.io/x:{n}"), &n.to_string()), n)).collect();
        assert_eq!(listed(&many).len(), 50);
    }
}
