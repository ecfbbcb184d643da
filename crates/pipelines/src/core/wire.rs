//! Objects of requests, read as proto3 JSON has them: `snake_case` or `camelCase` names, enums as names or numbers, 64-bit
//! integers as numbers or strings, null for nothing. What is not known is refused with its name.

use jiff::{Timestamp, tz::Offset};
use serde_json::{Map, Value};

use super::fault::Fault;

/// The fields of an object that have not been read yet.
#[derive(Debug)]
pub struct Fields {
    at: String,
    fields: Map<String, Value>,
}

impl Fields {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Fault`] for what is no JSON object, or names a field twice.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        if body.is_empty() {
            return Err(Fault::new("", "the body is empty; send a JSON object"));
        }
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Fault::new("", format!("the body is no JSON: {error}; send an object")))?;
        Self::of("", value)
    }

    /// Reads an object at a place.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn of(at: &str, value: Value) -> Result<Self, Fault> {
        let Value::Object(given) = value else {
            return Err(Fault::new(at, format!("expected an object, not {}", kind(&value))));
        };
        let mut fields = Map::new();
        for (name, value) in given {
            let snake = snake(&name);
            if fields.insert(snake.clone(), value).is_some() {
                return Err(Fault::new(join(at, &snake), "given twice"));
            }
        }
        Ok(Self { at: at.to_owned(), fields })
    }

    /// Where the object stands.
    pub fn place(&self) -> &str {
        &self.at
    }

    /// Where a field stands.
    pub fn at(&self, name: &str) -> String {
        join(&self.at, name)
    }

    /// Takes a field; `None` where it is absent or null.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    /// Whether a field was given, even as null.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Sets a field as if it had been given; an empty text is none.
    pub fn set(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.fields.insert(name.to_owned(), text.into());
        }
    }

    /// Takes text; empty where there is none.
    ///
    /// # Errors
    /// [`Fault`] for another type.
    pub fn text(&mut self, name: &str) -> Result<String, Fault> {
        match self.take(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(self.wrong(name, "a string", &other)),
        }
    }

    /// Takes a boolean; `false` where there is none.
    ///
    /// # Errors
    /// [`Fault`] for another type.
    pub fn boolean(&mut self, name: &str) -> Result<bool, Fault> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => Err(self.wrong(name, "true or false", &other)),
        }
    }

    /// Takes an integer.
    ///
    /// # Errors
    /// [`Fault`] for another type or a fraction.
    pub fn integer(&mut self, name: &str) -> Result<Option<i64>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => integer(&value).map(Some).ok_or_else(|| self.wrong(name, "an integer", &value)),
        }
    }

    /// Takes a time, as milliseconds since 1970.
    ///
    /// # Errors
    /// [`Fault`] for what is no time of RFC 3339.
    pub fn time(&mut self, name: &str) -> Result<Option<i64>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => match text.parse::<Timestamp>() {
                Ok(time) => Ok(Some(time.as_millisecond())),
                Err(error) => {
                    Err(Fault::new(self.at(name), format!("{text:?} is no time as 2026-01-31T12:00:00Z: {error}")))
                }
            },
            Some(other) => Err(self.wrong(name, "a time as \"2026-01-31T12:00:00Z\"", &other)),
        }
    }

    /// Takes one of `words`, given by name or number; `None` where there is none.
    ///
    /// # Errors
    /// [`Fault`] that lists the words.
    pub fn word(&mut self, name: &str, words: &[(i64, &'static str)]) -> Result<Option<&'static str>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let found = words.iter().find(|(number, word)| value == *word || value == *number);
        found.map(|(_, word)| Some(*word)).ok_or_else(|| {
            let all: Vec<&str> = words.iter().map(|(_, word)| *word).collect();
            Fault::new(self.at(name), format!("{value} is none of {}", all.join(", ")))
        })
    }

    /// Takes an object; `None` where there is none.
    ///
    /// # Errors
    /// [`Fault`] for another type.
    pub fn object(&mut self, name: &str) -> Result<Option<Self>, Fault> {
        let at = self.at(name);
        self.take(name).map(|value| Self::of(&at, value)).transpose()
    }

    /// Takes a map, whose names are kept as they are.
    ///
    /// # Errors
    /// [`Fault`] for another type.
    pub fn map(&mut self, name: &str) -> Result<Map<String, Value>, Fault> {
        match self.take(name) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map),
            Some(other) => Err(self.wrong(name, "an object", &other)),
        }
    }

    /// Takes a map of text to text.
    ///
    /// # Errors
    /// [`Fault`] for another type.
    pub fn texts(&mut self, name: &str) -> Result<Map<String, Value>, Fault> {
        let map = self.map(name)?;
        let wrong = map.iter().find(|(_, value)| !value.is_string());
        match wrong {
            Some((key, value)) => Err(self.wrong(&format!("{name}.{key}"), "a string", value)),
            None => Ok(map),
        }
    }

    /// Leaves out fields that the server alone writes.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.fields.remove(*name);
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Fault`] for a field that nobody has read.
    pub fn end(self, known: &str) -> Result<(), Fault> {
        match self.fields.keys().next() {
            Some(name) => Err(Fault::new(join(&self.at, name), format!("unknown field; there are {known}"))),
            None => Ok(()),
        }
    }

    fn wrong(&self, name: &str, wanted: &str, value: &Value) -> Fault {
        Fault::new(self.at(name), format!("expected {wanted}, not {}", kind(value)))
    }
}

/// An integer, given as a number or as text.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15)?;
            #[expect(clippy::cast_possible_truncation, reason = "it is integral and below 2^53")]
            Some(float as i64)
        }),
        _ => None,
    }
}

/// A time as it stands in answers: `2026-01-31T12:00:00.123Z`, without a fraction where it is none.
pub fn time(ms: i64) -> String {
    let Ok(time) = Timestamp::from_millisecond(ms) else { return String::new() };
    let at = Offset::UTC.to_datetime(time);
    if at.year() < 0 {
        // The sign makes it longer.
        return if ms % 1000 == 0 { format!("{time:.0}") } else { format!("{time:.3}") };
    }
    let mut text = *b"0000-00-00T00:00:00.000Z";
    digits(&mut text[..4], at.year().unsigned_abs());
    digits(&mut text[5..7], at.month().unsigned_abs().into());
    digits(&mut text[8..10], at.day().unsigned_abs().into());
    digits(&mut text[11..13], at.hour().unsigned_abs().into());
    digits(&mut text[14..16], at.minute().unsigned_abs().into());
    digits(&mut text[17..19], at.second().unsigned_abs().into());
    let end = if ms % 1000 == 0 { 19 } else { 23 };
    digits(&mut text[20..23], at.millisecond().unsigned_abs());
    text[end] = b'Z';
    std::str::from_utf8(&text[..=end]).unwrap_or_default().to_owned()
}

/// Writes a number over all of `text`. The printer of jiff, which knows every format, takes six times as long for a time.
fn digits(text: &mut [u8], mut number: u16) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10).to_le_bytes()[0];
        number /= 10;
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn names_enums_and_integers_are_read_in_each_of_their_forms() {
        let words = [(1, "ENABLE"), (2, "DISABLE")];
        for json in [
            r#"{"max_concurrency": "3", "mode": 2, "no_catchup": null}"#,
            r#"{"maxConcurrency": 3, "mode": "DISABLE"}"#,
            r#"{"maxConcurrency": 3.0, "mode": "DISABLE", "noCatchup": false}"#,
        ] {
            let mut fields = fields(json);
            assert_eq!(fields.integer("max_concurrency"), Ok(Some(3)), "{json}");
            assert_eq!(fields.word("mode", &words), Ok(Some("DISABLE")), "{json}");
            assert_eq!(fields.boolean("no_catchup"), Ok(false), "{json}");
            fields.end("").unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let fault = |outcome: Result<(), Fault>| outcome.unwrap_err().to_string();
        let mut one = fields(r#"{"trigger": {"cronSchedule": {"startTime": 5, "end": ""}}}"#);
        let mut trigger = one.object("trigger").unwrap().unwrap();
        let mut cron = trigger.object("cron_schedule").unwrap().unwrap();
        let time = cron.time("start_time").map(drop);
        assert_eq!(
            fault(time),
            "trigger.cron_schedule.start_time: expected a time as \"2026-01-31T12:00:00Z\", not a number"
        );
        assert_eq!(fault(cron.end("cron")), "trigger.cron_schedule.end: unknown field; there are cron");
        assert_eq!(fault(Fields::parse(b"[]").map(drop)), "expected an object, not a list");
        assert_eq!(fault(Fields::parse(b"").map(drop)), "the body is empty; send a JSON object");
        assert_eq!(fault(Fields::parse(br#"{"a_b": 1, "aB": 2}"#).map(drop)), "a_b: given twice");
        let mut one = fields(r#"{"mode": "OFF"}"#);
        assert_eq!(fault(one.word("mode", &[(1, "ENABLE")]).map(drop)), "mode: \"OFF\" is none of ENABLE");
    }

    #[test]
    fn times_are_written_without_a_fraction_where_there_is_none() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_500), "1970-01-01T00:00:01.500Z");
        assert_eq!(time(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(time(i64::MAX), "");
    }

    proptest::proptest! {
        #[test]
        fn times_are_written_as_their_library_writes_them(
            ms in Timestamp::MIN.as_millisecond()..=Timestamp::MAX.as_millisecond(),
            is_whole in proptest::bool::ANY,
        ) {
            let ms = if is_whole { ms / 1000 * 1000 } else { ms };
            let wanted = Timestamp::from_millisecond(ms).unwrap();
            let wanted = if ms % 1000 == 0 { format!("{wanted:.0}") } else { format!("{wanted:.3}") };
            proptest::prop_assert_eq!(time(ms), wanted);
        }
    }
}
