//! Cron schedules: five fields or six, the `@` names and `@every`, as `robfig/cron` reads them.
//!
//! A schedule says when it comes due next after a time, in a time zone that is handed in; it knows
//! no clock and no time zones of its own.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// A time is searched for so many years ahead, as upstream does.
const YEARS_AHEAD: i16 = 5;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const NAMED: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// When something comes due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    Fields { second: Field, minute: Field, hour: Field, day: Field, month: Field, weekday: Field },
    Every(SignedDuration),
}

/// Which fields are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Minutes,
    Seconds,
}

/// The allowed values of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    bits: u64,
    /// Written with a star and no step: the two day fields then both have to match.
    star: bool,
}

impl Field {
    fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.bits & (1 << value) != 0)
    }
}

/// A field's smallest and largest value, and names for values from `first_name` on.
struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
    first_name: u32,
}

const fn bounds(min: u32, max: u32) -> Bounds {
    Bounds { min, max, names: &[], first_name: 0 }
}

impl Schedule {
    /// Reads a schedule of five fields, as Kubernetes has them.
    ///
    /// # Errors
    /// The text of `robfig/cron`.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, Form::Minutes)
    }

    /// Reads a schedule of six fields, of which the first is seconds.
    ///
    /// # Errors
    /// The text of `robfig/cron`.
    pub fn parse_with_seconds(text: &str) -> Result<Self, String> {
        Self::read(text, Form::Seconds)
    }

    fn read(text: &str, form: Form) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        if let Some(duration) = text.strip_prefix("@every ") {
            return parse_duration(duration)
                .map(|every| Self::Every(every.max(SignedDuration::from_secs(1))))
                .map_err(|error| format!("failed to parse duration {text}: {error}"));
        }
        if text.starts_with('@') {
            let named = NAMED.iter().find(|(name, _)| *name == text);
            return match named {
                Some((_, fields)) => Self::read(fields, Form::Minutes),
                None => Err(format!("unrecognized descriptor: {text}")),
            };
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (second, rest) = match (form, &fields[..]) {
            (Form::Seconds, [second, rest @ ..]) => (*second, rest),
            (_, rest) => ("0", rest),
        };
        let [minute, hour, day, month, weekday] = *rest else {
            let wanted = if form == Form::Seconds { 6 } else { 5 };
            return Err(format!("expected exactly {wanted} fields, found {}: [{}]", fields.len(), fields.join(" ")));
        };
        Ok(Self::Fields {
            second: parse_field(second, &bounds(0, 59))?,
            minute: parse_field(minute, &bounds(0, 59))?,
            hour: parse_field(hour, &bounds(0, 23))?,
            day: parse_field(day, &bounds(1, 31))?,
            month: parse_field(month, &Bounds { names: &MONTHS, first_name: 1, ..bounds(1, 12) })?,
            weekday: parse_field(weekday, &Bounds { names: &DAYS, ..bounds(0, 6) })?,
        })
    }

    /// The first time after `after`; none within five years.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let second = Timestamp::from_second(after.as_second()).ok()?;
        match self {
            Self::Every(every) => {
                let whole = SignedDuration::from_secs(every.as_secs());
                second.checked_add(whole).ok()
            }
            Self::Fields { .. } => {
                let from = second.checked_add(SignedDuration::from_secs(1)).ok()?.to_zoned(zone.clone());
                self.search(from)
            }
        }
    }

    /// Steps in ever smaller units, on the zone's wall clock for months and days and in true time below:
    /// an hour that the clock skips is skipped, one that it repeats comes twice.
    fn search(&self, from: Zoned) -> Option<Timestamp> {
        let Self::Fields { second, minute, hour, month, .. } = self else { return None };
        let last_year = from.year().saturating_add(YEARS_AHEAD);
        let mut at = from;
        while at.year() <= last_year {
            if !month.has(at.month()) {
                let next = DateTime::new(at.year(), at.month(), 1, 0, 0, 0, 0).ok()?;
                at = midnight(next.checked_add(jiff::Span::new().months(1)).ok()?, &at)?;
            } else if !self.day_fits(&at) {
                let next = at.datetime().checked_add(jiff::Span::new().days(1)).ok()?;
                at = midnight(next, &at)?;
            } else if !hour.has(at.hour()) {
                let gone = i64::from(at.minute()) * 60 + i64::from(at.second());
                at = at.checked_add(SignedDuration::from_secs(3600 - gone)).ok()?;
            } else if !minute.has(at.minute()) {
                at = at.checked_add(SignedDuration::from_secs(60 - i64::from(at.second()))).ok()?;
            } else if !second.has(at.second()) {
                at = at.checked_add(SignedDuration::from_secs(1)).ok()?;
            } else {
                return Some(at.timestamp());
            }
        }
        None
    }

    fn day_fits(&self, at: &Zoned) -> bool {
        let Self::Fields { day, weekday, .. } = self else { return false };
        let (by_day, by_weekday) = (day.has(at.day()), weekday.has(at.weekday().to_sunday_zero_offset()));
        if day.star || weekday.star { by_day && by_weekday } else { by_day || by_weekday }
    }
}

/// The first moment of a date.
fn midnight(date: DateTime, like: &Zoned) -> Option<Zoned> {
    date.date().to_zoned(like.time_zone().clone()).ok()?.start_of_day().ok()
}

fn parse_field(text: &str, bounds: &Bounds) -> Result<Field, String> {
    let mut field = Field { bits: 0, star: false };
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let part = parse_range(part, bounds)?;
        field = Field { bits: field.bits | part.bits, star: field.star || part.star };
    }
    Ok(field)
}

fn parse_range(text: &str, bounds: &Bounds) -> Result<Field, String> {
    let (range, step) = match text.split('/').collect::<Vec<_>>()[..] {
        [range] => (range, None),
        [range, step] => (range, Some(parse_number(step)?)),
        _ => return Err(format!("too many slashes: {text}")),
    };
    let limits: Vec<&str> = range.split('-').collect();
    let star = matches!(limits[0], "*" | "?");
    let (first, last) = if star {
        (bounds.min, bounds.max)
    } else {
        let first = parse_value(limits[0], bounds)?;
        match limits[..] {
            // "N/step" stands for "N-max/step".
            [_] => (first, if step.is_some() { bounds.max } else { first }),
            [_, last] => (first, parse_value(last, bounds)?),
            _ => return Err(format!("too many hyphens: {text}")),
        }
    };
    let (min, max) = (bounds.min, bounds.max);
    if first < min {
        return Err(format!("beginning of range ({first}) below minimum ({min}): {text}"));
    }
    if last > max {
        return Err(format!("end of range ({last}) above maximum ({max}): {text}"));
    }
    if first > last {
        return Err(format!("beginning of range ({first}) beyond end of range ({last}): {text}"));
    }
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    let stride = usize::try_from(step).unwrap_or(usize::MAX);
    let bits = (first..=last).step_by(stride).fold(0, |bits, value| bits | (1 << value));
    Ok(Field { bits, star: star && step == 1 })
}

fn parse_value(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let lower = text.to_lowercase();
    match bounds.names.iter().position(|name| *name == lower) {
        Some(position) => Ok(bounds.first_name + u32::try_from(position).unwrap_or(0)),
        None => parse_number(text),
    }
}

fn parse_number(text: &str) -> Result<u32, String> {
    let number: i64 = text
        .parse()
        .map_err(|_| format!("failed to parse int from {text}: strconv.Atoi: parsing \"{text}\": invalid syntax"))?;
    u32::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

/// A Go duration of hours, minutes, seconds and fractions of them.
fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let invalid = || format!("time: invalid duration \"{text}\"");
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number
            * match &rest[..unit_end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return Err(invalid()),
            };
        rest = &rest[unit_end..];
    }
    if text.is_empty() { Err(invalid()) } else { SignedDuration::try_from_secs_f64(total).map_err(|_| invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schedule: &str, after: &str, expect: &str) {
        let schedule = Schedule::parse(schedule).unwrap();
        let next = schedule.next(after.parse().unwrap(), &TimeZone::UTC);
        assert_eq!(next.map(|next| next.to_string()), Some(expect.to_owned()));
    }

    fn check_fault(schedule: &str, expect: &str) {
        assert_eq!(Schedule::parse(schedule), Err(expect.to_owned()));
    }

    #[test]
    fn the_next_time_is_strictly_later() {
        check("* * * * *", "2030-01-01T00:00:00Z", "2030-01-01T00:01:00Z");
        check("* * * * *", "2030-01-01T00:00:59.9Z", "2030-01-01T00:01:00Z");
        check("*/15 * * * *", "2030-01-01T00:50:00Z", "2030-01-01T01:00:00Z");
        check("@hourly", "2030-01-01T23:10:00Z", "2030-01-02T00:00:00Z");
        check("@yearly", "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z");
        check("@every 1h30m", "2030-01-01T00:00:00.5Z", "2030-01-01T01:30:00Z");
    }

    #[test]
    fn both_day_fields_match_only_with_a_star() {
        // 2030-01-01 is a Tuesday.
        check("0 0 13 * 5", "2030-01-01T00:00:00Z", "2030-01-04T00:00:00Z");
        check("0 0 13 * *", "2030-01-01T00:00:00Z", "2030-01-13T00:00:00Z");
        check("0 0 * * fri", "2030-01-01T00:00:00Z", "2030-01-04T00:00:00Z");
        check("0 0 31 * ?", "2030-02-01T00:00:00Z", "2030-03-31T00:00:00Z");
        check("0 12 29 feb *", "2030-01-01T00:00:00Z", "2032-02-29T12:00:00Z");
    }

    #[test]
    fn seconds_come_first_where_they_are_written() {
        let next = |text: &str, after: &str| {
            let schedule = Schedule::parse_with_seconds(text).unwrap();
            schedule.next(after.parse().unwrap(), &TimeZone::UTC).unwrap().to_string()
        };
        assert_eq!(next("*/20 * * * * *", "2030-01-01T00:00:25Z"), "2030-01-01T00:00:40Z");
        assert_eq!(next("30 5 4 * * ?", "2030-01-01T04:05:30Z"), "2030-01-02T04:05:30Z");
        assert_eq!(next("@daily", "2030-01-01T04:05:30Z"), "2030-01-02T00:00:00Z");
        let few = Schedule::parse_with_seconds("* * * * *");
        assert_eq!(few, Err("expected exactly 6 fields, found 5: [* * * * *]".to_owned()));
    }

    #[test]
    fn a_date_that_never_comes_has_no_next_time() {
        let never = Schedule::parse("0 0 31 2 *").unwrap();
        assert_eq!(never.next(Timestamp::UNIX_EPOCH, &TimeZone::UTC), None);
    }

    #[test]
    fn a_fixed_offset_shifts_the_wall_clock() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let nine = Schedule::parse("0 9 * * *").unwrap();
        let next = nine.next("2030-01-01T00:00:00Z".parse().unwrap(), &zone).unwrap();
        assert_eq!(next.to_string(), "2030-01-01T07:00:00Z");
    }

    #[test]
    fn faults_are_told_in_upstream_words() {
        check_fault("* * *", "expected exactly 5 fields, found 3: [* * *]");
        check_fault("60 * * * *", "end of range (60) above maximum (59): 60");
        check_fault("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax");
        check_fault("*/0 * * * *", "step of range should be a positive number: */0");
        check_fault("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1");
        check_fault("@never", "unrecognized descriptor: @never");
        check_fault("", "empty spec string");
    }
}
