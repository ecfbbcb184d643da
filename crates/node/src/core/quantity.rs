//! Reads resource quantities as whole numbers.
//!
//! Only what a node needs of them: no formatting, no arithmetic. The API server has validated them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The amount in thousandths, rounded up; `None` when the text is no quantity.
pub fn milli(text: &str) -> Option<i128> {
    let (number, suffix) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len()));
    // `1e3` and `1E3` are exponents, `1E` is a suffix.
    let (exponent, factor) = match suffix {
        "" => (0, 1),
        "n" => (-9, 1),
        "u" => (-6, 1),
        "m" => (-3, 1),
        "k" => (3, 1),
        "M" => (6, 1),
        "G" => (9, 1),
        "T" => (12, 1),
        "P" => (15, 1),
        "E" => (18, 1),
        "Ki" => (0, 1_i128 << 10),
        "Mi" => (0, 1_i128 << 20),
        "Gi" => (0, 1_i128 << 30),
        "Ti" => (0, 1_i128 << 40),
        "Pi" => (0, 1_i128 << 50),
        "Ei" => (0, 1_i128 << 60),
        other => (other.strip_prefix(['e', 'E'])?.parse::<i32>().ok().filter(|power| power.abs() <= 18)?, 1),
    };
    let negative = number.starts_with('-');
    let digits = number.trim_start_matches(['+', '-']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() > 24 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let value: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let power = exponent + 3 - i32::try_from(fraction.len()).ok()?;
    let scale = 10_i128.checked_pow(power.unsigned_abs())?;
    let product = value.checked_mul(factor)?;
    let amount = if power >= 0 {
        product.checked_mul(scale)?
    } else {
        product.div_euclid(scale) + i128::from(product.rem_euclid(scale) > 0)
    };
    Some(if negative { -amount } else { amount })
}

/// The amount of a resource in a list, in thousandths.
pub fn milli_of(list: Option<&BTreeMap<String, Quantity>>, resource: &str) -> Option<i128> {
    milli(&list?.get(resource)?.0)
}

/// The amount of a resource in whole units, rounded up.
pub fn whole_of(list: Option<&BTreeMap<String, Quantity>>, resource: &str) -> Option<u64> {
    let milli = milli_of(list, resource)?;
    u64::try_from(milli.div_euclid(1000) + i128::from(milli.rem_euclid(1000) > 0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_exactly_and_rounded_up() {
        let rows = [
            ("1", 1000),
            ("500m", 500),
            ("0.5", 500),
            ("1.5Gi", 1_610_612_736_000),
            ("2e3", 2_000_000),
            ("1n", 1),
            ("100k", 100_000_000),
            ("1E", 1_000_000_000_000_000_000_000),
            (".5", 500),
            ("-1", -1000),
        ];
        for (text, expect) in rows {
            assert_eq!(milli(text), Some(expect), "{text}");
        }
        for text in ["", "x", "1X", "Ki", "1e99"] {
            assert_eq!(milli(text), None, "{text}");
        }
    }
}
