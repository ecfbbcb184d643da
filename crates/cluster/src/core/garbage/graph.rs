//! The graph itself: nodes by UID, dependents by owner, and the decision about one node.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::{Action, Change, FOREGROUND, Kinds, Meta, ORPHAN, OwnerRef, Propagation};

/// All objects and their owner references.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: HashMap<Arc<str>, Meta>,
    /// UIDs of the objects that name an owner, by the owner's UID, whether or not the owner exists.
    dependents: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Owners that existed and are gone, as long as somebody still names them. Their kind need not be
    /// served any more.
    gone: HashSet<Arc<str>>,
    /// Owner references of other namespaces that were told about: dependent, owner.
    told: HashSet<(Arc<str>, Arc<str>)>,
    /// False until the first full picture is in; nothing is decided before.
    complete: bool,
}

/// What the owner references of an object lead to.
#[derive(Debug, Default)]
struct Owners<'a> {
    /// Exist and stay.
    solid: Vec<&'a OwnerRef>,
    /// Do not exist.
    dangling: Vec<&'a OwnerRef>,
    /// Wait for their dependents to go.
    waiting: Vec<&'a OwnerRef>,
    /// Cannot be looked up: their kind is not served, or they are namespaced owners of a cluster-scoped
    /// object. Nothing may be decided on them.
    unknown: usize,
}

impl Graph {
    /// Takes in an object that exists at the start, without deciding anything.
    pub fn load(&mut self, meta: Meta) {
        self.insert(meta);
    }

    /// Says that everything that exists is loaded; decides about all of it.
    pub fn loaded(&mut self, kinds: &dyn Kinds) -> Vec<Action> {
        self.complete = true;
        let mut all: Vec<Arc<str>> = self.nodes.keys().cloned().collect();
        all.sort_unstable();
        self.decide_all(all, kinds)
    }

    /// Takes in a change and decides about the objects that it concerns.
    pub fn observe(&mut self, change: Change, kinds: &dyn Kinds) -> Vec<Action> {
        let concerned = match change {
            Change::Upsert(meta) => self.upsert(meta),
            Change::Delete { uid } => self.remove(&uid),
        };
        if !self.complete {
            return Vec::new();
        }
        self.decide_all(concerned, kinds)
    }

    /// Decides anew about one object, for a caller whose action failed for a reason that no change will
    /// tell of.
    pub fn again(&mut self, uid: &str, kinds: &dyn Kinds) -> Vec<Action> {
        self.decide_all(vec![uid.into()], kinds)
    }

    /// Decides about every object that has owners, for when kinds begin or cease to be served.
    pub fn kinds_changed(&mut self, kinds: &dyn Kinds) -> Vec<Action> {
        let mut owned: Vec<Arc<str>> =
            self.nodes.values().filter(|meta| !meta.owners.is_empty()).map(|meta| meta.uid.clone()).collect();
        owned.sort_unstable();
        self.decide_all(owned, kinds)
    }

    /// How many objects the graph holds.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the graph holds nothing.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn upsert(&mut self, meta: Meta) -> Vec<Arc<str>> {
        let uid = meta.uid.clone();
        let mut concerned = vec![uid.clone()];
        let old = self.nodes.get(&uid);
        // Owners that this object no longer names, or no longer holds up, may be able to go on.
        let freed = old.map(|old| old.owners.iter()).into_iter().flatten().filter(|before| {
            let now = meta.owners.iter().find(|now| now.uid == before.uid);
            now.is_none_or(|now| before.blocks() && !now.blocks())
        });
        concerned.extend(freed.map(|owner| owner.uid.clone()));
        let was_waiting = old.is_some_and(Meta::waits_for_dependents);
        let was_known = old.is_some();
        if (meta.waits_for_dependents() && !was_waiting) || !was_known {
            concerned.extend(self.dependents.get(&uid).into_iter().flatten().cloned());
        }
        self.insert(meta);
        concerned
    }

    fn insert(&mut self, meta: Meta) {
        if let Some(old) = self.nodes.get(&meta.uid) {
            let dropped: Vec<Arc<str>> = old
                .owners
                .iter()
                .filter(|before| !meta.owners.iter().any(|now| now.uid == before.uid))
                .map(|owner| owner.uid.clone())
                .collect();
            self.unlink(&meta.uid, &dropped);
        }
        for owner in &meta.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(meta.uid.clone());
        }
        self.nodes.insert(meta.uid.clone(), meta);
    }

    fn remove(&mut self, uid: &Arc<str>) -> Vec<Arc<str>> {
        let Some(old) = self.nodes.remove(uid) else { return Vec::new() };
        let owners: Vec<Arc<str>> = old.owners.iter().map(|owner| owner.uid.clone()).collect();
        self.unlink(uid, &owners);
        let mut concerned: Vec<Arc<str>> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        if !concerned.is_empty() {
            self.gone.insert(uid.clone());
        }
        concerned.extend(owners);
        concerned
    }

    fn unlink(&mut self, dependent: &Arc<str>, owners: &[Arc<str>]) {
        for owner in owners {
            self.told.remove(&(dependent.clone(), owner.clone()));
            let Some(dependents) = self.dependents.get_mut(owner) else { continue };
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
                self.gone.remove(owner);
            }
        }
    }

    fn decide_all(&mut self, uids: Vec<Arc<str>>, kinds: &dyn Kinds) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut seen = BTreeSet::new();
        for uid in uids {
            if seen.insert(uid.clone()) {
                self.warn_of_foreign_owners(&uid, &mut actions);
                self.decide(&uid, kinds, &mut actions);
            }
        }
        actions
    }

    fn decide(&self, uid: &Arc<str>, kinds: &dyn Kinds, actions: &mut Vec<Action>) {
        let Some(meta) = self.nodes.get(uid) else { return };
        if meta.orphans_dependents() {
            return self.decide_orphaning(meta, actions);
        }
        if meta.waits_for_dependents() {
            if !self.dependents_of(uid).any(|dependent| dependent.owners.iter().any(|o| o.uid == *uid && o.blocks())) {
                actions.push(without_finalizer(meta, FOREGROUND));
            }
            return;
        }
        if meta.deleting || meta.owners.is_empty() {
            return;
        }
        let owners = self.classify(meta, kinds);
        if owners.unknown > 0 {
            return;
        }
        if !owners.solid.is_empty() {
            if !owners.dangling.is_empty() || !owners.waiting.is_empty() {
                let owners = owners.solid.into_iter().cloned().collect();
                actions.push(Action::SetOwners { target: meta.target(), owners });
            }
            return;
        }
        if !owners.waiting.is_empty() && self.dependents_of(uid).next().is_some() {
            return self.delete_in_foreground(meta, actions);
        }
        let propagation = match () {
            () if meta.has(ORPHAN) => Propagation::Orphan,
            () if meta.has(FOREGROUND) => Propagation::Foreground,
            () => Propagation::Background,
        };
        actions.push(Action::Delete { target: meta.target(), propagation });
    }

    /// First every dependent forgets the owner; the finalizer goes once none names it any more.
    fn decide_orphaning(&self, meta: &Meta, actions: &mut Vec<Action>) {
        let before = actions.len();
        for dependent in self.dependents_of(&meta.uid) {
            let owners = dependent.owners.iter().filter(|owner| owner.uid != meta.uid).cloned().collect();
            actions.push(Action::SetOwners { target: dependent.target(), owners });
        }
        if actions.len() == before {
            actions.push(without_finalizer(meta, ORPHAN));
        }
    }

    /// A dependent that waits for its own dependents could wait for this object in a circle: then this
    /// object first stops holding up its owners.
    fn delete_in_foreground(&self, meta: &Meta, actions: &mut Vec<Action>) {
        let blocking = meta.owners.iter().any(OwnerRef::blocks);
        if blocking && self.dependents_of(&meta.uid).any(Meta::waits_for_dependents) {
            let mut owners = meta.owners.to_vec();
            owners.iter_mut().filter(|owner| owner.blocks()).for_each(|owner| owner.block_owner_deletion = Some(false));
            // The deletion follows when this change is observed.
            actions.push(Action::SetOwners { target: meta.target(), owners });
            return;
        }
        actions.push(Action::Delete { target: meta.target(), propagation: Propagation::Foreground });
    }

    fn dependents_of<'a>(&'a self, uid: &str) -> impl Iterator<Item = &'a Meta> {
        let dependents = self.dependents.get(uid).into_iter().flatten();
        dependents.filter_map(|uid| self.nodes.get(uid))
    }

    fn classify<'a>(&'a self, meta: &'a Meta, kinds: &dyn Kinds) -> Owners<'a> {
        let mut owners = Owners::default();
        for reference in &meta.owners {
            if self.gone.contains(&reference.uid) {
                owners.dangling.push(reference);
                continue;
            }
            match kinds.namespaced(&reference.api_version, &reference.kind) {
                None => owners.unknown += 1,
                Some(true) if meta.namespace.is_empty() => owners.unknown += 1,
                Some(_) => match self.nodes.get(&reference.uid).filter(|owner| refers(reference, meta, owner)) {
                    None => owners.dangling.push(reference),
                    Some(owner) if owner.waits_for_dependents() => owners.waiting.push(reference),
                    Some(_) => owners.solid.push(reference),
                },
            }
        }
        owners
    }

    fn warn_of_foreign_owners(&mut self, uid: &Arc<str>, actions: &mut Vec<Action>) {
        let Some(meta) = self.nodes.get(uid).filter(|meta| !meta.deleting) else { return };
        for reference in &meta.owners {
            let owner = self.nodes.get(&reference.uid);
            let foreign = owner.is_some_and(|owner| !owner.namespace.is_empty() && owner.namespace != meta.namespace);
            if !foreign || !self.told.insert((uid.clone(), reference.uid.clone())) {
                continue;
            }
            let OwnerRef { api_version, kind, name, uid, .. } = reference;
            let ns = &meta.namespace;
            let note = format!(
                "ownerRef [{api_version}/{kind}, namespace: {ns}, name: {name}, uid: {uid}] does not exist in namespace \
                 \"{ns}\""
            );
            actions.push(Action::Warn { target: meta.target(), reason: "OwnerRefInvalidNamespace", note });
        }
    }
}

/// Whether the owner that a reference's UID leads to is the one that its other fields describe.
fn refers(reference: &OwnerRef, dependent: &Meta, owner: &Meta) -> bool {
    let same_namespace = owner.namespace.is_empty() || owner.namespace == dependent.namespace;
    let same_kind = reference.kind == owner.resource.kind && reference.group() == owner.resource.group;
    same_namespace && same_kind && *reference.name == *owner.name
}

fn without_finalizer(meta: &Meta, finalizer: &str) -> Action {
    let finalizers = meta.finalizers.iter().filter(|name| *name != finalizer).cloned().collect();
    Action::SetFinalizers { target: meta.target(), finalizers }
}
