//! JSON as Go writes the structures of an autoscaler: fields in the order of their declaration, `<`, `>` and `&` as
//! escapes.

use serde_json::Value;

/// Fields in an order that holds for every structure of metrics, conditions and behaviour. Others come behind, by name.
const ORDER: [&str; 39] = [
    "ScaleUp",
    "ScaleDown",
    "StabilizationWindowSeconds",
    "SelectPolicy",
    "Policies",
    "Tolerance",
    "Type",
    "Value",
    "PeriodSeconds",
    "type",
    "status",
    "lastTransitionTime",
    "reason",
    "message",
    "object",
    "pods",
    "resource",
    "containerResource",
    "external",
    "kind",
    "target",
    "name",
    "apiVersion",
    "metricName",
    "metricSelector",
    "targetAverageUtilization",
    "currentAverageUtilization",
    "targetValue",
    "currentValue",
    "targetAverageValue",
    "currentAverageValue",
    "container",
    "selector",
    "averageValue",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
];

/// A value as Go writes it.
pub fn go_text(value: &Value) -> String {
    let mut text = String::new();
    write(value, Names::Fields, &mut text);
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Whether the keys of an object are fields, or entries of a map, which come by name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Fields,
    Entries,
}

fn write(value: &Value, names: Names, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            let rank = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
            if names == Names::Fields {
                fields.sort_by_key(|(name, _)| (rank(name), (*name).clone()));
            }
            text.push('{');
            for (index, (name, value)) in fields.into_iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(value, if name == "matchLabels" { Names::Entries } else { Names::Fields }, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                write(item, Names::Fields, text);
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::go_text;

    #[test]
    fn fields_come_in_the_order_of_go() {
        let rows = [
            (
                json!([{"type": "Pods", "pods": {"selector": {"matchLabels": {"b": "1", "a": "<"}}, "metricName": "m"}}]),
                "[{\"type\":\"Pods\",\"pods\":{\"metricName\":\"m\",\"selector\":{\"matchLabels\":{\"a\":\"\\u003c\",\"b\":\"1\"}}}}]",
            ),
            (
                json!({"ScaleDown": null, "ScaleUp": {"Tolerance": null, "Policies": [{"PeriodSeconds": 1, "Type": "Pods"}]}}),
                "{\"ScaleUp\":{\"Policies\":[{\"Type\":\"Pods\",\"PeriodSeconds\":1}],\"Tolerance\":null},\"ScaleDown\":null}",
            ),
        ];
        for (value, text) in rows {
            assert_eq!(go_text(&value), text);
        }
    }
}
