//! Resource quantities: `500m`, `1Gi`, `12e6`, with the exact arithmetic and text of Kubernetes.
//!
//! Follows `k8s.io/apimachinery/pkg/api/resource`: small numbers are an `i64` and a power of ten,
//! others a decimal of any size, and the text that was parsed is kept when it is already canonical.
//! This module never decides whether a quantity is allowed where it stands.

#[path = "quantity/amount.rs"]
mod amount;
#[path = "quantity/decimal.rs"]
mod decimal;
#[path = "quantity/parse.rs"]
mod parse;
#[cfg(test)]
#[path = "quantity/tests.rs"]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use self::amount::{Int, scaled_value, shrink};
use self::decimal::{Decimal, Rounding};

/// Powers of ten with a suffix of their own.
pub mod scale {
    /// `n`.
    pub const NANO: i32 = -9;
    /// `u`.
    pub const MICRO: i32 = -6;
    /// `m`.
    pub const MILLI: i32 = -3;
    /// No suffix.
    pub const UNIT: i32 = 0;
    /// `k`.
    pub const KILO: i32 = 3;
    /// `M`.
    pub const MEGA: i32 = 6;
    /// `G`.
    pub const GIGA: i32 = 9;
}

/// Why a text is not a quantity; the wording is that of the Kubernetes API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no number with a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number has no digits.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// There is no such suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `12e6`.
    DecimalExponent,
    /// `12Mi`.
    BinarySi,
    /// `12M`.
    DecimalSi,
}

/// A fixed-point number with a preferred way to be written.
///
/// Equality and order are those of the number: `1` equals `1000m`.
#[derive(Clone, Debug)]
pub struct Quantity {
    amount: Amount,
    format: Format,
    /// The text that was parsed, when it is what upstream would print again.
    text: Option<String>,
}

#[derive(Clone, Debug)]
enum Amount {
    Int(Int),
    Big(Decimal),
}

impl Default for Quantity {
    fn default() -> Self {
        Self::from_scaled(0, scale::UNIT, Format::DecimalSi)
    }
}

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// [`Error::Format`] when the text is no number with a suffix, [`Error::Suffix`] when the suffix
    /// is unknown, [`Error::Numeric`] when the number has no digits.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::quantity(text)
    }

    /// Reads the JSON form: a string, a number, or null for zero.
    ///
    /// # Errors
    /// As [`Quantity::parse`]; other JSON types are [`Error::Format`].
    pub fn from_json(value: &Value) -> Result<Self, Error> {
        match value {
            Value::Null => Ok(Self::default()),
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => Err(Error::Format),
        }
    }

    /// A whole number.
    pub fn from_value(value: i64, format: Format) -> Self {
        Self::from_scaled(value, scale::UNIT, format)
    }

    /// Thousandths.
    pub fn from_milli(value_milli: i64, format: Format) -> Self {
        Self::from_scaled(value_milli, scale::MILLI, format)
    }

    /// `value * 10^scale`.
    pub fn from_scaled(value: i64, scale: i32, format: Format) -> Self {
        Self { amount: Amount::Int(Int { value, scale }), format, text: None }
    }

    /// How the quantity is written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the number is zero.
    pub fn is_zero(&self) -> bool {
        self.sign() == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        match &self.amount {
            Amount::Int(int) => int.value.signum() as i32,
            Amount::Big(big) => big.sign(),
        }
    }

    /// The number rounded up to a whole one; 0 or a wrapped value when it does not fit, as upstream.
    pub fn value(&self) -> i64 {
        self.scaled_value(scale::UNIT)
    }

    /// Thousandths, rounded up; see [`Quantity::value`] for overflow.
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(scale::MILLI)
    }

    /// The number divided by `10^scale`, rounded up; see [`Quantity::value`] for overflow.
    pub fn scaled_value(&self, scale: i32) -> i64 {
        match &self.amount {
            Amount::Int(int) => int.scaled_value_wrapping(scale),
            Amount::Big(big) => scaled_value(big, scale),
        }
    }

    /// The number where it is whole and fits without a decimal detour.
    pub fn as_i64(&self) -> Option<i64> {
        match &self.amount {
            Amount::Int(int) if int.scale >= 0 => int.scaled_value(0),
            _ => None,
        }
    }

    /// The nearest floating-point number, roughly.
    pub fn as_f64(&self) -> f64 {
        match &self.amount {
            Amount::Int(int) => int.value as f64 * 10_f64.powi(int.scale),
            Amount::Big(big) => big.as_f64(),
        }
    }

    /// Rounds away from zero to a multiple of `10^scale`; a quantity that is one already keeps its text.
    pub fn round_up(&mut self, scale: i32) {
        match &mut self.amount {
            Amount::Int(int) if int.scale >= scale => {}
            Amount::Int(int) => {
                int.value = shrink(int.value, scale.wrapping_sub(int.scale)).0;
                int.scale = scale;
                self.text = None;
            }
            Amount::Big(big) => {
                *big = big.round_up(scale.wrapping_neg()).0;
                self.text = None;
            }
        }
    }

    /// Adds in place; a zero takes over the format of what is added.
    pub fn add(&mut self, other: &Self) {
        self.text = None;
        if self.is_zero() {
            self.format = other.format;
        }
        if let (Amount::Int(left), Amount::Int(right)) = (&self.amount, &other.amount)
            && let Some(sum) = left.add(*right)
        {
            self.amount = Amount::Int(sum);
            return;
        }
        self.amount = Amount::Big(self.decimal().add(&other.decimal()));
    }

    /// Subtracts in place; a zero takes over the format of what is subtracted.
    pub fn sub(&mut self, other: &Self) {
        self.text = None;
        if self.is_zero() {
            self.format = other.format;
        }
        if let (Amount::Int(left), Amount::Int(right)) = (&self.amount, &other.amount)
            && let Some(difference) = left.add(Int { value: right.value.wrapping_neg(), scale: right.scale })
        {
            self.amount = Amount::Int(difference);
            return;
        }
        let mut negated = other.decimal();
        negated.negate();
        self.amount = Amount::Big(self.decimal().add(&negated));
    }

    /// Multiplies in place.
    pub fn mul(&mut self, factor: i64) {
        self.text = None;
        if let Amount::Int(int) = &self.amount
            && let Some(product) = int.multiply(factor)
        {
            self.amount = Amount::Int(product);
            return;
        }
        self.amount = Amount::Big(self.decimal().multiply(factor));
    }

    /// Changes the sign.
    pub fn neg(&mut self) {
        self.text = None;
        match &mut self.amount {
            Amount::Int(int) => int.value = int.value.wrapping_neg(),
            Amount::Big(big) => big.negate(),
        }
    }

    /// The JSON form: the canonical string.
    pub fn to_json(&self) -> Value {
        Value::String(self.to_string())
    }

    fn decimal(&self) -> Decimal {
        match &self.amount {
            Amount::Int(int) => int.decimal(),
            Amount::Big(big) => big.clone(),
        }
    }

    fn canonical(&self) -> String {
        if self.is_zero() {
            return "0".to_owned();
        }
        let binary = (self.format == Format::BinarySi).then(|| self.canonical_binary()).flatten();
        if let Some((number, exponent)) = binary {
            return number + parse::binary_suffix(exponent.wrapping_mul(10));
        }
        let (number, exponent) = match &self.amount {
            Amount::Int(int) => int.canonical_decimal(),
            Amount::Big(big) => big.canonical_decimal(),
        };
        match self.format {
            Format::DecimalExponent if exponent == 0 => number,
            Format::DecimalExponent => format!("{number}e{exponent}"),
            // A power of ten beyond the suffixes is lost, as it is upstream.
            Format::DecimalSi | Format::BinarySi => number + parse::decimal_suffix(exponent),
        }
    }

    /// Digits and power of 1024, or none where that would be shorter than 1Ki or lose precision.
    fn canonical_binary(&self) -> Option<(String, i32)> {
        let limit = Self::from_value(1024, Format::DecimalSi);
        let negative_limit = Self::from_value(-1024, Format::DecimalSi);
        if *self > negative_limit && *self < limit {
            return None;
        }
        match &self.amount {
            Amount::Int(int) => int.canonical_binary(),
            Amount::Big(big) => match big.round_up(0) {
                (_, Rounding::Rounded) => None,
                (whole, Rounding::Exact) => Some(whole.canonical_binary()),
            },
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.amount, &other.amount) {
            (Amount::Int(left), Amount::Int(right)) if left.scale == right.scale => left.value.cmp(&right.value),
            _ => self.decimal().compare(&other.decimal()),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.write_str(text),
            None => f.write_str(&self.canonical()),
        }
    }
}

impl FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}
