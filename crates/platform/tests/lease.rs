//! Elections on a cluster in this process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use ferroflow_platform::{
    clock::SystemClock,
    lease::{Candidate, Leader, Lost, Standing, Terms},
};
use ferroflow_testkit::{TestCluster, wait::eventually};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

const TERMS: Terms =
    Terms { duration: Duration::from_secs(1), renew: Duration::from_millis(50), give_up: Duration::from_millis(700) };

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
    let mut first =
        Running::start(Candidate { terms: Terms { duration: Duration::from_secs(3600), ..TERMS }, ..leaving.clone() });
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
async fn who_finds_another_in_its_place_leads_no_more() {
    let cluster = TestCluster::server_only().await;
    let mut paused = Running::start(candidate(&cluster, "paused"));
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
