"""Who may do what: tokens, reviews, roles."""

import base64
import json

from kit import Client, case, check, repeat, same, subset

AUTHN, AUTHZ, RBAC = "/apis/authentication.k8s.io/v1", "/apis/authorization.k8s.io/v1", "rbac.authorization.k8s.io/v1"


def account(k, name="robot"):
    """A client that speaks as a service account of the case's namespace."""
    k.post(k.core("serviceaccounts"), {"metadata": {"name": name}}).ok(201)
    token = k.post(k.core("serviceaccounts", name, "token"), {"spec": {}}).ok(201)["status"]["token"]
    return Client(k.client.config, token=token)


def allow(k, name, *rules):
    k.post(k.url(RBAC, "roles"), {"metadata": {"name": name}, "rules": list(rules)}).ok(201)
    body = {
        "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": k.ns}],
    }
    k.post(k.url(RBAC, "rolebindings"), body).ok(201)


def until_allowed(ask):
    """Repeats a request until roles that were just bound are known."""
    return repeat(ask, lambda reply: reply.status != 403)


@case
def a_stranger_is_not_let_in(k):
    reply = Client(k.client.config, token="not-a-token").get("/api/v1/namespaces")
    reply.fails(401, "Unauthorized", "Unauthorized")


@case
def nobody_is_anonymous_and_may_do_nothing(k):
    reply = Client(k.client.config, anonymous=True).get("/api/v1/namespaces")
    if reply.status == 401:
        return  # a cluster may refuse all who do not say who they are
    reply.fails(403, "Forbidden", 'namespaces is forbidden: User "system:anonymous" cannot list resource "namespaces" in API group "" at the cluster scope')


@case
def a_service_account_is_known_by_its_token(k):
    robot = account(k)
    found = robot.post(f"{AUTHN}/selfsubjectreviews", {}).ok(201)["status"]["userInfo"]
    same(found["username"], f"system:serviceaccount:{k.ns}:robot")
    same(sorted(found["groups"]), ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{k.ns}"])


@case
def a_token_says_who_and_how_long(k):
    token = k.post(k.core("serviceaccounts", "default", "token"), {"spec": {"audiences": ["me"], "expirationSeconds": 600}}).ok(201)["status"]["token"]
    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    same((claims["aud"], claims["sub"]), (["me"], f"system:serviceaccount:{k.ns}:default"))
    same(claims["exp"] - claims["iat"], 600)
    same(claims["kubernetes.io"]["serviceaccount"]["name"], "default")


@case
def a_review_of_a_token_says_whose_it_is(k):
    token = k.post(k.core("serviceaccounts", "default", "token"), {"spec": {}}).ok(201)["status"]["token"]
    found = k.post(f"{AUTHN}/tokenreviews", {"spec": {"token": token}}).ok(201)["status"]
    subset(found, {"authenticated": True, "user": {"username": f"system:serviceaccount:{k.ns}:default"}})
    found = k.post(f"{AUTHN}/tokenreviews", {"spec": {"token": "x"}}).ok(201)["status"]
    check(not found.get("authenticated") and found.get("error"), found)


@case
def a_token_for_another_audience_is_refused(k):
    token = k.post(k.core("serviceaccounts", "default", "token"), {"spec": {"audiences": ["elsewhere"]}}).ok(201)["status"]["token"]
    Client(k.client.config, token=token).get("/api").fails(401, "Unauthorized")


@case
def a_token_goes_with_its_account(k):
    robot = account(k)
    robot.get("/api").ok(200)
    k.delete(k.core("serviceaccounts", "robot")).ok(200)
    # The cluster may remember a token for some seconds; then it is refused.
    token_review = lambda: k.post(f"{AUTHN}/tokenreviews", {"spec": {"token": robot.token}}).ok(201)["status"]
    k.until(lambda: not token_review().get("authenticated"), "the token no longer holds")


@case
def without_a_role_nothing_is_allowed(k):
    robot = account(k)
    reply = robot.get(k.core("pods"))
    reply.fails(403, "Forbidden", f'pods is forbidden: User "system:serviceaccount:{k.ns}:robot" cannot list resource "pods" in API group "" in the namespace "{k.ns}"', details={"kind": "pods"})
    reply = robot.get(k.core("pods", "x"))
    reply.fails(403, "Forbidden", f'pods "x" is forbidden: User "system:serviceaccount:{k.ns}:robot" cannot get resource "pods" in API group "" in the namespace "{k.ns}"', details={"kind": "pods", "name": "x"})
    reply = robot.get(k.core("pods", "x", "log"))
    reply.fails(403, "Forbidden", contains='cannot get resource "pods/log" in API group ""')


@case
def discovery_is_open_to_all_who_are_known(k):
    robot = account(k)
    for path in ("/api", "/apis", "/version", "/openapi/v3", "/healthz"):
        same(robot.get(path, accept="*/*").status, 200, path)
    robot.get("/metrics", accept="*/*").fails(403, "Forbidden", contains='cannot get path "/metrics"')


@case
def a_role_allows_what_it_says(k):
    robot = account(k)
    allow(k, "read", {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]})
    same(until_allowed(lambda: robot.get(k.core("configmaps"))).status, 200)
    same(robot.post(k.core("configmaps"), {"metadata": {"name": "x"}}).status, 403)
    same(robot.get("/api/v1/configmaps").status, 403)


@case
def a_role_may_name_objects_and_subresources(k):
    robot = account(k)
    k.config_map("mine")
    allow(k, "some", {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get"]}, {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["*"]})
    same(until_allowed(lambda: robot.get(k.core("configmaps", "mine"))).status, 200)
    same(robot.get(k.core("configmaps", "other")).status, 403)
    same(robot.get(k.url("apps/v1", "deployments", "d", "scale")).status, 404)
    same(robot.get(k.url("apps/v1", "deployments", "d")).status, 403)


@case
def nobody_gives_away_more_than_he_has(k):
    robot = account(k)
    allow(k, "roles", {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]})
    body = {"metadata": {"name": "more"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}
    ask = lambda: robot.post(k.url(RBAC, "roles"), body)
    reply = repeat(ask, lambda reply: "attempting to grant RBAC permissions not currently held" in reply.text())
    reply.fails(403, "Forbidden", contains=["is attempting to grant RBAC permissions not currently held:", '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'])


@case
def one_may_ask_what_one_may(k):
    robot = account(k)
    attributes = {"namespace": k.ns, "verb": "create", "resource": "pods"}
    found = robot.post(f"{AUTHZ}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": attributes}}).ok(201)
    same((found["kind"], found["status"]["allowed"]), ("SelfSubjectAccessReview", False))
    found = k.post(f"{AUTHZ}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": attributes}}).ok(201)
    same(found["status"]["allowed"], True)


@case
def one_may_ask_what_another_may(k):
    spec = {"user": "jane", "groups": ["system:masters"], "resourceAttributes": {"verb": "delete", "resource": "nodes"}}
    same(k.post(f"{AUTHZ}/subjectaccessreviews", {"spec": spec}).ok(201)["status"]["allowed"], True)
    spec["groups"] = ["people"]
    same(k.post(f"{AUTHZ}/subjectaccessreviews", {"spec": spec}).ok(201)["status"]["allowed"], False)
    spec["resourceAttributes"]["namespace"] = k.ns
    same(k.post(k.url("authorization.k8s.io/v1", "localsubjectaccessreviews"), {"spec": spec}).ok(201)["status"]["allowed"], False)


@case
def a_review_needs_something_to_review(k):
    reply = k.post(f"{AUTHZ}/selfsubjectaccessreviews", {"spec": {}})
    reply.fails(422, "Invalid", contains="exactly one of nonResourceAttributes or resourceAttributes must be specified")


@case
def one_may_list_ones_rules(k):
    robot = account(k)
    allow(k, "read", {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]})
    ask = lambda: robot.post(f"{AUTHZ}/selfsubjectrulesreviews", {"spec": {"namespace": k.ns}}).ok(201)["status"]["resourceRules"]
    k.until(lambda: {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]} in ask(), "the rule is among one's own")


@case
def the_default_roles_are_there(k):
    for name in ("cluster-admin", "admin", "edit", "view", "system:discovery", "system:basic-user"):
        check(k.get(f"/apis/{RBAC}/clusterroles/{name}").ok()["rules"], name)


@case
def roles_gather_what_is_labelled_for_them(k):
    name = k.unique("gathered")
    k.finally_delete(f"/apis/{RBAC}/clusterroles/{name}")
    made = k.post(f"/apis/{RBAC}/clusterroles", {"metadata": {"name": name, "labels": {"conformance.example.com/to": name}}, "rules": [{"apiGroups": ["x"], "resources": ["y"], "verbs": ["get"]}]}).ok(201)
    same(made["rules"], [{"apiGroups": ["x"], "resources": ["y"], "verbs": ["get"]}])


@case
def a_binding_cannot_change_its_role(k):
    account(k)
    allow(k, "read", {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]})
    reply = k.merge(k.url(RBAC, "rolebindings", "read"), {"roleRef": {"name": "other"}})
    reply.fails(422, "Invalid", contains="roleRef: Invalid value:") if reply.status == 422 else reply.ok(200)
    check("cannot change roleRef" in reply.text(), reply.text())


@case
def somebody_may_be_impersonated_by_an_administrator(k):
    reply = k.post(f"{AUTHN}/selfsubjectreviews", {}, headers={"Impersonate-User": "jane", "Impersonate-Group": "people"})
    subset(reply.ok(201)["status"]["userInfo"], {"username": "jane"})
    k.get(k.core("pods"), headers={"Impersonate-User": "jane"}).fails(403, "Forbidden", contains='User "jane" cannot list resource "pods"')


@case
def who_may_see_one_object_may_list_and_watch_it_by_its_name(k):
    robot = account(k)
    allow(k, "one", {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["list", "watch"]})
    k.post(k.core("configmaps"), {"metadata": {"name": "one"}}).ok(201)
    listed = until_allowed(lambda: robot.get(k.core("configmaps"), {"fieldSelector": "metadata.name=one"}))
    same([item["metadata"]["name"] for item in listed.ok(200)["items"]], ["one"])
    for query in ({}, {"fieldSelector": "metadata.name=other"}, {"fieldSelector": "metadata.name!=one"}):
        robot.get(k.core("configmaps"), query).fails(403, "Forbidden", contains='cannot list resource "configmaps"')


@case
def a_method_that_is_not_served_is_405(k):
    reply = k.request("PUT", k.core("configmaps"), {})
    reply.fails(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


@case
def a_path_that_is_not_there_is_404(k):
    reply = k.get(f"/api/v1/namespaces/{k.ns}/nothings")
    reply.fails(404, "NotFound", "the server could not find the requested resource")
    same(k.get("/nothing/here").status, 404)
