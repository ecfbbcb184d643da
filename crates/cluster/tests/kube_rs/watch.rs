//! Watches, in the two ways that kube-rs starts them.

use std::{pin::pin, sync::Arc};

use ferroflow_testkit::{objects::config_map, wait::eventually};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, VersionMatch, WatchEvent, WatchParams},
    runtime::{
        WatchStreamExt, reflector,
        watcher::{self, Event},
    },
};
use serde_json::json;

use crate::bed::Bed;

pub async fn a_watcher_that_lists_first_sees_what_was_there_and_what_comes(bed: &Bed) {
    sees_what_was_there_and_what_comes(bed, watcher::Config::default()).await;
}

pub async fn a_watcher_that_streams_its_list_sees_what_was_there_and_what_comes(bed: &Bed) {
    sees_what_was_there_and_what_comes(bed, watcher::Config::default().streaming_lists()).await;
}

async fn sees_what_was_there_and_what_comes(bed: &Bed, config: watcher::Config) {
    let maps: Api<ConfigMap> = bed.api();
    let mut map = config_map("before", "key", "1");
    map.labels_mut().insert("watched".to_owned(), "yes".to_owned());
    let made = maps.create(&PostParams::default(), &map).await.unwrap();
    // A watcher that streams its list takes any version; a real server's cache has the object once this is answered.
    let version = made.resource_version().unwrap();
    maps.list(&ListParams::default().at(&version).matching(VersionMatch::NotOlderThan)).await.unwrap();
    let mut events = pin!(kube::runtime::watcher(maps.clone(), config.labels("watched=yes")));
    assert_eq!(next(&mut events).await, "init");
    let first = next(&mut events).await;
    if first.contains("RequestWatchProgress is disabled") {
        eprintln!(
            "skipped a_watcher_that_streams_its_list_sees_what_was_there_and_what_comes: this server's etcd is too old for it"
        );
        return;
    }
    assert_eq!(first, "init before");
    assert_eq!(next(&mut events).await, "init done");
    map.metadata.name = Some("after".to_owned());
    maps.create(&PostParams::default(), &map).await.unwrap();
    assert_eq!(next(&mut events).await, "apply after");
    let patch = Patch::Merge(json!({"data": {"key": "2"}}));
    maps.patch("before", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(next(&mut events).await, "apply before");
    maps.delete("after", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(&mut events).await, "delete after");
}

async fn next(events: &mut (impl Stream<Item = watcher::Result<Event<ConfigMap>>> + Unpin)) -> String {
    match eventually("an event comes", events.next()).await.expect("a watcher does not end") {
        Ok(Event::Init) => "init".to_owned(),
        Ok(Event::InitApply(map)) => format!("init {}", map.name_any()),
        Ok(Event::InitDone) => "init done".to_owned(),
        Ok(Event::Apply(map)) => format!("apply {}", map.name_any()),
        Ok(Event::Delete(map)) => format!("delete {}", map.name_any()),
        Err(error) => format!("error {error}"),
    }
}

pub async fn a_watch_from_before_history_says_410_and_the_watcher_lists_anew(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    let mut events = pin!(maps.watch(&WatchParams::default(), "1").await.unwrap());
    match eventually("an event comes", events.next()).await.expect("the watch says why it ends") {
        Ok(WatchEvent::Error(status)) => {
            assert_eq!((status.code, status.reason.as_str()), (410, "Expired"), "{}", status.message);
            assert!(status.message.starts_with("too old resource version: 1 ("), "{}", status.message);
        }
        Ok(WatchEvent::Added(_)) if bed.own.is_none() => {
            eprintln!(
                "skipped a_watch_from_before_history_says_410_and_the_watcher_lists_anew: this cluster still holds the whole of it"
            );
        }
        other => panic!("expected an error event, got {other:?}"),
    }
}

pub async fn a_watch_of_a_selection_deletes_what_leaves_it(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    let from = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = pin!(maps.watch(&WatchParams::default().labels("watched=yes"), &from).await.unwrap());
    let mut map = config_map("map", "key", "1");
    map.labels_mut().insert("watched".to_owned(), "yes".to_owned());
    maps.create(&PostParams::default(), &map).await.unwrap();
    for label in ["no", "yes"] {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"watched": label}}}));
        maps.patch("map", &PatchParams::default(), &patch).await.unwrap();
    }
    maps.delete("map", &DeleteParams::default()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        match eventually("an event comes", events.next()).await.expect("the watch goes on").unwrap() {
            WatchEvent::Added(map) => seen.push(("added", version(&map))),
            WatchEvent::Modified(map) => seen.push(("modified", version(&map))),
            WatchEvent::Deleted(map) => seen.push(("deleted", version(&map))),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => panic!("{status:?}"),
        }
    }
    let types: Vec<&str> = seen.iter().map(|(event_type, _)| *event_type).collect();
    assert_eq!(types, ["added", "deleted", "added", "deleted"]);
    assert!(seen.windows(2).all(|pair| pair[0].1 < pair[1].1), "revisions grow: {seen:?}");
}

fn version(map: &ConfigMap) -> u64 {
    map.resource_version().expect("an object has a version").parse().expect("a version is a number")
}

pub async fn a_reflector_holds_what_a_list_shows(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    let (reader, writer) = reflector::store();
    let stream = kube::runtime::watcher(maps.clone(), watcher::Config::default()).default_backoff();
    let mut stream = pin!(reflector::reflector(writer, stream));
    for number in 0..5 {
        maps.create(&PostParams::default(), &config_map(&format!("map-{number}"), "key", "1")).await.unwrap();
    }
    maps.delete("map-0", &DeleteParams::default()).await.unwrap();
    let last = config_map("last", "key", "1");
    maps.create(&PostParams::default(), &last).await.unwrap();
    let has_last = || reader.state().iter().any(|map: &Arc<ConfigMap>| map.name_any() == "last");
    eventually("the reflector has the last one", async {
        while !has_last() {
            stream.next().await.expect("a watcher does not end").expect("the watch works");
        }
    })
    .await;
    let mut held: Vec<String> = reader.state().iter().map(|map: &Arc<ConfigMap>| map.name_any()).collect();
    held.retain(|name| !name.starts_with("kube-"));
    held.sort();
    assert_eq!(held, ["last", "map-1", "map-2", "map-3", "map-4"]);
}
