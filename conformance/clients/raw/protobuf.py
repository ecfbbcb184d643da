"""Request bodies in protobuf, as kubectl 1.32 and Go clients send them. Bytes are put together by hand here."""

import base64

from kit import case, check, same, subset

CONTENT = "application/vnd.kubernetes.protobuf"


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def bytes_field(number, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def number_field(number, value):
    return varint(number << 3) + varint(value)


def pair(number, key, value):
    return bytes_field(number, bytes_field(1, key) + bytes_field(2, value))


def envelope(api_version, kind, raw):
    """The magic, then runtime.Unknown: a TypeMeta and the message itself."""
    meta = bytes_field(1, api_version) + bytes_field(2, kind)
    return b"k8s\x00" + bytes_field(1, meta) + bytes_field(2, raw) + bytes_field(3, "") + bytes_field(4, "")


def object_meta(name, labels=()):
    return bytes_field(1, name) + b"".join(pair(11, key, value) for key, value in labels)


def config_map(name="p", data=(("k", "v"),), extra=b""):
    raw = bytes_field(1, object_meta(name, [("mine", "yes")])) + b"".join(pair(2, key, value) for key, value in data) + extra
    return envelope("v1", "ConfigMap", raw)


def post(k, path, body, **more):
    return k.post(path, body, content=CONTENT, **more)


@case
def a_config_map_is_created_from_protobuf(k):
    made = post(k, k.core("configmaps"), config_map()).ok(201)
    subset(made, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "p", "labels": {"mine": "yes"}}, "data": {"k": "v"}})


@case
def binary_data_comes_whole(k):
    data = bytes(range(256))
    body = config_map(extra=bytes_field(3, bytes_field(1, "b") + bytes_field(2, data)))
    same(post(k, k.core("configmaps"), body).ok(201)["binaryData"], {"b": base64.b64encode(data).decode()})


@case
def text_comes_whole(k):
    text = "zwölf Boxkämpfer 🥊\n"
    same(post(k, k.core("configmaps"), config_map(data=[("k", text)])).ok(201)["data"], {"k": text})


@case
def a_deployment_is_created_from_protobuf(k):
    container = bytes_field(1, "c") + bytes_field(2, "image") + bytes_field(6, number_field(3, 80))
    template = bytes_field(1, pair(11, "a", "b")) + bytes_field(2, bytes_field(2, container))
    spec = number_field(1, 0) + bytes_field(2, pair(1, "a", "b")) + bytes_field(3, template)
    body = envelope("apps/v1", "Deployment", bytes_field(1, object_meta("d")) + bytes_field(2, spec))
    made = post(k, k.url("apps/v1", "deployments"), body).ok(201)
    subset(made["spec"], {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "progressDeadlineSeconds": 600})
    subset(made["spec"]["template"]["spec"]["containers"][0], {"name": "c", "image": "image", "ports": [{"containerPort": 80, "protocol": "TCP"}]})


@case
def a_quantity_and_a_time_are_decoded(k):
    spec = bytes_field(1, "holder") + number_field(2, 15) + bytes_field(4, number_field(1, 1700000000) + number_field(2, 5000))
    body = envelope("coordination.k8s.io/v1", "Lease", bytes_field(1, object_meta("l")) + bytes_field(2, spec))
    found = post(k, k.url("coordination.k8s.io/v1", "leases"), body).ok(201)["spec"]
    same(found, {"holderIdentity": "holder", "leaseDurationSeconds": 15, "renewTime": "2023-11-14T22:13:20.000005Z"})
    hard = bytes_field(1, bytes_field(1, "pods") + bytes_field(2, bytes_field(1, "10")))
    body = envelope("v1", "ResourceQuota", bytes_field(1, object_meta("q")) + bytes_field(2, hard))
    same(post(k, k.core("resourcequotas"), body).ok(201)["spec"]["hard"], {"pods": "10"})


@case
def an_int_or_string_is_decoded(k):
    port = bytes_field(1, "http") + bytes_field(2, "TCP") + number_field(3, 80) + bytes_field(4, number_field(1, 1) + bytes_field(3, "web"))
    spec = bytes_field(1, port) + bytes_field(3, "None")
    body = envelope("v1", "Service", bytes_field(1, object_meta("s")) + bytes_field(2, spec))
    same(post(k, k.core("services"), body).ok(201)["spec"]["ports"], [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "web"}])


@case
def a_replace_is_read_from_protobuf_too(k):
    k.config_map("p")
    same(k.put(k.core("configmaps", "p"), config_map(data=[("z", "1")]), content=CONTENT).ok(200)["data"], {"z": "1"})


@case
def delete_options_are_read_from_protobuf(k):
    k.config_map("p", finalizers=["example.com/wait"])
    body = envelope("v1", "DeleteOptions", bytes_field(4, "Foreground"))
    found = k.delete(k.core("configmaps", "p"), body, content=CONTENT).ok(200)
    check("foregroundDeletion" in found["metadata"]["finalizers"], found["metadata"])
    k.merge(k.core("configmaps", "p"), {"metadata": {"finalizers": None}}).ok()


@case
def a_review_is_read_from_protobuf(k):
    attributes = bytes_field(1, "default") + bytes_field(2, "get") + bytes_field(5, "pods")
    body = envelope("authorization.k8s.io/v1", "SelfSubjectAccessReview", bytes_field(1, b"") + bytes_field(2, bytes_field(1, attributes)))
    found = post(k, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body).ok(201)
    same(found["status"]["allowed"], True)


@case
def json_answers_a_client_that_prefers_protobuf_but_takes_anything(k):
    reply = k.get("/api/v1/namespaces/default", accept="application/json, */*")
    same(reply.ok()["kind"], "Namespace")


@case
def a_body_without_the_magic_is_refused(k):
    post(k, k.core("configmaps"), b"xxxx" + config_map()[4:]).fails(400, "BadRequest", contains="provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")


@case
def a_body_that_is_cut_off_is_refused(k):
    check(post(k, k.core("configmaps"), config_map()[:-25]).status in (400, 422), "it was accepted")
