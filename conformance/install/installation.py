"""What `ferroflow install` makes, and what the servers may do and say."""

import ssl

import yaml
from api.kit import Failure, case, check, repeat, same
from cluster import CORE, RBAC, asked, kubectl
from setting import APPS, IMAGE, LAUNCHER, LEASE, NAMESPACE, PIPELINES

ACCOUNT = f"{NAMESPACE}:ferroflow"
# (kind, namespace, name) of everything that is applied.
OBJECTS = {
    ("Namespace", "", NAMESPACE),
    ("Namespace", "", PIPELINES),
    ("ServiceAccount", NAMESPACE, "ferroflow"),
    ("ClusterRole", "", "ferroflow"),
    ("ClusterRoleBinding", "", "ferroflow"),
    ("Role", NAMESPACE, "ferroflow"),
    ("RoleBinding", NAMESPACE, "ferroflow"),
    ("ClusterRole", "", "kubeflow-pipelines-view"),
    ("ClusterRole", "", "kubeflow-pipelines-edit"),
    ("Secret", NAMESPACE, "ferroflow"),
    ("ConfigMap", NAMESPACE, "ferroflow"),
    ("Deployment", NAMESPACE, "ferroflow"),
    ("Service", NAMESPACE, "ferroflow"),
    ("PodDisruptionBudget", NAMESPACE, "ferroflow"),
    ("NetworkPolicy", NAMESPACE, "ferroflow"),
    ("Service", PIPELINES, "ml-pipeline"),
}

RBAC_GROUP, ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
# verbs, resource, namespace (empty: all), group
MAY_NOT = [
    ("get list watch", "secrets", PIPELINES, ""),
    ("get list", "secrets", "kube-system", ""),
    ("list watch", "secrets", "", ""),
    ("create", "pods/exec", PIPELINES, ""),
    ("create", "pods/attach", PIPELINES, ""),
    ("create", "pods/portforward", PIPELINES, ""),
    ("update patch", "pods/ephemeralcontainers", PIPELINES, ""),
    ("create", "pods/eviction", "kube-system", ""),
    ("update patch delete", "nodes", "", ""),
    ("get create", "nodes/proxy", "", ""),
    ("create", "serviceaccounts/token", PIPELINES, ""),
    ("create", "serviceaccounts/token", "kube-system", ""),
    ("create update patch", "serviceaccounts", PIPELINES, ""),
    ("impersonate", "users", "", ""),
    ("impersonate", "groups", "", ""),
    ("impersonate", "serviceaccounts", "kube-system", ""),
    ("delete", "namespaces", "", ""),
    ("create update patch delete", "configmaps", "kube-system", ""),
    ("create update patch delete", "services", PIPELINES, ""),
    ("create update patch delete", "persistentvolumes", "", ""),
    ("create update patch delete", "deployments", PIPELINES, "apps"),
    ("update patch delete", "deployments", NAMESPACE, "apps"),
    ("create update patch", "daemonsets", PIPELINES, "apps"),
    ("create update patch", "jobs", PIPELINES, "batch"),
    ("create update patch", "cronjobs", PIPELINES, "batch"),
    ("create update patch delete", "clusterrolebindings", "", RBAC_GROUP),
    ("create update patch delete", "rolebindings", PIPELINES, RBAC_GROUP),
    ("create update patch", "roles", PIPELINES, RBAC_GROUP),
    ("bind escalate", "clusterroles", "", RBAC_GROUP),
    ("create update patch", "validatingwebhookconfigurations", "", ADMISSION),
    ("create update patch", "mutatingwebhookconfigurations", "", ADMISSION),
    ("create update patch", "customresourcedefinitions", "", "apiextensions.k8s.io"),
    ("update", "certificatesigningrequests/approval", "", "certificates.k8s.io"),
    ("update", "leases", "kube-system", "coordination.k8s.io"),
    ("update", "networkpolicies", NAMESPACE, "networking.k8s.io"),
]
MAY = [
    ("create get list watch delete deletecollection", "pods", PIPELINES, ""),
    ("create get list watch delete", "pods", "any-other", ""),
    ("get", "pods/log", PIPELINES, ""),
    ("create get delete", "persistentvolumeclaims", PIPELINES, ""),
    ("create", "tokenreviews", "", "authentication.k8s.io"),
    ("create", "subjectaccessreviews", "", "authorization.k8s.io"),
    ("get create update", "leases", NAMESPACE, "coordination.k8s.io"),
]


@case
def what_is_printed_is_all_that_would_be_applied_and_nothing_is(k):
    k.ready_stores()
    status, out, said = k.ferroflow("install", "--print", *k.flags())
    same(status, 0, said)
    documents = [one for one in yaml.safe_load_all(out) if one]
    found = {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in documents}
    check(OBJECTS <= found, f"not printed: {sorted(OBJECTS - found)}")
    check(not any(kind == "PersistentVolumeClaim" for kind, _, _ in found), "a claim is printed, although records and artifacts are elsewhere")
    k.nothing_but()


@case
def the_command_puts_two_servers_into_the_cluster_and_one_leads(k):
    k.need()
    lease = k.kube.get(LEASE)
    leader = next(pod for pod in k.pods() if pod["metadata"]["name"] == k.leader())
    same(lease["metadata"]["annotations"]["ferroflow.dev/gateway"], f"{leader['status']['podIP']}:8800")
    for kind, namespace, name in (("secrets", NAMESPACE, "ferroflow-tls"), ("services", PIPELINES, "ml-pipeline")):
        check(k.kube.find(f"{CORE}/namespaces/{namespace}/{kind}/{name}"), f"there is no {kind} {namespace}/{name}")
    for pod in k.pods():
        for path in ("healthz", "readyz"):
            same(asked(f"http://{pod['status']['podIP']}:8800/{path}")[0], 200, f"{path} of {pod['metadata']['name']}")


@case
def installing_again_restarts_nothing(k):
    k.need()
    before = sorted(pod["metadata"]["uid"] for pod in k.pods())
    k.install()
    k.settle()
    same(sorted(pod["metadata"]["uid"] for pod in k.pods()), before, "the servers' pods")


@case
def what_is_not_said_again_stays_as_it_is(k):
    k.need()
    before = sorted(pod["metadata"]["uid"] for pod in k.pods())
    images = ["--image", IMAGE, "--launcher-image", LAUNCHER]
    status, out, said = k.ferroflow("install", *images)
    same(status, 0, f"{out} {said}")
    check(not any(line.startswith("changed") for line in out.splitlines()), out)
    same(sorted(pod["metadata"]["uid"] for pod in k.pods()), before, "the servers' pods")
    # What is printed for somebody else to apply is the same installation.
    _, out, said = k.ferroflow("install", "--print", *images)
    printed = {one["kind"]: one for one in yaml.safe_load_all(out) if one and one["metadata"]["name"] == "ferroflow"}
    found = k.kube.get(f"{APPS}/deployments/ferroflow")["spec"]
    same(printed["Deployment"]["spec"]["replicas"], found["replicas"])
    args = [one["spec"]["containers"][0]["args"] for one in (printed["Deployment"]["spec"]["template"], found["template"])]
    same(args[0], args[1], "the arguments that are printed")
    same(printed["ConfigMap"]["data"], k.kube.get(f"{CORE}/namespaces/{NAMESPACE}/configmaps/ferroflow")["data"])
    same(printed["Secret"]["stringData"]["records"], k.records(0))


@case
def another_namespace_changes_nothing_of_the_installation_that_is_there(k):
    k.need()
    before = sorted(pod["metadata"]["uid"] for pod in k.pods())
    for words in (["install", "--namespace", "another", *k.flags()], ["uninstall", "--namespace", "another", "--delete-data"]):
        status, out, said = k.ferroflow(*words)
        check(status == 1 and f"namespace {NAMESPACE}" in said and "hint:" in said, f"{words[0]}: {status} {out} {said}")
    check(not k.kube.find(f"{CORE}/namespaces/another"), "the other namespace was made")
    subjects = k.kube.get(f"{RBAC}/clusterrolebindings/ferroflow")["subjects"]
    same([one["namespace"] for one in subjects], [NAMESPACE], "whose rights they are")
    same(sorted(pod["metadata"]["uid"] for pod in k.pods()), before, "the servers' pods")


@case
def the_doctor_finds_no_fault(k):
    k.need()
    status, out, said = k.ferroflow("doctor")
    check(status == 0 and "FAULT" not in out, f"{status}: {out} {said}")
    good = [line for line in out.splitlines() if line.split()[:1] == ["ok"]]
    for what in ("rights of the server", "Secret with the URL of the database", f"leader: {k.leader()}", "servers answer"):
        check(any(what in line for line in good), f"the doctor does not say {what!r}: {out}")


@case
def servers_run_as_no_root_on_a_root_that_is_read_only(k):
    k.need()
    for pod in k.pods():
        container = next(one for one in pod["spec"]["containers"] if one["name"] == "server")
        whole, own = pod["spec"].get("securityContext", {}), container.get("securityContext", {})
        check({**whole, **own}.get("runAsNonRoot") is True, f"runAsNonRoot: {whole} {own}")
        same(own.get("readOnlyRootFilesystem"), True, "readOnlyRootFilesystem")
        same(own.get("allowPrivilegeEscalation"), False, "allowPrivilegeEscalation")
        same(own.get("capabilities", {}).get("drop"), ["ALL"], "capabilities that are dropped")
        volumes = [volume for volume in pod["spec"].get("volumes", []) if "hostPath" in volume]
        check(not volumes and not pod["spec"].get("hostNetwork"), f"it has something of its node: {volumes}")
        check(container.get("resources", {}).get("requests"), "it asks for no resources")
        for probe in ("readinessProbe", "livenessProbe"):
            check(container.get(probe), f"there is no {probe}")
    # The API server tells which pods would break the profile.
    label = "pod-security.kubernetes.io/enforce=restricted"
    _, said, _ = kubectl("label", "--dry-run=server", "--overwrite", "namespace", NAMESPACE, label)
    check("violate" not in said, said)


@case
def servers_are_kept_apart_and_one_at_a_time_is_drained(k):
    k.need()
    path = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/ferroflow"
    budget = repeat(lambda: k.kube.get(path), lambda found: found["status"].get("disruptionsAllowed") == 1)
    deployment = k.kube.get(f"{APPS}/deployments/ferroflow")
    same(budget["spec"]["selector"], deployment["spec"]["selector"], "the selector of the budget")
    nodes = [one for one in k.kube.get(f"{CORE}/nodes")["items"] if not one["spec"].get("unschedulable")]
    places = {pod["spec"]["nodeName"] for pod in k.pods()}
    check(len(nodes) < 2 or len(places) == 2, f"both servers are on {places}")


def asked_for(kube, rows):
    """What of the rows is allowed, and what not, in words."""
    allowed, refused = [], []
    for verbs, resource, namespace, group in rows:
        name, _, subresource = resource.partition("/")
        for verb in verbs.split():
            answer = kube.allowed(ACCOUNT, verb, name, namespace, group, subresource)
            (allowed if answer else refused).append(f"{verb} {resource} {f'in {namespace}' if namespace else ''}".strip())
    return allowed, refused


@case
def the_servers_account_may_not_do_what_it_does_not_need(k):
    k.need()
    allowed, _ = asked_for(k.kube, MAY_NOT)
    check(not allowed, f"it may {', '.join(allowed)}")
    # And it is refused where it tries.
    token = k.kube.token(NAMESPACE, "ferroflow")
    everything = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}
    binding = {"roleRef": {"kind": "ClusterRole", "name": "cluster-admin", "apiGroup": RBAC_GROUP}}
    binding["subjects"] = [{"kind": "ServiceAccount", "name": "ferroflow", "namespace": NAMESPACE}]
    for method, path, body in (
        ("GET", f"{CORE}/secrets", None),
        ("GET", f"{CORE}/namespaces/kube-system/secrets", None),
        ("POST", f"{RBAC}/clusterroles?dryRun=All", {"metadata": {"name": "install-more"}, "rules": [everything]}),
        ("POST", f"{RBAC}/clusterrolebindings?dryRun=All", {"metadata": {"name": "install-more"}, **binding}),
        ("DELETE", f"{CORE}/namespaces/{k.name}?dryRun=All", None),
    ):
        status, text = k.kube.as_account(token, method, path, body)
        same(status, 403, f"{method} {path}: {text[:300]}")


@case
def the_servers_account_may_do_what_it_needs(k):
    k.need()
    _, refused = asked_for(k.kube, MAY)
    check(not refused, f"it may not {', '.join(refused)}")


@case
def metrics_want_a_token_and_a_right(k):
    k.need()
    token = k.editor()
    status, text = asked(f"{k.url}/metrics")
    same(status, 401, text[:300])
    status, text = asked(f"{k.url}/metrics", token=token)
    same(status, 403, text[:300])
    k.kube.account(k.name, "monitor")
    subject = {"kind": "ServiceAccount", "name": "monitor", "namespace": k.name}
    reference = {"kind": "ClusterRole", "name": "system:monitoring", "apiGroup": RBAC_GROUP}
    k.kube.make(f"{RBAC}/clusterrolebindings", metadata={"name": k.name}, roleRef=reference, subjects=[subject])
    repeat(lambda: k.kube.allowed(f"{k.name}:monitor", "get", "", url="/metrics"), bool)
    token = k.kube.token(k.name, "monitor")
    for pod in k.pods():
        status, text = asked(f"http://{pod['status']['podIP']}:8800/metrics", token=token)
        same(status, 200, text[:300])
        names = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line and not line.startswith("#")}
        check(sum(name.startswith("ferroflow_") for name in names) >= 3, f"few metrics of ours: {sorted(names)[:50]}")
        check("# TYPE ferroflow_" in text, "no metric has its type")


@case
def the_gateway_speaks_tls_by_the_authority_in_the_secret(k):
    k.need()
    secret = k.kube.secret(NAMESPACE, "ferroflow-tls")
    authority = (secret.get("ca.crt") or secret["tls.crt"]).decode()
    token, trusting = k.editor(), ssl.create_default_context(cadata=authority)
    # What the certificate is for are names; they are looked up in pods (callers), and addresses are not in it.
    trusting.check_hostname = False
    places = [f"https://{k.address()}:443"] + [f"https://{pod['status']['podIP']}:8843" for pod in k.pods()]
    for place in places:
        same(asked(f"{place}/healthz", context=trusting)[0], 200, place)
        path = f"/pipeline/apis/v2beta1/runs?namespace={PIPELINES}"
        same(asked(place + path, context=trusting)[0], 401, place)
        same(asked(place + path, token=token, context=trusting)[0], 200, place)
    try:
        asked(f"{places[0]}/healthz", context=ssl.create_default_context())
    except OSError as error:
        check("CERTIFICATE_VERIFY_FAILED" in str(error), error)
    else:
        raise Failure("a certificate is good for those who do not know its authority")


@case
def servers_name_the_launcher_that_was_asked_for(k):
    k.need()
    deployment = k.kube.get(f"{APPS}/deployments/ferroflow")
    config = k.kube.get(f"{CORE}/namespaces/{NAMESPACE}/configmaps/ferroflow")
    check(LAUNCHER in str(deployment["spec"]) + str(config.get("data")), f"{LAUNCHER} is named nowhere")
    secret = k.kube.secret(NAMESPACE, "ferroflow")
    same(secret["records"].decode().strip(), k.records(0), "the key records of the Secret")
    check(k.stores["AWS_SECRET_ACCESS_KEY"] in secret["s3-credentials"].decode(), "the Secret has no credentials of S3")
    for word in (k.stores["PGPASSWORD"], k.stores["AWS_SECRET_ACCESS_KEY"]):
        check(word not in str(deployment) + str(config.get("data")), "a password stands in the Deployment or the ConfigMap")
