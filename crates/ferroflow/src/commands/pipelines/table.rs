//! Tables of text, as kubectl has them.

use serde_json::Value;

/// A JSON value as text without quotes; nothing for null.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Prints rows below a head, columns as wide as what is in them.
pub fn print(head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let head: Vec<String> = head.iter().map(|word| (*word).to_owned()).collect();
    for line in lines(std::iter::once(head).chain(rows).collect()) {
        println!("{line}");
    }
}

fn lines(rows: Vec<Vec<String>>) -> Vec<String> {
    let columns = rows.first().map(Vec::len).unwrap_or_default();
    let wide = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| wide(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["A", "B"], ["long ü", "x"]].map(|row| row.map(str::to_owned).to_vec()).to_vec();
        assert_eq!(lines(rows), ["A        B", "long ü   x"]);
    }
}
