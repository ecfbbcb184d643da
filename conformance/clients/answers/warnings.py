"""Requests that are accepted with a warning: fields that mean nothing, are old, or are there twice."""

from .asking import APPLY, MERGE, STEPS, STRATEGIC, Ask, merged
from .objects import batch, services, workloads
from .objects.pods import CONTAINER, LABELS, pod


def requests(run):
    for label, version, plural, body in rows(run):
        scope = "cluster" if plural in CLUSTER else "namespace"
        path = run.url(version, plural, scope=scope)
        named = merged({"metadata": {"name": run.name("w", scope)}}, body)
        yield Ask(f"warnings: {plural}: {label}", "POST", f"{path}?dryRun=All&fieldManager=one", named, part="managers")
    yield from fields(run)


CLUSTER = {"persistentvolumes", "storageclasses", "runtimeclasses", "nodes", "namespaces", "clusterroles", "validatingwebhookconfigurations"}


def rows(run):
    yield from of_pods()
    yield from of_templates()
    yield from of_services()
    yield from of_others()


def of_pods():
    term = {"matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "Exists"}, {"key": "failure-domain.beta.kubernetes.io/zone", "operator": "In", "values": ["a"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}, "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term}]}}
    spread = {"maxSkew": 1, "topologyKey": "failure-domain.beta.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
    anti = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname"}]}}
    ports = [{"containerPort": 80}, {"containerPort": 80}, {"name": "a", "containerPort": 81, "hostPort": 81}]
    few = {"limits": {"memory": "0.5", "ephemeral-storage": "100m", "cpu": "1"}, "requests": {"memory": "100m"}}
    variables = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "B", "value": "$(A)"}]
    found = {
        "old labels of nodes": pod(nodeSelector={"beta.kubernetes.io/arch": "x", "node-role.kubernetes.io/master": ""}, affinity=affinity),
        "a spread by an old label": pod(topologySpreadConstraints=[spread]),
        "no selector": pod(affinity=anti, topologySpreadConstraints=[{**spread, "topologyKey": "x"}]),
        "ports that are there twice": pod({**CONTAINER, "ports": ports}, {"name": "d", "image": "i", "ports": ports[:1]}),
        "parts of a byte": pod({**CONTAINER, "resources": few}),
        "variables that are there twice": pod({**CONTAINER, "env": variables}),
        "secrets of images that are there twice": pod(imagePullSecrets=[{"name": "a"}, {"name": "a"}, {"name": ""}]),
        "aliases that are there twice": pod(hostAliases=[{"ip": "10.1.1.1", "hostnames": ["a"]}, {"ip": "10.1.1.1", "hostnames": ["b"]}]),
        "a negative grace": pod(terminationGracePeriodSeconds=-1),
        "volumes of old": pod(volumes=[{"name": "a", "gitRepo": {"repository": "r"}}, {"name": "b", "glusterfs": {"endpoints": "e", "path": "p"}}]),
        "paths that overlap": pod(volumes=[{"name": "a", "projected": {"sources": [{"configMap": {"name": "m", "items": [{"key": "k", "path": "x"}]}}, {"serviceAccountToken": {"path": "x/y"}}]}}]),
        "odd addresses": pod(hostAliases=[{"ip": "010.1.1.1", "hostnames": ["a"]}], dnsConfig={"nameservers": ["001.1.1.1"]}, dnsPolicy="None"),
        "annotations of old": pod(annotations={"security.alpha.kubernetes.io/sysctls": "a=b", "container.seccomp.security.alpha.kubernetes.io/c": "runtime/default"}),
        "a dotted name": {"metadata": {"name": "a.b.c"}, **pod()},
    }
    for label, body in found.items():
        yield label, "v1", "pods", body


def of_templates():
    old = {"nodeSelector": {"beta.kubernetes.io/os": "linux"}, "volumes": [{"name": "a", "rbd": {"monitors": ["m"], "image": "i"}}], "terminationGracePeriodSeconds": -1}
    annotations = {"container.apparmor.security.beta.kubernetes.io/c": "runtime/default", "seccomp.security.alpha.kubernetes.io/pod": "unconfined", "scheduler.alpha.kubernetes.io/critical-pod": ""}
    template = merged(workloads.TEMPLATE, {"metadata": {"annotations": annotations}, "spec": old})
    for plural in ("deployments", "replicasets", "statefulsets"):
        yield "of its template", "apps/v1", plural, workloads.spec(template=template)
        yield "a dotted name", "apps/v1", plural, {"metadata": {"name": "a.b"}, **workloads.spec()}
    yield "of its template", "apps/v1", "daemonsets", {"spec": {"selector": workloads.SELECTOR, "template": template}}
    yield "of its template", "v1", "replicationcontrollers", {"spec": {"replicas": 0, "selector": LABELS, "template": template}}
    yield "of its template", "v1", "podtemplates", {"template": template}
    once = merged(template, {"spec": {"restartPolicy": "Never"}})
    yield "of its template", "batch/v1", "jobs", batch.job(once)
    yield "a dotted name", "batch/v1", "jobs", {"metadata": {"name": "a.b"}, **batch.job()}
    yield "more than can be told", "batch/v1", "jobs", batch.job(completionMode="Indexed", completions=100001, parallelism=10001)
    yield "of its template", "batch/v1", "cronjobs", {"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": once}}}}
    claim = merged(workloads.CLAIM, {"spec": {"resources": {"requests": {"storage": "0.5"}}}, "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "x"}}})
    yield "of its claims", "apps/v1", "statefulsets", workloads.spec(volumeClaimTemplates=[claim], revisionHistoryLimit=-1)


def of_services():
    def service(**more):
        return {"spec": {"ports": [services.WEB], **more}}

    found = {
        "an address of a balancer": service(type="LoadBalancer", loadBalancerIP="80.1.1.1"),
        "a headless balancer of sessions": service(clusterIP="None", sessionAffinity="ClientIP"),
        "addresses for an external name": service(type="ExternalName", externalName="a.example.org", externalIPs=["80.1.1.1"]),
        "odd addresses": service(externalIPs=["080.1.1.1"], loadBalancerSourceRanges=None),
        "odd ranges": service(type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.1/8", " 10.0.0.0/08"]),
        "a hint of old": {"metadata": {"annotations": {"service.kubernetes.io/topology-aware-hints": "auto"}}, **service()},
        "a port that is there twice": service(ports=[{"name": "a", "port": 80}, {"name": "b", "port": 80, "targetPort": 1, "protocol": "UDP"}]),
    }
    for label, body in found.items():
        yield label, "v1", "services", body
    yield "odd addresses", "v1", "endpoints", {"subsets": [{"addresses": [{"ip": "010.1.1.1"}], "ports": [{"port": 1}]}]}
    yield "odd addresses", "discovery.k8s.io/v1", "endpointslices", {"addressType": "IPv4", "endpoints": [{"addresses": ["010.1.1.1"]}]}
    yield "odd ranges", "networking.k8s.io/v1", "networkpolicies", {"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1/8", "except": ["10.01.0.0/16"]}}]}]}}
    yield "a class of old", "networking.k8s.io/v1", "ingresses", {"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 1}}}}}


def of_others():
    host = {"capacity": {"storage": "0.5"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}}
    yield "a policy of old", "v1", "persistentvolumes", {"spec": {**host, "persistentVolumeReclaimPolicy": "Recycle"}, "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "x"}}}
    yield "a volume of old", "v1", "persistentvolumes", {"spec": {**{key: host[key] for key in ("capacity", "accessModes")}, "glusterfs": {"endpoints": "e", "path": "p"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "Exists"}]}]}}}}
    yield "parts of a byte", "v1", "persistentvolumeclaims", {"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "x", "resources": {"requests": {"storage": "500m"}}}}
    yield "zones of old", "storage.k8s.io/v1", "storageclasses", {"provisioner": "example.org/p", "allowedTopologies": [{"matchLabelExpressions": [{"key": "failure-domain.beta.kubernetes.io/zone", "values": ["a"]}]}]}
    yield "labels of old", "node.k8s.io/v1", "runtimeclasses", {"handler": "h", "scheduling": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}}
    yield "labels of old", "v1", "nodes", {"metadata": {"labels": {"beta.kubernetes.io/os": "linux"}, "annotations": {"scheduler.alpha.kubernetes.io/preferAvoidPods": "{}"}}, "spec": {"podCIDR": "10.09.0.0/24", "externalID": "x", "configSource": {"configMap": {"namespace": "n", "name": "m", "uid": "u", "kubeletConfigKey": "k"}}}}
    yield "labels of old", "storage.k8s.io/v1", "csistoragecapacities", {"storageClassName": "x", "nodeTopology": {"matchLabels": {"beta.kubernetes.io/os": "linux"}}}
    yield "secrets that can be mounted", "v1", "serviceaccounts", {"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}
    yield "a certificate that is none", "v1", "secrets", {"type": "kubernetes.io/tls", "stringData": {"tls.crt": "-----BEGIN X-----\nYQ==\n-----END X-----\n", "tls.key": ""}}
    yield "a key in its place", "v1", "secrets", {"type": "kubernetes.io/tls", "stringData": {"tls.crt": "-----BEGIN EC PRIVATE KEY-----\nYQ==\n-----END EC PRIVATE KEY-----\n", "tls.key": ""}}
    yield "no selector", "policy/v1", "poddisruptionbudgets", {"spec": {"minAvailable": 1}}
    yield "levels of security", "v1", "namespaces", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "baseline", "pod-security.kubernetes.io/audit-version": "v1.20"}}}
    yield "rules for all", "admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", {"webhooks": [{"name": "a.example.org", "admissionReviewVersions": ["v1"], "sideEffects": "None", "clientConfig": {"url": "https://a.example.org"}, "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}]}]}


def fields(run):
    """Fields that are unknown or there twice, with each way to say so."""
    path = run.url("apps/v1", "deployments")
    body = {"metadata": {"name": "w", "odd": 1}, "spec": {"replicas": 0, "odd": 1, "selector": workloads.SELECTOR, "template": merged(workloads.TEMPLATE, {"spec": {"odd": {}, "containers": [{**CONTAINER, "imagee": "x"}]}})}}
    twice = '{"metadata": {"name": "w"}, "data": {"a": "1", "a": "2"}, "data": {"b": "1"}}'
    for validation in ("Ignore", "Warn", "Strict"):
        query = f"?dryRun=All&fieldManager=one&fieldValidation={validation}"
        yield Ask(f"warnings: unknown fields: {validation}", "POST", path + query, body, part="managers")
        yield Ask(f"warnings: fields that are there twice: {validation}", "POST", run.url("v1", "configmaps") + query, twice)
        yield Ask(f"warnings: unknown fields merged: {validation}", "PATCH", run.url("v1", "configmaps", "kept") + query, {"odd": 1, "data": {"k": "v"}}, MERGE, part="managers")
        yield Ask(f"warnings: unknown fields patched: {validation}", "PATCH", run.url("v1", "configmaps", "kept") + query, {"odd": 1, "data": {"k": "v"}}, STRATEGIC, part="managers")
        yield Ask(f"warnings: unknown fields in steps: {validation}", "PATCH", run.url("v1", "configmaps", "kept") + query, [{"op": "add", "path": "/odd", "value": 1}], STEPS, part="managers")
        yield Ask(f"warnings: unknown fields put: {validation}", "PUT", run.url("v1", "configmaps", "kept") + query, {"metadata": {"name": "kept"}, "odd": 1}, part="managers")
    yield Ask("warnings: applied to a template", "PATCH", run.url("apps/v1", "deployments", "w") + "?dryRun=All&fieldManager=one", {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w"}, **workloads.spec(template=merged(workloads.TEMPLATE, {"spec": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}}))}, APPLY, part="managers")
