//! What pods of a node share out among them: addresses, devices, ports.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::Ipv4Addr,
    sync::{Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::sync::Notify;

use super::ports::{Ports, Sharing};
use crate::{
    core::{
        address,
        device::{self, Devices},
        quantity,
        spec::{self, Role},
    },
    runtime::PodRecord,
};

/// What a pod holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Share {
    pub address: String,
    /// By container.
    pub devices: BTreeMap<String, Devices>,
}

struct State {
    last_address: Option<Ipv4Addr>,
    shares: HashMap<String, Share>,
    ports: Ports,
}

/// The pool of one node.
pub struct Pool {
    capacity: BTreeMap<String, u32>,
    host_address: String,
    state: Mutex<State>,
    released: Notify,
}

impl Pool {
    /// A pool with so many devices of each resource.
    pub fn new(capacity: BTreeMap<String, u32>, host_address: String, sharing: Sharing) -> Self {
        let state = State { last_address: None, shares: HashMap::new(), ports: Ports::new(sharing) };
        Self { capacity, host_address, state: Mutex::new(state), released: Notify::new() }
    }

    /// The address that a pod has.
    pub fn address(&self, uid: &str) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.shares.get(uid).map(|share| share.address.clone())
    }

    /// The devices of the node.
    pub fn capacity(&self) -> &BTreeMap<String, u32> {
        &self.capacity
    }

    /// Takes back what a pod held under an earlier agent.
    pub fn adopt(&self, record: &PodRecord) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let share = Share { address: record.address.clone(), devices: record.devices.clone() };
        state.last_address = state.last_address.max(share.address.parse().ok());
        state.shares.insert(record.uid.clone(), share);
    }

    /// Takes the ports of a pod that an earlier agent left, before its worker does.
    pub fn hold_ports(&self, pod: &Pod, uid: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ports.adopt(pod, uid);
    }

    /// The object of a pod is gone: its ports soon are free.
    pub fn leave(&self, uid: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ports.leave(uid);
    }

    /// Takes the ports of the host that a pod wants which is new to the node; not where another pod has one.
    pub fn admit(&self, pod: &Pod, uid: &str) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ports.admit(pod, uid)
    }

    /// Gives a pod what it needs: the same again when it has it already.
    ///
    /// # Errors
    /// The reason and message of the event when something is taken.
    pub fn take(&self, pod: &Pod, uid: &str) -> Result<Share, (&'static str, String)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = state.shares.get(uid).cloned() {
            state.ports.adopt(pod, uid);
            return Ok(share);
        }
        let devices = self.devices(pod, &state)?;
        state.ports.claim(pod, uid).map_err(|message| ("PortInUse", message))?;
        let address = if pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true)) {
            self.host_address.clone()
        } else {
            let used: BTreeSet<Ipv4Addr> =
                state.shares.values().filter_map(|share| share.address.parse().ok()).collect();
            let Some(next) = address::next(state.last_address, &used) else {
                state.ports.release(uid);
                return Err(("FailedCreatePodSandBox", "no pod address is free".to_owned()));
            };
            state.last_address = Some(next);
            next.to_string()
        };
        let share = Share { address, devices };
        state.shares.insert(uid.to_owned(), share.clone());
        Ok(share)
    }

    fn devices(&self, pod: &Pod, state: &State) -> Result<BTreeMap<String, Devices>, (&'static str, String)> {
        let containers = pod.spec.as_ref().map(spec::containers).unwrap_or_default();
        let mut chosen: BTreeMap<String, Devices> = BTreeMap::new();
        // Init containers last: they have ended when the others start, and may use the same devices.
        let (inits, others): (Vec<_>, Vec<_>) = containers.into_iter().partition(|(role, _)| *role == Role::Init);
        for (role, container) in others.into_iter().chain(inits) {
            let wanted = self.wanted(&container);
            if wanted.is_empty() {
                continue;
            }
            let own = chosen.values().filter(|_| role != Role::Init);
            let held = state.shares.values().flat_map(|share| share.devices.values()).chain(own);
            let devices = device::allocate(&wanted, &self.capacity, held).map_err(|(resource, free)| {
                let message = format!(
                    "Allocate failed due to requested number of devices unavailable for {resource}. Requested: {}, Available: {free}, which is unexpected",
                    wanted.get(&resource).copied().unwrap_or(0)
                );
                ("UnexpectedAdmissionError", message)
            })?;
            chosen.insert(container.name, devices);
        }
        Ok(chosen)
    }

    fn wanted(&self, container: &Container) -> BTreeMap<String, u32> {
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        let count = |resource: &String| {
            let count = quantity::whole_of(limits, resource).and_then(|count| u32::try_from(count).ok())?;
            (count > 0).then(|| (resource.clone(), count))
        };
        self.capacity.keys().filter_map(count).collect()
    }

    /// Gives back everything but the address, which stays in the pod's status.
    pub fn rest(&self, uid: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = state.shares.get_mut(uid) {
            share.devices.clear();
        }
        state.ports.release(uid);
        drop(state);
        self.released.notify_waiters();
    }

    /// Gives back everything.
    pub fn release(&self, uid: &str) {
        self.rest(uid);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).shares.remove(uid);
    }

    /// Completes when something has been given back.
    pub async fn released(&self) {
        self.released.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(init: u32, main: u32) -> Pod {
        let container = |name: &str, count: u32| json!({"name": name, "resources": {"limits": {"nvidia.com/gpu": count.to_string()}}});
        let spec = json!({"initContainers": [container("i", init)], "containers": [container("a", main)]});
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_pod_gets_the_same_share_again_and_gives_it_back_once() {
        let pool =
            Pool::new(BTreeMap::from([(device::NVIDIA_GPU.to_owned(), 2)]), "10.200.0.1".to_owned(), Sharing::AllPorts);
        let share = pool.take(&pod(2, 1), "1").unwrap();
        assert_eq!(share.address, "10.244.0.2");
        assert_eq!(share.devices["a"][device::NVIDIA_GPU], [0]);
        assert_eq!(share.devices["i"][device::NVIDIA_GPU], [0, 1]);
        assert_eq!(pool.take(&pod(2, 1), "1").unwrap(), share);
        let (reason, message) = pool.take(&pod(0, 1), "2").unwrap_err();
        assert_eq!(reason, "UnexpectedAdmissionError");
        assert!(message.contains("nvidia.com/gpu. Requested: 1, Available: 0"), "{message}");
        pool.rest("1");
        assert_eq!(pool.take(&pod(0, 1), "2").unwrap().address, "10.244.0.3");
    }
}
