"""Webhooks, admission policies and definitions. Those that stay ask nobody about anything."""

from ..asking import Thing

GROUP = "admissionregistration.k8s.io/v1"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
HOOK = {"name": "a.example.org", "admissionReviewVersions": ["v1"], "sideEffects": "None", "clientConfig": {"url": "https://a.example.org/x"}}
RICH = {
    **HOOK, "name": "b.example.org", "clientConfig": {"service": {"namespace": "n", "name": "s"}}, "rules": [RULE, {**RULE, "operations": ["*"], "scope": "Namespaced"}], "failurePolicy": "Ignore", "matchPolicy": "Exact",
    "namespaceSelector": {"matchLabels": {"a": "b"}}, "objectSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "timeoutSeconds": 3, "matchConditions": [{"name": "m", "expression": "true"}],
}
MATCH = {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}]}
POLICY = {
    "matchConstraints": {**MATCH, "excludeResourceRules": [{"resourceNames": ["x"], "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}], "namespaceSelector": {}},
    "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "variables": [{"name": "n", "expression": "object.spec.replicas"}],
    "validations": [{"expression": "variables.n <= 5", "message": "m", "reason": "Forbidden"}, {"expression": "true", "messageExpression": "'x'"}],
    "auditAnnotations": [{"key": "k", "valueExpression": "'v'"}], "matchConditions": [{"name": "m", "expression": "true"}], "failurePolicy": "Ignore",
}


def definition(run, **more):
    """A CustomResourceDefinition that is never made."""
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "dries", "kind": "Dry", **more.pop("names", {})}
    spec = {"group": run.group, "scope": "Namespaced", "names": names, "versions": [{**version, **more.pop("version", {})}], **more}
    return {"metadata": {"name": f"dries.{run.group}"}, "spec": spec}


def definitions(run):
    columns = [{"name": "X", "type": "string", "jsonPath": ".spec.x"}, {"name": "Y", "type": "date", "jsonPath": ".spec.y", "priority": 1, "description": "d", "format": "date-time"}]
    rich = {"subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.s"}}, "additionalPrinterColumns": columns, "selectableFields": [{"jsonPath": ".spec.x"}]}
    fields = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": {"type": "string", "default": "y"}, "n": {"type": "integer", "minimum": 0, "x-kubernetes-validations": [{"rule": "self < 5"}]}, "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}}}}}}
    variants = {
        "minimal": definition(run),
        "rich": definition(run, names={"singular": "dry", "listKind": "Dries", "shortNames": ["dr"], "categories": ["all"]}, version={**rich, "schema": {"openAPIV3Schema": fields}}),
        "of the cluster": definition(run, scope="Cluster", conversion={"strategy": "None"}, preserveUnknownFields=False),
        "converted": definition(run, conversion={"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"service": {"namespace": "n", "name": "s"}}}}),
        "an old version": definition(run, version={"deprecated": True, "deprecationWarning": "old"}),
    }
    return Thing("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", variants, scope="cluster", kept="never")


def things(run):
    hooks = {"minimal": {}, "one": {"webhooks": [HOOK]}, "rich": {"webhooks": [HOOK, RICH]}}
    mutating = {**hooks, "rich": {"webhooks": [HOOK, {**RICH, "reinvocationPolicy": "IfNeeded"}]}}
    policies = {"minimal": {"spec": {"matchConstraints": MATCH, "validations": [{"expression": "true"}]}}, "rich": {"spec": POLICY}}
    bindings = {
        "minimal": {"spec": {"policyName": "none", "validationActions": ["Deny"]}},
        "rich": {"spec": {"policyName": "none", "validationActions": ["Warn", "Audit"], "paramRef": {"name": "p", "namespace": "n", "parameterNotFoundAction": "Deny"}, "matchResources": {**MATCH, "matchPolicy": "Exact"}}},
    }
    service = {"groupPriorityMinimum": 100, "versionPriority": 10, "group": run.group, "version": "v9"}
    services = {
        "minimal": {"metadata": {"name": f"v9.{run.group}"}, "spec": service},
        "rich": {"metadata": {"name": f"v9.{run.group}"}, "spec": {**service, "insecureSkipTLSVerify": True, "service": {"namespace": "n", "name": "s"}}},
    }
    change = {"webhooks": [RICH]}
    return [
        Thing(GROUP, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", hooks, change, scope="cluster"),
        Thing(GROUP, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", mutating, change, scope="cluster"),
        Thing(GROUP, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", policies, scope="cluster", kept="never"),
        Thing(GROUP, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", bindings, {"spec": {"validationActions": ["Audit"]}}, scope="cluster"),
        definitions(run),
        Thing("apiregistration.k8s.io/v1", "apiservices", "APIService", services, scope="cluster", kept="never"),
    ]
