//! Objects of custom resources in other versions than they are stored in, where a webhook converts them.
//!
//! Everything that shows or changes an object asks here first and goes on with what it gets: nothing else waits for a
//! webhook. Objects that are in the wanted version already are not sent.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{hooks::client, server::Api, write::meta};
use crate::{
    core::{
        crd::conversion::{self, Conversion},
        kinds::versions,
        status::{Failure, Outcome},
    },
    registry::{Rules, Served},
    store::{Change, Entry, write_object},
};

/// How long a webhook has for a review, as upstream.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of objects in one review: a longer list is converted in parts.
const REVIEW_BYTES: usize = 2 << 20;
/// Bytes of an answer: objects may grow as they are converted.
const ANSWER_BYTES: usize = 16 << 20;

/// The webhook that converts objects of a resource.
pub fn webhook(served: &Served) -> Option<&Value> {
    match &served.rules {
        Rules::Custom(custom) => match &custom.conversion {
            Conversion::Webhook(webhook) => Some(webhook),
            Conversion::Single | Conversion::Name => None,
        },
        Rules::Builtin => None,
    }
}

/// Entries with their objects in the version of `served`.
///
/// # Errors
/// 500 where the webhook does not convert.
pub async fn entries(api: &Api, served: &Served, entries: Vec<Arc<Entry>>) -> Outcome<Vec<Arc<Entry>>> {
    let Some(webhook) = webhook(served) else { return Ok(entries) };
    let objects: Vec<Value> = entries
        .iter()
        .map(|entry| serde_json::from_slice(&entry.json))
        .collect::<Result<_, _>>()
        .map_err(Failure::internal)?;
    let version = served.resource.api_version();
    let changed: Vec<bool> = objects.iter().map(|object| object["apiVersion"] != version.as_str()).collect();
    let objects = objects_to(api, webhook, objects, &version).await?;
    let pairs = entries.into_iter().zip(objects.into_iter().zip(changed));
    let converted = pairs.map(|(entry, (object, changed))| {
        if changed { Arc::new(Entry::new(entry.key.clone(), entry.revision, write_object(object))) } else { entry }
    });
    Ok(converted.collect())
}

/// Changes with their objects in the version of `served`.
///
/// # Errors
/// As [`entries`].
pub async fn changes(api: &Api, served: &Served, changes: Vec<Arc<Change>>) -> Outcome<Vec<Arc<Change>>> {
    let all = changes.iter().flat_map(|change| std::iter::once(&change.entry).chain(&change.previous));
    let mut converted = entries(api, served, all.cloned().collect()).await?.into_iter();
    let mut next = || converted.next().ok_or_else(|| Failure::internal("an object was lost while it was converted"));
    let mut rebuilt = Vec::with_capacity(changes.len());
    for change in changes {
        let entry = next()?;
        let previous = change.previous.is_some().then(&mut next).transpose()?;
        rebuilt.push(Arc::new(Change::new(change.kind, entry, previous)));
    }
    Ok(rebuilt)
}

/// An object of the version of `from` in that of `to`, another version of the same resource.
///
/// # Errors
/// As [`entries`].
pub async fn between(api: &Api, from: &Served, to: &Served, object: &Value) -> Outcome<Value> {
    match &from.rules {
        Rules::Builtin => {
            let stored = versions::to_stored(&from.resource, object);
            Ok(versions::from_stored(&to.resource, &stored))
        }
        Rules::Custom(_) => to_version(api, from, object.clone(), &to.resource.api_version()).await,
    }
}

/// A custom resource in another version.
///
/// # Errors
/// As [`entries`].
pub async fn to_version(api: &Api, served: &Served, mut object: Value, version: &str) -> Outcome<Value> {
    match webhook(served) {
        None => {
            object["apiVersion"] = version.into();
            Ok(object)
        }
        Some(webhook) => {
            let mut converted = objects_to(api, webhook, vec![object], version).await?;
            converted.pop().ok_or_else(|| Failure::internal("an object was lost while it was converted"))
        }
    }
}

async fn objects_to(api: &Api, webhook: &Value, objects: Vec<Value>, version: &str) -> Outcome<Vec<Value>> {
    let mut done = objects;
    let mut part: Vec<usize> = Vec::new();
    let mut bytes = 0;
    for index in 0..done.len() {
        if done[index]["apiVersion"] == version {
            continue;
        }
        let length = done[index].to_string().len();
        if bytes + length > REVIEW_BYTES && !part.is_empty() {
            convert_part(api, webhook, &mut done, &std::mem::take(&mut part), version).await?;
            bytes = 0;
        }
        part.push(index);
        bytes += length;
    }
    if !part.is_empty() {
        convert_part(api, webhook, &mut done, &part, version).await?;
    }
    Ok(done)
}

async fn convert_part(api: &Api, webhook: &Value, all: &mut [Value], part: &[usize], version: &str) -> Outcome<()> {
    let originals: Vec<Value> = part.iter().filter_map(|index| all.get(*index).cloned()).collect();
    let about = originals.first().map(conversion::shown_kind).unwrap_or_default();
    let (spoken, uid) = (conversion::review_version(webhook), meta::new_uid());
    let review = conversion::review(spoken, &uid, version, &originals);
    let body = serde_json::to_vec(&review).map_err(Failure::internal)?;
    let answered = client::post(api, &webhook["clientConfig"], PATIENCE, body, ANSWER_BYTES).await;
    let answered =
        answered.map_err(|fault| Failure::unexplained(format!("conversion webhook for {about} failed: {fault}")))?;
    let converted = conversion::converted(&answered, spoken, &uid, version, &originals);
    for (index, object) in part.iter().zip(converted.map_err(Failure::unexplained)?) {
        all[*index] = object;
    }
    Ok(())
}
