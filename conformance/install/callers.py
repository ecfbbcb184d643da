"""Who calls the servers of a cluster, from where, and what those are told who may not."""

import re
import subprocess
import sys

import kfp
from api.kit import Failure, Skip, case, check, echo, same
from cluster import CORE, asked, kubectl
from kfp import dsl
from kfp.client import ServiceAccountTokenVolumeCredentials
from setting import API, NAMESPACE, PIPELINES, parsed


@dsl.container_component
def says(text: str, out: dsl.OutputPath(str)):
    script = 'mkdir -p "$(dirname "$1")"; printf %s "$0" >"$1"; echo "said $0"'
    return dsl.ContainerSpec(image="python:3.11", command=["sh", "-ec", script], args=[text, out])


@dsl.pipeline(name="said-twice")
def said_twice(text: str = "hello"):
    says(text=says(text=text).output)


class Forwarded:
    """`kubectl port-forward` to the Service, at a port of its own."""

    def __enter__(self):
        words = ["kubectl", "--namespace", NAMESPACE, "port-forward", "service/ferroflow", ":8800"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        # It says so once it listens, perhaps after a warning, or ends.
        said = []
        for line in self.process.stdout:
            said.append(line)
            if found := re.search(r"127\.0\.0\.1:(\d+)", line):
                return f"http://127.0.0.1:{found[1]}"
        self.__exit__()
        raise Failure(f"kubectl port-forward says {''.join(said)}")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


@case
def the_client_runs_a_pipeline_through_a_forwarded_port(k):
    k.need()
    token = k.editor()
    with Forwarded() as url:
        for host in (url, f"{url}/pipeline"):
            client = k.client(token, host)
            k.succeeded(client, k.started(client, said_twice))


@case
def a_token_for_pipelines_alone_is_good(k):
    k.need()
    k.editor()
    out, _, _ = kubectl("--namespace", k.name, "create", "token", "notebook", "--audience=pipelines.kubeflow.org")
    (k.work / "token").write_text(out)
    credentials = ServiceAccountTokenVolumeCredentials(path=str(k.work / "token"))
    kfp.Client(host=k.url, credentials=credentials).list_runs(namespace=PIPELINES)
    out, _, _ = kubectl("--namespace", k.name, "create", "token", "notebook", "--audience=vault")
    same(asked(f"{k.url}{API}/runs?namespace={PIPELINES}", token=out.strip())[0], 401)


def from_the_pod(k, host="", authority=""):
    k.need()
    k.editor()
    k.ready_pod()
    own = "%d.%d" % sys.version_info[:2]
    if k.python() != own:
        raise Skip(f"the client here is for Python {own}, and the image has {k.python()}")
    out = k.within("python3", "-W", "ignore", "/client/notebook.py", k.unique("notebook"), host, authority)
    check(out.split()[-1:] == ["SUCCEEDED"], out)


@case
def the_client_of_a_pod_finds_the_server_by_itself(k):
    from_the_pod(k)


@case
def the_client_of_a_pod_finds_the_server_where_upstream_has_it(k):
    from_the_pod(k, f"http://ml-pipeline.{PIPELINES}:8888")


@case
def the_client_of_a_pod_finds_the_server_by_its_service(k):
    from_the_pod(k, f"http://ferroflow.{NAMESPACE}:8800")


@case
def the_client_of_a_pod_finds_the_server_by_tls(k):
    k.need()
    k.ready_pod()
    secret = k.kube.secret(NAMESPACE, "ferroflow-tls")
    k.within("sh", "-c", "cat >/client/ca.crt", stdin=secret.get("ca.crt") or secret["tls.crt"])
    from_the_pod(k, f"https://ferroflow.{NAMESPACE}.svc", "/client/ca.crt")


@case
def every_name_of_the_services_is_answered(k):
    k.need()
    token = k.editor()
    names = [("ferroflow", NAMESPACE, 8800), ("ml-pipeline", PIPELINES, 8888)]
    for service, namespace, port in names:
        for name in (f"{service}.{namespace}", f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.cluster.local"):
            headers = {"Host": f"{name}:{port}"}
            status, text = asked(f"{k.url}{API}/runs?namespace={PIPELINES}", token=token, headers=headers)
            same(status, 200, f"{name}: {text[:300]}")


def is_told(status, text, where):
    same(status, 401, f"{where}: {text[:300]}")
    check("token" in text and ("existing_token" in text or "Authorization" in text), f"{where} does not say how: {text[:500]}")


@case
def who_gives_no_token_is_told_how(k):
    k.need()
    for path in (f"{API}/runs", "/apis/v2beta1/runs"):
        is_told(*asked(f"{k.url}{path}?namespace={PIPELINES}"), path)
        same(asked(f"{k.url}{path}?namespace={PIPELINES}", token="nonsense")[0], 401)


@case
def who_comes_through_the_api_server_is_told_how(k):
    k.need()
    proxy = f"{CORE}/namespaces/{NAMESPACE}/services/ferroflow:http/proxy"
    # An API server hands on the name by which it was called, and elsewhere that is seldom an address.
    for host in (None, "kubernetes.example.com"):
        headers = {"Host": host} if host else None
        for path in (f"{API}/runs", "/apis/v2beta1/runs"):
            is_told(*k.kube.status("GET", f"{proxy}{path}", headers=headers), f"{path} by {host or 'an address'}")


@case
def an_account_without_rights_is_refused_everything(k):
    k.need()
    editor = k.client(k.editor())
    run = k.started(editor, said_twice)
    k.succeeded(editor, run)
    token = k.kube.account(k.name, "nobody")
    task = parsed(asked(f"{k.url}{API}/runs/{run}/tasks", token=k.editor())[1])["tasks"][-1]["task_id"]
    named = f"?namespace={PIPELINES}"
    rows = [("GET", f"{kind}{scope}", None) for kind in ("runs", "experiments", "pipelines", "recurringruns", "artifacts") for scope in ("", named)]
    rows += [("GET", path, None) for path in (f"runs/{run}", f"runs/{run}/tasks", f"tasks/{task}", f"tasks?run_id={run}", f"runs/{run}/tasks/{task}/log", f"auth{named}")]
    rows += [("POST", "experiments", {"display_name": k.unique("nobody")}), ("POST", "runs", {"display_name": "nobody", "pipeline_spec": echo()})]
    rows += [("POST", f"runs/{run}:{act}", None) for act in ("archive", "unarchive", "terminate", "retry")] + [("DELETE", f"runs/{run}", None)]
    for method, path, body in rows:
        status, text = asked(f"{k.url}{API}/{path}", method, token, body)
        same(status, 403, f"{method} {path}: {text[:300]}")
        check("said-twice" not in text, f"{method} {path} tells of a run: {text[:300]}")
    same(editor.get_run(run).state, "SUCCEEDED")
