//! Where the rules stand in an object: its path, and what was there before.
//!
//! Paths are rendered only for failures.

use crate::core::crd::correlate::Correlation;
use crate::core::crd::validate::NO_PATH;
use crate::core::field::Path;

/// Old and new beside each other on the way down; below what does not correlate, the last that did.
#[derive(Clone, Copy)]
pub(super) struct Ratchet<'a> {
    pub(super) current: Option<Correlation<'a>>,
    pub(super) parent: Option<Correlation<'a>>,
}

impl<'a> Ratchet<'a> {
    pub(super) fn holds(self) -> bool {
        self.current.or(self.parent).is_some_and(|pair| pair.unchanged())
    }

    pub(super) fn key(self, name: &str) -> Self {
        let Some(current) = self.current else { return self };
        if self.parent.is_none() && matches!(name, "apiVersion" | "kind") {
            return Self { current: None, parent: None };
        }
        Self { current: current.key(name), parent: Some(current) }
    }

    pub(super) fn index(self, index: usize) -> Self {
        let Some(current) = self.current else { return self };
        Self { current: current.index(index), parent: Some(current) }
    }
}

/// Where a value stands, rendered only for failures.
pub(super) enum Place<'a> {
    Root(&'a Path),
    Child(&'a Place<'a>, &'a str),
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl Place<'_> {
    pub(super) fn text(&self) -> String {
        let text = self.bare();
        if text.is_empty() { NO_PATH.to_owned() } else { text }
    }

    fn bare(&self) -> String {
        match self {
            Self::Root(path) => path.to_string(),
            Self::Child(parent, name) => join(&parent.bare(), name),
            Self::Key(parent, name) => format!("{}[{name}]", parent.bare()),
            Self::Index(parent, index) => format!("{}[{index}]", parent.bare()),
        }
    }
}

pub(super) fn join(parent: &str, below: &str) -> String {
    if parent.is_empty() { below.to_owned() } else { format!("{parent}.{below}") }
}
