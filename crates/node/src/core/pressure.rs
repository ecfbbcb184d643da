//! Whether a node counts as being under pressure: a condition stays for a while after its cause has gone, so that pods
//! do not come and go with it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::evict::{Low, Resource};

/// When a node was low last.
#[derive(Clone, Debug)]
pub struct Pressure {
    last: BTreeMap<Resource, Timestamp>,
    /// How long a condition stays: a kubelet's `evictionPressureTransitionPeriod`.
    stays: Duration,
}

/// What a node's condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub condition: &'static str,
    pub status: &'static str,
    pub reason: &'static str,
    pub message: &'static str,
}

impl Pressure {
    /// A node that has not been low.
    pub fn new(stays: Duration) -> Self {
        Self { last: BTreeMap::new(), stays }
    }

    /// Takes what the node is low on now.
    pub fn observe(&mut self, low: &[Low], now: Timestamp) {
        self.last.extend(low.iter().map(|low| (low.resource, now)));
        let stays = self.stays;
        self.last.retain(|_, at| Duration::try_from(now.duration_since(*at)).is_ok_and(|since| since < stays));
    }

    /// The node's conditions.
    pub fn rows(&self) -> [Row; 2] {
        let row = |resource: Resource, yes: (&'static str, &'static str), no: (&'static str, &'static str)| {
            let is = self.last.contains_key(&resource);
            let (reason, message) = if is { yes } else { no };
            Row { condition: resource.condition(), status: if is { "True" } else { "False" }, reason, message }
        };
        [
            row(
                Resource::Memory,
                ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
                ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ),
            row(
                Resource::Disk,
                ("KubeletHasDiskPressure", "kubelet has disk pressure"),
                ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_outlives_its_cause_for_a_while() {
        let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        let low = Low { resource: Resource::Disk, threshold: "1".to_owned(), available: "0".to_owned() };
        let mut pressure = Pressure::new(Duration::from_secs(300));
        let statuses = |pressure: &Pressure| pressure.rows().map(|row| row.status);
        pressure.observe(&[], at(0));
        assert_eq!(statuses(&pressure), ["False", "False"]);
        pressure.observe(&[low], at(10));
        assert_eq!(statuses(&pressure), ["False", "True"]);
        pressure.observe(&[], at(309));
        assert_eq!(pressure.rows()[1].reason, "KubeletHasDiskPressure");
        pressure.observe(&[], at(310));
        assert_eq!(pressure.rows()[1].reason, "KubeletHasNoDiskPressure");
    }
}
