//! Whether a cron schedule and a time zone are ones, with the messages of upstream's parser.
//!
//! After `github.com/robfig/cron/v3`. When a schedule fires is decided elsewhere.

use std::sync::LazyLock;

static TIME_ZONES: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("data/timezones.txt").lines().collect());

/// Whether the IANA database knows a zone; the list is sorted by bytes.
pub fn is_time_zone(name: &str) -> bool {
    matches!(name, "Local" | "UTC") || TIME_ZONES.binary_search(&name).is_ok()
}

/// The range of a field and the names of its values.
struct Field {
    min: u64,
    max: u64,
    names: &'static [&'static str],
    /// The value of the first name.
    first: u64,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field { min: 0, max: 59, names: &[], first: 0 },
    Field { min: 0, max: 23, names: &[], first: 0 },
    Field { min: 1, max: 31, names: &[], first: 0 },
    Field { min: 1, max: 12, names: &MONTHS, first: 1 },
    Field { min: 0, max: 6, names: &DAYS, first: 0 },
];

/// Checks a schedule of five fields or a descriptor.
///
/// # Errors
/// The message that upstream's parser gives.
pub fn check(schedule: &str) -> Result<(), String> {
    let mut rest = schedule;
    if let Some(zoned) = schedule.strip_prefix("TZ=").or_else(|| schedule.strip_prefix("CRON_TZ=")) {
        let (zone, after) = zoned.split_once(' ').unwrap_or((zoned, ""));
        if !is_time_zone(zone) && !zone.is_empty() {
            return Err(format!("provided bad location {zone}: unknown time zone {zone}"));
        }
        rest = after.trim();
    }
    if rest.starts_with('@') {
        return descriptor(rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    for (text, field) in fields.iter().zip(&FIELDS) {
        for part in text.split(',').filter(|part| !part.is_empty()) {
            check_range(part, field)?;
        }
    }
    Ok(())
}

fn descriptor(text: &str) -> Result<(), String> {
    const KNOWN: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
    if KNOWN.contains(&text) {
        return Ok(());
    }
    match text.strip_prefix("@every ") {
        Some(duration) if is_go_duration(duration) => Ok(()),
        Some(duration) => Err(format!("failed to parse duration {text}: time: invalid duration {duration:?}")),
        None => Err(format!("unrecognized descriptor: {text}")),
    }
}

/// `1h30m`, `1.5s`, `-2ms`.
fn is_go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let number = &rest[..digits];
        if !number.bytes().any(|byte| byte.is_ascii_digit()) || number.matches('.').count() > 1 {
            return false;
        }
        let unit = &rest[digits..];
        let length = unit.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(unit.len());
        if !matches!(&unit[..length], "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h") {
            return false;
        }
        rest = &unit[length..];
    }
    true
}

fn check_range(expression: &str, field: &Field) -> Result<(), String> {
    let parts: Vec<&str> = expression.split('/').collect();
    let bounds: Vec<&str> = parts[0].split('-').collect();
    let (start, mut end) = if matches!(bounds[0], "*" | "?") {
        (field.min, field.max)
    } else {
        let start = number_or_name(bounds[0], field)?;
        match bounds.len() {
            1 => (start, start),
            2 => (start, number_or_name(bounds[1], field)?),
            _ => return Err(format!("too many hyphens: {expression}")),
        }
    };
    let step = match parts.len() {
        1 => 1,
        2 => {
            let step = number(parts[1])?;
            if bounds.len() == 1 {
                end = field.max;
            }
            step
        }
        _ => return Err(format!("too many slashes: {expression}")),
    };
    if start < field.min {
        return Err(format!("beginning of range ({start}) below minimum ({}): {expression}", field.min));
    }
    if end > field.max {
        return Err(format!("end of range ({end}) above maximum ({}): {expression}", field.max));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {expression}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {expression}"));
    }
    Ok(())
}

fn number_or_name(text: &str, field: &Field) -> Result<u64, String> {
    let lower = text.to_lowercase();
    match field.names.iter().position(|name| *name == lower) {
        Some(position) => Ok(field.first + position as u64),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let value: i64 = match text.parse() {
        Ok(value) => value,
        Err(_) => {
            let why = if whole { "value out of range" } else { "invalid syntax" };
            return Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}"));
        }
    };
    u64::try_from(value).map_err(|_| format!("negative number ({value}) not allowed: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_refused_with_upstream_texts() {
        let rows = [
            ("* * * * *", ""),
            ("*/5 0-6,12 ? JAN mon-fri", ""),
            ("@hourly", ""),
            ("@every 1h30m", ""),
            ("error", "expected exactly 5 fields, found 1: [error]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("@never", "unrecognized descriptor: @never"),
        ];
        for (schedule, fault) in rows {
            assert_eq!(check(schedule).err().unwrap_or_default(), fault, "{schedule}");
        }
    }

    #[test]
    fn time_zones_are_those_of_the_iana_database() {
        assert!(is_time_zone("Europe/Berlin") && is_time_zone("UTC"));
        assert!(!is_time_zone("Mars/Olympus"));
    }
}
