//! The rules of a schema, compiled, and their verdict over an object.
//!
//! Answers which rules fail where, within a budget, with upstream's messages. Unchanged parts of an
//! update are ratcheted; rules about `oldSelf` run only where an old value continues.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::check::{self, Checked};
use super::cost;
use super::data::from_data;
use super::decl::{DeclType, escape};
use super::eval::{self, Variables};
use super::parser;
use super::place::{Place, Ratchet, join};
use super::plan::{self, Plan};
use super::types::Type;
use super::value::{Fault, Outcome, Val};
use crate::core::crd::correlate::{Correlation, MapList};
use crate::core::crd::field_path::{self, Arrays};
use crate::core::crd::structural::{Rule, Schema};
use crate::core::field::{ErrorKind, ErrorList, FieldError, Path};

/// The largest request, by which the cardinality of unbounded rules is estimated.
const MAX_REQUEST_BYTES: u64 = 3 * 1024 * 1024;
/// The longest message that an expression may make.
const MAX_MESSAGE_BYTES: usize = 5 * 1024;

/// A rule made ready to run, or why it cannot run.
#[derive(Debug, Default)]
pub struct CompiledRule {
    pub error: Option<String>,
    pub message_error: Option<String>,
    pub program: Option<Plan>,
    pub message_program: Option<Plan>,
    pub uses_old_self: bool,
    pub max_cost: u64,
    pub message_max_cost: u64,
    /// How often the rule can run in one object where no schema above bounds it.
    pub max_cardinality: u64,
    /// The field that failures name, below the rule's own.
    pub field_path: Option<String>,
}

/// Compiles the rules of one node.
pub fn compile(schema: &Schema, decl: &DeclType, known: &HashSet<String>) -> Vec<CompiledRule> {
    let this = decl.checked_type("selfType");
    let _ = known;
    schema.validations.iter().map(|rule| compile_rule(schema, rule, decl, &this)).collect()
}

fn compile_rule(schema: &Schema, rule: &Rule, decl: &DeclType, this: &Type) -> CompiledRule {
    let mut compiled = CompiledRule::default();
    if rule.rule.trim().is_empty() {
        return compiled;
    }
    let old = if rule.optional_old_self == Some(true) { Type::optional(this.clone()) } else { this.clone() };
    let variables = [("self", this.clone()), ("oldSelf", old)];
    let checked = match checked(&rule.rule, &variables) {
        Ok(checked) => checked,
        Err(issues) => {
            compiled.error = Some(format!("compilation failed: {issues}"));
            return compiled;
        }
    };
    if *checked.type_of(&checked.root) != Type::Bool {
        compiled.error = Some("cel expression must evaluate to a bool".to_owned());
        return compiled;
    }
    compiled.uses_old_self = checked.variables.iter().any(|name| name == "oldSelf");
    match plan::plan(&checked) {
        Ok(program) => compiled.program = Some(program),
        Err(error) => {
            compiled.error = Some(format!("program instantiation failed: {error}"));
            return compiled;
        }
    }
    compiled.max_cost = cost::estimate(&checked, decl);
    compiled.max_cardinality = MAX_REQUEST_BYTES / (decl.min_bytes.max(0).unsigned_abs() + 1);
    compile_message(rule, decl, &variables, &mut compiled);
    if !rule.field_path.is_empty() && compiled.message_error.is_none() {
        let found = field_path::resolve(&rule.field_path, schema, Arrays::Allowed);
        compiled.field_path = found.ok().map(|(path, _)| path.to_string());
    }
    compiled
}

fn compile_message(rule: &Rule, decl: &DeclType, variables: &[(&str, Type)], compiled: &mut CompiledRule) {
    if rule.message_expression.is_empty() {
        return;
    }
    let checked = match checked(&rule.message_expression, variables) {
        Ok(checked) => checked,
        Err(issues) => {
            compiled.message_error = Some(format!("messageExpression compilation failed: {issues}"));
            return;
        }
    };
    if *checked.type_of(&checked.root) != Type::Text {
        compiled.message_error = Some("messageExpression must evaluate to a string".to_owned());
        return;
    }
    match plan::plan(&checked) {
        Ok(program) => {
            compiled.message_program = Some(program);
            compiled.message_max_cost = cost::estimate(&checked, decl);
        }
        Err(error) => compiled.message_error = Some(format!("messageExpression instantiation failed: {error}")),
    }
}

fn checked(source: &str, variables: &[(&str, Type)]) -> Result<Checked, String> {
    check::check(parser::parse(source)?, variables)
}

/// What evaluations of one request may still cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget(i64);

impl Budget {
    /// The budget of one request.
    pub fn per_request() -> Self {
        Self(10_000_000)
    }

    /// Whether an evaluation ran out of it.
    pub fn is_spent(self) -> bool {
        self.0 < 0
    }

    /// What is left of it.
    pub fn left(self) -> i64 {
        self.0
    }

    /// The lower of two budgets.
    pub fn lower(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }
}

/// The rules of a schema and of all below it; the shape of the schema, where it has rules.
#[derive(Debug)]
pub struct Validator {
    rules: Vec<(Rule, CompiledRule)>,
    compile_error: Option<&'static str>,
    items: Option<Box<Validator>>,
    properties: BTreeMap<String, Validator>,
    additional: Option<Box<Validator>>,
    schema: Schema,
    is_resource: bool,
}

impl Validator {
    /// Compiles all rules of a schema; nothing where it has none.
    pub fn new(schema: &Schema, is_resource: bool) -> Option<Self> {
        if !has_rules(schema) {
            return None;
        }
        Self::build(schema, is_resource, DeclType::of(schema, is_resource).as_ref())
    }

    fn build(schema: &Schema, is_resource: bool, decl: Option<&DeclType>) -> Option<Self> {
        let (rules, compile_error) = match decl {
            _ if schema.validations.is_empty() => (Vec::new(), None),
            Some(decl) => (compile(schema, decl, &HashSet::new()), None),
            None => (Vec::new(), Some("failed to convert to declType for CEL validation rules")),
        };
        let below = |child: &Schema, decl: Option<&DeclType>| {
            if has_rules(child) { Self::build(child, child.embedded_resource, decl) } else { None }
        };
        // Types are read from the type above: below what is untyped, or int-or-string, there are none.
        let element = decl.and_then(DeclType::element);
        let property = |name: &str, child: &Schema| match escape(name) {
            Some(escaped) => below(child, Some(decl?.field(&escaped)?)),
            None => below(child, Some(&DeclType::of(child, child.embedded_resource)?)),
        };
        let items = schema.items.as_deref().and_then(|items| below(items, element)).map(Box::new);
        let properties: BTreeMap<String, Self> = schema
            .properties
            .iter()
            .filter_map(|(name, child)| property(name, child).map(|validator| (name.clone(), validator)))
            .collect();
        let additional = schema.additional_schema().and_then(|values| below(values, element)).map(Box::new);
        let empty = rules.is_empty() && compile_error.is_none();
        if empty && items.is_none() && properties.is_empty() && additional.is_none() {
            return None;
        }
        let rules = schema.validations.iter().cloned().zip(rules).collect();
        Some(Self { rules, compile_error, items, properties, additional, schema: schema.clone(), is_resource })
    }

    /// Runs all rules over a value. `old` is what it was before, `correlation` ratchets.
    pub fn validate(
        &self,
        path: &Path,
        value: &Value,
        old: Option<&Value>,
        correlation: Option<Correlation<'_>>,
        budget: &mut Budget,
    ) -> ErrorList {
        let mut errors = Vec::new();
        let ratchet = Ratchet { current: correlation, parent: None };
        self.node(&Place::Root(path), value, old, ratchet, budget, &mut errors);
        errors
    }

    fn node(
        &self,
        place: &Place<'_>,
        value: &Value,
        old: Option<&Value>,
        ratchet: Ratchet<'_>,
        budget: &mut Budget,
        errors: &mut ErrorList,
    ) {
        if value.is_null() {
            return;
        }
        let old = old.filter(|old| !old.is_null());
        self.expressions(place, value, old, ratchet, budget, errors);
        if budget.is_spent() {
            return;
        }
        match value {
            Value::Array(items) => {
                let Some(validator) = &self.items else { return };
                let old_items = old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                let correlated = MapList::new(&self.schema, old_items);
                for (index, item) in items.iter().enumerate() {
                    let here = Place::Index(place, index);
                    validator.node(&here, item, correlated.get(item), ratchet.index(index), budget, errors);
                    if budget.is_spent() {
                        return;
                    }
                }
            }
            Value::Object(fields) => {
                let correlates =
                    self.schema.map_type.as_deref().is_none_or(|kind| matches!(kind, "granular" | "atomic"));
                let old_of = |name: &str| old.filter(|_| correlates).and_then(|old| old.get(name));
                for (name, field) in fields {
                    let (validator, here) = match (&self.additional, self.properties.get(name)) {
                        (Some(validator), _) => (&**validator, Place::Key(place, name)),
                        (None, Some(validator)) => (validator, Place::Child(place, name)),
                        (None, None) => continue,
                    };
                    validator.node(&here, field, old_of(name), ratchet.key(name), budget, errors);
                    if budget.is_spent() {
                        return;
                    }
                }
            }
            _ => {}
        }
    }

    fn expressions(
        &self,
        place: &Place<'_>,
        value: &Value,
        old: Option<&Value>,
        ratchet: Ratchet<'_>,
        budget: &mut Budget,
        errors: &mut ErrorList,
    ) {
        let invalid = |detail: String| self.error(place.text(), detail);
        if let Some(error) = self.compile_error {
            errors.push(invalid(format!("rule compiler initialization error: {error}")));
            return;
        }
        if self.rules.is_empty() {
            return;
        }
        if budget.0 <= 0 {
            errors.push(invalid(OUT_OF_BUDGET.to_owned()));
            budget.0 = -1;
            return;
        }
        let this = from_data(value, &self.schema, self.is_resource);
        // Messages see the old value only where some rule of the schema does.
        let transition = self.rules.iter().any(|(_, compiled)| compiled.uses_old_self);
        let old_value = old.map(|old| from_data(old, &self.schema, self.is_resource));
        for (rule, compiled) in &self.rules {
            if let Some(error) = &compiled.error {
                errors.push(invalid(format!("rule compile error: {error}")));
                continue;
            }
            let Some(program) = &compiled.program else { continue };
            let optional = rule.optional_old_self == Some(true);
            if compiled.uses_old_self && old.is_none() && !optional {
                continue;
            }
            // Messages always see the plain old value, as upstream has it.
            let plain =
                Variables { this: this.clone(), old: old_value.clone().filter(|_| transition), named: Vec::new() };
            let seen = if transition { variables(&this, &old_value, optional) } else { plain.clone() };
            let (outcome, cost) = eval::run(program, seen);
            if !spend(budget, cost) {
                errors.push(invalid(OUT_OF_BUDGET.to_owned()));
                return;
            }
            match outcome {
                Ok(Val::Bool(true)) => {}
                Ok(_) => self.failed(place, rule, compiled, plain, ratchet, budget, errors),
                Err(fault) => {
                    let (detail, fatal) = fault_detail(&fault, rule);
                    errors.push(invalid(detail));
                    if fatal {
                        budget.0 = -1;
                    }
                }
            }
            if budget.is_spent() {
                return;
            }
        }
    }

    fn error(&self, field: String, detail: String) -> FieldError {
        FieldError {
            kind: ErrorKind::Invalid,
            field,
            bad_value: Some(Value::from(self.schema.type_name.as_str())),
            detail,
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn failed(
        &self,
        place: &Place<'_>,
        rule: &Rule,
        compiled: &CompiledRule,
        variables: Variables<'_>,
        ratchet: Ratchet<'_>,
        budget: &mut Budget,
        errors: &mut ErrorList,
    ) {
        let mut field = place.text();
        if let Some(below) = &compiled.field_path {
            let bare = field == super::super::validate::NO_PATH;
            field = if bare { below.clone() } else { join(&field, below) };
        }
        let error = match compiled.message_program.as_ref().map(|program| message(program, rule, variables, budget)) {
            None | Some(Ok(None)) => self.for_reason(field, rule.failure(), rule.reason.as_deref()),
            Some(Ok(Some(text))) => self.for_reason(field, text, rule.reason.as_deref()),
            Some(Err(detail)) => self.error(field, detail),
        };
        if compiled.uses_old_self || !ratchet.holds() {
            errors.push(error);
        }
    }

    fn for_reason(&self, field: String, detail: String, reason: Option<&str>) -> FieldError {
        let plain = |kind| FieldError { kind, field: field.clone(), bad_value: None, detail: detail.clone() };
        match reason {
            Some("FieldValueForbidden") => plain(ErrorKind::Forbidden),
            Some("FieldValueRequired") => plain(ErrorKind::Required),
            Some("FieldValueDuplicate") => FieldError {
                kind: ErrorKind::Duplicate,
                field,
                bad_value: Some(Value::from(self.schema.type_name.as_str())),
                detail: String::new(),
            },
            _ => self.error(field, detail),
        }
    }
}

const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// Charges a budget; false when it is overdrawn.
fn spend(budget: &mut Budget, cost: u64) -> bool {
    match i64::try_from(cost).ok().filter(|cost| *cost <= budget.0) {
        Some(cost) => {
            budget.0 -= cost;
            true
        }
        None => {
            budget.0 = -1;
            false
        }
    }
}

fn variables<'a>(this: &Outcome<Val<'a>>, old: &Option<Outcome<Val<'a>>>, optional: bool) -> Variables<'a> {
    let old = match (old, optional) {
        (Some(old), true) => Some(old.clone().map(Val::some)),
        (None, true) => Some(Ok(Val::Optional(None))),
        (old, false) => old.clone(),
    };
    Variables { this: this.clone(), old, named: Vec::new() }
}

fn fault_detail(fault: &Fault, rule: &Rule) -> (String, bool) {
    let name = rule.name();
    match fault {
        Fault::Limit => {
            let detail = format!(
                "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call \
                 cost exceeds limit for rule: {name}"
            );
            (detail, true)
        }
        Fault::Error(message) if message.starts_with("no such overload") => {
            let detail = format!(
                "'{message}': call arguments did not match a supported operator, function or macro signature for rule: {name}"
            );
            (detail, false)
        }
        Fault::Error(message) => (format!("{message} evaluating rule: {name}"), false),
    }
}

/// The message that an expression makes; nothing when it makes none that can be shown.
fn message(
    program: &Plan,
    rule: &Rule,
    variables: Variables<'_>,
    budget: &mut Budget,
) -> Result<Option<String>, String> {
    let (outcome, cost) = eval::run(program, variables);
    if !spend(budget, cost) {
        return Err(
            "messageExpression evaluation failed due to running out of cost budget, no further validation rules \
                    will be run"
                .to_owned(),
        );
    }
    match outcome {
        Err(Fault::Limit) => {
            budget.0 = -1;
            Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}",
                super::super::go::quote(&rule.message_expression)
            ))
        }
        Ok(Val::Text(text)) => {
            let text: Cow<'_, str> = text;
            let trimmed = text.trim();
            let shown = !trimmed.is_empty() && trimmed.len() <= MAX_MESSAGE_BYTES && !trimmed.contains('\n');
            Ok(shown.then(|| trimmed.to_owned()))
        }
        _ => Ok(None),
    }
}

fn has_rules(schema: &Schema) -> bool {
    !schema.validations.is_empty()
        || schema.items.as_deref().is_some_and(has_rules)
        || schema.additional_schema().is_some_and(has_rules)
        || schema.properties.values().any(has_rules)
}
