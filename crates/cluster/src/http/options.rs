//! Query parameters of a request, read once. Unknown ones are ignored, as upstream does.

use std::time::Duration;

use crate::core::{
    field::FieldError,
    path,
    status::{Failure, Outcome},
};

/// What happens to fields that the kind does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    /// The default: they are dropped and told in `Warning` headers.
    #[default]
    Warn,
    Strict,
}

/// `resourceVersionMatch` of a list or watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    Exact,
    NotOlderThan,
}

/// All parameters that any verb knows.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub dry_run: bool,
    /// A `dryRun` that is none: a fault only where something is written.
    pub bad_dry_run: Option<FieldError>,
    pub field_manager: Option<String>,
    pub field_validation: FieldValidation,
    /// A `fieldValidation` that is none: a fault only where something is written.
    pub bad_validation: Option<FieldError>,
    pub force: Option<bool>,
    pub pretty: bool,
    pub watch: bool,
    pub label_selector: String,
    pub field_selector: String,
    /// `None` when unset or empty; `0` means any.
    pub resource_version: Option<u64>,
    /// A `resourceVersion` that is no number: what it is refused with depends on the verb.
    pub bad_version: Option<Box<Failure>>,
    pub version_match: Option<VersionMatch>,
    pub limit: Option<usize>,
    pub continue_token: Option<String>,
    pub timeout: Option<Duration>,
    pub bookmarks: bool,
    pub send_initial_events: Option<bool>,
    /// `None|Metadata|Object` of a Table request.
    pub include_object: Option<String>,
    pub grace_period_seconds: Option<i64>,
    pub propagation_policy: Option<String>,
    pub orphan_dependents: Option<bool>,
    /// All pairs, for subresources with parameters of their own.
    pub pairs: Vec<(String, String)>,
}

impl Options {
    /// Reads a query string.
    ///
    /// # Errors
    /// 400 for a parameter that cannot be read, naming it.
    pub fn parse(query: &str) -> Outcome<Self> {
        let pairs = path::query(query).map_err(|error| Failure::bad_request(error.to_string()))?;
        let mut options = Self::default();
        for (name, value) in &pairs {
            options.set(name, value)?;
        }
        options.pairs = pairs;
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Outcome<()> {
        match name {
            "dryRun" if value == "All" => self.dry_run = true,
            "dryRun" if !value.is_empty() => {
                self.bad_dry_run = Some(FieldError::not_supported("dryRun", vec![value], &["All"]));
            }
            "fieldManager" if !value.is_empty() => self.field_manager = Some(value.to_owned()),
            "fieldValidation" if !value.is_empty() => match field_validation(value) {
                Ok(validation) => self.field_validation = validation,
                Err(error) => self.bad_validation = Some(error),
            },
            "force" => self.force = Some(boolean(name, value)?),
            "pretty" => self.pretty = boolean(name, value)?,
            "watch" => self.watch = boolean(name, value)?,
            "labelSelector" => value.clone_into(&mut self.label_selector),
            "fieldSelector" => value.clone_into(&mut self.field_selector),
            "resourceVersion" if !value.is_empty() => match version(value) {
                Ok(version) => self.resource_version = Some(version),
                Err(failure) => self.bad_version = Some(failure),
            },
            "resourceVersionMatch" if !value.is_empty() => self.version_match = Some(version_match(value)?),
            "limit" if !value.is_empty() => {
                let limit = number(value)?;
                self.limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
            }
            "continue" if !value.is_empty() => self.continue_token = Some(value.to_owned()),
            "timeoutSeconds" if !value.is_empty() => {
                let seconds = number(value)?;
                self.timeout = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
            }
            "allowWatchBookmarks" => self.bookmarks = boolean(name, value)?,
            "sendInitialEvents" if !value.is_empty() => self.send_initial_events = Some(boolean(name, value)?),
            "includeObject" if !value.is_empty() => self.include_object = Some(value.to_owned()),
            "gracePeriodSeconds" if !value.is_empty() => self.grace_period_seconds = Some(number(value)?),
            "propagationPolicy" if !value.is_empty() => self.propagation_policy = Some(value.to_owned()),
            "orphanDependents" if !value.is_empty() => self.orphan_dependents = Some(boolean(name, value)?),
            _ => {}
        }
        Ok(())
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Whether a boolean parameter is given as true.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| boolean(name, value).unwrap_or(false))
    }
}

fn number(value: &str) -> Outcome<i64> {
    value.parse().map_err(|_| Failure::bad_request(parse_fault("ParseInt", value)))
}

/// What Go says of a text that is no number, or none that it can hold.
pub fn parse_fault(function: &str, value: &str) -> String {
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let why =
        if is_number && (function == "ParseInt" || digits == value) { "value out of range" } else { "invalid syntax" };
    format!("strconv.{function}: parsing {value:?}: {why}")
}

/// Booleans as Go's query conversion reads them: empty, `1` and anything but `0` and `false` is true.
fn boolean(_name: &str, value: &str) -> Outcome<bool> {
    Ok(!matches!(value.to_ascii_lowercase().as_str(), "0" | "false"))
}

fn field_validation(value: &str) -> Result<FieldValidation, FieldError> {
    match value {
        "Ignore" => Ok(FieldValidation::Ignore),
        "Warn" => Ok(FieldValidation::Warn),
        "Strict" => Ok(FieldValidation::Strict),
        _ => Err(FieldError::not_supported("fieldValidation", value, &["", "Ignore", "Strict", "Warn"])),
    }
}

/// Reads a resourceVersion.
///
/// # Errors
/// 400 in upstream's words.
pub fn version(value: &str) -> Outcome<u64> {
    value.parse().map_err(|_| {
        let fault = parse_fault("ParseUint", value);
        Failure::bad_request(format!("resourceVersion: Invalid value: {value:?}: {fault}"))
    })
}

fn version_match(value: &str) -> Outcome<VersionMatch> {
    match value {
        "Exact" => Ok(VersionMatch::Exact),
        "NotOlderThan" => Ok(VersionMatch::NotOlderThan),
        _ => Err(list_option(FieldError::not_supported("resourceVersionMatch", value, &["Exact", "NotOlderThan", ""]))),
    }
}

/// 422 about a field of `ListOptions`.
pub fn list_option(error: FieldError) -> Box<Failure> {
    Failure::invalid("meta.k8s.io", "ListOptions", "", &vec![error])
}
