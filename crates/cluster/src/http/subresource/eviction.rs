//! `pods/eviction`: deletes a pod where its disruption budgets allow it, and says so in the pod's status first.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{read_part, success};
use crate::{
    core::{
        admission::{Lookup, Operation},
        deletion::DeleteOptions,
        hooks::Kind,
        kinds::pod::{self, eviction::Verdict},
        status::{Failure, Outcome},
    },
    http::{
        body::Body,
        hooks::Matter,
        server::{self, Call},
        write::{Lost, Request, Written, delete, meta, part, update},
    },
};

/// Deletes a pod if the disruption budgets that cover it allow it.
pub(super) async fn evict(call: &Call<'_>, body: Body) -> Outcome<Response<Body>> {
    let mut eviction = read_part(call, body, part::EVICTION).await?;
    let options = DeleteOptions::from_value(&eviction["deleteOptions"]);
    if meta::text(&eviction, "name") != call.path.name {
        return Err(Failure::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut request = call.request();
    update::check_namespace(&request, &eviction)?;
    delete::check(&options)?;
    request.options.dry_run |= options.dry_run;
    let matter = Matter::of_part(&request, Operation::Create, Kind::of("policy/v1", "Eviction"));
    matter.ask_all(Some(&mut eviction), None, &mut Vec::new()).await?;
    let options = DeleteOptions::from_value(&eviction["deleteOptions"]);
    loop {
        let entry = request.existing()?;
        let pod = request.parse(&entry)?;
        if let Some(why) = options.mismatch(&pod) {
            return Err(Failure::conflict_of("Pod", &call.path.name, &why));
        }
        let budgets = call.api.lookup.list("policy", "poddisruptionbudgets", &call.path.namespace);
        let budgets: Vec<Value> = budgets.iter().map(|budget| budget.as_ref().clone()).collect();
        let mut options = options.clone();
        match pod::eviction::decide(&pod, &budgets, &meta::time(request.now)) {
            Verdict::Refuse { message, cause, retry_after_seconds } => {
                let causes = json!([{"reason": "DisruptionBudget", "message": cause}]);
                let mut details = json!({ "causes": causes });
                if retry_after_seconds > 0 {
                    details["retryAfterSeconds"] = retry_after_seconds.into();
                }
                return Err(Failure::too_many_requests(message, Some(details)));
            }
            Verdict::Fail { message } => return Err(Failure::internal(message)),
            Verdict::Forbid { budget, message } => {
                let served = call.api.registry.get("policy", "v1", "poddisruptionbudgets");
                let served = served.ok_or_else(Failure::no_such_path)?;
                return Err(Failure::forbidden(&served.resource, &budget, &message));
            }
            Verdict::AllowAfter { budget } if !request.options.dry_run && !call.spend(&budget).await? => continue,
            Verdict::AllowUnchanged => options.resource_version = Some(meta::text(&pod, "resourceVersion").to_owned()),
            Verdict::Allow | Verdict::AllowAfter { .. } => {}
        }
        if !request.options.dry_run {
            mark(&request, &mut options).await?;
        }
        delete::delete(&request, &options, &mut Vec::new()).await?;
        return Ok(server::json(&success(), StatusCode::CREATED));
    }
}

/// Says in the pod's status why it goes, for those that treat a disruption otherwise than a failure.
async fn mark(request: &Request<'_>, options: &mut DeleteOptions) -> Outcome<()> {
    loop {
        let entry = request.existing()?;
        let old = request.parse(&entry)?;
        if let Some(why) = options.mismatch(&old) {
            return Err(Failure::conflict(&request.served.resource, &request.name, &why));
        }
        let mut new = old.clone();
        pod::eviction::mark(&mut new, &meta::time(request.now));
        let new = request.account(Some(&old), new);
        match update::settle(request, &entry, &old, new).await {
            Ok(written) => {
                if options.resource_version.is_some() {
                    options.resource_version = Some(written.entry.revision.to_string());
                }
                return Ok(());
            }
            Err(Lost::Stale) => {}
            Err(Lost::Failed(failure)) => return Err(failure),
        }
    }
}

impl Call<'_> {
    /// Stores a disruption budget that an eviction was counted in; false when it has changed meanwhile.
    async fn spend(&self, budget: &Value) -> Outcome<bool> {
        let Some(served) = self.api.registry.get("policy", "v1", "poddisruptionbudgets") else { return Ok(true) };
        let mut request = self.request();
        request.served = served;
        meta::text(budget, "name").clone_into(&mut request.name);
        request.subresource = "status".to_owned();
        let entry = request.existing()?;
        let old = request.parse(&entry)?;
        if meta::text(&old, "resourceVersion") != meta::text(budget, "resourceVersion") {
            return Ok(false);
        }
        match update::settle(&request, &entry, &old, budget.clone()).await {
            Ok(Written { .. }) => Ok(true),
            Err(Lost::Stale) => Ok(false),
            Err(Lost::Failed(failure)) => Err(failure),
        }
    }
}
