//! Which images and layers go when room is needed: unused ones, those that were last used longest ago first.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    digest::Digest,
    record::{NameRecord, UseRecord},
};

/// What lies in a store.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    pub names: Vec<NameRecord>,
    /// Unpacked layers with the bytes that they take.
    pub layers: BTreeMap<Digest, u64>,
    /// Manifests and configurations.
    pub blobs: BTreeSet<Digest>,
    /// Who runs from what: that stays, with its names, whatever is asked for.
    pub uses: Vec<UseRecord>,
}

impl Stored {
    /// Who runs from the image of this name, also from layers that another image has now.
    pub fn holders(&self, name: &str) -> Vec<&str> {
        let Some(record) = self.names.iter().find(|record| record.name == name) else { return Vec::new() };
        let uses = self.uses.iter().filter(|used| used.manifest == record.manifest);
        let mut holders: Vec<&str> = uses.map(|used| used.holder.as_str()).collect();
        holders.dedup();
        holders
    }
}

/// How much goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// What no name needs.
    Unnamed,
    /// Also every image that nothing uses.
    Unused,
    /// Also unused images, until layers take no more than this many bytes.
    AtMost { size_bytes: u64 },
}

/// What is to be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Names, in the order in which they go.
    pub names: Vec<String>,
    pub layers: BTreeSet<Digest>,
    pub blobs: BTreeSet<Digest>,
    pub freed_bytes: u64,
}

/// Decides what goes. Images in use stay, and those that were pulled in this second or later, whatever the goal.
pub fn plan(stored: &Stored, goal: Goal, pulled_before_s: u64) -> Plan {
    let in_use: BTreeSet<&Digest> = stored.uses.iter().map(|used| &used.manifest).collect();
    let goes = |record: &&NameRecord| !in_use.contains(&record.manifest) && record.pulled_s < pulled_before_s;
    let mut staying: Vec<&NameRecord> = stored.names.iter().collect();
    let mut leaving: Vec<&NameRecord> = stored.names.iter().filter(goes).collect();
    leaving.sort_by(|one, other| (one.used_s, &one.name).cmp(&(other.used_s, &other.name)));
    let mut plan = Plan::default();
    for record in leaving {
        let goes = match goal {
            Goal::Unnamed => false,
            Goal::Unused => true,
            Goal::AtMost { size_bytes } => size(stored, &needed(stored, &staying)) > size_bytes,
        };
        if goes {
            staying.retain(|other| other.name != record.name);
            plan.names.push(record.name.clone());
        }
    }
    rest(stored, &staying, &mut plan);
    plan
}

/// What goes when some names are taken away: they, and what no other name and nobody who runs needs.
pub fn plan_removal(stored: &Stored, names: &BTreeSet<String>) -> Plan {
    let staying: Vec<&NameRecord> = stored.names.iter().filter(|record| !names.contains(&record.name)).collect();
    let mut plan = Plan { names: names.iter().cloned().collect(), ..Plan::default() };
    rest(stored, &staying, &mut plan);
    plan
}

fn rest(stored: &Stored, staying: &[&NameRecord], plan: &mut Plan) {
    let layers = needed(stored, staying);
    let named = staying.iter().flat_map(|record| [&record.manifest, &record.config]);
    let used = stored.uses.iter().flat_map(|used| [&used.manifest, &used.config]);
    let blobs: BTreeSet<&Digest> = named.chain(used).collect();
    plan.layers = stored.layers.keys().filter(|layer| !layers.contains(layer)).cloned().collect();
    plan.blobs = stored.blobs.iter().filter(|blob| !blobs.contains(blob)).cloned().collect();
    plan.freed_bytes = plan.layers.iter().filter_map(|layer| stored.layers.get(layer)).sum();
}

fn needed<'a>(stored: &'a Stored, names: &[&'a NameRecord]) -> BTreeSet<&'a Digest> {
    let used = stored.uses.iter().flat_map(|used| &used.layers);
    names.iter().flat_map(|record| &record.layers).chain(used).collect()
}

fn size(stored: &Stored, layers: &BTreeSet<&Digest>) -> u64 {
    layers.iter().filter_map(|layer| stored.layers.get(*layer)).sum()
}

/// How many bytes layers may take so that a file system is at most `most_percent` full, when `used_bytes` of its
/// `total_bytes` are taken and layers take `layers_bytes`.
pub fn allowance(total_bytes: u64, used_bytes: u64, layers_bytes: u64, most_percent: u8) -> u64 {
    let allowed = u128::from(total_bytes) * u128::from(most_percent) / 100;
    let allowed = u64::try_from(allowed).unwrap_or(u64::MAX);
    layers_bytes.saturating_sub(used_bytes.saturating_sub(allowed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn record(name: &str, layers: &[&str], used_s: u64) -> NameRecord {
        NameRecord {
            version: 1,
            name: name.to_owned(),
            manifest: digest(&format!("manifest {name}")),
            target: digest(&format!("manifest {name}")),
            config: digest(&format!("config {name}")),
            platform: "linux/amd64".parse().unwrap(),
            layers: layers.iter().map(|layer| digest(layer)).collect(),
            pulled_s: 0,
            used_s,
        }
    }

    fn used(image: &str, layers: &[&str]) -> UseRecord {
        UseRecord {
            version: 1,
            key: image.to_owned(),
            holder: "pod a/b".to_owned(),
            while_exists: "/".into(),
            manifest: digest(&format!("manifest {image}")),
            config: digest(&format!("config {image}")),
            layers: layers.iter().map(|layer| digest(layer)).collect(),
        }
    }

    /// Three images on one base; `old` was used first.
    fn stored() -> Stored {
        let names =
            vec![record("new", &["base", "n"], 30), record("old", &["base", "o"], 10), record("mid", &["m"], 20)];
        let layers = [("base", 100), ("n", 10), ("o", 20), ("m", 40), ("none", 5)];
        let blobs = names.iter().flat_map(|one| [one.manifest.clone(), one.config.clone()]).chain([digest("stray")]);
        Stored {
            blobs: blobs.collect(),
            layers: layers.into_iter().map(|(name, size)| (digest(name), size)).collect(),
            names,
            uses: Vec::new(),
        }
    }

    #[test]
    fn what_no_name_needs_goes_first() {
        let plan = plan(&stored(), Goal::Unnamed, 1);
        assert!(plan.names.is_empty());
        assert_eq!(plan.layers, BTreeSet::from([digest("none")]));
        assert_eq!((plan.blobs, plan.freed_bytes), (BTreeSet::from([digest("stray")]), 5));
    }

    #[test]
    fn images_go_by_their_last_use_until_there_is_room() {
        for (most, names) in [
            (170, vec![]),
            (169, vec!["old"]),
            (150, vec!["old"]),
            (149, vec!["old", "mid"]),
            (109, vec!["old", "mid", "new"]),
        ] {
            let plan = plan(&stored(), Goal::AtMost { size_bytes: most }, 1);
            assert_eq!(plan.names, names, "{most}");
        }
    }

    #[test]
    fn an_image_in_use_stays_with_its_layers() {
        let mut stored = stored();
        stored.uses.push(used("old", &["base", "o"]));
        let plan = plan(&stored, Goal::Unused, 1);
        assert_eq!(plan.names, ["mid", "new"]);
        assert_eq!(plan.layers, BTreeSet::from([digest("n"), digest("m"), digest("none")]));
        assert_eq!((stored.holders("old"), stored.holders("new").len()), (vec!["pod a/b"], 0));
    }

    #[test]
    fn what_runs_keeps_its_layers_when_its_name_has_gone_to_another_image() {
        let mut stored = stored();
        stored.uses.push(used("of old", &["none"]));
        stored.blobs.insert(digest("manifest of old"));
        let plan = plan(&stored, Goal::Unnamed, 1);
        assert_eq!((plan.layers.len(), plan.blobs), (0, BTreeSet::from([digest("stray")])));
        let removal = plan_removal(&stored, &BTreeSet::from(["mid".to_owned()]));
        assert_eq!(removal.layers, BTreeSet::from([digest("m")]));
    }

    #[test]
    fn an_image_that_was_just_pulled_stays() {
        let mut stored = stored();
        stored.names[1].pulled_s = 100;
        assert_eq!(plan(&stored, Goal::Unused, 100).names, ["mid", "new"]);
        assert_eq!(plan(&stored, Goal::Unused, 101).names, ["old", "mid", "new"]);
    }

    #[test]
    fn a_layer_that_another_image_needs_stays() {
        let plan = plan_removal(&stored(), &BTreeSet::from(["old".to_owned()]));
        assert_eq!(plan.layers, BTreeSet::from([digest("o"), digest("none")]));
        assert!(plan.blobs.contains(&digest("config old")) && !plan.blobs.contains(&digest("config new")));
    }

    #[test]
    fn the_allowance_is_what_brings_the_disk_below_its_bound() {
        assert_eq!(allowance(1000, 900, 300, 80), 200);
        assert_eq!(allowance(1000, 900, 50, 80), 0);
        assert_eq!(allowance(1000, 500, 50, 80), 50);
    }

    proptest! {
        #[test]
        fn nothing_that_a_name_needs_is_removed(most in 0_u64..200, used in proptest::collection::vec(0_u64..5, 3)) {
            let mut stored = stored();
            for (record, used_s) in stored.names.iter_mut().zip(used) {
                record.used_s = used_s;
            }
            let plan = plan(&stored, Goal::AtMost { size_bytes: most }, 1);
            let staying = stored.names.iter().filter(|record| !plan.names.contains(&record.name));
            for record in staying {
                prop_assert!(record.layers.iter().all(|layer| !plan.layers.contains(layer)));
                prop_assert!(!plan.blobs.contains(&record.manifest) && !plan.blobs.contains(&record.config));
            }
            let left: u64 = stored.layers.values().sum::<u64>() - plan.freed_bytes;
            prop_assert!(left <= most || plan.names.len() == stored.names.len());
        }
    }
}
