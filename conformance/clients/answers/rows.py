"""Objects of the kinds beside pods whose rows tell a state, and those states."""

from .objects import batch, certificates, networking, scaling, services, small, storage, workloads
from .objects.pods import LABELS

CLUSTER = {"nodes", "persistentvolumes", "namespaces", "certificatesigningrequests", "volumeattachments", "customresourcedefinitions"}
# Kinds whose status nobody else writes, so that it can be compared whole.
STILL = {"jobs", "certificatesigningrequests", "volumeattachments", "services", "ingresses", "persistentvolumeclaims"}
EARLY, LATER = "2021-02-03T04:05:06Z", "2021-02-05T07:05:06Z"


def condition(kind, status="True", **more):
    return {"type": kind, "status": status, "lastTransitionTime": EARLY, **more}


def kept(run):
    """Version, plural and object of what stays."""
    yield "batch/v1", "jobs", {"metadata": {"name": "row-parallel"}, **batch.job(parallelism=3)}
    yield "batch/v1", "jobs", {"metadata": {"name": "row-many"}, **batch.job(parallelism=2, completions=4)}
    for name in ("row", "row-approved", "row-denied"):
        yield "certificates.k8s.io/v1", "certificatesigningrequests", {"metadata": {"name": run.name(name, "cluster")}, "spec": {"request": certificates.REQUEST, "signerName": "example.org/nobody", "usages": ["client auth"], "expirationSeconds": 86400}}
    balanced = {"type": "LoadBalancer", "loadBalancerClass": "example.org/none", "ports": services.NAMED, "selector": {"c": "d", **LABELS}}
    yield "v1", "services", {"metadata": {"name": "row-balanced"}, "spec": balanced}
    yield "v1", "services", {"metadata": {"name": "row-external"}, "spec": {"ports": [{"port": 1}], "externalIPs": ["80.1.1.1", "80.1.1.2"]}}
    rules = [{"host": f"h{number}.example.org", "http": {"paths": networking.PATHS[:1]}} for number in range(2)]
    yield "networking.k8s.io/v1", "ingresses", {"metadata": {"name": "row-tls"}, "spec": {"ingressClassName": "x", "tls": [{}], "rules": rules}}
    yield "autoscaling/v2", "horizontalpodautoscalers", {"metadata": {"name": "row-metrics"}, "spec": {"scaleTargetRef": scaling.TARGET, "maxReplicas": 3, "metrics": scaling.METRICS}}
    yield "autoscaling/v2", "horizontalpodautoscalers", {"metadata": {"name": "row-few"}, "spec": {"scaleTargetRef": scaling.TARGET, "maxReplicas": 3, "metrics": scaling.METRICS[:2]}}
    yield "storage.k8s.io/v1", "volumeattachments", {"metadata": {"name": run.name("row", "cluster")}, "spec": {"attacher": "none.example.org", "nodeName": "none", "source": {"persistentVolumeName": "none"}}}


def states(run):
    """Plural, version, name and, by a word for each, the states of what stays."""
    yield "deployments", "apps/v1", "kept", {
        "rolling": {"observedGeneration": 7, "replicas": 5, "updatedReplicas": 3, "readyReplicas": 2, "availableReplicas": 1, "unavailableReplicas": 4},
        "with conditions": {"replicas": 2, "updatedReplicas": 2, "conditions": [{**condition("Available", "False"), "lastUpdateTime": EARLY}]},
    }
    yield "replicasets", "apps/v1", "kept", {"some ready": {"replicas": 5, "fullyLabeledReplicas": 4, "readyReplicas": 2, "availableReplicas": 1}}
    yield "statefulsets", "apps/v1", "kept", {"some ready": {"replicas": 5, "readyReplicas": 2, "currentReplicas": 1, "updatedReplicas": 4, "availableReplicas": 2}}
    yield "daemonsets", "apps/v1", "kept", {"some ready": {"currentNumberScheduled": 4, "desiredNumberScheduled": 5, "numberReady": 3, "updatedNumberScheduled": 2, "numberAvailable": 1, "numberMisscheduled": 1}}
    yield "replicationcontrollers", "v1", "kept", {"some ready": {"replicas": 5, "readyReplicas": 2, "availableReplicas": 1, "fullyLabeledReplicas": 3}}
    yield "poddisruptionbudgets", "policy/v1", "kept", {"one may go": {"disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3, "disruptedPods": None}}
    yield from of_jobs()
    yield from of_storage(run)
    yield from of_services()
    yield from of_autoscalers()
    name = run.name("row", "cluster")
    yield "certificatesigningrequests", "certificates.k8s.io/v1", name, {"issued": {"certificate": certificates.CERTIFICATE}, "failed": {"conditions": [condition("Failed", reason="R", message="m")]}}
    yield "volumeattachments", "storage.k8s.io/v1", name, {"attached": {"attached": True, "attachmentMetadata": {"a": "b"}}, "refused": {"attached": False, "attachError": {"message": "m", "time": EARLY}}}
    yield "namespaces", "v1", run.mark, {"with a condition": {"conditions": [condition("NamespaceDeletionContentFailure", "False")]}}


def of_jobs():
    running = {"active": 1, "ready": 1, "startTime": EARLY, "uncountedTerminatedPods": {}}
    targets = [condition("SuccessCriteriaMet"), condition("Complete")]
    failures = [condition("FailureTarget", reason="BackoffLimitExceeded"), condition("Failed", reason="BackoffLimitExceeded")]
    yield "jobs", "batch/v1", "kept", {
        "running": running,
        "suspended": {"conditions": [condition("Suspended")]},
        "not suspended": {"conditions": [condition("Suspended", "False")]},
        "complete": {"startTime": EARLY, "completionTime": LATER, "succeeded": 1, "conditions": targets, "uncountedTerminatedPods": {}},
        "succeeding": {"startTime": EARLY, "succeeded": 1, "conditions": targets[:1]},
        "failed": {"startTime": EARLY, "failed": 7, "conditions": failures, "uncountedTerminatedPods": {}},
        "failing": {"startTime": EARLY, "failed": 7, "conditions": failures[:1]},
    }
    yield "jobs", "batch/v1", "row-parallel", {"running": {**running, "succeeded": 1}}
    yield "jobs", "batch/v1", "row-many", {"running": {**running, "succeeded": 3, "failed": 1}}
    yield "cronjobs", "batch/v1", "kept", {"with jobs": {"active": [{"name": "a"}, {"name": "b"}], "lastScheduleTime": EARLY, "lastSuccessfulTime": LATER}}


def of_storage(run):
    claim = {"phase": "Bound", "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "capacity": {"storage": "2048Mi"}}
    yield "persistentvolumeclaims", "v1", "kept", {"bound": claim, "lost": {"phase": "Lost"}, "resizing": {**claim, "conditions": [condition("Resizing")], "allocatedResources": {"storage": "3Gi"}, "allocatedResourceStatuses": {"storage": "ControllerResizeInProgress"}}}
    yield "persistentvolumes", "v1", run.name("kept", "cluster"), {"available": {"phase": "Available"}, "failed": {"phase": "Failed", "reason": "R", "message": "m"}, "released": {"phase": "Released"}}


def of_services():
    balancer = {"loadBalancer": {"ingress": [{"ip": "80.2.2.2", "ipMode": "VIP"}, {"hostname": "lb.example.org"}]}}
    long = {"loadBalancer": {"ingress": [{"hostname": "a-rather-long-name-of-a-balancer.example.org"}]}}
    port = {"loadBalancer": {"ingress": [{"ip": "80.2.2.2", "ports": [{"port": 1, "protocol": "TCP"}]}]}}
    yield "services", "v1", "row-balanced", {"pending": {"loadBalancer": {}}, "balanced": balancer, "of a long name": long, "of a port": port}
    yield "services", "v1", "row-external", {"of two addresses": {"conditions": []}}
    yield "ingresses", "networking.k8s.io/v1", "row-tls", {"balanced": balancer, "of a long name": long, "unknown": {"loadBalancer": {}}}


def of_autoscalers():
    def current(kind, field, **value):
        metric = next(metric for metric in scaling.METRICS if metric["type"] == kind)[field]
        return {"type": kind, field: {**{key: inner for key, inner in metric.items() if key != "target"}, "current": value}}

    resource = {"type": "Resource", "resource": {"name": "memory", "current": {"averageValue": "1Gi"}}}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 30, "averageValue": "250m"}}}
    others = [current("ContainerResource", "containerResource", averageUtilization=20, averageValue="1"), current("Pods", "pods", averageValue="700m"), current("Object", "object", value="1k"), current("External", "external", averageValue="2", value="4")]
    whole = {"currentReplicas": 2, "desiredReplicas": 3, "currentMetrics": [resource, cpu, *others], "lastScaleTime": EARLY}
    yield "horizontalpodautoscalers", "autoscaling/v2", "kept", {"without measures": {"currentReplicas": 2, "desiredReplicas": 2, "currentMetrics": None}, "measured": {"currentReplicas": 1, "desiredReplicas": 2, "currentMetrics": [cpu]}}
    yield "horizontalpodautoscalers", "autoscaling/v2", "row-metrics", {"without measures": {"currentReplicas": 1, "desiredReplicas": 1, "currentMetrics": None}, "measured": whole}
    yield "horizontalpodautoscalers", "autoscaling/v2", "row-few", {"measured": {"currentReplicas": 2, "desiredReplicas": 2, "currentMetrics": [resource, cpu]}, "in part": {"currentReplicas": 2, "desiredReplicas": 2, "currentMetrics": [cpu]}}
    yield "horizontalpodautoscalers", "autoscaling/v1", "row-metrics", {"of the old version": {"currentReplicas": 4, "desiredReplicas": 5, "currentCPUUtilizationPercentage": 7}}


def made(run):
    """Objects whose state a creation may tell: label, version, plural and object."""
    info = {"kubeletVersion": "v1", "osImage": "os", "kernelVersion": "k", "containerRuntimeVersion": "r://1", "architecture": "", "bootID": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "", "systemUUID": ""}
    for label, conditions, spec in (
        ("ready", [condition("Ready")], {}), ("not ready", [condition("Ready", "False")], {}), ("unknown", [condition("Ready", "Unknown")], {}), ("nothing known", [], {}),
        ("cordoned", [condition("Ready"), condition("MemoryPressure")], {"unschedulable": True}), ("cordoned, nothing known", [], {"unschedulable": True}),
    ):
        yield label, "v1", "nodes", {"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/b": "", "node-role.kubernetes.io/a": "x"}}, "spec": spec, "status": {"conditions": conditions, "nodeInfo": info}}
    for kind, source in (("Event", "kubelet"), ("other", "")):
        yield f"an event of {kind}", "v1", "events", {"metadata": {"name": "e", "namespace": run.mark}, "involvedObject": {"kind": "Pod", "namespace": run.mark, "name": "p"}, "source": {"component": source}, "lastTimestamp": EARLY, "reason": "R", "message": " m\n"}
    yield "an event in series", "events.k8s.io/v1", "events", {"metadata": {"name": "e"}, "eventTime": small.FINE, "action": "A", "reason": "R", "type": "Normal", "reportingController": "example.org/c", "reportingInstance": "i", "regarding": {"kind": "Pod", "namespace": run.mark, "name": "p"}, "series": {"count": 5, "lastObservedTime": "2021-02-04T04:05:06.000000Z"}}
    many = {"addressType": "IPv4", "endpoints": [{"addresses": [f"10.1.1.{number}"]} for number in range(5)], "ports": [{"name": f"p{number}", "port": number + 1} for number in range(5)]}
    yield "many addresses", "discovery.k8s.io/v1", "endpointslices", {"metadata": {"name": "e"}, **many}
    addresses = [{"ip": f"10.1.1.{number}"} for number in range(5)]
    yield "many addresses", "v1", "endpoints", {"metadata": {"name": "e"}, "subsets": [{"addresses": addresses, "ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]}]}
    yield "not ready addresses", "v1", "endpoints", {"metadata": {"name": "e"}, "subsets": [{"notReadyAddresses": addresses, "ports": [{"port": 1}]}]}
    for mode in ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"):
        yield f"mode {mode}", "v1", "persistentvolumes", {"metadata": {"name": "p"}, "spec": {**storage.HOST, "accessModes": [mode]}}
    yield "many containers", "apps/v1", "replicasets", {"metadata": {"name": "r"}, **workloads.spec(template={**workloads.TEMPLATE, "spec": {"containers": [{"name": f"c{number}", "image": f"i:{number}"} for number in range(5)]}})}
