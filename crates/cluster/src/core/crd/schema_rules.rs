//! What `openAPIV3Schema` may hold, beyond being structural: keywords, defaults, list types, CEL rules.
//!
//! Answers the faults of one schema of a CustomResourceDefinition. It never looks at objects.

use std::collections::HashSet;

use serde_json::Value;

use super::cel::cost::{CRD_COST_LIMIT, RULE_COST_LIMIT, excess};
use super::cel::decl::DeclType;
use super::cel::rules::{self, CompiledRule};
use super::default_rules;
use super::field_path;
use super::list_schema_rules::{list_map_keys, map_set_items, non_atomic_set};
use super::structural::{Rule, Schema};
use super::structural_rules;
use crate::core::field::{ErrorKind, ErrorList, FieldError, Path};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// Go names of the fields that a root schema may set beside `type` when status is a subresource.
const ROOT_FIELDS: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength \
    MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example \
    XPreserveUnknownFields XValidations]";

/// What an update may leave as it was.
#[derive(Clone, Debug)]
pub struct Options {
    pub require_structural: bool,
    pub require_valid_types: bool,
    pub require_pruned_defaults: bool,
    pub require_atomic_sets: bool,
    pub require_list_keys: bool,
    /// Rules and message expressions that stood in the definition before.
    pub known_expressions: HashSet<String>,
    pub suppress_rule_cost: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            require_structural: true,
            require_valid_types: true,
            require_pruned_defaults: true,
            require_atomic_sets: true,
            require_list_keys: true,
            known_expressions: HashSet::new(),
            suppress_rule_cost: false,
        }
    }
}

/// Validates the schema that stands at `path` (`spec.validation`, `spec.versions[1].schema`).
pub fn validate(schema: &Schema, source: &Value, status: bool, options: &Options, path: &Path) -> ErrorList {
    let schema_path = path.child("openAPIV3Schema");
    let mut errors = Vec::new();
    if status {
        errors.extend(root_error(schema, source, path, &schema_path));
    }
    if schema.nullable {
        errors
            .push(FieldError::forbidden(path.child("openAPIV3Schema.nullable"), "nullable cannot be true at the root"));
    }
    let mut structural_error = None;
    let mut cel = None;
    if options.require_structural {
        if let Some(message) = schema.structural_error() {
            structural_error = Some(FieldError::invalid(&schema_path, "", message));
        } else {
            let mut found = structural_rules::validate(schema, &schema_path);
            if found.is_empty() {
                found = default_rules::validate(schema, &schema_path, options.require_pruned_defaults);
            }
            if found.is_empty() {
                cel = Some(Above::ROOT);
            }
            errors.extend(found);
        }
    }
    let mut walk = Walk { options, total: TotalCost::default() };
    let scope = Scope { allow_defaults: true, reason: String::new(), inside_meta: false, uncorrelatable: None };
    let found = walk.node(schema, &schema_path, &scope, Place::Root, cel);
    errors.extend(found.schema);
    errors.extend(found.cel);
    if errors.is_empty() {
        errors.extend(structural_error);
    }
    errors.extend(walk.total.errors(&schema_path));
    errors
}

fn root_error(schema: &Schema, source: &Value, path: &Path, schema_path: &Path) -> Option<FieldError> {
    let unsupported = schema.unsupported;
    let before_type = unsupported.id || unsupported.schema || unsupported.reference_set;
    let after_type = schema.nullable
        || schema.default.is_some()
        || !schema.enumeration.is_empty()
        || schema.max_properties.is_some()
        || schema.min_properties.is_some()
        || !(schema.all_of.is_empty() && schema.one_of.is_empty() && schema.any_of.is_empty())
        || schema.not.is_some()
        || schema.additional.is_some()
        || unsupported.pattern_properties
        || unsupported.dependencies
        || unsupported.additional_items
        || unsupported.definitions
        || schema.embedded_resource
        || schema.int_or_string
        || !schema.list_map_keys.is_empty()
        || schema.list_type.is_some()
        || schema.map_type.is_some();
    if !before_type && !schema.type_name.is_empty() && schema.type_name != "object" {
        let detail =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return Some(FieldError::invalid(path.child("openAPIV3Schema.type"), schema.type_name.as_str(), detail));
    }
    (before_type || after_type).then(|| {
        let detail = format!(
            "only {ROOT_FIELDS} fields are allowed at the root of the schema if the status subresource is enabled"
        );
        FieldError::invalid(schema_path, source.clone(), detail)
    })
}

/// What rules of a node take over from above.
#[derive(Clone, Copy)]
struct Above {
    /// How often the values of the node may stand in one object; nothing when there is no bound.
    cardinality: Option<u64>,
    /// Whether there are rules, at the node or above it.
    ruled: bool,
    /// Whether the node, or one above it that rules apply to, has no type in expressions.
    untyped: bool,
}

impl Above {
    const ROOT: Self = Self { cardinality: Some(1), ruled: false, untyped: false };

    /// The same with the node itself. Types are read from above, so what has none there has none below.
    fn at(self, schema: &Schema, is_resource: bool) -> Self {
        let ruled = self.ruled || !schema.validations.is_empty();
        let untyped = ruled && (self.untyped || DeclType::of(schema, is_resource).is_none());
        Self { ruled, untyped, ..self }
    }

    fn below(self, schema: &Schema) -> Self {
        let factor = match schema.type_name.as_str() {
            "object" if schema.additional.is_some() => schema.max_properties.map(|max| max.max(0).unsigned_abs()),
            "array" => schema.max_items.map(|max| max.max(0).unsigned_abs()),
            _ => Some(1),
        };
        let cardinality = self.cardinality.zip(factor).map(|(count, factor)| count.saturating_mul(factor));
        Self { cardinality, ..self }
    }
}

#[derive(Default)]
struct Found {
    schema: ErrorList,
    cel: ErrorList,
}

/// What ancestors say about a node.
#[derive(Clone)]
struct Scope {
    allow_defaults: bool,
    reason: String,
    inside_meta: bool,
    /// The first ancestor whose old and new items cannot be matched.
    uncorrelatable: Option<Path>,
}

impl Scope {
    fn without_old_self(&self, path: &Path) -> Self {
        let mut scope = self.clone();
        scope.uncorrelatable.get_or_insert_with(|| path.clone());
        scope
    }

    fn without_defaults(&self, reason: String) -> Self {
        Self { allow_defaults: false, reason, ..self.clone() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Below,
}

#[derive(Default)]
struct TotalCost {
    total: u64,
    expensive: Vec<(u64, Path)>,
}

impl TotalCost {
    fn observe(&mut self, path: Path, cost: u64) {
        self.total = self.total.saturating_add(cost);
        if cost < CRD_COST_LIMIT / 100 {
            return;
        }
        self.expensive.push((cost, path));
        self.expensive.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        self.expensive.truncate(4);
    }

    fn errors(self, path: &Path) -> ErrorList {
        if self.total <= CRD_COST_LIMIT {
            return Vec::new();
        }
        let each = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        let mut errors: ErrorList =
            self.expensive.into_iter().map(|(_, path)| FieldError::forbidden(path, each)).collect();
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(FieldError::forbidden(path, excess(what, self.total, CRD_COST_LIMIT)));
        errors
    }
}

struct Walk<'a> {
    options: &'a Options,
    total: TotalCost,
}

impl Walk<'_> {
    fn node(&mut self, schema: &Schema, path: &Path, scope: &Scope, place: Place, cel: Option<Above>) -> Found {
        let mut found = Found::default();
        let cel = cel.map(|above| above.at(schema, place == Place::Root || schema.embedded_resource));
        keywords(schema, path, scope, self.options, &mut found.schema);
        self.children(schema, path, scope, place, cel, &mut found);
        kubernetes_extensions(schema, path, self.options, &mut found.schema);
        for (index, rule) in schema.validations.iter().enumerate() {
            let rule_path = path.child("x-kubernetes-validations").index(index);
            rule_shape(schema, rule, &rule_path, &mut found.schema);
        }
        if let Some(above) = cel.filter(|_| found.schema.is_empty() && !schema.validations.is_empty()) {
            self.rules(schema, path, scope, place, above, &mut found.cel);
        }
        found
    }

    fn children(
        &mut self,
        schema: &Schema,
        path: &Path,
        scope: &Scope,
        place: Place,
        cel: Option<Above>,
        found: &mut Found,
    ) {
        let below = cel.map(|above| above.below(schema));
        let mut visit = |walk: &mut Self, child: &Schema, path: &Path, scope: &Scope, cel: Option<Above>| {
            let errors = walk.node(child, path, scope, Place::Below, cel);
            found.schema.extend(errors.schema);
            found.cel.extend(errors.cel);
        };
        if let Some(values) = schema.additional_schema() {
            let reason = "inside additionalProperties applying to object metadata".to_owned();
            let scope = if scope.inside_meta { scope.without_defaults(reason) } else { scope.clone() };
            visit(self, values, &path.child("additionalProperties"), &scope, below);
        }
        for (name, property) in &schema.properties {
            let mut inner = scope.clone();
            if !schema.map_type.as_deref().is_none_or(|kind| matches!(kind, "granular" | "atomic")) {
                inner = inner.without_old_self(path);
            }
            let is_resource = place == Place::Root || schema.embedded_resource;
            if is_resource && super::prune::META_FIELDS.contains(&name.as_str()) {
                inner.inside_meta = true;
                if place == Place::Root {
                    inner = inner.without_defaults(format!("in top-level {name}"));
                }
            }
            visit(self, property, &path.child("properties").key(name), &inner, below);
        }
        if let Some(not) = &schema.not {
            visit(self, not, &path.child("not"), scope, None);
        }
        for (name, branches) in [("allOf", &schema.all_of), ("oneOf", &schema.one_of), ("anyOf", &schema.any_of)] {
            for (index, branch) in branches.iter().enumerate() {
                visit(self, branch, &path.child(name).index(index), scope, None);
            }
        }
        let item_scope = if schema.list_type() == "map" { scope.clone() } else { scope.without_old_self(path) };
        if let Some(items) = &schema.items {
            visit(self, items, &path.child("items"), &item_scope, below);
        }
        for (index, items) in schema.items_list.iter().enumerate() {
            visit(self, items, &path.child("items").index(index), &item_scope, below);
        }
    }

    fn rules(
        &mut self,
        schema: &Schema,
        path: &Path,
        scope: &Scope,
        place: Place,
        above: Above,
        errors: &mut ErrorList,
    ) {
        let rules_path = path.child("x-kubernetes-validations");
        let is_resource = place == Place::Root || schema.embedded_resource;
        let Some(decl) = DeclType::of(schema, is_resource).filter(|_| !above.untyped) else {
            errors.push(FieldError {
                kind: ErrorKind::Internal,
                field: rules_path.to_string(),
                bad_value: None,
                detail: "internal error: failed to construct type information for x-kubernetes-validations rules: \
                         unable to convert structural schema to CEL declarations"
                    .to_owned(),
            });
            return;
        };
        let compiled = rules::compile(schema, &decl, &self.options.known_expressions);
        for (index, (rule, compiled)) in schema.validations.iter().zip(&compiled).enumerate() {
            self.rule(rule, compiled, &rules_path.index(index), scope, above, errors);
        }
    }

    fn rule(
        &mut self,
        rule: &Rule,
        compiled: &CompiledRule,
        path: &Path,
        scope: &Scope,
        above: Above,
        errors: &mut ErrorList,
    ) {
        let rule_path = path.child("rule");
        let cost = compiled.max_cost.saturating_mul(above.cardinality.unwrap_or(compiled.max_cardinality));
        if !self.options.suppress_rule_cost && cost > RULE_COST_LIMIT {
            errors.push(FieldError::forbidden(&rule_path, excess("estimated rule cost", cost, RULE_COST_LIMIT)));
        }
        self.total.observe(rule_path.clone(), cost);
        if let Some(detail) = &compiled.error {
            errors.push(FieldError::invalid(&rule_path, go_rule(rule), detail.as_str()));
        }
        let message_path = path.child("messageExpression");
        if let Some(detail) = &compiled.message_error {
            errors.push(FieldError::invalid(message_path, go_rule(rule), detail.as_str()));
        } else if compiled.message_program.is_some() {
            let cost = compiled.message_max_cost;
            if !self.options.suppress_rule_cost && cost > RULE_COST_LIMIT {
                let detail = excess("estimated messageExpression cost", cost, RULE_COST_LIMIT);
                errors.push(FieldError::forbidden(&message_path, detail));
            }
            self.total.observe(message_path, cost);
        }
        if compiled.uses_old_self {
            if let Some(ancestor) = &scope.uncorrelatable {
                let detail =
                    format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {ancestor}");
                errors.push(FieldError::invalid(rule_path, rule.rule.as_str(), detail));
            }
        } else if let Some(optional) = rule.optional_old_self {
            let detail = "may not be set if oldSelf is not used in rule";
            errors.push(FieldError::invalid(path.child("optionalOldSelf"), optional, detail));
        }
    }
}

/// The rule as Go's internal type encodes it, which is how messages show it.
fn go_rule(rule: &Rule) -> Value {
    serde_json::json!({
        "Rule": rule.rule, "Message": rule.message, "MessageExpression": rule.message_expression,
        "Reason": rule.reason, "FieldPath": rule.field_path, "OptionalOldSelf": rule.optional_old_self,
    })
}

fn keywords(schema: &Schema, path: &Path, scope: &Scope, options: &Options, errors: &mut ErrorList) {
    let type_name = schema.type_name.as_str();
    if options.require_valid_types && !type_name.is_empty() && !TYPES.contains(&type_name) {
        errors.push(FieldError::not_supported(path.child("type"), type_name, &TYPES));
    }
    if schema.default.is_some() && !scope.allow_defaults {
        let detail = format!("must not be set {}", scope.reason);
        errors.push(FieldError::forbidden(path.child("default"), detail.trim_end()));
    }
    let unsupported = schema.unsupported;
    let forbidden = [
        (unsupported.id, "id", "id is not supported"),
        (unsupported.additional_items, "additionalItems", "additionalItems is not supported"),
        (unsupported.pattern_properties, "patternProperties", "patternProperties is not supported"),
        (unsupported.definitions, "definitions", "definitions is not supported"),
        (unsupported.dependencies, "dependencies", "dependencies is not supported"),
        (unsupported.reference_set, "$ref", "$ref is not supported"),
        (type_name == "null", "type", "type cannot be set to null, use nullable as an alternative"),
        (!schema.items_list.is_empty(), "items", "items must be a schema object and not an array"),
        (
            scope.inside_meta && schema.embedded_resource,
            "x-kubernetes-embedded-resource",
            "must not be used inside of resource meta",
        ),
        (
            schema.unique_items,
            "uniqueItems",
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            !schema.properties.is_empty()
                && schema
                    .additional
                    .as_ref()
                    .is_some_and(|additional| !additional.allows || additional.schema.is_some()),
            "additionalProperties",
            "additionalProperties and properties are mutual exclusive",
        ),
    ];
    for (_, name, detail) in forbidden.into_iter().filter(|(set, _, _)| *set) {
        errors.push(FieldError::forbidden(path.child(name), detail));
    }
}

fn required_or_invalid(path: Path, value: &str, detail: &str) -> FieldError {
    if value.is_empty() { FieldError::required(path, detail) } else { FieldError::invalid(path, value, detail) }
}

fn kubernetes_extensions(schema: &Schema, path: &Path, options: &Options, errors: &mut ErrorList) {
    if schema.preserve_unknown == Some(false) {
        let field = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(field, false, "must be true or undefined"));
    }
    if let Some(map_type) = &schema.map_type {
        if schema.type_name != "object" {
            let detail = "must be object if x-kubernetes-map-type is specified";
            errors.push(required_or_invalid(path.child("type"), &schema.type_name, detail));
        }
        if !matches!(map_type.as_str(), "atomic" | "granular") {
            let field = path.child("x-kubernetes-map-type");
            errors.push(FieldError::not_supported(field, map_type.as_str(), &["atomic", "granular"]));
        }
    }
    if let Some(list_type) = &schema.list_type {
        if schema.type_name != "array" {
            let detail = "must be array if x-kubernetes-list-type is specified";
            errors.push(required_or_invalid(path.child("type"), &schema.type_name, detail));
        } else if options.require_atomic_sets {
            errors.extend(non_atomic_set(schema, path));
        }
        if !matches!(list_type.as_str(), "atomic" | "set" | "map") {
            let field = path.child("x-kubernetes-list-type");
            errors.push(FieldError::not_supported(field, list_type.as_str(), &["atomic", "set", "map"]));
        }
    }
    list_map_keys(schema, path, errors);
    if options.require_list_keys {
        map_set_items(schema, path, errors);
    }
}

fn rule_shape(schema: &Schema, rule: &Rule, path: &Path, errors: &mut ErrorList) {
    let breaks = |text: &str| text.contains(['\n', '\r']);
    let message = rule.message.trim();
    if rule.rule.trim().is_empty() {
        errors.push(FieldError::required(path.child("rule"), "rule is not specified"));
    } else if !rule.message.is_empty() && message.is_empty() {
        errors.push(FieldError::invalid(
            path.child("message"),
            rule.message.as_str(),
            "must be non-empty if specified",
        ));
    } else if breaks(message) {
        errors.push(FieldError::invalid(path.child("message"), rule.message.as_str(), "must not contain line breaks"));
    } else if breaks(rule.rule.trim()) && message.is_empty() {
        let detail = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(path.child("message"), detail));
    }
    if !rule.message_expression.is_empty() && rule.message_expression.trim().is_empty() {
        let detail = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(path.child("messageExpression"), detail));
    }
    if let Some(reason) = rule.reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
        errors.push(FieldError::not_supported(path.child("reason"), reason, &REASONS));
    }
    if rule.field_path.is_empty() {
        return;
    }
    let field = path.child("fieldPath");
    let shown = rule.field_path.as_str();
    if shown.trim().is_empty() {
        errors.push(FieldError::invalid(&field, shown, "must be non-empty if specified"));
    }
    if breaks(shown) {
        errors.push(FieldError::invalid(&field, shown, "must not contain line breaks"));
    }
    if schema.structural_error().is_none() && field_path::resolve(shown, schema, field_path::Arrays::Allowed).is_err() {
        errors.push(FieldError::invalid(field, shown, "must be a valid path"));
    }
}
