//! A name: labels from the most special to the most general one.

use std::fmt;

/// The most octets of a label: RFC 1035, 2.3.4.
pub const LABEL_BYTES: usize = 63;
/// The most octets of a name as it is sent, with the lengths of its labels and the last, empty one.
pub const NAME_BYTES: usize = 255;

/// A name, in the case in which it came; two that differ in case alone are not equal here, so compare
/// [`lower`](Self::lower).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<Vec<u8>>);

impl Name {
    /// The name of these labels; `None` when it would be too long, or a label is empty.
    pub fn from_labels(labels: Vec<Vec<u8>>) -> Option<Self> {
        let fits = labels.iter().all(|label| !label.is_empty() && label.len() <= LABEL_BYTES);
        let bytes: usize = labels.iter().map(|label| label.len() + 1).sum();
        (fits && bytes < NAME_BYTES).then_some(Self(labels))
    }

    /// Reads `a.b.c` or `a.b.c.`; `None` as with [`from_labels`](Self::from_labels).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Some(Self::default());
        }
        Self::from_labels(text.split('.').map(|label| label.as_bytes().to_vec()).collect())
    }

    /// The labels.
    pub fn labels(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// The name in small letters.
    #[must_use]
    pub fn lower(&self) -> Self {
        Self(self.0.iter().map(|label| label.to_ascii_lowercase()).collect())
    }

    /// The labels before `suffix`, in small letters, if the name ends with it. Labels that are no text end nowhere.
    pub fn before(&self, suffix: &[&str]) -> Option<Vec<String>> {
        let texts: Option<Vec<String>> =
            self.0.iter().map(|label| String::from_utf8(label.to_ascii_lowercase()).ok()).collect();
        let mut texts = texts?;
        let rest = texts.len().checked_sub(suffix.len())?;
        if texts[rest..].iter().zip(suffix).any(|(own, wanted)| own != wanted) {
            return None;
        }
        texts.truncate(rest);
        Some(texts)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in &self.0 {
            write!(f, "{}.", String::from_utf8_lossy(label))?;
        }
        if self.0.is_empty() { f.write_str(".") } else { Ok(()) }
    }
}
