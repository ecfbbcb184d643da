//! Expressions from text: tokens, and operators by their precedence. Faults are told with a column, from 1.

use serde_json::Value;

use super::{Comprehension, Expression, Function, Method, Operator};

/// Nesting that is read: evaluation is recursive too.
const MAX_DEPTH: usize = 100;
/// Bytes of an expression; the compiler's own are a few hundred.
const MAX_LENGTH: usize = 64 * 1024;
/// Operators of one expression: a chain of them nests to the left, and evaluation is recursive.
const MAX_OPERATORS: usize = 1000;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Value(Value),
    Name(String),
    /// One of the marks of [`MARKS`].
    Mark(&'static str),
    End,
}

/// Longer ones first.
const MARKS: [&str; 23] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}", ".", ",",
    ":",
];

const FUNCTIONS: [(&str, Function, usize); 7] = [
    ("int", Function::Int, 1),
    ("double", Function::Double, 1),
    ("string", Function::String, 1),
    ("bool", Function::Bool, 1),
    ("size", Function::Size, 1),
    ("parseJson", Function::ParseJson, 1),
    ("has", Function::Has, 1),
];

const METHODS: [(&str, Method, usize); 5] = [
    ("contains", Method::Contains, 1),
    ("startsWith", Method::StartsWith, 1),
    ("endsWith", Method::EndsWith, 1),
    ("matches", Method::Matches, 1),
    ("size", Method::Size, 0),
];

/// With the fewest and the most arguments, the variable's name among them.
const COMPREHENSIONS: [(&str, Comprehension, usize, usize); 5] = [
    ("all", Comprehension::All, 2, 2),
    ("exists", Comprehension::Exists, 2, 2),
    ("exists_one", Comprehension::ExistsOne, 2, 2),
    ("filter", Comprehension::Filter, 2, 2),
    ("map", Comprehension::Map, 2, 3),
];

/// Operators of two sides, by precedence: those that bind weaker first.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
        ("in", Operator::In),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

/// Parses an expression to its end.
///
/// # Errors
/// What is wrong and where.
pub fn expression(text: &str) -> Result<Expression, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("is longer than {MAX_LENGTH} bytes"));
    }
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0, operators: 0 };
    let expression = parser.choice()?;
    match parser.peek() {
        Token::End => Ok(expression),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let column = text[..text.len() - rest.len()].chars().count() + 1;
        let Some(first) = rest.chars().next() else {
            tokens.push((Token::End, column));
            return Ok(tokens);
        };
        let is_raw = (rest.starts_with("r'") || rest.starts_with("r\"")) && rest.len() > 1;
        let (token, length) = if first == '\'' || first == '"' || is_raw {
            let (text, length) = string(rest, is_raw).map_err(|what| format!("{what}, in column {column}"))?;
            (Token::Value(text.into()), length)
        } else if first.is_ascii_digit() {
            number(rest).ok_or_else(|| format!("holds a number that cannot be read, in column {column}"))?
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let token = match &rest[..length] {
                "true" => Token::Value(true.into()),
                "false" => Token::Value(false.into()),
                "null" => Token::Value(Value::Null),
                "in" => Token::Mark("in"),
                name => Token::Name(name.to_owned()),
            };
            (token, length)
        } else if first == '?' {
            (Token::Mark("?"), 1)
        } else {
            let mark = MARKS.iter().find(|mark| rest.starts_with(**mark));
            let mark = mark.ok_or_else(|| format!("holds {first:?}, which means nothing here, in column {column}"))?;
            (Token::Mark(mark), mark.len())
        };
        tokens.push((token, column));
        rest = &rest[length..];
    }
}

/// A string between quotes, and its length with them.
fn string(text: &str, is_raw: bool) -> Result<(String, usize), &'static str> {
    let start = usize::from(is_raw);
    let quote = if text[start..].starts_with('"') { '"' } else { '\'' };
    let mut content = String::new();
    let mut letters = text[start + 1..].char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if letter == quote => return Ok((content, start + 1 + at + 1)),
            '\\' if !is_raw => {
                let escaped = letters.next().ok_or("a string has no end")?.1;
                content.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '\\' | '\'' | '"' | '`' | '?' => escaped,
                    'x' => code(&mut letters, 2)?,
                    'u' => code(&mut letters, 4)?,
                    'U' => code(&mut letters, 8)?,
                    _ => return Err("a string holds a backslash before a letter that means nothing; write it twice"),
                });
            }
            '\n' => return Err("a string ends with its line"),
            _ => content.push(letter),
        }
    }
    Err("a string has no end: a quote within it needs a backslash before it")
}

fn code(letters: &mut std::str::CharIndices<'_>, digits: usize) -> Result<char, &'static str> {
    let mut code = 0;
    for _ in 0..digits {
        let digit = letters.next().and_then(|(_, letter)| letter.to_digit(16));
        code = code * 16 + digit.ok_or("a string holds an escape with too few digits")?;
    }
    char::from_u32(code).ok_or("a string holds an escape that is no character")
}

fn number(text: &str) -> Option<(Token, usize)> {
    if let Some(digits) = text.strip_prefix("0x") {
        let length = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        return Some((Token::Value(i64::from_str_radix(&digits[..length], 16).ok()?.into()), length + 2));
    }
    let mut length = 0;
    let mut is_float = false;
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(length) {
        let after_e = length > 0 && matches!(bytes[length - 1], b'e' | b'E');
        match byte {
            b'0'..=b'9' => {}
            b'.' if bytes.get(length + 1).is_some_and(u8::is_ascii_digit) && !is_float => is_float = true,
            b'e' | b'E' => is_float = true,
            b'+' | b'-' if after_e => {}
            _ => break,
        }
        length += 1;
    }
    let digits = &text[..length];
    let value: Value = if is_float {
        digits.parse::<f64>().ok().filter(|number| number.is_finite())?.into()
    } else {
        digits.parse::<i64>().ok()?.into()
    };
    let unsigned = !is_float && matches!(bytes.get(length), Some(b'u' | b'U'));
    Some((Token::Value(value), length + usize::from(unsigned)))
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
    operators: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)].0
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn unexpected(&self, wanted: &str) -> String {
        let (token, column) = &self.tokens[self.next.min(self.tokens.len() - 1)];
        let found = match token {
            Token::Value(value) => value.to_string(),
            Token::Name(name) => name.clone(),
            Token::Mark(mark) => (*mark).to_owned(),
            Token::End => "the end".to_owned(),
        };
        format!("needs {wanted} in column {column}, and there is {found}")
    }

    fn skip(&mut self, mark: &str) -> bool {
        let is = matches!(self.peek(), Token::Mark(found) if *found == mark);
        self.next += usize::from(is);
        is
    }

    fn want(&mut self, mark: &str) -> Result<(), String> {
        if self.skip(mark) { Ok(()) } else { Err(self.unexpected(mark)) }
    }

    /// Goes one level deeper for as long as `inner` runs.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("is nested more than {MAX_DEPTH} deep"));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn choice(&mut self) -> Result<Expression, String> {
        self.deeper(|parser| {
            let condition = parser.binary(0)?;
            if !parser.skip("?") {
                return Ok(condition);
            }
            let then = parser.binary(0)?;
            parser.want(":")?;
            let other = parser.choice()?;
            Ok(Expression::Choice(Box::new(condition), Box::new(then), Box::new(other)))
        })
    }

    fn count(&mut self) -> Result<(), String> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS { Err(format!("has more than {MAX_OPERATORS} operators")) } else { Ok(()) }
    }

    fn binary(&mut self, level: usize) -> Result<Expression, String> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            let operator = match self.peek() {
                Token::Mark(mark) => operators.iter().find(|(known, _)| known == mark).map(|(_, operator)| *operator),
                _ => None,
            };
            let Some(operator) = operator else { return Ok(left) };
            self.count()?;
            self.next += 1;
            let right = self.binary(level + 1)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
    }

    fn unary(&mut self) -> Result<Expression, String> {
        if self.skip("!") {
            return self.deeper(|parser| Ok(Expression::Not(Box::new(parser.unary()?))));
        }
        if self.skip("-") {
            return self.deeper(|parser| Ok(Expression::Minus(Box::new(parser.unary()?))));
        }
        let mut expression = self.primary()?;
        loop {
            if self.skip(".") {
                self.count()?;
                expression = self.member(expression)?;
            } else if self.skip("[") {
                self.count()?;
                let index = self.choice()?;
                self.want("]")?;
                expression = Expression::Index(Box::new(expression), Box::new(index));
            } else {
                return Ok(expression);
            }
        }
    }

    fn member(&mut self, of: Expression) -> Result<Expression, String> {
        let Token::Name(name) = self.peek().clone() else { return Err(self.unexpected("a field's name")) };
        self.next += 1;
        if !self.skip("(") {
            return Ok(Expression::Member(Box::new(of), name));
        }
        if let Some((_, kind, fewest, most)) = COMPREHENSIONS.iter().find(|(known, ..)| *known == name) {
            let arguments = self.list(")")?;
            arity(&name, arguments.len(), arguments.len().clamp(*fewest, *most))?;
            let mut arguments = arguments.into_iter();
            let Some(Expression::Name(variable)) = arguments.next() else {
                return Err(format!("calls {name} with no name for an item, as in {name}(item, item > 1)"));
            };
            return Ok(Expression::Over(*kind, Box::new(of), variable, arguments.collect()));
        }
        let Some((_, method, count)) = METHODS.iter().find(|(known, ..)| *known == name) else {
            let names = METHODS.iter().map(|(name, ..)| *name);
            let known: Vec<_> = names.chain(COMPREHENSIONS.iter().map(|(name, ..)| *name)).collect();
            return Err(format!("calls the method {name}, which is not known; known are {}", known.join(", ")));
        };
        let arguments = self.list(")")?;
        arity(&name, arguments.len(), *count)?;
        Ok(Expression::Method(*method, Box::new(of), arguments))
    }

    fn primary(&mut self) -> Result<Expression, String> {
        match self.take() {
            Token::Value(value) => Ok(Expression::Literal(value)),
            Token::Name(name) if self.skip("(") => {
                let Some((_, function, count)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
                    let known: Vec<_> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
                    return Err(format!("calls {name}, which is not known; known are {}", known.join(", ")));
                };
                let arguments = self.list(")")?;
                arity(&name, arguments.len(), *count)?;
                if *function == Function::Has && !matches!(arguments[0], Expression::Member(..)) {
                    return Err(
                        "calls has with something that is no field, as in has(inputs.parameter_values.x)".into()
                    );
                }
                Ok(Expression::Call(*function, arguments))
            }
            Token::Name(name) => Ok(Expression::Name(name)),
            Token::Mark("(") => {
                let inner = self.choice()?;
                self.want(")")?;
                Ok(inner)
            }
            Token::Mark("[") => Ok(Expression::List(self.list("]")?)),
            Token::Mark("{") => self.map(),
            _ => {
                self.next -= 1;
                Err(self.unexpected("a value"))
            }
        }
    }

    fn list(&mut self, end: &str) -> Result<Vec<Expression>, String> {
        let mut items = Vec::new();
        while !self.skip(end) {
            items.push(self.choice()?);
            if !self.skip(",") {
                self.want(end)?;
                break;
            }
        }
        Ok(items)
    }

    fn map(&mut self) -> Result<Expression, String> {
        let mut members = Vec::new();
        while !self.skip("}") {
            let key = self.choice()?;
            self.want(":")?;
            members.push((key, self.choice()?));
            if !self.skip(",") {
                self.want("}")?;
                break;
            }
        }
        Ok(Expression::Map(members))
    }
}

fn arity(name: &str, given: usize, wanted: usize) -> Result<(), String> {
    if given == wanted { Ok(()) } else { Err(format!("calls {name} with {given} arguments; it takes {wanted}")) }
}
