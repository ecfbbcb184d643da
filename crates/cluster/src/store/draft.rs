//! An object's bytes but for its resourceVersion. Writing an object out is the costly part of a write; it is done
//! before the revision is known, so that the lock under which revisions are given out is held only briefly.

use bytes::Bytes;
use serde_json::{Map, Value};

/// Room for a small object.
const CAPACITY: usize = 1 << 10;
const REVISION: &str = "resourceVersion";

/// The bytes of an object around its resourceVersion; its type comes first, as in [`write_object`](super::write_object).
pub struct Draft {
    bytes: Vec<u8>,
    /// Where the digits go.
    at: usize,
}

impl Draft {
    /// Writes an object out; a resourceVersion in it is left away.
    pub fn new(object: Value) -> Self {
        let Value::Object(mut fields) = object else { return Self { bytes: Vec::new(), at: 0 } };
        if !fields.get("metadata").is_some_and(Value::is_object) {
            fields.insert("metadata".to_owned(), Value::Object(Map::new()));
        }
        let mut draft = Self { bytes: Vec::with_capacity(CAPACITY), at: 0 };
        draft.bytes.push(b'{');
        let types = ["kind", "apiVersion"];
        let typed = types.iter().all(|name| fields.contains_key(*name));
        for name in types.iter().filter(|_| typed) {
            if let Some(value) = fields.remove(*name) {
                draft.member(name, &value);
            }
        }
        for (name, value) in &fields {
            match value {
                Value::Object(metadata) if name == "metadata" => draft.metadata(metadata),
                value => draft.member(name, value),
            }
        }
        draft.bytes.push(b'}');
        draft
    }

    fn metadata(&mut self, metadata: &Map<String, Value>) {
        self.name("metadata");
        self.bytes.push(b'{');
        let (before, after): (Vec<_>, Vec<_>) =
            metadata.iter().filter(|(name, _)| *name != REVISION).partition(|(name, _)| name.as_str() < REVISION);
        for (name, value) in before {
            self.member(name, value);
        }
        self.name(REVISION);
        self.bytes.push(b'"');
        self.at = self.bytes.len();
        self.bytes.push(b'"');
        for (name, value) in after {
            self.member(name, value);
        }
        self.bytes.push(b'}');
    }

    fn member(&mut self, name: &str, value: &Value) {
        self.name(name);
        // A value in memory always has a JSON form.
        let _ = serde_json::to_writer(&mut self.bytes, value);
    }

    fn name(&mut self, name: &str) {
        if self.bytes.last() != Some(&b'{') {
            self.bytes.push(b',');
        }
        let _ = serde_json::to_writer(&mut self.bytes, name);
        self.bytes.push(b':');
    }

    /// The bytes of the object at a revision.
    pub fn at(&self, revision: u64) -> Bytes {
        let digits = revision.to_string();
        let (before, after) = self.bytes.split_at(self.at.min(self.bytes.len()));
        [before, digits.as_bytes(), after].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::write_object;

    #[test]
    fn a_draft_is_what_the_object_with_its_revision_would_be_written_as() {
        let rows = [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": "u"}, "data": {"k": "v"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"resourceVersion": "7", "name": "a"}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"zone": 1}, "resourceVersion": "own", "z": null}),
            json!({"apiVersion": "v1", "kind": "Odd", "metadata": {"name": "\"resourceVersion\":\"\""}, "a": [{"b": {}}]}),
            json!({"apiVersion": "v1", "kind": "Bare", "metadata": {}}),
        ];
        for object in rows {
            let mut expect = object.clone();
            expect["metadata"]["resourceVersion"] = "42".into();
            assert_eq!(Draft::new(object).at(42), write_object(expect));
        }
    }

    #[test]
    fn metadata_that_is_missing_is_made() {
        let draft = Draft::new(json!({"kind": "A", "apiVersion": "v1", "metadata": null}));
        assert_eq!(draft.at(3), &br#"{"kind":"A","apiVersion":"v1","metadata":{"resourceVersion":"3"}}"#[..]);
    }
}
