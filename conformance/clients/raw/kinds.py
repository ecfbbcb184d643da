"""Defaults and rules of the built-in kinds."""

import json

from kit import case, check, same, subset

CONTAINER = {"name": "c", "image": "i"}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
SELECTOR = {"matchLabels": {"a": "b"}}


def pod(k, name="p", **spec):
    return k.post(k.core("pods"), {"metadata": {"name": name}, "spec": {"schedulerName": "nobody", "containers": [CONTAINER], **spec}})


@case
def a_pod_gets_its_defaults(k):
    made = pod(k).ok(201)
    subset(made["spec"], {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "securityContext": {}, "enableServiceLinks": True})
    subset(made["spec"]["containers"][0], {"imagePullPolicy": "Always", "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "resources": {}})
    same((made["status"]["phase"], made["status"]["qosClass"]), ("Pending", "BestEffort"))


@case
def the_pull_policy_follows_the_tag(k):
    containers = [{"name": "a", "image": "x:1"}, {"name": "b", "image": "x:latest"}, {"name": "c", "image": "x@sha256:" + "0" * 64}]
    made = pod(k, containers=containers).ok(201)["spec"]["containers"]
    same([one["imagePullPolicy"] for one in made], ["IfNotPresent", "Always", "IfNotPresent"])


@case
def the_quality_class_follows_requests_and_limits(k):
    full = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    for name, resources, expected in (("g", full, "Guaranteed"), ("b", {"requests": {"cpu": "1"}}, "Burstable"), ("n", {}, "BestEffort")):
        same(pod(k, name, containers=[{**CONTAINER, "resources": resources}]).ok(201)["status"]["qosClass"], expected)


@case
def requests_follow_limits_and_quantities_are_canonical(k):
    made = pod(k, containers=[{**CONTAINER, "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}}]).ok(201)
    same(made["spec"]["containers"][0]["resources"], {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}})


@case
def a_pod_needs_containers_with_names_and_images(k):
    pod(k, containers=[]).fails(422, "Invalid", 'Pod "p" is invalid: spec.containers: Required value')
    reply = pod(k, containers=[{"name": "Bad_Name", "image": "i"}, {"name": "d"}, {"name": "d", "image": "i"}])
    reply.fails(422, "Invalid", contains=["spec.containers[0].name: Invalid value: \"Bad_Name\"", "spec.containers[1].image: Required value", 'spec.containers[2].name: Duplicate value: "d"'])


@case
def the_causes_of_an_invalid_object_are_listed(k):
    status = pod(k, restartPolicy="Sometimes", containers=[{"name": "c"}]).fails(422, "Invalid", causes=[("FieldValueRequired", "spec.containers[0].image"), ("FieldValueNotSupported", "spec.restartPolicy")])
    same(status["details"]["causes"][1]["message"], 'Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"')


@case
def mounts_must_name_volumes(k):
    pod(k, containers=[{**CONTAINER, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]).fails(422, "Invalid", contains='spec.containers[0].volumeMounts[0].name: Not found: "v"')
    pod(k, volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]).fails(422, "Invalid", contains="spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type")


@case
def limits_must_not_be_below_requests(k):
    pod(k, containers=[{**CONTAINER, "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}]).fails(422, "Invalid", contains='spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1')


@case
def most_of_a_pod_cannot_be_changed(k):
    pod(k).ok(201)
    reply = k.strategic(k.core("pods", "p"), {"spec": {"terminationGracePeriodSeconds": 5}})
    reply.fails(422, "Invalid", contains="spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)")
    found = k.strategic(k.core("pods", "p"), {"spec": {"activeDeadlineSeconds": 9, "containers": [{"name": "c", "image": "j"}]}}).ok()
    same((found["spec"]["containers"][0]["image"], found["spec"]["activeDeadlineSeconds"]), ("j", 9))


@case
def a_deployment_gets_its_defaults(k):
    made = k.post(k.url("apps/v1", "deployments"), {"metadata": {"name": "d"}, "spec": {"paused": True, "replicas": 0, "selector": SELECTOR, "template": TEMPLATE}}).ok(201)["spec"]
    subset(made, {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})


@case
def a_selector_must_match_its_template(k):
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "c"}}, "template": TEMPLATE}}
    reply = k.post(k.url("apps/v1", "deployments"), body)
    reply.fails(422, "Invalid", 'Deployment.apps "d" is invalid: spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`')


@case
def a_selector_is_required_and_cannot_be_changed(k):
    k.post(k.url("apps/v1", "deployments"), {"metadata": {"name": "d"}, "spec": {"template": TEMPLATE}}).fails(422, "Invalid", contains="spec.selector: Required value")
    k.post(k.url("apps/v1", "daemonsets"), {"metadata": {"name": "d"}, "spec": {"selector": SELECTOR, "template": {**TEMPLATE, "spec": {"nodeSelector": {"x": "y"}, "containers": [CONTAINER]}}}}).ok(201)
    k.merge(k.url("apps/v1", "daemonsets", "d"), {"spec": {"selector": {"matchLabels": {"a": "c"}}}}).fails(422, "Invalid", contains="field is immutable")


@case
def a_stateful_set_changes_little(k):
    k.post(k.url("apps/v1", "statefulsets"), {"metadata": {"name": "s"}, "spec": {"replicas": 0, "serviceName": "x", "selector": SELECTOR, "template": TEMPLATE}}).ok(201)
    found = k.get(k.url("apps/v1", "statefulsets", "s")).ok()["spec"]
    subset(found, {"podManagementPolicy": "OrderedReady", "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}, "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"}})
    k.merge(k.url("apps/v1", "statefulsets", "s"), {"spec": {"serviceName": "y"}}).fails(422, "Invalid", contains="spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")


@case
def a_job_gets_its_selector_and_defaults(k):
    spec = {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}}
    made = k.post(k.url("batch/v1", "jobs"), {"metadata": {"name": "j"}, "spec": spec}).ok(201)
    subset(made["spec"], {"parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "podReplacementPolicy": "TerminatingOrFailed"})
    uid = made["metadata"]["uid"]
    same(made["spec"]["selector"], {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})
    same(made["spec"]["template"]["metadata"]["labels"], {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": "j", "controller-uid": uid, "job-name": "j"})


@case
def a_job_restarts_on_failure_or_never(k):
    reply = k.post(k.url("batch/v1", "jobs"), {"metadata": {"name": "j"}, "spec": {"template": {"spec": {"containers": [CONTAINER]}}}})
    reply.fails(422, "Invalid", 'Job.batch "j" is invalid: spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"')


@case
def the_template_of_a_job_cannot_be_changed(k):
    spec = {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}}
    k.post(k.url("batch/v1", "jobs"), {"metadata": {"name": "j"}, "spec": spec}).ok(201)
    k.strategic(k.url("batch/v1", "jobs", "j"), {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "other"}]}}}}).fails(422, "Invalid", contains="spec.template: Invalid value:")
    k.merge(k.url("batch/v1", "jobs", "j"), {"spec": {"parallelism": 3}}).ok(200)


@case
def a_schedule_is_read(k):
    job = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}}}
    path = k.url("batch/v1", "cronjobs")
    k.post(path, {"metadata": {"name": "bad"}, "spec": {"schedule": "often", "jobTemplate": job}}).fails(422, "Invalid", contains='spec.schedule: Invalid value: "often": expected exactly 5 fields, found 1: [often]')
    made = k.post(path, {"metadata": {"name": "c"}, "spec": {"suspend": True, "schedule": "*/5 * * * *", "timeZone": "Europe/Berlin", "jobTemplate": job}}).ok(201)["spec"]
    subset(made, {"concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1})
    k.post(path, {"metadata": {"name": "z"}, "spec": {"schedule": "@daily", "timeZone": "Mars/Base", "jobTemplate": job}}).fails(422, "Invalid", contains='spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base')


@case
def a_service_gets_an_address_of_its_own(k):
    made = k.post(k.core("services"), {"metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}).ok(201)["spec"]
    check(made["clusterIP"].startswith("10.") and made["clusterIPs"] == [made["clusterIP"]], made)
    subset(made, {"type": "ClusterIP", "sessionAffinity": "None", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]})
    reply = k.post(k.core("services"), {"metadata": {"name": "t"}, "spec": {"clusterIP": made["clusterIP"], "ports": [{"port": 80}]}})
    reply.fails(422, "Invalid", contains=f'spec.clusterIPs: Invalid value: ["{made["clusterIP"]}"]: failed to allocate IP {made["clusterIP"]}: provided IP is already allocated')
    k.merge(k.core("services", "s"), {"spec": {"clusterIP": "10.96.0.77", "clusterIPs": ["10.96.0.77"]}}).fails(422, "Invalid", contains="may not change once set")


@case
def an_address_comes_back_when_its_service_goes(k):
    address = k.post(k.core("services"), {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}).ok(201)["spec"]["clusterIP"]
    k.delete(k.core("services", "s")).ok(200)
    again = k.post(k.core("services"), {"metadata": {"name": "t"}, "spec": {"clusterIP": address, "ports": [{"port": 80}]}}).ok(201)
    same(again["spec"]["clusterIP"], address)


@case
def a_headless_service_has_no_address(k):
    made = k.post(k.core("services"), {"metadata": {"name": "s"}, "spec": {"clusterIP": "None", "selector": {"a": "b"}}}).ok(201)["spec"]
    same((made["clusterIP"], made["clusterIPs"]), ("None", ["None"]))


@case
def a_node_port_is_given(k):
    made = k.post(k.core("services"), {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}).ok(201)["spec"]
    port = made["ports"][0]["nodePort"]
    check(30000 <= port <= 32767, port)
    same(made["externalTrafficPolicy"], "Cluster")
    reply = k.post(k.core("services"), {"metadata": {"name": "t"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}})
    reply.fails(422, "Invalid", contains=f"spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated")
    k.post(k.core("services"), {"metadata": {"name": "u"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}}).fails(422, "Invalid", contains="spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767")
    back = k.merge(k.core("services", "s"), {"spec": {"type": "ClusterIP"}}).ok()["spec"]
    check("nodePort" not in back["ports"][0], back)


@case
def the_type_of_a_secret_wants_its_keys(k):
    reply = k.post(k.core("secrets"), {"metadata": {"name": "s"}, "type": "kubernetes.io/tls", "data": {}})
    reply.fails(422, "Invalid", contains=["data[tls.crt]: Required value", "data[tls.key]: Required value"])
    k.post(k.core("secrets"), {"metadata": {"name": "t"}}).ok(201)
    k.merge(k.core("secrets", "t"), {"type": "other"}).fails(422, "Invalid", contains='type: Invalid value: "other": field is immutable')


@case
def a_claim_wants_a_size_and_a_mode(k):
    reply = k.post(k.core("persistentvolumeclaims"), {"metadata": {"name": "v"}, "spec": {}})
    reply.fails(422, "Invalid", contains=["spec.accessModes: Required value: at least 1 access mode is required", "spec.resources[storage]: Required value"])
    made = k.post(k.core("persistentvolumeclaims"), {"metadata": {"name": "v"}, "spec": {"storageClassName": "none", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}).ok(201)
    same((made["spec"]["volumeMode"], made["status"]["phase"], made["metadata"]["finalizers"]), ("Filesystem", "Pending", ["kubernetes.io/pvc-protection"]))
    k.merge(k.core("persistentvolumeclaims", "v"), {"metadata": {"finalizers": None}}).ok()


@case
def a_disruption_budget_takes_one_bound(k):
    path = k.url("policy/v1", "poddisruptionbudgets")
    k.post(path, {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "maxUnavailable": 1, "selector": SELECTOR}}).fails(422, "Invalid", contains="minAvailable and maxUnavailable cannot be both set")
    same(k.post(path, {"metadata": {"name": "b"}, "spec": {"minAvailable": "50%", "selector": SELECTOR}}).ok(201)["spec"]["minAvailable"], "50%")


@case
def an_autoscaler_gets_its_defaults(k):
    spec = {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}
    made = k.post(k.url("autoscaling/v2", "horizontalpodautoscalers"), {"metadata": {"name": "h"}, "spec": spec}).ok(201)["spec"]
    subset(made, {"minReplicas": 1, "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]})


@case
def an_ingress_wants_a_rule_or_a_backend(k):
    path = k.url("networking.k8s.io/v1", "ingresses")
    check("either `defaultBackend` or `rules` must be specified" in k.post(path, {"metadata": {"name": "i"}, "spec": {}}).text(), "no such message")
    rule = {"host": "x.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}
    same(k.post(path, {"metadata": {"name": "i"}, "spec": {"rules": [rule]}}).ok(201)["status"], {"loadBalancer": {}})


@case
def a_priority_class_is_bounded_and_fixed(k):
    name, path = k.unique("class"), "/apis/scheduling.k8s.io/v1/priorityclasses"
    k.finally_delete(f"{path}/{name}")
    check("maximum allowed value of a user defined priority is 1000000000" in k.post(path, {"metadata": {"name": name}, "value": 2_000_000_000}).text(), "no such message")
    k.post(path, {"metadata": {"name": name}, "value": 5}).ok(201)
    k.merge(f"{path}/{name}", {"value": 6}).fails(422, "Invalid", contains="value: Forbidden: may not be changed in an update.")


@case
def a_lease_is_validated(k):
    path = k.url("coordination.k8s.io/v1", "leases")
    k.post(path, {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0}}).fails(422, "Invalid", contains="spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0")


@case
def an_endpoint_slice_fixes_its_address_type(k):
    path = k.url("discovery.k8s.io/v1", "endpointslices")
    k.post(path, {"metadata": {"name": "e"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}).ok(201)
    k.merge(f"{path}/e", {"addressType": "IPv6"}).fails(422, "Invalid", contains='addressType: Invalid value: "IPv6": field is immutable')


@case
def a_network_policy_gets_its_types(k):
    made = k.post(k.url("networking.k8s.io/v1", "networkpolicies"), {"metadata": {"name": "n"}, "spec": {"podSelector": {}, "egress": []}}).ok(201)["spec"]
    same(made["policyTypes"], ["Ingress"] if "Egress" not in made["policyTypes"] else ["Ingress", "Egress"])


@case
def an_autoscaler_is_served_in_both_versions(k):
    name = "autoscaling.alpha.kubernetes.io/"
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}
    hits = {"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "5"}}}
    spec = {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "metrics": [hits, cpu], "behavior": {"scaleDown": {"stabilizationWindowSeconds": 7}}}
    old, new = (k.url(f"autoscaling/{version}", "horizontalpodautoscalers") for version in ("v1", "v2"))
    made = k.post(new, {"metadata": {"name": "h"}, "spec": spec}).ok(201)
    shown = k.get(old + "/h").ok()
    same((shown["apiVersion"], shown["spec"]["targetCPUUtilizationPercentage"]), ("autoscaling/v1", 60))
    notes = shown["metadata"]["annotations"]
    same(json.loads(notes[name + "metrics"]), [{"type": "Pods", "pods": {"metricName": "hits", "targetAverageValue": "5"}}])
    same(json.loads(notes[name + "behavior"])["ScaleDown"]["StabilizationWindowSeconds"], 7)
    shown["spec"]["targetCPUUtilizationPercentage"] = 70
    k.put(old + "/h", shown).ok()
    changed = k.get(new + "/h").ok()
    same([one for one in changed["spec"]["metrics"] if one["type"] == "Pods"], [hits])
    check({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}} in changed["spec"]["metrics"], changed["spec"])
    same((changed["spec"]["behavior"], changed["metadata"].get("annotations")), (made["spec"]["behavior"], None))


@case(needs="controllers")
def a_class_of_attributes_stays_while_a_claim_has_it(k):
    name = k.unique("attributes")
    path = "/apis/storage.k8s.io/v1/volumeattributesclasses"
    made = k.post(path, {"metadata": {"name": name}, "driverName": "d.example.org", "parameters": {"a": "b"}}).ok(201)
    k.finally_delete(f"{path}/{name}")
    same(made["metadata"]["finalizers"], ["kubernetes.io/vac-protection"])
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "none.example.org", "volumeAttributesClassName": name, "resources": {"requests": {"storage": "1Gi"}}}
    k.post(k.core("persistentvolumeclaims"), {"metadata": {"name": "c"}, "spec": spec}).ok(201)
    k.delete(f"{path}/{name}").ok(200)
    check(k.get(f"{path}/{name}").ok()["metadata"]["deletionTimestamp"], "it is not marked")
    k.delete(k.core("persistentvolumeclaims", "c")).ok(200)
    k.wait_gone(path, name)
