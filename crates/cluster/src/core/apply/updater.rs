//! Who owns what after a write: plain updates take what they change, applies own what they state.
//!
//! It works on objects without `metadata.managedFields` and on decoded entries. Rules follow
//! `structured-merge-diff/merge/update.go`. Objects are not converted between API versions: entries of
//! another version of the same kind are taken as if written in this one.

use serde_json::Value;

use super::compare::{Comparison, compare};
use super::conflict::{Conflict, conflicts_of};
use super::element::same;
use super::fieldset::Set;
use super::managed::{Entry, Identity, Managed};
use super::merge::merge;
use super::reset::ResetFields;
use super::shape::{Shape, Shapes};
use super::validate::{Duplicates, validate};
use super::walk::{field_set, reconcile, remove, with_named_fields};

/// One write to an object of one kind.
pub struct Updater<'t, 'r> {
    pub shapes: Shapes<'t>,
    pub root: Shape,
    pub reset: &'r ResetFields,
    pub api_version: &'r str,
    pub kind: &'r str,
}

/// Whether conflicts end an apply or are won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Take over what others own.
    Yes,
    /// Answer with the conflicts.
    No,
}

/// Why an apply did not come about.
pub enum Refusal<'v> {
    /// Others own what would change.
    Conflicts(Vec<Conflict<'v>>),
    /// What is left after pruning is no object of the kind; upstream ends here too.
    Broken(String),
}

impl<'t> Updater<'t, '_> {
    fn compare<'v>(&self, live: &'v Value, new: &'v Value) -> Comparison<'v>
    where
        't: 'v,
    {
        let shapes: Shapes<'v> = self.shapes;
        let comparison = compare(&shapes, self.root, live, new);
        Comparison {
            removed: self.reset.filter(comparison.removed),
            modified: self.reset.filter(comparison.modified),
            added: self.reset.filter(comparison.added),
        }
    }

    /// Drops entries of versions that are not served and fits the others to today's schema.
    fn reconcile(&self, managed: &mut Managed<'_>) {
        managed.entries.retain(|entry| self.is_served(&entry.api_version));
        for entry in &mut managed.entries {
            if let Some(fitted) = reconcile(&self.shapes, self.root, &entry.set) {
                entry.set = fitted;
            }
        }
    }

    fn is_served(&self, api_version: &str) -> bool {
        if api_version == self.api_version {
            return true;
        }
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let own_group = self.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let table = self.shapes.table;
        group == own_group && (table.kinds.len() <= 1 || table.kind(group, version, self.kind).is_some())
    }

    /// The set that a plain write from `live` to `new` comes to own; others lose it.
    pub fn update<'v>(&self, live: &'v Value, new: &'v Value, managed: &mut Managed<'v>) -> Set<'v>
    where
        't: 'v,
    {
        self.reconcile(managed);
        let comparison = self.compare(live, new);
        let changed = comparison.changed();
        for entry in &mut managed.entries {
            lose(entry, &changed, &comparison.removed);
        }
        managed.entries.retain(|entry| !entry.set.is_empty());
        self.reset.filter(changed)
    }

    /// Merges `config` into `live`. The result is none where nothing changes.
    ///
    /// # Errors
    /// The conflicts, unless they are forced; or what pruning broke.
    pub fn apply<'v>(
        &self,
        live: &'v Value,
        config: &'v Value,
        managed: &mut Managed<'v>,
        identity: &Identity,
        force: Force,
    ) -> Result<Option<Value>, Refusal<'v>>
    where
        't: 'v,
    {
        self.reconcile(managed);
        let shapes: Shapes<'v> = self.shapes;
        let merged = merge(&shapes, self.root, live, config);
        let last = managed.remove(identity);
        let time = last.as_ref().and_then(|entry| entry.time.clone());
        let set = self.reset.filter(field_set(&shapes, self.root, config));
        let own = Entry { identity: identity.clone(), api_version: self.api_version.to_owned(), time, set };
        let new = match last.filter(|last| !last.set.is_empty()) {
            None => merged,
            Some(last) => {
                let pruned = prune(&self.shapes, self.root, &merged, managed, &own.set, &last.set);
                validate(&shapes, self.root, &pruned, Duplicates::Allowed)
                    .map_err(|fault| Refusal::Broken(format!("failed to compare objects: {fault}")))?;
                pruned
            }
        };
        let lost = self.losses(live, &new, managed);
        let mut conflicts = Vec::new();
        for (entry, loss) in managed.entries.iter().zip(&lost) {
            conflicts_of(&entry.identity, &loss.taken, &mut conflicts);
        }
        if force == Force::No && !conflicts.is_empty() {
            return Err(Refusal::Conflicts(conflicts));
        }
        for (entry, loss) in managed.entries.iter_mut().zip(lost) {
            entry.set = loss.left;
        }
        managed.entries.push(own);
        managed.entries.retain(|entry| !entry.set.is_empty());
        Ok(if same(live, &new) { None } else { Some(new) })
    }

    /// What each entry loses to a change from `live` to `new`, and what is left.
    fn losses<'v>(&self, live: &Value, new: &Value, managed: &Managed<'v>) -> Vec<Loss<'v>> {
        let comparison = self.compare(live, new);
        let changed = comparison.changed();
        let losses = managed.entries.iter().map(|entry| {
            let taken = entry.set.intersection(&changed);
            let left = entry.set.difference(&taken).difference(&comparison.removed);
            Loss { taken, left }
        });
        losses.collect()
    }
}

struct Loss<'v> {
    taken: Set<'v>,
    left: Set<'v>,
}

fn lose(entry: &mut Entry<'_>, changed: &Set<'_>, removed: &Set<'_>) {
    if !changed.is_empty() {
        entry.set = entry.set.difference(changed);
    }
    if !removed.is_empty() {
        entry.set = entry.set.difference(removed);
    }
}

/// Takes away what the manager applied last time, does not apply now, and nobody else owns.
fn prune(
    shapes: &Shapes<'_>,
    root: Shape,
    merged: &Value,
    managed: &Managed<'_>,
    own: &Set<'_>,
    last: &Set<'_>,
) -> Value {
    let last = with_named_fields(shapes, Some(root), last);
    let merged_set = with_named_fields(shapes, Some(root), &field_set(shapes, root, merged));
    let bare = remove(shapes, root, merged, &last);
    let mut gone = merged_set.difference(&with_named_fields(shapes, Some(root), &field_set(shapes, root, &bare)));
    // What anyone owns comes back, with all the named fields on the way there.
    let owners = managed.entries.iter().map(|entry| &entry.set).chain([own]);
    for owner in owners {
        gone = gone.difference(&with_named_fields(shapes, Some(root), owner));
    }
    let pruned = remove(shapes, root, merged, &gone);
    let pruned_set = with_named_fields(shapes, Some(root), &field_set(shapes, root, &pruned));
    // What the manager did not own before is none of its business.
    remove(shapes, root, merged, &merged_set.difference(&pruned_set).intersection(&last))
}
