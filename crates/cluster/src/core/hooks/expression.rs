//! Expressions of webhooks and policies: what they may name, and what they see.
//!
//! After `pkg/admission/plugin/cel` of `k8s.io/apiserver`. Objects are checked when an expression runs and not before,
//! as upstream does for them all but the types that a policy's status tells of.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Attributes, Invocation, Kind, Objects, review};
use crate::core::crd::cel::authorizer::{Check, Judge, Question};
use crate::core::crd::cel::eval::{self, Variables};
use crate::core::crd::cel::opaque::Opaque;
use crate::core::crd::cel::types::{ObjectType, Type};
use crate::core::crd::cel::value::{Fault, Outcome, Val, native_value};
use crate::core::crd::cel::{check, parser, plan};

pub use crate::core::crd::cel::plan::Plan;

/// What the expressions of one request, of a webhook's conditions and of a policy's validations may cost together.
pub const CONDITIONS_BUDGET: u64 = 2_500_000;
pub const POLICY_BUDGET: u64 = 10_000_000;

/// What an expression may name beside the object and the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Params {
    None,
    Given,
}

/// The names that every expression of admission may use.
pub fn names(params: Params) -> Vec<(String, Type)> {
    let mut names = vec![
        ("object".to_owned(), Type::Dyn),
        ("oldObject".to_owned(), Type::Dyn),
        ("namespaceObject".to_owned(), Type::Dyn),
        ("request".to_owned(), request_type()),
        ("authorizer".to_owned(), value_type("kubernetes.authorization.Authorizer")),
        ("authorizer.requestResource".to_owned(), value_type("kubernetes.authorization.ResourceCheck")),
    ];
    if params == Params::Given {
        names.push(("params".to_owned(), Type::Dyn));
    }
    names
}

fn value_type(name: &str) -> Type {
    Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields: None }))
}

/// A type whose fields are these.
pub fn object_type(name: &str, fields: impl IntoIterator<Item = (String, Type)>) -> Type {
    let fields: BTreeMap<String, Type> = fields.into_iter().collect();
    Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields: Some(fields) }))
}

fn request_type() -> Type {
    let texts = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), Type::Text)).collect::<Vec<_>>();
    let kind = object_type("kubernetes.GroupVersionKind", texts(&["group", "version", "kind"]));
    let resource = object_type("kubernetes.GroupVersionResource", texts(&["group", "version", "resource"]));
    let mut user = texts(&["username", "uid"]);
    user.push(("groups".to_owned(), Type::list(Type::Text)));
    user.push(("extra".to_owned(), Type::map(Type::Text, Type::list(Type::Text))));
    let mut fields = texts(&["subResource", "requestSubResource", "name", "namespace", "operation"]);
    fields.extend([
        ("kind".to_owned(), kind.clone()),
        ("requestKind".to_owned(), kind),
        ("resource".to_owned(), resource.clone()),
        ("requestResource".to_owned(), resource),
        ("userInfo".to_owned(), object_type("kubernetes.UserInfo", user)),
        ("dryRun".to_owned(), Type::Bool),
        ("options".to_owned(), Type::Dyn),
    ]);
    object_type("kubernetes.AdmissionRequest", fields)
}

/// A program with the type of what it gives.
///
/// # Errors
/// The faults of an expression, as cel-go renders them, or a type that is none of `wanted`.
pub fn compile(source: &str, names: &[(String, Type)], wanted: &[Type]) -> Result<(Plan, Type), String> {
    let failed = |issues: String| format!("compilation failed: {issues}");
    let names: Vec<(&str, Type)> = names.iter().map(|(name, kind)| (name.as_str(), kind.clone())).collect();
    let checked = check::check(parser::parse(source).map_err(failed)?, &names).map_err(failed)?;
    let kind = checked.type_of(&checked.root).clone();
    if !wanted.is_empty() && !wanted.contains(&kind) && kind != Type::Dyn {
        return Err(match wanted {
            [one] => format!("must evaluate to {one}"),
            many => {
                let many: Vec<String> = many.iter().map(ToString::to_string).collect();
                format!("must evaluate to one of [{}]", many.join(" "))
            }
        });
    }
    let program = plan::plan(&checked).map_err(|error| format!("program instantiation failed: {error}"))?;
    Ok((program, kind))
}

/// What an expression sees of one request.
#[derive(Clone)]
pub struct Seen<'a> {
    pub objects: Objects<'a>,
    /// [`request`].
    pub request: &'a Value,
    pub namespace: Option<&'a Value>,
    pub params: Option<&'a Value>,
    pub judge: Judge,
    pub attributes: &'a Attributes,
}

/// The variable `request`.
pub fn request(attributes: &Attributes, invocation: &Invocation, kind: &Kind) -> Value {
    let mut review = review::build("v1", "", attributes, invocation, kind, Objects::default());
    let mut request = review["request"].take();
    if let Some(fields) = request.as_object_mut() {
        for name in ["uid", "object", "oldObject"] {
            fields.remove(name);
        }
    }
    request
}

impl<'a> Seen<'a> {
    /// The variables by name.
    pub fn variables(&self) -> Vec<(&'a str, Outcome<Val<'a>>)> {
        let given = |value: Option<&'a Value>| Ok(value.map_or(Val::Null, native_value));
        let attributes = self.attributes;
        let question = Question {
            group: Some(attributes.resource.group.clone()),
            resource: Some(attributes.resource.plural.clone()),
            subresource: attributes.resource.subresource.clone(),
            namespace: attributes.namespace.clone(),
            name: attributes.name.clone(),
            ..Question::default()
        };
        let opaque = |check| Ok(Val::Opaque(Arc::new(Opaque::Authorizer(check))));
        vec![
            ("object", given(self.objects.new)),
            ("oldObject", given(self.objects.old)),
            ("namespaceObject", given(self.namespace)),
            ("params", given(self.params)),
            ("request", given(Some(self.request))),
            ("authorizer", opaque(Check::new(self.judge.clone()))),
            ("authorizer.requestResource", opaque(Check::of_resource(self.judge.clone(), question))),
        ]
    }
}

/// Runs a program; what it costs is taken from `budget`.
///
/// # Errors
/// The fault, in upstream's words.
pub fn run<'a>(
    source: &str,
    program: &Plan,
    variables: Vec<(&'a str, Outcome<Val<'a>>)>,
    budget: &mut u64,
) -> Outcome<Val<'a>> {
    let (outcome, cost) = eval::run(program, Variables::of(variables));
    match budget.checked_sub(cost) {
        Some(left) => *budget = left,
        None => {
            *budget = 0;
            return Err(Fault::new(
                "validation failed due to running out of cost budget, no further validation rules will be run",
            ));
        }
    }
    outcome.map_err(|fault| match fault {
        Fault::Limit => Fault::new(format!(
            "operation cancelled: actual cost limit exceeded: expression '{source}' resulted in error"
        )),
        Fault::Error(text) => Fault::new(format!("expression '{source}' resulted in error: {text}")),
    })
}
