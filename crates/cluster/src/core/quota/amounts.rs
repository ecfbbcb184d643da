//! Lists of resource amounts (`cpu: 500m`), and the arithmetic that quotas and limits need.
//! A value that is not a quantity counts as zero: validation has refused it before.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::core::quantity::Quantity;

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

/// Reads the JSON form; anything but an object is an empty list.
pub fn read(value: Option<&Value>) -> Amounts {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), Quantity::from_json(value).unwrap_or_default())).collect()
}

/// The JSON form.
pub fn to_json(amounts: &Amounts) -> Value {
    Value::Object(amounts.iter().map(|(name, amount)| (name.clone(), amount.to_json())).collect::<Map<_, _>>())
}

/// A whole number of something.
pub fn count(number: usize) -> Quantity {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    Quantity::from_value(number, crate::core::quantity::Format::DecimalSi)
}

/// Adds `other` to `amounts`.
pub fn add(amounts: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        match amounts.get_mut(name) {
            Some(sum) => sum.add(amount),
            None => {
                amounts.insert(name.clone(), amount.clone());
            }
        }
    }
}

/// Raises each amount to that of `other` where that is more.
pub fn raise(amounts: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        if amounts.get(name).is_none_or(|present| amount > present) {
            amounts.insert(name.clone(), amount.clone());
        }
    }
}

/// `amounts` less `other`, nothing below zero.
pub fn less(amounts: &Amounts, other: &Amounts) -> Amounts {
    let mut result = amounts.clone();
    for (name, amount) in &mut result {
        if let Some(taken) = other.get(name) {
            amount.sub(taken);
            if amount.sign() < 0 {
                *amount = count(0);
            }
        }
    }
    result
}

/// Only the amounts whose names `keep` accepts.
pub fn only(amounts: &Amounts, keep: impl Fn(&str) -> bool) -> Amounts {
    amounts.iter().filter(|(name, _)| keep(name)).map(|(name, amount)| (name.clone(), amount.clone())).collect()
}

/// `a=1,b=2`, in order of names.
pub fn render(amounts: &Amounts) -> String {
    amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}
