use std::net::Ipv4Addr;

use ferroflow_node::core::network::Target;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::bed::{Bed, holds, pod};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_table_knows_the_clusters_own_services() {
    let bed = Bed::start().await;
    let table = bed.table();
    let api = (Ipv4Addr::LOCALHOST, bed.cluster.cluster.https.port());
    assert_eq!(table.services["10.96.0.1:443/TCP"].backends, [api]);
    assert_eq!((table.block, table.dns_port), (bed.network.block(), bed.network.dns().port()));
    assert!(table.services.contains_key("10.96.0.10:53/UDP"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_in_the_table_once_it_is_ready_and_out_when_it_is_not() {
    let bed = Bed::start().await;
    let service = bed.service("web", json!({"ports": [{"port": 80}]})).await;
    let key = format!("{}:80/TCP", service.spec.unwrap().cluster_ip.unwrap());
    let target = || bed.table().services.get(&key).cloned();
    holds("the service is in the table", || async { target() == Some(Target::default()) }).await;
    bed.slice("web", "TCP", 8080, json!([{"addresses": [pod(5)], "conditions": {"ready": false}}])).await;
    let ready = json!([{"op": "replace", "path": "/endpoints/0/conditions", "value": {"ready": true}}]);
    let ready = Patch::<()>::Json(serde_json::from_value(ready).unwrap());
    bed.slices().patch("web", &PatchParams::default(), &ready).await.unwrap();
    let backends = || target().map(|target| target.backends).unwrap_or_default();
    holds("the endpoint is in the table", || async { backends() == [(pod(5), 8080)] }).await;
    bed.slices().delete("web", &DeleteParams::default()).await.unwrap();
    holds("the endpoint is out", || async { backends().is_empty() }).await;
    bed.services().delete("web", &DeleteParams::default()).await.unwrap();
    holds("the service is out", || async { target().is_none() }).await;
}
