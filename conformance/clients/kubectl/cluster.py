"""What kubectl says of the cluster: versions, kinds, permissions, tokens, nodes."""

from kit import case, check

from .tool import fails, run


@case
def version_names_both_sides(k):
    run(k, "version").shows(r"^Client Version: v1\.", r"^Server Version: v1\.")


@case
def cluster_info_names_the_control_plane(k):
    run(k, "cluster-info").shows("Kubernetes control plane.* is running at ")


@case
def api_resources_lists_kinds(k):
    run(k, "api-resources").shows(r"^pods +po +v1 +true +Pod$", r"^deployments +deploy +apps/v1 +true +Deployment$", r"^namespaces +ns +v1 +false +Namespace$")
    run(k, "api-resources", "--api-group=batch", "--verbs=list", "-o", "name").prints("cronjobs.batch\njobs.batch")
    run(k, "api-resources", "--namespaced=false", "-o", "name").shows("^nodes$", "^clusterroles.rbac.authorization.k8s.io$")


@case
def api_versions_lists_groups(k):
    run(k, "api-versions").shows("^v1$", "^apps/v1$", "^batch/v1$", "^rbac.authorization.k8s.io/v1$")


@case
def explain_knows_every_field(k):
    run(k, "explain", "pods").shows("^KIND: +Pod$", "^VERSION: +v1$")
    run(k, "explain", "deployment.spec.replicas").shows("^GROUP: +apps$", "^FIELD: replicas <integer>")
    run(k, "explain", "pod.spec.containers", "--recursive").shows("livenessProbe", "volumeMounts")
    fails(k, "explain", "pods.spec.nothing").complains('field "nothing" does not exist')


@case
def auth_answers_who_and_what(k):
    run(k, "auth", "whoami", "-o", "jsonpath={.kind}").prints("SelfSubjectReview")
    run(k, "auth", "can-i", "create", "pods").prints("yes")
    run(k, "auth", "can-i", "create", "pods", f"--as=system:serviceaccount:{k.ns}:default", ok=1).prints("no")
    run(k, "auth", "can-i", "--list").shows(r"^\*\.\* ")


@case
def a_token_is_printed(k):
    token = run(k, "create", "token", "default", "--duration=1h").out.strip()
    check(len(token.split(".")) == 3, token)


@case
def a_raw_path_can_be_read(k):
    run(k, "get", "--raw", "/healthz").prints("ok")
    run(k, "get", "--raw", f"/api/v1/namespaces/{k.ns}").shows('"kind":"Namespace"')


@case
def events_are_listed(k):
    body = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": k.ns}, "reason": "Tested", "message": "hello there", "type": "Normal", "lastTimestamp": "2024-01-01T00:00:00Z"}
    k.post(k.core("events"), body).ok(201)
    run(k, "events").shows(r"Normal +Tested +Pod/p +hello there$")
    run(k, "get", "events").shows(r"Normal +Tested +pod/p +hello there$")


@case(needs="node")
def a_node_is_shown_and_described(k):
    # Another case may have cordoned it.
    run(k, "get", "nodes").shows(r"^\S+ +Ready(,SchedulingDisabled)? ")
    name = run(k, "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}").out
    run(k, "describe", "node", name).shows(f"^Name: +{name}$", "^Capacity:$", "^Allocatable:$", "^Conditions:$")


@case(needs="node")
def a_node_is_cordoned_and_tainted(k):
    name = run(k, "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}").out
    run(k, "cordon", name).prints(f"node/{name} cordoned")
    try:
        run(k, "get", "node", name).shows("Ready,SchedulingDisabled")
    finally:
        run(k, "uncordon", name).prints(f"node/{name} uncordoned")
    run(k, "taint", "node", name, "conformance.example.com/x=y:PreferNoSchedule").prints(f"node/{name} tainted")
    run(k, "taint", "node", name, "conformance.example.com/x-").prints(f"node/{name} untainted")
    run(k, "label", "node", name, "conformance.example.com/l=v").prints(f"node/{name} labeled")
    run(k, "label", "node", name, "conformance.example.com/l-").prints(f"node/{name} unlabeled")


@case
def top_needs_a_metrics_server(k):
    result = run(k, "top", "pods", ok=None)
    check(result.code == 0 or "Metrics API not available" in result.err, result.err)
