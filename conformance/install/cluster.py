"""The cluster that Ferroflow is installed into: its API, `kubectl`, accounts, and what there is in it."""

import base64
import json
import ssl
import subprocess
import urllib.error
import urllib.request

import kubernetes
from api.kit import check, repeat
from kubernetes.client.exceptions import ApiException

CORE = "/api/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
# What names objects of Ferroflow and its namespaces, and nothing else that the cases make.
OURS = ("ferroflow", "kubeflow")
# What every namespace has.
EVERYWHERE = ("default", "kube-root-ca.crt")
# What the cases make in namespaces of Ferroflow is called so.
OWN = "install-"


def is_ours(name, namespace):
    if any(word in name for word in OURS):
        return True
    return namespace in OURS and name not in EVERYWHERE and not name.startswith(OWN)


def kubectl(*words, stdin=None, timeout=180, fails=False):
    """What kubectl has said; its failure is the case's, unless it may fail."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(["kubectl", *words], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    out, said = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    check(fails or done.returncode == 0, f"kubectl {' '.join(words)} ended with {done.returncode}: {out[-1000:]} {said[-2000:]}")
    return out, said, done.returncode


def asked(url, method="GET", token=None, body=None, headers=None, context=None, timeout=40):
    """(status, text) of a request without any client."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **(headers or {})}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


class Kube:
    """The API server, as the administrator whom the kubeconfig names."""

    def __init__(self):
        self.client = kubernetes.config.new_client_from_config()

    def call(self, method, path, body=None, query=(), headers=None):
        headers = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        answer = self.client.call_api(
            path, method, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"],
            _preload_content=False, _return_http_data_only=True
        )
        text = answer.data.decode(errors="replace")
        return json.loads(text) if text.startswith(("{", "[")) else text

    def get(self, path, **query):
        return self.call("GET", path, query=query.items())

    def find(self, path):
        """An object, or None."""
        try:
            return self.get(path)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def make(self, path, **body):
        """An object, new or as it is there already."""
        try:
            return self.call("POST", path, body)
        except ApiException as error:
            if error.status == 409:
                return self.get(f"{path}/{body['metadata']['name']}")
            raise

    def remove(self, path):
        try:
            self.call("DELETE", path, {"propagationPolicy": "Background"})
        except ApiException as error:
            if error.status != 404:
                raise

    def status(self, method, path, body=None, headers=None):
        """(status, text), whatever the status."""
        try:
            return 200, json.dumps(self.call(method, path, body, headers=headers))
        except ApiException as error:
            return error.status, str(error.body)

    def as_account(self, token, method, path, body=None):
        """(status, text) of a request by the token of a service account."""
        settings = self.client.configuration
        context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        return asked(f"{settings.host}{path}", method, token, body, context=context)

    def allowed(self, account, verb, resource, namespace="", group="", subresource="", url=None):
        """Whether a service account, `NAMESPACE:NAME`, may do it: the API server's answer."""
        attributes = {"verb": verb, "resource": resource, "namespace": namespace, "group": group, "subresource": subresource}
        what = {"nonResourceAttributes": {"path": url, "verb": verb}} if url else {"resourceAttributes": attributes}
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account.split(':')[0]}", "system:authenticated"]
        review = {"spec": {"user": f"system:serviceaccount:{account}", "groups": groups, **what}}
        answer = self.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return answer["status"]["allowed"]

    def namespace(self, name):
        self.make(f"{CORE}/namespaces", metadata={"name": name})
        # Pods wait for it, and it is a moment behind.
        repeat(lambda: self.find(f"{CORE}/namespaces/{name}/serviceaccounts/default"), bool)

    def account(self, namespace, name, role=None, within=None):
        """A service account of a namespace, with a role within another or the same one. Returns a token."""
        self.make(f"{CORE}/namespaces/{namespace}/serviceaccounts", metadata={"name": name})
        if role:
            within = within or namespace
            subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
            reference = {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"}
            binding = {"metadata": {"name": f"{OWN}{namespace}-{name}"}, "subjects": [subject], "roleRef": reference}
            self.make(f"{RBAC}/namespaces/{within}/rolebindings", **binding)
            # Aggregated roles have their rules a moment after the roles that they come from; a refusal would be kept.
            ask = (f"{namespace}:{name}", "list", "runs", within, "pipelines.kubeflow.org")
            repeat(lambda: self.allowed(*ask), bool, 30)
        return self.token(namespace, name)

    def token(self, namespace, name):
        path = f"{CORE}/namespaces/{namespace}/serviceaccounts/{name}/token"
        return self.call("POST", path, {"spec": {"expirationSeconds": 7200}})["status"]["token"]

    def secret(self, namespace, name):
        """What a Secret holds, as bytes."""
        found = self.get(f"{CORE}/namespaces/{namespace}/secrets/{name}").get("data", {})
        return {key: base64.b64decode(value) for key, value in found.items()}

    def groups(self):
        """The paths of all groups and versions that are preferred."""
        yield CORE
        for group in self.get("/apis")["groups"]:
            yield f"/apis/{group['preferredVersion']['groupVersion']}"

    def ours(self):
        """(resource, namespace, name) of all objects of the cluster that are named as ours are, or in our namespaces."""
        found = set()
        for path in self.groups():
            for resource in (self.find(path) or {}).get("resources", []):
                name = resource["name"]
                # Events stay for an hour, whatever becomes of what they tell.
                if "list" not in resource["verbs"] or "/" in name or name in ("events", "componentstatuses"):
                    continue
                for one in self.get(f"{path}/{name}").get("items") or []:
                    called, namespace = one["metadata"]["name"], one["metadata"].get("namespace", "")
                    if is_ours(called, namespace):
                        found.add((name, namespace, called))
        return found
