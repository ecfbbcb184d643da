//! Kinds of the group `rbac.authorization.k8s.io`. Roles are printed plainly.

use serde_json::Value;

use super::column::{AGE, Column, NAME, Printer, text, wide};
use super::view::View;

const GROUP: &str = "rbac.authorization.k8s.io";
const COLUMNS: &[Column] = &[
    NAME,
    text("Role", "The role that is granted"),
    AGE,
    wide("Users", "Users that have the role"),
    wide("Groups", "Groups that have the role"),
    wide("ServiceAccounts", "Service accounts that have the role"),
];

pub(super) const PRINTERS: &[Printer] = &[
    Printer::new(GROUP, "RoleBinding", COLUMNS, binding),
    Printer::new(GROUP, "ClusterRoleBinding", COLUMNS, binding),
];

fn binding(binding: &View<'_>) -> Vec<Value> {
    let role = binding.part("/roleRef");
    let subjects = |kind: &str, print: fn(&View<'_>) -> String| {
        let of_kind = binding.parts("/subjects").filter(|subject| subject.text("/kind") == kind);
        Value::from(of_kind.map(|subject| print(&subject)).collect::<Vec<_>>().join(", "))
    };
    let name = |subject: &View<'_>| subject.text("/name").to_owned();
    vec![
        binding.name(),
        Value::from(format!("{}/{}", role.text("/kind"), role.text("/name"))),
        binding.age(),
        subjects("User", name),
        subjects("Group", name),
        subjects("ServiceAccount", |subject| format!("{}/{}", subject.text("/namespace"), subject.text("/name"))),
    ]
}
