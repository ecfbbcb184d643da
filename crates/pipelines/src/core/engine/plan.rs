//! A DAG with its edges counted, made once for all instances of it.

use std::collections::HashMap;

use crate::core::ir::Dag;

/// Edges of a DAG, by slot: the place of a task among the sorted keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    slots: HashMap<String, usize>,
    /// What each task waits for.
    pub(super) depends: Vec<Vec<usize>>,
    /// What waits for each task.
    pub(super) dependents: Vec<Vec<usize>>,
}

impl Plan {
    pub(super) fn of(dag: &Dag) -> Self {
        let slots: HashMap<String, usize> = dag.tasks.keys().cloned().zip(0..).collect();
        let mut plan = Self { depends: Vec::new(), dependents: vec![Vec::new(); slots.len()], slots };
        for (slot, task) in dag.tasks.values().enumerate() {
            let mut depends: Vec<usize> = task.depends.iter().filter_map(|key| plan.slot(key)).collect();
            depends.sort_unstable();
            depends.dedup();
            for on in &depends {
                plan.dependents[*on].push(slot);
            }
            plan.depends.push(depends);
        }
        plan
    }

    pub(super) fn slot(&self, key: &str) -> Option<usize> {
        self.slots.get(key).copied()
    }
}
