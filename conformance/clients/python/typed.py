"""`kubernetes`: typed objects. Its models refuse replies that lack a required field."""

from kubernetes import client, utils, watch

from kit import case, check, same

from .shared import api_client, meta, pod, refused


def core():
    return client.CoreV1Api(api_client())


def deployment(name="web", replicas=0):
    labels = {"app": name}
    spec = client.V1PodSpec(containers=[client.V1Container(name="main", image="busybox:1.36", command=["sleep", "1000"])])
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels), spec=spec)
    return client.V1Deployment(metadata=meta(name), spec=client.V1DeploymentSpec(replicas=replicas, selector=client.V1LabelSelector(match_labels=labels), template=template))


@case
def a_config_map_lives(k):
    made = core().create_namespaced_config_map(k.ns, client.V1ConfigMap(metadata=meta("c"), data={"k": "v"}))
    same(made.data, {"k": "v"})
    check(made.metadata.creation_timestamp.tzinfo is not None, "no time zone")
    made.data["l"] = "w"
    same(core().replace_namespaced_config_map("c", k.ns, made).data, {"k": "v", "l": "w"})
    same(core().patch_namespaced_config_map("c", k.ns, {"data": {"k": None}}).data, {"l": "w"})
    same([one.metadata.name for one in core().list_namespaced_config_map(k.ns, field_selector="metadata.name=c").items], ["c"])
    gone = core().delete_namespaced_config_map("c", k.ns)
    same(gone["status"] if isinstance(gone, dict) else gone.status, "Success")
    refused(lambda: core().read_namespaced_config_map("c", k.ns), 404, "NotFound")


@case
def a_stale_replace_is_a_conflict(k):
    made = core().create_namespaced_config_map(k.ns, client.V1ConfigMap(metadata=meta("c")))
    core().patch_namespaced_config_map("c", k.ns, {"data": {"k": "v"}})
    refused(lambda: core().replace_namespaced_config_map("c", k.ns, made), 409, "Conflict")


@case
def a_secret_is_base64(k):
    made = core().create_namespaced_secret(k.ns, client.V1Secret(metadata=meta("s"), string_data={"p": "word"}))
    check(made.data["p"] in ("d29yZA==", b"word"), made.data)


@case
def a_pod_is_read_back_whole(k):
    body = pod("p", "true", scheduler_name="nobody")
    made = core().create_namespaced_pod(k.ns, body)
    same((made.status.phase, made.spec.restart_policy), ("Pending", "Never"))
    same(core().read_namespaced_pod("p", k.ns).metadata.uid, made.metadata.uid)
    same(core().list_namespaced_pod(k.ns, label_selector="none").items, [])
    core().delete_namespaced_pod("p", k.ns)


@case
def a_deployment_scales(k):
    apps = client.AppsV1Api(api_client())
    apps.create_namespaced_deployment(k.ns, deployment())
    same(apps.read_namespaced_deployment_scale("web", k.ns).status.replicas, 0)
    same(apps.patch_namespaced_deployment_scale("web", k.ns, {"spec": {"replicas": 2}}).spec.replicas, 2)
    same(apps.read_namespaced_deployment("web", k.ns).spec.replicas, 2)
    apps.patch_namespaced_deployment("web", k.ns, {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "X", "value": "1"}]}]}}}})
    same(apps.read_namespaced_deployment("web", k.ns).spec.template.spec.containers[0].command, ["sleep", "1000"])
    apps.delete_namespaced_deployment("web", k.ns, propagation_policy="Foreground")


@case
def every_listing_is_readable(k):
    """The models are strict, so that reading a list tells whether every required field is there."""
    rows = [
        core().list_namespace, core().list_node, core().list_service_for_all_namespaces, core().list_service_account_for_all_namespaces,
        client.RbacAuthorizationV1Api(api_client()).list_cluster_role, client.RbacAuthorizationV1Api(api_client()).list_cluster_role_binding,
        client.StorageV1Api(api_client()).list_storage_class, client.SchedulingV1Api(api_client()).list_priority_class,
        client.CoordinationV1Api(api_client()).list_lease_for_all_namespaces, client.ApiextensionsV1Api(api_client()).list_custom_resource_definition,
        client.DiscoveryV1Api(api_client()).list_endpoint_slice_for_all_namespaces, core().list_config_map_for_all_namespaces,
    ]
    for row in rows:
        row()


@case
def pages_are_followed(k):
    for name in "abcde":
        core().create_namespaced_config_map(k.ns, client.V1ConfigMap(metadata=meta(name, labels={"mine": ""})))
    names, token = [], None
    while token != "":
        page = core().list_namespaced_config_map(k.ns, label_selector="mine", limit=2, _continue=token)
        names += [one.metadata.name for one in page.items]
        token = page.metadata._continue if hasattr(page.metadata, "_continue") else page.metadata.var_continue
        token = token or ""
    same(names, list("abcde"))


@case
def a_watch_begins_with_what_is_there(k):
    core().create_namespaced_config_map(k.ns, client.V1ConfigMap(metadata=meta("a", labels={"mine": ""})))
    seen = []
    watcher = watch.Watch()
    for event in watcher.stream(core().list_namespaced_config_map, k.ns, label_selector="mine", timeout_seconds=20):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 1:
            core().create_namespaced_config_map(k.ns, client.V1ConfigMap(metadata=meta("b", labels={"mine": ""})))
        elif len(seen) == 2:
            core().delete_namespaced_config_map("a", k.ns)
        else:
            watcher.stop()
    same(seen, [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")])


@case
def a_watch_survives_a_revision_that_is_too_old(k):
    watcher = watch.Watch()
    count = 0
    try:
        for _ in watcher.stream(core().list_namespaced_config_map, k.ns, resource_version="1", timeout_seconds=2):
            count += 1
            if count > 5:
                watcher.stop()
    except client.ApiException as error:
        same(error.status, 410)


@case
def reviews_and_tokens(k):
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(namespace=k.ns, verb="get", resource="pods")))
    same(client.AuthorizationV1Api(api_client()).create_self_subject_access_review(review).status.allowed, True)
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=["me"], expiration_seconds=600)) if hasattr(client, "AuthenticationV1TokenRequest") else {"spec": {"audiences": ["me"], "expirationSeconds": 600}}
    token = core().create_namespaced_service_account_token("default", k.ns, request)
    same(len(token.status.token.split(".")), 3)


@case
def objects_are_made_from_yaml(k):
    docs = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "y"}, "data": {"k": "v"}},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}},
    ]
    utils.create_from_yaml(api_client(), yaml_objects=docs, namespace=k.ns)
    same(client.BatchV1Api(api_client()).read_namespaced_job("j", k.ns).spec.suspend, True)


@case
def the_version_is_told(k):
    check(client.VersionApi(api_client()).get_code().git_version.startswith("v1."), "no version")


@case
def events_are_made_and_listed(k):
    event = client.CoreV1Event(metadata=meta("e"), involved_object=client.V1ObjectReference(kind="Pod", name="p", namespace=k.ns), reason="Tested", message="hello", type="Normal")
    core().create_namespaced_event(k.ns, event)
    same(core().list_namespaced_event(k.ns, field_selector="involvedObject.name=p").items[0].message, "hello")
