//! Numbers that fit 64 bits and a power of ten, and how numbers of either form round to 64 bits.

use super::decimal::{Decimal, Rounding};

/// `value * 10^scale`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Int {
    pub(super) value: i64,
    pub(super) scale: i32,
}

impl Int {
    pub(super) fn decimal(self) -> Decimal {
        Decimal::new(self.value, self.scale.wrapping_neg())
    }

    pub(super) fn scaled_value(self, scale: i32) -> Option<i64> {
        if self.scale < scale {
            Some(shrink(self.value, scale.saturating_sub(self.scale)).0)
        } else {
            grow(self.value, self.scale.saturating_sub(scale))
        }
    }

    /// As [`Int::scaled_value`]; on overflow what upstream's arithmetic leaves, which for some powers
    /// of ten is the wrapped product and for others zero.
    pub(super) fn scaled_value_wrapping(self, scale: i32) -> i64 {
        let places = self.scale.saturating_sub(scale);
        match self.scaled_value(scale) {
            Some(value) => value,
            None if matches!(places, 1 | 2 | 3 | 6 | 9) && self.value != i64::MIN => {
                self.value.wrapping_mul(10_i64.pow(places.unsigned_abs()))
            }
            None => 0,
        }
    }

    pub(super) fn add(self, other: Self) -> Option<Self> {
        if other.value == 0 {
            return Some(self);
        }
        if self.value == 0 {
            return Some(other);
        }
        let scale = self.scale.min(other.scale);
        let left = grow(self.value, self.scale.saturating_sub(scale))?;
        let right = grow(other.value, other.scale.saturating_sub(scale))?;
        Some(Self { value: left.checked_add(right)?, scale })
    }

    pub(super) fn multiply(self, factor: i64) -> Option<Self> {
        if self.value == 0 {
            return Some(self);
        }
        if factor == 0 {
            return Some(Self { value: 0, scale: 0 });
        }
        let value = self.value.checked_mul(factor)?;
        if self.scale > 0 {
            grow(value, self.scale)?;
        }
        Some(Self { value, scale: self.scale })
    }

    pub(super) fn canonical_decimal(self) -> (String, i32) {
        let (mut value, mut exponent) = (self.value, self.scale);
        while value.unsigned_abs() >= 10 && value % 10 == 0 && value != i64::MIN {
            value /= 10;
            exponent = exponent.wrapping_add(1);
        }
        let places = exponent.rem_euclid(3);
        match grow(value, places) {
            Some(value) => (value.to_string(), exponent - places),
            None => self.decimal().canonical_decimal(),
        }
    }

    pub(super) fn canonical_binary(self) -> Option<(String, i32)> {
        let rounded = if self.scale >= 0 {
            self
        } else {
            let (value, Rounding::Exact) = shrink(self.value, self.scale.saturating_neg()) else { return None };
            Self { value, scale: 0 }
        };
        let Some(mut value) = rounded.scaled_value(0) else { return Some(rounded.decimal().canonical_binary()) };
        let mut exponent = 0;
        while value.unsigned_abs() >= 1024 && value % 1024 == 0 && value != i64::MIN {
            value /= 1024;
            exponent += 1;
        }
        Some((value.to_string(), exponent))
    }
}

/// `value * 10^places`, or none where that overflows.
fn grow(value: i64, places: i32) -> Option<i64> {
    if value == 0 || places <= 0 {
        return Some(value);
    }
    10_i64.checked_pow(places.unsigned_abs()).and_then(|factor| value.checked_mul(factor))
}

/// `value / 10^places`, rounded away from zero.
pub(super) fn shrink(value: i64, places: i32) -> (i64, Rounding) {
    if places <= 0 {
        return (value, Rounding::Exact);
    }
    let (quotient, rest) = match 10_i64.checked_pow(places.unsigned_abs()) {
        Some(divisor) => (value / divisor, value % divisor),
        None => (0, value),
    };
    if rest == 0 { (quotient, Rounding::Exact) } else { (quotient + value.signum(), Rounding::Rounded) }
}

/// Scales a big number to an `i64` with upstream's rounding, which adds one after cutting: below the
/// 64-bit range the cut is towards zero, beyond it downwards.
pub(super) fn scaled_value(number: &Decimal, scale: i32) -> i64 {
    let difference = i64::from(number.scale()) + i64::from(scale);
    let unscaled = number.unscaled_wrapping();
    match difference {
        0 => unscaled,
        ..0 => {
            // Beyond 10^18 the conversion of the power from floating point yields the lowest integer.
            let factor = u32::try_from(-difference).ok().and_then(|power| 10_i64.checked_pow(power));
            unscaled.wrapping_mul(factor.unwrap_or(i64::MIN))
        }
        1..19 if number.unscaled_below_i64_max() => {
            let divisor = 10_i64.pow(difference as u32);
            unscaled / divisor + i64::from(unscaled % divisor != 0)
        }
        _ => {
            let (quotient, exact) = number.divide_by_power_of_ten(difference.unsigned_abs());
            let cut = quotient.unscaled_wrapping();
            let up = !exact && number.sign() > 0;
            cut.wrapping_add(i64::from(up))
        }
    }
}
