"""Autoscalers of both versions, and disruption budgets."""

import json

from ..asking import Thing
from .pods import LABELS

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}
METRICS = [
    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1024Mi"}}},
    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
    {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": {"type": "Utilization", "averageUtilization": 70}}},
    {"type": "Pods", "pods": {"metric": {"name": "p"}, "target": {"type": "AverageValue", "averageValue": "1500m"}}},
    {"type": "Object", "object": {"describedObject": {"apiVersion": "v1", "kind": "Service", "name": "s"}, "metric": {"name": "o", "selector": {"matchLabels": LABELS}}, "target": {"type": "Value", "value": "2k"}}},
    {"type": "External", "external": {"metric": {"name": "e"}, "target": {"type": "AverageValue", "averageValue": "3"}}},
]
BEHAVIOR = {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}], "selectPolicy": "Min"}, "scaleDown": {"stabilizationWindowSeconds": 60}}


def autoscalers():
    variants = {
        "minimal": {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 3}},
        "rich": {"spec": {"scaleTargetRef": TARGET, "minReplicas": 2, "maxReplicas": 9, "metrics": METRICS, "behavior": BEHAVIOR}},
        "a behaviour that is empty": {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 3, "behavior": {}}},
        "one direction": {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 3, "behavior": {"scaleUp": {}}}},
        "a tolerance": {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 3, "behavior": {"scaleDown": {"tolerance": "0.05", "policies": [{"type": "Percent", "value": 10, "periodSeconds": 15}]}}}},
    }
    change = {"spec": {"maxReplicas": 5, "metrics": METRICS[:1], "behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}}
    return Thing("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", variants, change, kept="moves")


def things(_):
    old = {
        "minimal": {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 3}},
        "rich": {"spec": {"scaleTargetRef": TARGET, "minReplicas": 2, "maxReplicas": 9, "targetCPUUtilizationPercentage": 50}, "metadata": {"annotations": {"x": "y"}}},
    }
    name = "autoscaling.alpha.kubernetes.io/"
    metrics = [{"type": "Pods", "pods": {"metricName": "p", "targetAverageValue": "1500m"}}, {"type": "Resource", "resource": {"name": "memory", "targetAverageUtilization": 70}}]
    behavior = {"ScaleDown": {"StabilizationWindowSeconds": 7, "Policies": [{"Type": "Pods", "Value": 1, "PeriodSeconds": 15}]}}
    old["annotated"] = {**old["rich"], "metadata": {"annotations": {"x": "y", f"{name}metrics": json.dumps(metrics), f"{name}behavior": json.dumps(behavior)}}}
    budgets = {
        "minimal": {"spec": {}},
        "rich": {"spec": {"minAvailable": "30%", "selector": {"matchLabels": LABELS, "matchExpressions": [{"key": "z", "operator": "Exists"}]}, "unhealthyPodEvictionPolicy": "AlwaysAllow"}},
        "at most": {"spec": {"maxUnavailable": 1, "selector": {}}},
    }
    return [
        autoscalers(),
        Thing("autoscaling/v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", old, {"spec": {"maxReplicas": 5}}, kept="never"),
        Thing("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", budgets, {"spec": {"maxUnavailable": 2}}, kept="moves"),
    ]
