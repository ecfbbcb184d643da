//! `get` and `list`, and which objects a request means.

use std::{sync::Arc, time::Duration};

use base64::Engine;
use serde_json::json;

use super::{
    body::Body,
    convert,
    options::{self, Options, VersionMatch},
    server::Api,
    view::{ListMeta, View},
    write,
};
use crate::{
    core::{
        field::FieldError,
        selector::{fields, labels},
        status::{Failure, Outcome},
    },
    registry::Served,
    store::{Entry, ListRange, ObjectKey, Snapshot, Store, Unavailable},
};

/// How long a request waits for a revision that has not come.
const FUTURE_PATIENCE: Duration = Duration::from_secs(3);

/// Which objects a request means.
pub struct Selection {
    served: Arc<Served>,
    namespace: Option<String>,
    name: Option<String>,
    labels: labels::Selector,
    fields: fields::Selector,
}

impl Selection {
    /// Reads the selectors of a request.
    ///
    /// # Errors
    /// 400 for a selector that cannot be read or names an unknown field.
    pub fn new(served: Arc<Served>, namespace: &str, name: &str, options: &Options) -> Outcome<Self> {
        let labels = labels::Selector::parse(&options.label_selector)
            .map_err(|error| Failure::bad_request(error.to_string()))?;
        let fields = fields::Selector::parse(&options.field_selector)
            .and_then(|fields| fields.for_resource(&served.resource))
            .map_err(|error| Failure::bad_request(error.to_string()))?;
        let name = if name.is_empty() {
            fields.exact_match("metadata.name").map(str::to_owned)
        } else {
            Some(name.to_owned())
        };
        let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        Ok(Self { served, namespace, name, labels, fields })
    }

    /// The resource that is meant.
    pub fn served(&self) -> &Served {
        &self.served
    }

    /// Whether more than a namespace is selected.
    pub fn is_selective(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty() || self.name.is_some()
    }

    /// Whether an object of this key may be meant.
    pub fn in_namespace(&self, key: &ObjectKey) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| &*key.namespace == namespace)
            && self.name.as_deref().is_none_or(|name| &*key.name == name)
    }

    /// Whether an object is meant.
    pub fn matches(&self, entry: &Entry) -> bool {
        if !self.in_namespace(&entry.key) || !self.labels.matches(&EntryLabels(entry)) {
            return false;
        }
        if self.fields.is_empty() {
            return true;
        }
        // A field is named as the version of the request names it.
        write::parse(&self.served, entry).is_ok_and(|object| self.fields.matches(&self.served.resource, &object))
    }
}

/// The labels that the store keeps beside the bytes.
struct EntryLabels<'a>(&'a Entry);

impl labels::Labels for EntryLabels<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        self.0.label(key)
    }
}

/// Waits for a revision that a client has seen elsewhere.
///
/// # Errors
/// 504 when it does not come.
pub async fn wait_for(store: &Store, revision: u64) -> Outcome<()> {
    match tokio::time::timeout(FUTURE_PATIENCE, store.reached(revision)).await {
        Ok(()) => Ok(()),
        Err(_) => Err(Failure::future_revision(revision, store.revision())),
    }
}

struct Continue {
    revision: Option<u64>,
    after: ObjectKey,
}

impl Continue {
    fn parse(token: &str) -> Outcome<Self> {
        let bad = || {
            let why =
                format!("invalid continue token: continue key is not valid: {token:?} was not given by this server");
            Failure::bad_request(why)
        };
        let bytes =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_| bad())?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        let start = value["start"].as_str().ok_or_else(bad)?;
        let (namespace, name) = start.split_once('/').ok_or_else(bad)?;
        let revision = value["rv"].as_i64().ok_or_else(bad)?;
        Ok(Self { revision: u64::try_from(revision).ok(), after: ObjectKey::new(namespace, name) })
    }

    fn token(revision: Option<u64>, after: &ObjectKey) -> String {
        let revision = revision.and_then(|revision| i64::try_from(revision).ok()).unwrap_or(-1);
        let start = format!("{}/{}", after.namespace, after.name);
        let json = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start}).to_string();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json)
    }
}

fn check_versions(options: &Options) -> Outcome<()> {
    if options.send_initial_events.is_some() {
        let why = "sendInitialEvents is forbidden for list";
        return Err(options::list_option(FieldError::forbidden("sendInitialEvents", why)));
    }
    let Some(matching) = options.version_match else { return Ok(()) };
    if options.resource_version.is_none() {
        return Err(options::list_option(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )));
    }
    if options.continue_token.is_some() {
        return Err(options::list_option(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden when continue is provided",
        )));
    }
    if matching == VersionMatch::Exact && options.resource_version == Some(0) {
        return Err(options::list_option(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        )));
    }
    Ok(())
}

/// Answers a list.
///
/// # Errors
/// 400, 410, 422 or 504 as the options and the history say.
pub async fn list(api: &Api, view: &View, selection: &Selection, options: &Options) -> Outcome<Body> {
    let store = &api.store;
    check_versions(options)?;
    let continued = options.continue_token.as_deref().map(Continue::parse).transpose()?;
    if continued.is_some() && options.resource_version.is_some_and(|version| version != 0) {
        return Err(Failure::bad_request("specifying resource version is not allowed when using continue"));
    }
    let asked = options.resource_version.filter(|version| *version != 0);
    let is_exact = options.version_match == Some(VersionMatch::Exact)
        || (options.version_match.is_none() && options.limit.is_some());
    if let Some(revision) = asked {
        wait_for(store, revision).await?;
    }
    let at = match &continued {
        Some(continued) => continued.revision,
        None => asked.filter(|_| is_exact),
    };
    let after = continued.map(|continued| continued.after);
    let snapshot = snapshot(api, selection, options.limit, at, after).await?;
    let meta = list_meta(&snapshot, selection);
    view.list(snapshot.entries, &meta)
}

/// The objects that a request means, for `deletecollection`.
///
/// # Errors
/// 410 for a continue token that is too old.
pub async fn select(api: &Api, selection: &Selection, options: &Options) -> Outcome<(Vec<Arc<Entry>>, ListMeta)> {
    let continued = options.continue_token.as_deref().map(Continue::parse).transpose()?;
    let (at, after) = continued.map_or((None, None), |continued| (continued.revision, Some(continued.after)));
    let snapshot = snapshot(api, selection, options.limit, at, after).await?;
    let meta = list_meta(&snapshot, selection);
    Ok((snapshot.entries, meta))
}

/// The objects of a list, at most `limit` of those selected.
///
/// # Errors
/// 410 for a view that is gone.
pub async fn snapshot(
    api: &Api,
    selection: &Selection,
    limit: Option<usize>,
    at: Option<u64>,
    after: Option<ObjectKey>,
) -> Outcome<Snapshot> {
    let selective = selection.is_selective();
    let range = ListRange {
        namespace: selection.namespace.as_deref(),
        after: after.clone(),
        limit: limit.filter(|_| !selective),
        at,
    };
    let listed = api.store.list(&selection.served.resource.storage, &range);
    let mut snapshot = listed.map_err(|unavailable| match unavailable {
        Unavailable::Expired { .. } => expired(after.as_ref()),
        Unavailable::Future { current } => Failure::future_revision(at.unwrap_or_default(), current),
    })?;
    // What converts by a webhook is selected as the version of the request shows it.
    snapshot.entries = convert::entries(api, &selection.served, snapshot.entries).await?;
    if selective {
        let mut matching = snapshot.entries.into_iter().filter(|entry| selection.matches(entry));
        snapshot.entries = matching.by_ref().take(limit.unwrap_or(usize::MAX)).collect();
        snapshot.remaining = matching.count();
    }
    Ok(snapshot)
}

fn list_meta(snapshot: &Snapshot, selection: &Selection) -> ListMeta {
    let last = snapshot.entries.last().filter(|_| snapshot.remaining > 0);
    ListMeta {
        revision: snapshot.revision,
        continue_token: last.map(|last| Continue::token(Some(snapshot.revision), &last.key)),
        remaining: last.filter(|_| !selection.is_selective()).map(|_| snapshot.remaining),
    }
}

/// 410 for a view that is gone; the token in it goes on where the list stood, in a newer view.
fn expired(after: Option<&ObjectKey>) -> Box<Failure> {
    let Some(after) = after else {
        return Failure::expired("The resourceVersion for the provided list is too old.");
    };
    let mut failure = Failure::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    failure.continue_token = Some(Continue::token(None, after));
    failure
}
