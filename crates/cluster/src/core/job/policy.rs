//! The pod failure policy and the success policy of a Job: which rule a pod or a set of succeeded
//! indexes meets. What follows from a rule is decided by the plan.

use k8s_openapi::api::batch::v1::{
    PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule, SuccessPolicy,
};
use k8s_openapi::api::core::v1::Pod;

use super::intervals::Indexes;
use super::pods;

/// What the first matching rule of a pod failure policy says about a failed pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureAction {
    /// No rule matches, or one says to count: the failure counts towards the back-off limit.
    Count,
    /// The failure is not counted.
    Ignore,
    /// The pod's index fails without further tries.
    FailIndex,
    /// The whole job fails with this message.
    FailJob(String),
}

/// The action of the first rule that matches `pod`; rules with unknown actions are passed over.
pub fn failure_action(rules: Option<&[PodFailurePolicyRule]>, pod: &Pod) -> FailureAction {
    for (position, rule) in rules.into_iter().flatten().enumerate() {
        let Some(cause) = matching_cause(rule, pod) else { continue };
        return match rule.action.as_str() {
            "Ignore" => FailureAction::Ignore,
            "FailIndex" => FailureAction::FailIndex,
            "FailJob" => FailureAction::FailJob(format!("{cause} matching FailJob rule at index {position}")),
            "Count" => FailureAction::Count,
            _ => continue,
        };
    }
    FailureAction::Count
}

fn matching_cause(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let ns = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    if let Some(requirement) = &rule.on_exit_codes {
        let (container, code) = matching_exit(requirement, pod)?;
        return Some(format!("Container {container} for pod {ns}/{name} failed with exit code {code}"));
    }
    let type_ = matching_condition(rule.on_pod_conditions.as_deref()?, pod)?;
    Some(format!("Pod {ns}/{name} has condition {type_}"))
}

fn matching_exit<'a>(requirement: &PodFailurePolicyOnExitCodesRequirement, pod: &'a Pod) -> Option<(&'a str, i32)> {
    pods::container_statuses(pod).find_map(|status| {
        let code = status.state.as_ref()?.terminated.as_ref()?.exit_code;
        let named = requirement.container_name.as_ref().is_none_or(|name| *name == status.name);
        let listed = requirement.values.contains(&code);
        let matches = match requirement.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        (named && code != 0 && matches).then_some((status.name.as_str(), code))
    })
}

fn matching_condition<'a>(patterns: &[PodFailurePolicyOnPodConditionsPattern], pod: &'a Pod) -> Option<&'a str> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| {
        patterns.iter().any(|pattern| {
            // An empty status in a pattern stands for the API's default, True.
            let status = if pattern.status.is_empty() { "True" } else { &pattern.status };
            pattern.type_ == condition.type_ && status == condition.status
        })
    });
    found.map(|condition| condition.type_.as_str())
}

/// The message of the first rule of the success policy that the succeeded indexes meet.
pub fn success_message(policy: Option<&SuccessPolicy>, completions: usize, succeeded: &Indexes) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let rules = &policy?.rules;
    let position = rules.iter().position(|rule| {
        let enough = |count: usize| rule.succeeded_count.is_some_and(|wanted| count as i64 >= i64::from(wanted));
        match &rule.succeeded_indexes {
            None => enough(succeeded.total()),
            Some(text) => {
                let required = Indexes::parse(text, completions);
                let reached = required.overlap(succeeded);
                !required.is_empty() && (reached == required.total() || enough(reached))
            }
        }
    })?;
    Some(format!("Matched rules at index {position}"))
}
