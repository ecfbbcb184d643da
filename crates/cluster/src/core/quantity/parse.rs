//! Reading a quantity's text: sign, digits, suffix.

use std::cmp::Ordering;

use super::amount::Int;
use super::decimal::Decimal;
use super::{Amount, Error, Format, Quantity, scale};

/// Most decimal digits that always fit an `i64`.
const INT64_DIGITS: i32 = 18;

/// Suffixes of powers of ten, with their exponent.
const DECIMAL_SUFFIXES: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// Suffixes of powers of two, with their exponent.
const BINARY_SUFFIXES: [(&str, i32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// Reads a quantity.
pub(super) fn quantity(text: &str) -> Result<Quantity, Error> {
    if text.is_empty() {
        return Err(Error::Format);
    }
    let parts = Parts::split(text)?;
    let (base, exponent, format) = interpret_suffix(parts.suffix).ok_or(Error::Suffix)?;
    match small(&parts, base, exponent)? {
        Some(amount) => {
            let keep = keeps_text(&parts, &amount, base, exponent);
            Ok(Quantity { amount: Amount::Int(amount), format, text: keep.then(|| text.to_owned()) })
        }
        None => big(&parts, base, exponent, format),
    }
}

/// The pieces of a quantity's text.
struct Parts<'a> {
    negative: bool,
    /// Sign, digits and point.
    value: &'a str,
    /// Digits before the point, without leading zeros; `0` when there are none.
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, Error> {
        let bytes = text.as_bytes();
        let run =
            |from: usize, accept: fn(u8) -> bool| from + bytes[from..].iter().take_while(|byte| accept(**byte)).count();
        let digit = |byte: u8| byte.is_ascii_digit();
        let negative = bytes[0] == b'-';
        let sign_end = usize::from(matches!(bytes[0], b'-' | b'+'));
        let zeros_end = run(sign_end, |byte| byte == b'0');
        if zeros_end == bytes.len() {
            return Ok(Self { negative, value: "0", whole: "0", fraction: "", suffix: "" });
        }
        let whole_end = run(zeros_end, digit);
        let whole = if whole_end == zeros_end { "0" } else { &text[zeros_end..whole_end] };
        let (fraction, value_end) = match bytes.get(whole_end) {
            Some(b'.') => {
                let end = run(whole_end + 1, digit);
                (&text[whole_end + 1..end], end)
            }
            _ => ("", whole_end),
        };
        let letters_end = run(value_end, |byte| b"eEinumkKMGTP".contains(&byte));
        let sign_end = letters_end + usize::from(matches!(bytes.get(letters_end), Some(b'-' | b'+')));
        if run(sign_end, digit) != bytes.len() {
            return Err(Error::Format);
        }
        Ok(Self { negative, value: &text[..value_end], whole, fraction, suffix: &text[value_end..] })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    Ten,
    Two,
}

fn interpret_suffix(suffix: &str) -> Option<(Base, i32, Format)> {
    if let Some((_, exponent)) = DECIMAL_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Some((Base::Ten, *exponent, Format::DecimalSi));
    }
    if let Some((_, exponent)) = BINARY_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Some((Base::Two, *exponent, Format::BinarySi));
    }
    // The exponent is cut to 32 bits, as it is upstream.
    let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((Base::Ten, exponent as i32, Format::DecimalExponent))
}

/// The suffix of a power of ten; empty for a power that has none.
pub(super) fn decimal_suffix(exponent: i32) -> &'static str {
    DECIMAL_SUFFIXES.iter().find(|(_, power)| *power == exponent).map_or("", |(name, _)| name)
}

/// The suffix of a power of two; empty for a power that has none.
pub(super) fn binary_suffix(exponent: i32) -> &'static str {
    BINARY_SUFFIXES.iter().find(|(_, power)| *power == exponent).map_or("", |(name, _)| name)
}

/// The quantity as a 64-bit integer and a power of ten, or none where it needs more.
fn small(parts: &Parts<'_>, base: Base, exponent: i32) -> Result<Option<Int>, Error> {
    let (whole, fraction) = (parts.whole.len() as i32, parts.fraction.len() as i32);
    let (mantissa, precision, scale) = match base {
        Base::Ten => (1, INT64_DIGITS - whole - fraction, exponent),
        // A power of two of n bits has about 3n/10 decimal digits.
        Base::Two if fraction == 0 => (1_i64 << exponent, 15 - whole - exponent * 3 / 10 - 1, 0),
        Base::Two => return Ok(None),
    };
    let scale = scale.wrapping_sub(fraction);
    if precision < 0 || scale < scale::NANO {
        return Ok(None);
    }
    let digits = format!("{}{}", parts.whole, parts.fraction);
    let value: i64 = digits.parse().map_err(|_| Error::Numeric)?;
    let value = value.checked_mul(mantissa);
    Ok(value.map(|value| Int { value: if parts.negative { -value } else { value }, scale }))
}

/// Whether upstream prints a parsed quantity again as it was written.
fn keeps_text(parts: &Parts<'_>, amount: &Int, base: Base, exponent: i32) -> bool {
    match base {
        Base::Two => exponent % 10 == 0 && (amount.value >> exponent) & 7 != 0,
        Base::Ten => {
            let digits = format!("{}{}", parts.whole, parts.fraction);
            amount.scale % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0')
        }
    }
}

fn big(parts: &Parts<'_>, base: Base, exponent: i32, mut format: Format) -> Result<Quantity, Error> {
    let mut amount = Decimal::parse(parts.value).ok_or(Error::Numeric)?;
    match base {
        Base::Ten => amount.set_scale(amount.scale().wrapping_sub(exponent)),
        Base::Two => amount.multiply_by_power_of_two(exponent.unsigned_abs()),
    }
    let negative = amount.sign() < 0;
    if negative {
        amount.negate();
    }
    if !amount.is_zero() {
        // Whoever asks for something gets something: tiny amounts become one nano.
        amount = amount.round_up(scale::NANO.wrapping_neg()).0;
    }
    let max = Decimal::new(i64::MAX, 0);
    if format == Format::BinarySi && amount.compare(&max) == Ordering::Greater {
        amount = max;
    }
    if format == Format::BinarySi && !amount.is_zero() && amount.compare(&Decimal::new(1, 0)) == Ordering::Less {
        format = Format::DecimalSi;
    }
    if negative {
        amount.negate();
    }
    Ok(Quantity { amount: Amount::Big(amount), format, text: None })
}
