//! `doctor`: what is missing in a cluster, what the server may not do, and what to change.

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
        coordination::v1::Lease,
        core::v1::{Pod, Secret},
    },
    jiff::Timestamp,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::Value;

use super::{
    apply,
    found::Servers,
    objects::{NAME, RECORDS},
};
use crate::records::FILE_VARIABLE;

/// The oldest Kubernetes whose API has all that is used.
const OLDEST: (u32, u32) = (1, 29);

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub what: String,
    /// What is wrong, and what to do; `None` where all is well.
    pub fault: Option<(String, String)>,
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self { what: what.into(), fault: None }
    }

    fn bad(what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), fault: Some((why.into(), hint.into())) }
    }
}

/// Looks at all of it.
///
/// # Errors
/// When the cluster does not answer at all.
pub async fn all(client: &Client, namespace: &str, runs: &str) -> anyhow::Result<Vec<Finding>> {
    let mut findings = vec![version(client).await?];
    for name in [namespace, runs] {
        let what = format!("namespace {name}");
        findings.push(if apply::has_namespace(client, name).await? {
            Finding::good(what)
        } else {
            Finding::bad(what, "it is not there", "run ferroflow install")
        });
    }
    findings.extend(rights(client, namespace, runs).await);
    let deployment = Api::<Deployment>::namespaced(client.clone(), namespace).get_opt(NAME).await?;
    findings.push(servers(deployment.as_ref()));
    findings.extend(pods(client, namespace).await?);
    if deployment.as_ref().map(Servers::of).as_ref().is_some_and(shares_records) {
        findings.push(database(client, namespace).await?);
        findings.push(lease(client, namespace).await?);
    }
    if deployment.is_some() {
        findings.push(answers(client, namespace).await);
    }
    Ok(findings)
}

async fn version(client: &Client) -> anyhow::Result<Finding> {
    let found = client.apiserver_version().await?;
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let what = format!("Kubernetes {}.{}", found.major, found.minor);
    Ok(if (number(&found.major), number(&found.minor)) >= OLDEST {
        Finding::good(what)
    } else {
        Finding::bad(what, format!("it is older than {}.{}", OLDEST.0, OLDEST.1), "upgrade the cluster")
    })
}

/// What the server must be allowed to do, as group, resource, subresource and verb.
const NEEDED: [(&str, &str, &str, &str); 10] = [
    ("", "pods", "", "create"),
    ("", "pods", "", "list"),
    ("", "pods", "", "watch"),
    ("", "pods", "", "delete"),
    ("", "pods", "", "deletecollection"),
    ("", "pods", "log", "get"),
    ("", "persistentvolumeclaims", "", "create"),
    ("", "persistentvolumeclaims", "", "delete"),
    ("authentication.k8s.io", "tokenreviews", "", "create"),
    ("authorization.k8s.io", "subjectaccessreviews", "", "create"),
];

async fn rights(client: &Client, namespace: &str, runs: &str) -> Vec<Finding> {
    let mut missing = Vec::new();
    let leases = ["create", "get", "update"].map(|verb| ("coordination.k8s.io", "leases", "", verb, namespace));
    let needed = NEEDED.map(|(group, resource, sub, verb)| (group, resource, sub, verb, runs));
    for (group, resource, sub, verb, place) in needed.into_iter().chain(leases) {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let attributes = ResourceAttributes {
            group: some(group),
            resource: some(resource),
            subresource: some(sub),
            verb: some(verb),
            namespace: some(place),
            ..ResourceAttributes::default()
        };
        let user = format!("system:serviceaccount:{namespace}:{NAME}");
        let groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let spec = SubjectAccessReviewSpec {
            user: Some(user),
            groups: Some(groups),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        match Api::<SubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await {
            Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => {}
            Ok(_) => {
                let slash = if sub.is_empty() { "" } else { "/" };
                missing.push(format!("{verb} {resource}{slash}{sub} in {place}"));
            }
            Err(error) => {
                let hint = "run this as somebody who may create subjectaccessreviews";
                return vec![Finding::bad("rights of the server", format!("they cannot be asked for: {error}"), hint)];
            }
        }
    }
    if missing.is_empty() {
        return vec![Finding::good("rights of the server")];
    }
    let hint = "run ferroflow install again, or apply the roles of deploy/kubernetes";
    missing.into_iter().map(|what| Finding::bad("rights of the server", format!("it may not {what}"), hint)).collect()
}

fn servers(deployment: Option<&Deployment>) -> Finding {
    let Some(found) = deployment else {
        return Finding::bad("servers", "there is no Deployment", "run ferroflow install");
    };
    let wanted = found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let available = found.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default();
    let what = format!("servers: {available} of {wanted} available");
    if apply::is_rolled_out(found) {
        return Finding::good(what);
    }
    Finding::bad(what, "not all of them answer, or an older one is left", "see the pods below, and kubectl logs")
}

/// Whether records are in a database, of which the servers have the URL in a file or, as those of earlier versions, by a word.
fn shares_records(servers: &Servers) -> bool {
    servers.has_variable(FILE_VARIABLE) || servers.words.iter().any(|word| word.starts_with("--records"))
}

async fn pods(client: &Client, namespace: &str) -> anyhow::Result<Vec<Finding>> {
    let selector = ListParams::default().labels(&format!("app.kubernetes.io/name={NAME}"));
    let found = Api::<Pod>::namespaced(client.clone(), namespace).list(&selector).await?;
    Ok(found.items.iter().filter_map(pod).collect())
}

/// What is wrong with a pod; nothing where it runs.
fn pod(pod: &Pod) -> Option<Finding> {
    let what = format!("pod {}", pod.name_any());
    let status = pod.status.as_ref()?;
    let unscheduled =
        status.conditions.iter().flatten().find(|one| one.type_ == "PodScheduled" && one.status == "False");
    if let Some(condition) = unscheduled {
        let why = condition.message.clone().unwrap_or_default();
        return Some(Finding::bad(what, why, "give the cluster room, or a volume to the claim"));
    }
    let container = status.container_statuses.iter().flatten().next()?;
    if container.ready {
        return Some(Finding::good(what));
    }
    let state = container.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.clone()).unwrap_or_else(|| "it is not ready".to_owned());
    let hint = match reason.as_str() {
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => {
            format!("let nodes have the image {:?}, or name another with --image", container.image)
        }
        "CreateContainerConfigError" => "see that the Secret and the ConfigMap are there".to_owned(),
        _ => format!("kubectl logs {} says why", pod.name_any()),
    };
    let why = match (waiting.and_then(|waiting| waiting.message.clone()), ended) {
        (Some(message), _) => format!("{reason}: {message}"),
        (None, Some(ended)) => format!("{reason}, it ended with {} before", ended.exit_code),
        (None, None) => reason,
    };
    Some(Finding::bad(what, why, hint))
}

async fn database(client: &Client, namespace: &str) -> anyhow::Result<Finding> {
    let what = "Secret with the URL of the database";
    let hint = format!("kubectl -n {namespace} create secret generic {NAME} --from-literal={RECORDS}=postgres://…");
    Ok(match Api::<Secret>::namespaced(client.clone(), namespace).get_opt(NAME).await {
        Ok(Some(secret)) => match secret.data.as_ref().and_then(|data| data.get(RECORDS)) {
            Some(url) if url.0.starts_with(b"postgres") => Finding::good(what),
            _ => Finding::bad(what, format!("its key {RECORDS:?} holds no URL"), hint),
        },
        Ok(None) => Finding::bad(what, "it is not there", hint),
        // Who may not read Secrets hears of a wrong one from the servers.
        Err(kube::Error::Api(status)) if status.code == 403 => Finding::good(format!("{what}: not to be seen by you")),
        Err(error) => return Err(error.into()),
    })
}

async fn lease(client: &Client, namespace: &str) -> anyhow::Result<Finding> {
    let found = Api::<Lease>::namespaced(client.clone(), namespace).get_opt(NAME).await?;
    let spec = found.and_then(|lease| lease.spec).unwrap_or_default();
    let holder = spec.holder_identity.clone().unwrap_or_default();
    if holder.is_empty() {
        return Ok(Finding::bad("leader", "no server leads", "kubectl logs of the servers say why"));
    }
    let duration = i64::from(spec.lease_duration_seconds.unwrap_or_default());
    let renewed = spec.renew_time.map_or(0, |time| time.0.as_second());
    let age_s = Timestamp::now().as_second() - renewed;
    let what = format!("leader: {holder}");
    Ok(if age_s <= duration + 1 {
        Finding::good(what)
    } else {
        Finding::bad(what, format!("it was heard last {age_s} s ago"), "kubectl logs of the servers say why")
    })
}

/// Asks the servers themselves, through the API server.
async fn answers(client: &Client, namespace: &str) -> Finding {
    let what = "servers answer";
    let path = format!("/api/v1/namespaces/{namespace}/services/{NAME}:http/proxy/readyz");
    let request = match http::Request::get(path).body(Vec::new()) {
        Ok(request) => request,
        Err(error) => return Finding::bad(what, error.to_string(), "give another --namespace"),
    };
    match client.request_text(request).await {
        Ok(_) => Finding::good(what),
        Err(kube::Error::Api(status)) if status.code == 403 => Finding::good(format!("{what}: not to be asked by you")),
        Err(error) => Finding::bad(what, told(&error), "kubectl logs of the servers say why"),
    }
}

fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => {
            // The answer of a server that is not Kubernetes' comes as it is.
            let inner: Option<Value> = serde_json::from_str(&status.message).ok();
            inner
                .and_then(|value| value["message"].as_str().map(str::to_owned))
                .unwrap_or_else(|| status.message.clone())
        }
        other => other.to_string(),
    }
}
