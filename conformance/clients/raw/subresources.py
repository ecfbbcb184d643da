"""status, scale, log, binding, eviction, token, ephemeralcontainers."""

from kit import case, check, repeat, same, subset

POD = {"schedulerName": "nobody", "containers": [{"name": "c", "image": "i"}]}


def deployment(k, **spec):
    body = {"metadata": {"name": "d"}, "spec": {"replicas": 0, "paused": True, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}, **spec}}
    return k.post(k.url("apps/v1", "deployments"), body).ok(201)


def pod(k, **spec):
    return k.post(k.core("pods"), {"metadata": {"name": "p", "labels": {"app": "x"}}, "spec": {**POD, **spec}}).ok(201)


@case
def the_status_path_writes_the_status_alone(k):
    found = deployment(k)
    path = k.url("apps/v1", "deployments", "d", "status")
    found["status"] = {"collisionCount": 5}
    found["spec"]["replicas"] = 9
    found["metadata"]["labels"] = {"new": "label"}
    found.get("metadata").pop("resourceVersion")
    reply = k.put(path, found).ok(200)
    same((reply["status"].get("collisionCount"), reply["spec"]["replicas"]), (5, 0))
    check("labels" not in reply["metadata"], "labels came with a status")


@case
def the_main_path_never_writes_the_status(k):
    deployment(k)
    path = k.url("apps/v1", "deployments", "d")
    reply = k.merge(path, {"status": {"collisionCount": 5}, "metadata": {"labels": {"x": "y"}}}).ok(200)
    check("collisionCount" not in reply["status"], reply["status"])
    same(reply["metadata"]["labels"], {"x": "y"})


@case
def the_status_path_can_be_read_and_patched(k):
    pod(k)
    same(k.get(k.core("pods", "p", "status")).ok()["kind"], "Pod")
    condition = {"type": "example.com/Ready", "status": "True"}
    found = k.strategic(k.core("pods", "p", "status"), {"status": {"conditions": [condition]}}).ok()
    check("example.com/Ready" in [one["type"] for one in found["status"]["conditions"]], found["status"])


@case
def a_scale_is_read_and_written(k):
    deployment(k)
    path = k.url("apps/v1", "deployments", "d", "scale")
    found = k.get(path).ok()
    subset(found, {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "d", "namespace": k.ns}, "spec": {}, "status": {"replicas": 0, "selector": "a=b"}})
    same(k.merge(path, {"spec": {"replicas": 3}}).ok()["spec"], {"replicas": 3})
    subset(k.get(k.url("apps/v1", "deployments", "d")).ok(), {"spec": {"replicas": 3}, "metadata": {"generation": 2}})
    # Where there are controllers, one may write the status between the read and the write.
    def write():
        found = k.get(path).ok()
        found["spec"]["replicas"] = 2
        return k.put(path, found)

    reply = repeat(write, lambda reply: reply.status != 409)
    same(reply.ok()["spec"]["replicas"], 2)


@case
def a_scale_is_validated(k):
    deployment(k)
    path = k.url("apps/v1", "deployments", "d", "scale")
    k.merge(path, {"spec": {"replicas": -1}}).fails(422, "Invalid", contains="spec.replicas: Invalid value: -1: must be greater than or equal to 0")
    found = k.get(path).ok()
    found["metadata"]["resourceVersion"] = "1"
    k.put(path, found).fails(409, "Conflict")


@case
def the_scale_of_nothing_is_not_found(k):
    k.get(k.url("apps/v1", "deployments", "none", "scale")).fails(404, "NotFound", 'deployments.apps "none" not found')


@case
def stateful_sets_and_replica_sets_scale_too(k):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    for plural, extra in (("statefulsets", {"serviceName": "s"}), ("replicasets", {})):
        spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template, **extra}
        k.post(k.url("apps/v1", plural), {"metadata": {"name": "x"}, "spec": spec}).ok(201)
        same(k.get(k.url("apps/v1", plural, "x", "scale")).ok()["spec"], {})


@case
def a_binding_sets_the_node(k):
    pod(k)
    target = {"kind": "Node", "name": "some-node"}
    reply = k.post(k.core("pods", "p", "binding"), {"metadata": {"name": "p"}, "target": target})
    same(reply.ok(201)["status"], "Success")
    found = k.get(k.core("pods", "p")).ok()
    same(found["spec"]["nodeName"], "some-node")
    check(any(one["type"] == "PodScheduled" and one["status"] == "True" for one in found["status"]["conditions"]), found["status"])
    k.post(k.core("pods", "p", "binding"), {"metadata": {"name": "p"}, "target": target}).fails(409, "Conflict", contains='pod p is already assigned to node "some-node"')
    k.delete(k.core("pods", "p"), {"gracePeriodSeconds": 0})


@case
def an_eviction_deletes(k):
    pod(k)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": k.ns}}
    same(k.post(k.core("pods", "p", "eviction"), body).ok(201)["status"], "Success")
    same(k.get(k.core("pods", "p")).status, 404)


@case
def an_eviction_of_another_name_is_refused(k):
    pod(k)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "q"}}
    k.post(k.core("pods", "p", "eviction"), body).fails(400, "BadRequest", "name in URL does not match name in Eviction object")


@case
def an_eviction_can_be_a_dry_run(k):
    pod(k)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["All"]}}
    k.post(k.core("pods", "p", "eviction"), body).ok(201)
    k.get(k.core("pods", "p")).ok(200)


@case
def ephemeral_containers_are_added_by_their_own_path(k):
    pod(k)
    extra = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "i"}]}}
    same(k.strategic(k.core("pods", "p"), extra).status, 422)
    found = k.strategic(k.core("pods", "p", "ephemeralcontainers"), extra).ok(200)
    same(found["spec"]["ephemeralContainers"][0]["name"], "debug")
    k.json_patch(k.core("pods", "p", "ephemeralcontainers"), [{"op": "remove", "path": "/spec/ephemeralContainers/0"}]).fails(422, "Invalid", contains="existing ephemeral containers \"debug\" may not be removed")


@case
def a_token_is_made_for_a_service_account(k):
    body = {"spec": {"audiences": ["me"], "expirationSeconds": 3600}}
    found = k.post(k.core("serviceaccounts", "default", "token"), body).ok(201)
    same(found["kind"], "TokenRequest")
    same(len(found["status"]["token"].split(".")), 3)
    same(found["spec"]["expirationSeconds"], 3600)


@case
def a_token_lives_for_ten_minutes_at_least(k):
    reply = k.post(k.core("serviceaccounts", "default", "token"), {"spec": {"expirationSeconds": 60}})
    reply.fails(422, "Invalid", contains="spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes")


@case
def a_token_for_nobody_is_not_found(k):
    k.post(k.core("serviceaccounts", "none", "token"), {"spec": {}}).fails(404, "NotFound", 'serviceaccounts "none" not found')


@case
def the_log_of_a_pod_without_a_node_is_refused(k):
    pod(k)
    reply = k.get(k.core("pods", "p", "log"))
    same((reply.status, reply.text()), (204, ""))
    k.get(k.core("pods", "none", "log")).fails(404, "NotFound", 'pods "none" not found')


@case
def the_log_of_an_unknown_container_is_refused(k):
    pod(k)
    k.get(k.core("pods", "p", "log"), {"container": "x"}).fails(400, "BadRequest", "container x is not valid for pod p")


@case
def the_log_of_one_of_several_containers_needs_its_name(k):
    pod(k, containers=[{"name": "one", "image": "i"}, {"name": "two", "image": "i"}])
    k.get(k.core("pods", "p", "log")).fails(400, "BadRequest", "a container name must be specified for pod p, choose one of: [one two]")


@case
def bad_log_options_are_invalid(k):
    pod(k)
    k.get(k.core("pods", "p", "log"), {"tailLines": "-1"}).fails(422, "Invalid", contains="tailLines: Invalid value: -1: must be greater than or equal to 0")
    k.get(k.core("pods", "p", "log"), {"sinceSeconds": "1", "sinceTime": "2024-01-01T00:00:00Z"}).fails(422, "Invalid", contains="at most one of `sinceTime` or `sinceSeconds` may be specified")


@case
def an_unknown_subresource_is_404(k):
    pod(k)
    same(k.get(k.core("pods", "p", "nothing")).status, 404)
    same(k.get(k.core("configmaps", "a", "status")).status, 404)


@case
def exec_into_a_pod_without_a_node_is_refused(k):
    pod(k)
    reply = k.post(k.core("pods", "p", "exec"), "", {"command": "true", "stdout": "true"}, headers={"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"})
    check(reply.status in (400, 403, 404, 500), f"{reply.status} {reply.text()}")
    check("does not have a host assigned" in reply.text() or reply.status != 400, reply.text())
