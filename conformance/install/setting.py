"""What the cases share: the command, the installation in the cluster, a pod to be a client in, and the two stores."""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import kfp
from api.kit import check, repeat, same
from cluster import CORE, Kube, asked, kubectl

NAMESPACE = "ferroflow"
PIPELINES = "kubeflow"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/ferroflow"
API = "/pipeline/apis/v2beta1"
HERE = Path(__file__).resolve().parent
MANIFEST = HERE.parents[1] / "deploy/kubernetes/ferroflow.yaml"
IMAGE = os.environ.get("FERROFLOW_IMAGE", "ferroflow:dev")
LAUNCHER = os.environ.get("FERROFLOW_LAUNCHER_IMAGE", "ferroflow-launcher:dev")
# How pods reach the stores of a cluster that was started with them (`cargo xtask cluster status`).
STORES = {
    "PGHOST": "postgres.kube-system.svc.cluster.local",
    "PGUSER": "ferroflow",
    "PGPASSWORD": "ferroflow-secret",
    "AWS_ENDPOINT_URL": "http://s3.kube-system.svc.cluster.local",
    "AWS_ACCESS_KEY_ID": "ferroflow",
    "AWS_SECRET_ACCESS_KEY": "ferroflow-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
PATIENCE = 120


class Setting:
    def __init__(self, binary, work):
        self.binary, self.work, self.kube = binary, Path(work), Kube()
        # Of the pod, the bucket and the databases; nothing of it is called as what Ferroflow makes.
        self.name = f"install-{os.getpid()}"
        self.bucket = self.name
        self.databases = [f"{self.name}-{what}".replace("-", "_") for what in ("command", "manifest")]
        self.stores = {key: os.environ.get(key, value) for key, value in STORES.items()}
        self.namespaces = [self.name]
        self.before = self.kube.ours()
        self.fault, self.is_installed, self.has_client, self.has_stores = None, False, False, False
        self.number = 0

    def unique(self, stem):
        self.number += 1
        return f"{stem}-{os.getpid()}-{self.number}"

    # The command.

    def ferroflow(self, *words, timeout=240):
        """(status, what it says on either output)"""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("FERROFLOW_", "AWS_", "PG"))}
        words = [self.binary, words[0], "--kubeconfig", os.environ["KUBECONFIG"], *words[1:]]
        done = subprocess.run(words, env=own, capture_output=True, text=True, timeout=timeout)
        return done.returncode, done.stdout, done.stderr

    def flags(self):
        credentials = self.work / "credentials"
        credentials.write_text(self.credentials())
        return [
            "--image", IMAGE, "--launcher-image", LAUNCHER, "--replicas", "2", "--records", self.records(0),
            "--artifacts", f"s3://{self.bucket}/command", "--s3-endpoint", self.stores["AWS_ENDPOINT_URL"],
            "--s3-credentials", str(credentials),
        ]  # fmt: skip

    def credentials(self):
        key, secret = self.stores["AWS_ACCESS_KEY_ID"], self.stores["AWS_SECRET_ACCESS_KEY"]
        return f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"

    def records(self, number):
        user, password, host = (self.stores[name] for name in ("PGUSER", "PGPASSWORD", "PGHOST"))
        return f"postgres://{user}:{password}@{host}/{self.databases[number]}?sslmode=disable"

    def install(self):
        """Installs by the command, or again; returns what it said."""
        self.ready_stores()
        status, out, said = self.ferroflow("install", *self.flags())
        check(status == 0, f"ferroflow install ended with {status}: {out} {said}\n{self.told()}")
        self.is_installed = True
        return out + said

    def need(self):
        """Installs where it is not; what once did not succeed is not tried by every case."""
        check(self.fault is None, f"there is no installation: {self.fault}")
        if not self.is_installed:
            try:
                self.install()
            except Exception as error:
                self.fault = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise
        self.settle()

    def settle(self):
        """Both servers are ready, one of them leads, and the Service leads to them, which nodes learn a moment later."""
        repeat(lambda: (len(self.pods()), self.deployment().get("readyReplicas"), self.leader()), self.is_settled, PATIENCE)
        repeat(self.answers, bool, PATIENCE)

    def answers(self):
        try:
            return asked(f"{self.url}/healthz")[0] == 200
        except OSError:
            return False

    def is_settled(self, found):
        number, ready, leader = found
        return number == 2 and ready == 2 and leader in [pod["metadata"]["name"] for pod in self.pods()]

    def told(self):
        """What the cluster and the servers say, for a report."""
        parts = []
        for words in (["get", "pods,events", "-o", "wide"], ["logs", "--selector", f"app.kubernetes.io/name={NAMESPACE}", "--tail=20", "--prefix"]):
            out, said, _ = kubectl("--namespace", NAMESPACE, *words, fails=True)
            parts.append((out or said)[-4000:])
        return "\n".join(parts)

    # What is installed.

    def deployment(self):
        return (self.kube.find(f"{APPS}/deployments/ferroflow") or {}).get("status", {})

    def pods(self):
        """The pods of the servers that are not about to end."""
        deployment = self.kube.find(f"{APPS}/deployments/ferroflow")
        if not deployment:
            return []
        selector = ",".join(f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items())
        found = self.kube.get(f"{CORE}/namespaces/{NAMESPACE}/pods", labelSelector=selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def leader(self):
        """The pod that leads: a holder is called by its pod and a number of its own."""
        lease = self.kube.find(LEASE) or {}
        return (lease.get("spec", {}).get("holderIdentity") or "").rsplit("_", 1)[0]

    def address(self):
        return self.kube.get(f"{CORE}/namespaces/{NAMESPACE}/services/ferroflow")["spec"]["clusterIP"]

    @property
    def url(self):
        return f"http://{self.address()}:8800"

    def editor(self):
        """A token of one who may edit in the namespace of runs that name none."""
        self.kube.namespace(self.name)
        return self.kube.account(self.name, "notebook", "edit", PIPELINES)

    def client(self, token, url=None):
        return kfp.Client(host=url or self.url, existing_token=token)

    def started(self, client, pipeline, namespace=PIPELINES, **parameters):
        """A run of a pipeline function, in an experiment of its own."""
        experiment = client.create_experiment(self.unique("experiment"), namespace=namespace)
        options = {"run_name": self.unique("run"), "experiment_id": experiment.experiment_id, "enable_caching": False}
        return client.create_run_from_pipeline_func(pipeline, arguments=parameters, **options).run_id

    def succeeded(self, client, run, seconds=PATIENCE):
        done = client.wait_for_run_completion(run, timeout=seconds, sleep_duration=0.5)
        check(done.state == "SUCCEEDED", f"{done.state}: {done.error and done.error.message}")

    # The pod that is a client, and the stores.

    def ready_pod(self):
        """A pod with the unmodified client, as one of notebooks is."""
        if self.has_client:
            return
        self.kube.namespace(self.name)
        self.kube.account(self.name, "notebook")
        token = {"serviceAccountToken": {"audience": "pipelines.kubeflow.org", "expirationSeconds": 7200, "path": "token"}}
        place = "/var/run/secrets/kubeflow/pipelines"
        # Beside what is told here, pip and boto3 find in it what they look for.
        told = {**self.stores, "PYTHONPATH": "/client", "PYTHONDONTWRITEBYTECODE": "1", "KF_PIPELINES_SA_TOKEN_PATH": f"{place}/token"}
        container = {
            "name": "notebook",
            "image": "python:3.11",
            "command": ["python3", "-c", (HERE / "pods/counter.py").read_text()],
            "env": [{"name": name, "value": value} for name, value in told.items()],
            "volumeMounts": [{"name": "token", "mountPath": place}, {"name": "client", "mountPath": "/client"}],
        }
        volumes = [{"name": "token", "projected": {"sources": [token]}}, {"name": "client", "emptyDir": {}}]
        spec = {"serviceAccountName": "notebook", "terminationGracePeriodSeconds": 0, "containers": [container], "volumes": volumes}
        self.kube.make(f"{CORE}/namespaces/{self.name}/pods", metadata={"name": "notebook"}, spec=spec)
        kubectl("--namespace", self.name, "wait", "--for=condition=Ready", "pod/notebook", "--timeout=120s")
        self.within("tar", "-xf", "-", "-C", "/client", stdin=archive())
        self.has_client = True

    def within(self, *words, stdin=None, timeout=PATIENCE * 2):
        """What a program in the pod has said."""
        interactive = ["-i"] if stdin is not None else []
        return kubectl("--namespace", self.name, "exec", *interactive, "notebook", "--", *words, stdin=stdin, timeout=timeout)[0]

    def counted(self):
        """How often each path of the pod's counter was called."""
        return self.kube.get(f"{CORE}/namespaces/{self.name}/pods/notebook:9000/proxy/counted")

    def counter(self):
        """Where steps count."""
        return f"http://{self.kube.get(f'{CORE}/namespaces/{self.name}/pods/notebook')['status']['podIP']}:9000"

    def python(self):
        """The version of Python that the pod has; its packages are of this one."""
        return self.within("python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()

    def ready_stores(self):
        if self.has_stores:
            return
        self.ready_pod()
        self.within("env", "-u", "PYTHONPATH", "pip", "install", "--quiet", "--target", "/stores", "boto3", "psycopg[binary]")
        self.change_stores("make")
        self.has_stores = True

    def change_stores(self, act):
        self.within("env", "PYTHONPATH=/stores", "python3", "/client/stores.py", act, self.bucket, *self.databases)

    # The end.

    def left(self):
        """What is there that was not when all began."""
        return self.kube.ours() - self.before

    def nothing_but(self, *wanted):
        """Waits until that is left, and says what else is: objects go after those that own them."""
        # Of a Service that stays, these are the cluster's own.
        derived = ("endpoints", "endpointslices") if any(kind == "services" for kind, _, _ in wanted) else ()
        end = time.monotonic() + 90
        while (left := {one for one in self.left() if one[0] not in derived}) - set(wanted) and time.monotonic() < end:
            time.sleep(0.5)
        same(sorted(left), sorted(wanted), "what is left")

    def finish(self):
        """Removes all that the cases have made, as far as it can be."""
        for act in (self.remove_installation, self.remove_stores, self.remove_own):
            try:
                act()
            except Exception as error:
                print(f"note: not all was removed: {error}", file=sys.stderr)

    def remove_installation(self):
        if self.left():
            status, out, said = self.ferroflow("uninstall", "--delete-data")
            check(status == 0, f"ferroflow uninstall ended with {status}: {out} {said}")

    def remove_stores(self):
        if self.has_stores:
            self.change_stores("remove")

    def remove_own(self):
        self.kube.remove(f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{self.name}")
        for name in self.namespaces:
            self.kube.remove(f"{CORE}/namespaces/{name}")


def archive():
    """The packages of this Python and the programs of `pods/`, as a tar."""
    packages = next(Path(place) for place in sys.path if (Path(place) / "kfp_server_api").is_dir())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(packages, arcname=".", filter=lambda one: None if "__pycache__" in one.name else one)
        for program in sorted((HERE / "pods").glob("*.py")):
            tar.add(program, arcname=program.name)
    return buffer.getvalue()


def parsed(text):
    return json.loads(text or "{}")
