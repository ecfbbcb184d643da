//! API groups that another server answers for, as an APIService registers them.
//!
//! After kube-aggregator: what a registration names, what its status says, and what discovery shows of it. Who is asked,
//! and when, is the shell's.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::resource::{Resource, ResourceRef, Scope, Subresource};

/// The group of registrations.
pub const GROUP: &str = "apiregistration.k8s.io";

/// Where a group version is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub service: String,
    pub port: u16,
    /// Base64 of PEM; empty where there is none.
    pub bundle: String,
    pub insecure: bool,
    pub available: bool,
}

impl Registration {
    /// Reads an APIService; nothing for one of this server's own, which names no service.
    pub fn of(object: &Value) -> Option<Self> {
        let spec = &object["spec"];
        let service = spec.get("service").filter(|service| service.is_object())?;
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Some(Self {
            group: text(spec, "group"),
            version: text(spec, "version"),
            namespace: text(service, "namespace"),
            service: text(service, "name"),
            port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
            bundle: text(spec, "caBundle"),
            insecure: spec["insecureSkipTLSVerify"] == true,
            available: is_available(object),
        })
    }

    /// The name that the server's certificate is of.
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }

    /// `/apis/GROUP/VERSION`.
    pub fn path(&self) -> String {
        format!("/apis/{}/{}", self.group, self.version)
    }
}

fn is_available(object: &Value) -> bool {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Available" && condition["status"] == "True")
}

/// Whether a group version answers, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Passed,
    Failed { reason: &'static str, message: String },
}

/// The status that a registration should have; nothing where it has it.
pub fn status(object: &Value, health: &Health, now: Timestamp) -> Option<Value> {
    let (status, reason, message) = match health {
        Health::Passed => ("True", "Passed", "all checks passed"),
        Health::Failed { reason, message } => ("False", *reason, message.as_str()),
    };
    let mut conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let known = conditions.iter_mut().find(|condition| condition["type"] == "Available");
    let mut new = json!({"type": "Available", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
    match known {
        None => conditions.push(new),
        Some(known) => {
            if known["status"] == status {
                new["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            if *known == new {
                return None;
            }
            *known = new;
        }
    }
    Some(json!({ "conditions": conditions }))
}

/// The rows of another server's `APIResourceList`.
pub fn rows(group: &str, version: &str, document: &Value) -> Vec<ResourceRef> {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    let mut found: BTreeMap<String, Resource> = BTreeMap::new();
    let all = || document["resources"].as_array().into_iter().flatten();
    for row in all().filter(|row| !text(row, "name").contains('/')) {
        let (plural, kind) = (text(row, "name"), text(row, "kind"));
        let resource = Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            list_kind: format!("{kind}List"),
            kind,
            plural: plural.clone(),
            singular: text(row, "singularName"),
            short_names: texts(&row["shortNames"]),
            categories: texts(&row["categories"]),
            scope: if row["namespaced"] == true { Scope::Namespaced } else { Scope::Cluster },
            verbs: texts(&row["verbs"]),
            subresources: Vec::new(),
            selectable_fields: Vec::new(),
            storage: String::new(),
            // Behind the built-in groups.
            custom: true,
        };
        found.insert(plural, resource);
    }
    for row in all() {
        let name = text(row, "name");
        let Some((plural, part)) = name.split_once('/') else { continue };
        let Some(parent) = found.get_mut(plural) else { continue };
        let kind = (or(text(row, "group"), group), or(text(row, "version"), version), text(row, "kind"));
        let subresource = Subresource { name: part.to_owned(), kind: Some(kind), verbs: texts(&row["verbs"]) };
        parent.subresources.push(subresource);
    }
    found.into_values().map(Arc::new).collect()
}

/// A name in a header: what no header may hold is percent-encoded, and all is in lower case, as upstream.
pub fn header_name(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for byte in key.to_lowercase().bytes() {
        match byte {
            b'a'..=b'z'
            | b'0'..=b'9'
            | b'!'
            | b'#'
            | b'$'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~' => name.push(char::from(byte)),
            other => name.push_str(&format!("%{other:02X}")),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registered(status: Value) -> Value {
        json!({"spec": {"group": "g.org", "version": "v1", "service": {"namespace": "n", "name": "s", "port": 8443}},
            "status": status})
    }

    #[test]
    fn a_registration_names_where_its_group_is_answered() {
        let own = Registration::of(&registered(json!({}))).unwrap();
        assert_eq!((own.host().as_str(), own.port, own.path().as_str()), ("s.n.svc", 8443, "/apis/g.org/v1"));
        assert!(!own.available);
        assert_eq!(Registration::of(&json!({"spec": {"group": "g", "version": "v1"}})), None);
    }

    #[test]
    fn a_status_changes_only_with_what_it_says() {
        let (first, later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(60).unwrap());
        let status = |object: &Value, health: &Health, now| super::status(object, health, now);
        let passed = status(&registered(json!({})), &Health::Passed, first).unwrap();
        let object = registered(passed);
        assert!(Registration::of(&object).unwrap().available);
        assert_eq!(status(&object, &Health::Passed, later), None);
        let failed = Health::Failed { reason: "FailedDiscoveryCheck", message: "m".to_owned() };
        let failed = status(&object, &failed, later).unwrap();
        assert_eq!(failed["conditions"][0]["lastTransitionTime"], "1970-01-01T00:01:00Z");
        assert!(!Registration::of(&registered(failed)).unwrap().available);
    }

    #[test]
    fn rows_are_those_of_the_other_servers_list() {
        let document = json!({"resources": [
            {"name": "flunders/status", "kind": "Flunder", "namespaced": true, "verbs": ["get"]},
            {"name": "flunders", "singularName": "flunder", "kind": "Flunder", "namespaced": true, "verbs": ["get", "list"]},
        ]});
        let rows = rows("g.org", "v1", &document);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].plural.as_str(), rows[0].subresources[0].name.as_str()), ("flunders", "status"));
        assert!(rows[0].namespaced() && !rows[0].stored());
    }

    #[test]
    fn names_in_headers_are_escaped() {
        assert_eq!(header_name("Example.org/Foo"), "example.org%2Ffoo");
    }
}
