//! The objects of Ferroflow in a cluster: what `install` applies, and what `deploy/kubernetes` holds.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::plan::{Certificate, Plan, Records};
use crate::{gateway, launcher, own_image, records::FILE_VARIABLE};

/// The name of everything.
pub const NAME: &str = "ferroflow";
/// The Secret of the gateway's certificate.
pub const TLS: &str = "ferroflow-tls";
/// The service that clients in pods look for, in the namespace of runs.
pub const PIPELINES: &str = "ml-pipeline";
/// On what was made here: a namespace that somebody else has made is not removed.
pub const MANAGED: (&str, &str) = ("app.kubernetes.io/managed-by", "ferroflow");
/// Whom the server's image runs as.
const USER: u32 = 65_532;
const HTTP: u16 = 8800;
const HTTPS: u16 = 8843;
/// The port that clients in pods look for.
const PIPELINES_PORT: u16 = 8888;

/// Key of the Secret: the URL of the database.
pub const RECORDS: &str = "records";
/// Key of the Secret: a file as `~/.aws/credentials`.
pub const CREDENTIALS: &str = "s3-credentials";

/// All objects, in the order in which they are applied.
pub fn all(plan: &Plan) -> Vec<Value> {
    let mut objects = vec![namespace(&plan.namespace, "restricted")];
    if plan.runs != plan.namespace {
        objects.push(namespace(&plan.runs, ""));
    }
    objects.extend(rights(plan));
    objects.extend(gateway::roles());
    objects.push(settings(plan));
    objects.extend(secret(plan));
    objects.extend(certificate(plan));
    objects.extend(claim(plan));
    objects.extend([service(plan), pipelines(plan), network(plan)]);
    if plan.replicas > 1 {
        objects.push(disruption(plan));
    }
    objects.push(deployment(plan));
    objects.iter_mut().for_each(label);
    objects
}

/// What another form of the same installation has, and this one has not.
pub fn unwanted(plan: &Plan, runs_before: Option<&str>) -> Vec<Value> {
    let mut objects = Vec::new();
    if plan.replicas <= 1 {
        // It would hold up every drain of the only server's node.
        objects.push(disruption(plan));
    }
    if let Some(before) = runs_before.filter(|before| *before != plan.runs) {
        let meta = json!({"name": PIPELINES, "namespace": before});
        objects.push(json!({"apiVersion": "v1", "kind": "Service", "metadata": meta}));
    }
    objects
}

/// Whether servers read an object when they start, and not again.
pub fn is_read_at_start(object: &Value) -> bool {
    matches!(object["kind"].as_str(), Some("ConfigMap" | "Secret")) && object["metadata"]["name"] == NAME
}

fn label(object: &mut Value) {
    let labels = object["metadata"].as_object_mut().map(|meta| meta.entry("labels").or_insert_with(|| json!({})));
    if let Some(labels) = labels {
        labels["app.kubernetes.io/name"] = json!(NAME);
        labels[MANAGED.0] = json!(MANAGED.1);
    }
}

fn selector() -> Value {
    json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "server"})
}

/// A namespace, whose pods must be of a level of Pod Security where one is given.
fn namespace(name: &str, level: &str) -> Value {
    let mut labels = Map::new();
    if !level.is_empty() {
        labels.insert("pod-security.kubernetes.io/enforce".to_owned(), json!(level));
    }
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// What the server may do: each line is something that it does.
fn rights(plan: &Plan) -> Vec<Value> {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let roles: Vec<Value> = gateway::roles().iter().map(|role| role["metadata"]["name"].clone()).collect();
    let mut own_namespace = rule("", &["namespaces"], &["get"]);
    own_namespace["resourceNames"] = json!([plan.runs]);
    let mut own_roles = rule("rbac.authorization.k8s.io", &["clusterroles"], &["get"]);
    own_roles["resourceNames"] = json!(roles);
    let everywhere = json!([
        rule("", &["pods"], &["create", "get", "list", "watch", "delete", "deletecollection"]),
        rule("", &["pods/log"], &["get"]),
        rule("", &["persistentvolumeclaims"], &["create", "get", "delete"]),
        rule("authentication.k8s.io", &["tokenreviews"], &["create"]),
        rule("authorization.k8s.io", &["subjectaccessreviews"], &["create"]),
        own_namespace,
        own_roles,
    ]);
    let leases = json!([rule("coordination.k8s.io", &["leases"], &["create", "get", "update"])]);
    let api = "rbac.authorization.k8s.io";
    let version = format!("{api}/v1");
    let subjects = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": plan.namespace}]);
    let reference = |kind: &str| json!({"apiGroup": api, "kind": kind, "name": NAME});
    let here = json!({"name": NAME, "namespace": plan.namespace});
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": here}),
        json!({"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": NAME}, "rules": everywhere}),
        json!({
            "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": {"name": NAME},
            "roleRef": reference("ClusterRole"), "subjects": subjects,
        }),
        json!({"apiVersion": version, "kind": "Role", "metadata": here, "rules": leases}),
        json!({
            "apiVersion": version, "kind": "RoleBinding", "metadata": here,
            "roleRef": reference("Role"), "subjects": subjects,
        }),
    ]
}

fn settings(plan: &Plan) -> Value {
    let artifacts = plan.artifacts.clone().unwrap_or_default();
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": plan.namespace},
        "data": {"artifacts": artifacts.place, "s3-endpoint": artifacts.endpoint, "s3-region": artifacts.region},
    })
}

/// What the server must know and nobody else: `None` where there is nothing.
fn secret(plan: &Plan) -> Option<Value> {
    let mut data = Map::new();
    if let Records::Database(url) = &plan.records {
        data.insert(RECORDS.to_owned(), json!(url));
    }
    if let Some(credentials) = plan.artifacts.as_ref().and_then(|artifacts| artifacts.credentials.as_ref()) {
        data.insert(CREDENTIALS.to_owned(), json!(credentials));
    }
    let meta = json!({"name": NAME, "namespace": plan.namespace});
    (!data.is_empty()).then(|| json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}))
}

/// The gateway's certificate, where one was made.
fn certificate(plan: &Plan) -> Option<Value> {
    let Certificate::Made(issued) = &plan.certificate else { return None };
    let encoded = |text: &str| json!(STANDARD.encode(text));
    Some(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": TLS, "namespace": plan.namespace},
        "data": {
            "ca.crt": encoded(&issued.authority),
            "tls.crt": encoded(&issued.certificate),
            "tls.key": encoded(&issued.key),
        },
    }))
}

fn claim(plan: &Plan) -> Option<Value> {
    let volume = plan.volume.as_ref()?;
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": volume.size}},
    });
    if let Some(class) = &volume.class {
        spec["storageClassName"] = json!(class);
    }
    Some(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": NAME, "namespace": plan.namespace}, "spec": spec,
    }))
}

fn service(plan: &Plan) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "namespace": plan.namespace},
        "spec": {
            "selector": selector(),
            "ports": [
                {"name": "http", "port": HTTP, "targetPort": "http"},
                {"name": "https", "port": 443, "targetPort": "https"},
                {"name": "ml-pipeline", "port": PIPELINES_PORT, "targetPort": "http"},
            ],
        },
    })
}

/// `http://ml-pipeline.kubeflow:8888`, which `kfp.Client()` in a pod calls.
fn pipelines(plan: &Plan) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": PIPELINES, "namespace": plan.runs},
        "spec": {"type": "ExternalName", "externalName": format!("{NAME}.{}.svc.cluster.local", plan.namespace)},
    })
}

/// Nobody reaches other ports of the server. Whom it calls depends on where its database and its bucket are.
fn network(plan: &Plan) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": NAME, "namespace": plan.namespace},
        "spec": {
            "podSelector": {"matchLabels": selector()},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": "http", "protocol": "TCP"}, {"port": "https", "protocol": "TCP"}]}],
        },
    })
}

fn disruption(plan: &Plan) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": NAME, "namespace": plan.namespace},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": selector()}},
    })
}

fn deployment(plan: &Plan) -> Value {
    let strategy = match plan.records {
        // A volume has one user at a time.
        Records::Volume => json!({"type": "Recreate"}),
        Records::Database(_) => {
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}})
        }
    };
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME, "namespace": plan.namespace},
        "spec": {
            "replicas": plan.replicas,
            "strategy": strategy,
            "selector": {"matchLabels": selector()},
            "template": {"metadata": {"labels": selector()}, "spec": pod(plan)},
        },
    })
}

fn pod(plan: &Plan) -> Value {
    let data = match plan.records {
        Records::Volume => json!({"name": "data", "persistentVolumeClaim": {"claimName": NAME}}),
        Records::Database(_) => json!({"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}),
    };
    json!({
        "serviceAccountName": NAME,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 60,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector()},
        }],
        "containers": [container(plan)],
        "volumes": [
            data,
            {"name": "temporary", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "secret", "secret": {"secretName": NAME, "optional": true}},
            {"name": "certificate", "secret": {"secretName": TLS, "optional": true}},
        ],
    })
}

fn container(plan: &Plan) -> Value {
    let setting = |name: &str, key: &str| {
        let from = json!({"configMapKeyRef": {"name": NAME, "key": key, "optional": true}});
        json!({"name": name, "valueFrom": from})
    };
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": "http"}});
    let mut startup = probe("/healthz");
    (startup["periodSeconds"], startup["failureThreshold"]) = (json!(2), json!(60));
    let mut ready = probe("/readyz");
    (ready["periodSeconds"], ready["failureThreshold"]) = (json!(2), json!(1));
    let mut live = probe("/healthz");
    (live["periodSeconds"], live["failureThreshold"], live["timeoutSeconds"]) = (json!(10), json!(6), json!(5));
    // By variables, and not by words, so that another command in the same container finds the same stores.
    let mut variables = vec![
        json!({"name": "FERROFLOW_DATA_DIR", "value": "/data"}),
        json!({"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}),
        setting("FERROFLOW_ARTIFACTS", "artifacts"),
        setting("AWS_ENDPOINT_URL_S3", "s3-endpoint"),
        setting("AWS_REGION", "s3-region"),
        json!({"name": "AWS_SHARED_CREDENTIALS_FILE", "value": format!("/etc/ferroflow/{CREDENTIALS}")}),
    ];
    if matches!(plan.records, Records::Database(_)) {
        variables.push(json!({"name": FILE_VARIABLE, "value": format!("/etc/ferroflow/{RECORDS}")}));
    }
    json!({
        "name": "server",
        "image": plan.image,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments(plan),
        "env": variables,
        "ports": [
            {"name": "http", "containerPort": HTTP},
            {"name": "https", "containerPort": HTTPS},
        ],
        "startupProbe": startup,
        "readinessProbe": ready,
        "livenessProbe": live,
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "1Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "temporary", "mountPath": "/tmp"},
            {"name": "secret", "mountPath": "/etc/ferroflow", "readOnly": true},
            {"name": "certificate", "mountPath": "/etc/ferroflow-tls", "readOnly": true},
        ],
    })
}

fn arguments(plan: &Plan) -> Vec<String> {
    let own = format!("{NAME}.{}.svc", plan.namespace);
    let mut words = vec![
        "server".to_owned(),
        format!("--listen=0.0.0.0:{HTTP}"),
        format!("--tls-listen=0.0.0.0:{HTTPS}"),
        format!("--advertise=http://{own}:{HTTP}"),
        format!("--peer-address=$(POD_IP):{HTTP}"),
        format!("--namespace={}", plan.runs),
        format!("--lease-namespace={}", plan.namespace),
        format!("--launcher-image={}", plan.launcher_image),
        "--drain=10".to_owned(),
    ];
    let limits =
        [("running-steps", plan.limits.steps), ("running-steps-per-namespace", plan.limits.steps_per_namespace)];
    words.extend(limits.into_iter().filter_map(|(flag, count)| Some(format!("--{flag}={}", count?))));
    if !matches!(plan.certificate, Certificate::Own) {
        words.push("--tls-certificate=/etc/ferroflow-tls/tls.crt".to_owned());
        words.push("--tls-key=/etc/ferroflow-tls/tls.key".to_owned());
    }
    let names = names(&plan.namespace, &plan.runs).into_iter().chain(plan.names.iter().cloned());
    words.extend(names.map(|name| format!("--name={name}")));
    words
}

/// Host names by which clients in the cluster reach the gateway, with servers in one namespace and runs in another.
pub fn names(namespace: &str, runs: &str) -> Vec<String> {
    let forms =
        |name: &str, namespace: &str| ["", ".svc", ".svc.cluster.local"].map(|end| format!("{name}.{namespace}{end}"));
    let mut names = vec![NAME.to_owned(), PIPELINES.to_owned()];
    names.extend(forms(NAME, namespace));
    names.extend(forms(PIPELINES, runs));
    names
}

/// The images of this version.
pub fn images() -> (String, String) {
    (own_image::image(), launcher::image())
}
