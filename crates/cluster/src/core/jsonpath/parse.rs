//! The parser of templates: text outside braces, steps inside.

use super::{Error, Node, Slice};

/// Paths stand in filters and unions of other paths no deeper than this; it bounds the stack.
const DEPTH_MAX: usize = 32;

pub(super) fn template(text: &str) -> Result<Vec<Node>, Error> {
    nodes(text, 0)
}

/// The steps of what would stand in braces.
fn action(text: &str, depth: usize) -> Result<Vec<Node>, Error> {
    match nodes(&format!("{{{text}}}"), depth)?.into_iter().next() {
        Some(Node::List(steps)) => Ok(steps),
        _ => Ok(Vec::new()),
    }
}

fn nodes(text: &str, depth: usize) -> Result<Vec<Node>, Error> {
    if depth > DEPTH_MAX {
        return Err(Error("paths are nested too deeply".to_owned()));
    }
    let mut nodes = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (outside, inside) = match rest.find('{') {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        if !outside.is_empty() {
            nodes.push(Node::Text(outside.to_owned()));
        }
        let Some(inside) = inside else { break };
        let mut parser = Parser { text: inside, at: 0, depth, steps: Vec::new() };
        parser.run()?;
        rest = &inside[parser.at..];
        nodes.push(Node::List(parser.steps));
    }
    Ok(nodes)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    steps: Vec<Node>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    /// Reads steps up to and with the closing brace.
    fn run(&mut self) -> Result<(), Error> {
        loop {
            if let Some(rest) = self.rest().strip_prefix('}') {
                self.at = self.text.len() - rest.len();
                return Ok(());
            }
            if self.rest().starts_with("[?(") {
                self.filter()?;
                continue;
            }
            if self.rest().starts_with("..") {
                self.recursive()?;
                continue;
            }
            match self.peek() {
                None | Some('\r' | '\n') => return fail("unclosed action"),
                Some(' ' | '@' | '$') => self.at += 1,
                Some('[') => self.array()?,
                Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
                Some('.') => {
                    self.at += 1;
                    self.field();
                }
                Some(letter) if letter == '+' || letter == '-' || letter.is_numeric() => self.number()?,
                Some(letter) if letter == '_' || letter.is_alphabetic() => self.identifier(),
                Some(letter) => {
                    return fail(&format!("unrecognized character in action: U+{:04X} '{letter}'", u32::from(letter)));
                }
            }
        }
    }

    fn recursive(&mut self) -> Result<(), Error> {
        if self.steps.last() == Some(&Node::Recursive) {
            return fail("invalid multiple recursive descent");
        }
        self.at += 2;
        self.steps.push(Node::Recursive);
        if self.peek().is_some_and(|letter| letter == '_' || letter.is_alphanumeric()) {
            self.field();
        }
        Ok(())
    }

    /// A name up to a terminator; a backslash takes the next character into it.
    fn field(&mut self) {
        let start = self.at;
        while let Some(letter) = self.peek().filter(|letter| !is_terminator(*letter)) {
            self.next();
            if letter == '\\' {
                self.next();
            }
        }
        let name = &self.text[start..self.at];
        self.steps.push(if name == "*" { Node::Wildcard } else { Node::Field(name.replace('\\', "")) });
    }

    fn identifier(&mut self) {
        let start = self.at;
        while self.peek().is_some_and(|letter| !is_terminator(letter)) {
            self.next();
        }
        let name = &self.text[start..self.at];
        self.steps.push(match name {
            "true" => Node::Boolean(true),
            "false" => Node::Boolean(false),
            _ => Node::Identifier(name.to_owned()),
        });
    }

    fn number(&mut self) -> Result<(), Error> {
        let start = self.at;
        if matches!(self.peek(), Some('+' | '-')) {
            self.at += 1;
        }
        while self.peek().is_some_and(|letter| letter == '.' || letter.is_numeric()) {
            self.next();
        }
        let text = &self.text[start..self.at];
        let node = match (text.parse(), text.parse()) {
            (Ok(integer), _) => Node::Integer(integer),
            (_, Ok(number)) => Node::Number(number),
            _ => return fail(&format!("cannot parse number {text}")),
        };
        self.steps.push(node);
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.next() {
                None | Some('\n') => return fail("unterminated quoted string"),
                Some(letter) if letter == quote && !self.text[..self.at - 1].ends_with('\\') => break,
                Some(_) => {}
            }
        }
        let text = &self.text[start + 1..self.at - 1];
        let Some(value) = unquote(text, quote) else {
            return fail(&format!("unquote string {} error invalid syntax", &self.text[start..self.at]));
        };
        self.steps.push(Node::Text(value));
        Ok(())
    }

    fn array(&mut self) -> Result<(), Error> {
        let start = self.at + 1;
        loop {
            match self.next() {
                None | Some('\n') => return fail("unterminated array"),
                Some(']') => break,
                Some(_) => {}
            }
        }
        let text = match &self.text[start..self.at - 1] {
            "*" => ":",
            other => other,
        };
        let parts: Vec<&str> = text.split(',').collect();
        if parts.len() > 1 {
            let parts = parts.iter().map(|part| action(&format!("[{}]", part.trim_matches(' ')), self.depth + 1));
            let union = parts.collect::<Result<_, _>>()?;
            self.steps.push(Node::Union(union));
            return Ok(());
        }
        let key = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).filter(|key| !key.contains('\''));
        match key {
            Some(key) => self.steps.extend(action(&format!(".{key}"), self.depth + 1)?),
            None => self.steps.push(Node::Array(slice(text)?)),
        }
        Ok(())
    }

    fn filter(&mut self) -> Result<(), Error> {
        self.at += "[?(".len();
        let start = self.at;
        let (mut opened, mut closed) = (None, false);
        loop {
            match self.next() {
                None | Some('\n') => return fail("unterminated filter"),
                Some(quote @ ('"' | '\'')) => match opened {
                    None => opened = Some(quote),
                    Some(pair) => closed |= pair == quote && !self.text[..self.at - 1].ends_with('\\'),
                },
                Some(')') if opened.is_some() == closed => break,
                Some(_) => {}
            }
        }
        let text = &self.text[start..self.at - 1];
        if self.next() != Some(']') {
            return fail("unclosed array expect ]");
        }
        let depth = self.depth + 1;
        let node = match comparison(text) {
            Some((left, operator, right)) => {
                Node::Filter { left: action(left, depth)?, operator: operator.to_owned(), right: action(right, depth)? }
            }
            None => Node::Filter { left: action(text, depth)?, operator: "exists".to_owned(), right: Vec::new() },
        };
        self.steps.push(node);
        Ok(())
    }
}

/// Splits `left operator right`; none where one of them is missing.
fn comparison(text: &str) -> Option<(&str, &str, &str)> {
    let sign = |letter: char| matches!(letter, '!' | '<' | '>' | '=');
    let start = text.find(sign).filter(|start| *start > 0)?;
    let signs = text[start..].find(|letter| !sign(letter)).unwrap_or(text.len() - start);
    // Signs up to the end of the text: the last one is what is compared with.
    let end = if start + signs == text.len() { text.len() - 1 } else { start + signs };
    (end > start).then(|| (&text[..start], &text[start..end], &text[end..]))
}

fn slice(text: &str) -> Result<Slice, Error> {
    let parts: Vec<&str> = text.split(':').collect();
    let plain = |part: &str| part.strip_prefix('-').unwrap_or(part).bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() > 3 || !parts.iter().all(|part| plain(part)) {
        return fail(&format!("invalid array index {text}"));
    }
    let number = |place: usize| match parts.get(place).copied().unwrap_or_default() {
        "" => Ok(None),
        digits => digits.parse().map(Some).map_err(|_| Error(format!("array index {digits} is not a number"))),
    };
    let (start, end, step) = (number(0)?, number(1)?, number(2)?);
    if parts.len() == 1 {
        return Ok(Slice { start, end: Some(start.unwrap_or(0).saturating_add(1)), end_derived: true, step });
    }
    Ok(Slice { start, end, end_derived: false, step })
}

fn is_terminator(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

/// Resolves the escapes of a Go string literal; none for one that Go refuses.
fn unquote(text: &str, quote: char) -> Option<String> {
    let mut value = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            value.push(letter);
            continue;
        }
        let escaped = match letters.next()? {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => code_point(&mut letters, 2)?,
            'u' => code_point(&mut letters, 4)?,
            'U' => code_point(&mut letters, 8)?,
            same if same == '\\' || same == quote => same,
            _ => return None,
        };
        value.push(escaped);
    }
    Some(value)
}

fn code_point(letters: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let code = letters.as_str().get(..digits)?;
    *letters = letters.as_str()[digits..].chars();
    char::from_u32(u32::from_str_radix(code, 16).ok()?)
}

fn fail<T>(text: &str) -> Result<T, Error> {
    Err(Error(text.to_owned()))
}
