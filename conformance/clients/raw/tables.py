"""Tables, and objects that are reduced to their metadata."""

from kit import case, check, same, subset

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def columns(table):
    return [column["name"] for column in table["columnDefinitions"]]


@case
def a_list_is_given_as_a_table(k):
    k.config_map(labels={"mine": ""}, data={"a": "1", "b": "2"})
    reply = k.get(k.core("configmaps"), {"labelSelector": "mine"}, accept=TABLE)
    same(reply.headers.get("Content-Type"), "application/json")
    table = reply.ok()
    subset(table, {"kind": "Table", "apiVersion": "meta.k8s.io/v1"})
    same(columns(table), ["Name", "Data", "Age"])
    row = table["rows"][0]
    same(row["cells"][:2], ["a", 2])
    subset(row["object"], {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a", "namespace": k.ns}})
    check(int(table["metadata"]["resourceVersion"]) > 0, table["metadata"])


@case
def one_object_is_given_as_a_table(k):
    k.config_map()
    table = k.get(k.core("configmaps", "a"), accept=TABLE).ok()
    same((table["kind"], len(table["rows"])), ("Table", 1))


@case
def the_object_of_a_row_can_be_left_out_or_whole(k):
    k.config_map(labels={"mine": ""})
    query = {"labelSelector": "mine"}
    row = k.get(k.core("configmaps"), {**query, "includeObject": "Object"}, accept=TABLE).ok()["rows"][0]
    subset(row["object"], {"kind": "ConfigMap", "apiVersion": "v1", "data": {"k": "v"}})
    row = k.get(k.core("configmaps"), {**query, "includeObject": "None"}, accept=TABLE).ok()["rows"][0]
    check(not row.get("object"), row)
    k.get(k.core("configmaps"), {**query, "includeObject": "Some"}, accept=TABLE).fails(400, "BadRequest", contains="Unable to convert to Table as requested: includeObject: Invalid value: \"Some\": must be 'Metadata', 'Object', 'None', or empty")


@case
def kinds_have_their_own_columns(k):
    rows = {
        "/api/v1/namespaces": ["Name", "Status", "Age"],
        k.core("pods"): ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"],
        k.core("services"): ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector"],
        k.core("secrets"): ["Name", "Type", "Data", "Age"],
        k.core("serviceaccounts"): ["Name", "Secrets", "Age"],
        k.core("events"): ["Last Seen", "Type", "Reason", "Object", "Subobject", "Source", "Message", "First Seen", "Count", "Name"],
        k.core("persistentvolumeclaims"): ["Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age", "VolumeMode"],
        "/api/v1/nodes": ["Name", "Status", "Roles", "Age", "Version", "Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"],
        k.url("apps/v1", "deployments"): ["Name", "Ready", "Up-to-date", "Available", "Age", "Containers", "Images", "Selector"],
        k.url("apps/v1", "replicasets"): ["Name", "Desired", "Current", "Ready", "Age", "Containers", "Images", "Selector"],
        k.url("apps/v1", "statefulsets"): ["Name", "Ready", "Age", "Containers", "Images"],
        k.url("apps/v1", "daemonsets"): ["Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age", "Containers", "Images", "Selector"],
        k.url("batch/v1", "jobs"): ["Name", "Status", "Completions", "Duration", "Age", "Containers", "Images", "Selector"],
        k.url("batch/v1", "cronjobs"): ["Name", "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age", "Containers", "Images", "Selector"],
    }
    for path, expected in rows.items():
        same(columns(k.get(path, accept=TABLE).ok()), expected, path)


@case
def the_cells_of_a_pod_tell_its_state(k):
    k.post(k.core("pods"), {"metadata": {"name": "p"}, "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]}}).ok(201)
    cells = k.get(k.core("pods", "p"), accept=TABLE).ok()["rows"][0]["cells"]
    same(cells[:4], ["p", "0/2", "Pending", "0"])
    same(cells[5:], ["<none>", "<none>", "<none>", "<none>"])


@case
def the_cells_of_a_service_tell_its_ports(k):
    k.post(k.core("services"), {"metadata": {"name": "s"}, "spec": {"clusterIP": "None", "selector": {"a": "b"}, "ports": [{"name": "x", "port": 80}, {"name": "y", "port": 81, "protocol": "UDP"}]}}).ok(201)
    cells = k.get(k.core("services", "s"), accept=TABLE).ok()["rows"][0]["cells"]
    same(cells[:5] + cells[6:], ["s", "ClusterIP", "None", "<none>", "80/TCP,81/UDP", "a=b"])


@case
def a_watch_gives_tables_and_the_columns_once(k):
    k.config_map("a", labels={"mine": ""})
    with k.watch(k.core("configmaps"), accept=TABLE, labelSelector="mine") as watch:
        first = watch.next()
        k.config_map("b", labels={"mine": ""})
        second = watch.next()
    same((first["type"], first["object"]["kind"]), ("ADDED", "Table"))
    same(columns(first["object"]), ["Name", "Data", "Age"])
    same(second["object"].get("columnDefinitions") or [], [])
    same(second["object"]["rows"][0]["cells"][0], "b")


@case
def a_table_is_paged(k):
    for name in "abc":
        k.config_map(name, labels={"mine": ""})
    table = k.get(k.core("configmaps"), {"limit": 2, "labelSelector": "mine"}, accept=TABLE).ok()
    same(len(table["rows"]), 2)
    check(table["metadata"]["continue"], table["metadata"])


@case
def metadata_alone_can_be_asked_for(k):
    k.config_map(labels={"mine": ""})
    found = k.get(k.core("configmaps", "a"), accept=PARTIAL).ok()
    subset(found, {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a", "labels": {"mine": ""}}})
    check("data" not in found, found)
    found = k.get(k.core("configmaps"), {"labelSelector": "mine"}, accept=PARTIAL_LIST).ok()
    subset(found, {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"})
    same(found["items"][0]["metadata"]["name"], "a")
    check("data" not in found["items"][0], found)


@case
def metadata_alone_can_be_watched(k):
    k.config_map(labels={"mine": ""})
    with k.watch(k.core("configmaps"), accept=PARTIAL, labelSelector="mine") as watch:
        event = watch.next()
    subset(event["object"], {"kind": "PartialObjectMetadata", "metadata": {"name": "a"}})
    check("data" not in event["object"], event)


@case
def the_first_form_that_is_served_is_taken(k):
    k.config_map()
    found = k.get(k.core("configmaps", "a"), accept="application/json;as=Picture;v=v1;g=meta.k8s.io, application/json").ok()
    same(found["kind"], "ConfigMap")


@case
def a_form_that_is_not_served_is_406(k):
    k.get(k.core("configmaps"), accept="application/json;as=Picture;v=v1;g=meta.k8s.io").fails(406, "NotAcceptable")


@case
def a_review_is_no_table(k):
    body = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    k.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body, accept=TABLE).fails(406, "NotAcceptable")
