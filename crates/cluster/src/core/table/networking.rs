//! Kinds of the group `networking.k8s.io`.

use serde_json::Value;

use super::column::{AGE, NAME, Printer, text};
use super::service::load_balancer_addresses;
use super::view::View;

pub(super) const PRINTERS: &[Printer] = &[
    Printer::new(
        "networking.k8s.io",
        "Ingress",
        &[
            NAME,
            text("Class", "The class that says who serves the ingress"),
            text("Hosts", "Hosts whose requests the rules match"),
            text("Address", "Addresses of the load balancer"),
            text("Ports", "Ports that are open"),
            AGE,
        ],
        ingress,
    ),
    Printer::new(
        "networking.k8s.io",
        "IngressClass",
        &[
            NAME,
            text("Controller", "Who serves ingresses of the class"),
            text("Parameters", "The object that holds further settings"),
            AGE,
        ],
        ingress_class,
    ),
    Printer::new(
        "networking.k8s.io",
        "NetworkPolicy",
        &[NAME, text("Pod-Selector", "Labels of the pods that the policy is for"), AGE],
        |policy| vec![policy.name(), Value::from(policy.selector("/spec/podSelector")), policy.age()],
    ),
    Printer::new(
        "networking.k8s.io",
        "ServiceCIDR",
        &[NAME, text("CIDRs", "Ranges from which services get addresses"), AGE],
        |range| vec![range.name(), Value::from(range.texts("/spec/cidrs").join(",")), range.age()],
    ),
    Printer::new(
        "networking.k8s.io",
        "IPAddress",
        &[NAME, text("ParentRef", "The object that has the address")],
        ip_address,
    ),
];

/// How many hosts a cell lists.
const LISTED_MAX: usize = 3;

fn ingress(ingress: &View<'_>) -> Vec<Value> {
    let ports = if ingress.count("/spec/tls") > 0 { "80, 443" } else { "80" };
    vec![
        ingress.name(),
        Value::from(ingress.optional_text("/spec/ingressClassName", "<none>")),
        Value::from(hosts(ingress)),
        Value::from(load_balancer_addresses(ingress).join(",")),
        Value::from(ports),
        ingress.age(),
    ]
}

fn hosts(ingress: &View<'_>) -> String {
    let mut listed = Vec::new();
    let mut more = false;
    for rule in ingress.parts("/spec/rules") {
        more |= listed.len() == LISTED_MAX;
        let host = rule.text("/host");
        if !more && !host.is_empty() {
            listed.push(host);
        }
    }
    match (listed.is_empty(), more) {
        (true, _) => "*".to_owned(),
        (false, false) => listed.join(","),
        (false, true) => {
            let rest = ingress.list("/spec/rules").len() - LISTED_MAX;
            format!("{} + {rest} more...", listed.join(","))
        }
    }
}

fn ingress_class(class: &View<'_>) -> Vec<Value> {
    let parameters = class.part("/spec/parameters");
    let group = match parameters.has("/apiGroup") {
        true => format!(".{}", parameters.text("/apiGroup")),
        false => String::new(),
    };
    let reference = match class.has("/spec/parameters") {
        true => format!("{}{group}/{}", parameters.text("/kind"), parameters.text("/name")),
        false => "<none>".to_owned(),
    };
    vec![class.name(), Value::from(class.text("/spec/controller")), Value::from(reference), class.age()]
}

/// Upstream declares two columns and writes three cells.
fn ip_address(address: &View<'_>) -> Vec<Value> {
    let parent = address.part("/spec/parentRef");
    let reference = if address.has("/spec/parentRef") { parent_name(&parent) } else { "<none>".to_owned() };
    vec![address.name(), Value::from(reference), address.age()]
}

fn parent_name(parent: &View<'_>) -> String {
    let resource = match (parent.text("/resource"), parent.text("/group")) {
        (resource, "") => resource.to_lowercase(),
        (resource, group) => format!("{resource}.{group}").to_lowercase(),
    };
    match (parent.text("/namespace"), parent.text("/name")) {
        ("", name) => format!("{resource}/{name}"),
        (namespace, name) => format!("{resource}/{namespace}/{name}"),
    }
}
