//! The text form of label selectors. The grammar, its oddities and its messages are upstream's:
//! `in` and `notin` are words only where an operator is expected, and `x in ()` means `x in ("")`.

use std::collections::BTreeSet;

use super::super::Error;
use super::{Operator, Requirement, key_fault};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

type Item<'a> = (Token, &'a str);

pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, Error> {
    let mut parser = Parser { items: scan(text), position: 0 };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            (Token::Identifier | Token::Not, _) => {}
            (Token::End, _) => return Ok(requirements),
            (_, found) => {
                return Err(Error(format!("found '{found}', expected: !, identifier, or 'end of string'")));
            }
        }
        let requirement =
            parser.requirement().map_err(|error| Error(format!("unable to parse requirement: {error}")))?;
        requirements.push(requirement);
        match parser.next() {
            (Token::End, _) => return Ok(requirements),
            (Token::Comma, _) => {}
            (_, found) => return Err(Error(format!("found '{found}', expected: ',' or 'end of string'"))),
        }
        let (token, found) = parser.peek();
        if !matches!(token, Token::Identifier | Token::Not) {
            return Err(Error(format!("found '{found}', expected: identifier after ','")));
        }
    }
}

/// Splits a text into tokens; the last one is [`Token::End`]. A zero byte ends a token and is skipped
/// with it; anywhere else it ends the text.
fn scan(text: &str) -> Vec<Item<'_>> {
    let bytes = text.as_bytes();
    let space = |byte: u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let symbol = |byte: u8| b"=!(),><".contains(&byte);
    let mut items = Vec::new();
    let mut at = 0;
    loop {
        at += bytes[at..].iter().take_while(|byte| space(**byte)).count();
        let Some(byte) = bytes.get(at).copied().filter(|byte| *byte != 0) else { break };
        if symbol(byte) {
            let pair = text.get(at..at + 2).and_then(symbol_token);
            let single = text.get(at..at + 1).and_then(symbol_token);
            let (token, length) = match (pair, single) {
                (Some(token), _) => (token, 2),
                (None, Some(token)) => (token, 1),
                (None, None) => break,
            };
            items.push((token, &text[at..at + length]));
            at += length + usize::from(bytes.get(at + length) == Some(&0));
            continue;
        }
        let length = bytes[at..].iter().take_while(|byte| !space(**byte) && !symbol(**byte) && **byte != 0).count();
        let word = &text[at..at + length];
        items.push((word_token(word), word));
        at += length + usize::from(bytes.get(at + length) == Some(&0));
    }
    items.push((Token::End, ""));
    items
}

fn symbol_token(text: &str) -> Option<Token> {
    Some(match text {
        ")" => Token::Close,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::DoubleEquals,
        "=" => Token::Equals,
        ">" => Token::Greater,
        "<" => Token::Less,
        "!=" => Token::NotEquals,
        "(" => Token::Open,
        _ => return None,
    })
}

fn word_token(word: &str) -> Token {
    match word {
        "in" => Token::In,
        "notin" => Token::NotIn,
        _ => Token::Identifier,
    }
}

struct Parser<'a> {
    items: Vec<Item<'a>>,
    position: usize,
}

impl<'a> Parser<'a> {
    fn item(&self, position: usize) -> Item<'a> {
        self.items.get(position).copied().unwrap_or((Token::End, ""))
    }

    /// The item to come, where `in` and `notin` are names.
    fn peek(&self) -> Item<'a> {
        match self.item(self.position) {
            (Token::In | Token::NotIn, word) => (Token::Identifier, word),
            item => item,
        }
    }

    fn next(&mut self) -> Item<'a> {
        let item = self.peek();
        self.position += 1;
        item
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        let (mut token, mut word) = self.next();
        let negated = token == Token::Not;
        if negated {
            (token, word) = self.next();
        }
        if token != Token::Identifier {
            return Err(Error(format!("found '{word}', expected: identifier")));
        }
        if let Some(fault) = key_fault("<nil>", word) {
            return Err(Error(fault));
        }
        if negated {
            return Requirement::new(word, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Requirement::new(word, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => self.exact_value()?,
        };
        Requirement::new(word, operator, values.into_iter().map(str::to_owned).collect())
    }

    fn operator(&mut self) -> Result<Operator, Error> {
        let (token, found) = self.item(self.position);
        self.position += 1;
        Ok(match token {
            Token::In => Operator::In,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            Token::NotIn => Operator::NotIn,
            Token::NotEquals => Operator::NotEquals,
            Token::End | Token::Close | Token::Comma | Token::Not | Token::Identifier | Token::Open => {
                return Err(Error(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt")));
            }
        })
    }

    fn values(&mut self) -> Result<BTreeSet<&'a str>, Error> {
        let (token, found) = self.next();
        if token != Token::Open {
            return Err(Error(format!("found '{found}' expected: '('")));
        }
        let (token, found) = self.peek();
        match token {
            Token::Identifier | Token::Comma => {
                let values = self.identifiers()?;
                // The list ends before its closing parenthesis.
                self.next();
                Ok(values)
            }
            Token::Close => {
                self.next();
                Ok(BTreeSet::from([""]))
            }
            _ => Err(Error(format!("found '{found}', expected: ',', ')' or identifier"))),
        }
    }

    fn identifiers(&mut self) -> Result<BTreeSet<&'a str>, Error> {
        let mut values = BTreeSet::new();
        loop {
            match self.next() {
                (Token::Identifier, word) => {
                    values.insert(word);
                    match self.peek() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, found) => return Err(Error(format!("found '{found}', expected: ',' or ')'"))),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.insert("");
                    }
                    match self.peek().0 {
                        Token::Close => {
                            values.insert("");
                            return Ok(values);
                        }
                        Token::Comma => {
                            self.next();
                            values.insert("");
                        }
                        _ => {}
                    }
                }
                (_, found) => return Err(Error(format!("found '{found}', expected: ',', or identifier"))),
            }
        }
    }

    fn exact_value(&mut self) -> Result<BTreeSet<&'a str>, Error> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(BTreeSet::from([""]));
        }
        match self.next() {
            (Token::Identifier, word) => Ok(BTreeSet::from([word])),
            (_, found) => Err(Error(format!("found '{found}', expected: identifier"))),
        }
    }
}
