//! Text in double quotes as Go's `%q` prints it, which is what upstream's messages contain.

use std::fmt::Write;

/// Quotes a text as Go's `strconv.Quote` does.
pub fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            _ if is_printable(letter) => quoted.push(letter),
            _ => {
                let code = u32::from(letter);
                // Writing to a string cannot fail.
                let _ = match code {
                    0..0x80 => write!(quoted, "\\x{code:02x}"),
                    0x80..0x10000 => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Whether Go's `unicode.IsPrint` holds. The standard library escapes what is not printable; a letter
/// in front keeps it from escaping combining marks, which are printable.
fn is_printable(letter: char) -> bool {
    if letter == '\'' || (' '..='~').contains(&letter) {
        return true;
    }
    let mut pair = String::from("a");
    pair.push(letter);
    pair.escape_debug().eq(pair.chars())
}

#[cfg(test)]
mod tests {
    use super::go_quote;

    #[test]
    fn quotes_escape_what_go_escapes() {
        for (text, quoted) in [
            ("plain", r#""plain""#),
            ("a\"b\\", r#""a\"b\\""#),
            ("\u{1}\u{7f}\n", r#""\x01\x7f\n""#),
            ("é\u{a0}\u{301}'", "\"é\\u00a0\u{301}'\""),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(go_quote(text), quoted);
        }
    }
}
