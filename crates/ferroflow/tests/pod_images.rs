//! Pods that run from real images, pulled from a real registry, on a node that can make containers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/registry.rs"]
mod registry;

use std::{fs, net::TcpListener};

use common::{Bench, Server};
use ferroflow_testkit::{
    cluster::client_of,
    objects::from,
    wait::{until, until_gone},
};
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Node, Pod, Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams},
};
use registry::{Registry, archive, has_busybox};
use serde_json::{Value, json};

/// A server on a bench, with its clients.
struct Place {
    bench: Bench,
    server: Server,
    client: Client,
    pods: Api<Pod>,
}

impl Place {
    /// Starts a server with these sections of an images file; `None` where it cannot make containers.
    async fn start(images: &str) -> Option<Self> {
        if !has_busybox() {
            return None;
        }
        let bench = Bench::new();
        let file = bench.data.parent().unwrap().join("images.toml");
        fs::write(&file, images).unwrap();
        let server = Server::start_with(&bench, "all", &["--images", file.to_str().unwrap()]);
        let client = client_of(server.address, &server.token);
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.unwrap();
        let labels = nodes.items[0].metadata.labels.clone().unwrap();
        if labels["ferroflow.dev/isolation"] != "container" {
            eprintln!("skipped: this machine's user cannot make containers");
            return None;
        }
        let pods = Api::default_namespaced(client.clone());
        Some(Self { bench, server, client, pods })
    }

    async fn create(&self, name: &str, image: &str, more: Value) {
        let mut container = json!({"name": "main", "image": image});
        let mut spec = json!({"terminationGracePeriodSeconds": 2, "restartPolicy": "Never"});
        for (key, value) in more.as_object().unwrap() {
            if ["command", "args", "imagePullPolicy", "env", "securityContext"].contains(&key.as_str()) {
                container[key] = value.clone();
            } else {
                spec[key] = value.clone();
            }
        }
        spec["containers"] = json!([container]);
        let pod: Pod = from(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}));
        self.pods.create(&PostParams::default(), &pod).await.unwrap();
    }

    async fn until_phase(&self, name: &str, phase: &str) -> ContainerStatus {
        let is_there = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(phase);
        status(&until(&self.pods, name, phase, is_there).await).unwrap()
    }

    /// Waits until the container waits for this reason; the message.
    async fn until_waiting(&self, name: &str, reason: &str) -> String {
        let waiting = |pod: &Pod| status(pod)?.state?.waiting.filter(|one| one.reason.as_deref() == Some(reason));
        let pod = until(&self.pods, name, reason, |pod| waiting(pod).is_some()).await;
        waiting(&pod).unwrap().message.unwrap_or_default()
    }

    async fn log(&self, name: &str) -> String {
        self.pods.logs(name, &LogParams::default()).await.unwrap()
    }

    async fn until_log(&self, name: &str, wanted: &str) {
        ferroflow_testkit::wait::eventually(wanted, async {
            while !self.pods.logs(name, &LogParams::default()).await.is_ok_and(|log| log.contains(wanted)) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn delete(&self, name: &str) {
        self.pods.delete(name, &DeleteParams::default()).await.unwrap();
        until_gone(&self.pods, name).await;
    }

    /// Waits for an event on a pod.
    async fn until_event(&self, pod: &str, reason: &str) -> String {
        let events: Api<Event> = Api::default_namespaced(self.client.clone());
        let params = ListParams::default().fields(&format!("involvedObject.name={pod}"));
        ferroflow_testkit::wait::eventually(reason, async {
            loop {
                let all = events.list(&params).await.unwrap();
                if let Some(event) = all.items.into_iter().find(|one| one.reason.as_deref() == Some(reason)) {
                    return event.message.unwrap_or_default();
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    async fn secret(&self, name: &str, registry: &str, password: &str) {
        let config = json!({"auths": {registry: {"username": "user", "password": password}}}).to_string();
        let secret: Secret = from(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": config}}));
        let secrets: Api<Secret> = Api::default_namespaced(self.client.clone());
        let params = PatchParams::apply("test").force();
        secrets.patch(name, &params, &Patch::Apply(&secret)).await.unwrap();
    }
}

fn status(pod: &Pod) -> Option<ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first().cloned()
}

fn plain(registry: &Registry) -> String {
    format!("[[registry]]\nhost = \"{}\"\nplain_http = true\n", registry.address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_from_the_image_of_a_private_registry() {
    let Some(registry) = Registry::start(true) else { return };
    let Some(place) = Place::start(&plain(&registry)).await else { return };
    let start = json!({"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["cat greeting; id -u; id -g; echo $FROM $OWN"],
        "Env": ["FROM=image", "OWN=image", "PATH=/bin"], "WorkingDir": "/srv", "User": "app"});
    let (image, digest) = registry.push("team/app", "1", &start);
    let image = format!("{image}:1");

    place.create("nobody", &image, json!({})).await;
    let message = place.until_waiting("nobody", "ErrImagePull").await;
    assert!(message.contains("imagePullSecrets") && message.contains("does not give"), "{message}");

    place.secret("login", &registry.address, "wrong").await;
    let secrets = json!([{"name": "login"}, {"name": "missing"}]);
    let more = json!({"imagePullSecrets": secrets, "env": [{"name": "OWN", "value": "pod"}]});
    place.create("app", &image, more).await;
    let told = place.until_event("app", "FailedToRetrieveImagePullSecret").await;
    assert!(told.contains("(missing)"), "{told}");
    let message = place.until_waiting("app", "ImagePullBackOff").await;
    assert!(message.starts_with(&format!("Back-off pulling image \"{image}\": ErrImagePull: ")), "{message}");
    place.secret("login", &registry.address, "secret").await;

    let ended = place.until_phase("app", "Succeeded").await;
    assert_eq!(ended.image, image);
    assert_eq!(ended.image_id, format!("{}/team/app@{digest}", registry.address));
    assert_eq!(place.log("app").await, "from the image\n1234\n5678\nimage pod\n");
    let pulled = place.until_event("app", "Pulled").await;
    assert!(pulled.starts_with("Successfully pulled image ") && pulled.contains("Image size: "), "{pulled}");

    let nodes: Api<Node> = Api::all(place.client.clone());
    let name = nodes.list(&ListParams::default()).await.unwrap().items[0].metadata.name.clone().unwrap();
    let lists = |node: &Node| {
        let images = node.status.as_ref().and_then(|status| status.images.clone()).unwrap_or_default();
        images.iter().any(|one| one.names.as_ref().is_some_and(|names| names.contains(&image)))
    };
    until(&nodes, &name, "lists the image", lists).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_digests_say_what_is_pulled() {
    let Some(mut registry) = Registry::start(false) else { return };
    let Some(place) = Place::start(&plain(&registry)).await else { return };
    let (image, digest) = registry.push("app", "1", &json!({"Cmd": ["echo", "here"]}));
    let tagged = format!("{image}:1");
    let pinned = format!("{image}@{digest}");

    place.create("never", &tagged, json!({"imagePullPolicy": "Never"})).await;
    let message = place.until_waiting("never", "ErrImageNeverPull").await;
    assert_eq!(message, format!("Container image \"{tagged}\" is not present with pull policy of Never"));
    place.create("bad", "no/Such:1", json!({})).await;
    place.until_waiting("bad", "InvalidImageName").await;
    place.create("empty", &registry.push("empty", "1", &json!({})).0, json!({})).await;
    place.until_waiting("empty", "ErrImagePull").await;
    let (empty, _) = registry.push("empty", "latest", &json!({}));
    place.create("nothing", &empty, json!({})).await;
    let message = place.until_waiting("nothing", "CreateContainerError").await;
    assert!(message.contains("no command specified"), "{message}");

    for name in ["pinned", "beside"] {
        place.create(name, &pinned, json!({})).await;
    }
    for name in ["pinned", "beside"] {
        let ended = place.until_phase(name, "Succeeded").await;
        assert_eq!((ended.image_id, ended.image), (pinned.clone(), pinned.clone()));
        assert_eq!(place.log(name).await, "here\n");
    }
    registry.kill();
    place.create("present", &pinned, json!({"imagePullPolicy": "IfNotPresent"})).await;
    place.until_phase("present", "Succeeded").await;
    let told = place.until_event("present", "Pulled").await;
    assert_eq!(told, format!("Container image \"{pinned}\" already present on machine"));
    place.create("gone", &pinned, json!({"imagePullPolicy": "Always"})).await;
    let message = place.until_waiting("gone", "ErrImagePull").await;
    assert!(message.contains("cannot be reached") && !message.contains("plain_http"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_stays_while_a_pod_runs_from_it_and_one_that_is_loaded_is_there_at_once() {
    let Some(place) = Place::start("").await else { return };
    let archive = archive(place.bench.data.parent().unwrap(), "registry.invalid/loaded:1");
    let loaded = place.bench.run(&["images", "load", archive.to_str().unwrap()]);
    assert_eq!(loaded.code, 0, "{loaded:?}");
    let command = json!(["sh", "-c", "touch /own; sleep 600"]);
    place.create("user", "registry.invalid/loaded:1", json!({"command": command})).await;
    place.until_phase("user", "Running").await;
    for words in [&["images", "remove", "registry.invalid/loaded:1"][..], &["images", "prune", "--all"]] {
        let ended = place.bench.run(words);
        assert!(!ended.stdout.contains("loaded"), "{ended:?}");
        assert!(words[1] == "prune" || ended.stderr.contains("is in use by pod default/user"), "{ended:?}");
    }
    let list = place.bench.run(&["images", "list", "-o", "json"]);
    let list: Value = serde_json::from_str(&list.stdout).unwrap();
    assert_eq!(list[0]["usedBy"], json!(["pod default/user"]), "{list}");
    place.delete("user").await;
    let removed = place.bench.run(&["images", "remove", "registry.invalid/loaded:1"]);
    assert_eq!((removed.code, removed.stdout.as_str()), (0, "registry.invalid/loaded:1\n"), "{removed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_deleted_while_its_image_is_pulled_goes_at_once() {
    // A registry that takes connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let images = format!("[[registry]]\nhost = \"{address}\"\nplain_http = true\n");
    let Some(place) = Place::start(&images).await else { return };
    place.create("waiting", &format!("{address}/silent:1"), json!({"terminationGracePeriodSeconds": 600})).await;
    let accepted = tokio::task::spawn_blocking(move || (listener.accept().unwrap(), listener)).await.unwrap();
    place.until_event("waiting", "Pulling").await;
    place.delete("waiting").await;
    drop(accepted);
    let down = place.bench.run(&["down"]);
    assert_eq!(down.code, 0, "{down:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_gives_what_its_registry_would_and_a_table_comes_before_both() {
    let Some(registry) = Registry::start(false) else { return };
    let images = format!(
        "[[registry]]\nhost = \"docker.io\"\nmirrors = [\"http://{}\"]\n[[image]]\nmatch = \"table:*\"\n\
         cmd = [\"sh\", \"-c\", \"echo from the table\"]\n",
        registry.address
    );
    let Some(place) = Place::start(&images).await else { return };
    let (_, digest) = registry.push("library/mirrored", "1", &json!({"Cmd": ["cat", "/srv/greeting"]}));
    place.create("mirrored", "mirrored:1", json!({})).await;
    let ended = place.until_phase("mirrored", "Succeeded").await;
    assert_eq!(ended.image_id, format!("docker.io/library/mirrored@{digest}"));
    assert_eq!(place.log("mirrored").await, "from the image\n");
    place.create("table", "table:1", json!({})).await;
    place.until_phase("table", "Succeeded").await;
    assert_eq!(place.log("table").await, "from the table\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_asked_to_end_by_the_signal_of_its_image() {
    let Some(registry) = Registry::start(false) else { return };
    let Some(mut place) = Place::start(&plain(&registry)).await else { return };
    let script = "trap 'echo asked; exit 7' USR1; echo trapped; while :; do sleep 0.1; done";
    let start = json!({"Cmd": ["sh", "-c", script], "StopSignal": "SIGUSR1", "Volumes": {"/data": {}}});
    let (image, _) = registry.push("app", "1", &start);
    let image = format!("{image}:1");
    for (name, more) in [("first", json!({})), ("second", json!({"terminationGracePeriodSeconds": 600}))] {
        place.create(name, &image, more).await;
        place.until_log(name, "trapped").await;
    }
    place.delete("second").await;
    // What a server that was killed has started is asked the same way by the next.
    place.server.kill();
    place.server = Server::start(&place.bench, "all");
    let client = client_of(place.server.address, &place.server.token);
    let pods: Api<Pod> = Api::default_namespaced(client);
    pods.delete("first", &DeleteParams { grace_period_seconds: Some(600), ..DeleteParams::default() }).await.unwrap();
    until_gone(&pods, "first").await;
}
