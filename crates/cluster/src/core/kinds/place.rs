//! Where a validator stands: a path to a field that costs nothing until an error prints it.
//!
//! A place borrows its parent, so that a descent over a valid object allocates nothing. It never
//! looks at the object itself.

use std::fmt;

/// A field's position: `spec.containers[0].ports`, `data[a.b]`.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    /// The object itself, printed as nothing.
    Object,
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Place<'a> {
    /// The object itself.
    pub const OBJECT: Place<'static> = Place { parent: None, step: Step::Object };
    /// What upstream prints for a fault of the whole object (an empty path element).
    pub const WHOLE: Place<'static> = Place { parent: None, step: Step::Name("[]") };

    /// A top-level field.
    pub const fn root(name: &'a str) -> Self {
        Self { parent: None, step: Step::Name(name) }
    }

    /// The named field below.
    pub const fn child(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Name(name) }
    }

    /// The list item below.
    pub const fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    /// The map entry below.
    pub const fn key(&'a self, key: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Key(key) }
    }

    /// Whether this is [`OBJECT`](Self::OBJECT).
    pub const fn is_object(&self) -> bool {
        matches!(self.step, Step::Object) && self.parent.is_none()
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Object => Ok(()),
            Step::Name(name) => {
                if self.parent.is_some_and(|parent| !parent.is_object()) {
                    f.write_str(".")?;
                }
                f.write_str(name)
            }
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_place_prints_as_upstream_prints_a_path() {
        let spec = Place::root("spec");
        let containers = spec.child("containers");
        let first = containers.index(0);
        assert_eq!(first.child("name").to_string(), "spec.containers[0].name");
        assert_eq!(Place::root("data").key("a.b").to_string(), "data[a.b]");
        assert_eq!(Place::OBJECT.child("spec").to_string(), "spec");
        assert_eq!(Place::WHOLE.to_string(), "[]");
    }
}
