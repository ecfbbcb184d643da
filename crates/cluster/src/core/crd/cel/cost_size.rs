//! What estimates reckon with: bounds of sizes and costs, sizes of what containers hold, paths.
//!
//! Arithmetic only; which expression has which size is decided in `cost`.

use std::cell::RefCell;
use std::rc::Rc;

/// Bounds of a size or a cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Bounds {
    pub(super) const UNKNOWN: Self = Self { min: 0, max: u64::MAX };

    pub(super) fn fixed(value: u64) -> Self {
        Self { min: value, max: value }
    }

    pub(super) fn add(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(super) fn multiply(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    pub(super) fn scale(self, factor: f64) -> Self {
        Self { min: scale(self.min, factor), max: scale(self.max, factor) }
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

fn scale(value: u64, factor: f64) -> u64 {
    let product = (value as f64 * factor).ceil();
    if product >= 18_446_744_073_709_551_616.0 { u64::MAX } else { product as u64 }
}

/// What holds other values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    List,
    Map,
}

/// Sizes of what a container holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntrySize {
    pub(super) container: Container,
    pub(super) key: Bounds,
    pub(super) value: Bounds,
}

/// The fields that lead to a value.
///
/// It is a Go slice with all that brings: two steps added to one path may share their place, and then
/// the later one is what both say. The estimate of keys in two-variable comprehensions is such a case.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    steps: Rc<RefCell<Vec<String>>>,
    length: usize,
}

impl Path {
    pub(super) fn root(name: &str) -> Self {
        Self { steps: Rc::new(RefCell::new(vec![name.to_owned()])), length: 1 }
    }

    pub(super) fn with(&self, step: &str) -> Self {
        let capacity = self.steps.borrow().len();
        let steps = if self.length < capacity {
            self.steps.clone()
        } else {
            let mut grown = self.steps.borrow().clone();
            grown.resize((capacity * 2).max(1), String::new());
            Rc::new(RefCell::new(grown))
        };
        steps.borrow_mut()[self.length] = step.to_owned();
        Self { steps, length: self.length + 1 }
    }

    pub(super) fn steps(&self) -> Vec<String> {
        self.steps.borrow()[..self.length].to_vec()
    }
}

/// The sizes of a container that is one of two.
pub(super) fn union_entries(left: EntrySize, right: EntrySize) -> EntrySize {
    EntrySize { container: left.container, key: left.key.union(right.key), value: left.value.union(right.value) }
}
