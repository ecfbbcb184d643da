//! Admission webhooks and policies in the path of a request: who is asked, in which order, and what follows.
//!
//! No lock is held and nothing is reserved in the store while somebody is asked: the object that comes out is written on
//! the condition that the old one still stands, and everybody is asked again where it does not.

mod ask;
pub mod client;
pub mod connect;
mod policies;
mod rounds;

use std::sync::{Arc, OnceLock};

use ferroflow_platform::identity::Identity;
use serde_json::{Map, Value, json};

use super::{server::Api, write::Request};
use crate::{
    core::{
        admission::{Lookup, Operation},
        crd::cel::authorizer::{Decision, Judge, Question},
        deletion::DeleteOptions,
        hooks::{Attributes, GROUP, Kind, rules::Resource},
        rbac,
        status::Outcome,
    },
    registry::Served,
};

pub use rounds::Rounds;

/// What is asked about: a request, without its object.
pub struct Matter<'a> {
    api: &'a Api,
    served: Arc<Served>,
    attributes: Attributes,
    form: Form,
    identity: &'a Identity,
    /// The name was made up by the server, and the object's creation is under way: webhooks that complete it see
    /// neither.
    is_generated: bool,
    /// Other resources that stand for the same objects.
    equivalents: OnceLock<Vec<Arc<Served>>>,
}

/// What the object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One of the resource: it has other versions, and what a webhook makes of it is decoded again.
    Whole,
    /// Something that is sent to the resource: a scale, a binding, the options of a command.
    Part,
}

impl<'a> Matter<'a> {
    fn new(request: &'a Request<'_>, operation: Operation, kind: Option<Kind>, options: Value) -> Self {
        let row = &request.served.resource;
        let is_namespace = row.storage == "namespaces";
        let namespace = if is_namespace { &request.name } else { &request.namespace };
        let form = if kind.is_some() { Form::Part } else { Form::Whole };
        let attributes = Attributes {
            operation,
            resource: Resource {
                group: row.group.clone(),
                version: row.version.clone(),
                plural: row.plural.clone(),
                subresource: request.subresource.clone(),
            },
            kind: kind.unwrap_or_else(|| Kind {
                group: row.group.clone(),
                version: row.version.clone(),
                kind: row.kind.clone(),
            }),
            namespace: if row.namespaced() || is_namespace { namespace.clone() } else { String::new() },
            name: request.name.clone(),
            options,
            dry_run: request.options.dry_run,
            user: request.user(),
        };
        Self {
            api: request.api,
            served: request.served.clone(),
            attributes,
            form,
            identity: &request.identity,
            is_generated: request.has_generated_name,
            equivalents: OnceLock::new(),
        }
    }

    /// A write of an object.
    pub fn of_object(request: &'a Request<'_>, operation: Operation) -> Self {
        Self::new(request, operation, None, write_options(request, operation))
    }

    /// A write of an object that may still be completed: a name that the server makes up is not there yet.
    pub fn of_incomplete(request: &'a Request<'_>, operation: Operation) -> Self {
        let mut matter = Self::of_object(request, operation);
        if matter.is_generated && operation == Operation::Create {
            matter.attributes.name.clear();
            if request.served.resource.storage == "namespaces" {
                matter.attributes.namespace.clear();
            }
        }
        matter
    }

    /// A deletion.
    pub fn of_deletion(request: &'a Request<'_>, options: &DeleteOptions) -> Self {
        Self::new(request, Operation::Delete, None, delete_options(options, request.options.dry_run))
    }

    /// A write of something that is not stored as it is: a scale, a binding, an eviction, a review.
    pub fn of_part(request: &'a Request<'_>, operation: Operation, kind: Kind) -> Self {
        Self::new(request, operation, Some(kind), write_options(request, operation))
    }

    /// The beginning of a command, a stream or a proxied request.
    pub fn of_connection(request: &'a Request<'_>, kind: Kind) -> Self {
        Self::new(request, Operation::Connect, Some(kind), Value::Null)
    }

    /// The configurations of a sort, in the order of their names.
    fn configurations(&self, plural: &str) -> Vec<Arc<Value>> {
        if self.attributes.is_exempt() { Vec::new() } else { self.api.lookup.list(GROUP, plural, "") }
    }

    /// The resources of other versions that show the same objects, and have the same subresource.
    fn equivalents(&self) -> &[Arc<Served>] {
        self.equivalents.get_or_init(|| {
            let (own, subresource) = (&self.served.resource, &self.attributes.resource.subresource);
            let has = |served: &Served| subresource.is_empty() || served.resource.subresource(subresource).is_some();
            let all = self.api.registry.all().into_iter();
            all.filter(|served| {
                let row = &served.resource;
                row.stored() && row.storage == own.storage && row.api_version() != own.api_version() && has(served)
            })
            .collect()
        })
    }

    /// The resource of an equivalent as rules name it.
    fn resource_of(&self, served: &Served) -> Resource {
        let row = &served.resource;
        Resource {
            group: row.group.clone(),
            version: row.version.clone(),
            plural: row.plural.clone(),
            subresource: self.attributes.resource.subresource.clone(),
        }
    }

    /// Who decides for the variable `authorizer`.
    fn judge_of_rights(&self) -> Judge {
        let (lookup, identity) = (self.api.lookup.clone(), self.identity.clone());
        Arc::new(move |question: &Question| {
            let account = question.account.as_ref();
            let account = account.map(|(namespace, name)| Identity::service_account(namespace, name, ""));
            let who = account.as_ref().unwrap_or(&identity);
            let user = rbac::User { name: &who.name, groups: &who.groups };
            let attributes = match &question.path {
                Some(path) => rbac::Attributes::Path { verb: &question.verb, path },
                None => rbac::Attributes::Resource {
                    verb: &question.verb,
                    group: question.group.as_deref().unwrap_or_default(),
                    resource: question.resource.as_deref().unwrap_or_default(),
                    subresource: &question.subresource,
                    namespace: &question.namespace,
                    name: &question.name,
                },
            };
            let decision = rbac::authorize(&user, &attributes, &lookup);
            Decision { allowed: decision.allowed, reason: decision.reason }
        })
    }

    /// Asks those that may change the object and those that judge it, one after the other: for what is no stored
    /// object, and for deletions, which have none.
    ///
    /// # Errors
    /// What the first that refuses says.
    pub async fn ask_all(
        &self,
        mut object: Option<&mut Value>,
        old: Option<&Value>,
        warnings: &mut Vec<String>,
    ) -> Outcome<()> {
        let mut rounds = Rounds::default();
        if self.ask_mutating(object.as_deref_mut(), old, &mut rounds, warnings).await? {
            rounds.again();
            self.ask_mutating(object.as_deref_mut(), old, &mut rounds, warnings).await?;
        }
        self.judge(object.as_deref(), old, warnings).await
    }
}

/// The options of a write as a review tells them: what the request says and no more.
fn write_options(request: &Request<'_>, operation: Operation) -> Value {
    let kind = if operation == Operation::Create { "CreateOptions" } else { "UpdateOptions" };
    let mut options = Map::new();
    options.insert("kind".to_owned(), kind.into());
    options.insert("apiVersion".to_owned(), "meta.k8s.io/v1".into());
    if request.options.dry_run {
        options.insert("dryRun".to_owned(), json!(["All"]));
    }
    for name in ["fieldManager", "fieldValidation"] {
        if let Some(value) = request.options.get(name).filter(|value| !value.is_empty()) {
            options.insert(name.to_owned(), value.into());
        }
    }
    Value::Object(options)
}

fn delete_options(options: &DeleteOptions, dry_run: bool) -> Value {
    let mut told = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            told[name] = value;
        }
    };
    put("gracePeriodSeconds", options.grace_period_seconds.map(Value::from));
    put("propagationPolicy", options.propagation_policy.clone().map(Value::from));
    put("orphanDependents", options.orphan_dependents.map(Value::from));
    put("dryRun", dry_run.then(|| json!(["All"])));
    let conditions = [("uid", &options.uid), ("resourceVersion", &options.resource_version)];
    let conditions = conditions.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())));
    let conditions: Map<String, Value> = conditions.collect();
    put("preconditions", (!conditions.is_empty()).then_some(Value::Object(conditions)));
    told
}
