//! Events, in the form of the core group and that of `events.k8s.io`.

use serde_json::Value;

use super::column::{Column, Printer, text, wide};
use super::view::View;

pub(super) const PRINTERS: &[Printer] =
    &[Printer::new("", "Event", COLUMNS, core_event), Printer::new("events.k8s.io", "Event", COLUMNS, new_event)];

const COLUMNS: &[Column] = &[
    text("Last Seen", "Time since the event happened last"),
    text("Type", "Normal or Warning"),
    text("Reason", "Why the event happened, in a word"),
    text("Object", "The object that the event is about"),
    wide("Subobject", "The part of the object that the event is about"),
    wide("Source", "Who reported the event"),
    text("Message", "What happened"),
    wide("First Seen", "Time since the event happened first"),
    wide("Count", "How often the event happened"),
    Column {
        name: "Name",
        kind: "string",
        format: "name",
        description: "Name of the event, unique in its namespace",
        priority: 1,
    },
];

/// The fields of an event, which its two groups name differently.
struct Names {
    object: &'static str,
    message: &'static str,
    source: &'static str,
    reporter: &'static str,
    first: &'static str,
    last: &'static str,
    count: &'static str,
}

fn core_event(event: &View<'_>) -> Vec<Value> {
    let names = Names {
        object: "/involvedObject",
        message: "/message",
        source: "/source",
        reporter: "/reportingComponent",
        first: "/firstTimestamp",
        last: "/lastTimestamp",
        count: "/count",
    };
    row(event, &names)
}

fn new_event(event: &View<'_>) -> Vec<Value> {
    let names = Names {
        object: "/regarding",
        message: "/note",
        source: "/deprecatedSource",
        reporter: "/reportingController",
        first: "/deprecatedFirstTimestamp",
        last: "/deprecatedLastTimestamp",
        count: "/deprecatedCount",
    };
    row(event, &names)
}

fn row(event: &View<'_>, names: &Names) -> Vec<Value> {
    let first = if event.time(names.first).is_some() { names.first } else { "/eventTime" };
    let last = if event.time(names.last).is_some() { names.last } else { first };
    let (last, count) = match (event.has("/series"), event.integer(names.count)) {
        (true, _) => ("/series/lastObservedTime", event.integer("/series/count")),
        // Events of the new form have no count when they happened once.
        (false, 0) => (last, 1),
        (false, count) => (last, count),
    };
    let object = event.part(names.object);
    let kind = object.text("/kind").to_lowercase();
    let target = match object.text("/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let source = event.part(names.source);
    let component = source.text_or("/component", event.text(names.reporter));
    let source = match source.text_or("/host", event.text("/reportingInstance")) {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    };
    vec![
        Value::from(event.since(last)),
        Value::from(event.text("/type")),
        Value::from(event.text("/reason")),
        Value::from(target),
        Value::from(object.text("/fieldPath")),
        Value::from(source),
        Value::from(event.text(names.message).trim()),
        Value::from(event.since(first)),
        Value::from(count),
        event.name(),
    ]
}
