//! Webhooks of one request: those that complete its object, one after the other, and those that judge it, together.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use serde_json::Value;

use super::{Form, Matter, Rounds, client};
use crate::{
    core::{
        admission::Operation,
        hooks::{
            self, Invocation, Kind, Objects,
            answer::{self, Sort, Verdict},
            conditions,
            expression::{self, CONDITIONS_BUDGET, Params, Seen},
            review,
        },
        status::{Failure, Outcome},
    },
    http::{
        convert,
        options::FieldValidation,
        write::{
            decode, meta,
            patch::{PatchType, json_patch},
        },
    },
    registry::Served,
};

/// How long a webhook has that says nothing of it, in seconds; a configuration may say 1 to 30.
const TIMEOUT_SECONDS: u64 = 10;

/// A webhook or policy that is to be asked, with the objects as it sees them.
pub(super) struct Called {
    pub invocation: Invocation,
    pub kind: Kind,
    /// The resource of the version that it sees, where that is not the request's.
    other: Option<Arc<Served>>,
    new: Option<Value>,
    old: Option<Value>,
}

impl Called {
    pub fn objects(&self) -> Objects<'_> {
        Objects { new: self.new.as_ref(), old: self.old.as_ref() }
    }
}

/// Why a webhook does not allow a request.
enum Refusal {
    /// It could not be asked.
    Uncalled(String),
    /// It was asked, or must not be.
    Refused(Box<Failure>),
}

impl Matter<'_> {
    /// Lets webhooks complete a new state of an object; whether one has changed it.
    ///
    /// # Errors
    /// What the first that refuses says.
    pub async fn complete(
        &self,
        object: &mut Value,
        old: Option<&Value>,
        rounds: &mut Rounds,
        warnings: &mut Vec<String>,
    ) -> Outcome<bool> {
        let hidden = self.hide(object);
        let changed = self.ask_mutating(Some(object), old, rounds, warnings).await;
        for (field, value) in hidden {
            if field != "name" || meta::text(object, "name").is_empty() {
                meta::set(object, field, value);
            }
        }
        changed
    }

    /// Takes away what an object has only once it is stored, as upstream gives it only then.
    fn hide(&self, object: &mut Value) -> Vec<(&'static str, Value)> {
        if self.attributes.operation != Operation::Create {
            return Vec::new();
        }
        let generated: &[&'static str] = if self.is_generated { &["name"] } else { &[] };
        let mut hidden = Vec::new();
        for field in ["uid", "creationTimestamp"].iter().chain(generated) {
            if let Some(value) = object["metadata"].get(*field).cloned() {
                meta::remove(object, field);
                hidden.push((*field, value));
            }
        }
        hidden
    }

    /// One pass over the webhooks that may change the object; whether one has.
    pub(super) async fn ask_mutating(
        &self,
        mut object: Option<&mut Value>,
        old: Option<&Value>,
        rounds: &mut Rounds,
        warnings: &mut Vec<String>,
    ) -> Outcome<bool> {
        rounds.begin(object.as_deref());
        let mut any = false;
        for configuration in self.configurations("mutatingwebhookconfigurations") {
            let name = configuration["metadata"]["name"].as_str().unwrap_or_default();
            for (index, hook) in configuration["webhooks"].as_array().into_iter().flatten().enumerate() {
                let objects = Objects { new: object.as_deref(), old };
                let id = format!("{name}/{index}");
                let Some(called) = self.relevant(hook, objects).await? else { continue };
                if !rounds.asks(&id) {
                    continue;
                }
                let verdict = self.ask(hook, &called, Sort::Mutating).await;
                let Some(verdict) = settled(hook, verdict, warnings)? else { continue };
                if self.patch(hook, &called, object.as_deref_mut(), &verdict.patch).await? {
                    rounds.changed();
                    any = true;
                }
                if hook["reinvocationPolicy"] == "IfNeeded" {
                    rounds.asked(&id);
                }
            }
        }
        rounds.end(object.as_deref());
        Ok(any)
    }

    /// Lets policies and webhooks judge a complete object, or a deletion.
    ///
    /// # Errors
    /// What the first that refuses says; all are asked.
    pub async fn judge(&self, new: Option<&Value>, old: Option<&Value>, warnings: &mut Vec<String>) -> Outcome<()> {
        let objects = Objects { new, old };
        self.follow_policies(objects, warnings).await?;
        let configurations = self.configurations("validatingwebhookconfigurations");
        let mut asked = Vec::new();
        for hook in configurations.iter().flat_map(|one| one["webhooks"].as_array().into_iter().flatten()) {
            if let Some(called) = self.relevant(hook, objects).await? {
                asked.push((hook, called));
            }
        }
        let asking = asked.iter().map(|(hook, called)| self.ask(hook, called, Sort::Validating));
        let verdicts = join_all(asking).await;
        let mut refused = Ok(());
        for ((hook, _), verdict) in asked.iter().zip(verdicts) {
            let settled = settled(hook, verdict, warnings).map(drop);
            if refused.is_ok() {
                refused = settled;
            }
        }
        refused
    }

    /// Whether a webhook is asked about these objects, and what it is told.
    async fn relevant(&self, hook: &Value, objects: Objects<'_>) -> Outcome<Option<Called>> {
        let Some(called) = self.called(hook, hook, "rules", objects).await? else { return Ok(None) };
        if hook["matchConditions"].as_array().is_none_or(Vec::is_empty) {
            return Ok(Some(called));
        }
        let request = expression::request(&self.attributes, &called.invocation, &called.kind);
        let seen = Seen {
            objects: called.objects(),
            request: &request,
            namespace: None,
            params: None,
            judge: self.judge_of_rights(),
            attributes: &self.attributes,
        };
        let mut budget = CONDITIONS_BUDGET;
        let holds = conditions::hold(hook, Params::None, &seen, &mut budget);
        match holds {
            Ok(true) => Ok(Some(called)),
            Ok(false) => Ok(None),
            Err(fault) => Err(Failure::forbidden(&self.served.resource, &self.attributes.name, &fault)),
        }
    }

    /// Whether selectors and rules are about these objects, which are then in the version that a rule names.
    ///
    /// `holder` has selectors and `matchPolicy`, `ruled` the rules in `list`.
    pub(super) async fn called(
        &self,
        holder: &Value,
        ruled: &Value,
        list: &str,
        objects: Objects<'_>,
    ) -> Outcome<Option<Called>> {
        // Rules cost least and exclude most; faults of selectors count only where a rule is about the request.
        let equivalents: &[Arc<Served>] = if holder["matchPolicy"] == "Exact" { &[] } else { self.equivalents() };
        let resources: Vec<_> = equivalents.iter().map(|served| self.resource_of(served)).collect();
        let Some(invocation) = hooks::by_rules(ruled, list, &self.attributes, &resources) else { return Ok(None) };
        let in_namespace = hooks::selects_namespace(holder, &self.attributes, objects, &self.api.lookup);
        let object = hooks::selects_object(holder, objects);
        if matches!(in_namespace, Ok(false)) || matches!(object, Ok(false)) {
            return Ok(None);
        }
        in_namespace.and(object)?;
        let other = resources.iter().position(|resource| *resource == invocation.resource);
        let other = other.and_then(|index| equivalents.get(index)).filter(|_| self.form == Form::Whole).cloned();
        let kind = match &other {
            Some(served) => Kind::of(&served.resource.api_version(), &served.resource.kind),
            None => self.attributes.kind.clone(),
        };
        let new = self.seen(objects.new, other.as_ref()).await?;
        let old = self.seen(objects.old, other.as_ref()).await?;
        Ok(Some(Called { invocation, kind, other, new, old }))
    }

    async fn seen(&self, object: Option<&Value>, other: Option<&Arc<Served>>) -> Outcome<Option<Value>> {
        let Some(object) = object else { return Ok(None) };
        match other {
            None => Ok(Some(object.clone())),
            Some(other) => {
                let seen = convert::between(self.api, &self.served, other, object).await;
                seen.map(Some).map_err(|failure| Failure::internal(&failure.message))
            }
        }
    }

    /// Asks a webhook.
    async fn ask(&self, hook: &Value, called: &Called, sort: Sort) -> Result<Verdict, Refusal> {
        let name = hook["name"].as_str().unwrap_or_default();
        if self.attributes.dry_run && !answer::allows_dry_run(hook) {
            return Err(Refusal::Refused(answer::no_dry_run(name)));
        }
        let version = review::version(hook);
        let version = version.ok_or_else(|| {
            Refusal::Uncalled("could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)".to_owned())
        })?;
        let uid = meta::new_uid();
        let review = review::build(version, &uid, &self.attributes, &called.invocation, &called.kind, called.objects());
        let body = serde_json::to_vec(&review).map_err(|error| Refusal::Uncalled(error.to_string()))?;
        let wait = Duration::from_secs(hook["timeoutSeconds"].as_u64().unwrap_or(TIMEOUT_SECONDS).clamp(1, 30));
        let answered = client::post(self.api, &hook["clientConfig"], wait, body, client::ANSWER_BYTES).await;
        let answered = answered.map_err(|fault| Refusal::Uncalled(format!("failed to call webhook: {fault}")))?;
        let verdict = answer::read(&answered, version, &uid, sort).map_err(Refusal::Uncalled)?;
        Ok(verdict)
    }

    /// Carries out a webhook's patch; whether it changes anything.
    async fn patch(&self, hook: &Value, called: &Called, object: Option<&mut Value>, patch: &[u8]) -> Outcome<bool> {
        let internal = |failure: Box<Failure>| {
            let cause = failure.details.as_ref().and_then(|details| details["causes"][0]["message"].as_str());
            Failure::internal(cause.unwrap_or(&failure.message))
        };
        if patch.is_empty() {
            return Ok(false);
        }
        let steps = PatchType::Json.read(patch).map_err(internal)?;
        if steps.as_array().is_none_or(Vec::is_empty) {
            return Ok(false);
        }
        let name = hook["name"].as_str().unwrap_or_default();
        let (Some(object), Some(before)) = (object, &called.new) else {
            return Err(Failure::internal(format!(
                "admission webhook {name:?} attempted to modify the object, which is not supported for this operation"
            )));
        };
        let mut new = json_patch(before, &steps).map_err(internal)?;
        if !new.is_object() {
            return Err(Failure::internal(format!("admission webhook {name:?} made no object of the object")));
        }
        let served = called.other.as_ref().unwrap_or(&self.served);
        if self.form == Form::Whole {
            decode::refine(served, &mut new, None, FieldValidation::Ignore, &mut Vec::new()).map_err(internal)?;
            keep_managers(&mut new, before);
            served.default(&mut new);
        }
        let changed = new != *before;
        *object = match &called.other {
            None => new,
            Some(other) => convert::between(self.api, other, &self.served, &new).await?,
        };
        Ok(changed)
    }
}

/// A verdict that is to be regarded; nothing where a webhook could not be asked and its policy is to go on.
fn settled(hook: &Value, verdict: Result<Verdict, Refusal>, warnings: &mut Vec<String>) -> Outcome<Option<Verdict>> {
    let name = hook["name"].as_str().unwrap_or_default();
    match verdict {
        Ok(verdict) => {
            warnings.extend(verdict.warnings.iter().cloned());
            if verdict.allowed { Ok(Some(verdict)) } else { Err(answer::denial(name, &verdict.status)) }
        }
        Err(Refusal::Uncalled(reason)) if hook["failurePolicy"] == "Ignore" => {
            tracing::warn!(webhook = name, reason, "a webhook could not be asked; the request goes on");
            Ok(None)
        }
        Err(Refusal::Uncalled(reason)) => Err(answer::uncalled(name, &reason)),
        Err(Refusal::Refused(failure)) => Err(failure),
    }
}

/// Field managers are accounted for before webhooks are asked; one that leaves no list of them has no say.
fn keep_managers(new: &mut Value, before: &Value) {
    let is_list = |fields: &Value| {
        let all = fields.as_array();
        all.is_some_and(|all| all.iter().all(|one| one["manager"].is_string() && one["operation"].is_string()))
    };
    let given = new["metadata"].get("managedFields");
    if given.is_some_and(is_list) || given == before["metadata"].get("managedFields") {
        return;
    }
    match before["metadata"].get("managedFields") {
        Some(fields) => meta::set(new, "managedFields", fields.clone()),
        None => meta::remove(new, "managedFields"),
    }
}
