//! The built-in rows: what Kubernetes 1.34 serves in the groups of this server, as its discovery tells it.
//!
//! Names, short names, categories and verbs follow `api/discovery` of the release, selectable fields the
//! field label conversions under `pkg/apis`. The table never holds a group that is not served.

use std::sync::Arc;

use super::{Resource, ResourceRef, Scope, Subresource};

const ALL_VERBS: &str = "create delete deletecollection get list patch update watch";
const STATUS_VERBS: &str = "get patch update";

/// A row in its shortest form; what is derived from names is not written down.
struct Row {
    plural: &'static str,
    kind: &'static str,
    scope: Scope,
    short_names: &'static str,
    categories: &'static str,
    verbs: &'static str,
    /// `name`, `name=kind` or `name=group/version/kind`, then verbs where they are not those of a status.
    subresources: &'static [&'static str],
    selectable_fields: &'static str,
}

const fn row(plural: &'static str, kind: &'static str, scope: Scope) -> Row {
    Row {
        plural,
        kind,
        scope,
        short_names: "",
        categories: "",
        verbs: ALL_VERBS,
        subresources: &[],
        selectable_fields: "",
    }
}

const fn cluster(plural: &'static str, kind: &'static str) -> Row {
    row(plural, kind, Scope::Cluster)
}

const fn namespaced(plural: &'static str, kind: &'static str) -> Row {
    row(plural, kind, Scope::Namespaced)
}

impl Row {
    const fn short(self, short_names: &'static str) -> Self {
        Self { short_names, ..self }
    }

    const fn category(self, categories: &'static str) -> Self {
        Self { categories, ..self }
    }

    const fn verbs(self, verbs: &'static str) -> Self {
        Self { verbs, ..self }
    }

    const fn subresources(self, subresources: &'static [&'static str]) -> Self {
        Self { subresources, ..self }
    }

    const fn selectable(self, selectable_fields: &'static str) -> Self {
        Self { selectable_fields, ..self }
    }
}

const SCALE: &str = "scale=autoscaling/v1/Scale";

const CORE: &[Row] = &[
    namespaced("bindings", "Binding").verbs("create"),
    namespaced("configmaps", "ConfigMap").short("cm"),
    namespaced("endpoints", "Endpoints").short("ep"),
    namespaced("events", "Event").short("ev").selectable(
        "involvedObject.apiVersion involvedObject.fieldPath involvedObject.kind involvedObject.name \
         involvedObject.namespace involvedObject.resourceVersion involvedObject.uid reason reportingComponent \
         source type",
    ),
    namespaced("limitranges", "LimitRange").short("limits"),
    cluster("namespaces", "Namespace")
        .short("ns")
        .verbs("create delete get list patch update watch")
        .subresources(&["finalize update", "status"])
        .selectable("status.phase"),
    cluster("nodes", "Node")
        .short("no")
        .subresources(&["proxy=NodeProxyOptions create delete get patch update", "status"])
        .selectable("spec.unschedulable"),
    namespaced("persistentvolumeclaims", "PersistentVolumeClaim").short("pvc").subresources(&["status"]),
    cluster("persistentvolumes", "PersistentVolume").short("pv").subresources(&["status"]),
    namespaced("pods", "Pod")
        .short("po")
        .category("all")
        .subresources(&[
            "attach=PodAttachOptions create get",
            "binding=Binding create",
            "ephemeralcontainers",
            "eviction=policy/v1/Eviction create",
            "exec=PodExecOptions create get",
            "log get",
            "portforward=PodPortForwardOptions create get",
            "proxy=PodProxyOptions create delete get patch update",
            "resize",
            "status",
        ])
        .selectable(
            "spec.hostNetwork spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName \
             status.nominatedNodeName status.phase status.podIP status.podIPs",
        ),
    namespaced("podtemplates", "PodTemplate"),
    namespaced("replicationcontrollers", "ReplicationController")
        .short("rc")
        .category("all")
        .subresources(&[SCALE, "status"])
        .selectable("status.replicas"),
    namespaced("resourcequotas", "ResourceQuota").short("quota").subresources(&["status"]),
    namespaced("secrets", "Secret").selectable("type"),
    namespaced("serviceaccounts", "ServiceAccount")
        .short("sa")
        .subresources(&["token=authentication.k8s.io/v1/TokenRequest create"]),
    namespaced("services", "Service")
        .short("svc")
        .category("all")
        .subresources(&["proxy=ServiceProxyOptions create delete get patch update", "status"])
        .selectable("spec.clusterIP spec.type"),
];

const APIREGISTRATION: &[Row] =
    &[cluster("apiservices", "APIService").category("api-extensions").subresources(&["status"])];

const APPS: &[Row] = &[
    namespaced("controllerrevisions", "ControllerRevision"),
    namespaced("daemonsets", "DaemonSet").short("ds").category("all").subresources(&["status"]),
    namespaced("deployments", "Deployment").short("deploy").category("all").subresources(&[SCALE, "status"]),
    namespaced("replicasets", "ReplicaSet").short("rs").category("all").subresources(&[SCALE, "status"]),
    namespaced("statefulsets", "StatefulSet").short("sts").category("all").subresources(&[SCALE, "status"]),
];

const EVENTS: &[Row] = &[namespaced("events", "Event").short("ev").selectable(
    "reason regarding.apiVersion regarding.fieldPath regarding.kind regarding.name regarding.namespace \
     regarding.resourceVersion regarding.uid reportingController type",
)];

const AUTHENTICATION: &[Row] = &[
    cluster("selfsubjectreviews", "SelfSubjectReview").verbs("create"),
    cluster("tokenreviews", "TokenReview").verbs("create"),
];

const AUTHORIZATION: &[Row] = &[
    namespaced("localsubjectaccessreviews", "LocalSubjectAccessReview").verbs("create"),
    cluster("selfsubjectaccessreviews", "SelfSubjectAccessReview").verbs("create"),
    cluster("selfsubjectrulesreviews", "SelfSubjectRulesReview").verbs("create"),
    cluster("subjectaccessreviews", "SubjectAccessReview").verbs("create"),
];

const AUTOSCALING: &[Row] = &[namespaced("horizontalpodautoscalers", "HorizontalPodAutoscaler")
    .short("hpa")
    .category("all")
    .subresources(&["status"])];

const BATCH: &[Row] = &[
    namespaced("cronjobs", "CronJob").short("cj").category("all").subresources(&["status"]),
    namespaced("jobs", "Job").category("all").subresources(&["status"]).selectable("status.successful"),
];

const CERTIFICATES: &[Row] = &[cluster("certificatesigningrequests", "CertificateSigningRequest")
    .short("csr")
    .subresources(&["approval", "status"])
    .selectable("spec.signerName")];

const NETWORKING: &[Row] = &[
    cluster("ingressclasses", "IngressClass"),
    namespaced("ingresses", "Ingress").short("ing").subresources(&["status"]),
    cluster("ipaddresses", "IPAddress").short("ip"),
    namespaced("networkpolicies", "NetworkPolicy").short("netpol"),
    cluster("servicecidrs", "ServiceCIDR").subresources(&["status"]),
];

const POLICY: &[Row] =
    &[namespaced("poddisruptionbudgets", "PodDisruptionBudget").short("pdb").subresources(&["status"])];

const RBAC: &[Row] = &[
    cluster("clusterrolebindings", "ClusterRoleBinding"),
    cluster("clusterroles", "ClusterRole"),
    namespaced("rolebindings", "RoleBinding"),
    namespaced("roles", "Role"),
];

const STORAGE: &[Row] = &[
    cluster("csidrivers", "CSIDriver"),
    cluster("csinodes", "CSINode"),
    namespaced("csistoragecapacities", "CSIStorageCapacity"),
    cluster("storageclasses", "StorageClass").short("sc"),
    cluster("volumeattachments", "VolumeAttachment").subresources(&["status"]),
    cluster("volumeattributesclasses", "VolumeAttributesClass").short("vac"),
];

const ADMISSIONREGISTRATION: &[Row] = &[
    cluster("mutatingwebhookconfigurations", "MutatingWebhookConfiguration").category("api-extensions"),
    cluster("validatingadmissionpolicies", "ValidatingAdmissionPolicy")
        .category("api-extensions")
        .subresources(&["status"]),
    cluster("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding").category("api-extensions"),
    cluster("validatingwebhookconfigurations", "ValidatingWebhookConfiguration").category("api-extensions"),
];

const APIEXTENSIONS: &[Row] = &[cluster("customresourcedefinitions", "CustomResourceDefinition")
    .short("crd crds")
    .category("api-extensions")
    .subresources(&["status"])];

const SCHEDULING: &[Row] = &[cluster("priorityclasses", "PriorityClass").short("pc")];
const COORDINATION: &[Row] = &[namespaced("leases", "Lease")];
const NODE: &[Row] = &[cluster("runtimeclasses", "RuntimeClass")];
const FLOWCONTROL: &[Row] = &[
    cluster("flowschemas", "FlowSchema").subresources(&["status"]),
    cluster("prioritylevelconfigurations", "PriorityLevelConfiguration").subresources(&["status"]),
];
const DISCOVERY: &[Row] = &[namespaced("endpointslices", "EndpointSlice")];

/// The groups in the order in which discovery lists them.
const GROUPS: &[(&str, &str, &[Row])] = &[
    ("", "v1", CORE),
    ("apiregistration.k8s.io", "v1", APIREGISTRATION),
    ("apps", "v1", APPS),
    ("events.k8s.io", "v1", EVENTS),
    ("authentication.k8s.io", "v1", AUTHENTICATION),
    ("authorization.k8s.io", "v1", AUTHORIZATION),
    ("autoscaling", "v2", AUTOSCALING),
    ("autoscaling", "v1", AUTOSCALING),
    ("batch", "v1", BATCH),
    ("certificates.k8s.io", "v1", CERTIFICATES),
    ("networking.k8s.io", "v1", NETWORKING),
    ("policy", "v1", POLICY),
    ("rbac.authorization.k8s.io", "v1", RBAC),
    ("storage.k8s.io", "v1", STORAGE),
    ("admissionregistration.k8s.io", "v1", ADMISSIONREGISTRATION),
    ("apiextensions.k8s.io", "v1", APIEXTENSIONS),
    ("scheduling.k8s.io", "v1", SCHEDULING),
    ("coordination.k8s.io", "v1", COORDINATION),
    ("node.k8s.io", "v1", NODE),
    ("discovery.k8s.io", "v1", DISCOVERY),
    ("flowcontrol.apiserver.k8s.io", "v1", FLOWCONTROL),
];

/// Every built-in resource, groups in discovery's order and resources by name.
///
/// Events of `events.k8s.io` and of the core group share one `storage`.
pub fn builtin() -> Vec<ResourceRef> {
    GROUPS
        .iter()
        .flat_map(|(group, version, rows)| rows.iter().map(|row| Arc::new(resource(group, version, row))))
        .collect()
}

fn resource(group: &str, version: &str, row: &Row) -> Resource {
    let mut resource = Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: row.kind.to_owned(),
        list_kind: format!("{}List", row.kind),
        plural: row.plural.to_owned(),
        singular: row.kind.to_lowercase(),
        short_names: words(row.short_names),
        categories: words(row.categories),
        scope: row.scope,
        verbs: words(row.verbs),
        subresources: row.subresources.iter().map(|text| subresource(text, group, version)).collect(),
        selectable_fields: words(row.selectable_fields),
        storage: String::new(),
        custom: false,
    };
    if resource.allows("list") {
        resource.storage = if row.kind == "Event" { "events".to_owned() } else { resource.group_resource() };
    }
    resource
}

fn subresource(text: &str, group: &str, version: &str) -> Subresource {
    let (head, verbs) = text.split_once(' ').unwrap_or((text, STATUS_VERBS));
    let (name, kind) = match head.split_once('=') {
        None => (head, None),
        Some((name, kind)) => (name, Some(kind)),
    };
    let kind = kind.map(|kind| {
        let mut parts = kind.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(group), Some(version), Some(kind)) => (group.to_owned(), version.to_owned(), kind.to_owned()),
            _ => (group.to_owned(), version.to_owned(), kind.to_owned()),
        }
    });
    Subresource { name: name.to_owned(), kind, verbs: words(verbs) }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
