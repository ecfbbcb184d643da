//! The columns of custom resources: `additionalPrinterColumns` and their JSON paths.

use serde_json::{Value, json};

use super::column::{AGE_DESCRIPTION, NAME};
use super::view::{View, parse_time};
use crate::core::jsonpath::{self, Path};

/// The parsed printer columns of one version of a CustomResourceDefinition.
#[derive(Clone, Debug, Default)]
pub struct CrdColumns {
    columns: Vec<CustomColumn>,
}

#[derive(Clone, Debug)]
struct CustomColumn {
    path: Path,
    kind: String,
    definition: Value,
}

impl CrdColumns {
    /// Reads `spec.versions[].additionalPrinterColumns`; null, missing or empty means the age. Columns
    /// from the first unreadable path on are left out, as upstream.
    pub fn from_json(columns: Option<&Value>) -> Self {
        let given = columns.and_then(Value::as_array).filter(|columns| !columns.is_empty());
        let age = [json!({
            "name": "Age",
            "type": "date",
            "description": AGE_DESCRIPTION,
            "jsonPath": ".metadata.creationTimestamp",
        })];
        let columns = given.map_or(age.as_slice(), Vec::as_slice);
        Self { columns: columns.iter().map_while(CustomColumn::from_json).collect() }
    }

    /// The column definitions of a Table, the name first.
    pub(super) fn definitions(&self) -> Value {
        let name = NAME.to_json();
        std::iter::once(name).chain(self.columns.iter().map(|column| column.definition.clone())).collect()
    }

    pub(super) fn cells(&self, view: &View<'_>) -> Vec<Value> {
        let cells = self.columns.iter().map(|column| column.cell(view));
        std::iter::once(view.name()).chain(cells).collect()
    }
}

impl CustomColumn {
    fn from_json(column: &Value) -> Option<Self> {
        let text = |name: &str| column.get(name).and_then(Value::as_str).unwrap_or_default();
        let json_path = text("jsonPath");
        let path = Path::parse(&format!("{{{json_path}}}")).ok()?;
        let description = match text("description") {
            "" => format!("Custom resource definition column (in JSONPath format): {json_path}"),
            description => description.to_owned(),
        };
        let definition = json!({
            "name": text("name"),
            "type": text("type"),
            "format": text("format"),
            "description": description,
            "priority": column.get("priority").and_then(Value::as_i64).unwrap_or_default(),
        });
        Some(Self { path, kind: text("type").to_owned(), definition })
    }

    fn cell(&self, view: &View<'_>) -> Value {
        let Ok(found) = self.path.find(view.value) else { return Value::Null };
        let Some(value) = found.first() else { return Value::Null };
        match self.kind.as_str() {
            "string" => Value::from(jsonpath::print(value)),
            "integer" => integer(value),
            "number" => value.as_f64().map_or(Value::Null, whole_where_possible),
            "boolean" => value.as_bool().map_or(Value::Null, Value::from),
            "date" => value.as_str().map_or(Value::Null, |text| date(view, text)),
            _ => Value::Null,
        }
    }
}

/// Integers as they are, fractions cut towards zero; beyond 64 bits the lowest integer, as upstream.
fn integer(value: &Value) -> Value {
    let fits = -(2.0_f64.powi(63))..2.0_f64.powi(63);
    match (value.as_i64(), value.as_f64()) {
        (Some(integer), _) => Value::from(integer),
        (None, Some(number)) if fits.contains(&number) => Value::from(number as i64),
        (None, Some(_)) => Value::from(i64::MIN),
        (None, None) => Value::Null,
    }
}

/// Go writes a whole floating-point number without a point.
fn whole_where_possible(number: f64) -> Value {
    let exact_below = 9_007_199_254_740_992.0; // 2^53
    if number.fract() == 0.0 && number.abs() < exact_below { Value::from(number as i64) } else { Value::from(number) }
}

fn date(view: &View<'_>, text: &str) -> Value {
    let zero = matches!(text, "" | "null") || text.starts_with("0001-01-01T00:00:00Z");
    Value::from(match parse_time(text) {
        _ if zero => "<unknown>".to_owned(),
        Some(time) if is_rfc3339(text) => view.human_since(time),
        _ => "<invalid>".to_owned(),
    })
}

/// Whether a text has the shape `2006-01-02T15:04:05[.9][Z|+07:00]`, which is all that Go reads.
fn is_rfc3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, kind): (&u8, &u8)| if *kind == b'd' { byte.is_ascii_digit() } else { byte == kind };
    if bytes.len() <= shape.len() || !bytes.iter().zip(shape).all(fits) {
        return false;
    }
    let zone = text[shape.len()..].trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit());
    let offset = zone.as_bytes();
    zone == "Z" || (offset.len() == 6 && matches!(offset[0], b'+' | b'-') && offset[3] == b':')
}
