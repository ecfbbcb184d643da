//! How a column is declared, and how a kind's printer is put together from columns and a row function.

use serde_json::{Value, json};

use super::view::View;

/// One column of a Table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) format: &'static str,
    pub(super) description: &'static str,
    /// 0 is shown always, 1 in wide output.
    pub(super) priority: i32,
}

/// The printer of one kind, whatever its version.
#[derive(Clone, Copy)]
pub(super) struct Printer {
    pub(super) group: &'static str,
    pub(super) kind: &'static str,
    pub(super) columns: &'static [Column],
    pub(super) row: fn(&View<'_>) -> Vec<Value>,
    /// Conditions of the row, of which there is one: the object is finished.
    pub(super) conditions: Option<fn(&View<'_>) -> Option<Value>>,
}

impl Printer {
    pub(super) const fn new(
        group: &'static str,
        kind: &'static str,
        columns: &'static [Column],
        row: fn(&View<'_>) -> Vec<Value>,
    ) -> Self {
        Self { group, kind, columns, row, conditions: None }
    }

    pub(super) const fn with_conditions(mut self, conditions: fn(&View<'_>) -> Option<Value>) -> Self {
        self.conditions = Some(conditions);
        self
    }
}

pub(super) const NAME: Column =
    Column { name: "Name", kind: "string", format: "name", description: NAME_DESCRIPTION, priority: 0 };
pub(super) const AGE: Column = text("Age", AGE_DESCRIPTION);
pub(super) const CONTAINERS: Column = wide("Containers", "Names of the containers in the template");
pub(super) const IMAGES: Column = wide("Images", "Images of the containers in the template");
pub(super) const SELECTOR: Column = wide("Selector", "Labels of the pods that belong to this object");

pub(super) const NAME_DESCRIPTION: &str = "Name of the object, unique among its kind in a namespace";
pub(super) const AGE_DESCRIPTION: &str = "Time since the object was created";

pub(super) const fn text(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "string", format: "", description, priority: 0 }
}

/// A text column of wide output.
pub(super) const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "string", format: "", description, priority: 1 }
}

pub(super) const fn integer(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "integer", format: "", description, priority: 0 }
}

pub(super) const fn boolean(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "boolean", format: "", description, priority: 0 }
}

impl Column {
    pub(super) fn to_json(self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}
