use std::sync::Arc;

use serde_json::{Value, json};

use super::escalation::Write;
use super::*;

/// Roles and bindings by resource and namespace.
#[derive(Default)]
struct World(Vec<(&'static str, &'static str, Arc<Value>)>);

impl World {
    fn with(mut self, plural: &'static str, namespace: &'static str, object: Value) -> Self {
        self.0.push((plural, namespace, Arc::new(object)));
        self
    }

    fn bootstrapped() -> Self {
        let mut world = Self::default();
        for one in bootstrap::objects() {
            world = world.with(one.plural, one.namespace, one.object);
        }
        world.aggregated()
    }

    fn aggregated(mut self) -> Self {
        for _ in 0..3 {
            let roles = self.list(GROUP, "clusterroles", "");
            for (_, _, object) in self.0.iter_mut().filter(|(plural, ..)| *plural == "clusterroles") {
                if let Some(rules) = aggregate::rules(object, &roles) {
                    let mut role = (**object).clone();
                    role["rules"] = rules;
                    *object = Arc::new(role);
                }
            }
        }
        self
    }

    fn bind(self, user: &str, role: &str) -> Self {
        let binding = json!({"metadata": {"name": format!("{user}-{role}")}, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "apiGroup": GROUP, "name": user}]});
        self.with("clusterrolebindings", "", binding)
    }
}

impl Lookup for World {
    fn get(&self, _group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let mut all = self.0.iter();
        let found = all.find(|one| one.0 == plural && one.1 == namespace && one.2["metadata"]["name"] == name)?;
        Some(found.2.clone())
    }

    fn list(&self, _group: &str, plural: &str, namespace: &str) -> Vec<Arc<Value>> {
        self.0.iter().filter(|one| one.0 == plural && one.1 == namespace).map(|one| one.2.clone()).collect()
    }
}

fn groups(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn request<'a>(verb: &'a str, resource: &'a str, namespace: &'a str) -> Attributes<'a> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Attributes::Resource { verb, group: "", resource, subresource, namespace, name: "" }
}

fn check(world: &World, user: &str, verb: &str, resource: &str, namespace: &str, expect: bool) {
    let groups = groups(&["system:authenticated"]);
    let user = User { name: user, groups: &groups };
    let decision = authorize(&user, &request(verb, resource, namespace), world);
    assert_eq!(decision.allowed, expect, "{verb} {resource}: {}", decision.reason);
}

#[test]
fn the_four_roles_for_users_allow_what_their_names_say() {
    let world = World::bootstrapped()
        .bind("viewer", "view")
        .bind("editor", "edit")
        .bind("admin", "admin")
        .bind("root", "cluster-admin");
    check(&world, "viewer", "list", "pods", "ns", true);
    check(&world, "viewer", "get", "pods/log", "ns", true);
    check(&world, "viewer", "get", "secrets", "ns", false);
    check(&world, "viewer", "create", "pods", "ns", false);
    check(&world, "editor", "list", "pods", "ns", true);
    check(&world, "editor", "create", "pods", "ns", true);
    check(&world, "editor", "get", "secrets", "ns", true);
    check(&world, "editor", "create", "nodes", "", false);
    let role = Attributes::Resource {
        verb: "create",
        group: GROUP,
        resource: "roles",
        subresource: "",
        namespace: "ns",
        name: "",
    };
    let none = groups(&[]);
    assert!(!authorize(&User { name: "editor", groups: &none }, &role, &world).allowed);
    assert!(authorize(&User { name: "admin", groups: &none }, &role, &world).allowed);
    check(&world, "root", "anything", "whatever/sub", "", true);
    check(&world, "nobody", "get", "pods", "ns", false);
}

#[test]
fn everybody_who_is_known_may_look_around() {
    let world = World::bootstrapped();
    let known = groups(&["system:authenticated"]);
    let unknown = groups(&["system:unauthenticated"]);
    let get = |groups: &[String], path| {
        authorize(&User { name: "x", groups }, &Attributes::Path { verb: "get", path }, &world).allowed
    };
    assert!(get(&known, "/apis/apps/v1") && get(&known, "/openapi/v3") && get(&known, "/version"));
    assert!(get(&unknown, "/healthz") && get(&unknown, "/version") && !get(&unknown, "/apis"));
    assert!(!get(&known, "/metrics"));
}

#[test]
fn masters_need_no_rules() {
    let masters = groups(&[MASTERS]);
    assert!(
        authorize(&User { name: "x", groups: &masters }, &request("delete", "nodes", ""), &World::default()).allowed
    );
}

#[test]
fn a_service_account_is_bound_by_namespace_and_name() {
    let role = json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods/*", "configmaps"], "resourceNames": ["a"]}]});
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "sa"}]});
    let world = World::default().with("roles", "ns", role).with("rolebindings", "ns", binding);
    let none = groups(&[]);
    let get = |user, namespace, name| {
        let attributes =
            Attributes::Resource { verb: "get", group: "", resource: "configmaps", subresource: "", namespace, name };
        authorize(&User { name: user, groups: &none }, &attributes, &world)
    };
    let allowed = get("system:serviceaccount:ns:sa", "ns", "a");
    assert_eq!(allowed.reason, "RBAC: allowed by RoleBinding \"b/ns\" of Role \"r\" to ServiceAccount \"sa/ns\"");
    assert!(!get("system:serviceaccount:ns:sa", "ns", "b").allowed);
    assert!(!get("system:serviceaccount:ns:sa", "other", "a").allowed);
    assert!(!get("system:serviceaccount:other:sa", "ns", "a").allowed);
}

#[test]
fn a_star_before_a_subresource_means_every_parent() {
    let rule =
        Rule { verbs: groups(&["get"]), groups: groups(&["*"]), resources: groups(&["*/scale"]), ..Rule::default() };
    assert!(rule.allows(&request("get", "deployments/scale", "ns")));
    assert!(!rule.allows(&request("get", "deployments", "ns")));
    assert!(!rule.allows(&request("get", "deployments/status", "ns")));
}

#[test]
fn a_refusal_reads_as_upstream_words_it() {
    let none = groups(&[]);
    let user = User { name: "x", groups: &none };
    let message = |attributes: &Attributes, reason: &str| {
        forbidden(&user, attributes, reason)["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        message(&request("list", "pods", "y"), ""),
        "pods is forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" in the namespace \"y\""
    );
    let named = Attributes::Resource {
        verb: "update",
        group: "apps",
        resource: "deployments",
        subresource: "scale",
        namespace: "",
        name: "d",
    };
    assert_eq!(
        message(&named, "RBAC: role.rbac.authorization.k8s.io \"r\" not found"),
        "deployments.apps \"d\" is forbidden: User \"x\" cannot update resource \"deployments/scale\" in API group \"apps\" at \
         the cluster scope: RBAC: role.rbac.authorization.k8s.io \"r\" not found"
    );
    let path = Attributes::Path { verb: "get", path: "/metrics" };
    assert_eq!(message(&path, ""), "forbidden: User \"x\" cannot get path \"/metrics\"");
}

#[test]
fn a_binding_to_a_role_that_is_absent_is_named_in_the_reason() {
    let world = World::default().bind("x", "gone");
    let none = groups(&[]);
    let decision = authorize(&User { name: "x", groups: &none }, &request("get", "pods", "ns"), &world);
    assert_eq!(decision.reason, "RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found");
}

fn role(rules: Value) -> Value {
    json!({"metadata": {"name": "new"}, "rules": rules})
}

#[test]
fn nobody_gives_away_what_he_does_not_have() {
    let world = World::bootstrapped().bind("editor", "edit");
    let groups = groups(&["team"]);
    let user = User { name: "editor", groups: &groups };
    let pods = role(json!([{"verbs": ["get", "create"], "apiGroups": [""], "resources": ["pods"]}]));
    let write = Write { plural: "roles", namespace: "ns", object: &pods, old: None };
    assert_eq!(escalation::check(&user, &write, &world), Ok(()));
    let nodes = role(json!([{"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["nodes", "pods"]}]));
    let write = Write { object: &nodes, ..write };
    let denied = escalation::check(&user, &write, &world).unwrap_err();
    assert_eq!(
        denied.message,
        "roles.rbac.authorization.k8s.io \"new\" is forbidden: user \"editor\" (groups=[\"team\"]) is attempting to grant RBAC \
         permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\" \"delete\"]}"
    );
    let collected = Write { old: Some(&nodes), ..write };
    assert_eq!(escalation::check(&user, &collected, &world), Ok(()), "an update that changes nothing");
}

#[test]
fn binding_needs_the_rules_of_the_role_or_the_verb_bind() {
    let world = World::bootstrapped().bind("viewer", "view");
    let none = groups(&[]);
    let user = User { name: "viewer", groups: &none };
    let binding = |name: &str| json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}});
    let check = |world: &World, name: &str| {
        let object = binding(name);
        let write = Write { plural: "rolebindings", namespace: "ns", object: &object, old: None };
        escalation::check(&user, &write, world).map_err(|denied| denied.code)
    };
    assert_eq!(check(&world, "view"), Ok(()));
    assert_eq!(check(&world, "edit"), Err(403));
    assert_eq!(check(&world, "none"), Err(404));
    let binder = json!({"metadata": {"name": "binder"}, "rules": [{"verbs": ["bind"], "apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["edit"]}]});
    let world = world.with("clusterroles", "", binder).bind("viewer", "binder");
    assert_eq!(check(&world, "edit"), Ok(()));
}

#[test]
fn aggregating_twice_changes_nothing() {
    let world = World::bootstrapped();
    let roles = world.list(GROUP, "clusterroles", "");
    let changed: Vec<_> = roles.iter().filter_map(|role| aggregate::rules(role, &roles)).collect();
    assert!(changed.is_empty());
    let admin = world.get(GROUP, "clusterroles", "", "admin").unwrap();
    assert!(admin["rules"].as_array().unwrap().len() > 20);
}

#[test]
fn bootstrap_objects_complete_what_is_there_and_respect_a_refusal() {
    let expected = bootstrap::objects().remove(0).object;
    assert_eq!(bootstrap::completed(&expected, &expected), None);
    let mut poor = expected.clone();
    poor["rules"] = json!([{"verbs": ["get"], "apiGroups": ["x"], "resources": ["y"]}]);
    let full = bootstrap::completed(&poor, &expected).unwrap();
    assert_eq!(full["rules"].as_array().unwrap().len(), 3);
    poor["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = json!("false");
    assert_eq!(bootstrap::completed(&poor, &expected), None);
}

#[test]
fn a_rules_review_lists_resources_and_paths_apart() {
    let world = World::bootstrapped();
    let known = groups(&["system:authenticated"]);
    let status = rules_review::status(&User { name: "x", groups: &known }, "ns", &world);
    assert_eq!(status["incomplete"], false);
    assert_eq!(status["resourceRules"].as_array().unwrap().len(), 2);
    assert_eq!(status["nonResourceRules"].as_array().unwrap().len(), 2);
}
