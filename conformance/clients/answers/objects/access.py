"""Roles and bindings."""

from ..asking import Thing
from .pods import LABELS

GROUP = "rbac.authorization.k8s.io"
RULES = [{"verbs": ["get", "list"], "apiGroups": ["", "apps"], "resources": ["pods", "pods/log"], "resourceNames": ["b", "a"]}, {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
SUBJECTS = [{"kind": "User", "name": "u"}, {"kind": "Group", "apiGroup": GROUP, "name": "g"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]


def things(_):
    version = f"{GROUP}/v1"
    paths = [*RULES, {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/x/*"]}]
    cluster = {"minimal": {}, "rich": {"rules": paths}, "aggregated": {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"none": "such"}}]}, "rules": []}}
    change = {"rules": RULES[:1]}

    def binding(kind):
        plain = {"roleRef": {"kind": kind, "name": "admin", "apiGroup": GROUP}}
        return {"minimal": plain, "rich": {**plain, "subjects": SUBJECTS, "metadata": {"labels": LABELS}}, "without the group": {"roleRef": {"kind": kind, "name": "admin"}, "subjects": []}}

    users = {"subjects": SUBJECTS[:1]}
    return [
        Thing(version, "roles", "Role", {"minimal": {}, "rich": {"rules": RULES}}, change),
        Thing(version, "rolebindings", "RoleBinding", binding("ClusterRole"), users),
        Thing(version, "clusterroles", "ClusterRole", cluster, change, scope="cluster"),
        Thing(version, "clusterrolebindings", "ClusterRoleBinding", binding("ClusterRole"), users, scope="cluster"),
    ]
