//! The schema of a custom resource as a tree of typed nodes, read from `openAPIV3Schema`.
//!
//! Answers what a node declares; whether that is allowed is decided in `structural_rules` and
//! `schema_rules`, what it means for an object in `prune`, `validate` and `cel`. It never reports
//! errors of JSON shape: those are found when the definition is decoded.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::pattern::Pattern;

/// One node of a schema; fields carry the names of `JSONSchemaProps`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    pub type_name: String,
    pub format: String,
    pub title: bool,
    pub description: bool,
    pub default: Option<Value>,
    pub nullable: bool,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub max_length: Option<i64>,
    pub min_length: Option<i64>,
    pub pattern: Option<Arc<Pattern>>,
    pub max_items: Option<i64>,
    pub min_items: Option<i64>,
    pub unique_items: bool,
    pub multiple_of: Option<f64>,
    pub enumeration: Vec<Value>,
    pub max_properties: Option<i64>,
    pub min_properties: Option<i64>,
    pub required: Vec<String>,
    pub items: Option<Box<Schema>>,
    /// `items` given as a list, which no structural schema allows.
    pub items_list: Vec<Schema>,
    pub all_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
    pub properties: BTreeMap<String, Schema>,
    pub additional: Option<Additional>,
    pub preserve_unknown: Option<bool>,
    pub embedded_resource: bool,
    pub int_or_string: bool,
    pub list_map_keys: Vec<String>,
    pub list_type: Option<String>,
    pub map_type: Option<String>,
    pub validations: Vec<Rule>,
    /// Keywords that `JSONSchemaProps` knows and structural schemas refuse.
    pub unsupported: Unsupported,
}

/// `additionalProperties`: a boolean or a schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Additional {
    pub allows: bool,
    pub schema: Option<Box<Schema>>,
}

/// Which of the refused keywords are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsupported {
    pub id: bool,
    pub schema: bool,
    pub reference: bool,
    pub reference_set: bool,
    pub pattern_properties: bool,
    pub dependencies: bool,
    pub additional_items: bool,
    pub definitions: bool,
    pub external_docs: bool,
    pub example: bool,
}

/// One entry of `x-kubernetes-validations`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    pub rule: String,
    pub message: String,
    pub message_expression: String,
    pub reason: Option<String>,
    pub field_path: String,
    pub optional_old_self: Option<bool>,
    /// The entry as it stands in the definition, for error messages.
    pub source: Value,
}

/// How deep a schema may nest; what lies deeper is read as an empty node. The API server's decoder
/// stops at 10,000 levels of JSON, our own JSON reader at 128, each level of a schema being two of JSON.
const MAX_DEPTH: usize = 128;

impl Schema {
    /// Reads a node; parts of the wrong JSON type are taken as absent.
    pub fn from_value(value: &Value) -> Self {
        Self::read(value, 0)
    }

    fn read(value: &Value, depth: usize) -> Self {
        let Some(object) = value.as_object() else { return Self::default() };
        if depth > MAX_DEPTH {
            return Self::default();
        }
        let mut schema = Self::scalars(object);
        schema.read_children(object, depth + 1);
        schema
    }

    fn scalars(object: &Map<String, Value>) -> Self {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let flag = |key: &str| object.get(key).and_then(Value::as_bool).unwrap_or_default();
        let float = |key: &str| object.get(key).and_then(Value::as_f64);
        let whole = |key: &str| object.get(key).and_then(Value::as_i64);
        let given = |key: &str| object.get(key).filter(|value| !value.is_null()).cloned();
        Self {
            type_name: text("type"),
            format: text("format"),
            title: !text("title").is_empty(),
            description: !text("description").is_empty(),
            default: given("default"),
            nullable: flag("nullable"),
            maximum: float("maximum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            minimum: float("minimum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            max_length: whole("maxLength"),
            min_length: whole("minLength"),
            pattern: Some(text("pattern"))
                .filter(|text| !text.is_empty())
                .map(|text| Arc::new(Pattern::compile(&text))),
            max_items: whole("maxItems"),
            min_items: whole("minItems"),
            unique_items: flag("uniqueItems"),
            multiple_of: float("multipleOf"),
            enumeration: object.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            max_properties: whole("maxProperties"),
            min_properties: whole("minProperties"),
            required: strings(object.get("required")),
            preserve_unknown: object.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool),
            embedded_resource: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list_map_keys: strings(object.get("x-kubernetes-list-map-keys")),
            list_type: object.get("x-kubernetes-list-type").and_then(Value::as_str).map(str::to_owned),
            map_type: object.get("x-kubernetes-map-type").and_then(Value::as_str).map(str::to_owned),
            validations: rules(object.get("x-kubernetes-validations")),
            unsupported: Unsupported::read(object),
            ..Self::default()
        }
    }

    fn read_children(&mut self, object: &Map<String, Value>, depth: usize) {
        let list = |key: &str| -> Vec<Schema> {
            let items = object.get(key).and_then(Value::as_array);
            items.into_iter().flatten().map(|item| Self::read(item, depth)).collect()
        };
        self.all_of = list("allOf");
        self.one_of = list("oneOf");
        self.any_of = list("anyOf");
        self.not = object.get("not").filter(|not| not.is_object()).map(|not| Box::new(Self::read(not, depth)));
        match object.get("items") {
            Some(Value::Array(_)) => self.items_list = list("items"),
            Some(item @ Value::Object(_)) => self.items = Some(Box::new(Self::read(item, depth))),
            _ => {}
        }
        if let Some(Value::Object(properties)) = object.get("properties") {
            self.properties =
                properties.iter().map(|(name, schema)| (name.clone(), Self::read(schema, depth))).collect();
        }
        self.additional = match object.get("additionalProperties") {
            Some(Value::Bool(allows)) => Some(Additional { allows: *allows, schema: None }),
            Some(schema @ Value::Object(_)) => {
                Some(Additional { allows: true, schema: Some(Box::new(Self::read(schema, depth))) })
            }
            _ => None,
        };
    }

    /// The schema of values under free keys.
    pub fn additional_schema(&self) -> Option<&Schema> {
        self.additional.as_ref().and_then(|additional| additional.schema.as_deref())
    }

    /// Whether unknown fields are kept here.
    pub fn preserves_unknown(&self) -> bool {
        self.preserve_unknown == Some(true)
    }

    /// The list type; atomic when none is given.
    pub fn list_type(&self) -> &str {
        self.list_type.as_deref().unwrap_or_default()
    }

    /// The first keyword that keeps this node or one of its descendants from becoming structural,
    /// in the words of the API server.
    pub fn structural_error(&self) -> Option<&'static str> {
        let unsupported = self.unsupported.first();
        if unsupported.is_some() {
            return unsupported;
        }
        let nested = self.not.iter().map(|not| &**not).chain(&self.all_of).chain(&self.any_of).chain(&self.one_of);
        if let Some(error) = nested.map(Self::structural_error).find_map(|error| error) {
            return Some(error);
        }
        if self.preserve_unknown == Some(false) {
            return Some("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined");
        }
        if !self.items_list.is_empty() {
            return Some("OpenAPIV3Schema 'items' must be a schema, but is an array");
        }
        let children = self.items.iter().map(|items| &**items).chain(self.properties.values());
        children.chain(self.additional_schema()).find_map(Self::structural_error)
    }

    /// Whether `predicate` holds for this node or any below, nested validations included.
    pub fn any(&self, predicate: &mut dyn FnMut(&Schema) -> bool) -> bool {
        if predicate(self) {
            return true;
        }
        let boxed = self.items.iter().chain(&self.not).map(|schema| &**schema);
        let lists = self.items_list.iter().chain(&self.all_of).chain(&self.any_of).chain(&self.one_of);
        boxed
            .chain(lists)
            .chain(self.properties.values())
            .chain(self.additional_schema())
            .any(|child| child.any(predicate))
    }
}

impl Unsupported {
    fn read(object: &Map<String, Value>) -> Self {
        let filled = |key: &str| match object.get(key) {
            Some(Value::Object(map)) => !map.is_empty(),
            Some(Value::String(text)) => !text.is_empty(),
            _ => false,
        };
        let given = |key: &str| object.get(key).is_some_and(|value| !value.is_null());
        Self {
            id: filled("id"),
            schema: filled("$schema"),
            reference: filled("$ref"),
            reference_set: given("$ref"),
            pattern_properties: filled("patternProperties"),
            dependencies: given("dependencies"),
            additional_items: given("additionalItems"),
            definitions: filled("definitions"),
            external_docs: given("externalDocs"),
            example: given("example"),
        }
    }

    fn first(self) -> Option<&'static str> {
        let table = [
            (self.id, "OpenAPIV3Schema 'id' is not supported"),
            (self.schema, "OpenAPIV3Schema 'schema' is not supported"),
            (self.reference, "OpenAPIV3Schema '$ref' is not supported"),
            (self.pattern_properties, "OpenAPIV3Schema 'patternProperties' is not supported"),
            (self.dependencies, "OpenAPIV3Schema 'dependencies' is not supported"),
            (self.additional_items, "OpenAPIV3Schema 'additionalItems' is not supported"),
            (self.definitions, "OpenAPIV3Schema 'definitions' is not supported"),
        ];
        table.into_iter().find(|(set, _)| *set).map(|(_, message)| message)
    }
}

impl Rule {
    /// What an error calls the rule: its message, else its expression.
    pub fn name(&self) -> &str {
        if self.message.is_empty() { self.rule.trim() } else { self.message.trim() }
    }

    /// The message of a rule that does not hold.
    pub fn failure(&self) -> String {
        if self.message.is_empty() { format!("failed rule: {}", self.name()) } else { self.message.trim().to_owned() }
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn rules(value: Option<&Value>) -> Vec<Rule> {
    let items = value.and_then(Value::as_array);
    let read = |item: &Value| {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Rule {
            rule: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: item.get("reason").and_then(Value::as_str).map(str::to_owned),
            field_path: text("fieldPath"),
            optional_old_self: item.get("optionalOldSelf").and_then(Value::as_bool),
            source: item.clone(),
        }
    };
    items.into_iter().flatten().map(read).collect()
}
