//! Parses tokens into a tree, expanding macros on the way.
//!
//! Answers a tree or faults with their places. It knows no types and no function names but macros'.

use super::ast::{Ast, Element, Entry, Expr, Issue, Kind, Literal, StructField, render};
use super::lexer::{Spanned, Token, tokens, unquote};
use super::macros;

/// How deep expressions may nest; cel-go stops at the same depth.
const MAX_DEPTH: usize = 250;
/// How long an expression may be, in characters.
const MAX_LENGTH: usize = 100_000;

const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

const PRIMARY: &str =
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// Parses an expression.
///
/// # Errors
/// The rendered faults.
pub fn parse(source: &str) -> Result<Ast, String> {
    let length = source.chars().count();
    if length > MAX_LENGTH {
        let message = format!(
            "ERROR: <input>:-1:0: expression code point size exceeds limit: size: {length}, limit {MAX_LENGTH}"
        );
        return Err(message);
    }
    let (tokens, issues) = tokens(source);
    let mut parser = Parser { tokens, at: 0, offsets: vec![0], issues, depth: 0 };
    let root = parser.expr().and_then(|root| {
        parser.end()?;
        Ok(root)
    });
    match root {
        Ok(root) if parser.issues.is_empty() => Ok(Ast { root, offsets: parser.offsets, source: source.to_owned() }),
        Ok(_) => Err(render(source, parser.issues)),
        Err(issue) => {
            parser.issues.push(issue);
            Err(render(source, parser.issues))
        }
    }
}

pub(super) struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    offsets: Vec<usize>,
    issues: Vec<Issue>,
    depth: usize,
}

type Parsed<T = Expr> = Result<T, Issue>;

impl Parser {
    fn peek(&self) -> &Spanned {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) -> Spanned {
        let token = self.peek().clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(&self.peek().token, Token::Symbol(found) if *found == symbol)
    }

    fn accept(&mut self, symbol: &str) -> Option<usize> {
        self.is(symbol).then(|| self.advance().offset)
    }

    fn expect(&mut self, symbol: &str) -> Parsed<usize> {
        match self.accept(symbol) {
            Some(offset) => Ok(offset),
            None => Err(self.mismatch(&format!("'{symbol}'"))),
        }
    }

    fn mismatch(&self, expected: &str) -> Issue {
        let found = self.peek();
        Issue {
            offset: found.offset,
            message: format!("Syntax error: mismatched input '{}' expecting {expected}", found.text),
        }
    }

    fn end(&mut self) -> Parsed<()> {
        if self.peek().token == Token::End {
            return Ok(());
        }
        let found = self.peek();
        let words = if self.at + 2 >= self.tokens.len() { "extraneous input" } else { "mismatched input" };
        let expected = if words == "extraneous input" {
            "<EOF>".to_owned()
        } else {
            "{<EOF>, '==', '!=', 'in', '<', '<=', '>=', '>', '&&', '||', '[', '{', '(', '.', '-', '?', '+', '*', '/', '%'}".to_owned()
        };
        Err(Issue {
            offset: found.offset,
            message: format!("Syntax error: {words} '{}' expecting {expected}", found.text),
        })
    }

    /// A node that stands at a character of the source.
    pub(super) fn node(&mut self, offset: usize, kind: Kind) -> Expr {
        let id = self.id(offset);
        Expr { id, kind }
    }

    fn id(&mut self, offset: usize) -> usize {
        self.offsets.push(offset);
        self.offsets.len() - 1
    }

    /// Where a node stands.
    pub(super) fn offset(&self, expr: &Expr) -> usize {
        self.offsets.get(expr.id).copied().unwrap_or_default()
    }

    pub(super) fn call(&mut self, offset: usize, function: &str, args: Vec<Expr>) -> Expr {
        self.node(offset, Kind::Call { function: function.to_owned(), target: None, args })
    }

    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("expression recursion limit exceeded: {MAX_DEPTH}");
            return Err(Issue { offset: self.peek().offset, message });
        }
        Ok(())
    }

    fn expr(&mut self) -> Parsed {
        self.enter()?;
        let condition = self.logical("||", "_||_", |parser| parser.logical("&&", "_&&_", Self::relation))?;
        let result = match self.accept("?") {
            None => condition,
            Some(offset) => {
                let id = self.id(offset);
                let truthy = self.logical("||", "_||_", |parser| parser.logical("&&", "_&&_", Self::relation))?;
                self.expect(":")?;
                let falsy = self.expr()?;
                let args = vec![condition, truthy, falsy];
                Expr { id, kind: Kind::Call { function: "_?_:_".to_owned(), target: None, args } }
            }
        };
        self.depth -= 1;
        Ok(result)
    }

    /// A chain of one logical operator, balanced as cel-go balances it.
    fn logical(&mut self, symbol: &str, function: &str, operand: fn(&mut Self) -> Parsed) -> Parsed {
        let mut terms = vec![operand(self)?];
        let mut ids = Vec::new();
        while let Some(offset) = self.accept(symbol) {
            ids.push(self.id(offset));
            terms.push(operand(self)?);
        }
        Ok(balance(function, &mut terms.into_iter(), &ids))
    }

    fn relation(&mut self) -> Parsed {
        const TABLE: [(&str, &str); 7] =
            [("==", "_==_"), ("!=", "_!=_"), ("<", "_<_"), ("<=", "_<=_"), (">", "_>_"), (">=", "_>=_"), ("in", "@in")];
        self.binary(&TABLE, |parser| parser.binary(&[("+", "_+_"), ("-", "_-_")], Self::product))
    }

    fn product(&mut self) -> Parsed {
        self.binary(&[("*", "_*_"), ("/", "_/_"), ("%", "_%_")], Self::unary)
    }

    fn binary(&mut self, table: &[(&str, &str)], operand: fn(&mut Self) -> Parsed) -> Parsed {
        let mut left = operand(self)?;
        let depth = self.depth;
        while let Some((symbol, function)) = table.iter().find(|(symbol, _)| self.is(symbol)) {
            self.enter()?;
            let offset = self.expect(symbol)?;
            let id = self.id(offset);
            let right = operand(self)?;
            let args = vec![left, right];
            left = Expr { id, kind: Kind::Call { function: (*function).to_owned(), target: None, args } };
        }
        self.depth = depth;
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        for (symbol, function) in [("!", "!_"), ("-", "-_")] {
            if !self.is(symbol) {
                continue;
            }
            let next = self.tokens.get(self.at + 1).map(|next| &next.token);
            if symbol == "-" && matches!(next, Some(Token::Int(_) | Token::Double(_))) {
                break;
            }
            let first = self.peek().offset;
            let mut count = 0;
            while self.accept(symbol).is_some() {
                count += 1;
            }
            self.enter()?;
            let operand = self.member()?;
            self.depth -= 1;
            return Ok(if count % 2 == 0 { operand } else { self.call(first, function, vec![operand]) });
        }
        self.member()
    }

    fn member(&mut self) -> Parsed {
        let mut expr = self.primary()?;
        let depth = self.depth;
        loop {
            if let Some(dot) = self.accept(".") {
                self.enter()?;
                let optional = self.accept("?").is_some();
                expr = self.select(expr, dot, optional)?;
            } else if let Some(bracket) = self.accept("[") {
                self.enter()?;
                let optional = self.accept("?").is_some();
                let id = self.id(bracket);
                let index = self.expr()?;
                self.expect("]")?;
                let function = if optional { "_[?_]" } else { "_[_]" };
                let args = vec![expr, index];
                expr = Expr { id, kind: Kind::Call { function: function.to_owned(), target: None, args } };
            } else {
                self.depth = depth;
                return Ok(expr);
            }
        }
    }

    fn select(&mut self, operand: Expr, dot: usize, optional: bool) -> Parsed {
        let name = match &self.peek().token {
            Token::Ident(name) => name.clone(),
            _ => return Err(self.no_alternative()),
        };
        self.advance();
        if optional {
            let field = self.node(dot, Kind::Literal(Literal::Text(name)));
            return Ok(self.call(dot, "_?._", vec![operand, field]));
        }
        let Some(open) = self.accept("(") else {
            return Ok(self.node(dot, Kind::Select { operand: Box::new(operand), field: name, test: false }));
        };
        let id = self.id(open);
        let args = self.arguments()?;
        macros::receiver(self, open, id, name, operand, args)
    }

    fn no_alternative(&self) -> Issue {
        let found = self.peek();
        let message = format!("Syntax error: mismatched input '{}' expecting IDENTIFIER", found.text);
        Issue { offset: found.offset, message }
    }

    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        if self.accept(")").is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expr()?);
            if self.accept(",").is_none() {
                break;
            }
        }
        self.expect(")")?;
        Ok(args)
    }

    fn primary(&mut self) -> Parsed {
        let found = self.peek().clone();
        match &found.token {
            Token::Symbol("(") => {
                self.advance();
                let expr = self.expr()?;
                self.expect(")")?;
                Ok(expr)
            }
            Token::Symbol("[") => self.list(),
            Token::Symbol("{") => self.map(),
            Token::Symbol(".") | Token::Ident(_) => self.name(),
            Token::Symbol("true") => Ok(self.literal(found.offset, Literal::Bool(true))),
            Token::Symbol("false") => Ok(self.literal(found.offset, Literal::Bool(false))),
            Token::Symbol("null") => Ok(self.literal(found.offset, Literal::Null)),
            Token::Symbol("-") | Token::Int(_) | Token::Uint(_) | Token::Double(_) => self.number(),
            Token::Text(text) => self.quoted(found.offset, text, false),
            Token::Bytes(text) => self.quoted(found.offset, text, true),
            _ => Err(self.mismatch(PRIMARY)),
        }
    }

    fn literal(&mut self, offset: usize, literal: Literal) -> Expr {
        self.advance();
        self.node(offset, Kind::Literal(literal))
    }

    fn quoted(&mut self, offset: usize, text: &str, bytes: bool) -> Parsed {
        let value = unquote(text, bytes).unwrap_or_else(|message| {
            self.issues.push(Issue { offset, message });
            Vec::new()
        });
        let literal =
            if bytes { Literal::Bytes(value) } else { Literal::Text(String::from_utf8_lossy(&value).into_owned()) };
        Ok(self.literal(offset, literal))
    }

    fn number(&mut self) -> Parsed {
        let start = self.peek().offset;
        let negative = self.accept("-").is_some();
        let found = self.peek().clone();
        let sign = if negative { "-" } else { "" };
        let (text, what) = match &found.token {
            Token::Int(text) => (text, "int"),
            Token::Uint(text) => (text, "uint"),
            Token::Double(text) => (text, "double"),
            _ => return Err(self.mismatch(PRIMARY)),
        };
        let literal = match what {
            "int" => integer(text, sign).map(Literal::Int),
            "uint" => unsigned(text).map(Literal::Uint),
            _ => format!("{sign}{text}").parse().ok().filter(|value: &f64| value.is_finite()).map(Literal::Double),
        };
        if literal.is_none() {
            self.issues.push(Issue { offset: found.offset, message: format!("invalid {what} literal") });
        }
        Ok(self.literal(start, literal.unwrap_or(Literal::Null)))
    }

    fn list(&mut self) -> Parsed {
        let offset = self.expect("[")?;
        let id = self.id(offset);
        let mut elements = Vec::new();
        while !self.is("]") {
            let optional = self.accept("?").is_some();
            elements.push(Element { value: self.expr()?, optional });
            if self.accept(",").is_none() {
                break;
            }
        }
        self.expect("]")?;
        Ok(Expr { id, kind: Kind::List(elements) })
    }

    fn map(&mut self) -> Parsed {
        let offset = self.expect("{")?;
        let id = self.id(offset);
        let mut entries = Vec::new();
        while !self.is("}") {
            let optional = self.accept("?").is_some();
            let key = self.expr()?;
            self.expect(":")?;
            let value = self.expr()?;
            entries.push(Entry { key, value, optional });
            if self.accept(",").is_none() {
                break;
            }
        }
        self.expect("}")?;
        Ok(Expr { id, kind: Kind::Map(entries) })
    }

    /// An identifier, a call, or a message literal.
    fn name(&mut self) -> Parsed {
        let dot = self.accept(".").is_some();
        let found = self.peek().clone();
        let Token::Ident(word) = &found.token else { return Err(self.no_alternative()) };
        if let Some((name, brace)) = self.message_name() {
            return self.message(if dot { format!(".{name}") } else { name }, brace);
        }
        self.advance();
        if RESERVED.contains(&word.as_str()) {
            self.issues.push(Issue { offset: found.offset, message: format!("reserved identifier: {word}") });
        }
        let name = if dot { format!(".{word}") } else { word.clone() };
        let Some(open) = self.accept("(") else {
            return Ok(self.node(found.offset, Kind::Ident(name)));
        };
        let id = self.id(open);
        let args = self.arguments()?;
        macros::global(self, open, id, name, args)
    }

    /// `a.b.C` before a brace.
    fn message_name(&self) -> Option<(String, usize)> {
        let mut name = String::new();
        let mut at = self.at;
        loop {
            let Token::Ident(word) = &self.tokens.get(at)?.token else { return None };
            name.push_str(word);
            match &self.tokens.get(at + 1)?.token {
                Token::Symbol("{") => return Some((name, at + 1)),
                Token::Symbol(".") => name.push('.'),
                _ => return None,
            }
            at += 2;
        }
    }

    fn message(&mut self, name: String, brace: usize) -> Parsed {
        self.at = brace;
        let offset = self.expect("{")?;
        let id = self.id(offset);
        let mut fields = Vec::new();
        while !self.is("}") {
            let Token::Ident(field) = &self.peek().token else { return Err(self.no_alternative()) };
            let field = field.clone();
            self.advance();
            let colon = self.expect(":")?;
            let field_id = self.id(colon);
            fields.push(StructField { id: field_id, name: field, value: self.expr()? });
            if self.accept(",").is_none() {
                break;
            }
        }
        self.expect("}")?;
        Ok(Expr { id, kind: Kind::Struct { name, fields } })
    }
}

fn integer(text: &str, sign: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(&format!("{sign}{digits}"), 16).ok(),
        None => format!("{sign}{text}").parse().ok(),
    }
}

fn unsigned(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['u', 'U']);
    match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => digits.parse().ok(),
    }
}

fn balance(function: &str, terms: &mut std::vec::IntoIter<Expr>, ids: &[usize]) -> Expr {
    if ids.is_empty() {
        return terms.next().unwrap_or(Expr { id: 0, kind: Kind::Literal(Literal::Null) });
    }
    let middle = ids.len() / 2;
    let left = balance(function, terms, &ids[..middle]);
    let right = balance(function, terms, &ids[middle + 1..]);
    Expr { id: ids[middle], kind: Kind::Call { function: function.to_owned(), target: None, args: vec![left, right] } }
}
