"""Kinds of a few fields: classes, leases, events and nodes."""

from ..asking import Thing
from .pods import LABELS

EARLY = "2021-02-03T04:05:06Z"
FINE = "2021-02-03T04:05:06.123456Z"
RICH_CLASS = {"handler": "h", "overhead": {"podFixed": {"cpu": "0.25", "memory": "1024Mi"}}, "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoSchedule"}]}}


def events(run):
    about = {"kind": "Pod", "namespace": run.mark, "name": "p"}
    core = {
        "minimal": {"involvedObject": {"namespace": run.mark}},
        "rich": {"involvedObject": {**about, "apiVersion": "v1", "uid": "u", "fieldPath": "spec.containers{c}"}, "reason": "Pulled", "message": "two\nlines ", "type": "Warning", "source": {"component": "kubelet", "host": "n"}, "firstTimestamp": EARLY, "lastTimestamp": "2021-03-03T04:05:06Z", "count": 7},
        "of a reporter": {"involvedObject": about, "reason": "R", "action": "A", "type": "Normal", "reportingComponent": "example.org/c", "reportingInstance": "i", "eventTime": FINE, "series": {"count": 3, "lastObservedTime": FINE}},
    }
    new = {
        "minimal": {"eventTime": FINE, "action": "A", "reason": "R", "type": "Normal", "reportingController": "example.org/c", "reportingInstance": "i", "regarding": about},
        "rich": {"eventTime": FINE, "action": "A", "reason": "R", "type": "Warning", "reportingController": "example.org/c", "reportingInstance": "i", "regarding": about, "related": {"kind": "Node", "name": "n"}, "note": "a note", "series": {"count": 4, "lastObservedTime": FINE}},
    }
    return [Thing("v1", "events", "Event", core, kept="never"), Thing("events.k8s.io/v1", "events", "Event", new, kept="never")]


def nodes():
    variants = {
        "minimal": {},
        "rich": {
            "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "old", "node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": True, "podCIDR": "10.9.0.0/24", "providerID": "p://x", "taints": [{"key": "k", "effect": "NoSchedule"}]},
            "status": {"capacity": {"cpu": "4000m", "memory": "1024Mi"}, "allocatable": {"cpu": "3.5"}, "addresses": [{"type": "InternalIP", "address": "10.1.1.1"}, {"type": "ExternalIP", "address": "80.1.1.1"}]},
        },
    }
    return Thing("v1", "nodes", "Node", variants, scope="cluster", kept="never")


def things(run):
    lease = {"holderIdentity": "h", "leaseDurationSeconds": 15, "acquireTime": FINE, "renewTime": "2021-02-03T04:05:06.000000Z", "leaseTransitions": 2}
    priorities = {"minimal": {}, "rich": {"value": -5, "globalDefault": False, "description": "d", "preemptionPolicy": "Never"}, "high": {"value": 1000000000}}
    return [
        *events(run),
        nodes(),
        Thing("coordination.k8s.io/v1", "leases", "Lease", {"minimal": {}, "rich": {"spec": lease}, "a strategy": {"spec": {**lease, "strategy": "OldestEmulationVersion", "preferredHolder": "p"}}}, {"spec": {"holderIdentity": "i"}}),
        Thing("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", priorities, {"description": "other", "metadata": {"labels": LABELS}}, scope="cluster"),
        Thing("node.k8s.io/v1", "runtimeclasses", "RuntimeClass", {"minimal": {"handler": "h"}, "rich": RICH_CLASS}, {"metadata": {"labels": LABELS}}, scope="cluster"),
    ]
