use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::slices::{MAX_ENDPOINTS, Plan};
use super::*;

fn service(spec: Value) -> Service {
    let mut spec = spec;
    for (key, value) in
        [("selector", json!({"app": "a"})), ("clusterIP", json!("10.96.0.1")), ("ipFamilies", json!(["IPv4"]))]
    {
        if spec.get(key).is_none() {
            spec[key] = value;
        }
    }
    let object =
        json!({"metadata": {"name": "s", "namespace": "ns", "uid": "s-uid", "labels": {"team": "x"}}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

fn web() -> Service {
    service(json!({"ports": [{"name": "http", "port": 80, "targetPort": "web"}]}))
}

fn pod(name: &str, ip: &str, ready: bool) -> Pod {
    let ready = if ready { "True" } else { "False" };
    let last = ip.rsplit('.').next().unwrap();
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "ns", "uid": format!("{name}-uid"), "labels": {"app": "a"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 8000 + last.parse::<i32>().unwrap() % 2}]}]},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": ready}]}}))
    .unwrap()
}

fn slices(service: &Service, pods: &[Pod], standing: &[EndpointSlice]) -> Plan {
    let pods: Vec<&Pod> = pods.iter().collect();
    let standing: Vec<&EndpointSlice> = standing.iter().collect();
    super::slices::plan(service, &pods, &|_| Some("zone-1".to_owned()), &standing)
}

/// The slices after a plan was carried out.
fn carried_out(plan: &Plan, standing: &[EndpointSlice]) -> Vec<EndpointSlice> {
    let mut after: Vec<EndpointSlice> = standing.to_vec();
    after.retain(|slice| !plan.delete.iter().any(|name| slice.metadata.name.as_ref() == Some(name)));
    for new in &plan.replace {
        let old = after.iter_mut().find(|slice| slice.metadata.name == new.metadata.name).unwrap();
        *old = new.clone();
    }
    for new in plan.create.clone() {
        let mut new = new;
        new.metadata.name = Some(format!("s-{}", after.len() + 100 * standing.len()));
        after.push(new);
    }
    after
}

#[test]
fn a_slice_names_service_manager_ports_and_the_state_of_each_pod() {
    let plan = slices(&web(), &[pod("a", "10.0.0.2", true), pod("b", "10.0.0.4", false)], &[]);
    let slice = serde_json::to_value(&plan.create[0]).unwrap();
    assert_eq!(slice["metadata"]["generateName"], "s-");
    assert_eq!(
        slice["metadata"]["labels"],
        json!({"team": "x", "kubernetes.io/service-name": "s", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"})
    );
    assert_eq!(slice["ports"], json!([{"name": "http", "port": 8000, "protocol": "TCP"}]));
    let first = json!({"addresses": ["10.0.0.2"], "conditions": {"ready": true, "serving": true, "terminating": false},
        "nodeName": "n", "zone": "zone-1", "targetRef": {"kind": "Pod", "namespace": "ns", "name": "a", "uid": "a-uid"}});
    assert_eq!(slice["endpoints"][0], first);
    assert_eq!(slice["endpoints"][1]["conditions"], json!({"ready": false, "serving": false, "terminating": false}));
}

#[test]
fn pods_with_other_numbers_behind_a_port_name_get_a_slice_of_their_own() {
    let plan = slices(&web(), &[pod("a", "10.0.0.2", true), pod("b", "10.0.0.3", true)], &[]);
    let ports: Vec<i32> = plan.create.iter().map(|slice| slice.ports.as_ref().unwrap()[0].port.unwrap()).collect();
    assert_eq!(ports, [8000, 8001]);
}

#[test]
fn a_service_without_pods_keeps_one_empty_slice() {
    let first = slices(&web(), &[], &[]);
    assert_eq!((first.create.len(), first.create[0].endpoints.len()), (1, 0));
    let standing = carried_out(&first, &[]);
    assert_eq!(slices(&web(), &[], &standing), Plan::default());
    let later = slices(&web(), &[pod("a", "10.0.0.2", true)], &standing);
    assert_eq!((later.create.len(), later.replace.len(), later.delete.len()), (0, 1, 0));
}

#[test]
fn terminating_pods_serve_but_are_not_ready_unless_all_addresses_are_published() {
    let mut going = pod("a", "10.0.0.2", true);
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2030-01-01T00:00:00Z")).unwrap();
    let conditions = |service: &Service| {
        let plan = slices(service, std::slice::from_ref(&going), &[]);
        serde_json::to_value(&plan.create[0].endpoints[0].conditions).unwrap()
    };
    assert_eq!(conditions(&web()), json!({"ready": false, "serving": true, "terminating": true}));
    let open = service(json!({"publishNotReadyAddresses": true, "ports": [{"port": 80}]}));
    assert_eq!(conditions(&open), json!({"ready": true, "serving": true, "terminating": true}));
}

#[test]
fn headless_services_are_marked_and_give_hostnames() {
    let headless = service(json!({"clusterIP": "None"}));
    let mut named = pod("a", "10.0.0.2", true);
    let spec = named.spec.as_mut().unwrap();
    (spec.hostname, spec.subdomain) = (Some("h".into()), Some("s".into()));
    let plan = slices(&headless, &[named.clone()], &[]);
    assert_eq!(plan.create[0].metadata.labels.as_ref().unwrap()[HEADLESS], "");
    assert_eq!(plan.create[0].endpoints[0].hostname.as_deref(), Some("h"));
    let endpoints = super::endpoints::plan(&headless, &[&named], None).unwrap();
    assert_eq!(endpoints.subsets.unwrap()[0].addresses.as_ref().unwrap()[0].hostname.as_deref(), Some("h"));
}

#[test]
fn endpoints_group_addresses_by_ports_and_readiness() {
    let pods = [pod("a", "10.0.0.2", true), pod("b", "10.0.0.4", false), pod("c", "10.0.0.6", true)];
    let pods: Vec<&Pod> = pods.iter().collect();
    let made = super::endpoints::plan(&web(), &pods, None).unwrap();
    let json = serde_json::to_value(&made).unwrap();
    let ips = |list: &Value| {
        list.as_array().unwrap().iter().map(|one| one["ip"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ips(&json["subsets"][0]["addresses"]), ["10.0.0.2", "10.0.0.6"]);
    assert_eq!(ips(&json["subsets"][0]["notReadyAddresses"]), ["10.0.0.4"]);
    assert_eq!(json["subsets"][0]["ports"], json!([{"name": "http", "port": 8000, "protocol": "TCP"}]));
    assert_eq!(json["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"], "endpoint-controller");
    assert_eq!(super::endpoints::plan(&web(), &pods, Some(&made)), None);
}

#[test]
fn more_than_a_thousand_addresses_are_truncated_and_said_to_be() {
    let pods: Vec<Pod> =
        (0..1100).map(|n| pod(&format!("p{n}"), &format!("10.0.{}.{}", n / 100, 2 * (n % 100)), true)).collect();
    let pods: Vec<&Pod> = pods.iter().collect();
    let made = super::endpoints::plan(&web(), &pods, None).unwrap();
    assert_eq!(made.subsets.as_ref().unwrap()[0].addresses.as_ref().unwrap().len(), 1000);
    assert_eq!(made.metadata.annotations.unwrap()["endpoints.kubernetes.io/over-capacity"], "truncated");
}

#[test]
fn endpoints_made_by_hand_are_mirrored_and_the_mirror_follows() {
    let by_hand: Endpoints = serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "ns", "uid": "e"},
        "subsets": [{"addresses": [{"ip": "10.1.1.1"}], "notReadyAddresses": [{"ip": "10.1.1.2"}], "ports": [{"port": 80}]}]}))
    .unwrap();
    let mut plain = service(json!({"ports": [{"port": 80}]}));
    plain.spec.as_mut().unwrap().selector = None;
    let plan = super::mirror::plan(Some(&by_hand), Some(&plain), &[]);
    assert_eq!(plan.create.len(), 1);
    let ready: Vec<_> = plan.create[0].endpoints.iter().map(|one| one.conditions.as_ref().unwrap().ready).collect();
    assert_eq!(ready, [Some(true), Some(false)]);
    let standing = carried_out(&plan, &[]);
    let standing: Vec<&EndpointSlice> = standing.iter().collect();
    assert_eq!(super::mirror::plan(Some(&by_hand), Some(&plain), &standing), Plan::default());
    let mut skipping = by_hand.clone();
    skipping
        .metadata
        .labels
        .get_or_insert_default()
        .insert("endpointslice.kubernetes.io/skip-mirror".into(), "true".into());
    assert_eq!(super::mirror::plan(Some(&skipping), Some(&plain), &standing).delete.len(), 1);
    assert_eq!(super::mirror::plan(Some(&by_hand), Some(&web()), &standing).delete.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// From any slices to any pods: one plan is enough, every pod stands in exactly one slice, and no
    /// slice is too large.
    #[test]
    fn one_plan_is_enough(first in prop::collection::btree_set(0..400u16, 0..260), second in prop::collection::btree_set(0..400u16, 0..260)) {
        let pods = |numbers: &std::collections::BTreeSet<u16>| -> Vec<Pod> {
            numbers.iter().map(|n| pod(&format!("p{n}"), &format!("10.0.{}.{}", n / 200, n % 200), n % 3 != 0)).collect()
        };
        let mut standing = Vec::new();
        for numbers in [&first, &second] {
            let pods = pods(numbers);
            standing = carried_out(&slices(&web(), &pods, &standing), &standing);
            prop_assert_eq!(slices(&web(), &pods, &standing), Plan::default());
            let mut named: Vec<String> = standing.iter().flat_map(|slice| &slice.endpoints)
                .map(|one| one.target_ref.as_ref().unwrap().name.clone().unwrap()).collect();
            named.sort();
            let mut expect: Vec<String> = numbers.iter().map(|n| format!("p{n}")).collect();
            expect.sort();
            prop_assert_eq!(named, expect);
            prop_assert!(standing.iter().all(|slice| slice.endpoints.len() <= MAX_ENDPOINTS));
        }
    }
}
