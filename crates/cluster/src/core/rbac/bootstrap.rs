//! The roles and bindings that a cluster has from the start, as Kubernetes 1.34 has them, less those of
//! the controllers that run inside this server with rights of their own.
//!
//! A rule is a line: verbs, API groups, resources, names, separated by ` | `. `read`, `write`, `all` stand
//! for the usual verbs, `core` for the core group; a line that starts with `urls` names paths instead.

use serde_json::{Value, json};

use super::GROUP;

/// An object that the server makes when it starts, or completes when it is there already.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    pub plural: &'static str,
    /// Empty for cluster-scoped objects.
    pub namespace: &'static str,
    pub object: Value,
}

const EVENTS: &str = "create patch update | core events.k8s.io | events";

const VIEW: &[&str] = &[
    "read | core | pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status \
     endpoints persistentvolumeclaims persistentvolumeclaims/status configmaps",
    "read | core | limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status \
     replicationcontrollers/status pods/log",
    "read | core | namespaces",
    "read | discovery.k8s.io | endpointslices",
    "read | apps | controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets \
     daemonsets/status deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale",
    "read | autoscaling | horizontalpodautoscalers horizontalpodautoscalers/status",
    "read | batch | jobs cronjobs cronjobs/status jobs/status",
    "read | extensions | daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses \
     ingresses/status replicasets replicasets/scale replicasets/status replicationcontrollers/scale networkpolicies",
    "read | policy | poddisruptionbudgets poddisruptionbudgets/status",
    "read | networking.k8s.io | networkpolicies ingresses ingresses/status",
    "read | resource.k8s.io | resourceclaims resourceclaims/status resourceclaimtemplates",
];

const EDIT: &[&str] = &[
    "read | core | pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy",
    "impersonate | core | serviceaccounts",
    "write | core | pods pods/attach pods/proxy pods/exec pods/portforward",
    "create | core | pods/eviction",
    "write | core | replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy \
     persistentvolumeclaims configmaps secrets events",
    "create | core | serviceaccounts/token",
    "write | apps | statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback \
     replicasets replicasets/scale",
    "write | autoscaling | horizontalpodautoscalers",
    "write | batch | jobs cronjobs",
    "write | extensions | daemonsets deployments deployments/scale deployments/rollback ingresses replicasets \
     replicasets/scale replicationcontrollers/scale networkpolicies",
    "write | policy | poddisruptionbudgets",
    "write | networking.k8s.io | networkpolicies ingresses",
    "all | coordination.k8s.io | leases",
    "write | resource.k8s.io | resourceclaims resourceclaimtemplates",
];

const NODE: &[&str] = &[
    "create | authentication.k8s.io | tokenreviews",
    "create | authorization.k8s.io | subjectaccessreviews localsubjectaccessreviews",
    "read | core | services",
    "create get list watch | core | nodes",
    "update patch | core | nodes/status",
    "update patch | core | nodes",
    "create update patch | core | events",
    "read | core | pods",
    "create delete | core | pods",
    "update patch | core | pods/status",
    "create | core | pods/eviction",
    "read | core | secrets configmaps",
    "get | core | persistentvolumeclaims persistentvolumes",
    "get | core | endpoints",
    "create get list watch | certificates.k8s.io | certificatesigningrequests",
    "get create update patch delete | coordination.k8s.io | leases",
    "get | storage.k8s.io | volumeattachments",
    "create | core | serviceaccounts/token",
    "get update patch | core | persistentvolumeclaims/status",
    "read | storage.k8s.io | csidrivers",
    "get create update patch delete | storage.k8s.io | csinodes",
    "read | node.k8s.io | runtimeclasses",
    "get | resource.k8s.io | resourceclaims",
    "deletecollection | resource.k8s.io | resourceslices",
    "get | core | serviceaccounts",
];

const SCHEDULER: &[&str] = &[
    EVENTS,
    "create | coordination.k8s.io | leases",
    "get update list watch | coordination.k8s.io | leases | kube-scheduler",
    "all | coordination.k8s.io | leasecandidates",
    "read | core | nodes",
    "get list watch delete | core | pods",
    "create | core | pods/binding bindings",
    "patch update | core | pods/status",
    "read | core | services replicationcontrollers",
    "read | apps extensions | replicasets",
    "read | apps | statefulsets",
    "read | policy | poddisruptionbudgets",
    "read | core | persistentvolumeclaims persistentvolumes",
    "create | authentication.k8s.io | tokenreviews",
    "create | authorization.k8s.io | subjectaccessreviews",
    "read | storage.k8s.io | csinodes",
    "read | storage.k8s.io | volumeattachments",
    "read | core | namespaces",
    "read | storage.k8s.io | csidrivers",
    "read | storage.k8s.io | csistoragecapacities",
    "read | resource.k8s.io | deviceclasses",
    "get list watch update patch | resource.k8s.io | resourceclaims",
    "get list watch update patch | resource.k8s.io | resourceclaims/status",
    "update | core | pods/finalizers",
    "read | resource.k8s.io | resourceslices",
];

const CONTROLLER_MANAGER: &[&str] = &[
    EVENTS,
    "create | coordination.k8s.io | leases",
    "get update | coordination.k8s.io | leases | kube-controller-manager",
    "create | core | secrets serviceaccounts",
    "delete | core | secrets",
    "get | core | namespaces secrets serviceaccounts configmaps",
    "update | core | secrets serviceaccounts",
    "create | authentication.k8s.io | tokenreviews",
    "create | authorization.k8s.io | subjectaccessreviews",
    "list watch | * | *",
    "create | core | serviceaccounts/token",
];

/// Name and rules of the cluster roles that are not aggregated.
const CLUSTER_ROLES: &[(&str, &[&str])] = &[
    ("cluster-admin", &["* | * | *", "urls | * | *"]),
    (
        "system:discovery",
        &["urls | get | /livez /readyz /healthz /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*"],
    ),
    (
        "system:monitoring",
        &[
            "urls | get | /metrics /metrics/slis /livez /readyz /healthz /livez/* /readyz/* /healthz/*",
            "get | core | nodes/metrics",
        ],
    ),
    (
        "system:basic-user",
        &[
            "create | authorization.k8s.io | selfsubjectaccessreviews selfsubjectrulesreviews",
            "create | authentication.k8s.io | selfsubjectreviews",
        ],
    ),
    ("system:public-info-viewer", &["urls | get | /livez /readyz /healthz /version /version/"]),
    (
        "system:aggregate-to-admin",
        &[
            "create | authorization.k8s.io | localsubjectaccessreviews",
            "all | rbac.authorization.k8s.io | roles rolebindings",
        ],
    ),
    ("system:aggregate-to-edit", EDIT),
    ("system:aggregate-to-view", VIEW),
    ("system:heapster", &["read | core | events pods nodes namespaces", "read | extensions | deployments"]),
    ("system:node", NODE),
    ("system:node-problem-detector", &["get | core | nodes", "patch | core | nodes/status", EVENTS]),
    ("system:node-bootstrapper", &["create get list watch | certificates.k8s.io | certificatesigningrequests"]),
    (
        "system:auth-delegator",
        &["create | authentication.k8s.io | tokenreviews", "create | authorization.k8s.io | subjectaccessreviews"],
    ),
    ("system:kube-aggregator", &["read | core | services endpoints"]),
    ("system:kube-controller-manager", CONTROLLER_MANAGER),
    ("system:kube-dns", &["list watch | core | endpoints services"]),
    (
        "system:persistent-volume-provisioner",
        &[
            "get list watch create delete | core | persistentvolumes",
            "get list watch update | core | persistentvolumeclaims",
            "read | storage.k8s.io | storageclasses",
            "watch | core | events",
            EVENTS,
        ],
    ),
    (
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &["create | certificates.k8s.io | certificatesigningrequests/nodeclient"],
    ),
    (
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &["create | certificates.k8s.io | certificatesigningrequests/selfnodeclient"],
    ),
    (
        "system:volume-scheduler",
        &[
            "get list watch update patch | core | persistentvolumes",
            "read | storage.k8s.io | storageclasses",
            "get list watch update patch | core | persistentvolumeclaims",
        ],
    ),
    (
        "system:certificates.k8s.io:legacy-unknown-approver",
        &["approve | certificates.k8s.io | signers | kubernetes.io/legacy-unknown"],
    ),
    (
        "system:certificates.k8s.io:kubelet-serving-approver",
        &["approve | certificates.k8s.io | signers | kubernetes.io/kubelet-serving"],
    ),
    (
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &["approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client"],
    ),
    (
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &["approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet"],
    ),
    (
        "system:service-account-issuer-discovery",
        &["urls | get | /.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks \
           /openid/v1/jwks/"],
    ),
    (
        "system:kubelet-api-admin",
        &[
            "get list watch | core | nodes",
            "proxy | core | nodes",
            "* | core | nodes/proxy nodes/metrics nodes/stats nodes/log",
            "* | core | nodes/pods nodes/healthz nodes/configz",
        ],
    ),
    (
        "system:node-proxier",
        &[
            "list watch | core | services endpoints",
            "get list watch | core | nodes",
            EVENTS,
            "list watch | networking.k8s.io | servicecidrs",
            "list watch | discovery.k8s.io | endpointslices",
        ],
    ),
    ("system:kube-scheduler", SCHEDULER),
];

/// Roles that collect the rules of others, and the role that they go into themselves.
const AGGREGATED: [(&str, Option<&str>); 3] = [("admin", None), ("edit", Some("admin")), ("view", Some("edit"))];

/// Cluster role, kind of subject and its names. The binding has the role's name.
const CLUSTER_BINDINGS: &[(&str, &str, &[&str])] = &[
    ("cluster-admin", "Group", &["system:masters"]),
    ("system:monitoring", "Group", &["system:monitoring"]),
    ("system:discovery", "Group", &["system:authenticated"]),
    ("system:basic-user", "Group", &["system:authenticated"]),
    ("system:public-info-viewer", "Group", &["system:authenticated", "system:unauthenticated"]),
    ("system:node-proxier", "User", &["system:kube-proxy"]),
    ("system:kube-controller-manager", "User", &["system:kube-controller-manager"]),
    ("system:kube-dns", "ServiceAccount", &["kube-system/kube-dns"]),
    ("system:kube-scheduler", "User", &["system:kube-scheduler"]),
    ("system:volume-scheduler", "User", &["system:kube-scheduler"]),
    ("system:node", "User", &[]),
    ("system:service-account-issuer-discovery", "Group", &["system:serviceaccounts"]),
];

/// Every role and binding, in the order in which they are to be made.
pub fn objects() -> Vec<Bootstrap> {
    let mut objects: Vec<Bootstrap> = CLUSTER_ROLES.iter().map(|(name, rules)| cluster_role(name, rules)).collect();
    objects.extend(AGGREGATED.iter().map(|(name, into)| aggregated_role(name, *into)));
    objects.extend(CLUSTER_BINDINGS.iter().map(|(role, kind, names)| cluster_binding(role, kind, names)));
    let reader = "extension-apiserver-authentication-reader";
    let rules = ["read | core | configmaps | extension-apiserver-authentication"];
    let mut role = object("Role", reader);
    role["metadata"]["namespace"] = json!("kube-system");
    role["rules"] = rules.iter().map(|line| rule(line)).collect();
    objects.push(Bootstrap { plural: "roles", namespace: "kube-system", object: role });
    let mut binding = object("RoleBinding", &format!("system::{reader}"));
    binding["metadata"]["namespace"] = json!("kube-system");
    binding["roleRef"] = json!({"apiGroup": GROUP, "kind": "Role", "name": reader});
    let users = ["system:kube-controller-manager", "system:kube-scheduler"];
    binding["subjects"] = users.iter().map(|name| subject("User", name)).collect();
    objects.push(Bootstrap { plural: "rolebindings", namespace: "kube-system", object: binding });
    objects
}

/// What an existing object lacks of a bootstrap object: the completed object, unless its owner has
/// switched that off with `rbac.authorization.kubernetes.io/autoupdate: "false"`.
pub fn completed(existing: &Value, expected: &Value) -> Option<Value> {
    if existing["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] == "false" {
        return None;
    }
    let mut completed = existing.clone();
    for field in ["rules", "subjects"] {
        let Some(wanted) = expected[field].as_array() else { continue };
        let missing: Vec<Value> = wanted
            .iter()
            .filter(|one| !existing[field].as_array().is_some_and(|present| present.contains(one)))
            .cloned()
            .collect();
        if !missing.is_empty() {
            let mut all = existing[field].as_array().cloned().unwrap_or_default();
            all.extend(missing);
            completed[field] = Value::Array(all);
        }
    }
    if expected.get("aggregationRule").is_some() && existing.get("aggregationRule").is_none() {
        completed["aggregationRule"] = expected["aggregationRule"].clone();
    }
    (completed != *existing).then_some(completed)
}

fn object(kind: &str, name: &str) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}}})
}

fn cluster_role(name: &str, rules: &[&str]) -> Bootstrap {
    let mut role = object("ClusterRole", name);
    role["rules"] = rules.iter().map(|line| rule(line)).collect();
    if let Some(into) = name.strip_prefix("system:aggregate-to-") {
        role["metadata"]["labels"][format!("{GROUP}/aggregate-to-{into}")] = json!("true");
    }
    Bootstrap { plural: "clusterroles", namespace: "", object: role }
}

fn aggregated_role(name: &str, into: Option<&str>) -> Bootstrap {
    let label = |name: &str| format!("{GROUP}/aggregate-to-{name}");
    let mut role = object("ClusterRole", name);
    role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label(name): "true"}}]});
    if let Some(into) = into {
        role["metadata"]["labels"][label(into)] = json!("true");
    }
    Bootstrap { plural: "clusterroles", namespace: "", object: role }
}

fn cluster_binding(role: &str, kind: &str, names: &[&str]) -> Bootstrap {
    let mut binding = object("ClusterRoleBinding", role);
    binding["roleRef"] = json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": role});
    if !names.is_empty() {
        binding["subjects"] = names.iter().map(|name| subject(kind, name)).collect();
    }
    Bootstrap { plural: "clusterrolebindings", namespace: "", object: binding }
}

fn subject(kind: &str, name: &str) -> Value {
    match name.split_once('/').filter(|_| kind == "ServiceAccount") {
        Some((ns, name)) => json!({"kind": kind, "namespace": ns, "name": name}),
        None => json!({"apiGroup": GROUP, "kind": kind, "name": name}),
    }
}

fn rule(line: &str) -> Value {
    let parts: Vec<&str> = line.split(" | ").collect();
    let list = |position: usize| {
        let words = parts.get(position).into_iter().flat_map(|part| part.split_whitespace());
        let mut words: Vec<&str> = words.map(|word| if word == "core" { "" } else { word }).collect();
        words.sort_unstable();
        words
    };
    if parts[0] == "urls" {
        return json!({"verbs": list(1), "nonResourceURLs": list(2)});
    }
    let verbs = match parts[0] {
        "read" => vec!["get", "list", "watch"],
        "write" => vec!["create", "delete", "deletecollection", "patch", "update"],
        "all" => vec!["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        _ => list(0),
    };
    let mut rule = json!({"verbs": verbs, "apiGroups": list(1), "resources": list(2)});
    if parts.len() > 3 {
        rule["resourceNames"] = json!(list(3));
    }
    rule
}
