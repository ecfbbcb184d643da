//! `authorizer` in expressions of admission: questions about what somebody may do, narrowed step by step.
//!
//! After `pkg/cel/library/authz.go` of `k8s.io/apiserver`. Who decides is a function that is handed in.

use std::fmt;
use std::sync::Arc;

/// What is asked. Fields are `None` until a step has named them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Namespace and name of the service account that is asked about; else the one who makes the request.
    pub account: Option<(String, String)>,
    /// A path that is no resource.
    pub path: Option<String>,
    pub group: Option<String>,
    pub resource: Option<String>,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub verb: String,
}

/// What the authorizer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
}

/// Decides a question.
pub type Judge = Arc<dyn Fn(&Question) -> Decision + Send + Sync>;

/// A question that is not asked yet.
#[derive(Clone)]
pub struct Check {
    judge: Judge,
    question: Question,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.question.fmt(f)
    }
}

impl Check {
    /// The variable `authorizer`.
    pub fn new(judge: Judge) -> Self {
        Self { judge, question: Question::default() }
    }

    /// The variable `authorizer.requestResource`.
    pub fn of_resource(judge: Judge, question: Question) -> Self {
        Self { judge, question }
    }

    /// The type of the step at which the question stands.
    pub fn type_name(&self) -> &'static str {
        match &self.question {
            Question { path: Some(_), .. } => "kubernetes.authorization.PathCheck",
            Question { resource: Some(_), .. } => "kubernetes.authorization.ResourceCheck",
            Question { group: Some(_), .. } => "kubernetes.authorization.GroupCheck",
            _ => "kubernetes.authorization.Authorizer",
        }
    }

    /// The question with one more thing said; nothing where the step is none of this type.
    pub fn narrowed(&self, step: &str, args: &[&str]) -> Option<Self> {
        let mut narrowed = self.clone();
        let question = &mut narrowed.question;
        let stands_at = self.type_name().rsplit('.').next().unwrap_or_default();
        match (stands_at, step, args) {
            ("Authorizer", "path", [path]) => question.path = Some((*path).to_owned()),
            ("Authorizer", "group", [group]) => question.group = Some((*group).to_owned()),
            ("Authorizer", "serviceAccount", [namespace, name]) => {
                question.account = Some(((*namespace).to_owned(), (*name).to_owned()));
            }
            ("GroupCheck", "resource", [resource]) => question.resource = Some((*resource).to_owned()),
            ("ResourceCheck", "subresource", [name]) => (*name).clone_into(&mut question.subresource),
            ("ResourceCheck", "namespace", [name]) => (*name).clone_into(&mut question.namespace),
            ("ResourceCheck", "name", [name]) => (*name).clone_into(&mut question.name),
            _ => return None,
        }
        Some(narrowed)
    }

    /// Asks whether a verb is allowed.
    pub fn ask(&self, verb: &str) -> Decision {
        (self.judge)(&Question { verb: verb.to_owned(), ..self.question.clone() })
    }
}
