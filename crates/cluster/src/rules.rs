//! What a kind decides, wherever its rules come from: built-in code, or a CustomResourceDefinition.
//!
//! The write path calls these in its order; each hands on to `core` and decides nothing itself.

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    core::{
        apply::ResetFields,
        crd::{self, CompiledVersion, conversion::Conversion, definition},
        field::ErrorList,
        kinds::{self, Context, versions},
        schema::{NodeId, Table},
        table::CrdColumns,
    },
    registry::{Rules, Served},
};

/// A served version of a CustomResourceDefinition, with all that is derived from its schema.
pub struct Custom {
    pub compiled: CompiledVersion,
    pub table: Table,
    pub node: NodeId,
    pub columns: CrdColumns,
    /// The schema has defaults, which an object that was stored before them gets when it is read.
    pub has_defaults: bool,
    /// How objects become those of another version.
    pub conversion: Conversion,
}

impl Custom {
    /// Compiles a version of a definition.
    ///
    /// # Errors
    /// When its schema is not structural.
    pub fn compile(definition: &Value, version: &str) -> Result<Self, crd::Error> {
        let compiled = CompiledVersion::compile(definition, version)?;
        let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
        let own = versions.into_iter().find(|one| one["name"] == version).unwrap_or(&Value::Null);
        let schema = &own["schema"]["openAPIV3Schema"];
        let preserves = definition["spec"]["preserveUnknownFields"] == true;
        let schema = if preserves { &Value::Null } else { schema };
        let table = Table::from_crd(schema, &compiled.group, &compiled.version, &compiled.kind);
        let node = table.kind(&compiled.group, &compiled.version, &compiled.kind).unwrap_or_default();
        let columns = CrdColumns::from_json(own.get("additionalPrinterColumns"));
        let has_defaults = mentions(schema, "default");
        let conversion = Conversion::of(definition);
        Ok(Self { compiled, table, node, columns, has_defaults, conversion })
    }
}

/// Whether a key stands anywhere in a value.
fn mentions(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(fields) => fields.contains_key(key) || fields.values().any(|field| mentions(field, key)),
        Value::Array(items) => items.iter().any(|item| mentions(item, key)),
        _ => false,
    }
}

impl Served {
    /// Whether this is the resource of CustomResourceDefinitions, whose rules stand on their own.
    pub fn is_definition(&self) -> bool {
        self.resource.kind == "CustomResourceDefinition" && self.resource.group == "apiextensions.k8s.io"
    }

    /// Rules of a built-in kind are those of the stored form, whichever version the request names.
    fn core_form<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        if self.is_stored_version() {
            Cow::Borrowed(object)
        } else {
            Cow::Owned(versions::to_stored(&self.resource, object))
        }
    }

    fn in_core_form(&self, object: &mut Value, change: impl FnOnce(&mut Value)) {
        if self.is_stored_version() {
            return change(object);
        }
        let mut stored = versions::to_stored(&self.resource, object);
        change(&mut stored);
        *object = versions::from_stored(&self.resource, &stored);
    }

    /// Fields that a write through `subresource` cannot own.
    pub fn reset_fields(&self, subresource: &str) -> ResetFields {
        match self.rules {
            Rules::Builtin => ResetFields::builtin(&self.resource.group, &self.resource.kind, subresource),
            Rules::Custom(_) => ResetFields::custom(subresource),
        }
    }

    /// Sets what an object leaves open.
    pub fn default(&self, object: &mut Value) {
        match &self.rules {
            Rules::Builtin if self.is_definition() => definition::default(object),
            Rules::Builtin => self.in_core_form(object, |object| kinds::defaults(&self.resource, object)),
            Rules::Custom(custom) => custom.compiled.default(object),
        }
    }

    /// Makes a new object ready to be validated.
    pub fn prepare_create(&self, object: &mut Value, ctx: &Context<'_>) {
        match &self.rules {
            Rules::Builtin if self.is_definition() => definition::prepare_create(object),
            Rules::Builtin => self.in_core_form(object, |object| kinds::prepare_create(&self.resource, object, ctx)),
            Rules::Custom(custom) => custom.compiled.prepare_create(object),
        }
    }

    /// Makes a changed object ready to be validated.
    pub fn prepare_update(&self, subresource: &str, new: &mut Value, old: &Value, ctx: &Context<'_>) {
        match (&self.rules, subresource) {
            (Rules::Builtin, "") if self.is_definition() => definition::prepare_update(new, old),
            (Rules::Builtin, "status") if self.is_definition() => {
                let status = new.get("status").cloned().unwrap_or_default();
                let metadata = new.get("metadata").cloned().unwrap_or_default();
                new.clone_from(old);
                new["status"] = status;
                new["metadata"]["resourceVersion"] = metadata["resourceVersion"].clone();
                new["metadata"]["managedFields"] = metadata["managedFields"].clone();
            }
            (Rules::Builtin, "scale") => kinds::prepare_update(&self.resource, "", new, old, ctx),
            (Rules::Builtin, _) => kinds::prepare_update(&self.resource, subresource, new, old, ctx),
            (Rules::Custom(custom), "status") => custom.compiled.prepare_status_update(new, old),
            (Rules::Custom(custom), _) => custom.compiled.prepare_update(new, old),
        }
    }

    /// The faults of a new object.
    pub fn validate_create(&self, object: &Value) -> ErrorList {
        let mut errors = kinds::validate_create(&self.resource, &self.core_form(object));
        match &self.rules {
            Rules::Builtin if self.is_definition() => errors.extend(definition::validate(object)),
            Rules::Builtin => {}
            Rules::Custom(custom) => errors.extend(custom.compiled.validate(object, None)),
        }
        errors
    }

    /// The faults of a change from `old` to `new` through `subresource`.
    pub fn validate_update(&self, subresource: &str, new: &Value, old: &Value) -> ErrorList {
        let part = if subresource == "scale" { "" } else { subresource };
        let (shown, before) = (self.core_form(new), self.core_form(old));
        let mut errors = kinds::validate_update(&self.resource, part, &shown, &before);
        match (&self.rules, part) {
            (Rules::Builtin, "") if self.is_definition() => errors.extend(definition::validate_update(new, old)),
            (Rules::Builtin, _) if self.is_definition() => errors.extend(definition::validate_status_update(new)),
            (Rules::Builtin, _) => {}
            (Rules::Custom(custom), "status") => errors.extend(custom.compiled.validate_status(new, old)),
            (Rules::Custom(custom), _) => errors.extend(custom.compiled.validate(new, Some(old))),
        }
        errors
    }

    /// The warning that every request of a deprecated version gets.
    pub fn deprecation(&self) -> Option<&str> {
        match &self.rules {
            Rules::Builtin => kinds::deprecation(&self.resource),
            Rules::Custom(custom) => custom.compiled.deprecation_warning.as_deref(),
        }
    }

    /// Warnings about an accepted object.
    pub fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        match &self.rules {
            Rules::Builtin if self.is_definition() => definition::warnings(object, old),
            Rules::Builtin => kinds::warnings(&self.resource, object, old),
            Rules::Custom(custom) => custom.compiled.finalizer_warnings(object, old),
        }
    }
}
