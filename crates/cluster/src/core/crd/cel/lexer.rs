//! Splits an expression into tokens. It never judges their order.

use super::ast::Issue;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Ident(String),
    Int(String),
    Uint(String),
    Double(String),
    Text(String),
    Bytes(String),
    /// Operators, brackets and the words `in`, `true`, `false`, `null`.
    Symbol(&'static str),
    End,
}

/// A token with its place in characters and its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned {
    pub token: Token,
    pub offset: usize,
    pub text: String,
}

const SYMBOLS: [&str; 27] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*",
    "/", "%", "in", "true", "false",
];

/// Tokens of a source, the last of them the end, with faults of the lexer.
pub fn tokens(source: &str) -> (Vec<Spanned>, Vec<Issue>) {
    let chars: Vec<char> = source.chars().collect();
    let mut lexer = Lexer { chars: &chars, at: 0, tokens: Vec::new(), issues: Vec::new() };
    while lexer.at < chars.len() {
        lexer.next();
    }
    let end = Spanned { token: Token::End, offset: chars.len(), text: "<EOF>".to_owned() };
    lexer.tokens.push(end);
    (lexer.tokens, lexer.issues)
}

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
    tokens: Vec<Spanned>,
    issues: Vec<Issue>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn text(&self, end: usize) -> String {
        self.chars[self.at..end.min(self.chars.len())].iter().collect()
    }

    fn push(&mut self, end: usize, make: impl FnOnce(String) -> Token) {
        let text = self.text(end);
        self.tokens.push(Spanned { token: make(text.clone()), offset: self.at, text });
        self.at = end;
    }

    fn next(&mut self) {
        let current = self.peek(0);
        if matches!(current, ' ' | '\t' | '\r' | '\n' | '\x0c') {
            self.at += 1;
        } else if current == '/' && self.peek(1) == '/' {
            while self.at < self.chars.len() && self.peek(0) != '\n' {
                self.at += 1;
            }
        } else if let Some(quote) = self.quote_at() {
            self.string(quote);
        } else if current.is_ascii_digit() || (current == '.' && self.peek(1).is_ascii_digit()) {
            self.number();
        } else if current == '_' || current.is_ascii_alphabetic() {
            self.word();
        } else {
            self.symbol();
        }
    }

    /// How many characters of prefix (`r`, `b`, `br`) stand before a quote here.
    fn quote_at(&self) -> Option<usize> {
        let is_quote = |char: char| matches!(char, '"' | '\'');
        let prefix = match (self.peek(0), self.peek(1)) {
            ('b' | 'B', 'r' | 'R') if is_quote(self.peek(2)) => 2,
            ('b' | 'B' | 'r' | 'R', next) if is_quote(next) => 1,
            (first, _) if is_quote(first) => 0,
            _ => return None,
        };
        Some(prefix)
    }

    fn string(&mut self, prefix: usize) {
        let raw = (0..prefix).any(|ahead| matches!(self.peek(ahead), 'r' | 'R'));
        let bytes = matches!(self.peek(0), 'b' | 'B');
        let quote = self.peek(prefix);
        let triple = self.peek(prefix + 1) == quote && self.peek(prefix + 2) == quote;
        let width = if triple { 3 } else { 1 };
        let mut at = self.at + prefix + width;
        let closes = |at: usize| (0..width).all(|ahead| self.chars.get(at + ahead) == Some(&quote));
        loop {
            match self.chars.get(at) {
                None => break,
                Some('\n' | '\r') if !triple => break,
                Some('\\') if !raw => at += 2,
                Some(_) if closes(at) => {
                    let end = at + width;
                    self.push(end, if bytes { Token::Bytes } else { Token::Text });
                    return;
                }
                Some(_) => at += 1,
            }
        }
        let text = self.text(at.min(self.chars.len()));
        self.issue(format!("Syntax error: token recognition error at: '{text}'"));
        self.at = at.min(self.chars.len()).max(self.at + 1);
    }

    fn number(&mut self) {
        let digits = |lexer: &Self, from: usize| {
            let mut end = from;
            while lexer.chars.get(end).is_some_and(char::is_ascii_digit) {
                end += 1;
            }
            end
        };
        if self.peek(0) == '0' && self.peek(1) == 'x' && self.peek(2).is_ascii_hexdigit() {
            let mut end = self.at + 2;
            while self.chars.get(end).is_some_and(char::is_ascii_hexdigit) {
                end += 1;
            }
            self.integer(end);
            return;
        }
        let mut end = digits(self, self.at);
        let mut double = false;
        if self.chars.get(end) == Some(&'.') && self.chars.get(end + 1).is_some_and(char::is_ascii_digit) {
            double = true;
            end = digits(self, end + 1);
        }
        if matches!(self.chars.get(end), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.chars.get(end + 1), Some('+' | '-')));
            if self.chars.get(end + 1 + sign).is_some_and(char::is_ascii_digit) {
                double = true;
                end = digits(self, end + 1 + sign);
            }
        }
        if double { self.push(end, Token::Double) } else { self.integer(end) }
    }

    fn integer(&mut self, end: usize) {
        if matches!(self.chars.get(end), Some('u' | 'U')) {
            self.push(end + 1, Token::Uint);
        } else {
            self.push(end, Token::Int);
        }
    }

    fn word(&mut self) {
        let mut end = self.at;
        while self.chars.get(end).is_some_and(|char| *char == '_' || char.is_ascii_alphanumeric()) {
            end += 1;
        }
        self.push(end, |text| match text.as_str() {
            "in" => Token::Symbol("in"),
            "true" => Token::Symbol("true"),
            "false" => Token::Symbol("false"),
            "null" => Token::Symbol("null"),
            _ => Token::Ident(text),
        });
    }

    fn symbol(&mut self) {
        let two: String = [self.peek(0), self.peek(1)].iter().collect();
        let one = self.peek(0).to_string();
        let found =
            SYMBOLS.iter().find(|symbol| **symbol == two).or_else(|| SYMBOLS.iter().find(|symbol| **symbol == one));
        if let Some(symbol) = found {
            self.push(self.at + symbol.len(), |_| Token::Symbol(symbol));
            return;
        }
        self.issue(format!("Syntax error: token recognition error at: '{one}'"));
        self.at += 1;
    }

    fn issue(&mut self, message: String) {
        self.issues.push(Issue { offset: self.at, message });
    }
}

/// The value of a string or bytes token: prefix and quotes removed, escapes resolved.
///
/// # Errors
/// What is wrong with an escape.
pub fn unquote(text: &str, bytes: bool) -> Result<Vec<u8>, String> {
    let body = if bytes { &text[1..] } else { text };
    let (raw, body) = match body.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, body),
    };
    let width = if body.len() >= 6 && (body.starts_with("\"\"\"") || body.starts_with("'''")) { 3 } else { 1 };
    let inner: Vec<char> = body[width..body.len() - width].chars().collect();
    let mut out = Vec::with_capacity(inner.len());
    let mut at = 0;
    let mut utf8 = [0_u8; 4];
    while at < inner.len() {
        let current = inner[at];
        if current == '\r' && width == 3 {
            // Line ends are normalized in multi-line strings.
            out.push(b'\n');
            at += if inner.get(at + 1) == Some(&'\n') { 2 } else { 1 };
            continue;
        }
        if current != '\\' || raw {
            out.extend_from_slice(current.encode_utf8(&mut utf8).as_bytes());
            at += 1;
            continue;
        }
        at += 1;
        at += escape(&inner[at..], bytes, &mut out)?;
    }
    Ok(out)
}

/// Appends the value of the escape whose letter comes first; returns the characters read.
fn escape(rest: &[char], bytes: bool, out: &mut Vec<u8>) -> Result<usize, String> {
    let bad = || "unable to unescape string".to_owned();
    let letter = *rest.first().ok_or("unable to unescape string, found '\\' as last character")?;
    let simple = match letter {
        'a' => Some(0x07),
        'b' => Some(0x08),
        'f' => Some(0x0c),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(0x0b),
        '\\' | '\'' | '"' | '`' | '?' => u8::try_from(letter).ok(),
        _ => None,
    };
    if let Some(byte) = simple {
        out.push(byte);
        return Ok(1);
    }
    let (digits, radix, skip): (usize, u32, usize) = match letter {
        'x' | 'X' => (2, 16, 1),
        'u' if !bytes => (4, 16, 1),
        'U' if !bytes => (8, 16, 1),
        '0'..='3' => (3, 8, 0),
        'u' | 'U' => return Err(bad()),
        _ => return Err("unable to unescape string".to_owned()),
    };
    let text: String = rest.iter().skip(skip).take(digits).collect();
    if text.chars().count() != digits {
        return Err(bad());
    }
    let value = u32::from_str_radix(&text, radix).map_err(|_| bad())?;
    if bytes && digits <= 3 {
        out.push(u8::try_from(value).map_err(|_| bad())?);
    } else {
        let char = char::from_u32(value).ok_or_else(|| "invalid unicode code point".to_owned())?;
        let mut utf8 = [0_u8; 4];
        out.extend_from_slice(char.encode_utf8(&mut utf8).as_bytes());
    }
    Ok(digits + skip)
}
