//! What a strategy is: the row of a kind in the table of [`super::table`].

use serde_json::Value;

use super::meta::MetaRules;
use super::names;
use super::value::{get, text};
use crate::core::field::ErrorList;

/// What a write brings along beside the object.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub now: jiff::Timestamp,
    /// Who writes: `username`, `uid`, `groups`, `extra`.
    pub user: Option<&'a Value>,
}

impl Context<'_> {
    /// The time as `metav1.Time` prints it: RFC 3339, whole seconds, UTC.
    pub fn now_text(&self) -> String {
        let seconds = jiff::Timestamp::from_second(self.now.as_second()).unwrap_or(self.now);
        seconds.to_string()
    }
}

/// Sets what a new object, or one read from a client, leaves open.
pub type Default = fn(&mut Value);
/// Makes a new object ready to be checked.
pub type Prepare = fn(&mut Value, &Context);
/// Makes a changed object ready to be checked: new, old.
pub type PrepareUpdate = fn(&mut Value, &Value, &Context);
/// Checks an object by itself.
pub type Validate = fn(&Value, &mut ErrorList);
/// Checks a changed object: new, old.
pub type ValidateUpdate = fn(&Value, &Value, &mut ErrorList);
/// Warns of a new (`None`) or changed (`Some(old)`) object.
pub type Warn = fn(&Value, Option<&Value>, &mut Vec<String>);

/// One step of a validation; errors come in the order of steps, as upstream's do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Metadata by itself.
    Meta,
    /// Metadata against the old.
    MetaUpdate,
    /// The object by itself.
    Object,
    /// The object against the old.
    Change,
    /// As [`Step::Object`], for kinds that are milder on update.
    ObjectOnUpdate,
}

/// When an update counts a new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bump {
    Never,
    /// When the named top-level field has changed.
    Field(&'static str),
    /// The kind's own preparation does it.
    Own,
}

/// What a write of the status keeps and checks.
#[derive(Clone, Copy)]
pub struct Status {
    pub prepare: PrepareUpdate,
    pub validate: ValidateUpdate,
    /// Steps of its validation; [`Step::Change`] is `validate`.
    pub steps: &'static [Step],
    /// What the status of a new object is; `None` leaves it to the kind's own preparation.
    pub empty: Option<&'static str>,
}

/// How a kind behaves.
#[derive(Clone, Copy)]
pub struct Strategy {
    pub group: &'static str,
    pub kind: &'static str,
    pub meta: MetaRules,
    /// Whether the kind's own validation checks metadata; else only the general rules do.
    pub checks_meta: bool,
    /// New objects start with generation 1.
    pub generation: bool,
    pub bump: Bump,
    /// A PUT may create.
    pub create_on_update: bool,
    /// A PUT needs no resource version.
    pub unconditional_update: bool,
    pub default: Default,
    pub prepare: Prepare,
    pub prepare_update: PrepareUpdate,
    pub validate: Validate,
    pub validate_update: ValidateUpdate,
    pub validate_on_update: ValidateUpdate,
    pub update_steps: &'static [Step],
    pub warn: Warn,
    pub status: Option<Status>,
}

/// Nothing to set.
pub fn no_default(_: &mut Value) {}
/// Nothing to prepare.
pub fn no_prepare(_: &mut Value, _: &Context) {}
/// Nothing to check.
pub fn no_validate(_: &Value, _: &mut ErrorList) {}
/// Nothing to check against the old.
pub fn no_validate_update(_: &Value, _: &Value, _: &mut ErrorList) {}
/// Nothing to warn of.
pub fn no_warn(_: &Value, _: Option<&Value>, _: &mut Vec<String>) {}
/// Nothing to prepare on update.
pub fn no_prepare_update(_: &mut Value, _: &Value, _: &Context) {}

/// Keeps the status, as most kinds with one do when the whole object is written.
pub fn keep_status(new: &mut Value, old: &Value, _: &Context) {
    super::value::keep(new, old, "status");
}

/// Keeps the specification, as most kinds do when the status is written.
pub fn keep_spec(new: &mut Value, old: &Value, _: &Context) {
    super::value::keep(new, old, "spec");
}

/// Warns of a name that cannot be a host name.
pub fn warn_host_name(object: &Value, used_in: &str, warnings: &mut Vec<String>) {
    let faults = names::dns_label(text(get(object, "metadata"), "name"));
    if !faults.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in {used_in}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            faults.join(" ")
        ));
    }
}
