//! Many watchers, and one that never reads. Alone in its process, for it looks at the memory of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use ferroflow_testkit::{TestCluster, objects::config_map, raw::Request, wait::eventually};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::TcpStream,
    sync::Mutex,
    task::JoinSet,
};

const WATCHERS: usize = 1000;

/// Tests that measure memory do so one after the other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Both ends of each connection are in this process.
fn raise_file_limit() {
    // SAFETY: both calls get a valid pointer to a limit of this frame.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max.min(8192);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        assert!(limit.rlim_cur > 2200, "a thousand connections need 2,000 descriptors, there are {}", limit.rlim_cur);
    }
}

/// Memory of this process that is in use.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

async fn watch(cluster: &TestCluster) -> TcpStream {
    let request = Request::new("GET", "/api/v1/namespaces/default/configmaps?watch=1").token(&cluster.token());
    request.open(cluster.http()).await
}

async fn line_with(reader: &mut (impl AsyncBufReadExt + Unpin), text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert_ne!(reader.read_line(&mut line).await.unwrap(), 0, "the watch ended before {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_watchers_each_see_a_change() {
    raise_file_limit();
    let _alone = ALONE.lock().await;
    let cluster = TestCluster::server_only().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    maps.create(&PostParams::default(), &config_map("first", "a", "1")).await.unwrap();
    let before = resident_bytes();
    let mut readers = Vec::with_capacity(WATCHERS);
    for _ in 0..WATCHERS {
        let mut reader = BufReader::new(watch(&cluster).await);
        eventually("a watcher sees what is there", line_with(&mut reader, "\"name\":\"first\"")).await;
        readers.push(reader);
    }
    maps.create(&PostParams::default(), &config_map("second", "a", "1")).await.unwrap();
    let mut waiting = JoinSet::new();
    for mut reader in readers {
        waiting.spawn(async move {
            eventually("a watcher sees the change", line_with(&mut reader, "\"name\":\"second\"")).await;
            reader
        });
    }
    let readers = waiting.join_all().await;
    assert_eq!(readers.len(), WATCHERS);
    let grown = resident_bytes().saturating_sub(before);
    // Two ends with buffers of 8 to 16 KiB each, tasks and sockets: 100 KiB a watcher is plenty.
    assert!(grown < WATCHERS * 100 * 1024, "a watcher takes {} bytes", grown / WATCHERS);
    drop(readers);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_never_reads_costs_little_and_holds_up_nobody() {
    const CHANGES: usize = 400;
    const BODY_BYTES: usize = 512 << 10;
    let _alone = ALONE.lock().await;
    let cluster = TestCluster::server_only().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    maps.create(&PostParams::default(), &config_map("large", "a", "0")).await.unwrap();
    let mut slow = watch(&cluster).await;
    let mut quick = BufReader::new(watch(&cluster).await);
    eventually("a watcher sees what is there", line_with(&mut quick, "\"name\":\"large\"")).await;
    let before = resident_bytes();
    for number in 0..CHANGES {
        let patch = Patch::Merge(json!({"data": {"a": "x".repeat(BODY_BYTES), "number": number.to_string()}}));
        maps.patch("large", &PatchParams::default(), &patch).await.unwrap();
        let shown = format!("\"number\":\"{number}\"");
        eventually("the quick watcher sees each change", line_with(&mut quick, &shown)).await;
    }
    let grown = resident_bytes().saturating_sub(before);
    // The ring of changes holds 32 MiB; a queue for the slow watcher would hold 200 MiB more.
    assert!(grown < 160 << 20, "{} MiB of memory for a watcher that does not read", grown >> 20);
    let mut rest = Vec::new();
    let read = eventually("the slow watcher is told", async {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let length = slow.read(&mut buffer).await.unwrap();
            rest.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&rest[rest.len().saturating_sub(2048)..]).into_owned();
            if length == 0 || text.contains("\"code\":410") {
                return text;
            }
        }
    });
    let end = read.await;
    assert!(end.contains("\"code\":410") && end.contains("too old resource version"), "{end}");
    cluster.stop().await;
}
