"""Rows of objects in many states. A state is given in a dry run, so that no object ever has it."""

from . import rows
from .asking import MERGE, TABLE, Ask
from .objects.pods import CONTAINER, pod

INIT = [{"name": "i1", "image": "i"}, {"name": "s1", "image": "i", "restartPolicy": "Always"}, {"name": "i2", "image": "i"}]
# Pods that stay, and whose states are told.
PODS = {
    "one": pod(),
    "two": pod(CONTAINER, {"name": "d", "image": "i"}),
    "starting": pod(CONTAINER, initContainers=INIT),
    "gated": pod(readinessGates=[{"conditionType": "example.org/a"}, {"conditionType": "example.org/b"}]),
    "held": pod(schedulingGates=[{"name": "example.org/g"}]),
}


def kept(run):
    for name, body in PODS.items():
        yield run.url("v1", "pods"), {"metadata": {"name": f"row-{name}"}, **body}
    for version, plural, body in rows.kept(run):
        yield run.url(version, plural, scope=scope(plural)), body


def scope(plural):
    return "cluster" if plural in rows.CLUSTER else "namespace"


def requests(run):
    for name, states in POD_STATES.items():
        path = run.url("v1", "pods", f"row-{name}", "status") + "?dryRun=All&includeObject=None"
        for state, status in states.items():
            yield Ask(f"tables: pod {name}: {state}", "PATCH", path, {"status": status}, MERGE, TABLE, "cells")
            yield Ask(f"tables: pod {name}: {state}, whole", "PATCH", f"{path}&fieldManager=three", {"status": status}, MERGE, part="state")
    for plural, version, name, states in rows.states(run):
        path = run.url(version, plural, name, "status", scope=scope(plural)) + "?dryRun=All&includeObject=None"
        for state, status in states.items():
            yield Ask(f"tables: {plural}: {name.replace(run.mark, 'RUN')}: {state}", "PATCH", path, {"status": status}, MERGE, TABLE, "cells")
            if plural in rows.STILL:
                yield Ask(f"tables: {plural}: {name.replace(run.mark, 'RUN')}: {state}, whole", "PATCH", f"{path}&fieldManager=three", {"status": status}, MERGE, part="state")
    for label, version, plural, body in rows.made(run):
        path = run.url(version, plural, scope=scope(plural)) + "?dryRun=All&includeObject=None"
        yield Ask(f"tables: {plural}: {label}", "POST", path, body, accept=TABLE, part="cells")
    for name, query in (("metadata", ""), ("the whole object", "?includeObject=Object")):
        yield Ask(f"tables: a row with {name}", "GET", run.url("v1", "pods", "row-one") + query, accept=TABLE, part="table")


def container(name="c", restarts=0, ready=False, last=None, started=None, **state):
    status = {"name": name, "image": "i", "imageID": "", "restartCount": restarts, "ready": ready, "state": state}
    return {**status, **({"lastState": {"terminated": last}} if last else {}), **({} if started is None else {"started": started})}


def ended(code=0, reason=None, signal=None, **more):
    return {"exitCode": code, **({"reason": reason} if reason else {}), **({"signal": signal} if signal else {}), **more}


def statuses(*containers, phase="Running", **more):
    return {"phase": phase, "containerStatuses": list(containers), **more}


def condition(kind, status="True", **more):
    return {"type": kind, "status": status, "lastTransitionTime": "2021-02-03T04:05:06Z", **more}


RUNNING = {"running": {"startedAt": "2021-02-03T04:05:06Z"}}
LAST = ended(1, "Error", finishedAt="2021-02-03T04:05:06Z", startedAt="2021-02-03T04:05:00Z")
LATER = ended(1, "Error", finishedAt="2021-03-03T04:05:06Z", startedAt="2021-02-03T04:05:00Z")
DONE = ended(0, "Completed")


def starting(*containers, **more):
    return {"phase": "Pending", "initContainerStatuses": list(containers), **more}


POD_STATES = {
    "one": {
        "nothing known": {"phase": "Pending"},
        "unschedulable": {"phase": "Pending", "conditions": [condition("PodScheduled", "False", reason="Unschedulable")]},
        "creating": statuses(container(waiting={"reason": "ContainerCreating"}), phase="Pending"),
        "image not pulled": statuses(container(waiting={"reason": "ImagePullBackOff", "message": "m"}), phase="Pending"),
        "waiting without a reason": statuses(container(waiting={}), phase="Pending"),
        "running": statuses(container(ready=True, started=True, **RUNNING), podIP="10.9.0.1", podIPs=[{"ip": "10.9.0.1"}], nominatedNodeName="n"),
        "running, not ready": statuses(container(started=True, **RUNNING), conditions=[condition("Ready", "False")]),
        "restarted": statuses(container(restarts=3, ready=True, last=LAST, **RUNNING)),
        "restarted without a time": statuses(container(restarts=2, ready=True, **RUNNING)),
        "crashing": statuses(container(restarts=7, last=LAST, waiting={"reason": "CrashLoopBackOff"})),
        "completed": statuses(container(terminated=DONE), phase="Succeeded"),
        "failed": statuses(container(terminated=ended(3, "Error")), phase="Failed"),
        "failed by code": statuses(container(terminated=ended(3)), phase="Failed"),
        "failed by signal": statuses(container(terminated=ended(137, None, 9)), phase="Failed"),
        "out of memory": statuses(container(terminated=ended(137, "OOMKilled")), phase="Failed"),
        "evicted": {"phase": "Failed", "reason": "Evicted", "message": "m"},
        "evicted with a container": statuses(container(terminated=ended(137, "Error")), phase="Failed", reason="Evicted"),
        "of an unknown phase": {"phase": "Unknown", "reason": "NodeLost"},
        "several addresses": {"phase": "Running", "podIPs": [{"ip": "10.9.0.1"}, {"ip": "fd00::1"}]},
    },
    "two": {
        "one is ready": statuses(container(ready=True, **RUNNING), container("d", waiting={"reason": "ContainerCreating"})),
        "both are ready": statuses(container(ready=True, **RUNNING), container("d", ready=True, **RUNNING)),
        "one is completed, one runs": statuses(container(terminated=DONE), container("d", ready=True, **RUNNING)),
        "one is completed, one runs, and it is ready": statuses(container(terminated=DONE), container("d", ready=True, **RUNNING), conditions=[condition("Ready")]),
        "one failed, one runs": statuses(container(terminated=ended(1, "Error")), container("d", ready=True, **RUNNING)),
        "both restarted": statuses(container(restarts=1, ready=True, last=LAST, **RUNNING), container("d", restarts=2, ready=True, last=LATER, **RUNNING)),
        "both wait": statuses(container(waiting={"reason": "ErrImagePull"}), container("d", waiting={"reason": "CrashLoopBackOff"}), phase="Pending"),
        "one has no status": statuses(container(ready=True, **RUNNING)),
    },
    "starting": {
        "not begun": {"phase": "Pending"},
        "the first runs": starting(container("i1", **RUNNING), container("s1", waiting={"reason": "PodInitializing"}), container("i2", waiting={"reason": "PodInitializing"})),
        "the first failed": starting(container("i1", terminated=ended(2, "Error"))),
        "the first failed by code": starting(container("i1", terminated=ended(2))),
        "the first failed by signal": starting(container("i1", terminated=ended(2, None, 11))),
        "the first crashes": starting(container("i1", restarts=4, last=LAST, waiting={"reason": "CrashLoopBackOff"})),
        "the image of the first is not pulled": starting(container("i1", waiting={"reason": "ErrImagePull"})),
        "the sidecar is not started": starting(container("i1", terminated=DONE), container("s1", started=False, **RUNNING)),
        "the sidecar runs": starting(container("i1", terminated=DONE), container("s1", ready=True, started=True, **RUNNING), container("i2", waiting={"reason": "PodInitializing"})),
        "the sidecar restarted": starting(container("i1", restarts=1, terminated=DONE), container("s1", restarts=2, ready=True, started=True, last=LAST, **RUNNING), container("i2", **RUNNING)),
        "the last runs": starting(container("i1", terminated=DONE), container("s1", ready=True, started=True, **RUNNING), container("i2", **RUNNING)),
        "all have run": starting(container("i1", terminated=DONE), container("s1", ready=True, started=True, **RUNNING), container("i2", terminated=DONE), containerStatuses=[container(waiting={"reason": "PodInitializing"})]),
        "all run": {**starting(container("i1", restarts=5, terminated=DONE), container("s1", restarts=2, ready=True, started=True, last=LAST, **RUNNING), container("i2", terminated=DONE)), "phase": "Running", "containerStatuses": [container(restarts=1, ready=True, **RUNNING)], "conditions": [condition("Initialized"), condition("Ready")]},
        "the sidecar is not ready": {**starting(container("i1", terminated=DONE), container("s1", started=True, **RUNNING), container("i2", terminated=DONE)), "phase": "Running", "containerStatuses": [container(ready=True, **RUNNING)]},
        "initialized, with the first restarted": {**starting(container("i1", restarts=1, **RUNNING)), "conditions": [condition("Initialized")], "containerStatuses": [container(ready=True, **RUNNING)]},
        "completed": {**starting(container("i1", terminated=DONE), container("s1", terminated=ended(143, "Error"), started=False), container("i2", terminated=DONE)), "phase": "Succeeded", "containerStatuses": [container(terminated=DONE)]},
    },
    "gated": {
        "none is true": {"phase": "Running"},
        "one is true": {"phase": "Running", "conditions": [condition("example.org/a"), condition("example.org/b", "False")]},
        "both are true": {"phase": "Running", "conditions": [condition("example.org/a"), condition("example.org/b")]},
    },
    "held": {"by a gate": {"phase": "Pending", "conditions": [condition("PodScheduled", "False", reason="SchedulingGated")]}},
}
