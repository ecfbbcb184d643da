//! What is measured. Each work is one round against one server; `main` runs the rounds of both in turn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{client::Endpoint, watches::Told};

/// The JSON of an object, as the issue of this bench has it.
const OBJECT_BYTES: usize = 1500;
/// Streams that a connection carries; a kube-apiserver allows 100.
const STREAMS: usize = 100;
/// A watcher that has not been told by then never will be.
const FAN_OUT_PATIENCE: Duration = Duration::from_secs(30);

/// Names that no two objects of a run share.
static NEXT: AtomicU64 = AtomicU64::new(0);

fn config_map(name: &str) -> Bytes {
    let bare = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"bench": "yes"}},
        "data": {"text": ""}});
    let rest = OBJECT_BYTES.saturating_sub(bare.to_string().len());
    let mut object = bare;
    object["data"]["text"] = "abcdefghijklmnopqrstuvwxyz012345".chars().cycle().take(rest).collect::<String>().into();
    object.to_string().into()
}

fn path_of(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// Makes a namespace.
///
/// # Errors
/// When the server refuses.
pub async fn make_namespace(endpoint: &Endpoint, name: &str) -> anyhow::Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).to_string();
    endpoint.connect().await?.drained(Method::POST, "/api/v1/namespaces", object.into()).await.map(drop)
}

/// How long creates go on.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    Elapsed(Duration),
    /// So many in all.
    Count(u64),
}

/// Creates ConfigMaps from `clients` connections, each waiting for its answer; returns how many were acknowledged,
/// and in what time.
///
/// # Errors
/// When the server refuses one.
pub async fn creates(
    endpoint: &Endpoint,
    namespace: &str,
    clients: usize,
    until: Until,
) -> anyhow::Result<(u64, Duration)> {
    let mut connections = Vec::with_capacity(clients);
    for _ in 0..clients {
        connections.push(endpoint.connect().await?);
    }
    let path: Arc<str> = path_of(namespace).into();
    let left = Arc::new(AtomicU64::new(match until {
        Until::Elapsed(_) => u64::MAX,
        Until::Count(count) => count,
    }));
    let began = Instant::now();
    let end = match until {
        Until::Elapsed(length) => Some(began + length),
        Until::Count(_) => None,
    };
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let (path, left) = (path.clone(), left.clone());
        tasks.spawn(async move {
            let mut made = 0;
            let take = |left: u64| left.checked_sub(1);
            while end.is_none_or(|end| Instant::now() < end)
                && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
            {
                let body = config_map(&format!("object-{:08}", NEXT.fetch_add(1, Ordering::Relaxed)));
                connection.drained(Method::POST, &path, body).await?;
                made += 1;
            }
            anyhow::Ok(made)
        });
    }
    let mut made = 0;
    while let Some(done) = tasks.join_next().await {
        made += done??;
    }
    Ok((made, began.elapsed()))
}

/// Lists a namespace in one answer and drains it undecoded; checks that nothing is missing by its length.
///
/// # Errors
/// When the answer is too short.
pub async fn list(endpoint: &Endpoint, namespace: &str, query: &str, objects: usize) -> anyhow::Result<Duration> {
    let mut connection = endpoint.connect().await?;
    let path = format!("{}{query}", path_of(namespace));
    let began = Instant::now();
    let length = connection.drained(Method::GET, &path, Bytes::new()).await?;
    let took = began.elapsed();
    if length < objects * OBJECT_BYTES {
        bail!("{path}: {length} bytes do not hold {objects} objects");
    }
    Ok(took)
}

/// Watchers of one namespace, spread over connections.
pub struct Watchers {
    endpoint: Endpoint,
    namespace: String,
    told: mpsc::UnboundedReceiver<Told>,
    count: usize,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Watchers {
    /// Opens `count` watches of a namespace.
    ///
    /// # Errors
    /// When the server refuses one.
    pub async fn open(endpoint: &Endpoint, namespace: &str, count: usize) -> anyhow::Result<Self> {
        let list = format!("{}?limit=1", path_of(namespace));
        let listed = endpoint.connect().await?.answer(Method::GET, &list, Bytes::new()).await?;
        let listed: Value = serde_json::from_slice(&listed)?;
        let revision = listed["metadata"]["resourceVersion"].as_str().context("a list has no resourceVersion")?;
        let path = format!("{}?watch=1&resourceVersion={revision}", path_of(namespace));
        let (tell, told) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let mut left = count;
        while left > 0 {
            let streams = left.min(STREAMS);
            tasks.spawn(endpoint.watch(&path, streams).await?.tell(tell.clone()));
            left -= streams;
        }
        Ok(Self { endpoint: endpoint.clone(), namespace: namespace.to_owned(), told, count, tasks })
    }

    /// Makes one change and waits until the last watcher has read it.
    ///
    /// # Errors
    /// When a watcher is not told.
    pub async fn change(&mut self) -> anyhow::Result<Duration> {
        let name = format!("object-{:08}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut connection = self.endpoint.connect().await?;
        let began = Instant::now();
        connection.drained(Method::POST, &path_of(&self.namespace), config_map(&name)).await?;
        let mut last = began;
        let mut count = 0;
        while count < self.count {
            let next = tokio::time::timeout(FAN_OUT_PATIENCE, self.told.recv()).await;
            let (lines, at) = next.ok().flatten().with_context(|| format!("only {count} watchers were told"))?;
            count += lines;
            last = last.max(at);
        }
        if let Some(ended) = self.tasks.try_join_next() {
            ended??;
            bail!("a watch has ended");
        }
        Ok(last - began)
    }
}

/// How many ConfigMaps there are, by a list of one.
///
/// # Errors
/// When the server does not say.
pub async fn count(endpoint: &Endpoint) -> anyhow::Result<u64> {
    let listed = endpoint.connect().await?.answer(Method::GET, "/api/v1/configmaps?limit=1", Bytes::new()).await?;
    let listed: Value = serde_json::from_slice(&listed)?;
    Ok(listed["metadata"]["remainingItemCount"].as_u64().map_or(0, |rest| rest + 1))
}
