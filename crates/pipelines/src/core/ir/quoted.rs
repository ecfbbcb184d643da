//! YAML whose quoted text goes on in lines that are indented too little.
//!
//! The YAML 1.2 rule is that such lines are indented more than what they stand in. PyYAML, with which the SDK writes,
//! and Go's YAML, with which upstream reads, know no such rule, and compiled pipelines that break it are around. White
//! space at the beginning of such a line means nothing, so more of it makes the text valid and leaves it the same.

/// The text with lines within quotes indented. It follows block style only: within `[…]` and `{…}` there is no such rule.
pub fn indent(text: &str) -> String {
    let mut indented = String::with_capacity(text.len() + text.len() / 8);
    // The quote that is open.
    let mut open: Option<char> = None;
    let mut depth = 0;
    // Lines of a block scalar are deeper than this.
    let mut block: Option<usize> = None;
    // The last line ended where a value begins.
    let mut is_expected = false;
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        let spaces = line.len() - line.trim_start_matches(' ').len();
        if let Some(quote) = open {
            if !content.is_empty() {
                indented.extend(std::iter::repeat_n(' ', depth + 1));
            }
            open = after_quote(line, quote).is_none().then_some(quote);
            indented.push_str(line);
            continue;
        }
        indented.push_str(line);
        if content.is_empty() || block.is_some_and(|parent| spaces > parent) {
            continue;
        }
        block = None;
        let value = value(content, is_expected);
        is_expected = value.is_some_and(str::is_empty);
        let Some(value) = value else { continue };
        depth = line.len();
        if let Some(quote) = value.chars().next().filter(|first| matches!(first, '\'' | '"')) {
            depth = spaces + (content.len() - value.len());
            open = after_quote(&value[1..], quote).is_none().then_some(quote);
        } else if is_block_scalar(value) {
            // An entry's own dash counts as indentation, a key within it does not matter.
            block = Some(spaces);
        }
    }
    indented
}

/// What follows a quote's end; `None` where it does not end.
fn after_quote(text: &str, quote: char) -> Option<&str> {
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' && quote == '"' {
            letters.next();
        } else if letter == quote {
            let is_doubled = quote == '\'' && letters.peek().is_some_and(|(_, next)| *next == '\'');
            if !is_doubled {
                return Some(&text[at + 1..]);
            }
            letters.next();
        }
    }
    None
}

/// The value that a line in block style ends with, behind dashes and keys; empty where it stands in the next line.
fn value(mut line: &str, is_expected: bool) -> Option<&str> {
    let mut is_value = is_expected;
    loop {
        if line.is_empty() || line.starts_with('#') {
            return is_value.then_some("");
        }
        if let Some(rest) = line.strip_prefix('-').filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
            line = rest.trim_start();
            is_value = true;
            continue;
        }
        let first = line.chars().next()?;
        if matches!(first, '\'' | '"') {
            // A key in quotes, or the value.
            let rest = after_quote(&line[1..], first).map(str::trim_start);
            match rest.and_then(|rest| rest.strip_prefix(':')) {
                Some(rest) => line = rest.trim_start(),
                None => return is_value.then_some(line),
            }
        } else if let Some(at) = line.find(": ").filter(|_| !matches!(first, '{' | '[' | '|' | '>' | '#')) {
            line = line[at + 2..].trim_start();
            return Some(line);
        } else if line.ends_with(':') {
            return Some("");
        } else {
            return is_value.then_some(line);
        }
        is_value = true;
    }
}

fn is_block_scalar(value: &str) -> bool {
    let header = value.split(" #").next().unwrap_or_default().trim_end();
    let is_header = |c: char| matches!(c, '+' | '-') || c.is_ascii_digit();
    header.strip_prefix(['|', '>']).is_some_and(|rest| rest.len() <= 2 && rest.chars().all(is_header))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn lines_within_quotes_are_indented_and_nothing_else() {
        let text = "a:\n  - 'one\n\n  two''\n\n  three'\n  - \"x\\\n  y\n  z\"\n  - |\n   it's\n   - 'a\n  - it's\nb: 'c'\n'd e': 'f\ng'\n";
        let fixed = indent(text);
        let read: Value = serde_saphyr::from_str(&fixed).unwrap();
        let lines = json!(["one\ntwo'\nthree", "xy z", "it's\n- 'a\n", "it's"]);
        assert_eq!(read, json!({"a": lines, "b": "c", "d e": "f g"}));
    }

    proptest! {
        #[test]
        fn what_is_valid_means_the_same(words in proptest::collection::vec("[a-z'\"\\\\ \n:#-]{0,60}", 1..6)) {
            let text = serde_saphyr::to_string(&json!({"a": words, "b": {"c": words}})).unwrap();
            let before: Value = serde_saphyr::from_str(&text).unwrap();
            let after: Value = serde_saphyr::from_str(&indent(&text)).unwrap();
            prop_assert_eq!(before, after);
        }
    }
}
