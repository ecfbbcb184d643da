//! Events on objects: written in the background, counted instead of repeated.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
    core::Request,
};
use serde::de::IgnoredAny;
use tokio::sync::mpsc;

use super::cache::Object;
use crate::{
    clock::SharedClock,
    task::{Group, Kind as TaskKind},
};

/// Whether an event tells of something ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    Normal,
    Warning,
}

impl EventKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Events that may wait to be written; more are dropped, for an event must never hold up work.
const QUEUE: usize = 1024;
/// Events that are remembered to be counted; the oldest is forgotten.
const REMEMBERED: usize = 1024;

struct Entry {
    about: ObjectReference,
    kind: EventKind,
    reason: String,
    message: String,
}

/// Writes events in the name of one component. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    sender: mpsc::Sender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// A recorder whose writer runs in `group`.
    pub fn start(client: Client, clock: SharedClock, group: &Group, component: &'static str) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Writer { client, clock, component, known: HashMap::new(), order: VecDeque::new(), sequence: 0 };
        group.spawn(format!("events of {component}"), TaskKind::Essential, async move {
            writer.run(receiver).await;
            Ok::<(), std::convert::Infallible>(())
        });
        Self { sender, dropped: Arc::default() }
    }

    /// Records an event on an object.
    pub fn event<K: Object>(&self, about: &K, kind: EventKind, reason: &str, message: impl Into<String>) {
        self.event_for(about.object_ref(&()), kind, reason, message);
    }

    /// Records an event on whatever `about` refers to.
    pub fn event_for(&self, about: ObjectReference, kind: EventKind, reason: &str, message: impl Into<String>) {
        let entry = Entry { about, kind, reason: reason.to_owned(), message: message.into() };
        if self.sender.try_send(entry).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::debug!(dropped, "an event was dropped");
        }
    }
}

type Sameness = (String, String, String, String);

struct Known {
    namespace: String,
    name: String,
    count: i32,
}

struct Writer {
    client: Client,
    clock: SharedClock,
    component: &'static str,
    known: HashMap<Sameness, Known>,
    order: VecDeque<Sameness>,
    sequence: u64,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::Receiver<Entry>) {
        while let Some(entry) = receiver.recv().await {
            if let Err(error) = self.write(entry).await {
                tracing::debug!(%error, "an event could not be written");
            }
        }
    }

    async fn write(&mut self, entry: Entry) -> kube::Result<()> {
        let about = &entry.about;
        let sameness = (
            about.uid.clone().unwrap_or_default(),
            about.field_path.clone().unwrap_or_default(),
            entry.reason.clone(),
            entry.message.clone(),
        );
        if let Some(known) = self.known.get_mut(&sameness) {
            known.count += 1;
            let patch = serde_json::json!({ "count": known.count, "lastTimestamp": Time(self.clock.now()) });
            let api: Api<Event> = Api::namespaced(self.client.clone(), &known.namespace);
            match api.patch(&known.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                other => return other.map(drop),
            }
        }
        self.create(entry, sameness).await
    }

    async fn create(&mut self, entry: Entry, sameness: Sameness) -> kube::Result<()> {
        let now = self.clock.now();
        self.sequence += 1;
        let namespace = entry.about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let stamp = u64::try_from(now.as_nanosecond()).unwrap_or(0).wrapping_add(self.sequence);
        let name = format!("{}.{stamp:x}", entry.about.name.clone().unwrap_or_default());
        let event = Event {
            metadata: ObjectMeta { name: Some(name.clone()), namespace: Some(namespace.clone()), ..Default::default() },
            type_: Some(entry.kind.as_str().to_owned()),
            reason: Some(entry.reason),
            message: Some(entry.message),
            involved_object: entry.about,
            source: Some(EventSource { component: Some(self.component.to_owned()), host: None }),
            reporting_component: Some(self.component.to_owned()),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            ..Default::default()
        };
        let body = serde_json::to_vec(&event).map_err(kube::Error::SerdeError)?;
        let request = Request::new(Event::url_path(&(), Some(&namespace))).create(&PostParams::default(), body);
        // Nobody looks at what the server has made of it.
        let _: IgnoredAny = self.client.request(request.map_err(kube::Error::BuildRequest)?).await?;
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(sameness.clone());
        self.known.insert(sameness, Known { namespace, name, count: 1 });
        Ok(())
    }
}
