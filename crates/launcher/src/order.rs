//! What the control plane wants done, as it says it.

use serde_json::Value;

/// A named file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub path: String,
}

/// What to do; the fields are those of the control plane's `WorkOrder`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    pub command: Vec<String>,
    pub directories: Vec<String>,
    /// The names are ids of artifacts.
    pub inputs: Vec<Named>,
    pub output_file: String,
    pub parameters: Vec<Named>,
    pub artifacts: Vec<Named>,
}

impl Order {
    /// Reads an order; `None` where it is none.
    pub fn read(value: &Value) -> Option<Self> {
        Some(Self {
            command: texts(value, "command")?,
            directories: texts(value, "directories")?,
            inputs: named(value, "inputs", "artifact")?,
            output_file: text(value, "output_file")?,
            parameters: named(value, "parameters", "name")?,
            artifacts: named(value, "artifacts", "name")?,
        })
    }
}

fn text(value: &Value, field: &str) -> Option<String> {
    Some(value.get(field)?.as_str()?.to_owned())
}

fn texts(value: &Value, field: &str) -> Option<Vec<String>> {
    value.get(field)?.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn named(value: &Value, field: &str, name: &str) -> Option<Vec<Named>> {
    let item = |item: &Value| Some(Named { name: text(item, name)?, path: text(item, "path")? });
    value.get(field)?.as_array()?.iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_is_read_whole_or_not_at_all() {
        let order = json!({
            "command": ["sh", "-c", "true"], "directories": ["/w"], "inputs": [{"artifact": "7", "path": "/w/in"}],
            "output_file": "/w/o.json", "parameters": [{"name": "p", "path": "/w/p"}], "artifacts": [],
        });
        let read = Order::read(&order).unwrap();
        assert_eq!(read.inputs, [Named { name: "7".to_owned(), path: "/w/in".to_owned() }]);
        assert_eq!(read.command.len(), 3);
        for field in ["command", "directories", "inputs", "output_file", "parameters", "artifacts"] {
            let mut without = order.clone();
            without[field] = json!(7);
            assert_eq!(Order::read(&without), None, "{field}");
        }
    }
}
