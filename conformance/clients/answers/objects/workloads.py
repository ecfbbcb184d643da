"""Kinds of `apps`, and their elders of the core group."""

from ..asking import Thing
from .pods import CONTAINER, LABELS, PROBES, SCHEDULING, INIT

TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER]}}
RICH_TEMPLATE = {"metadata": {"labels": LABELS, "annotations": {"x": "y"}, "creationTimestamp": None}, "spec": {"containers": [PROBES], "volumes": [{"name": "v", "configMap": {"name": "m"}}], **SCHEDULING, **INIT}}
NOWHERE = {**TEMPLATE, "spec": {"containers": [CONTAINER], "nodeSelector": {"example.org/nowhere": ""}}}
SELECTOR = {"matchLabels": LABELS}
EXPRESSIONS = {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "a"]}, {"key": "z", "operator": "DoesNotExist"}]}
CLAIM = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "x", "resources": {"requests": {"storage": "1024Mi"}}}}


def spec(**more):
    return {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE, **more}}


def deployments():
    variants = {
        "minimal": spec(),
        "replicas by default": spec(replicas=None),
        "rich": spec(replicas=3, selector={**SELECTOR, **EXPRESSIONS}, template=RICH_TEMPLATE, minReadySeconds=5, revisionHistoryLimit=0, progressDeadlineSeconds=60, paused=True, strategy={"rollingUpdate": {"maxSurge": 1}}),
        "surges": spec(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}}),
        "recreate": spec(strategy={"type": "Recreate"}),
        "two containers": spec(template={**TEMPLATE, "spec": {"containers": [CONTAINER, {"name": "d", "image": "j:1"}]}}),
    }
    # A controller would give it this annotation, and so change its generation when it is put without.
    variants["of a revision"] = {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}, **spec()}
    change = {"metadata": {"labels": {"n": "o"}}, "spec": {"minReadySeconds": 7, "template": {"spec": {"containers": [{"name": "c", "image": "k"}]}}}}
    return Thing("apps/v1", "deployments", "Deployment", variants, change, kept="moves", stays="of a revision")


def replica_sets():
    variants = {"minimal": spec(), "replicas by default": spec(replicas=None), "rich": spec(replicas=2, minReadySeconds=1, template=RICH_TEMPLATE, selector={**SELECTOR, **EXPRESSIONS})}
    return Thing("apps/v1", "replicasets", "ReplicaSet", variants, {"spec": {"minReadySeconds": 3}}, kept="moves")


def stateful_sets():
    variants = {
        "minimal": spec(serviceName="x"),
        "without a service": spec(),
        "rich": spec(
            replicas=2, serviceName="x", podManagementPolicy="Parallel", minReadySeconds=2, revisionHistoryLimit=3, volumeClaimTemplates=[CLAIM], ordinals={"start": 3},
            persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"}, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, template=RICH_TEMPLATE,
        ),
        "on delete": spec(serviceName="x", updateStrategy={"type": "OnDelete"}, ordinals={}),
        "unavailable ones": spec(serviceName="x", updateStrategy={"rollingUpdate": {"maxUnavailable": 2}}),
    }
    return Thing("apps/v1", "statefulsets", "StatefulSet", variants, {"spec": {"minReadySeconds": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}}}, kept="moves")


def daemon_sets():
    plain = {"selector": SELECTOR, "template": NOWHERE}
    variants = {
        "minimal": {"spec": plain},
        "rich": {"spec": {**plain, "template": RICH_TEMPLATE, "minReadySeconds": 2, "revisionHistoryLimit": 1, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "20%", "maxUnavailable": 0}}}},
        "unavailable ones": {"spec": {**plain, "updateStrategy": {"rollingUpdate": {"maxUnavailable": "20%"}}}},
        "on delete": {"spec": {**plain, "updateStrategy": {"type": "OnDelete"}}},
    }
    change = {"spec": {"template": {"metadata": {"annotations": {"changed": "yes"}}}}}
    return Thing("apps/v1", "daemonsets", "DaemonSet", variants, change, kept="moves")


def things(_):
    revision = {"revision": 3, "data": {"spec": {"b": 1, "a": [1, None]}}}
    controller = {"spec": {"replicas": 0, "selector": LABELS, "template": TEMPLATE}}
    variants = {
        "minimal": controller,
        "without a selector": {"spec": {"template": TEMPLATE}},
        "rich": {"spec": {"replicas": 2, "minReadySeconds": 1, "selector": LABELS, "template": RICH_TEMPLATE}},
    }
    templates = {"minimal": {"template": {"spec": {"containers": [CONTAINER]}}}, "rich": {"template": RICH_TEMPLATE}}
    return [
        deployments(), replica_sets(), stateful_sets(), daemon_sets(),
        Thing("apps/v1", "controllerrevisions", "ControllerRevision", {"minimal": {"revision": 0, "data": {}}, "rich": {**revision, "metadata": {"labels": LABELS}}}, {"revision": 4}),
        Thing("v1", "replicationcontrollers", "ReplicationController", variants, {"spec": {"minReadySeconds": 3}}, kept="moves"),
        Thing("v1", "podtemplates", "PodTemplate", templates, {"template": {"metadata": {"labels": {"c": "d"}}, "spec": {"terminationGracePeriodSeconds": 3}}}),
    ]
