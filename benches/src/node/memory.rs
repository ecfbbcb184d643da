//! What the supervision of a pod weighs, once the pod has settled: with a probe at work, and a log that has been rotated.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

/// Pods that are weighed; the median counts.
pub const PODS: usize = 20;
/// A variable of the containers by which their processes are found, on either side.
const MARK: &str = "FERROFLOW_BENCH_SIDE";
/// Every process of one of our containers has it; what lacks it belongs to the supervision.
const CONTAINER: &str = "FERROFLOW_CONTAINER_ID=";
/// More than a log file holds before it is rotated, in the first moments, and a line a second from then on.
const SCRIPT: &str = "yes 'one line of a log that is long enough to be one' | head -n 260000; \
    while :; do echo still here; sleep 1; done";

/// A pod with an exec probe that prints all the time.
pub fn pod(name: &str, side: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"bench": "memory"}}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/sh", "-c", SCRIPT], "env": [{"name": MARK, "value": side}],
            "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 5, "timeoutSeconds": 5}}]}})
}

/// What one pod's supervision weighs, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weight {
    /// Dirty pages that these processes have to themselves, also those that they share with each other: a helper that
    /// was forked off its supervisor has most of its pages in common with it, and neither calls them private.
    pub own: u64,
    /// Dirty pages that each of the processes has for itself alone.
    pub private: u64,
    pub processes: usize,
}

/// Weighs the supervisors, whose program has `program` in its command line, of all pods of a side.
///
/// # Errors
/// When there are not as many as pods.
pub fn weigh(side: &str, program: &str) -> anyhow::Result<Vec<Weight>> {
    let parents: BTreeMap<u32, u32> = processes().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mark = format!("{MARK}={side}");
    let mut supervisors: Vec<u32> = parents
        .keys()
        .filter(|pid| has_variable(**pid, |variable| variable == mark.as_bytes()))
        .filter_map(|pid| ancestors(&parents, *pid).find(|pid| is_program(*pid, program)))
        .collect();
    supervisors.sort_unstable();
    supervisors.dedup();
    ensure!(supervisors.len() == PODS, "{} supervisors of {PODS} pods were found", supervisors.len());
    let mut weights = Vec::new();
    for supervisor in supervisors {
        let mut weight = Weight::default();
        for pid in parents.keys().filter(|pid| is_of(&parents, **pid, supervisor)) {
            // What was started for a probe may be gone.
            let Ok((own, private)) = dirty(*pid) else { continue };
            weight.own += own;
            weight.private += private;
            weight.processes += 1;
        }
        weights.push(weight);
    }
    Ok(weights)
}

/// Whether a process is the supervisor, or a helper that it keeps beside the containers: the same program.
fn is_of(parents: &BTreeMap<u32, u32>, pid: u32, supervisor: u32) -> bool {
    let is_below = ancestors(parents, pid).any(|above| above == supervisor);
    let has_same_program = || exe(pid).is_some_and(|exe| Some(exe) == self::exe(supervisor));
    pid == supervisor
        || is_below && has_same_program() && !has_variable(pid, |one| one.starts_with(CONTAINER.as_bytes()))
}

fn ancestors(parents: &BTreeMap<u32, u32>, pid: u32) -> impl Iterator<Item = u32> + '_ {
    std::iter::successors(parents.get(&pid).copied(), |pid| parents.get(pid).copied()).take(64)
}

/// The ids of all processes.
pub fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn exe(pid: u32) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

fn has_variable(pid: u32, is_it: impl Fn(&[u8]) -> bool) -> bool {
    let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    variables.split(|byte| *byte == 0).any(is_it)
}

fn is_program(pid: u32, program: &str) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).take(2).any(|word| word.ends_with(program.as_bytes()))
}

/// Dirty memory, of shared pages the process's share, and what is private of it, in bytes.
fn dirty(pid: u32) -> anyhow::Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    Ok((field(&text, "Pss_Dirty:")?, field(&text, "Private_Dirty:")?))
}

fn field(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_smaps_is_read_in_bytes() {
        let text = "Rss:  4 kB\nPss_Dirty:           12 kB\nPrivate_Dirty:        8 kB\n";
        assert_eq!(field(text, "Private_Dirty:").unwrap(), 8192);
        assert_eq!(field(text, "Pss_Dirty:").unwrap(), 12288);
        assert!(field(text, "Swap:").is_err());
    }

    #[test]
    fn ancestors_end_at_the_first_process() {
        let parents = BTreeMap::from([(9, 5), (5, 1), (1, 0)]);
        assert_eq!(ancestors(&parents, 9).collect::<Vec<_>>(), [5, 1, 0]);
    }
}
