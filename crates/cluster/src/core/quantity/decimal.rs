//! Exact decimal numbers of any size, as far as quantities need them.
//!
//! A [`Decimal`] is an integer and a count of digits after the point; the count is part of the value
//! (`1.0` is not stored as `1`), because rounding of quantities depends on it. This module knows no
//! suffixes and never rounds unless asked to.

use std::cmp::Ordering;

/// Base of one limb: nine decimal digits fit 32 bits.
const LIMB_BASE: u32 = 1_000_000_000;
const LIMB_DIGITS: usize = 9;

/// No operation pads a number with more zeros than this: ten times what the longest finite `f64`
/// needs. It bounds memory against exponents such as `e2000000000`.
const PADDING_MAX_DIGITS: i64 = 3_100;

/// A decimal number: `magnitude / 10^scale` with a sign.
#[derive(Clone, Debug)]
pub(super) struct Decimal {
    negative: bool,
    /// Limbs of nine digits, least significant first, without leading zero limbs; empty is zero.
    limbs: Vec<u32>,
    /// Digits after the decimal point; negative for whole multiples of powers of ten.
    scale: i32,
}

/// Whether an operation kept the number as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    Exact,
    Rounded,
}

impl Decimal {
    /// `value / 10^scale`.
    pub(super) fn new(value: i64, scale: i32) -> Self {
        let mut rest = value.unsigned_abs();
        let mut limbs = Vec::new();
        while rest > 0 {
            limbs.push((rest % u64::from(LIMB_BASE)) as u32);
            rest /= u64::from(LIMB_BASE);
        }
        Self { negative: value < 0, limbs, scale }
    }

    /// Reads `[+-]digits[.digits]`; there must be at least one digit.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if all.is_empty() || !all.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let limbs = all
            .rchunks(LIMB_DIGITS)
            .map(|chunk| chunk.iter().fold(0_u32, |limb, digit| limb * 10 + u32::from(digit - b'0')))
            .collect();
        let scale = i32::try_from(fraction.len()).ok()?;
        let mut number = Self { negative, limbs, scale };
        number.trim();
        Some(number)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    /// -1, 0 or 1.
    pub(super) fn sign(&self) -> i32 {
        match (self.is_zero(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    pub(super) fn scale(&self) -> i32 {
        self.scale
    }

    pub(super) fn set_scale(&mut self, scale: i32) {
        self.scale = scale;
    }

    pub(super) fn negate(&mut self) {
        self.negative = !self.negative && !self.is_zero();
    }

    /// The digits before the scale is applied, cut to 64 bits as Go's `big.Int.Int64` cuts them.
    pub(super) fn unscaled_wrapping(&self) -> i64 {
        let magnitude = self
            .limbs
            .iter()
            .rev()
            .fold(0_u64, |value, limb| value.wrapping_mul(u64::from(LIMB_BASE)).wrapping_add(u64::from(*limb)));
        if self.negative { magnitude.wrapping_neg() as i64 } else { magnitude as i64 }
    }

    /// Whether the digits before the scale is applied are below `i64::MAX`.
    pub(super) fn unscaled_below_i64_max(&self) -> bool {
        self.negative || compare_limbs(&self.limbs, &Self::new(i64::MAX, 0).limbs) == Ordering::Less
    }

    pub(super) fn as_f64(&self) -> f64 {
        let magnitude =
            self.limbs.iter().rev().fold(0.0_f64, |value, limb| value * f64::from(LIMB_BASE) + f64::from(*limb));
        let signed = if self.negative { -magnitude } else { magnitude };
        signed * 10_f64.powi(self.scale.saturating_neg())
    }

    /// Multiplies by `2^exponent`.
    pub(super) fn multiply_by_power_of_two(&mut self, exponent: u32) {
        for _ in 0..exponent / 16 {
            self.multiply_small(1 << 16);
        }
        self.multiply_small(1 << (exponent % 16));
    }

    /// The product with a whole number.
    pub(super) fn multiply(&self, factor: i64) -> Self {
        let other = Self::new(factor, 0);
        let mut limbs = vec![0_u32; self.limbs.len() + other.limbs.len()];
        for (low, left) in self.limbs.iter().enumerate() {
            let mut carry = 0_u64;
            for (high, right) in other.limbs.iter().enumerate() {
                let sum = u64::from(limbs[low + high]) + u64::from(*left) * u64::from(*right) + carry;
                limbs[low + high] = (sum % u64::from(LIMB_BASE)) as u32;
                carry = sum / u64::from(LIMB_BASE);
            }
            limbs[low + other.limbs.len()] = carry as u32;
        }
        let mut product = Self { negative: self.negative != other.negative, limbs, scale: self.scale };
        product.trim();
        product
    }

    /// The number with exactly `scale` digits after the point, rounded away from zero.
    pub(super) fn round_up(&self, scale: i32) -> (Self, Rounding) {
        let shift = i64::from(scale) - i64::from(self.scale);
        if shift >= 0 {
            let mut padded = self.clone();
            padded.pad(shift);
            return (padded, Rounding::Exact);
        }
        let (mut quotient, remainder_is_zero) = self.divide_by_power_of_ten(shift.unsigned_abs());
        quotient.scale = scale;
        if remainder_is_zero {
            return (quotient, Rounding::Exact);
        }
        quotient.negative = self.negative;
        quotient.limbs = add_limbs(&quotient.limbs, &[1]);
        (quotient, Rounding::Rounded)
    }

    /// Quotient of the digits and `10^power`, cut towards zero, and whether nothing was cut off.
    pub(super) fn divide_by_power_of_ten(&self, power: u64) -> (Self, bool) {
        if power >= self.digit_count() {
            return (Self { negative: false, limbs: Vec::new(), scale: self.scale }, self.is_zero());
        }
        let whole_limbs = (power / LIMB_DIGITS as u64) as usize;
        let mut exact = self.limbs[..whole_limbs].iter().all(|limb| *limb == 0);
        let mut quotient =
            Self { negative: self.negative, limbs: self.limbs[whole_limbs..].to_vec(), scale: self.scale };
        let rest = quotient.divide_small(10_u32.pow((power % LIMB_DIGITS as u64) as u32));
        exact &= rest == 0;
        (quotient, exact)
    }

    /// The digits and their power of ten, with no trailing zeros and the power a multiple of three.
    pub(super) fn canonical_decimal(&self) -> (String, i32) {
        let mut digits = self.digits();
        let mut exponent = self.scale.wrapping_neg();
        let kept = digits.trim_end_matches('0').len();
        if kept > 0 {
            exponent = exponent.wrapping_add((digits.len() - kept) as i32);
            digits.truncate(kept);
        }
        while exponent % 3 != 0 {
            digits.push('0');
            exponent = exponent.wrapping_sub(1);
        }
        (self.signed(digits), exponent)
    }

    /// The number rounded up to a whole one, as digits and their power of 1024.
    pub(super) fn canonical_binary(&self) -> (String, i32) {
        let (mut whole, _) = self.round_up(0);
        let mut exponent = 0;
        while !whole.is_zero() {
            let mut quotient = whole.clone();
            if quotient.divide_small(1024) != 0 {
                break;
            }
            exponent += 1;
            whole = quotient;
        }
        (whole.signed(whole.digits()), exponent)
    }

    /// The sum, with the larger scale of the two.
    pub(super) fn add(&self, other: &Self) -> Self {
        let shift = i64::from(self.scale) - i64::from(other.scale);
        if shift.abs() > PADDING_MAX_DIGITS {
            // The sum would not fit; the operand of the larger power of ten stands for it.
            let (coarse, fine) = if shift < 0 { (self, other) } else { (other, self) };
            return if coarse.is_zero() { fine.clone() } else { coarse.clone() };
        }
        let (mut left, mut right) = (self.clone(), other.clone());
        left.pad(-shift);
        right.pad(shift);
        let scale = left.scale;
        let (negative, limbs) = if left.negative == right.negative {
            (left.negative, add_limbs(&left.limbs, &right.limbs))
        } else {
            match compare_limbs(&left.limbs, &right.limbs) {
                Ordering::Less => (right.negative, subtract_limbs(&right.limbs, &left.limbs)),
                _ => (left.negative, subtract_limbs(&left.limbs, &right.limbs)),
            }
        };
        let mut sum = Self { negative, limbs, scale };
        sum.trim();
        sum
    }

    /// Orders by value; the scale does not count.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match self.sign().cmp(&other.sign()) {
            Ordering::Equal if self.is_zero() => Ordering::Equal,
            Ordering::Equal if self.negative => other.compare_magnitude(self),
            Ordering::Equal => self.compare_magnitude(other),
            unequal => unequal,
        }
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        let top = |number: &Self| number.digit_count() as i64 - i64::from(number.scale);
        top(self).cmp(&top(other)).then_with(|| {
            // The same highest place: the digits themselves compare like words.
            let (left, right) = (self.digits(), other.digits());
            left.trim_end_matches('0').cmp(right.trim_end_matches('0'))
        })
    }

    /// Appends zeros after the point; does nothing for a count that is not positive.
    fn pad(&mut self, count: i64) {
        if count <= 0 || count > PADDING_MAX_DIGITS {
            return;
        }
        self.scale = self.scale.wrapping_add(count as i32);
        if self.is_zero() {
            return;
        }
        self.multiply_small(10_u32.pow((count % LIMB_DIGITS as i64) as u32));
        self.limbs.splice(0..0, std::iter::repeat_n(0, (count / LIMB_DIGITS as i64) as usize));
    }

    fn multiply_small(&mut self, factor: u32) {
        let mut carry = 0_u64;
        for limb in &mut self.limbs {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = (product % u64::from(LIMB_BASE)) as u32;
            carry = product / u64::from(LIMB_BASE);
        }
        if carry > 0 {
            self.limbs.push(carry as u32);
        }
    }

    /// Divides in place, cutting towards zero, and returns the rest.
    fn divide_small(&mut self, divisor: u32) -> u32 {
        let mut rest = 0_u64;
        for limb in self.limbs.iter_mut().rev() {
            let value = rest * u64::from(LIMB_BASE) + u64::from(*limb);
            *limb = (value / u64::from(divisor)) as u32;
            rest = value % u64::from(divisor);
        }
        self.trim();
        rest as u32
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
        self.negative &= !self.limbs.is_empty();
    }

    fn digit_count(&self) -> u64 {
        let Some(top) = self.limbs.last() else { return 1 };
        ((self.limbs.len() - 1) * LIMB_DIGITS) as u64 + u64::from(top.ilog10()) + 1
    }

    fn digits(&self) -> String {
        let mut limbs = self.limbs.iter().rev();
        let mut text = limbs.next().map_or_else(|| "0".to_owned(), u32::to_string);
        for limb in limbs {
            text.push_str(&format!("{limb:09}"));
        }
        text
    }

    fn signed(&self, digits: String) -> String {
        if self.negative { format!("-{digits}") } else { digits }
    }
}

fn compare_limbs(left: &[u32], right: &[u32]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.iter().rev().cmp(right.iter().rev()))
}

fn add_limbs(left: &[u32], right: &[u32]) -> Vec<u32> {
    let mut sum = Vec::with_capacity(left.len().max(right.len()) + 1);
    let mut carry = 0;
    for place in 0..left.len().max(right.len()) {
        let total = left.get(place).unwrap_or(&0) + right.get(place).unwrap_or(&0) + carry;
        sum.push(total % LIMB_BASE);
        carry = total / LIMB_BASE;
    }
    if carry > 0 {
        sum.push(carry);
    }
    sum
}

/// `left - right`, where `left` is the larger.
fn subtract_limbs(left: &[u32], right: &[u32]) -> Vec<u32> {
    let mut difference = Vec::with_capacity(left.len());
    let mut borrow = 0;
    for (place, limb) in left.iter().enumerate() {
        let take = right.get(place).unwrap_or(&0) + borrow;
        borrow = u32::from(*limb < take);
        difference.push(limb + borrow * LIMB_BASE - take);
    }
    difference
}
