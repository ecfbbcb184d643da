//! Elections on a cluster in this process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ferroflow_platform::{
    clock::SystemClock,
    lease::{Candidate, Leader, Lost, Standing, Terms},
};
use ferroflow_testkit::{TestCluster, wait::eventually};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    client::Body,
};
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

/// A look, which the disk may hold up, has as long as there is between two of them.
const TERMS: Terms =
    Terms { duration: Duration::from_secs(2), renew: Duration::from_millis(300), give_up: Duration::from_millis(1500) };
/// Nobody is silent for so long here.
const LONG: Duration = Duration::from_secs(3600);

fn candidate(cluster: &TestCluster, holder: &str) -> Candidate {
    Candidate {
        client: cluster.client(),
        clock: SystemClock::shared(),
        namespace: "default".to_owned(),
        name: "replicas".to_owned(),
        holder: holder.to_owned(),
        address: format!("{holder}:1"),
        terms: TERMS,
    }
}

struct Running {
    standing: watch::Receiver<Standing>,
    task: JoinHandle<Result<(), Lost>>,
}

impl Running {
    fn start(candidate: Candidate) -> Self {
        let (sender, standing) = watch::channel(Standing::Open);
        Self { standing, task: tokio::spawn(candidate.run(sender)) }
    }

    async fn until(&mut self, wanted: Standing) {
        eventually(&format!("{wanted:?}"), self.standing.wait_for(|now| *now == wanted)).await.unwrap();
    }
}

fn led_by(holder: &str) -> Standing {
    Standing::Following(Leader { holder: holder.to_owned(), address: format!("{holder}:1") })
}

#[tokio::test]
async fn one_leads_and_is_followed_until_it_is_silent_for_as_long_as_its_lease_says() {
    let cluster = TestCluster::server_only().await;
    let mut first = Running::start(candidate(&cluster, "first"));
    first.until(Standing::Leading).await;
    let mut second = Running::start(candidate(&cluster, "second"));
    second.until(led_by("first")).await;
    first.task.abort();
    second.until(Standing::Leading).await;
    let lease = Api::<Lease>::namespaced(cluster.client(), "default").get("replicas").await.unwrap();
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(1));
    // One of the same place that is started again is another candidate.
    let mut again = Running::start(candidate(&cluster, "again"));
    again.until(led_by("second")).await;
}

#[tokio::test]
async fn a_lease_that_is_let_go_is_taken_at_once() {
    let cluster = TestCluster::server_only().await;
    let leaving = candidate(&cluster, "leaving");
    let mut first = Running::start(Candidate { terms: Terms { duration: LONG, ..TERMS }, ..leaving.clone() });
    first.until(Standing::Leading).await;
    let mut second = Running::start(candidate(&cluster, "second"));
    second.until(led_by("leaving")).await;
    first.task.abort();
    let _ = first.task.await;
    leaving.release().await.unwrap();
    second.until(Standing::Leading).await;
    // What is not held is not let go.
    leaving.release().await.unwrap();
    let lease = Api::<Lease>::namespaced(cluster.client(), "default").get("replicas").await.unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some("second"));
}

#[tokio::test]
async fn a_lease_is_let_go_although_a_renewal_comes_between() {
    let cluster = TestCluster::server_only().await;
    let leaving = candidate(&cluster, "leaving");
    let mut running = Running::start(leaving.clone());
    running.until(Standing::Leading).await;
    running.task.abort();
    let _ = running.task.await;
    let (client, is_late) = (cluster.client(), Arc::new(AtomicBool::new(false)));
    let told = is_late.clone();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (client, is_late) = (client.clone(), is_late.clone());
        async move {
            if request.method() == http::Method::PUT && !is_late.swap(true, Ordering::Relaxed) {
                let leases = Api::<Lease>::namespaced(client.clone(), "default");
                let renewal = json!({"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}});
                leases.patch("replicas", &PatchParams::default(), &Patch::Merge(&renewal)).await?;
            }
            client.send(request).await
        }
    });
    Candidate { client: Client::new(service, "default"), ..leaving }.release().await.unwrap();
    assert!(told.load(Ordering::Relaxed));
    let lease = Api::<Lease>::namespaced(cluster.client(), "default").get("replicas").await.unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity, None);
}

#[tokio::test]
async fn who_finds_another_in_its_place_leads_no_more() {
    let cluster = TestCluster::server_only().await;
    let terms = Terms { duration: LONG, give_up: LONG, ..TERMS };
    let mut paused = Running::start(Candidate { terms, ..candidate(&cluster, "paused") });
    paused.until(Standing::Leading).await;
    let leases = Api::<Lease>::namespaced(cluster.client(), "default");
    let other = json!({"spec": {"holderIdentity": "other"}});
    leases.patch("replicas", &PatchParams::default(), &Patch::Merge(&other)).await.unwrap();
    let ended = eventually("it gives up", paused.task).await.unwrap();
    assert!(matches!(&ended, Err(Lost::Taken(holder)) if holder == "other"), "{ended:?}");
}

#[tokio::test]
async fn who_cannot_renew_its_lease_gives_up_before_another_may_take_it() {
    let cluster = TestCluster::server_only().await;
    let mut running = Running::start(Candidate { client: cluster.socket_client(), ..candidate(&cluster, "one") });
    running.until(Standing::Leading).await;
    let _data = cluster.stop().await;
    let ended = eventually("it gives up", running.task).await.unwrap();
    assert!(matches!(ended, Err(Lost::Expired(silent)) if silent >= TERMS.give_up), "{ended:?}");
}
