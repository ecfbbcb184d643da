//! The load balancer of services of type LoadBalancer: gives each a loopback address of its own.
//!
//! Writes `status.loadBalancer` of services that have nothing there or our address; what another has written
//! stays. Services with a class of their own are another's.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ferroflow_platform::{
    clock::SharedClock,
    controller::{Cache, Caches, Controller, Error, EventKind, Key, Next, Reconciler, Recorder},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::doors::Failures;
use crate::core::services::{
    port_number, protocol,
    reach::{self, Door},
    table,
};

struct Balancer {
    block: u8,
    services: Cache<Service>,
    failures: watch::Receiver<Failures>,
    recorder: Recorder,
}

/// Starts the controller.
pub fn register(
    block: u8,
    failures: watch::Receiver<Failures>,
    caches: &Caches,
    recorder: Recorder,
    clock: &SharedClock,
) {
    let services: Cache<Service> = caches.of();
    let controller = Controller::new("load-balancer", clock.clone()).watch(&services);
    let queue = controller.queue();
    let (known, mut changes) = (services.clone(), failures.clone());
    controller.run(&caches.group(), Balancer { block, services, failures, recorder });
    caches.group().spawn("load balancer ports", ferroflow_platform::task::Kind::Essential, async move {
        while changes.changed().await.is_ok() {
            for service in known.list().iter().filter(|service| reach::balancer_address(service, block).is_some()) {
                queue.add(Key::new(service.namespace().unwrap_or_default(), service.name_any()));
            }
        }
        Ok::<(), std::convert::Infallible>(())
    });
}

impl Reconciler for Balancer {
    async fn reconcile(&self, key: Key, _now: Timestamp) -> Result<Next, Error> {
        let Some(service) = self.services.get(&key) else { return Ok(Next::Done) };
        let standing = standing(&service);
        let own = standing.iter().find(|row| is_ours(row, self.block));
        if !reach::is_balanced(&service) {
            if own.is_some() {
                self.services.merge_status(&key, &json!({"status": {"loadBalancer": {"ingress": null}}})).await?;
            }
            self.tell_shut_out(&service);
            return Ok(Next::Done);
        }
        if !standing.is_empty() && own.is_none() {
            return Ok(Next::Done);
        }
        let Some(address) = reach::balancer_address(&service, self.block).or_else(|| self.next(&service)) else {
            let message = "all 254 addresses of the load balancer are given out; delete a service of this type";
            self.recorder.event(&*service, EventKind::Warning, "SyncLoadBalancerFailed", message);
            return Ok(Next::Done);
        };
        let wanted = self.ingress(&service, address);
        if own != Some(&wanted) {
            let is_new = own.is_none();
            if is_new {
                self.recorder.event(&*service, EventKind::Normal, "EnsuringLoadBalancer", "Ensuring load balancer");
            }
            self.services.merge_status(&key, &json!({"status": {"loadBalancer": {"ingress": [wanted]}}})).await?;
            if is_new {
                let asked = service.spec.as_ref().and_then(|spec| spec.load_balancer_ip.clone());
                if let Some(asked) = asked.filter(|asked| !asked.is_empty() && *asked != address.to_string()) {
                    let message =
                        format!("spec.loadBalancerIP {asked} cannot be given: {address} is, one of this host");
                    self.recorder.event(&*service, EventKind::Warning, "LoadBalancerIPNotGiven", message);
                }
                let message = format!("Ensured load balancer at {address}, reached from this host");
                self.recorder.event(&*service, EventKind::Normal, "EnsuredLoadBalancer", message);
            }
        }
        Ok(Next::Done)
    }
}

impl Balancer {
    /// Says why a service that wants a load balancer gets none.
    fn tell_shut_out(&self, service: &Service) {
        let Some(spec) = service.spec.as_ref().filter(|spec| spec.load_balancer_class.is_none()) else { return };
        if spec.type_.as_deref() == Some("LoadBalancer") && !reach::admits_host(spec) {
            let message = "spec.loadBalancerSourceRanges admits no client of this host (127.0.0.1), and a load balancer \
                           here has no others";
            self.recorder.event(service, EventKind::Warning, "SyncLoadBalancerFailed", message);
        }
    }

    fn next(&self, service: &Service) -> Option<Ipv4Addr> {
        let others = self.services.list();
        let used: BTreeSet<Ipv4Addr> =
            others.iter().filter_map(|other| reach::balancer_address(other, self.block)).collect();
        reach::next_balancer(service, self.block, &used)
    }

    /// The address as a status shows it, with an error at each port that is not open.
    fn ingress(&self, service: &Service, address: Ipv4Addr) -> Value {
        let failures = self.failures.borrow();
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()).filter_map(|port| {
            let number = port_number(port.port)?;
            let mut row = json!({"port": number, "protocol": protocol(port)});
            match table::socket_protocol(protocol(port)) {
                None => row["error"] = "ferroflow.dev/ProtocolNotServed".into(),
                Some(protocol) => {
                    if let Some(failure) = failures.get(&Door { address, port: number, protocol }) {
                        row["error"] = failure.as_str().into();
                    }
                }
            }
            Some(row)
        });
        json!({"ip": address, "ipMode": "VIP", "ports": ports.collect::<Vec<_>>()})
    }
}

fn standing(service: &Service) -> Vec<Value> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let rows = status.iter().flat_map(|status| status.ingress.iter().flatten());
    rows.filter_map(|row| serde_json::to_value(row).ok()).collect()
}

fn is_ours(row: &Value, block: u8) -> bool {
    row["ip"].as_str().and_then(|ip| ip.parse().ok()).is_some_and(|address| reach::is_balancer(address, block))
}
