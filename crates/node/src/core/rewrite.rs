//! Where a container's paths are when nothing can be mounted: each occurrence of a mount path in a
//! command, an argument or a variable becomes the directory that would have been mounted there.
//!
//! Touches no file; an occurrence is a whole path prefix, never part of another name.

use serde::{Deserialize, Serialize};

/// A path in the container, and the host's path that stands for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    pub from: String,
    pub to: String,
}

/// The mappings of a container, longest path first.
#[derive(Clone, Debug, Default)]
pub struct Rewriter {
    mappings: Vec<Mapping>,
}

impl Rewriter {
    /// A rewriter for these mappings. A mapping of `/` is left out: it would touch every path.
    pub fn new(mappings: impl IntoIterator<Item = Mapping>) -> Self {
        let trimmed = mappings.into_iter().map(|mapping| Mapping {
            from: mapping.from.trim_end_matches('/').to_owned(),
            to: mapping.to.trim_end_matches('/').to_owned(),
        });
        let mut mappings: Vec<Mapping> = trimmed.filter(|mapping| !mapping.from.is_empty()).collect();
        mappings.sort_by(|a, b| b.from.len().cmp(&a.from.len()).then_with(|| a.from.cmp(&b.from)));
        Self { mappings }
    }

    /// The mappings that it applies.
    pub fn into_mappings(self) -> Vec<Mapping> {
        self.mappings
    }

    /// The text with all occurrences replaced.
    pub fn apply(&self, text: &str) -> String {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = None;
        'text: while let Some(next) = rest.chars().next() {
            if next == '/' && !before.is_some_and(is_path_character) {
                for mapping in &self.mappings {
                    if let Some(after) = rest.strip_prefix(mapping.from.as_str())
                        && !after.chars().next().is_some_and(is_name_character)
                    {
                        result.push_str(&mapping.to);
                        before = mapping.to.chars().next_back();
                        rest = after;
                        continue 'text;
                    }
                }
            }
            result.push(next);
            before = Some(next);
            rest = &rest[next.len_utf8()..];
        }
        result
    }

    /// Whether the text names one of the paths.
    pub fn occurs(&self, text: &str) -> bool {
        self.apply(text) != text
    }
}

fn is_name_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '.')
}

fn is_path_character(character: char) -> bool {
    is_name_character(character) || character == '/'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let mapping = |from: &str, to: &str| Mapping { from: from.to_owned(), to: to.to_owned() };
        let rewriter =
            Rewriter::new([mapping("/data", "/v/d"), mapping("/data/sub/", "/v/s"), mapping("/", "/nowhere")]);
        assert_eq!(rewriter.apply(text), expect);
    }

    #[test]
    fn whole_prefixes_are_replaced() {
        check("/data", "/v/d");
        check("/data/file", "/v/d/file");
        check("--dir=/data", "--dir=/v/d");
        check("cat '/data/x' /data/y", "cat '/v/d/x' /v/d/y");
        check("PATH=/bin:/data/bin", "PATH=/bin:/v/d/bin");
    }

    #[test]
    fn the_longest_mount_wins() {
        check("/data/sub/x", "/v/s/x");
    }

    #[test]
    fn parts_of_other_names_stay() {
        check("/database", "/database");
        check("/data.csv", "/data.csv");
        check("/mnt/data", "/mnt/data");
        check("s3://bucket/data", "s3://bucket/data");
        check("grün/data und", "grün/data und");
    }
}
