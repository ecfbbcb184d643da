//! A cluster of objects that own each other: actions are carried out and fed back until all is quiet.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

struct Served;

impl Kinds for Served {
    fn namespaced(&self, api_version: &str, kind: &str) -> Option<bool> {
        match (api_version, kind) {
            ("v1", "ConfigMap") => Some(true),
            ("v1", "Node") => Some(false),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Cluster {
    graph: Graph,
    objects: BTreeMap<String, Meta>,
    revision: u64,
    log: Vec<String>,
}

fn resource(kind: &str) -> Arc<ResourceId> {
    Arc::new(ResourceId {
        group: String::new(),
        version: "v1".into(),
        kind: kind.into(),
        plural: format!("{}s", kind.to_lowercase()),
        namespaced: kind != "Node",
    })
}

fn owner(uid: &str, blocks: bool) -> OwnerRef {
    OwnerRef {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        name: uid.into(),
        uid: uid.into(),
        controller: None,
        block_owner_deletion: blocks.then_some(true),
    }
}

impl Cluster {
    fn started() -> Self {
        let mut cluster = Self::default();
        assert!(cluster.graph.loaded(&Served).is_empty());
        cluster
    }

    fn create(&mut self, uid: &str, owners: &[OwnerRef]) {
        let meta = Meta {
            resource: resource("ConfigMap"),
            namespace: "ns".into(),
            name: uid.into(),
            uid: uid.into(),
            resource_version: 0,
            owners: owners.into(),
            finalizers: Box::default(),
            deleting: false,
        };
        self.store(meta);
    }

    fn store(&mut self, mut meta: Meta) {
        self.revision += 1;
        meta.resource_version = self.revision;
        let actions = if meta.deleting && meta.finalizers.is_empty() {
            self.objects.remove(&*meta.uid);
            self.graph.observe(Change::Delete { uid: meta.uid }, &Served)
        } else {
            self.objects.insert(meta.uid.to_string(), meta.clone());
            self.graph.observe(Change::Upsert(meta), &Served)
        };
        self.act(actions);
    }

    fn delete(&mut self, uid: &str, propagation: Propagation) {
        let Some(mut meta) = self.objects.get(uid).cloned() else { return };
        if !meta.deleting {
            meta.deleting = true;
            match propagation {
                Propagation::Background => {}
                Propagation::Foreground => meta.finalizers = [FOREGROUND.to_owned()].into(),
                Propagation::Orphan => meta.finalizers = [ORPHAN.to_owned()].into(),
            }
            self.store(meta);
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Delete { target, propagation } => {
                    if self.is_current(&target) {
                        self.log.push(format!("delete {} {}", target.uid, propagation.as_str()));
                        self.delete(&target.uid, propagation);
                    }
                }
                Action::SetOwners { target, owners } => self.change(&target, |meta| meta.owners = owners.into()),
                Action::SetFinalizers { target, finalizers } => {
                    self.change(&target, |meta| meta.finalizers = finalizers.into())
                }
                Action::Warn { note, .. } => self.log.push(note),
            }
        }
    }

    fn is_current(&self, target: &Target) -> bool {
        self.objects.get(&*target.uid).is_some_and(|meta| meta.resource_version == target.resource_version)
    }

    fn change(&mut self, target: &Target, edit: impl FnOnce(&mut Meta)) {
        if self.is_current(target) {
            let mut meta = self.objects[&*target.uid].clone();
            edit(&mut meta);
            self.store(meta);
        }
    }

    fn names(&self) -> Vec<&str> {
        self.objects.keys().map(String::as_str).collect()
    }
}

#[test]
fn dependents_follow_an_owner_that_is_deleted_in_the_background() {
    let mut cluster = Cluster::started();
    cluster.create("a", &[]);
    cluster.create("b", &[owner("a", true)]);
    cluster.create("c", &[owner("b", true)]);
    cluster.delete("a", Propagation::Background);
    assert!(cluster.names().is_empty());
    assert_eq!(cluster.log, ["delete b Background", "delete c Background"]);
}

#[test]
fn an_object_with_another_owner_stays_and_forgets_the_one_that_went() {
    let mut cluster = Cluster::started();
    cluster.create("a", &[]);
    cluster.create("b", &[]);
    cluster.create("c", &[owner("a", true), owner("b", true)]);
    cluster.delete("a", Propagation::Background);
    assert_eq!(cluster.names(), ["b", "c"]);
    assert_eq!(*cluster.objects["c"].owners, [owner("b", true)]);
}

#[test]
fn an_owner_in_the_foreground_waits_for_the_dependents_that_block_it() {
    let mut cluster = Cluster::started();
    cluster.create("a", &[]);
    cluster.create("b", &[owner("a", true)]);
    let mut held = cluster.objects["b"].clone();
    held.finalizers = ["example.com/hold".to_owned()].into();
    cluster.store(held);
    cluster.create("c", &[owner("a", false)]);
    cluster.delete("a", Propagation::Foreground);
    assert_eq!(cluster.names(), ["a", "b"]);
    let mut free = cluster.objects["b"].clone();
    free.finalizers = Box::default();
    cluster.store(free);
    assert!(cluster.names().is_empty());
}

#[test]
fn a_dependent_with_dependents_goes_in_the_foreground_too() {
    let mut cluster = Cluster::started();
    cluster.create("a", &[]);
    cluster.create("b", &[owner("a", true)]);
    cluster.create("c", &[owner("b", true)]);
    cluster.delete("a", Propagation::Foreground);
    assert!(cluster.names().is_empty());
    assert_eq!(cluster.log, ["delete b Foreground", "delete c Background"]);
}

#[test]
fn a_dependent_with_another_owner_survives_the_foreground_deletion_of_one() {
    let mut cluster = Cluster::started();
    cluster.create("a", &[]);
    cluster.create("z", &[]);
    cluster.create("b", &[owner("a", true), owner("z", false)]);
    cluster.delete("a", Propagation::Foreground);
    assert_eq!(cluster.names(), ["b", "z"]);
}

#[test]
fn a_circle_of_owners_does_not_hold_a_foreground_deletion() {
    let mut cluster = Cluster::started();
    cluster.create("a", &[owner("c", true)]);
    cluster.create("c", &[owner("b", true)]);
    cluster.create("b", &[owner("a", true)]);
    cluster.objects.clear();
    let mut cluster = Cluster::default();
    for (uid, of) in [("a", "c"), ("b", "a"), ("c", "b")] {
        let meta = Meta {
            resource: resource("ConfigMap"),
            namespace: "ns".into(),
            name: uid.into(),
            uid: uid.into(),
            resource_version: 0,
            owners: [owner(of, true)].into(),
            finalizers: Box::default(),
            deleting: false,
        };
        cluster.objects.insert(uid.into(), meta.clone());
        cluster.graph.load(meta);
    }
    let actions = cluster.graph.loaded(&Served);
    assert!(actions.is_empty());
    cluster.delete("a", Propagation::Foreground);
    assert!(cluster.names().is_empty());
}

#[test]
fn orphaned_dependents_stay_and_forget_their_owner() {
    let mut cluster = Cluster::started();
    cluster.create("a", &[]);
    cluster.create("b", &[owner("a", true)]);
    cluster.create("c", &[owner("a", true)]);
    cluster.delete("a", Propagation::Orphan);
    assert_eq!(cluster.names(), ["b", "c"]);
    assert!(cluster.objects.values().all(|meta| meta.owners.is_empty()));
}

#[test]
fn an_object_whose_owner_never_existed_is_deleted() {
    let mut cluster = Cluster::started();
    cluster.create("b", &[owner("nobody", true)]);
    assert!(cluster.names().is_empty());
}

#[test]
fn a_reference_with_the_right_uid_and_a_wrong_name_dangles() {
    let mut cluster = Cluster::started();
    cluster.create("a", &[]);
    let wrong = OwnerRef { name: "other".into(), ..owner("a", true) };
    cluster.create("b", &[wrong]);
    assert_eq!(cluster.names(), ["a"]);
}

#[test]
fn an_owner_of_a_kind_that_is_not_served_is_never_judged() {
    let mut cluster = Cluster::started();
    let alien = OwnerRef { api_version: "example.com/v1".into(), kind: "Alien".into(), ..owner("x", true) };
    cluster.create("b", &[alien]);
    assert_eq!(cluster.names(), ["b"]);
}

#[test]
fn an_owner_in_another_namespace_is_told_about_once_and_counts_as_absent() {
    let mut cluster = Cluster::started();
    cluster.create("a", &[]);
    let mut moved = cluster.objects["a"].clone();
    moved.namespace = "elsewhere".into();
    cluster.store(moved);
    cluster.create("b", &[owner("a", false)]);
    assert_eq!(cluster.names(), ["a"]);
    assert_eq!(
        cluster.log,
        [
            "ownerRef [v1/ConfigMap, namespace: ns, name: a, uid: a] does not exist in namespace \"ns\"",
            "delete b Background"
        ]
    );
}

#[test]
fn nothing_is_decided_before_everything_is_loaded() {
    let mut cluster = Cluster::default();
    cluster.create("b", &[owner("a", true)]);
    assert_eq!(cluster.names(), ["b"]);
    let actions = cluster.graph.loaded(&Served);
    assert_eq!(actions.len(), 1);
}

proptest! {
    /// Whatever is deleted in whatever way: at rest, every object that names owners has one that exists
    /// and none that does not, and asking again changes nothing.
    #[test]
    fn at_rest_every_owner_reference_leads_to_an_owner(
        edges in prop::collection::vec((0..12usize, 0..12usize, any::<bool>()), 0..30),
        deletions in prop::collection::vec((0..12usize, 0..3u8), 0..8),
    ) {
        let mut cluster = Cluster::started();
        for node in 0..12usize {
            let mut owners: Vec<OwnerRef> = Vec::new();
            for (from, to, blocks) in &edges {
                // Only to objects that exist already: no circles here.
                let uid = format!("n{to:02}");
                if *from == node && to < from && owners.iter().all(|one| *one.uid != *uid) {
                    owners.push(owner(&uid, *blocks));
                }
            }
            cluster.create(&format!("n{node:02}"), &owners);
        }
        for (node, how) in deletions {
            let propagation = [Propagation::Background, Propagation::Foreground, Propagation::Orphan][usize::from(how)];
            cluster.delete(&format!("n{node:02}"), propagation);
        }
        for meta in cluster.objects.values() {
            prop_assert!(!meta.deleting, "{} still waits", meta.uid);
            for reference in &meta.owners {
                prop_assert!(cluster.objects.contains_key(&*reference.uid), "{} dangles", meta.uid);
            }
        }
        let objects: Vec<String> = cluster.objects.keys().cloned().collect();
        for uid in objects {
            prop_assert!(cluster.graph.again(&uid, &Served).is_empty());
        }
        prop_assert!(cluster.graph.len() == cluster.objects.len());
    }
}
