"""Kinds of `networking.k8s.io`."""

from ..asking import Thing
from .pods import LABELS

BACKEND = {"service": {"name": "s", "port": {"number": 80}}}
PATHS = [{"path": "/a", "pathType": "Prefix", "backend": BACKEND}, {"pathType": "ImplementationSpecific", "backend": {"resource": {"apiGroup": "x.org", "kind": "K", "name": "n"}}}, {"path": "/b", "pathType": "Exact", "backend": {"service": {"name": "s", "port": {"name": "web"}}}}]
RULES = {
    "ingress": [
        {"from": [{"podSelector": {}}, {"namespaceSelector": {"matchLabels": LABELS}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80}, {"protocol": "UDP"}, {"port": "web"}, {"port": 1, "endPort": 9, "protocol": "SCTP"}]},
        {},
    ],
    "egress": [{"to": [{"podSelector": {"matchLabels": LABELS}}]}],
}


def ingresses():
    variants = {
        "minimal": {"spec": {"defaultBackend": BACKEND}},
        "rich": {"spec": {"ingressClassName": "x", "tls": [{"hosts": ["a.example.org"], "secretName": "t"}, {}], "rules": [{"host": "a.example.org", "http": {"paths": PATHS}}, {"host": "*.b.example.org", "http": {"paths": PATHS[:1]}}, {"host": "c.example.org"}]}},
        "any host": {"spec": {"rules": [{"http": {"paths": PATHS[:1]}}]}},
        "many hosts": {"spec": {"rules": [{"host": f"h{number}.example.org", "http": {"paths": PATHS[:1]}} for number in range(5)]}},
        "a class in an annotation": {"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {"defaultBackend": BACKEND}},
    }
    return Thing("networking.k8s.io/v1", "ingresses", "Ingress", variants, {"spec": {"defaultBackend": {"service": {"name": "t"}}}})


def things(_):
    group = "networking.k8s.io/v1"
    classes = {
        "minimal": {"spec": {"controller": "example.org/c"}},
        "rich": {"spec": {"controller": "example.org/c", "parameters": {"apiGroup": "x.org", "kind": "K", "name": "n"}}},
        "parameters of a namespace": {"spec": {"controller": "example.org/c", "parameters": {"kind": "K", "name": "n", "scope": "Namespace", "namespace": "m"}}},
    }
    policies = {"minimal": {"spec": {"podSelector": {}}}, "rich": {"spec": {"podSelector": {"matchLabels": {"c": "d", "a": "b"}}, **RULES}}, "of types": {"spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "policyTypes": ["Egress"]}}}
    parent = {"spec": {"parentRef": {"group": "", "resource": "services", "namespace": "n", "name": "s"}}}
    addresses = {"minimal": {**parent, "metadata": {"name": "172.31.3.3", "labels": {"ipaddress.kubernetes.io/managed-by": "example.org"}}}}
    ranges = {"minimal": {"spec": {"cidrs": ["172.31.0.0/24"]}}, "two families": {"spec": {"cidrs": ["172.31.0.0/24", "fd00::/112"]}, "status": {"conditions": []}}}
    return [
        ingresses(),
        Thing(group, "ingressclasses", "IngressClass", classes, {"metadata": {"labels": LABELS}}, scope="cluster"),
        Thing(group, "networkpolicies", "NetworkPolicy", policies, {"spec": {"ingress": [{}]}}),
        Thing(group, "ipaddresses", "IPAddress", addresses, scope="cluster", kept="never"),
        Thing(group, "servicecidrs", "ServiceCIDR", ranges, scope="cluster", kept="never"),
    ]
