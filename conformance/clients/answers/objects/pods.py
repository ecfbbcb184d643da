"""Pods. None is ever scheduled, and all but one do without a token, so that no cluster adds anything to them."""

from ..asking import Thing

CONTAINER = {"name": "c", "image": "i"}
LABELS = {"a": "b"}


def pod(*containers, labels=None, annotations=None, **spec):
    spec = {"schedulerName": "nobody", "automountServiceAccountToken": False, "containers": list(containers) or [CONTAINER], **spec}
    meta = {**({"labels": labels} if labels else {}), **({"annotations": annotations} if annotations else {})}
    return {**({"metadata": meta} if meta else {}), "spec": spec}


HTTP = {"httpGet": {"path": "/x", "port": 80}}
PROBES = {
    **CONTAINER,
    "livenessProbe": HTTP,
    "readinessProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 3, "successThreshold": 2},
    "startupProbe": {"grpc": {"port": 90}, "failureThreshold": 30},
    "lifecycle": {"postStart": {"exec": {"command": ["a"]}}, "preStop": {"sleep": {"seconds": 1}}},
    "ports": [{"name": "web", "containerPort": 80}, {"containerPort": 81, "protocol": "UDP", "hostPort": 8081, "hostIP": "127.0.0.1"}],
}
MORE_PROBES = {
    "name": "d", "image": "i:1", "livenessProbe": {"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 4},
    "readinessProbe": {"httpGet": {"port": "web", "scheme": "HTTPS", "host": "h", "httpHeaders": [{"name": "A", "value": "b"}]}},
    "startupProbe": {"grpc": {"port": 91, "service": "s"}},
    "lifecycle": {"preStop": {"httpGet": {"port": 1}}, "postStart": {"tcpSocket": {"port": 2}}},
}
ENVIRONMENT = {
    **CONTAINER,
    "env": [
        {"name": "A", "value": "1"}, {"name": "B", "value": ""}, {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "D", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['a']"}}},
        {"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "F", "valueFrom": {"resourceFieldRef": {"containerName": "c", "resource": "requests.memory", "divisor": "1024Ki"}}},
        {"name": "G", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k", "optional": True}}},
        {"name": "H", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "m"}}, {"prefix": "P_", "secretRef": {"name": "s", "optional": False}}],
    "command": ["a", ""], "args": [], "workingDir": "/w", "stdin": True, "stdinOnce": True, "tty": True,
    "terminationMessagePath": "/t", "terminationMessagePolicy": "FallbackToLogsOnError",
}
RESOURCES = {
    **CONTAINER, "image": "registry.example.org:5000/i@sha256:" + "0" * 64,
    "resources": {"limits": {"cpu": "1500m", "memory": "1.5Gi", "ephemeral-storage": "1e9", "example.com/device": "2"}, "requests": {"cpu": "0.5"}},
    "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}],
}
SECURITY = {
    **CONTAINER,
    "securityContext": {
        "runAsUser": 1, "runAsGroup": 0, "runAsNonRoot": True, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "privileged": False,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}, "procMount": "Default", "seccompProfile": {"type": "Localhost", "localhostProfile": "p"},
        "seLinuxOptions": {"level": "s0"}, "appArmorProfile": {"type": "RuntimeDefault"},
    },
}
POD_SECURITY = {
    "runAsUser": 0, "fsGroup": 3, "fsGroupChangePolicy": "OnRootMismatch", "supplementalGroups": [4, 5], "supplementalGroupsPolicy": "Strict",
    "sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}], "seccompProfile": {"type": "RuntimeDefault"}, "seLinuxChangePolicy": "Recursive",
    "seLinuxOptions": {"user": "u", "role": "r", "type": "t", "level": "l"}, "appArmorProfile": {"type": "Unconfined"},
}
TERM = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "Gt", "values": ["1"]}], "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {"matchExpressions": [{"key": "k", "operator": "Exists"}]}}],
    },
    "podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{**TERM, "namespaces": ["x"], "namespaceSelector": {}}],
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": {**TERM, "matchLabelKeys": ["l"], "mismatchLabelKeys": ["m"]}}],
    },
    "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 2, "podAffinityTerm": TERM}]},
}
SCHEDULING = {
    "affinity": AFFINITY, "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}, {"key": "b", "value": "c"}, {"operator": "Exists", "effect": "NoSchedule"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": LABELS}, "minDomains": 2},
        {"maxSkew": 2, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}, "nodeTaintsPolicy": "Honor", "nodeAffinityPolicy": "Ignore", "matchLabelKeys": ["l"]},
    ],
}
INIT = {
    "initContainers": [{"name": "i", "image": "i:latest", "resources": {"limits": {"cpu": "1"}}}, {"name": "s", "image": "i", "restartPolicy": "Always", "startupProbe": HTTP, "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}],
}
NAMES = {
    "hostname": "h", "subdomain": "s", "setHostnameAsFQDN": True, "dnsPolicy": "None", "hostAliases": [{"ip": "10.1.1.1", "hostnames": ["a", "b"]}], "enableServiceLinks": False,
    "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}, {"name": "x"}]},
    "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "activeDeadlineSeconds": 10, "shareProcessNamespace": True, "preemptionPolicy": "PreemptLowerPriority",
    "imagePullSecrets": [{"name": "r"}, {"name": "q"}], "readinessGates": [{"conditionType": "example.com/ready"}],
}


def full(name):
    amounts = {"cpu": "1", "memory": "1Gi"}
    return {"name": name, "image": "i", "resources": {"requests": amounts, "limits": amounts}}


def things(run):
    variants = {
        "minimal": pod(),
        "with a token": pod(automountServiceAccountToken=None, serviceAccountName="kept"),
        "of an old field for its account": pod(serviceAccount="kept"),
        "probes": pod(PROBES, MORE_PROBES, labels=LABELS),
        "environment": pod(ENVIRONMENT, labels=LABELS),
        "a variable twice": pod({**CONTAINER, "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
        "resources": pod(RESOURCES),
        "guaranteed": pod(full("c"), full("d")),
        "resources of the pod": pod(resources={"limits": {"cpu": "2", "memory": "1Gi"}}),
        "hugepages": pod({**CONTAINER, "resources": {"limits": {"hugepages-2Mi": "4Mi", "memory": "1Gi", "cpu": "1"}}}),
        "security": pod(SECURITY, securityContext=POD_SECURITY),
        "privileged": pod({**CONTAINER, "securityContext": {"privileged": True}}, hostPID=True, hostIPC=True),
        "users of its own": pod(hostUsers=False),
        "scheduling": pod(**SCHEDULING, labels={**LABELS, "l": "1"}),
        "held by gates": pod(schedulingGates=[{"name": "example.com/a"}, {"name": "b"}]),
        "init containers": pod(CONTAINER, **INIT),
        "names": pod(**NAMES),
        "on the host's network": pod({**CONTAINER, "ports": [{"containerPort": 80}, {"name": "x", "containerPort": 81, "hostPort": 81}]}, hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"),
        "of windows": pod({**CONTAINER, "securityContext": {"windowsOptions": {"runAsUserName": "u", "hostProcess": False}}}, os={"name": "windows"}, securityContext={"windowsOptions": {"gmsaCredentialSpecName": "g"}}),
        "of linux": pod(os={"name": "linux"}),
        "of a class": pod(runtimeClassName=f"{run.mark}-pods"),
        "of a priority": pod(priorityClassName=f"{run.mark}-pods"),
        "critical": pod(priorityClassName="system-cluster-critical"),
        "fields that are switched off": pod({**CONTAINER, "restartPolicy": "OnFailure", "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]}, hostnameOverride="h"),
        "old annotations": pod(annotations={"seccomp.security.alpha.kubernetes.io/pod": "runtime/default", "container.apparmor.security.beta.kubernetes.io/c": "unconfined", "scheduler.alpha.kubernetes.io/critical-pod": ""}),
        "a status of its own": {**pod(), "status": {"phase": "Running", "podIP": "1.2.3.4"}},
        "a generated name": {**pod(), "metadata": {"name": None, "generateName": "generated-", "labels": {}, "annotations": {"x": ""}, "finalizers": ["example.com/f"], "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "kept", "uid": "11111111-1111-1111-1111-111111111111"}]}},
        "empty lists and maps": {"metadata": {"labels": {}, "annotations": {}, "finalizers": []}, **pod({**CONTAINER, "env": [], "ports": [], "resources": {}, "volumeMounts": []}, volumes=[], tolerations=[], nodeSelector={}, affinity={}, hostAliases=[], imagePullSecrets=[], initContainers=[])},
    }
    change = {"metadata": {"labels": {"x": "y"}}, "spec": {"activeDeadlineSeconds": 100}}
    return [Thing("v1", "pods", "Pod", variants, change)]
