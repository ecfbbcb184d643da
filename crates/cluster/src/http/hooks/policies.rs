//! ValidatingAdmissionPolicies in the path of a request: which are bound to it, and with which parameters.

use std::sync::Arc;

use serde_json::Value;

use super::Matter;
use crate::{
    core::{
        admission::Lookup,
        hooks::{
            Objects,
            expression::{self, Seen},
            policy::{self, Denial},
        },
        selector::labels::Selector,
        status::Outcome,
    },
    http::{convert, hooks::ask::Called},
};

/// Questions about identity and rights see no policy.
const EXEMPT: [(&str, &str); 6] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];

/// What a binding finds for a policy to be judged with.
enum Found {
    /// One evaluation for each; `None` without a parameter.
    Params(Vec<Option<Arc<Value>>>),
    /// There are none, and that is to be allowed.
    Nothing,
}

impl Matter<'_> {
    /// Lets all policies that are bound to this request judge it.
    ///
    /// # Errors
    /// 403, 413 or 422 as the first denial says.
    pub(super) async fn follow_policies(&self, objects: Objects<'_>, warnings: &mut Vec<String>) -> Outcome<()> {
        let resource = &self.attributes.resource;
        if EXEMPT.contains(&(resource.group.as_str(), resource.plural.as_str())) {
            return Ok(());
        }
        let policies = self.configurations("validatingadmissionpolicies");
        if policies.is_empty() {
            return Ok(());
        }
        let bindings = self.configurations("validatingadmissionpolicybindings");
        for policy in &policies {
            let name = policy["metadata"]["name"].as_str().unwrap_or_default();
            let own = bindings.iter().filter(|binding| binding["spec"]["policyName"] == name);
            let own: Vec<_> = own.collect();
            if own.is_empty() {
                continue;
            }
            let refused = |binding: Option<&str>, denial: &Denial| {
                policy::refusal(&self.attributes, objects.new.or(objects.old), name, binding, denial)
            };
            let called = match self.constrained(&policy["spec"]["matchConstraints"], objects).await {
                Ok(None) => continue,
                Ok(Some(called)) => called,
                Err(_) if !policy::fails_closed(policy) => continue,
                Err(fault) => {
                    let denial = Denial::of_fault(format!("failed to configure policy: {}", fault.message));
                    return Err(refused(None, &denial));
                }
            };
            for binding in own {
                let bound = binding["metadata"]["name"].as_str().unwrap_or_default();
                let denials = self.bound(policy, binding, &called, objects).await;
                for denial in denials {
                    if acts(binding, "Warn") {
                        warnings.push(format!(
                            "Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{bound}': {}",
                            denial.message
                        ));
                    }
                    if acts(binding, "Deny") {
                        return Err(refused(Some(bound), &denial));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether constraints are about this request; without rules they are about all that selectors select.
    async fn constrained(&self, constraints: &Value, objects: Objects<'_>) -> Outcome<Option<Called>> {
        if constraints["excludeResourceRules"].as_array().is_some_and(|rules| !rules.is_empty())
            && self.called(&Value::Null, constraints, "excludeResourceRules", objects).await?.is_some()
        {
            return Ok(None);
        }
        self.called(constraints, constraints, "resourceRules", objects).await
    }

    /// What a policy has against the request by one of its bindings.
    async fn bound(&self, policy: &Value, binding: &Value, called: &Called, objects: Objects<'_>) -> Vec<Denial> {
        let spec = &binding["spec"];
        let resources = &spec["matchResources"];
        let matched = if resources.is_object() { self.selected(resources, objects).await } else { Ok(true) };
        let found = match matched {
            Ok(false) => return Vec::new(),
            Ok(true) => self.params(policy, spec).await,
            Err(fault) => Err(fault.message.clone()),
        };
        let params = match found {
            Ok(Found::Params(params)) => params,
            Ok(Found::Nothing) => return Vec::new(),
            Err(_) if !policy::fails_closed(policy) => return Vec::new(),
            Err(fault) => return vec![Denial::of_fault(format!("failed to configure binding: {fault}"))],
        };
        let request = expression::request(&self.attributes, &called.invocation, &called.kind);
        let namespace = self.namespace();
        let judged = params.iter().map(|params| {
            let seen = Seen {
                objects: called.objects(),
                request: &request,
                namespace: namespace.as_deref(),
                params: params.as_deref(),
                judge: self.judge_of_rights(),
                attributes: &self.attributes,
            };
            policy::judge(policy, &seen)
        });
        judged.flatten().collect()
    }

    async fn selected(&self, resources: &Value, objects: Objects<'_>) -> Outcome<bool> {
        let ruled = resources["resourceRules"].as_array().is_some_and(|rules| !rules.is_empty());
        if ruled {
            return Ok(self.constrained(resources, objects).await?.is_some());
        }
        let excluded = resources["excludeResourceRules"].as_array().is_some_and(|rules| !rules.is_empty());
        if excluded && self.called(&Value::Null, resources, "excludeResourceRules", objects).await?.is_some() {
            return Ok(false);
        }
        let in_namespace =
            crate::core::hooks::selects_namespace(resources, &self.attributes, objects, &self.api.lookup)?;
        Ok(in_namespace && crate::core::hooks::selects_object(resources, objects)?)
    }

    async fn params(&self, policy: &Value, binding: &Value) -> Result<Found, String> {
        let (kind, reference) = (&policy["spec"]["paramKind"], &binding["paramRef"]);
        if !kind.is_object() || !reference.is_object() {
            return Ok(Found::Params(vec![None]));
        }
        let (api_version, name) = (text(kind, "apiVersion"), text(kind, "kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let served = self.api.registry.by_kind(group, Some(version), name);
        let served = served
            .ok_or_else(|| format!("failed to find resource referenced by paramKind: '{api_version}, Kind={name}'"))?;
        let namespace = match (served.resource.namespaced(), text(reference, "namespace")) {
            (false, "") => String::new(),
            (false, _) => {
                return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
            }
            (true, "") if self.attributes.namespace.is_empty() => {
                return Err(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned()
                );
            }
            (true, "") => self.attributes.namespace.clone(),
            (true, given) => given.to_owned(),
        };
        let row = &served.resource;
        let found: Vec<Arc<Value>> = match text(reference, "name") {
            "" => {
                let selector = Selector::from_json(&reference["selector"]).map_err(|error| error.to_string())?;
                let all = self.api.lookup.list(&row.group, &row.plural, &namespace);
                all.into_iter().filter(|object| selector.matches_object(object)).collect()
            }
            name => self.api.lookup.get(&row.group, &row.plural, &namespace, name).into_iter().collect(),
        };
        if found.is_empty() {
            return if text(reference, "parameterNotFoundAction") == "Allow" {
                Ok(Found::Nothing)
            } else {
                Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned())
            };
        }
        let mut params = Vec::with_capacity(found.len());
        for object in found {
            let object = if row.custom && object["apiVersion"] != api_version {
                let seen = convert::to_version(self.api, &served, object.as_ref().clone(), api_version).await;
                Arc::new(seen.map_err(|failure| failure.message.clone())?)
            } else {
                object
            };
            params.push(Some(object));
        }
        Ok(Found::Params(params))
    }

    /// The namespace of the request as expressions see it.
    fn namespace(&self) -> Option<Arc<Value>> {
        let name = &self.attributes.namespace;
        if name.is_empty() { None } else { self.api.lookup.get("", "namespaces", "", name) }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Whether a binding asks for an action.
fn acts(binding: &Value, action: &str) -> bool {
    binding["spec"]["validationActions"].as_array().is_some_and(|actions| actions.iter().any(|one| one == action))
}
