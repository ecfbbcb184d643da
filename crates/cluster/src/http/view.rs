//! Objects as a client wants to see them: plain, as rows of a Table, or their metadata only.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    body::{self, Body, Items, ListBody},
    compress::Compression,
    negotiate::{Encoding, Form, Representation},
    options::Options,
};
use crate::{
    core::{
        crd::conversion::Conversion,
        kinds::versions,
        status::{Failure, Outcome},
        table::{self, Headers, IncludeObject},
    },
    registry::{Rules, Served},
    store::{Change, Entry, frame},
};

/// How one request's objects are written.
#[derive(Clone)]
pub struct View {
    pub served: Arc<Served>,
    pub representation: Representation,
    pub compression: Compression,
    include: IncludeObject,
    now: Timestamp,
    /// Indented, for people.
    pretty: bool,
}

/// The metadata of a list.
#[derive(Clone, Debug, Default)]
pub struct ListMeta {
    pub revision: u64,
    pub continue_token: Option<String>,
    pub remaining: Option<usize>,
}

impl ListMeta {
    fn json(&self) -> Value {
        let mut meta = Map::new();
        meta.insert("resourceVersion".to_owned(), self.revision.to_string().into());
        if let Some(token) = &self.continue_token {
            meta.insert("continue".to_owned(), token.clone().into());
        }
        if let Some(remaining) = self.remaining {
            meta.insert("remainingItemCount".to_owned(), remaining.into());
        }
        Value::Object(meta)
    }
}

impl View {
    /// The view that a request asks for.
    ///
    /// # Errors
    /// 400 for an `includeObject` that is none.
    pub fn new(
        served: Arc<Served>,
        representation: Representation,
        compression: Compression,
        options: &Options,
        now: Timestamp,
    ) -> Outcome<Self> {
        let include = IncludeObject::parse(options.include_object.as_deref()).map_err(Failure::bad_request)?;
        Ok(Self { served, representation, compression, include, now, pretty: options.pretty })
    }

    /// Whether stored bytes can be sent as they are.
    fn is_raw(&self) -> bool {
        self.representation.form == Form::Plain
            && self.representation.encoding == Encoding::Json
            && self.served.is_stored_version()
            && !self.pretty
            && !matches!(
                &self.served.rules,
                Rules::Custom(custom) if custom.has_defaults || custom.conversion != Conversion::Single
            )
    }

    /// A stored object in the version of the request.
    ///
    /// # Errors
    /// 500 when stored bytes are no JSON, which only a damaged disk makes.
    pub fn parse(&self, entry: &Entry) -> Outcome<Value> {
        let object = serde_json::from_slice(&entry.json).map_err(Failure::internal)?;
        let is_reduced = self.representation.form != Form::Plain && self.include != IncludeObject::Object;
        if is_reduced && versions::is_printed_as_stored(&self.served.resource) {
            return Ok(object);
        }
        Ok(self.convert(object))
    }

    /// An object in stored form in the version of the request.
    pub fn convert(&self, mut object: Value) -> Value {
        if let Rules::Custom(custom) = &self.served.rules
            && custom.has_defaults
        {
            custom.compiled.default(&mut object);
        }
        match &self.served.rules {
            Rules::Builtin if self.served.is_stored_version() => object,
            Rules::Builtin => versions::from_stored(&self.served.resource, &object),
            Rules::Custom(_) => {
                object["apiVersion"] = self.served.resource.api_version().into();
                object
            }
        }
    }

    /// One object as a body.
    ///
    /// # Errors
    /// 500 when it cannot be written.
    pub fn object(&self, entry: &Entry) -> Outcome<Body> {
        if self.is_raw() {
            return Ok(body::full(entry.json.clone()));
        }
        let object = self.parse(entry)?;
        self.value(&object)
    }

    /// One object, already in the version of the request, as a body.
    ///
    /// # Errors
    /// 500 when it cannot be written.
    pub fn value(&self, object: &Value) -> Outcome<Body> {
        let shown = match self.representation.form {
            Form::Plain if self.pretty && self.representation.encoding == Encoding::Json => {
                let text = serde_json::to_string_pretty(object).map_err(Failure::internal)?;
                return Ok(body::full(text));
            }
            Form::Plain => return write(object, self.representation.encoding).map(body::full),
            Form::Table => self.table(&[object], object["metadata"]["resourceVersion"].as_str(), None),
            Form::Metadata => self.metadata(object, "PartialObjectMetadata"),
        };
        write(&shown, self.representation.encoding).map(body::full)
    }

    /// A list as a body.
    ///
    /// # Errors
    /// 500 when it cannot be written.
    pub fn list(&self, entries: Vec<Arc<Entry>>, meta: &ListMeta) -> Outcome<Body> {
        let row = &self.served.resource;
        if self.is_raw() {
            let head = format!(
                "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{},\"items\":[",
                Value::from(row.list_kind.as_str()),
                Value::from(row.api_version()),
                self.list_meta(meta)
            );
            let items = if row.custom { Items::Whole } else { Items::WithoutType };
            let body = ListBody::new(head.into(), entries, Bytes::from_static(b"]}\n"), items);
            return Ok(Body::new(body));
        }
        let mut objects: Vec<Value> = entries.iter().map(|entry| self.parse(entry)).collect::<Outcome<_>>()?;
        if self.representation.form == Form::Plain && !row.custom {
            for object in objects.iter_mut().filter_map(Value::as_object_mut) {
                object.remove("kind");
                object.remove("apiVersion");
            }
        }
        let shown = match self.representation.form {
            Form::Plain => json!({
                "kind": row.list_kind, "apiVersion": row.api_version(), "metadata": self.list_meta(meta), "items": objects
            }),
            Form::Table => {
                let all: Vec<&Value> = objects.iter().collect();
                let mut table = self.table(&all, None, None);
                table["metadata"] = meta.json();
                table
            }
            Form::Metadata => json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": format!("meta.k8s.io/{}", self.representation.meta_version),
                "metadata": meta.json(),
                "items": objects.iter().map(|object| self.metadata(object, "PartialObjectMetadata")).collect::<Vec<_>>(),
            }),
        };
        write(&shown, self.representation.encoding).map(body::full)
    }

    /// The metadata of a list of the objects themselves; one of custom resources names a page that does not follow.
    fn list_meta(&self, meta: &ListMeta) -> Value {
        let mut shown = meta.json();
        if self.served.resource.custom && meta.continue_token.is_none() {
            shown["continue"] = "".into();
        }
        shown
    }

    /// A line of a watch for a change, in the type that a watcher who selects nothing is told.
    ///
    /// # Errors
    /// 500 when it cannot be written.
    pub fn change(&self, change: &Change, is_first: bool) -> Outcome<Bytes> {
        if self.is_raw() {
            return Ok(change.frame());
        }
        self.event(change.event_type(), &change.entry, is_first)
    }

    /// A line of a watch.
    ///
    /// # Errors
    /// 500 when it cannot be written.
    pub fn event(&self, event_type: &str, entry: &Entry, is_first: bool) -> Outcome<Bytes> {
        if self.is_raw() {
            return Ok(frame(event_type, &entry.json));
        }
        let object = self.parse(entry)?;
        let shown = match self.representation.form {
            Form::Plain => object,
            Form::Table => self.table(&[&object], object["metadata"]["resourceVersion"].as_str(), Some(is_first)),
            Form::Metadata => self.metadata(&object, "PartialObjectMetadata"),
        };
        Ok(frame(event_type, &write(&shown, Encoding::Json)?))
    }

    /// A bookmark; `is_end` marks the end of a streamed list.
    pub fn bookmark(&self, revision: u64, is_end: bool) -> Bytes {
        let row = &self.served.resource;
        let mut meta = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if is_end {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let version = format!("meta.k8s.io/{}", self.representation.meta_version);
        let object = match self.representation.form {
            Form::Plain => json!({"kind": row.kind, "apiVersion": row.api_version(), "metadata": meta}),
            Form::Table => json!({"kind": "Table", "apiVersion": version, "metadata": meta, "rows": []}),
            Form::Metadata => json!({"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": meta}),
        };
        frame("BOOKMARK", object.to_string().as_bytes())
    }

    fn table(&self, objects: &[&Value], revision: Option<&str>, columns: Option<bool>) -> Value {
        let crd = match &self.served.rules {
            Rules::Builtin => None,
            Rules::Custom(custom) => Some(&custom.columns),
        };
        let headers = if columns == Some(false) { Headers::Hidden } else { Headers::Shown };
        let version = &self.representation.meta_version;
        let options = table::Options { include: self.include, headers, version, now: self.now, columns: crd };
        let row = &self.served.resource;
        // A client that asks for the objects whole gets them in its version.
        let of_version = self.include == IncludeObject::Object;
        let shown: Vec<Cow<'_, Value>> = objects.iter().map(|object| versions::unversioned(row, object)).collect();
        let shown: Vec<&Value> = shown.iter().map(|object| &**object).collect();
        let mut table = table::render(row, &shown, &options);
        if of_version {
            for (rendered, object) in table["rows"].as_array_mut().into_iter().flatten().zip(objects) {
                rendered["object"] = (*object).clone();
            }
        }
        if let Some(revision) = revision {
            table["metadata"] = json!({ "resourceVersion": revision });
        }
        table
    }

    fn metadata(&self, object: &Value, kind: &str) -> Value {
        json!({
            "kind": kind,
            "apiVersion": format!("meta.k8s.io/{}", self.representation.meta_version),
            "metadata": versions::unversioned(&self.served.resource, object)["metadata"],
        })
    }

    /// A scale of one of the view's objects as a body.
    ///
    /// # Errors
    /// 500 when it cannot be written.
    pub fn scale(&self, scale: &Value) -> Outcome<Body> {
        let shown = match self.representation.form {
            Form::Plain => return self.value(scale),
            Form::Metadata => self.metadata(scale, "PartialObjectMetadata"),
            Form::Table => {
                let version = &self.representation.meta_version;
                let headers = Headers::Shown;
                let options = table::Options { include: self.include, headers, version, now: self.now, columns: None };
                let mut table = table::scale(scale, self.served.resource.custom, &options);
                table["metadata"] = json!({ "resourceVersion": scale["metadata"]["resourceVersion"] });
                table
            }
        };
        write(&shown, self.representation.encoding).map(body::full)
    }

    /// The `Content-Type` of the body.
    pub fn content_type(&self) -> &'static str {
        match self.representation.encoding {
            Encoding::Json => "application/json",
            Encoding::Yaml => "application/yaml",
        }
    }
}

/// Writes a value.
///
/// # Errors
/// 500 when it cannot be written.
pub fn write(value: &Value, encoding: Encoding) -> Outcome<Bytes> {
    match encoding {
        Encoding::Json => serde_json::to_vec(value).map(Bytes::from).map_err(Failure::internal),
        Encoding::Yaml => serde_saphyr::to_string(value).map(Bytes::from).map_err(Failure::internal),
    }
}
