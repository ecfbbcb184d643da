//! Macros: calls that become folds before anything is checked.
//!
//! Answers the expansion of `has`, the comprehensions with one and two variables, and the two of
//! optional values. A call that is no macro comes back as it is.

use super::ast::{ACCUMULATOR, Comprehension, Element, Expr, Issue, Kind, Literal};
use super::parser::Parser;

type Expanded = Result<Expr, Issue>;

/// Expands a call without a receiver.
pub(super) fn global(parser: &mut Parser, offset: usize, id: usize, name: String, args: Vec<Expr>) -> Expanded {
    if name != "has" || args.len() != 1 {
        return Ok(Expr { id, kind: Kind::Call { function: name, target: None, args } });
    }
    let Some(arg) = args.into_iter().next() else { return Err(issue(offset, "invalid argument to has() macro")) };
    let place = parser.offset(&arg);
    match arg.kind {
        Kind::Select { operand, field, test: false } => {
            Ok(parser.node(offset, Kind::Select { operand, field, test: true }))
        }
        _ => Err(issue(place, "invalid argument to has() macro")),
    }
}

fn issue(offset: usize, message: &str) -> Issue {
    Issue { offset, message: message.to_owned() }
}

/// Expands a call with a receiver.
pub(super) fn receiver(
    parser: &mut Parser,
    offset: usize,
    id: usize,
    name: String,
    target: Expr,
    args: Vec<Expr>,
) -> Expanded {
    let builder = Builder { parser, offset };
    match (name.as_str(), args.len()) {
        ("all", 2 | 3) => builder.quantifier(target, args, Quantifier::All),
        ("exists", 2 | 3) => builder.quantifier(target, args, Quantifier::Exists),
        ("exists_one" | "existsOne", 2 | 3) => builder.quantifier(target, args, Quantifier::One),
        ("map", 2 | 3) => builder.map(target, args),
        ("filter", 2) => builder.filter(target, args),
        ("transformList", 3 | 4) => builder.transform(target, args, Transform::List),
        ("transformMap", 3 | 4) => builder.transform(target, args, Transform::Map),
        ("transformMapEntry", 3 | 4) => builder.transform(target, args, Transform::MapEntry),
        ("optMap", 2) => builder.optional(target, args, "optMap"),
        ("optFlatMap", 2) => builder.optional(target, args, "optFlatMap"),
        _ => Ok(Expr { id, kind: Kind::Call { function: name, target: Some(Box::new(target)), args } }),
    }
}

#[derive(Clone, Copy)]
enum Quantifier {
    All,
    Exists,
    One,
}

#[derive(Clone, Copy)]
enum Transform {
    List,
    Map,
    MapEntry,
}

struct Builder<'a> {
    parser: &'a mut Parser,
    offset: usize,
}

/// The parts of a fold that differ between macros.
struct Fold {
    range: Expr,
    variables: (String, Option<String>),
    init: Expr,
    condition: Expr,
    step: Expr,
    result: Expr,
}

impl Builder<'_> {
    fn node(&mut self, kind: Kind) -> Expr {
        self.parser.node(self.offset, kind)
    }

    fn literal(&mut self, literal: Literal) -> Expr {
        self.node(Kind::Literal(literal))
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.node(Kind::Ident(name.to_owned()))
    }

    fn accumulator(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn call(&mut self, function: &str, args: Vec<Expr>) -> Expr {
        self.parser.call(self.offset, function, args)
    }

    fn member(&mut self, function: &str, target: Expr) -> Expr {
        let kind = Kind::Call { function: function.to_owned(), target: Some(Box::new(target)), args: Vec::new() };
        self.node(kind)
    }

    fn list(&mut self, items: Vec<Expr>) -> Expr {
        self.node(Kind::List(items.into_iter().map(|value| Element { value, optional: false }).collect()))
    }

    fn fold(&mut self, fold: Fold) -> Expr {
        let (variable, variable2) = fold.variables;
        self.node(Kind::Comprehension(Box::new(Comprehension {
            range: fold.range,
            variable,
            variable2,
            accumulator: ACCUMULATOR.to_owned(),
            init: fold.init,
            condition: fold.condition,
            step: fold.step,
            result: fold.result,
        })))
    }

    fn variable(&self, expr: &Expr) -> Result<String, Issue> {
        let offset = self.parser.offset(expr);
        let Kind::Ident(name) = &expr.kind else { return Err(issue(offset, "argument must be a simple name")) };
        if name.starts_with('.') {
            return Err(issue(offset, "argument must be a simple name"));
        }
        if name == ACCUMULATOR || name == "__result__" {
            return Err(issue(offset, "iteration variable overwrites accumulator variable"));
        }
        Ok(name.clone())
    }

    /// The variables in front of the other arguments: one, or two where the macro is given three.
    fn variables(&self, args: &mut Vec<Expr>, count: usize) -> Result<(String, Option<String>), Issue> {
        let first = self.variable(&args[0])?;
        let second = if count == 2 {
            let name = self.variable(&args[1])?;
            if name == first {
                let message = format!("duplicate variable name: {name}");
                return Err(Issue { offset: self.parser.offset(&args[1]), message });
            }
            Some(name)
        } else {
            None
        };
        args.drain(..count);
        Ok((first, second))
    }

    fn quantifier(mut self, target: Expr, mut args: Vec<Expr>, quantifier: Quantifier) -> Expanded {
        let count = args.len() - 1;
        let variables = self.variables(&mut args, count)?;
        let Some(predicate) = args.pop() else { return Err(issue(self.offset, "missing predicate")) };
        let (init, condition, step, result);
        match quantifier {
            Quantifier::All => {
                init = self.literal(Literal::Bool(true));
                let accumulator = self.accumulator();
                condition = self.call("@not_strictly_false", vec![accumulator]);
                let accumulator = self.accumulator();
                step = self.call("_&&_", vec![accumulator, predicate]);
                result = self.accumulator();
            }
            Quantifier::Exists => {
                init = self.literal(Literal::Bool(false));
                let accumulator = self.accumulator();
                let negated = self.call("!_", vec![accumulator]);
                condition = self.call("@not_strictly_false", vec![negated]);
                let accumulator = self.accumulator();
                step = self.call("_||_", vec![accumulator, predicate]);
                result = self.accumulator();
            }
            Quantifier::One => {
                init = self.literal(Literal::Int(0));
                condition = self.literal(Literal::Bool(true));
                let accumulator = self.accumulator();
                let one = self.literal(Literal::Int(1));
                let more = self.call("_+_", vec![accumulator, one]);
                let accumulator = self.accumulator();
                step = self.call("_?_:_", vec![predicate, more, accumulator]);
                let accumulator = self.accumulator();
                let one = self.literal(Literal::Int(1));
                result = self.call("_==_", vec![accumulator, one]);
            }
        }
        Ok(self.fold(Fold { range: target, variables, init, condition, step, result }))
    }

    /// A fold that appends to a list, where an optional filter holds.
    fn append(mut self, target: Expr, variables: (String, Option<String>), filter: Option<Expr>, item: Expr) -> Expr {
        let init = self.list(Vec::new());
        let condition = self.literal(Literal::Bool(true));
        let accumulator = self.accumulator();
        let item = self.list(vec![item]);
        let appended = self.call("_+_", vec![accumulator, item]);
        let step = self.filtered(filter, appended);
        let result = self.accumulator();
        self.fold(Fold { range: target, variables, init, condition, step, result })
    }

    fn filtered(&mut self, filter: Option<Expr>, step: Expr) -> Expr {
        let Some(filter) = filter else { return step };
        let accumulator = self.accumulator();
        self.call("_?_:_", vec![filter, step, accumulator])
    }

    fn map(self, target: Expr, mut args: Vec<Expr>) -> Expanded {
        let variables = self.variables(&mut args, 1)?;
        let Some(item) = args.pop() else { return Err(issue(self.offset, "missing transformation")) };
        let filter = args.pop();
        Ok(self.append(target, variables, filter, item))
    }

    fn filter(self, target: Expr, mut args: Vec<Expr>) -> Expanded {
        let item = args[0].clone();
        let variables = self.variables(&mut args, 1)?;
        let filter = args.pop();
        Ok(self.append(target, variables, filter, item))
    }

    fn transform(mut self, target: Expr, mut args: Vec<Expr>, transform: Transform) -> Expanded {
        let variables = self.variables(&mut args, 2)?;
        let Some(item) = args.pop() else { return Err(issue(self.offset, "missing transformation")) };
        let filter = args.pop();
        let mut values = match transform {
            Transform::List => return Ok(self.append(target, variables, filter, item)),
            Transform::Map => {
                let accumulator = self.accumulator();
                let key = self.ident(&variables.0);
                vec![accumulator, key]
            }
            Transform::MapEntry => vec![self.accumulator()],
        };
        values.push(item);
        let inserted = self.call("cel.@mapInsert", values);
        let step = self.filtered(filter, inserted);
        let init = self.node(Kind::Map(Vec::new()));
        let condition = self.literal(Literal::Bool(true));
        let result = self.accumulator();
        Ok(self.fold(Fold { range: target, variables, init, condition, step, result }))
    }

    fn optional(mut self, target: Expr, mut args: Vec<Expr>, name: &str) -> Expanded {
        let place = self.parser.offset(&args[0]);
        let Kind::Ident(variable) = args[0].kind.clone() else {
            return Err(Issue {
                offset: place,
                message: format!("{name}() variable name must be a simple identifier"),
            });
        };
        let Some(mapped) = args.pop() else { return Err(issue(self.offset, "missing transformation")) };
        let copy = self.copy(&target);
        let present = self.member("hasValue", target);
        let value = self.member("value", copy);
        let range = self.list(Vec::new());
        let condition = self.literal(Literal::Bool(false));
        let step = self.ident(&variable);
        let bound = self.node(Kind::Comprehension(Box::new(Comprehension {
            range,
            variable: "#unused".to_owned(),
            variable2: None,
            accumulator: variable,
            init: value,
            condition,
            step,
            result: mapped,
        })));
        let truthy = if name == "optMap" { self.call("optional.of", vec![bound]) } else { bound };
        let falsy = self.call("optional.none", Vec::new());
        Ok(self.call("_?_:_", vec![present, truthy, falsy]))
    }

    /// A copy with numbers of its own, so that each node has one type.
    fn copy(&mut self, expr: &Expr) -> Expr {
        let offset = self.parser.offset(expr);
        let kind = match &expr.kind {
            Kind::Literal(_) | Kind::Ident(_) => expr.kind.clone(),
            Kind::Select { operand, field, test } => {
                Kind::Select { operand: Box::new(self.copy(operand)), field: field.clone(), test: *test }
            }
            Kind::Call { function, target, args } => Kind::Call {
                function: function.clone(),
                target: target.as_ref().map(|target| Box::new(self.copy(target))),
                args: args.iter().map(|arg| self.copy(arg)).collect(),
            },
            Kind::List(elements) => Kind::List(
                elements
                    .iter()
                    .map(|element| Element { value: self.copy(&element.value), optional: element.optional })
                    .collect(),
            ),
            Kind::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .map(|entry| super::ast::Entry {
                        key: self.copy(&entry.key),
                        value: self.copy(&entry.value),
                        optional: entry.optional,
                    })
                    .collect(),
            ),
            Kind::Struct { .. } => expr.kind.clone(),
            Kind::Comprehension(fold) => Kind::Comprehension(Box::new(Comprehension {
                range: self.copy(&fold.range),
                variable: fold.variable.clone(),
                variable2: fold.variable2.clone(),
                accumulator: fold.accumulator.clone(),
                init: self.copy(&fold.init),
                condition: self.copy(&fold.condition),
                step: self.copy(&fold.step),
                result: self.copy(&fold.result),
            })),
        };
        self.parser.node(offset, kind)
    }
}
