//! Kinds that bodies are of though no resource is: what a subresource or a deletion takes.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    decode::{self, Format},
    patch,
};
use crate::core::{
    apply::{self, Force, ResetFields},
    fields,
    schema::{NodeId, Table},
    status::{Failure, Outcome},
};

/// Who writes an object that is not kept, through what, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    pub name: &'a str,
    pub subresource: &'a str,
    pub now: Timestamp,
}

impl<'a> Writer<'a> {
    fn manager(self, api_version: &'a str) -> apply::Manager<'a> {
        apply::Manager { name: self.name, api_version, subresource: self.subresource, now: self.now }
    }
}

/// A kind that bodies are of though no resource is: what a subresource or a deletion takes.
#[derive(Clone, Copy, Debug)]
pub struct PartKind {
    pub group: &'static str,
    pub kind: &'static str,
}

impl PartKind {
    fn api_version(self) -> String {
        if self.group.is_empty() { VERSION.to_owned() } else { format!("{}/{}", self.group, VERSION) }
    }

    /// The shape of the kind. Options belong to every group, the one that upstream names for them included.
    fn node(self) -> Option<NodeId> {
        let group = if self.group == META_GROUP { "" } else { self.group };
        Table::builtin().kind(group, VERSION, self.kind)
    }

    /// What is wrong with an object of another kind.
    fn other(self, sent: &Value) -> Option<(String, String, String)> {
        let text = |name: &str| sent[name].as_str().filter(|text| !text.is_empty());
        let own = self.api_version();
        let (api_version, kind) = (text("apiVersion").unwrap_or(&own), text("kind").unwrap_or(self.kind));
        let (group, version) = group_and_version(api_version);
        // Options are taken in the name of any group; an eviction has an older version of the same shape.
        let is_own = api_version == own
            || self.group == META_GROUP
            || (kind == "Eviction" && api_version == "policy/v1beta1")
            || Table::builtin().kind(group, version, kind).is_some_and(|node| Some(node) == self.node());
        let fault = not_registered(api_version, kind);
        (kind != self.kind || !is_own).then(|| (kind.to_owned(), version.to_owned(), fault))
    }

    /// Reads a body as an object of the kind.
    ///
    /// # Errors
    /// 400 for another kind and for wrong types.
    pub fn read(self, body: &Bytes, format: Format) -> Outcome<Value> {
        let mut object = decode::value(body, format, self.kind)?;
        let (kind, version) = (self.kind.to_owned(), VERSION.to_owned());
        let read = match self.other(&object) {
            Some(other) => Err(other),
            None => self.decode(&mut object).map_err(|fault| (kind, version, fault)),
        };
        read.map_err(|(kind, version, fault)| {
            Failure::bad_request(fields::decode_error(&kind, &version, self.kind, &fault, body))
        })?;
        Ok(object)
    }

    /// Reads the options of a request, whose faults upstream tells as they are.
    ///
    /// # Errors
    /// 500 without a reason.
    pub fn read_options(self, body: &Bytes, format: Format) -> Outcome<Value> {
        let mut object = decode::fields_of(body, format).map_err(Failure::unexplained)?;
        self.decode(&mut object).map_err(Failure::unexplained)?;
        Ok(object)
    }

    /// Accounts for the fields of a decoded object, which is made and not kept; `live` is what it was before.
    pub fn account(self, live: Option<&Value>, object: Value, writer: &Writer<'_>) -> Value {
        let Some(node) = self.node() else { return object };
        let api_version = self.api_version();
        let manager = writer.manager(&api_version);
        apply::update(Table::builtin(), node, live, object, &manager, &ResetFields::default())
    }

    /// Applies a configuration to an object that is not kept.
    ///
    /// # Errors
    /// 409 for fields of others, 400 and 500 for what is no configuration of the kind.
    pub fn apply(self, live: &Value, applied: &Value, writer: &Writer<'_>, force: Force) -> Outcome<Value> {
        let node = self.node().ok_or_else(Failure::no_such_path)?;
        let api_version = self.api_version();
        let manager = writer.manager(&api_version);
        let reset = ResetFields::default();
        apply::apply(Table::builtin(), node, Some(live), applied, &manager, force, &reset).map_err(patch::apply_failure)
    }

    /// Makes of an object what decoding it as the kind does.
    ///
    /// # Errors
    /// In the words of Go's decoder.
    pub fn decode(self, object: &mut Value) -> Result<(), String> {
        if let Some((_, _, fault)) = self.other(object) {
            return Err(fault);
        }
        if let Value::Object(fields) = object {
            fields.insert("apiVersion".to_owned(), self.api_version().into());
            fields.insert("kind".to_owned(), self.kind.into());
        }
        // A test holds that each has a definition.
        self.node().map_or(Ok(()), |node| fields::decode(Table::builtin(), node, object))
    }
}

/// The group that upstream takes options to be of that name none.
const META_GROUP: &str = "meta.k8s.io";

/// Where upstream says that its kinds are registered.
const SCHEME: &str = "pkg/runtime/scheme.go:110";

/// The words for a kind that upstream does not know.
pub fn not_registered(api_version: &str, kind: &str) -> String {
    format!("no kind {kind:?} is registered for version {api_version:?} in scheme {SCHEME:?}")
}

/// The parts of an `apiVersion`; the core group has an empty name.
pub fn group_and_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// All kinds of this sort have the same version.
const VERSION: &str = "v1";

pub const SCALE: PartKind = PartKind { group: "autoscaling", kind: "Scale" };
pub const BINDING: PartKind = PartKind { group: "", kind: "Binding" };
pub const EVICTION: PartKind = PartKind { group: "policy", kind: "Eviction" };
pub const TOKEN_REQUEST: PartKind = PartKind { group: "authentication.k8s.io", kind: "TokenRequest" };
pub const DELETE_OPTIONS: PartKind = PartKind { group: META_GROUP, kind: "DeleteOptions" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_is_no_resource_has_a_shape() {
        for kind in [SCALE, BINDING, EVICTION, TOKEN_REQUEST, DELETE_OPTIONS] {
            assert!(kind.node().is_some(), "{kind:?}");
        }
    }

    #[test]
    fn faults_of_a_part_are_told_in_the_words_of_go() {
        let read = |body: &'static str| SCALE.read(&Bytes::from(body), Format::Json).unwrap_err().message;
        assert_eq!(
            read(r#"{"spec":5}"#),
            "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal number into Go struct field \
             Scale.spec of type v1.ScaleSpec"
        );
        assert!(read("5").contains("json: cannot unmarshal number into Go value of type struct { APIVersion string"));
        assert!(
            read(r#"{"kind":"Scale","apiVersion":"v1"}"#).contains(r#"no kind "Scale" is registered for version "v1""#)
        );
    }
}
