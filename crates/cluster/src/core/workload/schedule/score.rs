//! Which of the nodes that fit is best?
//!
//! Each wish is brought to 0 to 100 over the nodes that fit and weighted as upstream's default profile does.

use k8s_openapi::api::core::v1::Pod;

use super::{NodeState, Snapshot, affinity, node, resources, spread};
use crate::core::workload::taint::tolerates;

const TAINTS_WEIGHT: i64 = 3;
const NODE_AFFINITY_WEIGHT: i64 = 2;
const POD_AFFINITY_WEIGHT: i64 = 2;
const SPREAD_WEIGHT: i64 = 2;
const BEST: i64 = 100;
/// What a pod that asks for no CPU is counted with, in thousandths of a core, so that such pods spread too.
const ASSUMED_CPU: i64 = 100;
/// What a pod that asks for no memory is counted with: 200 MiB.
const ASSUMED_MEMORY: i64 = 200 * 1024 * 1024;

/// The best of the nodes; of equals the first by name.
pub fn best(pod: &Pod, names: &[&str], snapshot: &Snapshot) -> Option<String> {
    let states: Vec<&NodeState> = names.iter().filter_map(|name| snapshot.nodes.get(*name)).collect();
    if let [only] = states.as_slice() {
        return Some(only.name().to_owned());
    }
    let spec = pod.spec.clone().unwrap_or_default();
    let wishes: [(i64, Vec<i64>); 4] = [
        (TAINTS_WEIGHT, states.iter().map(|state| -unwelcome(pod, state)).collect()),
        (NODE_AFFINITY_WEIGHT, states.iter().map(|state| node::preference(&spec, &state.node)).collect()),
        (POD_AFFINITY_WEIGHT, states.iter().map(|state| affinity::preference(pod, state, snapshot)).collect()),
        (SPREAD_WEIGHT, states.iter().map(|state| -spread::crowding(pod, state, snapshot)).collect()),
    ];
    let wishes: Vec<(i64, Vec<i64>)> =
        wishes.into_iter().map(|(weight, scores)| (weight, normalized(&scores))).collect();
    let wanted = resources::requests(pod);
    let total = |index: usize, state: &NodeState| -> i64 {
        let wished = wishes.iter().map(|(weight, scores)| weight * scores.get(index).copied().unwrap_or(0));
        wished.sum::<i64>() + room_left(&wanted, state)
    };
    let scored = states.iter().enumerate().map(|(index, state)| (total(index, state), *state));
    let best = scored.max_by(|(one, left), (other, right)| one.cmp(other).then_with(|| right.name().cmp(left.name())));
    best.map(|(_, state)| state.name().to_owned())
}

fn normalized(scores: &[i64]) -> Vec<i64> {
    let (least, most) = (scores.iter().min().copied().unwrap_or(0), scores.iter().max().copied().unwrap_or(0));
    let span = most - least;
    scores.iter().map(|score| if span == 0 { 0 } else { (score - least) * BEST / span }).collect()
}

/// Taints that ask pods to stay away and that the pod does not tolerate.
fn unwelcome(pod: &Pod, state: &NodeState) -> i64 {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let soft = state.taints().iter().filter(|taint| taint.effect == "PreferNoSchedule");
    let count = soft.filter(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint))).count();
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The share of CPU and memory that is left when the pod has come, and how balanced the two are.
fn room_left(wanted: &resources::Amounts, state: &NodeState) -> i64 {
    let others: Vec<resources::Amounts> = state.pods.iter().map(|pod| resources::requests(pod)).collect();
    let left = |name: &str, assumed: i64| -> i64 {
        let all = state.allocatable.get(name).copied().unwrap_or(0);
        let of = |amounts: &resources::Amounts| amounts.get(name).copied().filter(|one| *one > 0).unwrap_or(assumed);
        let used = others.iter().chain([wanted]).map(of).sum::<i64>();
        if all <= 0 { 0 } else { (all - used).max(0).saturating_mul(BEST) / all }
    };
    let (cpu, memory) = (left("cpu", ASSUMED_CPU), left("memory", ASSUMED_MEMORY));
    (cpu + memory) / 2 + BEST - (cpu - memory).abs() / 2
}
