//! Resource quotas: what the objects of a namespace use, and whether one more fits.
//!
//! [`check`] answers for a request, from `status.hard` and `status.used` of the namespace's quotas, and
//! says how `used` changes; the caller stores that before the object. [`status`] computes `used` anew
//! from everything in the namespace, which repairs whatever a failed request left. Neither reads or
//! writes anything itself.

pub mod amounts;
pub mod evaluator;
pub mod pods;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::Value;

use self::amounts::Amounts;
use self::evaluator::{Evaluator, scopes};

/// A new `status.used` of a quota, to be stored if the quota has not changed since it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    pub name: String,
    pub resource_version: String,
    pub used: Value,
}

/// One write to a counted resource.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    pub group: &'a str,
    pub plural: &'a str,
    pub subresource: &'a str,
    pub object: &'a Value,
    /// The object before an update; none at a create.
    pub old: Option<&'a Value>,
}

/// Whether the write fits into every quota of its namespace, and what it adds to them.
///
/// # Errors
/// The text that follows `is forbidden:`, as in `exceeded quota: q, requested: pods=1, …`.
pub fn check(quotas: &[&Value], write: &Write, now: Timestamp) -> Result<Vec<Charge>, String> {
    let Some(evaluator) = Evaluator::of(write.group, write.plural) else { return Ok(Vec::new()) };
    if !handles(&evaluator, write) {
        return Ok(Vec::new());
    }
    let usage = evaluator.usage(write.object, now);
    let before = write.old.map(|old| evaluator.usage(old, now));
    let mut interesting = Vec::new();
    for quota in quotas {
        if let Some(limits) = concerned(&evaluator, quota, write.object)? {
            interesting.push((*quota, limits));
        }
    }
    if let Some(name) = usage.iter().find(|(_, amount)| amount.sign() < 0).map(|(name, _)| name) {
        return Err(format!("quota usage is negative for resource(s): {name}"));
    }
    let mut charges = Vec::new();
    for (quota, hard) in interesting {
        let counted_before = write.old.filter(|old| evaluator.in_scopes(&scopes(quota), old)).and(before.as_ref());
        let added = counted_before.map_or_else(|| usage.clone(), |before| amounts::less(&usage, before));
        let added = amounts::only(&added, |name| hard.contains_key(name) && !added[name].is_zero());
        if !added.is_empty() {
            charges.push(charge(quota, &hard, added, write.subresource)?);
        }
    }
    Ok(charges)
}

fn handles(evaluator: &Evaluator, write: &Write) -> bool {
    match (evaluator, write.subresource, write.old) {
        (Evaluator::Pods, "", Some(old)) => evaluator::is_terminating(old) != evaluator::is_terminating(write.object),
        (Evaluator::Pods, "resize", Some(_)) => true,
        (Evaluator::Claims, "status", Some(old)) => {
            let granted = |claim: &Value| amounts::read(claim["status"].get("allocatedResources"));
            granted(old) != granted(write.object)
        }
        (Evaluator::Services | Evaluator::Claims, "", Some(_)) => true,
        (_, "", None) => true,
        _ => false,
    }
}

/// The limits of a quota that applies to the object.
fn concerned(evaluator: &Evaluator, quota: &Value, object: &Value) -> Result<Option<Amounts>, String> {
    let hard = amounts::read(quota["status"].get("hard"));
    let limited: Vec<String> = hard.keys().filter(|name| evaluator.covers(name)).cloned().collect();
    if limited.is_empty() || !evaluator.in_scopes(&scopes(quota), object) {
        return Ok(None);
    }
    let name = quota["metadata"]["name"].as_str().unwrap_or_default();
    if let Some(missing) = evaluator.missing(&limited, object) {
        return Err(format!("failed quota: {name}: {missing}"));
    }
    let used = amounts::read(quota["status"].get("used"));
    if limited.iter().any(|resource| !used.contains_key(resource)) {
        return Err(format!("status unknown for quota: {name}, resources: {}", limited.join(",")));
    }
    Ok(Some(hard))
}

fn charge(quota: &Value, hard: &Amounts, added: Amounts, subresource: &str) -> Result<Charge, String> {
    let name = quota["metadata"]["name"].as_str().unwrap_or_default();
    let used = amounts::read(quota["status"].get("used"));
    let mut next = used.clone();
    amounts::add(&mut next, &added);
    let exceeded = |resource: &str| added.contains_key(resource) && next.get(resource) > hard.get(resource);
    let failed = amounts::only(&added, exceeded);
    if subresource != "status" && !failed.is_empty() {
        return Err(format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            amounts::render(&failed),
            amounts::render(&amounts::only(&used, |resource| failed.contains_key(resource))),
            amounts::render(&amounts::only(hard, |resource| failed.contains_key(resource))),
        ));
    }
    Ok(Charge {
        name: name.to_owned(),
        resource_version: quota["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned(),
        used: amounts::to_json(&next),
    })
}

/// The resources whose objects a quota must look at: group and plural of those among `served`.
pub fn needed<'a>(quota: &Value, served: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let hard = amounts::read(quota["spec"].get("hard"));
    let covers = |(group, plural): &(&str, &str)| {
        Evaluator::of(group, plural).is_some_and(|evaluator| hard.keys().any(|name| evaluator.covers(name)))
    };
    served.filter(covers).collect()
}

/// The objects of one resource in the quota's namespace.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    pub group: &'a str,
    pub plural: &'a str,
    pub objects: &'a [&'a Value],
}

/// The status of a quota (`hard` and `used`), where it differs from the one that stands.
pub fn status(quota: &Value, contents: &[Contents], now: Timestamp) -> Option<Value> {
    let hard = amounts::read(quota["spec"].get("hard"));
    let mut used: Amounts = hard.keys().map(|name| (name.clone(), amounts::count(0))).collect();
    let scopes = scopes(quota);
    for Contents { group, plural, objects } in contents {
        let Some(evaluator) = Evaluator::of(group, plural) else { continue };
        for object in objects.iter().filter(|object| evaluator.in_scopes(&scopes, object)) {
            let usage = evaluator.usage(object, now);
            amounts::add(&mut used, &amounts::only(&usage, |name| hard.contains_key(name)));
        }
    }
    let standing = &quota["status"];
    let same = |field: &str, amounts: &Amounts| {
        standing.get(field).is_some_and(Value::is_object) && amounts::read(standing.get(field)) == *amounts
    };
    if same("hard", &hard) && same("used", &used) {
        return None;
    }
    Some(serde_json::json!({"hard": amounts::to_json(&hard), "used": amounts::to_json(&used)}))
}
