//! What a pod tries against the server that runs it: its directory with keys and database, its sockets, its API.
//!
//! The same program that is turned away in pods is then run as a process of the host, and with a token: there it finds the
//! ways open, so one that stood open for a pod would have been told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/registry.rs"]
mod registry;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    process::Command,
};

use common::{Bench, Server};
use ferroflow_testkit::{
    cluster::client_of,
    objects::from,
    wait::{until, until_gone},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, LogParams, PostParams},
};
use serde_json::{Value, json};

const PYTHON: &str = "/usr/bin/python3";
const IMAGE: &str = "localhost/escape:1";
const PROGRAMS: &str = "host-programs:1";

/// Tries; each line that comes out of it is a way that stands open, or the answer to a request.
const ATTEMPTS: &str = r"
import json, os, socket, ssl, sys, urllib.error, urllib.request
told = json.loads(sys.argv[1])
def attempt(name, act):
    try:
        if act() is not None: print(name, flush=True)
    except OSError: pass
def knock(path):
    with socket.socket(socket.AF_UNIX) as s: return s.connect(path) or True
context = ssl._create_unverified_context()
def ask(method, url):
    headers = {'Authorization': 'Bearer ' + told['token']} if told['token'] else {}
    body = b'{}' if method == 'POST' else None
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers, **{'Content-Type': 'application/json'}))
    try: return urllib.request.urlopen(request, context=context, timeout=20).status
    except urllib.error.HTTPError as error: return error.code
    except OSError as error: return 'nobody'
for root in ['', '/proc/1/root', '/proc/self/root', '/proc/1/cwd/../../../../../../..']:
    for path in told['files']:
        name = os.path.basename(path)
        attempt('read ' + name, lambda: open(root + path, 'rb').read(1))
        attempt('write ' + name, lambda: open(root + path, 'ab'))
    for path in told['folders']: attempt('list', lambda: os.listdir(root + path))
    for path in told['sockets']: attempt('socket', lambda: knock(root + path))
for method, url in told['requests']: print(method, url, ask(method, url), flush=True)
print('end')
";

/// What of the server's directory is tried.
#[derive(Debug, Default)]
struct Found {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    sockets: Vec<PathBuf>,
}

impl Found {
    /// What lies in a directory and up to so many below it.
    fn look(&mut self, directory: &Path, depth: usize) {
        self.folders.push(directory.to_owned());
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_socket() {
                self.sockets.push(entry.path());
            } else if kind.is_file() {
                self.files.push(entry.path());
            } else if kind.is_dir() && depth > 0 {
                self.look(&entry.path(), depth - 1);
            }
        }
    }
}

/// A pod that runs the attempts; `image` says what its root is made of.
fn pod(name: &str, image: &str, told: &Value) -> Pod {
    let mut spec = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [{
        "name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "command": [PYTHON, "-c", ATTEMPTS, told.to_string()]}]});
    if image == IMAGE {
        // The image has a shell alone; Python is the host's.
        let paths: Vec<&str> = ["/usr", "/lib", "/lib64"].into_iter().filter(|path| Path::new(path).is_dir()).collect();
        let volume = |path: &&str| json!({"name": path.replace('/', "v"), "hostPath": {"path": fs::canonicalize(path).unwrap()}});
        let mount = |path: &&str| json!({"name": path.replace('/', "v"), "mountPath": path, "readOnly": true});
        spec["volumes"] = paths.iter().map(volume).collect();
        spec["containers"][0]["volumeMounts"] = paths.iter().map(mount).collect();
    }
    from(json!({"metadata": {"name": name}, "spec": spec}))
}

struct Place {
    bench: Bench,
    server: Server,
    pods: Api<Pod>,
}

impl Place {
    async fn start() -> Self {
        let bench = Bench::new();
        let folder = tempfile::tempdir().unwrap();
        let archive = registry::archive(folder.path(), IMAGE);
        let loaded = bench.run(&["images", "load", archive.to_str().unwrap()]);
        assert_eq!(loaded.code, 0, "{loaded:?}");
        // A name for the host's own programs, where images are roots too.
        let table = bench.data.parent().unwrap().join("images.toml");
        fs::write(&table, format!("[[image]]\nmatch = \"{PROGRAMS}\"\n")).unwrap();
        let server = Server::start_with(&bench, "all", &["--images", table.to_str().unwrap()]);
        let pods = Api::default_namespaced(client_of(server.address, &server.token));
        Self { bench, server, pods }
    }

    /// What is said by a pod that is told this; `None`, with a word why, where the level cannot be had.
    async fn said_by(&self, image: &str, told: &Value) -> Option<String> {
        let name = "tries";
        self.pods.create(&PostParams::default(), &pod(name, image, told)).await.unwrap();
        let ended = until(&self.pods, name, "ends", |pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed")) || waits_for_ever(pod)
        })
        .await;
        let said = if waits_for_ever(&ended) {
            println!("skipped: no root of an image here");
            None
        } else {
            Some(self.pods.logs(name, &LogParams::default()).await.unwrap())
        };
        self.pods.delete(name, &DeleteParams::default()).await.unwrap();
        until_gone(&self.pods, name).await;
        said
    }
}

fn waits_for_ever(pod: &Pod) -> bool {
    let states = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut waiting = states.filter_map(|one| one.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    waiting.any(|reason| reason.contains("Image"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_gets_neither_at_the_servers_directory_nor_without_a_token_at_its_api() {
    if !registry::has_busybox() || !Path::new(PYTHON).exists() {
        return println!("skipped: no static busybox or no {PYTHON} on this host");
    }
    let place = Place::start().await;
    // A pod that runs meanwhile has a supervisor, whose socket is there.
    let script = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [{
        "name": "main", "image": PROGRAMS, "command": ["sleep", "600"]}]});
    let neighbour: Pod = from(json!({"metadata": {"name": "neighbour"}, "spec": script}));
    place.pods.create(&PostParams::default(), &neighbour).await.unwrap();
    until(&place.pods, "neighbour", "runs", |pod| {
        pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
    })
    .await;
    let mut found = Found::default();
    found.look(&place.bench.data, 3);
    let names: BTreeSet<&str> = found.files.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    for name in ["admin.token", "kubeconfig", "cluster.db", "pod.json"] {
        assert!(names.contains(name), "{name} is not where it is looked for: {names:?}");
    }
    assert!(!found.sockets.is_empty());

    let https = place.bench.status()["https"].as_str().map(str::to_owned);
    let port =
        https.as_deref().and_then(|url| url.rsplit(':').next()).map(|port| port.trim_end_matches('/').to_owned());
    let port = port.unwrap_or_else(|| panic!("status tells no https address: {}", place.bench.status()));
    let inside = ["https://10.96.0.1".to_owned(), "https://kubernetes.default.svc".to_owned()];
    // The server answers to no such name, with a token or without.
    let node = format!("https://10.200.0.1:{port}/api/v1/secrets");
    let paths = [
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/namespaces/kube-system/secrets"),
        ("POST", "/api/v1/namespaces/default/pods"),
        ("GET", "/api/v1/nodes"),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
    ];
    let asked: Vec<(&str, String)> =
        inside.iter().flat_map(|host| paths.map(|(method, path)| (method, format!("{host}{path}")))).collect();
    // On the host's loopback, which is not the pod's.
    let outside = [format!("https://127.0.0.1:{port}/version"), format!("http://{}/version", place.server.address)];
    let requests = |urls: &[String]| urls.iter().map(|url| ("GET", url.clone())).collect::<Vec<_>>();
    let told = |requests: &[(&str, String)], token: &str| json!({"files": found.files, "folders": found.folders, "sockets": found.sockets, "requests": requests, "token": token});
    let all = [asked.clone(), requests(&outside), requests(&[node])].concat();
    let mut tried = 0;
    for image in [IMAGE, PROGRAMS] {
        let Some(said) = place.said_by(image, &told(&all, "")).await else { continue };
        tried += 1;
        let mut lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.pop(), Some("end"), "{image}: {said}");
        assert_eq!(lines.len(), all.len(), "{image}: {said}");
        for line in lines {
            let (request, answer) = line.rsplit_once(' ').unwrap();
            let is_outside = outside.iter().any(|url| request.ends_with(url));
            let is_refused = if is_outside { answer == "nobody" } else { ["401", "403"].contains(&answer) };
            assert!(is_refused, "{image}: {line}");
        }
        // With a token the same way is open.
        let reads: Vec<_> = asked.iter().filter(|(method, _)| *method == "GET").cloned().collect();
        let said = place.said_by(image, &told(&reads, &place.server.token)).await.unwrap();
        for (method, url) in &reads {
            assert!(said.contains(&format!("{method} {url} 200\n")), "{image}: {said}");
        }
    }
    assert!(tried > 0);
    // As a process of the host.
    let words = told(&requests(&outside), "").to_string();
    let output = Command::new(PYTHON).args(["-c", ATTEMPTS, &words]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for way in ["read admin.token", "write admin.token", "read cluster.db", "read pod.json", "list", "socket"] {
        assert!(said.lines().any(|line| line == way), "{way} is not seen on the host: {said}");
    }
    for url in &outside {
        assert!(said.contains(&format!("GET {url} 200\n")), "{said}");
    }
    place.pods.delete("neighbour", &DeleteParams::default()).await.unwrap();
    until_gone(&place.pods, "neighbour").await;
}
