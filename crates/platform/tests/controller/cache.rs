//! Caches, and the loop that runs a reconciler.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use ferroflow_platform::{
    clock::SystemClock,
    controller::{Cache, Caches, Controller, Error, Key, Next, Reconciler},
};
use ferroflow_testkit::{TestCluster, objects::config_map, wait::eventually};
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;
use tokio::sync::watch;

fn map(name: &str) -> ConfigMap {
    let mut map = config_map(name, "passes", "0");
    map.metadata.namespace = Some("default".to_owned());
    map
}

fn names(maps: &[Arc<ConfigMap>]) -> Vec<String> {
    maps.iter().map(|map| map.name_any()).collect()
}

#[tokio::test]
async fn a_cache_shows_what_was_written_through_it_once_it_is_current() {
    let cluster = TestCluster::server_only().await;
    let caches = Caches::new(cluster.client(), cluster.cluster.group());
    let cache: Cache<ConfigMap> = caches.of();
    let changes = Arc::new(Mutex::new(Vec::new()));
    let noted = changes.clone();
    cache.on_change(move |old, new| {
        noted.lock().unwrap().push((old.map(|map| map.name_any()), new.map(|map| map.name_any())));
    });
    let owner = cache.create(&map("owner")).await.unwrap();
    cache.current().await.unwrap();
    assert_eq!(cache.get(&Key::new("default", "owner")).unwrap().uid(), owner.uid());
    for number in 0..50 {
        let mut dependent = map(&format!("dependent-{number:02}"));
        dependent.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: "owner".to_owned(),
            uid: owner.uid().unwrap(),
            ..OwnerReference::default()
        }]);
        cache.create(&dependent).await.unwrap();
        cache.current().await.unwrap();
        assert_eq!(cache.owned_by(&owner.uid().unwrap()).len(), number + 1);
    }
    let key = Key::new("default", "owner");
    cache.merge(&key, &json!({"data": {"passes": "1"}})).await.unwrap();
    cache.current().await.unwrap();
    assert_eq!(cache.get(&key).unwrap().data.as_ref().unwrap()["passes"], "1");
    assert_eq!(cache.list_in("default").len(), 51);
    assert_eq!(cache.list_in("defaul"), Vec::<Arc<ConfigMap>>::new());
    cache.delete_object(&key, &DeleteParams::default()).await.unwrap();
    cache.delete_object(&key, &DeleteParams::default()).await.unwrap();
    let after = cache.create(&map("after")).await.unwrap();
    cache.current().await.unwrap();
    assert_eq!(names(&cache.list_in("default")).first(), Some(&after.name_any()));
    assert!(cache.get(&key).is_none(), "the deletion came before the create");
    let changes = changes.lock().unwrap();
    let owner = || Some("owner".to_owned());
    let of_owner: Vec<_> = changes.iter().filter(|(old, new)| *old == owner() || *new == owner()).collect();
    assert_eq!(of_owner, [&(None, owner()), &(owner(), owner()), &(owner(), None)]);
    assert_eq!(names(&caches.of::<ConfigMap>().list()), names(&cache.list()), "one cache a kind");
}

/// Counts its passes in the object itself, from what the cache shows.
struct Counter {
    cache: Cache<ConfigMap>,
    running: Mutex<HashSet<Key>>,
    passes: AtomicUsize,
    faults: Arc<Mutex<Vec<String>>>,
    done: watch::Sender<usize>,
}

const PASSES: usize = 20;

impl Reconciler for Counter {
    async fn reconcile(&self, key: Key, _now: Timestamp) -> Result<Next, Error> {
        if !self.running.lock().unwrap().insert(key.clone()) {
            self.faults.lock().unwrap().push(format!("{key} runs twice at a time"));
        }
        let answer = self.count(&key).await;
        self.running.lock().unwrap().remove(&key);
        answer
    }
}

impl Counter {
    async fn count(&self, key: &Key) -> Result<Next, Error> {
        if self.passes.fetch_add(1, Ordering::Relaxed).is_multiple_of(7) {
            return Err(Error::Other("a failure now and then".to_owned()));
        }
        let Some(map) = self.cache.get(key) else { return Ok(Next::Done) };
        let passes: usize = map.data.as_ref().unwrap()["passes"].parse().unwrap();
        if passes == PASSES {
            self.done.send_modify(|done| *done += 1);
            return Ok(Next::Done);
        }
        // Guarded by the version that the cache shows: what is late would be a conflict.
        let mut next = (*map).clone();
        next.data.as_mut().unwrap().insert("passes".to_owned(), (passes + 1).to_string());
        if let Err(error) = self.cache.replace(&next).await {
            self.faults.lock().unwrap().push(format!("{key} was late: {error}"));
        }
        Ok(Next::Done)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_sees_the_writes_of_the_one_before_and_a_failed_one_is_tried_again() {
    let cluster = TestCluster::server_only().await;
    let group = cluster.cluster.group();
    let caches = Caches::new(cluster.client(), group.clone());
    let cache: Cache<ConfigMap> = caches.of();
    let faults = Arc::new(Mutex::new(Vec::new()));
    let done = watch::Sender::new(0);
    let mut finished = done.subscribe();
    let counter = Counter {
        cache: cache.clone(),
        running: Mutex::default(),
        passes: AtomicUsize::new(0),
        faults: faults.clone(),
        done,
    };
    Controller::new("counter", SystemClock::shared()).workers(3).watch(&cache).run(&group, counter);
    for number in 0..5 {
        cache.create(&map(&format!("map-{number}"))).await.unwrap();
    }
    eventually("all are counted up", finished.wait_for(|done| *done >= 5)).await.unwrap();
    assert_eq!(*faults.lock().unwrap(), Vec::<String>::new());
    for map in cache.list_in("default") {
        assert_eq!(map.data.as_ref().unwrap()["passes"], PASSES.to_string());
    }
    cluster.stop().await;
}
