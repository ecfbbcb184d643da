//! One version of a definition, made ready for its objects.
//!
//! Answers pruning, defaulting, validation, scale and conversion of custom resources. It holds no
//! object and no state.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value, json};

use super::cel::rules::{Budget, Validator};
use super::correlate::Correlation;
use super::definition::schema_value;
use super::go;
use super::list_type;
use super::object_meta::{self, Malformed};
use super::prune;
use super::scale::ScalePaths;
use super::structural::Schema;
use super::structural_rules;
use super::validate::{self, NO_PATH, Reading};
use crate::core::discovery::compare_versions;
use crate::core::field::{ErrorKind, ErrorList, FieldError, Path};
use crate::core::schema::Table;

/// Why a version cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The definition has no such version, or does not serve it.
    NoVersion(String),
    /// The schema is not structural, which no definition of `v1` is created with.
    NotStructural(String),
    /// The definition converts by a webhook, which this server does not call.
    WebhookConversion { from: String, to: String },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVersion(version) => write!(f, "version {version} is not in the definition"),
            Self::NotStructural(reason) => write!(f, "the schema is not structural: {reason}"),
            Self::WebhookConversion { from, to } => {
                write!(
                    f,
                    "conversion from {from} to {to} needs a webhook, which this server does not call; use strategy None"
                )
            }
        }
    }
}

impl std::error::Error for Error {}

/// A column of `kubectl get`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrinterColumn {
    pub name: String,
    pub kind: String,
    pub format: String,
    pub description: String,
    pub priority: i64,
    pub json_path: String,
}

/// A version of a definition, compiled.
#[derive(Debug)]
pub struct CompiledVersion {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub namespaced: bool,
    /// Status is a subresource of its own.
    pub status_subresource: bool,
    pub scale: Option<ScalePaths>,
    pub printer_columns: Vec<PrinterColumn>,
    /// Without the leading dot: `spec.color`.
    pub selectable_fields: Vec<String>,
    /// A warning for every request, where the version is deprecated.
    pub deprecation_warning: Option<String>,
    schema: Schema,
    table: Table,
    preserve_unknown_fields: bool,
    rules: Option<Validator>,
    webhook_conversion: bool,
}

impl CompiledVersion {
    /// Compiles a version.
    ///
    /// # Errors
    /// [`Error::NoVersion`] and [`Error::NotStructural`].
    pub fn compile(crd: &Value, version: &str) -> Result<Self, Error> {
        let spec = &crd["spec"];
        let versions = spec.get("versions").and_then(Value::as_array);
        let found = versions.into_iter().flatten().find(|candidate| candidate["name"] == version);
        let value = found.ok_or_else(|| Error::NoVersion(version.to_owned()))?;
        let schema = schema_value(value).map(Schema::from_value).unwrap_or_default();
        if let Some(error) = schema.structural_error() {
            return Err(Error::NotStructural(error.to_owned()));
        }
        let preserve_unknown_fields = spec["preserveUnknownFields"] == true;
        let faults = structural_rules::validate(&schema, &Path::root("schema"));
        if let Some(fault) = faults.first().filter(|_| !preserve_unknown_fields && schema_value(value).is_some()) {
            return Err(Error::NotStructural(fault.to_string()));
        }
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let group = text(spec, "group");
        let kind = text(&spec["names"], "kind");
        Ok(Self {
            table: Table::from_crd(schema_value(value).unwrap_or(&Value::Null), &group, version, &kind),
            rules: Validator::new(&schema, true),
            deprecation_warning: deprecation(value, spec, &group, &kind),
            namespaced: spec["scope"] == "Namespaced",
            status_subresource: value.pointer("/subresources/status").is_some_and(Value::is_object),
            scale: ScalePaths::of(value),
            printer_columns: printer_columns(value),
            selectable_fields: super::rows::selectable_fields(value),
            webhook_conversion: spec.pointer("/conversion/strategy").is_some_and(|strategy| strategy == "Webhook"),
            version: version.to_owned(),
            schema,
            preserve_unknown_fields,
            group,
            kind,
        })
    }

    /// `stable.example.com/v1`.
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    /// The shape of the kind, for server-side apply and the OpenAPI documents.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The structural schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Removes unknown fields and nulls, decodes metadata; returns the paths of what it removed, of
    /// which the server makes `unknown field "…"`.
    ///
    /// # Errors
    /// Metadata of the wrong type; the text goes into a bad request.
    pub fn prune(&self, object: &mut Value) -> Result<Vec<String>, String> {
        let Some(fields) = object.as_object_mut() else { return Err("object is not a JSON object".to_owned()) };
        let mut unknown = object_meta::decode(fields, "", Malformed::Refuse)?;
        let metadata = fields.remove("metadata");
        if !self.preserve_unknown_fields {
            unknown.extend(prune::prune(object, &self.schema));
            prune::prune_nulls(object, Some(&self.schema));
        }
        let root = Path::root("");
        let coerced = object_meta::coerce(object, &self.schema, &root, false, Malformed::Refuse);
        unknown.extend(coerced.map_err(|error| error.to_string())?);
        if let (Some(fields), Some(metadata)) = (object.as_object_mut(), metadata) {
            fields.insert("metadata".to_owned(), metadata);
        }
        Ok(unknown)
    }

    /// Makes a stored object one of this version: converted, pruned, with defaults. Metadata of embedded
    /// resources that does not decode is dropped, because what is stored must stay readable.
    ///
    /// # Errors
    /// [`Error::WebhookConversion`].
    pub fn read(&self, object: &mut Value) -> Result<(), Error> {
        self.convert(object)?;
        self.default(object);
        if !self.preserve_unknown_fields {
            prune::prune(object, &self.schema);
            prune::prune_nulls(object, Some(&self.schema));
        }
        // Nothing is refused where malformed metadata is dropped.
        let _ = object_meta::coerce(object, &self.schema, &Path::root(""), false, Malformed::Drop);
        if object.pointer("/metadata/generation").is_none() && object["metadata"].is_object() {
            object["metadata"]["generation"] = json!(1);
        }
        Ok(())
    }

    /// The paths that [`prune`](Self::prune) would remove.
    pub fn unknown_fields(&self, object: &Value) -> Vec<String> {
        self.prune(&mut object.clone()).unwrap_or_default()
    }

    /// Fills in defaults.
    pub fn default(&self, object: &mut Value) {
        prune::default(object, &self.schema);
    }

    /// What a create resets: the status where it is a subresource, and the generation.
    pub fn prepare_create(&self, object: &mut Value) {
        if self.status_subresource
            && let Some(fields) = object.as_object_mut()
        {
            fields.remove("status");
        }
        object["metadata"]["generation"] = json!(1);
    }

    /// What an update resets: the status where it is a subresource; a change of anything but metadata
    /// makes a new generation.
    pub fn prepare_update(&self, object: &mut Value, old: &Value) {
        if self.status_subresource
            && let Some(fields) = object.as_object_mut()
        {
            match old.get("status") {
                Some(status) => fields.insert("status".to_owned(), status.clone()),
                None => fields.remove("status"),
            };
        }
        if without_metadata(object) != without_metadata(old) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
            object["metadata"]["generation"] = json!(generation + 1);
        }
    }

    /// What a write of the status keeps: everything but the status and the managed fields.
    pub fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        let status = object.get("status").cloned();
        let managed = object.pointer("/metadata/managedFields").cloned();
        *object = old.clone();
        let Some(fields) = object.as_object_mut() else { return };
        match status {
            Some(status) => fields.insert("status".to_owned(), status),
            None => fields.remove("status"),
        };
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            match managed {
                Some(managed) => metadata.insert("managedFields".to_owned(), managed),
                None => metadata.remove("managedFields"),
            };
        }
    }

    /// Validates a new object, or a changed one against what it was. The object's own metadata is
    /// validated by the generic rules, before.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> ErrorList {
        let mut errors = self.type_errors(object);
        if !errors.is_empty() {
            return errors;
        }
        let correlation = old.map(|old| Correlation { new: object, old: Some(old), schema: &self.schema });
        errors.extend(validate::validate(object, &self.schema, "", correlation, Reading::Served));
        if let Some(scale) = &self.scale {
            errors.extend(scale.validate_spec(object));
            errors.extend(scale.validate_status(object));
        }
        let root = Path::root("");
        errors.extend(object_meta::validate(object, &self.schema, &root, false, super::embedded_metadata));
        if old.is_none_or(|old| list_type::validate(old, &self.schema).is_empty()) {
            errors.extend(list_type::validate(object, &self.schema));
        }
        self.run_rules(object, old, &mut errors);
        errors
    }

    /// Validates a write of the status.
    pub fn validate_status(&self, object: &Value, old: &Value) -> ErrorList {
        let mut errors = self.type_errors(object);
        if !errors.is_empty() {
            return errors;
        }
        let status_schema = self.schema.properties.get("status");
        if let (Some(status), Some(schema)) = (object.get("status"), status_schema) {
            let correlation = Correlation { new: status, old: old.get("status"), schema };
            errors.extend(validate::validate(status, schema, "status", Some(correlation), Reading::Served));
        }
        if let Some(scale) = &self.scale {
            errors.extend(scale.validate_status(object));
        }
        if list_type::validate(old, &self.schema).is_empty() {
            errors.extend(list_type::validate(object, &self.schema));
        }
        self.run_rules(object, Some(old), &mut errors);
        errors
    }

    fn type_errors(&self, object: &Value) -> ErrorList {
        let mut errors = Vec::new();
        for (key, expected) in [("kind", self.kind.clone()), ("apiVersion", self.api_version())] {
            let found = object.get(key).and_then(Value::as_str).unwrap_or_default();
            if found != expected {
                errors.push(FieldError::invalid(Path::root(key), found, format!("must be {expected}")));
            }
        }
        errors
    }

    fn run_rules(&self, object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        let Some(rules) = &self.rules else { return };
        let blocking = |error: &FieldError| {
            matches!(
                error.kind,
                ErrorKind::NotSupported
                    | ErrorKind::Required
                    | ErrorKind::TooLong
                    | ErrorKind::TooMany
                    | ErrorKind::TypeInvalid
            )
        };
        if errors.iter().any(blocking) {
            errors.push(FieldError {
                kind: ErrorKind::Invalid,
                field: NO_PATH.to_owned(),
                bad_value: Some(Value::Null),
                detail: "some validation rules were not checked because the object was invalid; correct the existing \
                         errors to complete validation"
                    .to_owned(),
            });
            return;
        }
        let correlation = old.map(|old| Correlation { new: object, old: Some(old), schema: &self.schema });
        let mut budget = Budget::per_request();
        errors.extend(rules.validate(&Path::root(""), object, old, correlation, &mut budget));
    }

    /// Warnings about finalizers that a write adds.
    pub fn finalizer_warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let of = |object: &Value| -> BTreeSet<String> {
            let items = object.pointer("/metadata/finalizers").and_then(Value::as_array);
            items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let known = old.map(of).unwrap_or_default();
        of(object).difference(&known).flat_map(|name| finalizer_warnings(name)).collect()
    }

    /// The values of the selectable fields, by name.
    pub fn selectable_values(&self, object: &Value) -> Vec<(String, String)> {
        let text = |path: &String| {
            let found = path.split('.').try_fold(object, |value, step| value.get(step));
            let shown = match found {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) => match go::of(number) {
                    go::Go::Int(whole) => whole.to_string(),
                    go::Go::Float(float) => go::float(float),
                },
                Some(other) => other.to_string(),
            };
            (path.clone(), shown)
        };
        self.selectable_fields.iter().map(text).collect()
    }

    /// Changes an object of another version of the same definition into one of this version.
    ///
    /// # Errors
    /// [`Error::WebhookConversion`].
    pub fn convert(&self, object: &mut Value) -> Result<(), Error> {
        let to = self.api_version();
        let from = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
        if from == to {
            return Ok(());
        }
        if self.webhook_conversion {
            return Err(Error::WebhookConversion { from, to });
        }
        object["apiVersion"] = Value::from(to);
        Ok(())
    }
}

fn without_metadata(object: &Value) -> Map<String, Value> {
    let mut fields = object.as_object().cloned().unwrap_or_default();
    fields.remove("metadata");
    fields
}

fn finalizer_warnings(name: &str) -> Vec<String> {
    let shown = go::quote(name);
    let mut warnings: Vec<String> = crate::core::kinds::names::qualified_name(name)
        .into_iter()
        .map(|fault| format!("metadata.finalizers: {shown}: {fault}"))
        .collect();
    if !name.contains('/') && !matches!(name, "orphan" | "foregroundDeletion" | "kubernetes") {
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        warnings.push(format!(
            "metadata.finalizers: {shown}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts \
             with other finalizer writers"
        ));
    }
    warnings
}

fn printer_columns(version: &Value) -> Vec<PrinterColumn> {
    let columns = version.get("additionalPrinterColumns").and_then(Value::as_array);
    let text = |column: &Value, key: &str| column.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let read = |column: &Value| PrinterColumn {
        name: text(column, "name"),
        kind: text(column, "type"),
        format: text(column, "format"),
        description: text(column, "description"),
        priority: column.get("priority").and_then(Value::as_i64).unwrap_or_default(),
        json_path: text(column, "jsonPath"),
    };
    let found: Vec<PrinterColumn> = columns.into_iter().flatten().map(read).collect();
    if !found.is_empty() {
        return found;
    }
    vec![PrinterColumn {
        name: "Age".to_owned(),
        kind: "date".to_owned(),
        format: String::new(),
        description: "CreationTimestamp is a timestamp representing the server time when this object was created. It is \
                      not guaranteed to be set in happens-before order across separate operations. Clients may not set \
                      this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. \
                      Null for lists. More info: \
                      https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
            .to_owned(),
        priority: 0,
        json_path: ".metadata.creationTimestamp".to_owned(),
    }]
}

fn deprecation(version: &Value, spec: &Value, group: &str, kind: &str) -> Option<String> {
    if version["deprecated"] != true {
        return None;
    }
    if let Some(given) = version.get("deprecationWarning").and_then(Value::as_str) {
        return Some(given.to_owned());
    }
    let name = version["name"].as_str().unwrap_or_default();
    let versions = spec["versions"].as_array().into_iter().flatten();
    let newer = versions
        .filter(|other| other["served"] == true && other["deprecated"] != true)
        .filter_map(|other| other["name"].as_str())
        .filter(|other| compare_versions(other, name).is_lt())
        .min_by(|left, right| compare_versions(left, right));
    let instead = newer.map(|newer| format!("; use {group}/{newer} {kind}")).unwrap_or_default();
    Some(format!("{group}/{name} {kind} is deprecated{instead}"))
}
