//! Regular expressions as Go's `regexp` reads them, on the `regex` crate.
//!
//! Both are RE2 dialects; this module rewrites what differs: Perl classes are ASCII in Go, a class
//! has no set operators, an unfinished repetition is a literal. It never answers what a pattern is for.

use std::fmt::Write as _;

use regex::Regex;

/// The largest program a pattern may compile to; Go bounds the same by 1,000 repetitions and 3.4 MB.
const MAX_PROGRAM_BYTES: usize = 4 << 20;

/// A pattern with its compiled form, or why Go refuses it.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub source: String,
    compiled: Result<Regex, String>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Pattern {
    /// Compiles a pattern in Go's syntax; a fault is kept, not returned.
    pub fn compile(source: &str) -> Self {
        let compiled = translate(source).and_then(|text| {
            regex::RegexBuilder::new(&text)
                .size_limit(MAX_PROGRAM_BYTES)
                .build()
                .map_err(|_| go_error("invalid or unsupported syntax", source))
        });
        Self { source: source.to_owned(), compiled }
    }

    /// The compiled expression.
    ///
    /// # Errors
    /// The text of Go's `regexp.Compile`.
    pub fn regex(&self) -> Result<&Regex, &str> {
        self.compiled.as_ref().map_err(String::as_str)
    }
}

fn go_error(what: &str, text: &str) -> String {
    format!("error parsing regexp: {what}: `{text}`")
}

/// Rewrites a Go pattern for the `regex` crate.
fn translate(source: &str) -> Result<String, String> {
    let chars: Vec<char> = source.chars().collect();
    let mut walk = Walk { chars: &chars, at: 0, out: String::with_capacity(source.len() + 16), groups: 0, source };
    walk.run()?;
    Ok(walk.out)
}

struct Walk<'a> {
    chars: &'a [char],
    at: usize,
    out: String,
    groups: usize,
    source: &'a str,
}

/// What a repetition operator may follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Atom,
    Repeat,
}

impl Walk<'_> {
    fn rest(&self, from: usize) -> String {
        self.chars[from.min(self.chars.len())..].iter().collect()
    }

    fn run(&mut self) -> Result<(), String> {
        let mut last = Last::Nothing;
        let mut repeat_start = 0;
        while let Some(&current) = self.chars.get(self.at) {
            match current {
                '\\' => {
                    last = if self.escape(false)? { Last::Atom } else { last };
                }
                '[' => {
                    self.class()?;
                    last = Last::Atom;
                }
                '(' => {
                    last = if self.open_group()? { Last::Nothing } else { last };
                }
                ')' => {
                    if self.groups == 0 {
                        return Err(go_error("unexpected )", self.source));
                    }
                    self.groups -= 1;
                    self.push_current();
                    last = Last::Atom;
                }
                '|' => {
                    self.push_current();
                    last = Last::Nothing;
                }
                '*' | '+' | '?' | '{' => {
                    let start = self.at;
                    if self.repetition(last, repeat_start)? {
                        if last != Last::Repeat {
                            repeat_start = start;
                        }
                        last = Last::Repeat;
                    } else {
                        last = Last::Atom;
                    }
                }
                _ => {
                    self.push_literal(current);
                    self.at += 1;
                    last = Last::Atom;
                }
            }
        }
        if self.groups > 0 { Err(go_error("missing closing )", self.source)) } else { Ok(()) }
    }

    fn push_current(&mut self) {
        self.out.push(self.chars[self.at]);
        self.at += 1;
    }

    fn push_literal(&mut self, literal: char) {
        if matches!(literal, '}' | ']') {
            self.out.push('\\');
        }
        self.out.push(literal);
    }

    /// Copies `*`, `+`, `?` or `{n,m}`; false when a brace is a literal.
    fn repetition(&mut self, last: Last, repeat_start: usize) -> Result<bool, String> {
        let start = self.at;
        let mut text = String::new();
        if self.chars[self.at] == '{' {
            let Some(end) = self.counted(start) else {
                self.out.push_str("\\{");
                self.at += 1;
                return Ok(false);
            };
            text.extend(&self.chars[start..end]);
            self.check_counts(&text)?;
            self.at = end;
        } else {
            text.push(self.chars[self.at]);
            self.at += 1;
        }
        if self.chars.get(self.at) == Some(&'?') {
            text.push('?');
            self.at += 1;
        }
        match last {
            Last::Nothing => Err(go_error("missing argument to repetition operator", &text)),
            Last::Repeat => {
                let whole: String = self.chars[repeat_start..self.at].iter().collect();
                Err(go_error("invalid nested repetition operator", &whole))
            }
            Last::Atom => {
                self.out.push_str(&text);
                Ok(true)
            }
        }
    }

    /// The end of `{n}`, `{n,}` or `{n,m}` that starts at `start`.
    fn counted(&self, start: usize) -> Option<usize> {
        let close = start + self.chars[start..].iter().position(|char| *char == '}')?;
        let inner: String = self.chars[start + 1..close].iter().collect();
        let (low, high) = inner.split_once(',').unwrap_or((&inner, ""));
        let digits =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && !(text.len() > 1 && text.starts_with('0'));
        (!low.is_empty() && digits(low) && digits(high)).then_some(close + 1)
    }

    fn check_counts(&self, text: &str) -> Result<(), String> {
        let inner = text.trim_matches(['{', '}']);
        let (low, high) = inner.split_once(',').unwrap_or((inner, inner));
        let number = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u32>().ok() };
        let valid = match (number(low), number(high)) {
            (Some(low), Some(number)) => low <= 1000 && number <= 1000 && (high.is_empty() || low <= number),
            _ => false,
        };
        if valid { Ok(()) } else { Err(go_error("invalid repeat count", text)) }
    }

    /// Copies a group's opening; false when it only sets flags.
    fn open_group(&mut self) -> Result<bool, String> {
        let rest = self.rest(self.at);
        if !rest.starts_with("(?") {
            self.groups += 1;
            self.push_current();
            return Ok(true);
        }
        let name = rest.strip_prefix("(?P<").or_else(|| rest.strip_prefix("(?<"));
        if let Some(name) = name {
            let end = name.find('>').ok_or_else(|| go_error("invalid named capture", &rest))?;
            let valid =
                !name[..end].is_empty() && name[..end].chars().all(|char| char == '_' || char.is_ascii_alphanumeric());
            if !valid {
                let shown = &rest[..rest.find('>').map_or(rest.len(), |end| end + 1)];
                return Err(go_error("invalid named capture", shown));
            }
            let _ = write!(self.out, "(?:");
            self.at += rest[..rest.find('>').unwrap_or_default() + 1].chars().count();
            self.groups += 1;
            return Ok(true);
        }
        let flags: String = rest[2..].chars().take_while(|char| matches!(char, 'i' | 'm' | 's' | 'U' | '-')).collect();
        let after = rest[2 + flags.len()..].chars().next();
        match after {
            Some(close @ (')' | ':')) if !flags.ends_with('-') && flags.matches('-').count() < 2 => {
                let _ = write!(self.out, "(?{flags}{close}");
                self.at += 3 + flags.len();
                if close == ':' {
                    self.groups += 1;
                }
                Ok(close == ':')
            }
            None => Err(go_error("missing closing )", self.source)),
            Some(char) => {
                let shown = &rest[..2 + flags.len() + char.len_utf8()];
                Err(go_error("invalid or unsupported Perl syntax", shown))
            }
        }
    }

    /// Copies an escape; false when it stands for nothing (`\Q\E`).
    fn escape(&mut self, in_class: bool) -> Result<bool, String> {
        let Some(&next) = self.chars.get(self.at + 1) else {
            return Err("error parsing regexp: trailing backslash at end of expression: ``".to_owned());
        };
        let class = match next {
            'd' => Some("0-9"),
            'w' => Some("0-9A-Za-z_"),
            's' => Some("\\t\\n\\x0c\\r "),
            _ => None,
        };
        let negated = match next {
            'D' => Some("^0-9"),
            'W' => Some("^0-9A-Za-z_"),
            'S' => Some("^\\t\\n\\x0c\\r "),
            _ => None,
        };
        if let Some(body) = class.or(negated) {
            if in_class && negated.is_none() {
                self.out.push_str(body);
            } else {
                let _ = write!(self.out, "[{body}]");
            }
            self.at += 2;
            return Ok(true);
        }
        match next {
            'b' | 'B' if !in_class => {
                let _ = write!(self.out, "(?-u:\\{next})");
                self.at += 2;
            }
            'A' | 'z' if !in_class => {
                let _ = write!(self.out, "\\{next}");
                self.at += 2;
            }
            'Q' if !in_class => return Ok(self.quoted()),
            'a' | 'f' | 't' | 'n' | 'r' | 'v' => {
                let _ = write!(self.out, "\\{next}");
                self.at += 2;
            }
            'p' | 'P' => self.unicode_class()?,
            'x' => self.hexadecimal()?,
            '0' => self.octal(),
            '1'..='7' if matches!(self.chars.get(self.at + 2), Some('0'..='7')) => self.octal(),
            punctuation if punctuation.is_ascii() && !punctuation.is_ascii_alphanumeric() => {
                let _ = write!(self.out, "\\x{{{:x}}}", punctuation as u32);
                self.at += 2;
            }
            other => return Err(go_error("invalid escape sequence", &format!("\\{other}"))),
        }
        Ok(true)
    }

    fn quoted(&mut self) -> bool {
        self.at += 2;
        let start = self.at;
        while self.at < self.chars.len() && !(self.chars[self.at] == '\\' && self.chars.get(self.at + 1) == Some(&'E'))
        {
            self.at += 1;
        }
        let text: String = self.chars[start..self.at].iter().collect();
        self.out.push_str(&regex::escape(&text));
        self.at = (self.at + 2).min(self.chars.len());
        !text.is_empty()
    }

    fn unicode_class(&mut self) -> Result<(), String> {
        let start = self.at;
        let mut end = start + 3;
        if self.chars.get(start + 2) == Some(&'{') {
            let close = self.chars[start..].iter().position(|char| *char == '}');
            end = start + close.ok_or_else(|| go_error("invalid character class range", &self.rest(start)))? + 1;
        }
        if end > self.chars.len() {
            return Err(go_error("invalid character class range", &self.rest(start)));
        }
        let text: String = self.chars[start..end].iter().collect();
        if Regex::new(&text).is_err() {
            return Err(go_error("invalid character class range", &text));
        }
        self.out.push_str(&text);
        self.at = end;
        Ok(())
    }

    fn hexadecimal(&mut self) -> Result<(), String> {
        let start = self.at;
        let braced = self.chars.get(start + 2) == Some(&'{');
        let (from, to) = if braced {
            let close = self.chars[start..].iter().position(|char| *char == '}').map(|close| start + close);
            (start + 3, close.unwrap_or(self.chars.len()))
        } else {
            (start + 2, (start + 4).min(self.chars.len()))
        };
        let digits: String = self.chars[from.min(to)..to].iter().collect();
        let value =
            u32::from_str_radix(&digits, 16).ok().filter(|_| braced || digits.len() == 2).and_then(char::from_u32);
        let Some(value) = value else {
            let shown: String = self.chars[start..(to + usize::from(braced)).min(self.chars.len())].iter().collect();
            return Err(go_error("invalid escape sequence", &shown));
        };
        let _ = write!(self.out, "\\x{{{:x}}}", value as u32);
        self.at = to + usize::from(braced);
        Ok(())
    }

    fn octal(&mut self) {
        let mut value = 0;
        let mut digits = 0;
        self.at += 1;
        while digits < 3 {
            let Some(digit) = self.chars.get(self.at).and_then(|char| char.to_digit(8)) else { break };
            value = value * 8 + digit;
            digits += 1;
            self.at += 1;
        }
        let _ = write!(self.out, "\\x{{{value:x}}}");
    }

    fn class(&mut self) -> Result<(), String> {
        let start = self.at;
        self.out.push('[');
        self.at += 1;
        if self.chars.get(self.at) == Some(&'^') {
            self.push_current();
        }
        let mut first = true;
        loop {
            let Some(&current) = self.chars.get(self.at) else {
                return Err(go_error("missing closing ]", &self.rest(start)));
            };
            match current {
                ']' if !first => break,
                '[' if self.chars.get(self.at + 1) == Some(&':') => self.posix_or_literal()?,
                '\\' => {
                    self.escape(true)?;
                }
                '[' | ']' | '&' | '~' | '^' => {
                    let _ = write!(self.out, "\\{current}");
                    self.at += 1;
                }
                '-' if !first && self.chars.get(self.at + 1) != Some(&']') => self.push_current(),
                '-' => {
                    self.out.push_str("\\-");
                    self.at += 1;
                }
                _ => self.push_current(),
            }
            first = false;
        }
        self.push_current();
        Ok(())
    }

    fn posix_or_literal(&mut self) -> Result<(), String> {
        let rest = self.rest(self.at);
        let Some(end) = rest.find(":]") else {
            self.out.push_str("\\[");
            self.at += 1;
            return Ok(());
        };
        let text = &rest[..end + 2];
        if Regex::new(&format!("[{text}]")).is_err() {
            return Err(go_error("invalid character class range", text));
        }
        self.out.push_str(text);
        self.at += text.chars().count();
        Ok(())
    }
}
