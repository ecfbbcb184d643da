//! Kinds of the group `flowcontrol.apiserver.k8s.io`.

use serde_json::Value;

use super::column::{AGE, NAME, Printer, text};
use super::view::View;

pub(super) const PRINTERS: &[Printer] = &[
    Printer::new(
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        &[
            NAME,
            text("PriorityLevel", "Level of the requests of the schema"),
            text("MatchingPrecedence", "Among schemas that match a request, the lowest counts"),
            text("DistinguisherMethod", "What requests of one flow have in common"),
            AGE,
            text("MissingPL", "Whether the level is not there"),
        ],
        flow_schema,
    ),
    Printer::new(
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        &[
            NAME,
            text("Type", "Whether requests of the level are limited"),
            text("NominalConcurrencyShares", "Share of the level in the requests that are answered at a time"),
            text("Queues", "Queues of the level"),
            text("HandSize", "Queues that a flow is dealt"),
            text("QueueLengthLimit", "Requests that wait in a queue"),
            AGE,
        ],
        level,
    ),
];

fn or_none(text: String) -> Value {
    Value::from(if text.is_empty() { "<none>".to_owned() } else { text })
}

fn flow_schema(schema: &View<'_>) -> Vec<Value> {
    let conditions = schema.value["status"]["conditions"].as_array().into_iter().flatten();
    let dangling = conditions.filter(|condition| condition["type"] == "Dangling");
    let dangling = dangling.filter_map(|condition| condition["status"].as_str()).next();
    vec![
        schema.name(),
        Value::from(schema.text("/spec/priorityLevelConfiguration/name")),
        Value::from(schema.integer("/spec/matchingPrecedence").to_string()),
        or_none(schema.text("/spec/distinguisherMethod/type").to_owned()),
        schema.age(),
        Value::from(dangling.unwrap_or("?")),
    ]
}

fn level(level: &View<'_>) -> Vec<Value> {
    let number = |path: &str| match level.value.pointer(path).and_then(Value::as_i64) {
        Some(number) => Value::from(number.to_string()),
        None => Value::from("<none>"),
    };
    let kind = level.text("/spec/type").to_owned();
    let shares = if kind == "Exempt" { "/spec/exempt" } else { "/spec/limited" };
    vec![
        level.name(),
        Value::from(kind),
        number(&format!("{shares}/nominalConcurrencyShares")),
        number("/spec/limited/limitResponse/queuing/queues"),
        number("/spec/limited/limitResponse/queuing/handSize"),
        number("/spec/limited/limitResponse/queuing/queueLengthLimit"),
        level.age(),
    ]
}
