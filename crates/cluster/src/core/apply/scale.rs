//! Who owns `replicas`, seen through the scale subresource and back.
//!
//! Rules follow `apimachinery/pkg/util/managedfields/scalehandler.go`.

use serde_json::Value;

use super::element::Element;
use super::fieldset::Set;
use super::managed::{Entry, Managed};

const SCALE_VERSION: &str = "autoscaling/v1";
const SCALE_REPLICAS: &[&str] = &["spec", "replicas"];

/// Where a resource keeps its replicas, and the version in which it does.
#[derive(Clone, Copy, Debug)]
pub struct ScalePath<'a> {
    /// `apps/v1`
    pub api_version: &'a str,
    /// `["spec", "replicas"]`; empty where the version has no scale subresource.
    pub path: &'a [&'a str],
}

fn steps<'a>(path: &[&'a str]) -> Vec<Element<'a>> {
    path.iter().map(|name| Element::Field(name)).collect()
}

/// The managed fields of a `Scale`, from those of the resource.
///
/// # Errors
/// Says which entry cannot be read.
pub fn to_scale(parent: Option<&Value>, paths: &[ScalePath<'_>]) -> Result<Value, String> {
    let mut scale = Managed::default();
    for entry in Managed::decode(parent)?.entries {
        let Some(path) = paths.iter().find(|path| path.api_version == entry.api_version) else { continue };
        if entry.set.contains(&steps(path.path)) {
            let set = Set::of_fields(&[SCALE_REPLICAS]);
            scale.entries.push(Entry { api_version: SCALE_VERSION.to_owned(), set, ..entry });
        }
    }
    Ok(scale.encode())
}

/// The managed fields of the resource, after a write to its `Scale` left `scale`.
///
/// # Errors
/// Says which entry cannot be read.
pub fn to_parent(
    parent: Option<&Value>,
    scale: Option<&Value>,
    own_version: &str,
    paths: &[ScalePath<'_>],
) -> Result<Value, String> {
    let parent = Managed::decode(parent)?;
    let mut scale = Managed::decode(scale)?;
    let times: Vec<_> = parent.entries.iter().map(|entry| (entry.identity.clone(), entry.time.clone())).collect();
    let mut result = Managed::default();
    for entry in parent.entries {
        let Some(path) = paths.iter().find(|path| path.api_version == entry.api_version) else { continue };
        let owns = !path.path.is_empty() && entry.set.contains(&steps(path.path));
        if owns && scale.remove(&entry.identity).is_none() {
            let set = entry.set.difference(&Set::of_fields(&[path.path]));
            if !set.is_empty() {
                result.entries.push(Entry { set, ..entry });
            }
        } else {
            result.entries.push(entry);
        }
    }
    let own_path = paths.iter().find(|path| path.api_version == own_version).map_or(SCALE_REPLICAS, |path| path.path);
    for entry in scale.entries.into_iter().filter(|entry| entry.set.contains(&steps(SCALE_REPLICAS))) {
        let known = times.iter().find(|(identity, _)| *identity == entry.identity);
        let time = match known {
            Some((_, time)) => time.clone(),
            None => None,
        };
        let set = Set::of_fields(&[own_path]);
        result.remove(&entry.identity);
        result.entries.push(Entry { api_version: own_version.to_owned(), set, time, ..entry });
    }
    Ok(result.encode())
}
