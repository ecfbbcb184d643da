//! The answer to a SelfSubjectRulesReview: what a user may do in a namespace, as lists of rules.

use serde_json::{Value, json};

use super::{Rule, User, rules_for};
use crate::core::admission::Lookup;

/// `status` of the review.
pub fn status(user: &User, namespace: &str, lookup: &dyn Lookup) -> Value {
    let (mut rules, error) = rules_for(user, namespace, lookup);
    if user.is_master() {
        let all = || vec!["*".to_owned()];
        let resources = Rule { verbs: all(), groups: all(), resources: all(), ..Rule::default() };
        rules.splice(0..0, [resources, Rule { verbs: all(), urls: all(), ..Rule::default() }]);
    }
    let (paths, resources): (Vec<Rule>, Vec<Rule>) = rules.into_iter().partition(|rule| !rule.urls.is_empty());
    let list = |rules: Vec<Rule>| Value::Array(rules.iter().map(Rule::to_json).collect());
    let mut status =
        json!({"resourceRules": list(resources), "nonResourceRules": list(paths), "incomplete": !error.is_empty()});
    if !error.is_empty() {
        status["evaluationError"] = json!(error);
    }
    status
}
