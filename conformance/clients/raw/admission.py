"""What is held against an object before it is stored: quotas, ranges, priorities, service accounts."""

from kit import case, check, same, subset

CONTAINER = {"name": "c", "image": "i"}


def pod(name="p", **spec):
    return {"metadata": {"name": name}, "spec": {"schedulerName": "nobody", "containers": [CONTAINER], **spec}}


def limited(**limits):
    return {"containers": [{**CONTAINER, "resources": {"limits": limits}}]}


def counted_anew(k, generation, secrets):
    """Has the quota counted anew, and waits until it shows so many secrets.

    The controller may write an older count over the one of admission, and then rests for minutes. It counts anew when
    what is limited changes, and what it writes then is no older than the change.
    """
    services = str(100 + generation)
    k.merge(k.core("resourcequotas", "q"), {"spec": {"hard": {"count/services": services}}}).ok()
    counted = lambda one: one["status"].get("hard", {}).get("count/services") == services and one["status"]["used"]["count/secrets"] == secrets
    k.wait_for(k.core("resourcequotas"), "q", counted)


def settled(k, body, path="secrets"):
    """The answer to the creation once admission has taken up the count that is shown: it follows by a moment.

    Until then a server refuses with "status unknown for quota", or gives up after three conflicts with the count.
    """
    replies = []

    def asked():
        replies.append(k.post(k.core(path), body))
        return replies[-1].status != 409 and "status unknown for quota" not in replies[-1].text()

    k.until(asked, "admission has taken up the count")
    return replies[-1]


@case(needs="controllers")
def a_quota_counts_and_refuses(k):
    k.post(k.core("resourcequotas"), {"metadata": {"name": "q"}, "spec": {"hard": {"count/secrets": "1"}}}).ok(201)
    counted_anew(k, 1, "0")
    settled(k, {"metadata": {"name": "a"}}).ok(201)
    counted_anew(k, 2, "1")
    reply = settled(k, {"metadata": {"name": "b"}})
    reply.fails(403, "Forbidden", 'secrets "b" is forbidden: exceeded quota: q, requested: count/secrets=1, used: count/secrets=1, limited: count/secrets=1')
    same(k.get(k.core("resourcequotas", "q")).ok()["status"]["used"]["count/secrets"], "1")
    k.delete(k.core("secrets", "a")).ok()
    counted_anew(k, 3, "0")
    # What admission knows of the count follows what is shown by a moment.
    k.until(lambda: k.post(k.core("secrets"), {"metadata": {"name": "b"}}).status == 201, "there is room again")


@case(needs="controllers")
def a_quota_on_compute_wants_requests(k):
    k.post(k.core("resourcequotas"), {"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "1"}}}).ok(201)
    k.wait_for(k.core("resourcequotas"), "q", lambda one: "used" in one.get("status", {}))
    k.post(k.core("pods"), pod()).fails(403, "Forbidden", 'pods "p" is forbidden: failed quota: q: must specify requests.cpu for: c')
    settled(k, pod(**limited(cpu="600m")), "pods").ok(201)
    settled(k, pod("p2", **limited(cpu="600m")), "pods").fails(403, "Forbidden", 'pods "p2" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1')


@case
def a_range_fills_in_defaults(k):
    limits = [{"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}, "min": {"cpu": "50m"}}]
    k.post(k.core("limitranges"), {"metadata": {"name": "l"}, "spec": {"limits": limits}}).ok(201)
    made = k.post(k.core("pods"), pod()).ok(201)
    same(made["spec"]["containers"][0]["resources"], {"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}})
    check("LimitRanger plugin set: cpu request for container c; cpu limit for container c" == made["metadata"]["annotations"]["kubernetes.io/limit-ranger"], made["metadata"])


@case
def a_range_refuses_what_is_outside(k):
    limits = [{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}}]
    k.post(k.core("limitranges"), {"metadata": {"name": "l"}, "spec": {"limits": limits}}).ok(201)
    k.post(k.core("pods"), pod(**limited(cpu="2"))).fails(403, "Forbidden", 'pods "p" is forbidden: maximum cpu usage per Container is 1, but limit is 2')
    k.post(k.core("pods"), pod(**limited(cpu="50m"))).fails(403, "Forbidden", 'pods "p" is forbidden: minimum cpu usage per Container is 100m, but request is 50m')


@case
def a_priority_class_gives_its_value(k):
    name = k.unique("class")
    k.finally_delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}")
    k.post("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": name}, "value": 77, "preemptionPolicy": "Never"}).ok(201)
    made = k.post(k.core("pods"), pod(priorityClassName=name)).ok(201)
    subset(made["spec"], {"priority": 77, "preemptionPolicy": "Never", "priorityClassName": name})
    same(k.post(k.core("pods"), pod("plain")).ok(201)["spec"]["priority"], 0)


@case
def an_unknown_priority_class_is_refused(k):
    k.post(k.core("pods"), pod(priorityClassName="none")).fails(403, "Forbidden", 'pods "p" is forbidden: no PriorityClass with name none was found')


@case
def a_pod_gets_its_service_account_and_a_token_volume(k):
    made = k.post(k.core("pods"), pod()).ok(201)["spec"]
    if "serviceAccountName" not in made:
        return  # this server does not admit by service accounts
    same((made["serviceAccountName"], made["serviceAccount"]), ("default", "default"))
    volume = next(one for one in made["volumes"] if one["name"].startswith("kube-api-access-"))
    sources = volume["projected"]["sources"]
    same([next(iter(source)) for source in sources], ["serviceAccountToken", "configMap", "downwardAPI"])
    same(made["containers"][0]["volumeMounts"][0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount")


@case
def a_token_volume_can_be_declined(k):
    made = k.post(k.core("pods"), pod(automountServiceAccountToken=False)).ok(201)["spec"]
    check(not made.get("volumes"), made.get("volumes"))


@case
def an_unknown_service_account_is_refused(k):
    reply = k.post(k.core("pods"), pod(serviceAccountName="none"))
    reply.fails(403, "Forbidden", f'pods "p" is forbidden: error looking up service account {k.ns}/none: serviceaccount "none" not found')


@case
def an_unknown_runtime_class_is_refused(k):
    reply = k.post(k.core("pods"), pod(runtimeClassName="none"))
    reply.fails(403, "Forbidden", 'pods "p" is forbidden: pod rejected: RuntimeClass "none" not found')


@case
def extended_resources_are_tolerated(k):
    resources = {"limits": {"example.com/gpu": "1"}}
    made = k.post(k.core("pods"), pod(containers=[{**CONTAINER, "resources": resources}])).ok(201)["spec"]
    same(made["containers"][0]["resources"]["requests"], {"example.com/gpu": "1"})
    tolerations = made.get("tolerations", [])
    check({"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in tolerations, tolerations)


@case
def every_pod_tolerates_a_node_that_is_away_for_five_minutes(k):
    tolerations = k.post(k.core("pods"), pod()).ok(201)["spec"]["tolerations"]
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        check({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300} in tolerations, tolerations)


@case
def a_restricted_namespace_refuses_a_plain_pod(k):
    ns = k.new_namespace({"pod-security.kubernetes.io/enforce": "restricted"})
    reply = k.post(k.core("pods", ns=ns), pod())
    if reply.status == 201:
        raise AssertionError("a pod that the level restricted forbids was accepted")
    reply.fails(403, "Forbidden", contains=['pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)'])
