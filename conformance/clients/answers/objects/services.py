"""Services of each type, endpoints and endpoint slices."""

from ..asking import Thing
from .pods import LABELS

WEB = {"port": 80}
NAMED = [{"name": "web", "port": 80, "targetPort": "http", "appProtocol": "kubernetes.io/h2c"}, {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "sctp", "port": 9, "protocol": "SCTP", "targetPort": 10}]


def services():
    def spec(**more):
        return {"spec": {"selector": LABELS, "ports": [WEB], **more}}

    variants = {
        "minimal": spec(),
        "several ports": spec(ports=NAMED, sessionAffinity="ClientIP", publishNotReadyAddresses=True, trafficDistribution="PreferClose", internalTrafficPolicy="Local"),
        "headless": spec(clusterIP="None", selector=None),
        "headless without ports": spec(clusterIP="None", ports=None),
        "for nodes": spec(type="NodePort", externalIPs=["80.11.12.10"]),
        "for nodes, locally": spec(type="NodePort", externalTrafficPolicy="Local", ports=NAMED),
        "balanced": spec(type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.0/8"], sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 10}}),
        "balanced, locally": spec(type="LoadBalancer", externalTrafficPolicy="Local", loadBalancerClass="example.org/x", allocateLoadBalancerNodePorts=True),
        "balanced without node ports": spec(type="LoadBalancer", allocateLoadBalancerNodePorts=False, loadBalancerIP="80.11.12.10", loadBalancerClass="example.org/x"),
        "of an external name": {"spec": {"type": "ExternalName", "externalName": "a.example.org"}},
        "of an external name, with ports": {"spec": {"type": "ExternalName", "externalName": "a.example.org", "ports": [WEB], "selector": LABELS}},
        "of families": spec(ipFamilyPolicy="PreferDualStack", ipFamilies=["IPv4"]),
        "without a selector": spec(selector=None),
    }
    change = {"spec": {"sessionAffinity": "ClientIP", "ports": [{"port": 80, "targetPort": 8080}]}}
    return Thing("v1", "services", "Service", variants, change)


def things(_):
    addresses = [{"ip": "10.1.1.2", "nodeName": "n", "targetRef": {"kind": "Pod", "name": "p"}}, {"ip": "10.1.1.1", "hostname": "h"}]
    subsets = [{"addresses": addresses, "ports": [{"name": "w", "port": 80}, {"name": "x", "port": 81, "protocol": "UDP"}]}, {"notReadyAddresses": [{"ip": "10.1.1.3"}], "ports": [{"port": 80}]}]
    endpoints = {"minimal": {}, "rich": {"subsets": subsets}, "no ports": {"subsets": [{"addresses": [{"ip": "10.1.1.1"}]}]}}
    all_of_it = [
        {"addresses": ["10.1.1.1"], "conditions": {"ready": False, "serving": True, "terminating": True}, "hostname": "h", "nodeName": "n", "zone": "z", "hints": {"forZones": [{"name": "z"}]}, "targetRef": {"kind": "Pod", "name": "p"}},
        {"addresses": ["10.1.1.2"]},
    ]
    slices = {
        "minimal": {"addressType": "IPv4", "endpoints": []},
        "rich": {"addressType": "IPv4", "endpoints": all_of_it, "ports": [{}, {"name": "web", "port": 80, "protocol": "UDP", "appProtocol": "http"}], "metadata": {"labels": {"endpointslice.kubernetes.io/managed-by": "example.org"}}},
        "of names": {"addressType": "FQDN", "endpoints": [{"addresses": ["a.example.org"]}], "ports": [{"name": "", "port": 1}]},
    }
    return [
        services(),
        Thing("v1", "endpoints", "Endpoints", endpoints, {"subsets": subsets}, name="of-no-service"),
        Thing("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", slices, {"endpoints": [{"addresses": ["10.1.1.9"]}]}),
    ]
