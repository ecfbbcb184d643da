//! The entries of `metadata.managedFields`: reading, writing, order, and the limit on their number.
//!
//! It never decides who owns what. Rules follow `apimachinery/pkg/util/managedfields/internal`
//! (`managedfields.go`, `capmanagers.go`).

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::fieldset::Set;
use super::go;

/// Update entries beyond this number are merged, oldest first.
const MAX_UPDATE_ENTRIES: usize = 10;
/// Who owns what merged entries owned.
const ANCIENT: &str = "ancient-changes";

/// What a manager did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who an entry belongs to. Appliers are one manager across API versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub manager: String,
    pub operation: Operation,
    /// Empty for appliers.
    pub api_version: String,
    pub subresource: String,
}

impl Identity {
    /// The identity of a manager; appliers are the same in every version.
    pub fn new(manager: &str, operation: Operation, api_version: &str, subresource: &str) -> Self {
        let api_version = if operation == Operation::Apply { "" } else { api_version };
        Self {
            manager: manager.to_owned(),
            operation,
            api_version: api_version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    /// The JSON text that orders managers among each other.
    pub fn text(&self) -> String {
        let mut text = String::from("{");
        let fields = [
            ("manager", self.manager.as_str()),
            ("operation", self.operation.name()),
            ("apiVersion", &self.api_version),
            ("subresource", &self.subresource),
        ];
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&format!("\"{name}\":{}", Value::from(*value)));
        }
        text.push('}');
        text
    }

    /// The manager as conflicts name it: `"kubectl" using apps/v1`.
    pub fn description(&self) -> String {
        let mut text = String::new();
        go::write_quoted(&self.manager, &mut text);
        if !self.subresource.is_empty() {
            text.push_str(" with subresource ");
            go::write_quoted(&self.subresource, &mut text);
        }
        if self.operation == Operation::Update {
            text.push_str(" using ");
            text.push_str(&self.api_version);
        }
        text
    }
}

/// What one manager owns.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub identity: Identity,
    pub api_version: String,
    /// As it stands in the object; none where the entry has no time.
    pub time: Option<String>,
    pub set: Set<'a>,
}

/// All entries of an object, at most one per identity.
#[derive(Clone, Debug, Default)]
pub struct Managed<'a> {
    pub entries: Vec<Entry<'a>>,
}

impl<'a> Managed<'a> {
    /// Reads `metadata.managedFields`; null and absent are no entries.
    ///
    /// # Errors
    /// Says what is wrong with the first entry that cannot be read.
    pub fn decode(fields: Option<&'a Value>) -> Result<Self, String> {
        let mut managed = Self::default();
        for (position, entry) in fields.and_then(Value::as_array).into_iter().flatten().enumerate() {
            let entry = decode_entry(position, entry)?;
            match managed.position(&entry.identity) {
                Some(known) => managed.entries[known] = entry,
                None => managed.entries.push(entry),
            }
        }
        Ok(managed)
    }

    fn position(&self, identity: &Identity) -> Option<usize> {
        self.entries.iter().position(|entry| entry.identity == *identity)
    }

    /// The entry of an identity.
    pub fn get(&self, identity: &Identity) -> Option<&Entry<'a>> {
        self.position(identity).map(|place| &self.entries[place])
    }

    /// The entry of an identity, to be changed.
    pub fn get_mut(&mut self, identity: &Identity) -> Option<&mut Entry<'a>> {
        self.position(identity).map(|place| &mut self.entries[place])
    }

    /// Takes the entry of an identity out.
    pub fn remove(&mut self, identity: &Identity) -> Option<Entry<'a>> {
        self.position(identity).map(|place| self.entries.remove(place))
    }

    /// The form in the object, sorted; null where there are no entries.
    pub fn encode(mut self) -> Value {
        if self.entries.is_empty() {
            return Value::Null;
        }
        self.entries.sort_by(order);
        Value::Array(self.entries.into_iter().map(encode_entry).collect())
    }

    /// Merges the oldest entries of updates into one a version while there are too many.
    pub fn cap(&mut self) {
        let updates = |entry: &&Entry<'_>| entry.identity.operation == Operation::Update;
        let mut count = self.entries.iter().filter(updates).count();
        if count <= MAX_UPDATE_ENTRIES {
            return;
        }
        let mut oldest: Vec<Identity> = {
            let mut keyed: Vec<_> = self.entries.iter().filter(updates).collect();
            keyed.sort_by_cached_key(|entry| (seconds(entry.time.as_deref()), entry.identity.text()));
            keyed.into_iter().map(|entry| entry.identity.clone()).collect()
        };
        let mut first_of_version: Vec<(String, Identity)> = Vec::new();
        for identity in oldest.drain(..) {
            if count <= MAX_UPDATE_ENTRIES {
                break;
            }
            let version = identity.api_version.clone();
            match first_of_version.iter().find(|(known, _)| *known == version) {
                None => first_of_version.push((version, identity)),
                Some((_, first)) => {
                    let first = first.clone();
                    self.merge_into_bucket(&first, &identity);
                    count -= 1;
                }
            }
        }
    }

    fn merge_into_bucket(&mut self, first: &Identity, merged: &Identity) {
        let bucket = Identity::new(ANCIENT, Operation::Update, &merged.api_version, "");
        if self.get(&bucket).is_none()
            && let Some(entry) = self.get_mut(first)
        {
            entry.identity = bucket.clone();
        }
        let Some(entry) = self.remove(merged) else { return };
        if let Some(target) = self.get_mut(&bucket) {
            target.set = entry.set.union(&target.set);
            target.time = entry.time;
        }
    }
}

/// Whether a client asks to forget all owners: an empty list, or one empty entry.
pub fn is_reset(fields: Option<&Value>) -> bool {
    match fields.and_then(Value::as_array).map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(entry)]) => {
            ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource"].iter().all(|name| {
                matches!(entry.get(*name), None | Some(Value::Null)) || entry.get(*name) == Some(&Value::from(""))
            })
        }
        _ => false,
    }
}

/// A time as entries hold it: UTC, to the second.
pub fn time_text(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn decode_entry(position: usize, entry: &Value) -> Result<Entry<'_>, String> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let operation = match text("operation") {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    if text("apiVersion").is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match text("fieldsType") {
        "FieldsV1" => {}
        "" => return Err(format!("missing fieldsType in managed fields entry {position}")),
        other => return Err(format!("invalid fieldsType \"{other}\" in managed fields entry {position}")),
    }
    let set = match entry.get("fieldsV1") {
        None => Set::new(),
        Some(fields) => Set::decode(fields).map_err(|fault| {
            format!("error decoding versioned set from managed fields entry {position}: error decoding set: {fault}")
        })?,
    };
    Ok(Entry {
        identity: Identity::new(text("manager"), operation, text("apiVersion"), text("subresource")),
        api_version: text("apiVersion").to_owned(),
        time: entry.get("time").and_then(Value::as_str).map(str::to_owned),
        set,
    })
}

fn encode_entry(entry: Entry<'_>) -> Value {
    let mut fields = Map::new();
    fields.insert("apiVersion".to_owned(), Value::String(entry.api_version));
    fields.insert("fieldsType".to_owned(), Value::from("FieldsV1"));
    fields.insert("fieldsV1".to_owned(), entry.set.encode());
    if !entry.identity.manager.is_empty() {
        fields.insert("manager".to_owned(), Value::String(entry.identity.manager));
    }
    fields.insert("operation".to_owned(), Value::from(entry.identity.operation.name()));
    if !entry.identity.subresource.is_empty() {
        fields.insert("subresource".to_owned(), Value::String(entry.identity.subresource));
    }
    if let Some(time) = entry.time {
        fields.insert("time".to_owned(), Value::String(time));
    }
    Value::Object(fields)
}

fn seconds(time: Option<&str>) -> i64 {
    time.and_then(|time| time.parse::<Timestamp>().ok()).map_or(0, Timestamp::as_second)
}

fn order(left: &Entry<'_>, right: &Entry<'_>) -> Ordering {
    let (a, b) = (&left.identity, &right.identity);
    a.operation
        .cmp(&b.operation)
        .then_with(|| seconds(left.time.as_deref()).cmp(&seconds(right.time.as_deref())))
        .then_with(|| a.manager.cmp(&b.manager))
        .then_with(|| left.api_version.cmp(&right.api_version))
        .then_with(|| a.subresource.cmp(&b.subresource))
}
