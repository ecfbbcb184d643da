//! A JSON text as Go reads it into structures: a field that is there twice is read into what the first has left.
//!
//! Objects merge, and of everything else the last one counts. It is asked where a text repeats a field.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads a text in which fields are repeated; none where it is no JSON.
pub fn read_repeated(raw: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Merged>(raw).ok().map(|merged| merged.0)
}

struct Merged(Value);

impl<'de> Deserialize<'de> for Merged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(Merged(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some((key, Merged(value))) = entries.next_entry::<String, Merged>()? {
            put(&mut read, key, value);
        }
        Ok(Value::Object(read))
    }
}

fn put(fields: &mut Map<String, Value>, key: String, value: Value) {
    match (fields.get_mut(&key), value) {
        (Some(Value::Object(before)), Value::Object(after)) => {
            after.into_iter().for_each(|(key, value)| put(before, key, value));
        }
        (_, value) => drop(fields.insert(key, value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::read_repeated;

    #[test]
    fn objects_merge_and_else_the_last_counts() {
        let rows = [
            (r#"{"data":{"a":"1","a":"2"},"data":{"b":"1"}}"#, json!({"data": {"a": "2", "b": "1"}})),
            (r#"{"l":[1,2],"l":[3],"n":1,"n":-1.5}"#, json!({"l": [3], "n": -1.5})),
            (r#"{"o":{"a":1},"o":null}"#, json!({"o": null})),
        ];
        for (text, read) in rows {
            assert_eq!(read_repeated(text.as_bytes()), Some(read), "{text}");
        }
    }
}
