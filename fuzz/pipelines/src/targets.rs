//! One function a target. Each follows the way of such bytes through the server, and says what must hold beside not
//! panicking where there is something to say.

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::core::{
    condition::Condition,
    ir::read,
    macros, package,
    placeholder::{self, Placeholder},
    preamble,
    query::{self, Query, filter},
    runtime, schedule,
    value::{self, Parameters},
    wire::Fields,
};

/// The names that uploads have, by the first byte.
const NAMES: [&str; 4] = ["pipeline.yaml", "pipeline.json", "pipeline.zip", "pipeline.tar.gz"];

/// Uploads: the first byte says under which name. What was read can be written and read again.
pub fn pipeline(data: &[u8]) {
    let Some((choice, file)) = data.split_first() else { return };
    let Ok(text) = package::text(NAMES[usize::from(*choice) % NAMES.len()], file) else { return };
    let document = match read::yaml(&text) {
        Ok(document) => document,
        Err(fault) => return assert!(!fault.what.is_empty()),
    };
    let pipeline = read::pipeline(&document).expect("what was checked is read");
    let again = read::yaml(&document.to_string()).expect("what was read is read again");
    assert_eq!(read::pipeline(&again), Ok(pipeline.clone()));
    let _ = runtime::parameters(&pipeline, Map::new());
}

/// Conditions and selectors, over values that are here.
pub fn expression(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(condition) = Condition::parse(text) else { return };
    let values = json!({"s": "heads", "n": 5, "h": 2.5, "y": true, "l": [1, "x", [2]], "o": {"a": {"b": 1}}, "j": "{\"k\": [1]}",
        "many": (0..200).collect::<Vec<_>>(), "z": null});
    let parameters: Parameters =
        values.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    let _ = condition.evaluate(&parameters);
    let _ = (condition.select(&values), condition.select(&values["l"]), condition.select(&values["j"]));
}

/// Placeholders: text up to a NUL, and a value that stands for those of inputs. JSON stays JSON, and text without
/// placeholders stays as it is.
pub fn placeholder(data: &[u8]) {
    let Ok(all) = std::str::from_utf8(data) else { return };
    let (text, given) = all.split_once('\0').unwrap_or((all, "a\"b"));
    let lookup = |found: &Placeholder<'_>| match found {
        Placeholder::Whole => Some(json!({"inputs": {"parameterValues": {"x": given}}})),
        Placeholder::InputParameter(_) | Placeholder::InputArtifact(..) => Some(given.into()),
        Placeholder::Fact(name) => Some((*name).into()),
        Placeholder::OutputArtifact(..) | Placeholder::OutputFile(_) => None,
    };
    let expanded = placeholder::expand(text, &lookup);
    if !text.contains("{{$") {
        assert_eq!(expanded, text);
    }
    let _ = placeholder::sole(text);
    if let Ok(json) = serde_json::from_str::<Value>(text)
        && (json.is_object() || json.is_array())
        && !text.trim_start().starts_with("{{$")
    {
        serde_json::from_str::<serde::de::IgnoredAny>(&expanded).expect("JSON stays JSON");
    }
}

/// What requests say: the first byte says of what.
pub fn request(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    match choice % 5 {
        0 => trigger(rest),
        1 => drop(filter::parse(text, &query::RUN)),
        2 => page(text),
        3 => {
            let moment = macros::Moment { run_id: "r", now_ms: 1_700_000_000_000, scheduled_ms: Some(0) };
            let _ = macros::expand_text(text, &moment);
        }
        _ => {
            let command: Vec<String> = text.split('\0').map(str::to_owned).collect();
            let _ = (preamble::installs(&command), preamble::annotation("main", &command));
        }
    }
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let _ = (value::text(&value), value::describe(&value), value::integral(value));
    }
}

/// The token of a next page is read again, and says the same of the list.
fn page(text: &str) {
    let mut parts = text.split('\0').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let query = Query { page_token: next(), page_size: next(), sort_by: next(), filter: next() };
    let Ok(page) = query::Page::read(&query, &query::RUN, "created_at") else { return };
    let value = match page.order.field.kind {
        query::Kind::Text => query::page::Sorted::Text("a".to_owned()),
        query::Kind::Time => query::page::Sorted::Time(1),
    };
    let token = Query { page_token: page.next(&query::RUN, value.clone(), "b"), ..Query::default() };
    let behind = query::Page::read(&token, &query::RUN, "created_at").expect("a token is read again");
    assert_eq!((behind.order, &behind.predicates), (page.order, &page.predicates));
    assert_eq!(behind.after, Some(query::After { value, id: "b".to_owned() }));
}

fn trigger(body: &[u8]) {
    let Ok(trigger) = Fields::parse(body).and_then(schedule::read) else { return };
    let _ = trigger.show();
    let now_ms = 1_700_000_000_000;
    for last_ms in [None, Some(now_ms - 60_000)] {
        if let Some(next) = trigger.next(last_ms, now_ms - 120_000, &TimeZone::UTC) {
            assert!(trigger.end_ms.is_none_or(|end| next <= end), "{trigger:?}");
        }
        for missed in [schedule::Missed::All, schedule::Missed::Latest] {
            let due = trigger.due(last_ms, now_ms - 120_000, missed, now_ms, &TimeZone::UTC);
            assert!(due.is_none_or(|due| due <= now_ms), "{trigger:?}");
        }
    }
}
