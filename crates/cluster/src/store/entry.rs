//! An object as the store keeps it, and a change of one.

use std::{
    cmp::Ordering,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;

/// Namespace and name; cluster-scoped objects have an empty namespace.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl ObjectKey {
    /// A key from its parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl Ord for ObjectKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (&*self.namespace, &*self.name).cmp(&(&*other.namespace, &*other.name))
    }
}

impl PartialOrd for ObjectKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One object at one revision.
#[derive(Debug)]
pub struct Entry {
    pub key: ObjectKey,
    pub revision: u64,
    /// The object's JSON, its resourceVersion included.
    pub json: Bytes,
    /// Bytes of `{"kind":…,"apiVersion":…,` at the start of `json`; 0 where it starts otherwise.
    pub type_length: usize,
    labels: OnceLock<Labels>,
    value: OnceLock<Option<Arc<serde_json::Value>>>,
}

/// Sorted by name.
type Labels = Box<[(Box<str>, Box<str>)]>;

#[derive(Deserialize)]
struct Partial<'a> {
    #[serde(borrow)]
    metadata: Option<PartialMeta<'a>>,
}

#[derive(Deserialize)]
struct PartialMeta<'a> {
    #[serde(borrow, default)]
    labels: Option<std::collections::BTreeMap<std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>>>,
}

impl Entry {
    /// An entry; nothing of `json` is read before it is asked for.
    pub fn new(key: ObjectKey, revision: u64, json: Bytes) -> Self {
        let type_length = type_length(&json).unwrap_or(0);
        Self { key, revision, json, type_length, labels: OnceLock::new(), value: OnceLock::new() }
    }

    /// The parsed object, kept from the first call on: for the few objects that every request looks at.
    pub fn value(&self) -> Option<Arc<serde_json::Value>> {
        self.value.get_or_init(|| serde_json::from_slice(&self.json).ok().map(Arc::new)).clone()
    }

    /// The labels, read once.
    fn labels(&self) -> &Labels {
        self.labels.get_or_init(|| {
            let partial: Option<Partial<'_>> = serde_json::from_slice(&self.json).ok();
            let labels = partial.and_then(|partial| partial.metadata).and_then(|metadata| metadata.labels);
            let labels = labels.unwrap_or_default().into_iter();
            labels.map(|(name, value)| (name.as_ref().into(), value.as_ref().into())).collect()
        })
    }

    /// The same object with another resourceVersion: the last state of one that leaves a selection.
    #[must_use]
    pub fn at_revision(&self, revision: u64) -> Self {
        let json = match serde_json::from_slice::<serde_json::Value>(&self.json) {
            Ok(mut object) => {
                object["metadata"]["resourceVersion"] = revision.to_string().into();
                write_object(object)
            }
            Err(_) => self.json.clone(),
        };
        Self::new(self.key.clone(), revision, json)
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        let labels = self.labels();
        let found = labels.binary_search_by(|(own, _)| own.as_ref().cmp(name)).ok()?;
        labels.get(found).map(|(_, value)| value.as_ref())
    }
}

/// The bytes of an object, its type first, as clients are used to see it.
pub fn write_object(mut object: serde_json::Value) -> Bytes {
    let Some(fields) = object.as_object_mut() else { return Bytes::from(object.to_string()) };
    let (Some(kind), Some(version)) = (fields.remove("kind"), fields.remove("apiVersion")) else {
        return Bytes::from(object.to_string());
    };
    let mut bytes = format!("{{\"kind\":{kind},\"apiVersion\":{version},").into_bytes();
    let start = bytes.len() - 1;
    let comma = bytes[start];
    // The rest is written behind the comma, and its opening brace then becomes the comma again.
    bytes.truncate(start);
    // A value in memory always has a JSON form.
    let _ = serde_json::to_writer(&mut bytes, &object);
    if let Some(brace) = bytes.get_mut(start) {
        *brace = comma;
    }
    bytes.into()
}

fn type_length(json: &[u8]) -> Option<usize> {
    let after = |text: &[u8], from: usize| {
        let rest = json.get(from..)?;
        rest.windows(text.len()).take(256).position(|window| window == text).map(|at| from + at + text.len())
    };
    if !json.starts_with(b"{\"kind\":\"") {
        return None;
    }
    let version = after(b"\",\"apiVersion\":\"", 9)?;
    after(b"\",", version)
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Put,
    Delete,
}

/// A change as watchers see it.
#[derive(Debug)]
pub struct Change {
    pub kind: ChangeKind,
    /// The new state, or the last one with the revision of the deletion.
    pub entry: Arc<Entry>,
    pub previous: Option<Arc<Entry>>,
    frame: OnceLock<Bytes>,
}

impl Change {
    /// A change that has just become visible.
    pub fn new(kind: ChangeKind, entry: Arc<Entry>, previous: Option<Arc<Entry>>) -> Self {
        Self { kind, entry, previous, frame: OnceLock::new() }
    }

    /// The same change, without what was made for watchers.
    #[must_use]
    pub fn without_frame(&self) -> Self {
        Self::new(self.kind, self.entry.clone(), self.previous.clone())
    }

    /// The type that a watcher who selects nothing is told.
    pub fn event_type(&self) -> &'static str {
        match (self.kind, &self.previous) {
            (ChangeKind::Delete, _) => "DELETED",
            (ChangeKind::Put, None) => "ADDED",
            (ChangeKind::Put, Some(_)) => "MODIFIED",
        }
    }

    /// Whether its line has been made.
    #[cfg(test)]
    pub fn is_framed(&self) -> bool {
        self.frame.get().is_some()
    }

    /// The line of a watch for this change in its stored form, made once for all watchers.
    pub fn frame(&self) -> Bytes {
        self.frame.get_or_init(|| frame(self.event_type(), &self.entry.json)).clone()
    }
}

/// A line of a watch: `{"type":…,"object":…}`.
pub fn frame(event_type: &str, object: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(object.len() + event_type.len() + 24);
    line.put_slice(b"{\"type\":\"");
    line.put_slice(event_type.as_bytes());
    line.put_slice(b"\",\"object\":");
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}
