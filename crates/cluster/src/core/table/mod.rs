//! Server-side printing: objects as a `meta.k8s.io` Table, one row an object.
//!
//! Columns and cells are those of `pkg/printers/internalversion` upstream, for custom resources those
//! of their CustomResourceDefinition, and name and creation time for the rest. A printer reads the
//! JSON of a served version; it never decides which columns a client shows.

mod admission;
mod apiregistration;
mod apps;
mod autoscaling;
mod batch;
mod certificates;
mod column;
mod coordination;
mod core_group;
mod custom;
mod discovery;
pub mod duration;
mod event;
mod flow_control;
mod networking;
mod node;
mod pod;
mod policy;
mod rbac;
mod scheduling;
mod service;
mod storage;
#[cfg(test)]
mod tests;
mod view;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use self::custom::CrdColumns;

use self::column::{Column, NAME, Printer};
use self::view::View;
use crate::core::resource::Resource;

/// How much of the object a row carries (`?includeObject=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// A `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter; missing or empty is metadata.
    ///
    /// # Errors
    /// The message of the `BadRequest` that other values get.
    pub fn parse(parameter: Option<&str>) -> Result<Self, String> {
        match parameter {
            None | Some("" | "Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', \
                 'Object', 'None', or empty",
                crate::core::selector::go_quote(other)
            )),
        }
    }
}

/// Whether the columns are declared; only the first event of a watch does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Headers {
    #[default]
    /// They are.
    Shown,
    /// They are not: `columnDefinitions` is null.
    Hidden,
}

/// How a Table is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// What each row carries of its object.
    pub include: IncludeObject,
    /// Whether columns are declared.
    pub headers: Headers,
    /// `v1`, or `v1beta1` for old clients.
    pub version: &'a str,
    /// The time that ages are counted to.
    pub now: Timestamp,
    /// Columns of a custom resource's version.
    pub columns: Option<&'a CrdColumns>,
}

/// The Table `meta.k8s.io/v1` of some objects of a resource, with its columns declared.
///
/// `metadata` is empty; a list puts its `resourceVersion`, `continue` and `remainingItemCount` there,
/// a single object its `resourceVersion`.
pub fn table(
    resource: &Resource,
    objects: &[&Value],
    include: IncludeObject,
    now: Timestamp,
    columns: Option<&CrdColumns>,
) -> Value {
    render(resource, objects, &Options { include, headers: Headers::Shown, version: "v1", now, columns })
}

/// As [`table`], with every option.
pub fn render(resource: &Resource, objects: &[&Value], options: &Options<'_>) -> Value {
    of_style(&Style::of(resource, options.columns), objects, options)
}

/// The Table of the scale of an object; custom resources have columns of their own for it.
pub fn scale(scale: &Value, of_custom: bool, options: &Options<'_>) -> Value {
    let printer = if of_custom { Some(&autoscaling::CUSTOM_SCALE) } else { printer("autoscaling", "Scale") };
    of_style(&printer.map_or(Style::Plain, Style::BuiltIn), &[scale], options)
}

fn of_style(style: &Style<'_>, objects: &[&Value], options: &Options<'_>) -> Value {
    let rows: Vec<Value> = objects.iter().map(|object| row(style, object, options)).collect();
    let columns = match options.headers {
        Headers::Shown => style.columns(),
        Headers::Hidden => Value::Null,
    };
    json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{}", options.version),
        "metadata": {},
        "columnDefinitions": columns,
        "rows": rows,
    })
}

/// Where the columns and cells of a resource come from.
enum Style<'a> {
    BuiltIn(&'static Printer),
    Custom(&'a CrdColumns),
    /// Name and creation time.
    Plain,
}

const PLAIN_COLUMNS: &[Column] = &[
    NAME,
    Column {
        name: "Created At",
        kind: "date",
        format: "",
        description: "Time at which the object was created, in UTC",
        priority: 0,
    },
];

const PRINTERS: &[&[Printer]] = &[
    core_group::PRINTERS,
    pod::PRINTERS,
    service::PRINTERS,
    node::PRINTERS,
    event::PRINTERS,
    apps::PRINTERS,
    batch::PRINTERS,
    autoscaling::PRINTERS,
    policy::PRINTERS,
    networking::PRINTERS,
    discovery::PRINTERS,
    storage::PRINTERS,
    rbac::PRINTERS,
    certificates::PRINTERS,
    coordination::PRINTERS,
    scheduling::PRINTERS,
    admission::PRINTERS,
    apiregistration::PRINTERS,
    flow_control::PRINTERS,
];

fn printer(group: &str, kind: &str) -> Option<&'static Printer> {
    let mut printers = PRINTERS.iter().flat_map(|printers| printers.iter());
    printers.find(|printer| printer.group == group && printer.kind == kind)
}

impl<'a> Style<'a> {
    fn of(resource: &Resource, columns: Option<&'a CrdColumns>) -> Self {
        if let Some(columns) = columns {
            return Self::Custom(columns);
        }
        printer(&resource.group, &resource.kind).map_or(Self::Plain, Self::BuiltIn)
    }

    fn columns(&self) -> Value {
        let list = |columns: &[Column]| columns.iter().map(|column| column.to_json()).collect();
        match self {
            Self::BuiltIn(printer) => list(printer.columns),
            Self::Custom(columns) => columns.definitions(),
            Self::Plain => list(PLAIN_COLUMNS),
        }
    }

    fn cells(&self, view: &View<'_>) -> Vec<Value> {
        match self {
            Self::BuiltIn(printer) => (printer.row)(view),
            Self::Custom(columns) => columns.cells(view),
            Self::Plain => vec![view.name(), Value::from(view.text_or("/metadata/creationTimestamp", ZERO_TIME))],
        }
    }

    fn conditions(&self, view: &View<'_>) -> Option<Value> {
        match self {
            Self::BuiltIn(printer) => printer.conditions.and_then(|conditions| conditions(view)),
            Self::Custom(_) | Self::Plain => None,
        }
    }
}

/// How Go prints a time that is not set.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

fn row(style: &Style<'_>, object: &Value, options: &Options<'_>) -> Value {
    let view = View::new(object, options.now);
    let carried = match options.include {
        IncludeObject::None => Value::Null,
        IncludeObject::Object => object.clone(),
        IncludeObject::Metadata => json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": format!("meta.k8s.io/{}", options.version),
            "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
        }),
    };
    let mut row = json!({"cells": style.cells(&view), "object": carried});
    if let Some(condition) = style.conditions(&view) {
        row["conditions"] = json!([condition]);
    }
    row
}
