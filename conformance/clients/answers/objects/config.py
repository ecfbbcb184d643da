"""Kinds that hold data and settings of a namespace."""

from ..asking import Thing
from .pods import LABELS

LIMITS = {"limits": [
    {"type": "Container", "max": {"cpu": "2", "memory": "1024Mi"}, "min": {"cpu": "10m"}, "default": {"cpu": "500m"}, "defaultRequest": {"memory": "1000000"}, "maxLimitRequestRatio": {"cpu": "10"}},
    {"type": "Pod", "max": {"cpu": "4"}}, {"type": "PersistentVolumeClaim", "min": {"storage": "1.5Gi"}},
]}
QUOTA = {"hard": {"pods": "10", "requests.cpu": "1000m", "limits.memory": "1.5Gi", "count/configmaps": "5", "requests.example.com/device": "3"}, "scopes": ["NotTerminating"]}
SCOPED = {"hard": {"pods": "3"}, "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["a"]}, {"scopeName": "BestEffort", "operator": "Exists"}]}}


def secrets():
    variants = {
        "minimal": {},
        "rich": {"type": "example.com/x", "data": {"b": "YQ==", "a": ""}, "stringData": {"c": "d", "b": "over"}, "immutable": False, "metadata": {"labels": LABELS}},
        "of a registry": {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{}"}},
        "of tls": {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}},
        "of a token": {"type": "kubernetes.io/basic-auth", "stringData": {"username": "u"}},
    }
    return Thing("v1", "secrets", "Secret", variants, {"data": {"z": "eg=="}})


def things(_):
    maps = {"minimal": {}, "rich": {"data": {"b": "2", "a": ""}, "binaryData": {"c": "AAE="}, "immutable": True, "metadata": {"labels": LABELS, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}}}
    accounts = {"minimal": {}, "rich": {"automountServiceAccountToken": False, "imagePullSecrets": [{"name": "b"}, {"name": "a"}], "secrets": [{"name": "s"}], "metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}}
    quotas = {"minimal": {}, "rich": {"spec": QUOTA}, "scoped": {"spec": SCOPED}}
    ranges = {"minimal": {"spec": {"limits": []}}, "rich": {"spec": LIMITS}}
    spaces = {"minimal": {}, "rich": {"metadata": {"labels": LABELS, "finalizers": ["example.com/f"]}, "spec": {"finalizers": ["example.com/g", "kubernetes"]}, "status": {"phase": "Terminating"}}}
    return [
        Thing("v1", "configmaps", "ConfigMap", maps, {"data": {"z": "1"}}),
        secrets(),
        Thing("v1", "serviceaccounts", "ServiceAccount", accounts, {"automountServiceAccountToken": True}),
        Thing("v1", "resourcequotas", "ResourceQuota", quotas, {"spec": {"hard": {"pods": "77"}}}, kept="never"),
        Thing("v1", "limitranges", "LimitRange", ranges, kept="never"),
        Thing("v1", "namespaces", "Namespace", spaces, scope="cluster", kept="never"),
    ]
