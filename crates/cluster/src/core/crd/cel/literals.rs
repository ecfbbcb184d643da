//! Checks of what is written out in a rule: durations, timestamps, patterns, mixed lists and maps,
//! and format strings.
//!
//! They run on a rule that has its types. They answer the nodes at fault and what is wrong there.

use std::collections::BTreeMap;

use super::ast::{Element, Expr, Kind, Literal};
use super::library;
use super::library::format::{Clause, clauses};
use super::types::Type;
use crate::core::crd::pattern::Pattern;

/// A node and its fault.
pub type Fault = (usize, String);

/// Checks all literals below a node.
pub fn validate(root: &Expr, types: &[Type], overloads: &BTreeMap<usize, Vec<&'static str>>) -> Vec<Fault> {
    let mut check = Check { types, overloads, faults: Vec::new() };
    for function in ["duration", "timestamp", "matches"] {
        root.walk(&mut |expr| check.argument(expr, function));
    }
    check.aggregates(root, Kind::is_list);
    check.aggregates(root, Kind::is_map);
    root.walk(&mut |expr| check.format(expr));
    check.faults
}

struct Check<'t> {
    types: &'t [Type],
    overloads: &'t BTreeMap<usize, Vec<&'static str>>,
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn type_of(&self, expr: &Expr) -> Type {
        self.types.get(expr.id).cloned().unwrap_or(Type::Dyn)
    }

    fn argument(&mut self, expr: &Expr, wanted: &str) {
        let Kind::Call { function, args, .. } = &expr.kind else { return };
        if function != wanted {
            return;
        }
        let Some(Kind::Literal(Literal::Text(text))) = args.first().map(|arg| &arg.kind) else { return };
        let faulty = match wanted {
            "duration" => library::parse_duration(text).is_none(),
            "timestamp" => library::parse_timestamp(text).is_none(),
            _ => Pattern::compile(text).regex().is_err(),
        };
        if faulty {
            self.faults.push((args[0].id, format!("invalid {function} argument")));
        }
    }

    /// Items of one list, keys and values of one map have one type, but for arguments of `format`.
    fn aggregates(&mut self, expr: &Expr, wanted: fn(&Kind) -> bool) {
        if matches!(&expr.kind, Kind::Call { function, .. } if function == "format") {
            return;
        }
        if wanted(&expr.kind) {
            self.aggregate(&expr.kind);
        }
        expr.children().into_iter().for_each(|child| self.aggregates(child, wanted));
    }

    fn aggregate(&mut self, kind: &Kind) {
        match kind {
            Kind::List(elements) => {
                let mut first = None;
                for Element { value, optional } in elements {
                    if !self.same(&mut first, value, *optional) {
                        break;
                    }
                }
            }
            Kind::Map(entries) => {
                let (mut keys, mut values) = (None, None);
                for entry in entries {
                    self.same(&mut keys, &entry.key, false);
                    self.same(&mut values, &entry.value, entry.optional);
                }
            }
            _ => {}
        }
    }

    fn same(&mut self, first: &mut Option<Type>, value: &Expr, optional: bool) -> bool {
        let found = self.type_of(value);
        let found = if optional { found.unwrap_optional().0.clone() } else { found };
        let Some(expected) = first else {
            *first = Some(found);
            return true;
        };
        let same = *expected == found;
        if !same {
            self.faults.push((value.id, format!("expected type '{expected}' but found '{found}'")));
        }
        same
    }

    /// A format string against the items it is given, where both are written out.
    fn format(&mut self, expr: &Expr) {
        let Kind::Call { function, target: Some(target), args } = &expr.kind else { return };
        let known = self.overloads.get(&expr.id).is_none_or(|ids| ids.contains(&"string_format"));
        if function != "format" || !known {
            return;
        }
        let (Kind::Literal(Literal::Text(text)), [arg]) = (&target.kind, args.as_slice()) else { return };
        let Kind::List(elements) = &arg.kind else { return };
        if let Some((id, message)) = self.clauses(text, elements) {
            self.faults.push((id.unwrap_or(expr.id), message));
        }
    }

    fn clauses(&self, text: &str, elements: &[Element]) -> Option<(Option<usize>, String)> {
        let mut used = 0;
        for clause in clauses(text) {
            let clause = match clause {
                Ok(Clause::Text(_)) => continue,
                // An item that is not there is only found missing once the string has ended.
                Err(message) if message.starts_with("unexpected") => return Some((None, message)),
                other => other,
            };
            let Some(element) = elements.get(used) else {
                return Some((None, format!("index {used} out of range")));
            };
            used += 1;
            match clause {
                Err(message) => return Some((None, format!("could not parse formatting clause: {message}"))),
                Ok(Clause::Verb { verb, .. }) => {
                    if let Some((id, message)) = self.verb(verb, &element.value) {
                        return Some((Some(id), format!("error during formatting: {message}")));
                    }
                }
                Ok(Clause::Text(_)) => {}
            }
        }
        let excess = elements.len() > used;
        let given = elements.len();
        excess.then(|| (None, format!("too many arguments supplied to string.format (expected {used}, got {given})")))
    }

    fn verb(&self, verb: char, value: &Expr) -> Option<Fault> {
        use Type::{Bool, Bytes, Double, Int, Text, Uint};
        let accepted: &[Type] = match verb {
            's' => return self.printable(value),
            'd' | 'o' => &[Int, Uint],
            'f' | 'e' => &[Double, Text],
            'b' => &[Int, Uint, Bool],
            _ => &[Int, Uint, Text, Bytes],
        };
        let kind = self.type_of(value);
        if kind == Type::Dyn || accepted.contains(&kind) {
            return None;
        }
        let clause = library::format::refusal(verb);
        Some((value.id, format!("{clause}, was given {}", runtime_name(&kind))))
    }

    fn printable(&self, value: &Expr) -> Option<Fault> {
        let kind = self.type_of(value);
        let opaque = matches!(kind, Type::Object(_) | Type::Opaque(..) | Type::Param(_) | Type::Error);
        if opaque {
            return Some((value.id, format!("{}, was given {}", library::format::refusal('s'), runtime_name(&kind))));
        }
        match &value.kind {
            Kind::List(elements) => elements.iter().find_map(|element| self.printable(&element.value)),
            Kind::Map(entries) => {
                entries.iter().find_map(|entry| self.printable(&entry.key).or_else(|| self.printable(&entry.value)))
            }
            _ => None,
        }
    }
}

/// The name of a type as values carry it.
fn runtime_name(kind: &Type) -> String {
    match kind {
        Type::Timestamp => "google.protobuf.Timestamp".to_owned(),
        Type::Duration => "google.protobuf.Duration".to_owned(),
        Type::Null => "null_type".to_owned(),
        other => other.name().to_string(),
    }
}
