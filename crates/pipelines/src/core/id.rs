//! Names that follow from what they name, so that nothing is named twice after a restart.

use sha2::{Digest, Sha256};

/// A UUID that follows from `parts`: the same parts make the same one, in every process.
pub fn derived(parts: &[&str]) -> String {
    let hash = hash(parts);
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    // Version 8 (RFC 9562: of the maker's own rules) and the variant of that document.
    format!("{}-{}-8{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

/// The name of the experiment of runs that name none.
pub const DEFAULT_EXPERIMENT: &str = "Default";

/// The id of the default experiment of a namespace.
pub fn default_experiment(namespace: &str) -> String {
    derived(&["experiment", namespace, DEFAULT_EXPERIMENT])
}

/// `length` letters and digits that follow from `parts`; 64 at most.
pub fn suffix(parts: &[&str], length: usize) -> String {
    let hex: String = hash(parts).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.chars().take(length).collect()
}

/// `sha256:…` of a text.
pub fn digest(text: &str) -> String {
    format!("sha256:{}", suffix(&[text], 64))
}

fn hash(parts: &[&str]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            hash.update([0]);
        }
        hash.update(part.as_bytes());
    }
    hash.finalize().to_vec()
}

/// What labels of DNS allow of `text`, in lower case, `length` characters at most.
pub fn dns(text: &str, length: usize) -> String {
    let mut name = String::with_capacity(length);
    for letter in text.chars().flat_map(char::to_lowercase) {
        let letter = if letter.is_ascii_alphanumeric() { letter } else { '-' };
        let doubled = letter == '-' && (name.is_empty() || name.ends_with('-'));
        if name.len() < length && !doubled {
            name.push(letter);
        }
    }
    name.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_make_the_same_uuid_and_other_parts_another() {
        assert_eq!(derived(&["run", "root/a"]), derived(&["run", "root/a"]));
        assert_ne!(derived(&["run", "root/a"]), derived(&["runroot", "/a"]));
        let id = derived(&["x"]);
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!((lengths, &id[14..15]), (vec![8, 4, 4, 4, 12], "8"));
    }

    #[test]
    fn any_text_makes_a_label_of_dns() {
        let rows =
            [("Train model!", 40, "train-model"), ("--a__b--", 40, "a-b"), ("abcdef", 3, "abc"), ("ab-cd", 3, "ab")];
        for (text, length, wanted) in rows {
            assert_eq!(dns(text, length), wanted);
        }
    }
}
