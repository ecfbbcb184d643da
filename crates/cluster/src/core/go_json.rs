//! Where bytes that should be JSON stop being JSON, in the words of Go's `encoding/json`.
//!
//! Clients show these words to people. It reads nothing into values: a parser does that, and this is asked when it fails.

/// Go refuses values that nest deeper: `maxNestingDepth` of `encoding/json/scanner.go`.
const DEPTH: usize = 10_000;

const END: &str = "unexpected end of JSON input";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Object,
    Array,
}

/// What must come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    /// Or the end of the array.
    FirstValue,
    Key,
    /// Or the end of the object.
    FirstKey,
    Colon,
    /// A comma or the end of what the value is in.
    Rest,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    inside: Vec<Inside>,
}

/// The first fault of syntax; `None` where there is none, though a parser may still refuse what is said.
pub fn fault(text: &[u8]) -> Option<String> {
    Scanner { text, at: 0, inside: Vec::new() }.run().err()
}

impl Scanner<'_> {
    fn run(&mut self) -> Result<(), String> {
        let mut next = Next::Value;
        loop {
            while self.text.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
                self.at += 1;
            }
            if self.at == self.text.len() {
                let is_whole = next == Next::Rest && self.inside.is_empty();
                return if is_whole { Ok(()) } else { Err(END.to_owned()) };
            }
            next = match next {
                Next::Value | Next::FirstValue => self.value(next)?,
                Next::Key | Next::FirstKey => match self.byte() {
                    b'}' if next == Next::FirstKey => self.close(),
                    b'"' => self.string(Next::Colon)?,
                    _ => return self.refuse("looking for beginning of object key string"),
                },
                Next::Colon if self.byte() == b':' => self.go(Next::Value),
                Next::Colon => return self.refuse("after object key"),
                Next::Rest => self.rest()?,
            };
        }
    }

    /// The byte here. Go ends its input with a space, of which a literal that is cut off complains.
    fn byte(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(b' ')
    }

    fn refuse<T>(&self, place: &str) -> Result<T, String> {
        Err(format!("invalid character {} {place}", quote(self.byte())))
    }

    fn go(&mut self, next: Next) -> Next {
        self.at += 1;
        next
    }

    fn open(&mut self, inside: Inside, next: Next) -> Result<Next, String> {
        if self.inside.len() >= DEPTH {
            return self.refuse("exceeded max depth");
        }
        self.inside.push(inside);
        Ok(self.go(next))
    }

    fn close(&mut self) -> Next {
        self.inside.pop();
        self.go(Next::Rest)
    }

    fn value(&mut self, next: Next) -> Result<Next, String> {
        match self.byte() {
            b']' if next == Next::FirstValue => Ok(self.close()),
            b'{' => self.open(Inside::Object, Next::FirstKey),
            b'[' => self.open(Inside::Array, Next::FirstValue),
            b'"' => self.string(Next::Rest),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.refuse("looking for beginning of value"),
        }
    }

    fn rest(&mut self) -> Result<Next, String> {
        match (self.inside.last(), self.byte()) {
            (None, _) => self.refuse("after top-level value"),
            (Some(Inside::Object), b',') => Ok(self.go(Next::Key)),
            (Some(Inside::Array), b',') => Ok(self.go(Next::Value)),
            (Some(Inside::Object), b'}') | (Some(Inside::Array), b']') => Ok(self.close()),
            (Some(Inside::Object), _) => self.refuse("after object key:value pair"),
            (Some(Inside::Array), _) => self.refuse("after array element"),
        }
    }

    fn string(&mut self, next: Next) -> Result<Next, String> {
        self.at += 1;
        while self.at < self.text.len() {
            match self.byte() {
                b'"' => return Ok(self.go(next)),
                b'\\' => self.escape()?,
                0..0x20 => return self.refuse("in string literal"),
                _ => self.at += 1,
            }
        }
        Err(END.to_owned())
    }

    fn escape(&mut self) -> Result<(), String> {
        self.at += 1;
        match self.byte() {
            b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.byte().is_ascii_hexdigit() {
                        return self.refuse("in \\u hexadecimal character escape");
                    }
                    self.at += 1;
                }
            }
            _ => return self.refuse("in string escape code"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Next, String> {
        if self.byte() == b'-' {
            self.at += 1;
        }
        match self.byte() {
            b'0' => self.at += 1,
            _ => self.digits("in numeric literal")?,
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.byte(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(Next::Rest)
    }

    /// At least one digit.
    fn digits(&mut self, place: &str) -> Result<(), String> {
        if !self.byte().is_ascii_digit() {
            return self.refuse(place);
        }
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<Next, String> {
        for expected in word.bytes() {
            if self.byte() != expected {
                return self.refuse(&format!("in literal {word} (expecting {})", quote(expected)));
            }
            self.at += 1;
        }
        Ok(Next::Rest)
    }
}

/// A byte as Go shows it: as the character of its number, quoted.
fn quote(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        0x07 => r"'\a'".to_owned(),
        0x08 => r"'\b'".to_owned(),
        0x0c => r"'\f'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0x0b => r"'\v'".to_owned(),
        0..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_the_words_of_go() {
        // What `json.Unmarshal` of Go 1.26 says.
        let rows: [(&[u8], &str); 32] = [
            (b"{nothing", "invalid character 'n' looking for beginning of object key string"),
            (b"", END),
            (b"  ", END),
            (b"{", END),
            (b"{\"a\"", END),
            (b"{\"a\":", END),
            (b"{\"a\":1", END),
            (b"\"abc", END),
            (b"[1", END),
            (b"nothing", "invalid character 'o' in literal null (expecting 'u')"),
            (b"tr", "invalid character ' ' in literal true (expecting 'u')"),
            (b"fals]", "invalid character ']' in literal false (expecting 'e')"),
            (b"{\"a\" 1}", "invalid character '1' after object key"),
            (b"{\"a\":1 2}", "invalid character '2' after object key:value pair"),
            (b"{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            (b"{\"a\":}", "invalid character '}' looking for beginning of value"),
            (b"{,}", "invalid character ',' looking for beginning of object key string"),
            (b"[1 2]", "invalid character '2' after array element"),
            (b"[1,]", "invalid character ']' looking for beginning of value"),
            (b"{} x", "invalid character 'x' after top-level value"),
            (b"01", "invalid character '1' after top-level value"),
            (b"-", "invalid character ' ' in numeric literal"),
            (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
            (b"1e}", "invalid character '}' in exponent of numeric literal"),
            (b"\"a\nb\"", "invalid character '\\n' in string literal"),
            (b"\"\\x\"", "invalid character 'x' in string escape code"),
            (b"\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
            (b"'a'", "invalid character '\\'' looking for beginning of value"),
            (b"\xef\xbb\xbf{}", "invalid character '\u{ef}' looking for beginning of value"),
            (b"\x00", "invalid character '\\x00' looking for beginning of value"),
            (b"[\"a\"\"b\"]", "invalid character '\"' after array element"),
            (b"{\"a\":\\}", "invalid character '\\\\' looking for beginning of value"),
        ];
        for (text, expect) in rows {
            assert_eq!(fault(text).as_deref(), Some(expect), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_is_json_has_no_fault() {
        let rows =
            ["{}", " [] ", "null", "-0.5e+7", "{\"a\":[1,{\"b\":\"\\u00e9\\n\"},true,false,null]}", "\"\u{e9}\""];
        for text in rows {
            assert_eq!(fault(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn nesting_has_an_end_and_costs_no_stack() {
        assert_eq!(fault("[".repeat(DEPTH).as_bytes()).as_deref(), Some(END));
        let deep = "[".repeat(1 << 20);
        assert_eq!(fault(deep.as_bytes()).as_deref(), Some("invalid character '[' exceeded max depth"));
    }
}
