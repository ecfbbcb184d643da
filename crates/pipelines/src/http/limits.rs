//! How long names may be, as upstream has it.

use serde_json::{Map, Value};

use super::failure::{Failure, Outcome};

pub const EXPERIMENT: usize = 128;
pub const PIPELINE: usize = 128;
pub const VERSION: usize = 127;
pub const NAMESPACE: usize = 63;
/// Runs and recurring runs: their column upstream.
pub const RUN: usize = 255;
/// Tags of one thing, and the letters of a tag and of its value.
const TAGS: usize = 20;
const TAG: usize = 63;

/// Refuses a name that is empty or too long.
///
/// # Errors
/// 400.
pub fn name(field: &str, text: &str, most: usize) -> Outcome<()> {
    if text.trim().is_empty() {
        return Err(Failure::invalid(format!("{field}: is empty; give a name")));
    }
    length(field, text, most)
}

/// Refuses what is too long.
///
/// # Errors
/// 400.
pub fn length(field: &str, text: &str, most: usize) -> Outcome<()> {
    let count = text.chars().count();
    if count > most {
        return Err(Failure::invalid(format!("{field}: has {count} characters; {most} is the most")));
    }
    Ok(())
}

/// Refuses tags that upstream would.
///
/// # Errors
/// 400.
pub fn tags(tags: &Map<String, Value>) -> Outcome<()> {
    if tags.len() > TAGS {
        return Err(Failure::invalid(format!("tags: there are {}; {TAGS} is the most", tags.len())));
    }
    for (tag, value) in tags {
        name("tags", tag, TAG)?;
        if tag.contains('.') {
            return Err(Failure::invalid(format!("tags: {tag:?} has a dot, which filters could not name; write _")));
        }
        length(&format!("tags.{tag}"), value.as_str().unwrap_or_default(), TAG)?;
    }
    Ok(())
}
