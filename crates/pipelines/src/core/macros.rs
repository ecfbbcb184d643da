//! Macros in a run's parameters: `[[CurrentTime]]` and the like, which recurring runs live by.
//!
//! They are replaced when a run is created, in the root's parameters that are strings themselves; what is nested in
//! lists and objects is not touched, as upstream has it (`template/v2_template.go`). Times are UTC. Layouts behind a dot
//! are Go's (`2006-01-02`), those in `strftime` are Python's.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::Value;

use super::value::Parameters;

/// What macros stand for.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub run_id: &'a str,
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// When the run was due; `None` for one that a user made, whose `[[ScheduledTime]]` stays as it is.
    pub scheduled_ms: Option<i64>,
}

/// The layout of a time without one: `20060102150405`.
const DEFAULT_LAYOUT: &str = "20060102150405";

/// Replaces macros in all parameters that are strings.
pub fn expand(parameters: &mut Parameters, moment: &Moment<'_>) {
    for value in parameters.values_mut() {
        if let Value::String(text) = value {
            *text = expand_text(text, moment);
        }
    }
}

/// Replaces macros in text, each once. `[[Index]]` and what else is not known stays.
pub fn expand_text(text: &str, moment: &Moment<'_>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let next = ["[[", "{{$."].iter().filter_map(|start| rest.find(start)).min();
        let Some(at) = next else {
            result.push_str(rest);
            return result;
        };
        let (before, from) = rest.split_at(at);
        result.push_str(before);
        match replaced(from, moment) {
            Some((value, length)) => {
                result.push_str(&value);
                rest = &from[length..];
            }
            None => {
                // One letter on: `[[[` may hold one too.
                result.push_str(&from[..1]);
                rest = &from[1..];
            }
        }
    }
}

/// What the macro at the beginning of a text stands for, and its length.
fn replaced(text: &str, moment: &Moment<'_>) -> Option<(String, usize)> {
    let (open, close) = if text.starts_with("[[") { ("[[", "]]") } else { ("{{$.", "}}") };
    let end = text.find(close)?;
    let inner = text.get(open.len()..end)?;
    let length = end + close.len();
    let value = if close == "]]" {
        let (name, layout) = inner.split_once('.').unwrap_or((inner, DEFAULT_LAYOUT));
        match name {
            "RunUUID" if name == inner => moment.run_id.to_owned(),
            "CurrentTime" => go_layout(civil(moment.now_ms)?, layout),
            "ScheduledTime" => go_layout(civil(moment.scheduled_ms?)?, layout),
            _ => return None,
        }
    } else {
        let (name, call) = inner.split_once('.')?;
        let quoted = call.strip_prefix("strftime(")?.strip_suffix(')')?;
        let format = ['\'', '"'].into_iter().find_map(|quote| quoted.strip_prefix(quote)?.strip_suffix(quote))?;
        let ms = match name {
            "currentTime" => moment.now_ms,
            "scheduledTime" => moment.scheduled_ms?,
            _ => return None,
        };
        jiff::fmt::strtime::format(format, civil(ms)?.to_zoned(TimeZone::UTC).ok()?.datetime()).ok()?
    };
    Some((value, length))
}

fn civil(ms: i64) -> Option<DateTime> {
    Some(Timestamp::from_millisecond(ms).ok()?.to_zoned(TimeZone::UTC).datetime())
}

/// Parts of Go's layouts that begin with the same letters stand with the longer first.
const PARTS: [&str; 28] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "Z07:00",
    "-07:00",
    "Z0700",
    "-0700",
    "-07",
    ".000000000",
    ".000000",
    ".000",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "_2",
    "PM",
    "pm",
    "1",
    "2",
    "3",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A time of UTC in a layout of Go's `time` package.
fn go_layout(time: DateTime, layout: &str) -> String {
    let mut text = String::with_capacity(layout.len());
    let mut rest = layout;
    while let Some(letter) = rest.chars().next() {
        let part = PARTS.iter().chain(&["4", "5"]).find(|part| {
            // "Jan" and "Mon" are no parts of other words.
            let is_word = matches!(**part, "Jan" | "Mon");
            let follows = rest.get(part.len()..).and_then(|rest| rest.chars().next());
            rest.starts_with(**part) && !(is_word && follows.is_some_and(|letter| letter.is_ascii_lowercase()))
        });
        match part {
            Some(part) => {
                text.push_str(&go_part(time, part));
                rest = &rest[part.len()..];
            }
            None => {
                text.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    text
}

fn go_part(time: DateTime, part: &str) -> String {
    let month = MONTHS[usize::from(time.month().unsigned_abs() - 1) % 12];
    let day = DAYS[usize::from(time.weekday().to_monday_zero_offset().unsigned_abs()) % 7];
    let hour = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    match part {
        "January" => month.to_owned(),
        "Jan" => month[..3].to_owned(),
        "Monday" => day.to_owned(),
        "Mon" => day[..3].to_owned(),
        "MST" => "UTC".to_owned(),
        "2006" => format!("{:04}", time.year()),
        "06" => format!("{:02}", time.year() % 100),
        "Z07:00" | "Z0700" => "Z".to_owned(),
        "-07:00" => "+00:00".to_owned(),
        "-0700" => "+0000".to_owned(),
        "-07" => "+00".to_owned(),
        ".000000000" => format!(".{:09}", time.subsec_nanosecond()),
        ".000000" => format!(".{:06}", time.subsec_nanosecond() / 1000),
        ".000" => format!(".{:03}", time.subsec_nanosecond() / 1_000_000),
        "002" => format!("{:03}", time.day_of_year()),
        "01" => format!("{:02}", time.month()),
        "1" => time.month().to_string(),
        "02" => format!("{:02}", time.day()),
        "_2" => format!("{:2}", time.day()),
        "2" => time.day().to_string(),
        "15" => format!("{:02}", time.hour()),
        "03" => format!("{hour:02}"),
        "3" => hour.to_string(),
        "04" => format!("{:02}", time.minute()),
        "4" => time.minute().to_string(),
        "05" => format!("{:02}", time.second()),
        "5" => time.second().to_string(),
        "PM" => if time.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        _ => if time.hour() < 12 { "am" } else { "pm" }.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// 2024-03-05T16:07:08.009Z, a Tuesday, and half an hour before.
    const MOMENT: Moment<'_> =
        Moment { run_id: "r-1", now_ms: 1_709_654_828_009, scheduled_ms: Some(1_709_654_828_009 - 1_800_000) };

    #[test]
    fn macros_are_replaced_in_text() {
        for (text, expanded) in [
            ("[[RunUUID]]/[[CurrentTime]]", "r-1/20240305160708"),
            ("[[CurrentTime.2006-01-02T15:04:05Z07:00]]", "2024-03-05T16:07:08Z"),
            ("[[CurrentTime.Mon, 2 Jan 06 3:04PM]]", "Tue, 5 Mar 24 4:07PM"),
            ("[[CurrentTime.Monday January _2 002 .000]]", "Tuesday March  5 065 .009"),
            ("[[ScheduledTime.15:04]]", "15:37"),
            ("{{$.currentTime.strftime('%Y-%m-%d')}}", "2024-03-05"),
            ("{{$.scheduledTime.strftime(\"%H%M\")}}", "1537"),
            ("[[Index]] [[Nothing]] [[ [[[RunUUID]]]", "[[Index]] [[Nothing]] [[ [r-1]"),
            (
                "{{$.inputs.parameters['x']}} {{$.currentTime.strftime('%')}}",
                "{{$.inputs.parameters['x']}} {{$.currentTime.strftime('%')}}",
            ),
        ] {
            assert_eq!(expand_text(text, &MOMENT), expanded, "{text}");
        }
        let unscheduled = Moment { scheduled_ms: None, ..MOMENT };
        assert_eq!(expand_text("[[ScheduledTime]]", &unscheduled), "[[ScheduledTime]]");
    }

    #[test]
    fn only_strings_of_the_root_are_looked_at() {
        let mut parameters = Parameters::new();
        parameters.insert("s".to_owned(), json!("[[RunUUID]]"));
        parameters.insert("l".to_owned(), json!(["[[RunUUID]]"]));
        expand(&mut parameters, &MOMENT);
        assert_eq!(serde_json::to_value(parameters).unwrap(), json!({"s": "r-1", "l": ["[[RunUUID]]"]}));
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in ".{0,30}", layout in "[A-Za-z0-9:_.\\- ]{0,20}", ms in any::<i64>()) {
            let moment = Moment { now_ms: ms, ..MOMENT };
            expand_text(&text, &moment);
            expand_text(&format!("[[CurrentTime.{layout}]]"), &moment);
            expand_text(&format!("{{{{$.currentTime.strftime('{text}')}}}}"), &moment);
        }
    }
}
