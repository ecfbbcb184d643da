//! What pods and the node have used over the last while, kept in memory and bounded by the pods that are here.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use ferroflow_platform::kubelet::{ContainerFigures, ContainerUsage, NodeFigures, PodFigures};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::core::history::{History, Point};

/// The histories of a node.
#[derive(Default)]
pub struct Figures {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    node: History,
    pods: HashMap<String, OfPod>,
}

#[derive(Default)]
struct OfPod {
    namespace: String,
    name: String,
    containers: BTreeMap<String, History>,
}

impl Figures {
    /// Adds what a pod's containers use now; those that do not run any more are forgotten.
    pub fn add(&self, pod: &Pod, uid: &str, usage: &[ContainerUsage], at: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let of = state.pods.entry(uid.to_owned()).or_default();
        of.namespace = pod.metadata.namespace.clone().unwrap_or_default();
        of.name = pod.metadata.name.clone().unwrap_or_default();
        of.containers.retain(|name, _| usage.iter().any(|one| one.name == *name));
        for one in usage {
            let point = Point { at, cpu_nanoseconds: one.cpu_nanoseconds_total, memory_bytes: one.memory_bytes };
            of.containers.entry(one.name.clone()).or_default().add(point);
        }
    }

    /// Adds what the node uses now, and forgets pods that are not among these.
    pub fn settle(&self, node: Point, uids: &HashSet<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.node.add(node);
        state.pods.retain(|uid, _| uids.contains(uid));
    }

    /// What pods use: those of which all running containers are known.
    pub fn pods(&self) -> Vec<PodFigures> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |pod: &OfPod| {
            let uses = pod.containers.iter().map(|(name, history)| Some((name, history.now()?)));
            let uses: Vec<_> = uses.collect::<Option<_>>()?;
            let (_, first) = uses.first()?;
            let containers = uses.iter().map(|(name, used)| ContainerFigures {
                name: (*name).clone(),
                cpu_nanocores: used.cpu_nanocores,
                memory_bytes: used.memory_bytes,
            });
            Some(PodFigures {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                at: first.at,
                window: first.window,
                containers: containers.collect(),
            })
        };
        state.pods.values().filter_map(of).collect()
    }

    /// What the node uses.
    pub fn node(&self, name: &str) -> Option<NodeFigures> {
        let used = self.state.lock().unwrap_or_else(PoisonError::into_inner).node.now()?;
        Some(NodeFigures {
            name: name.to_owned(),
            at: used.at,
            window: used.window,
            cpu_nanocores: used.cpu_nanocores,
            memory_bytes: used.memory_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_told_of_once_all_its_containers_are_known() {
        let pod: Pod =
            serde_json::from_value(serde_json::json!({"metadata": {"name": "p", "namespace": "n"}})).unwrap();
        let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        let usage = |names: &[&str], cpu: u64| -> Vec<ContainerUsage> {
            let one =
                |name: &&str| ContainerUsage { name: (*name).to_owned(), cpu_nanoseconds_total: cpu, memory_bytes: 7 };
            names.iter().map(one).collect()
        };
        let figures = Figures::default();
        figures.add(&pod, "1", &usage(&["a"], 0), at(0));
        figures.add(&pod, "1", &usage(&["a", "b"], 5_000_000_000), at(10));
        assert_eq!(figures.pods(), []);
        figures.add(&pod, "1", &usage(&["a", "b"], 6_000_000_000), at(20));
        let found = figures.pods().remove(0);
        assert_eq!((found.name.as_str(), found.containers.len()), ("p", 2));
        assert_eq!(found.containers[0].cpu_nanocores, 100_000_000);
        let node = |seconds| Point { at: at(seconds), cpu_nanoseconds: 0, memory_bytes: 9 };
        figures.settle(node(0), &HashSet::from(["1".to_owned()]));
        assert_eq!((figures.pods().len(), figures.node("n")), (1, None));
        figures.settle(node(10), &HashSet::new());
        assert_eq!((figures.pods().len(), figures.node("n").unwrap().memory_bytes), (0, 9));
    }
}
