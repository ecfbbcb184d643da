//! Kinds of the group `admissionregistration.k8s.io`.

use serde_json::Value;

use super::column::{AGE, Column, NAME, Printer, integer, text};
use super::view::View;

const GROUP: &str = "admissionregistration.k8s.io";
const WEBHOOK_COLUMNS: &[Column] = &[NAME, integer("Webhooks", "Webhooks of the configuration"), AGE];

pub(super) const PRINTERS: &[Printer] = &[
    Printer::new(GROUP, "MutatingWebhookConfiguration", WEBHOOK_COLUMNS, webhooks),
    Printer::new(GROUP, "ValidatingWebhookConfiguration", WEBHOOK_COLUMNS, webhooks),
    Printer::new(
        GROUP,
        "ValidatingAdmissionPolicy",
        &[
            NAME,
            integer("Validations", "Rules of the policy"),
            text("ParamKind", "Kind of the objects that parameterize the policy"),
            AGE,
        ],
        policy,
    ),
    Printer::new(
        GROUP,
        "ValidatingAdmissionPolicyBinding",
        &[
            NAME,
            text("PolicyName", "The policy that is bound"),
            text("ParamRef", "The object that parameterizes the policy"),
            AGE,
        ],
        binding,
    ),
];

fn webhooks(configuration: &View<'_>) -> Vec<Value> {
    vec![configuration.name(), Value::from(configuration.count("/webhooks")), configuration.age()]
}

fn policy(policy: &View<'_>) -> Vec<Value> {
    let kind = policy.part("/spec/paramKind");
    let kind = match policy.has("/spec/paramKind") {
        true => format!("{}/{}", kind.text("/apiVersion"), kind.text("/kind")),
        false => "<unset>".to_owned(),
    };
    vec![policy.name(), Value::from(policy.count("/spec/validations")), Value::from(kind), policy.age()]
}

fn binding(binding: &View<'_>) -> Vec<Value> {
    let reference = binding.part("/spec/paramRef");
    let parameter = match (reference.text("/name"), reference.text("/namespace")) {
        ("", _) if reference.has("/selector") => go_selector(&reference.part("/selector")),
        ("", _) => "<unset>".to_owned(),
        (name, "") => format!("*/{name}"),
        (name, namespace) => format!("{namespace}/{name}"),
    };
    vec![binding.name(), Value::from(binding.text("/spec/policyName")), Value::from(parameter), binding.age()]
}

/// A label selector as Go's generated `String` prints it.
fn go_selector(selector: &View<'_>) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let labels: String =
        selector.members("/matchLabels").map(|(name, value)| format!("{name}: {},", text(value))).collect();
    let expressions: String = selector
        .parts("/matchExpressions")
        .map(|expression| {
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
                expression.text("/key"),
                expression.text("/operator"),
                expression.texts("/values").join(" ")
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement\
         {{{expressions}}},}}"
    )
}
