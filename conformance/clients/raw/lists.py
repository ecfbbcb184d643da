"""Lists: selectors, pages, revisions."""

import base64

from kit import case, check, same, subset


def names(reply):
    return [item["metadata"]["name"] for item in reply.ok(200)["items"]]


def three(k):
    for name, color in (("a", "red"), ("b", "green"), ("c", "blue")):
        k.config_map(name, labels={"color": color, "all": "yes", f"only-{name}": ""})
    return k.core("configmaps")


def chosen(k, selector):
    """Every namespace may hold `kube-root-ca.crt`, so lists are narrowed to ours."""
    return names(k.get(k.core("configmaps"), {"labelSelector": selector}))


@case
def a_list_carries_its_own_kind_and_revision(k):
    three(k)
    reply = k.get(k.core("configmaps"), {"labelSelector": "all"}).ok()
    subset(reply, {"kind": "ConfigMapList", "apiVersion": "v1"})
    check(int(reply["metadata"]["resourceVersion"]) > 0, reply["metadata"])
    check("kind" not in reply["items"][0] and "apiVersion" not in reply["items"][0], "items of a typed list have no kind")


@case
def an_empty_list_is_a_list(k):
    reply = k.get(k.core("secrets"), {"labelSelector": "there=none"}).ok()
    same(reply["items"], [])
    same(reply["kind"], "SecretList")


@case
def items_are_ordered_by_name(k):
    for name in ("c", "a", "b-2", "b", "b.1"):
        k.config_map(name, labels={"mine": ""})
    same(chosen(k, "mine"), sorted(["c", "a", "b-2", "b", "b.1"]))


@case
def label_selectors_know_every_operator(k):
    three(k)
    rows = {
        "color=red": ["a"], "color==red": ["a"], "color!=red,all": ["b", "c"], "color in (red, blue)": ["a", "c"],
        "color notin (red),all=yes": ["b", "c"], "only-a": ["a"], "!only-a,all": ["b", "c"], "color in (red),color!=red": [],
        "only-a=": ["a"], "all,color": ["a", "b", "c"], " color = green ": ["b"],
    }
    for selector, expected in rows.items():
        same(chosen(k, selector), expected, selector)


@case
def a_bad_label_selector_is_refused(k):
    reply = k.get(k.core("configmaps"), {"labelSelector": "a in b"})
    reply.fails(400, "BadRequest", contains="unable to parse requirement: found 'b' expected: '('")
    reply = k.get(k.core("configmaps"), {"labelSelector": "a=-b"})
    reply.fails(400, "BadRequest", contains="values[0][a]: Invalid value: \"-b\": a valid label must be an empty string or consist of alphanumeric characters")


@case
def name_and_namespace_are_field_selectors_of_every_kind(k):
    three(k)
    same(names(k.get(k.core("configmaps"), {"fieldSelector": "metadata.name=b"})), ["b"])
    same(names(k.get("/api/v1/configmaps", {"fieldSelector": f"metadata.namespace={k.ns},metadata.name!=b", "labelSelector": "all"})), ["a", "c"])
    same(names(k.get(k.core("configmaps"), {"fieldSelector": "metadata.name=b,metadata.namespace=elsewhere"})), [])


@case
def an_unknown_field_label_is_refused(k):
    reply = k.get(k.core("configmaps"), {"fieldSelector": "data.k=v"})
    reply.fails(400, "BadRequest", '"data.k" is not a known field selector: only "metadata.name", "metadata.namespace"')


@case
def an_unknown_field_label_of_a_kind_with_its_own_is_refused(k):
    reply = k.get(k.core("pods"), {"fieldSelector": "spec.nothing=v"})
    reply.fails(400, "BadRequest", contains="field label not supported: spec.nothing")


@case
def a_bad_field_selector_is_refused(k):
    k.get(k.core("configmaps"), {"fieldSelector": "metadata.name"}).fails(400, "BadRequest", contains="invalid selector: 'metadata.name'; can't understand 'metadata.name'")


@case
def pods_are_selected_by_their_own_fields(k):
    for name, policy in (("p1", "Never"), ("p2", "Always")):
        body = {"metadata": {"name": name}, "spec": {"restartPolicy": policy, "schedulerName": "nobody", "containers": [{"name": "c", "image": "i"}]}}
        k.post(k.core("pods"), body).ok(201)
    path = k.core("pods")
    same(names(k.get(path, {"fieldSelector": "spec.restartPolicy=Never"})), ["p1"])
    same(names(k.get(path, {"fieldSelector": "spec.schedulerName=nobody"})), ["p1", "p2"])
    same(names(k.get(path, {"fieldSelector": "status.phase=Running"})), [])
    same(names(k.get(path, {"fieldSelector": "status.phase=Pending,spec.nodeName="})), ["p1", "p2"])
    same(names(k.get(path, {"fieldSelector": "spec.serviceAccountName=default"})), ["p1", "p2"] if "serviceAccountName" in k.get(path + "/p1").ok()["spec"] else [])


@case
def secrets_are_selected_by_type(k):
    k.post(k.core("secrets"), {"metadata": {"name": "one"}, "type": "example.com/one"}).ok(201)
    k.post(k.core("secrets"), {"metadata": {"name": "two"}}).ok(201)
    same(names(k.get(k.core("secrets"), {"fieldSelector": "type=example.com/one"})), ["one"])


@case
def events_are_selected_by_what_they_are_about(k):
    for name, about in (("e1", "p1"), ("e2", "p2")):
        k.post(k.core("events"), {"metadata": {"name": name}, "involvedObject": {"kind": "Pod", "name": about, "namespace": k.ns}, "reason": "R" + name, "type": "Normal"}).ok(201)
    same(names(k.get(k.core("events"), {"fieldSelector": "involvedObject.name=p2"})), ["e2"])
    same(names(k.get(k.core("events"), {"fieldSelector": "reason=Re1,type=Normal,involvedObject.kind=Pod"})), ["e1"])


@case
def pages_continue_and_count_what_remains(k):
    path = three(k)
    first = k.get(path, {"limit": 2, "fieldSelector": ""}).ok()
    check(first["metadata"].get("continue"), "no token")
    check(first["metadata"]["remainingItemCount"] >= 1, first["metadata"])
    second = k.get(path, {"limit": 2, "continue": first["metadata"]["continue"]}).ok()
    same(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"], "the revision of both pages")
    found = [item["metadata"]["name"] for page in (first, second) for item in page["items"]]
    same([name for name in found if name in "abc"], ["a", "b", "c"])
    check("continue" not in second["metadata"], "the last page has a token")


@case
def pages_are_one_snapshot(k):
    path = three(k)
    first = k.get(path, {"limit": 1}).ok()
    k.delete(f"{path}/b").ok()
    k.merge(f"{path}/c", {"data": {"k": "changed"}}).ok()
    k.config_map("d")
    rest = k.get(path, {"continue": first["metadata"]["continue"]}).ok()["items"]
    found = {item["metadata"]["name"]: item["data"] for item in first["items"] + rest if item["metadata"]["name"] in "abcd"}
    same(found, {"a": {"k": "v"}, "b": {"k": "v"}, "c": {"k": "v"}})


@case
def a_page_with_a_selector_does_not_count_what_remains(k):
    reply = k.get(three(k), {"limit": 1, "labelSelector": "all"}).ok()
    check("remainingItemCount" not in reply["metadata"], reply["metadata"])
    rest = k.get(k.core("configmaps"), {"labelSelector": "all", "continue": reply["metadata"]["continue"]}).ok()
    same([item["metadata"]["name"] for item in rest["items"]], ["b", "c"])


@case
def a_broken_token_is_refused(k):
    k.get(k.core("configmaps"), {"limit": 1, "continue": "%%%"}).fails(400, "BadRequest", contains="continue key is not valid")


@case
def a_token_and_a_revision_do_not_go_together(k):
    token = k.get(three(k), {"limit": 1}).ok()["metadata"]["continue"]
    reply = k.get(k.core("configmaps"), {"limit": 1, "continue": token, "resourceVersion": "1"})
    reply.fails(400, "BadRequest", contains="specifying resource version is not allowed when using continue")


@case
def a_token_of_a_revision_that_is_gone_is_410(k):
    first = k.get(three(k), {"limit": 1}).ok()
    token = first["metadata"]["continue"]
    text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode(errors="replace")
    check(first["metadata"]["resourceVersion"] or text, "")
    old = base64.urlsafe_b64encode(b'{"v":"meta.k8s.io/v1","rv":1,"start":"a\\u0000"}').decode().rstrip("=")
    reply = k.get(k.core("configmaps"), {"limit": 1, "continue": old})
    check(reply.status in (200, 400, 410), reply.status)


@case
def revision_zero_and_a_known_revision_are_answered(k):
    path = three(k)
    at = k.get(path, {"labelSelector": "all"}).ok()["metadata"]["resourceVersion"]
    for query in ({"resourceVersion": "0"}, {"resourceVersion": at}, {"resourceVersion": at, "resourceVersionMatch": "NotOlderThan"}):
        same(names(k.get(path, {"labelSelector": "all", **query})), ["a", "b", "c"], str(query))


@case
def an_exact_revision_reads_the_past(k):
    path = three(k)
    at = k.get(path).ok()["metadata"]["resourceVersion"]
    k.delete(f"{path}/b").ok()
    reply = k.get(path, {"labelSelector": "all", "resourceVersion": at, "resourceVersionMatch": "Exact"})
    same(names(reply), ["a", "b", "c"])
    same(reply.json()["metadata"]["resourceVersion"], at)


@case
def a_revision_of_the_future_times_out(k):
    at = int(k.get(three(k)).ok()["metadata"]["resourceVersion"])
    reply = k.get(k.core("configmaps"), {"resourceVersion": str(at + 10**6), "resourceVersionMatch": "NotOlderThan"})
    status = reply.fails(504, "Timeout", causes=[("ResourceVersionTooLarge", None)])
    check(status["message"].startswith("Timeout: Too large resource version: ") and status["details"]["retryAfterSeconds"] == 1, status)


@case
def match_needs_a_revision(k):
    reply = k.get(k.core("configmaps"), {"resourceVersionMatch": "Exact"})
    reply.fails(422, "Invalid", contains="resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided")
    reply = k.get(k.core("configmaps"), {"resourceVersionMatch": "Sometime", "resourceVersion": "1"})
    reply.fails(422, "Invalid", contains='resourceVersionMatch: Unsupported value: "Sometime": supported values: "Exact", "NotOlderThan", ""')
    reply = k.get(k.core("configmaps"), {"resourceVersionMatch": "Exact", "resourceVersion": "0"})
    reply.fails(422, "Invalid", contains='resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"')


@case
def a_revision_that_is_no_number_is_refused(k):
    reply = k.get(k.core("configmaps"), {"resourceVersion": "abc"})
    check(reply.status in (400, 500), reply.status)
    check("abc" in reply.text(), reply.text())


@case
def a_get_with_a_revision_is_answered(k):
    made = k.config_map()
    same(k.get(k.core("configmaps", "a"), {"resourceVersion": made["metadata"]["resourceVersion"]}).ok()["metadata"]["name"], "a")
    # Any revision will do for 0, one before the object was made included.
    k.until(lambda: k.get(k.core("configmaps", "a"), {"resourceVersion": "0"}).status == 200, "the object is there at any revision")


@case
def all_namespaces_are_listed_at_once(k):
    k.config_map("here", labels={"mine": k.ns})
    other = k.new_namespace()
    k.post(k.core("configmaps", ns=other), {"metadata": {"name": "there", "labels": {"mine": k.ns}}}).ok(201)
    found = k.get("/api/v1/configmaps", {"labelSelector": f"mine={k.ns}"}).ok()["items"]
    same(sorted((item["metadata"]["namespace"], item["metadata"]["name"]) for item in found), sorted([(k.ns, "here"), (other, "there")]))


@case
def a_collection_is_deleted_by_selector(k):
    path = three(k)
    reply = k.delete(path, query={"labelSelector": "color!=green,all"}).ok(200)
    same(reply["kind"], "ConfigMapList")
    same(chosen(k, "all"), ["b"])


@case
def events_are_selected_by_their_reporter_in_both_versions(k):
    body = {
        "metadata": {"name": "e"}, "regarding": {"namespace": k.ns, "name": "p"}, "eventTime": "2024-01-01T00:00:00.000000Z", "action": "Do",
        "reason": "Test", "type": "Normal", "reportingController": "example.com/tester", "reportingInstance": "one",
    }
    k.post(k.url("events.k8s.io/v1", "events"), body).ok(201)
    same(names(k.get(k.core("events"), {"fieldSelector": "source=example.com/tester"})), ["e"])
    same(names(k.get(k.core("events"), {"fieldSelector": "reportingComponent=example.com/tester"})), ["e"])
    same(names(k.get(k.url("events.k8s.io/v1", "events"), {"fieldSelector": "reportingController=example.com/tester"})), ["e"])
    same(names(k.get(k.url("events.k8s.io/v1", "events"), {"fieldSelector": "regarding.name=p"})), ["e"])
