//! Times and durations as Go reads and writes them, for formats and for CEL.
//!
//! Answers how a text reads; it never asks for the current time.

use std::fmt::Write as _;

const NANOSECOND: i128 = 1;
const MICROSECOND: i128 = 1_000;
const MILLISECOND: i128 = 1_000_000;
const SECOND: i128 = 1_000_000_000;
const MINUTE: i128 = 60 * SECOND;
const HOUR: i128 = 60 * MINUTE;
const DAY: i128 = 24 * HOUR;

/// Units of the loose form; the last name of a unit also matches as a prefix.
const LOOSE_UNITS: [(&[&str], i128); 8] = [
    (&["ns", "nano"], NANOSECOND),
    (&["us", "µs", "micro"], MICROSECOND),
    (&["ms", "milli"], MILLISECOND),
    (&["s", "sec"], SECOND),
    (&["m", "min"], MINUTE),
    (&["h", "hr", "hour"], HOUR),
    (&["d", "day"], DAY),
    (&["w", "wk", "week"], 7 * DAY),
];

/// `time.ParseDuration` in nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (value, after) = duration_term(rest)?;
        total += value;
        if total > 1 << 63 {
            return None;
        }
        rest = after;
    }
    let signed = if negative { -total } else { total };
    i64::try_from(signed).ok()
}

fn duration_term(text: &str) -> Option<(i128, &str)> {
    let whole_end = text.bytes().take_while(u8::is_ascii_digit).count();
    let mut fraction = "";
    let mut at = whole_end;
    if text.as_bytes().get(at) == Some(&b'.') {
        let length = text[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        fraction = &text[at + 1..at + 1 + length];
        at += 1 + length;
    }
    if whole_end == 0 && fraction.is_empty() {
        return None;
    }
    let unit_end = at + text[at..].bytes().take_while(|byte| *byte != b'.' && !byte.is_ascii_digit()).count();
    let unit = match &text[at..unit_end] {
        "ns" => NANOSECOND,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    };
    let whole: i128 = if whole_end == 0 { 0 } else { text[..whole_end].parse::<u64>().ok()?.into() };
    let mut value = whole * unit;
    if value > 1 << 63 {
        return None;
    }
    if !fraction.is_empty() {
        let kept: &str = &fraction[..fraction.len().min(18)];
        let scale = 10_f64.powi(i32::try_from(kept.len()).ok()?);
        value += (kept.parse::<i64>().ok()? as f64 * (unit as f64 / scale)) as i128;
    }
    Some((value, &text[unit_end..]))
}

/// `strfmt.ParseDuration`: Go's form, else the sum of all `number unit` found in the text.
pub fn parse_loose_duration(text: &str) -> Option<i64> {
    if let Some(duration) = parse_duration(text) {
        return Some(duration);
    }
    let chars: Vec<char> = text.chars().collect();
    let mut total: i64 = 0;
    let mut found = false;
    let mut at = 0;
    while at < chars.len() {
        if !chars[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let digits: String = chars[at..].iter().take_while(|char| char.is_ascii_digit()).collect();
        let mut next = at + digits.len();
        while chars.get(next).is_some_and(|char| matches!(char, '\t' | '\n' | '\x0c' | '\r' | ' ')) {
            next += 1;
        }
        let unit: String =
            chars[next..].iter().take_while(|char| char.is_ascii_alphabetic() || **char == 'µ').collect();
        if unit.is_empty() {
            at += digits.len();
            continue;
        }
        let factor: i64 = digits.parse().ok()?;
        let multiplier = loose_unit(&unit.to_lowercase());
        found |= multiplier.is_some();
        total = total.wrapping_add(factor.wrapping_mul(multiplier.unwrap_or_default()));
        at = next + unit.chars().count();
    }
    found.then_some(total)
}

fn loose_unit(unit: &str) -> Option<i64> {
    let mut sum: Option<i64> = None;
    for (names, multiplier) in LOOSE_UNITS {
        for (place, name) in names.iter().enumerate() {
            if *name == unit || (place + 1 == names.len() && unit.starts_with(name)) {
                sum = Some(sum.unwrap_or_default().wrapping_add(i64::try_from(multiplier).unwrap_or(i64::MAX)));
            }
        }
    }
    sum
}

/// A moment: seconds since 1970 in UTC, nanoseconds, and the offset it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    pub seconds: i64,
    pub nanoseconds: u32,
    pub offset_seconds: i32,
}

/// The days between 1970-01-01 and a date of the proleptic Gregorian calendar.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = i64::from((month + 9) % 12);
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date that lies so many days after 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_index + 2) / 5 + 1) as u32;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn month_days(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn digits(text: &str, from: usize, length: usize) -> Option<u32> {
    let part = text.get(from..from + length)?;
    if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None }
}

/// `time.Parse("2006-01-02", …)` as days since 1970.
pub fn parse_date(text: &str) -> Option<i64> {
    if text.len() != 10 || text.as_bytes()[4] != b'-' || text.as_bytes()[7] != b'-' {
        return None;
    }
    let (year, month, day) = (i64::from(digits(text, 0, 4)?), digits(text, 5, 2)?, digits(text, 8, 2)?);
    let valid = (1..=12).contains(&month) && day >= 1 && day <= month_days(year, month);
    valid.then(|| days_from_civil(year, month, day))
}

/// Whether the text is a full-date of RFC 3339.
pub fn is_date(text: &str) -> bool {
    parse_date(text).is_some()
}

/// Whether the text passes as a date-time; the offset's range is not checked, as upstream.
pub fn is_date_time(text: &str) -> bool {
    if text.len() < 4 {
        return false;
    }
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    is_date(date) && is_time_of_day(time)
}

fn is_time_of_day(time: &str) -> bool {
    let (Some(hour), Some(minute), Some(second)) = (digits(time, 0, 2), digits(time, 3, 2), digits(time, 6, 2)) else {
        return false;
    };
    let colons = time.as_bytes()[2] == b':' && time.as_bytes()[5] == b':';
    let rest = &time[8..];
    let zone = |text: &str| {
        text == "z"
            || (text.len() == 6
                && (text.starts_with('+') || text.starts_with('-'))
                && text.as_bytes()[3] == b':'
                && digits(text, 1, 2).is_some()
                && digits(text, 4, 2).is_some())
    };
    let mut after = rest.chars();
    let separator = after.next();
    let tail = after.as_str();
    let count = tail.bytes().take_while(u8::is_ascii_digit).count();
    // The separator of the fraction is any character upstream, and the fraction gives digits back.
    let fraction = separator.is_some_and(|char| char != '\n') && (1..=count).any(|length| zone(&tail[length..]));
    colons && hour <= 23 && minute <= 59 && second <= 59 && (zone(rest) || fraction)
}

/// `time.Parse(time.RFC3339, …)`, which also takes a fraction of a second.
pub fn parse_rfc3339(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[10] != b'T' || bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    let days = parse_date(text.get(..10)?)?;
    let (hour, minute, second) = (digits(text, 11, 2)?, digits(text, 14, 2)?, digits(text, 17, 2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut nanoseconds = 0;
    if rest.starts_with(['.', ',']) {
        let length = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 {
            return None;
        }
        let kept = &rest[1..1 + length.min(9)];
        nanoseconds = kept.parse::<u32>().ok()? * 10_u32.pow(9 - u32::try_from(kept.len()).ok()?);
        rest = &rest[1 + length..];
    }
    let offset_seconds = zone_offset(rest)?;
    let of_day = i64::from(hour * 3600 + minute * 60 + second);
    Some(Moment { seconds: days * 86_400 + of_day - i64::from(offset_seconds), nanoseconds, offset_seconds })
}

fn zone_offset(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if text.len() != 6 || text.as_bytes()[3] != b':' {
        return None;
    }
    let (hours, minutes) = (digits(text, 1, 2)?, digits(text, 4, 2)?);
    (hours <= 24 && minutes <= 60).then(|| sign * i32::try_from(hours * 3600 + minutes * 60).unwrap_or_default())
}

/// `strfmt.ParseDateTime`: RFC 3339, or a local time without a zone, which is UTC.
pub fn parse_date_time(text: &str) -> Option<Moment> {
    if text.is_empty() {
        return Some(Moment { seconds: 0, nanoseconds: 0, offset_seconds: 0 });
    }
    parse_rfc3339(text)
        .or_else(|| parse_rfc3339(&format!("{text}Z")).filter(|_| text.len() >= 19 && !text.contains(['Z', '+'])))
}

/// Go's `time.Duration.String`.
pub fn duration_text(nanoseconds: i64) -> String {
    let total = nanoseconds.unsigned_abs();
    if total == 0 {
        return "0s".to_owned();
    }
    let sign = if nanoseconds < 0 { "-" } else { "" };
    if total < 1_000_000_000 {
        let (unit, scale) = match total {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(total, scale));
    }
    let minutes = total / 60_000_000_000;
    let seconds = decimal(total % 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(value: u64, scale: u64) -> String {
    let mut text = (value / scale).to_string();
    let fraction = value % scale;
    if fraction > 0 {
        let width = scale.ilog10() as usize;
        let digits = format!("{fraction:0width$}");
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    text
}

/// `time.RFC3339Nano` of a moment.
pub fn moment_text(moment: &Moment) -> String {
    let local = moment.seconds + i64::from(moment.offset_seconds);
    let (year, month, day) = civil_from_days(local.div_euclid(86_400));
    let of_day = local.rem_euclid(86_400);
    let mut text =
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60);
    if moment.nanoseconds > 0 {
        let digits = format!("{:09}", moment.nanoseconds);
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    if moment.offset_seconds == 0 {
        text.push('Z');
    } else {
        let sign = if moment.offset_seconds < 0 { '-' } else { '+' };
        let minutes = moment.offset_seconds.unsigned_abs() / 60;
        let _ = write!(text, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    }
    text
}

/// A layout of Go by its parts; text between them stands for itself.
const DATE_LAYOUT: [&str; 5] = ["2006", "-", "01", "-", "02"];
const LOCAL_LAYOUT: [&str; 11] = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"];
const ZONED_LAYOUT: [&str; 12] = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05", "Z07:00"];

/// Why Go does not read a text as a date.
pub fn date_error(text: &str) -> String {
    failure(text, &DATE_LAYOUT)
}

/// Why Go does not read a text as a time without a zone, which is the last that upstream tries.
pub fn local_time_error(text: &str) -> String {
    failure(text, &LOCAL_LAYOUT)
}

/// Why Go does not read a text as RFC 3339.
pub fn rfc3339_error(text: &str) -> String {
    failure(text, &ZONED_LAYOUT)
}

fn failure(text: &str, layout: &[&str]) -> String {
    let shown = super::go::quote(text);
    let mut rest = text;
    for part in layout {
        match after(rest, part) {
            Some((number, left)) => {
                let low = u32::from(*part == "01");
                let limit = match *part {
                    "01" => Some(("month", 12)),
                    "15" => Some(("hour", 23)),
                    "04" => Some(("minute", 59)),
                    "05" => Some(("second", 59)),
                    _ => None,
                };
                if let Some((name, _)) = limit.filter(|(_, high)| number < low || number > *high) {
                    return format!("parsing time {shown}: {name} out of range");
                }
                rest = left;
            }
            None => {
                let (layout, left, part) = (layout.concat(), super::go::quote(rest), super::go::quote(part));
                return format!("parsing time {shown} as {}: cannot parse {left} as {part}", super::go::quote(&layout));
            }
        }
    }
    if !rest.is_empty() {
        return format!("parsing time {shown}: extra text: {}", super::go::quote(rest));
    }
    format!("parsing time {shown}: day out of range")
}

/// The number of a part of a layout at the start of a text, and what follows it.
fn after<'t>(text: &'t str, part: &str) -> Option<(u32, &'t str)> {
    let digits = |count: usize| {
        let head = text.get(..count).filter(|head| head.bytes().all(|byte| byte.is_ascii_digit()))?;
        Some((head.parse().ok()?, &text[count..]))
    };
    match part {
        "2006" => digits(4),
        "15" => digits(2).or_else(|| digits(1)),
        "05" => {
            let (number, rest) = digits(2)?;
            let fraction =
                rest.strip_prefix(['.', ',']).map(|tail| tail.bytes().take_while(u8::is_ascii_digit).count());
            Some((number, fraction.filter(|count| *count > 0).map_or(rest, |count| &rest[count + 1..])))
        }
        "01" | "02" | "04" => digits(2),
        "Z07:00" => {
            if let Some(rest) = text.strip_prefix('Z') {
                return Some((0, rest));
            }
            let zone = text.get(..6)?;
            let digit = |at: usize| zone.as_bytes()[at].is_ascii_digit();
            let fits = zone.starts_with(['+', '-']) && &zone[3..4] == ":" && [1, 2, 4, 5].into_iter().all(digit);
            fits.then(|| (0, &text[6..]))
        }
        literal => text.strip_prefix(literal).map(|rest| (0, rest)),
    }
}
