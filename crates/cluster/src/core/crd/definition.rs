//! A CustomResourceDefinition itself: its versions, its warnings and its faults.
//!
//! Answers everything about `spec` that needs no other object. What the server says about a definition
//! in its status is `status`, what it is given is `definition_defaults`; metadata other than the name is validated by the generic rules.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::conversion_rules::{ConversionOptions, conversion_errors};
pub use super::definition_defaults::{default, prepare_create, prepare_update};
use super::definition_parts::{
    Required, column_errors, deprecation_errors, enumeration, names_errors, selectable_errors, subresource_errors,
};
use super::go::quote;
use super::list_schema_rules;
use super::object_meta;
use super::schema_rules::{self, Options};
use super::status::{self, Approval};
use super::structural::Schema;
use super::structural_rules;
use crate::core::field::{ErrorList, FieldError, Path};
use crate::core::kinds::names;

const APPROVED_ANNOTATION: &str = "api-approved.kubernetes.io";

/// A version as the rules see it.
pub(super) struct Version<'a> {
    pub name: &'a str,
    pub served: bool,
    pub storage: bool,
    pub schema: Option<Schema>,
    pub value: &'a Value,
}

/// The versions of a definition with their schemas read.
pub(super) fn versions(crd: &Value) -> Vec<Version<'_>> {
    let items = crd["spec"]["versions"].as_array();
    let read = |value| {
        let source = schema_value(value);
        Version {
            name: text(value, "name"),
            served: value["served"].as_bool().unwrap_or_default(),
            storage: value["storage"].as_bool().unwrap_or_default(),
            schema: source.map(Schema::from_value),
            value,
        }
    };
    items.into_iter().flatten().map(read).collect()
}

/// `schema.openAPIV3Schema` of a version, where it is given.
pub fn schema_value(version: &Value) -> Option<&Value> {
    version.get("schema")?.get("openAPIV3Schema").filter(|schema| schema.is_object())
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Warnings about formats that no server checks; an update warns of new ones only.
pub fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let known: HashSet<String> = old.map(unrecognized_formats).unwrap_or_default().into_iter().collect();
    let fresh = unrecognized_formats(new).into_iter().filter(|format| !known.contains(format));
    fresh.map(|format| format!("unrecognized format {}", quote(&format))).collect()
}

fn unrecognized_formats(crd: &Value) -> Vec<String> {
    let mut formats = Vec::new();
    let versions = versions(crd);
    let shared = identical(&versions, |version| version.get("schema"));
    for version in versions.iter().take(if shared { 1 } else { usize::MAX }) {
        let Some(schema) = &version.schema else { continue };
        schema.any(&mut |node| {
            if node.type_name == "string" && !node.format.is_empty() && super::formats::check(&node.format).is_none() {
                formats.push(node.format.clone());
            }
            false
        });
    }
    formats
}

/// Validates a new definition.
pub fn validate(crd: &Value) -> ErrorList {
    let mut errors = name_errors(crd);
    errors.extend(spec_errors(crd, &Options::default(), &HashSet::new(), ConversionOptions::default()));
    errors.extend(status_errors(crd));
    errors.extend(stored_version_errors(crd));
    errors.extend(approval_error(crd, None));
    errors.extend(preserve_error(crd, None));
    errors
}

/// Validates a changed definition against what it was.
pub fn validate_update(new: &Value, old: &Value) -> ErrorList {
    let old_versions = versions(old);
    let old_schemas: Vec<&Schema> = old_versions.iter().filter_map(|version| version.schema.as_ref()).collect();
    let options = lenient_options(&old_schemas);
    let unchanged: HashSet<String> = unchanged_schemas(new, old);
    let established = status::condition_is_true(old, "Established");
    let conversion = ConversionOptions::for_update(old, established);
    let mut errors = spec_errors(new, &options, &unchanged, conversion);
    let mut immutable = vec![("group", "/spec/group"), ("names.plural", "/spec/names/plural")];
    if established {
        immutable.splice(0..0, [("scope", "/spec/scope"), ("names.kind", "/spec/names/kind")]);
    }
    for (name, pointer) in immutable {
        let value = new.pointer(pointer).cloned().unwrap_or_else(|| Value::from(""));
        if Some(&value) != old.pointer(pointer) {
            errors.push(FieldError::invalid(Path::root("spec").child(name), value, "field is immutable"));
        }
    }
    errors.extend(status_errors(new));
    errors.extend(stored_version_errors(new));
    errors.extend(approval_error(new, Some(old)));
    errors.extend(preserve_error(new, Some(old)));
    errors
}

/// Validates a write of the status.
pub fn validate_status_update(new: &Value) -> ErrorList {
    status_errors(new)
}

/// Rules that the old schemas broke stay off, so that stored definitions can be changed.
fn lenient_options(old: &[&Schema]) -> Options {
    let nowhere = Path::root("");
    let structural = |schema: &Schema| {
        schema.structural_error().is_none() && structural_rules::validate(schema, &nowhere).is_empty()
    };
    let has = |predicate: &dyn Fn(&Schema) -> bool| old.iter().any(|schema| schema.any(&mut |node| predicate(node)));
    let mut known = HashSet::new();
    for schema in old {
        schema.any(&mut |node| {
            for rule in &node.validations {
                known.insert(rule.rule.clone());
                known.insert(rule.message_expression.clone());
            }
            false
        });
    }
    let list_keys = |node: &Schema| {
        let mut errors = Vec::new();
        list_schema_rules::map_set_items(node, &nowhere, &mut errors);
        !errors.is_empty()
    };
    Options {
        require_structural: old.iter().all(|schema| structural(schema)),
        require_valid_types: !has(&|node| {
            !matches!(node.type_name.as_str(), "" | "string" | "number" | "integer" | "boolean" | "array" | "object")
        }),
        require_pruned_defaults: !old.iter().any(|schema| structural(schema) && has_unpruned_default(schema)),
        require_atomic_sets: !has(&|node| list_schema_rules::non_atomic_set(node, &nowhere).is_some()),
        require_list_keys: !has(&list_keys),
        known_expressions: known,
        suppress_rule_cost: false,
    }
}

fn has_unpruned_default(schema: &Schema) -> bool {
    schema.any(&mut |node| {
        let Some(default) = &node.default else { return false };
        let mut pruned = default.clone();
        super::prune::prune_value(&mut pruned, node, node.embedded_resource);
        pruned != *default
    })
}

fn unchanged_schemas(new: &Value, old: &Value) -> HashSet<String> {
    let old_schemas: HashMap<&str, Option<&Value>> =
        list(&old["spec"], "versions").iter().map(|version| (text(version, "name"), version.get("schema"))).collect();
    let same =
        |version: &&Value| old_schemas.get(text(version, "name")).is_some_and(|old| *old == version.get("schema"));
    list(&new["spec"], "versions").iter().filter(same).map(|version| text(version, "name").to_owned()).collect()
}

/// The name's own rule; other metadata is validated by the generic rules.
fn name_errors(crd: &Value) -> ErrorList {
    let name = text(&crd["metadata"], "name");
    let required = format!("{}.{}", text(&crd["spec"]["names"], "plural"), text(&crd["spec"], "group"));
    let mut faults = names::dns_subdomain(name);
    if name != required {
        faults.push("must be spec.names.plural+\".\"+spec.group".to_owned());
    }
    let path = Path::root("metadata").child("name");
    faults.into_iter().map(|fault| FieldError::invalid(&path, name, fault)).collect()
}

/// Whether a part of every version is the same, in which case it is reported once, at the spec.
fn identical<'a>(versions: &[Version<'a>], part: impl Fn(&'a Value) -> Option<&'a Value>) -> bool {
    let of = |version: &Version<'a>| part(version.value).filter(|value| !value.is_null());
    versions.windows(2).all(|pair| of(&pair[0]) == of(&pair[1]))
        && versions.first().is_some_and(|first| of(first).is_some())
}

fn group_error(group: &str, path: Path) -> Option<FieldError> {
    let faults = names::dns_subdomain(group);
    if group.is_empty() {
        return Some(FieldError::required(path, ""));
    }
    if !faults.is_empty() {
        return Some(FieldError::invalid(path, group, faults.join(",")));
    }
    (!group.contains('.')).then(|| FieldError::invalid(path, group, "should be a domain with at least one dot"))
}

fn spec_errors(
    crd: &Value,
    options: &Options,
    unchanged: &HashSet<String>,
    conversion: ConversionOptions,
) -> ErrorList {
    let spec = &crd["spec"];
    let path = Path::root("spec");
    let mut errors: ErrorList = group_error(text(spec, "group"), path.child("group")).into_iter().collect();
    errors.extend(enumeration(&path.child("scope"), text(spec, "scope"), &["Cluster", "Namespaced"]));
    let versions = versions(crd);
    for (index, _) in versions.iter().enumerate().filter(|(_, version)| version.schema.is_none()) {
        let field = path.child("versions").index(index).child("schema").child("openAPIV3Schema");
        errors.push(FieldError::required(field, ""));
    }
    let mut options = options.clone();
    let has = |predicate: fn(&Schema) -> bool| {
        versions
            .iter()
            .filter_map(|version| version.schema.as_ref())
            .any(|schema| schema.any(&mut |node| predicate(node)))
    };
    if has(|node| node.default.is_some()) {
        options.require_structural = true;
        if spec["preserveUnknownFields"] == true {
            let detail = "must be false in order to use defaults in the schema";
            errors.push(FieldError::invalid(path.child("preserveUnknownFields"), true, detail));
        }
    }
    if spec["preserveUnknownFields"] != true || has(has_extensions) {
        options.require_structural = true;
    }
    let options = &options;
    let shared = Shared::of(&versions);
    let mut seen = HashSet::new();
    for (index, version) in versions.iter().enumerate() {
        let version_path = path.child("versions").index(index);
        let faults = names::dns1035_label(version.name);
        if !faults.is_empty() {
            errors.push(FieldError::invalid(version_path.child("name"), version.name, faults.join(",")));
        }
        seen.insert(version.name);
        let options = for_version(options, unchanged, version.name);
        errors.extend(version_errors(version, &version_path, &shared, &options));
    }
    let versions_value = spec.get("versions").cloned().unwrap_or_default();
    if seen.len() != versions.len() {
        errors.push(FieldError::invalid(
            path.child("versions"),
            versions_value.clone(),
            "must contain unique version names",
        ));
    }
    if versions.iter().filter(|version| version.storage).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(path.child("versions"), versions_value, detail));
    }
    errors.extend(names_errors(&spec["names"], &path.child("names"), Required::Yes));
    if let Some(first) = versions.first() {
        errors.extend(shared_errors(&versions, first, &path, &shared, &for_version(options, unchanged, first.name)));
    }
    errors.extend(conversion_errors(spec, &path, conversion));
    errors
}

fn has_extensions(node: &Schema) -> bool {
    node.embedded_resource
        || node.preserve_unknown.is_some()
        || node.int_or_string
        || !node.list_map_keys.is_empty()
        || node.list_type.is_some()
        || !node.validations.is_empty()
}

fn for_version(options: &Options, unchanged: &HashSet<String>, name: &str) -> Options {
    Options { suppress_rule_cost: unchanged.contains(name), ..options.clone() }
}

/// Which parts all versions have in common; the internal form keeps those at the spec.
struct Shared {
    schema: bool,
    subresources: bool,
    columns: bool,
    selectable: bool,
}

impl Shared {
    fn of(versions: &[Version<'_>]) -> Self {
        Self {
            schema: identical(versions, |version| version.get("schema")),
            subresources: identical(versions, |version| version.get("subresources")),
            columns: identical(versions, |version| version.get("additionalPrinterColumns")),
            selectable: identical(versions, |version| version.get("selectableFields")),
        }
    }
}

fn has_status(version: &Value) -> bool {
    version.pointer("/subresources/status").is_some_and(Value::is_object)
}

fn version_errors(version: &Version<'_>, path: &Path, shared: &Shared, options: &Options) -> ErrorList {
    let value = version.value;
    let mut errors = deprecation_errors(value, &path.child("deprecationWarning"));
    if let Some(schema) = version.schema.as_ref().filter(|_| !shared.schema) {
        let source = schema_value(value).cloned().unwrap_or_default();
        errors.extend(schema_rules::validate(schema, &source, has_status(value), options, &path.child("schema")));
    }
    if !shared.subresources {
        errors.extend(subresource_errors(&value["subresources"], &path.child("subresources")));
    }
    if !shared.columns {
        errors.extend(column_errors(list(value, "additionalPrinterColumns"), path));
    }
    let fields = list(value, "selectableFields");
    if !shared.selectable && !fields.is_empty() {
        match version.schema.as_ref().filter(|_| !shared.schema) {
            None => {
                let detail = "may only be set when `version.schema.openAPIV3Schema` is not included";
                errors.push(FieldError::invalid(path.child("selectableFields"), "", detail));
            }
            Some(schema) => errors.extend(selectable_errors(fields, schema, path)),
        }
    }
    errors
}

fn shared_errors(
    versions: &[Version<'_>],
    first: &Version<'_>,
    path: &Path,
    shared: &Shared,
    options: &Options,
) -> ErrorList {
    let mut errors = Vec::new();
    if let Some(schema) = first.schema.as_ref().filter(|_| shared.schema) {
        let source = schema_value(first.value).cloned().unwrap_or_default();
        let status = versions.iter().any(|version| has_status(version.value));
        errors.extend(schema_rules::validate(schema, &source, status, options, &path.child("validation")));
    }
    if shared.subresources {
        errors.extend(subresource_errors(&first.value["subresources"], &path.child("subresources")));
    }
    if shared.columns {
        errors.extend(column_errors(list(first.value, "additionalPrinterColumns"), path));
    }
    let fields = list(first.value, "selectableFields");
    if shared.selectable && !fields.is_empty() {
        match first.schema.as_ref().filter(|_| shared.schema) {
            None => {
                let detail = "may only be set when validations.schema is included";
                errors.push(FieldError::invalid(path.child("selectableFields"), "", detail));
            }
            Some(schema) => errors.extend(selectable_errors(fields, schema, path)),
        }
    }
    errors
}

fn status_errors(crd: &Value) -> ErrorList {
    let path = Path::root("status").child("acceptedNames");
    names_errors(crd.pointer("/status/acceptedNames").unwrap_or(&Value::Null), &path, Required::No)
}

fn stored_version_errors(crd: &Value) -> ErrorList {
    let path = Path::root("status").child("storedVersions");
    let stored = crd.get("status").map(|status| list(status, "storedVersions")).unwrap_or_default();
    if stored.is_empty() {
        return vec![FieldError::invalid(path, Value::Array(Vec::new()), "must have at least one stored version")];
    }
    let versions = versions(crd);
    let mut errors = Vec::new();
    for (index, version) in versions.iter().enumerate().filter(|(_, version)| version.storage) {
        // A stored version is used up by the first version of its name.
        let repeated = versions[..index].iter().any(|earlier| earlier.name == version.name);
        if repeated || !stored.iter().any(|name| name == version.name) {
            let detail = format!("must have the storage version {}", version.name);
            errors.push(FieldError::invalid(&path, stored.to_vec(), detail));
        }
    }
    for (index, name) in stored.iter().enumerate() {
        let name = name.as_str().unwrap_or_default();
        if versions.iter().all(|version| version.name != name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            errors.push(FieldError::invalid(path.index(index), name, detail));
        }
    }
    errors
}

fn approval_error(new: &Value, old: Option<&Value>) -> Option<FieldError> {
    let (state, reason) = status::approval(new)?;
    if let Some((old_state, _)) = old.and_then(status::approval)
        && old_state == state
    {
        return None;
    }
    let path = Path::root("metadata").child("annotations").key(APPROVED_ANNOTATION);
    let annotations: Option<&Map<String, Value>> = new["metadata"]["annotations"].as_object();
    let value = annotations.and_then(|all| all.get(APPROVED_ANNOTATION)).and_then(Value::as_str).unwrap_or_default();
    match state {
        Approval::Invalid => Some(FieldError::invalid(path, value, reason)),
        Approval::Missing => Some(FieldError::required(path, reason)),
        Approval::Approved | Approval::Bypassed => None,
    }
}

fn preserve_error(new: &Value, old: Option<&Value>) -> Option<FieldError> {
    let preserves = |crd: &Value| crd["spec"]["preserveUnknownFields"] == true;
    if old.is_some_and(preserves) || !preserves(new) {
        return None;
    }
    let detail =
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    Some(FieldError::invalid(Path::root("spec").child("preserveUnknownFields"), true, detail))
}

/// Whether an approval annotation is a URL.
pub(super) fn is_approval_url(annotation: &str) -> bool {
    object_meta::is_absolute_url(annotation)
}
