"""What there is only where `ferroflow serve` runs beside another cluster: callers that are its service accounts, the launcher's
image, pods that the cluster restricts, nodes that are drained, and a server that is killed."""

import json
import os
import signal
import tempfile
from pathlib import Path

import kfp
import kubernetes as cluster
from kfp import compiler, dsl
from kfp import kubernetes as platform
from kfp.client import ServiceAccountTokenVolumeCredentials
from kit.server import ApiException, Server
from kit.tree import Tree

from .kit import case, check, echo, refused, repeat, same
from .webhook import Mutating

IMAGE = "python:3.11"
# The same without kfp, so that the step's own command installs it from the cluster's index.
BARE = "ferroflow/mnist-steps:1"
RUN = "ferroflow.dev/pipeline-run"


def api():
    """The cluster, by the kubeconfig of whoever runs the cases."""
    return cluster.client.CoreV1Api(cluster.config.new_client_from_config())


def namespace(k, **labels):
    name = k.unique("beside")
    api().create_namespace({"metadata": {"name": name, "labels": labels}})
    repeat(lambda: [one.metadata.name for one in api().list_namespaced_service_account(name).items], lambda found: "default" in found)
    return name


def pods(run):
    return api().list_pod_for_all_namespaces(label_selector=f"{RUN}={run}").items


def started(k, pipeline, name=None, **parameters):
    """A run of a pipeline function, in a namespace of its own where one is named."""
    path = str(k.work / f"{k.unique('pipeline')}.yaml")
    compiler.Compiler().compile(pipeline, path)
    experiment = k.client.create_experiment(k.unique("beside"), namespace=name or k.namespace)
    return k.client.create_run_from_pipeline_package(path, arguments=parameters, run_name=k.unique("run"), experiment_id=experiment.experiment_id).run_id


def ended(k, run, seconds=120):
    return k.client.wait_for_run_completion(run, seconds, sleep_duration=0.5)


def succeeded(k, run, seconds=120):
    found = ended(k, run, seconds)
    tree = Tree(k.server.tasks(run))
    check(found.state == "SUCCEEDED", f"{found.state}: {found.error and found.error.message}\n{tree.text()}")
    return tree


def running(k, run, path):
    return repeat(lambda: [task.state for task in Tree(k.server.tasks(run)).match(path)], lambda states: states == ["RUNNING"])


def account(name, role=None):
    """A service account with a role in the namespace of the cases; returns a way to tokens for it."""
    core, rbac = api(), cluster.client.RbacAuthorizationV1Api(cluster.config.new_client_from_config())
    core.create_namespaced_service_account("kubeflow", {"metadata": {"name": name}})
    if role:
        subject = {"kind": "ServiceAccount", "name": name, "namespace": "kubeflow"}
        rbac.create_namespaced_role_binding("kubeflow", {"metadata": {"name": name}, "subjects": [subject], "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"}})

    def token(*audiences):
        review = core.create_namespaced_service_account_token(name, "kubeflow", {"spec": {"audiences": list(audiences), "expirationSeconds": 600}})
        return review.status.token

    return token


@case
def a_service_account_may_do_what_its_roles_say(k):
    host = k.server.arguments["host"]
    nobody, viewer, editor = (account(k.unique(stem), role) for stem, role in (("nobody", None), ("viewer", "view"), ("editor", "edit")))
    started = k.run()
    for audiences in ((), ("pipelines.kubeflow.org",)):
        asking = [Server(host, token(*audiences)).client for token in (nobody, viewer, editor)]
        refused(403, "", asking[0].list_runs, namespace=k.namespace)
        refused(403, "", asking[0].get_run, started)
        # Aggregated roles have their rules a moment after the roles that they come from.
        repeat(lambda: listed(asking[1], k.namespace), bool, 20)
        same(asking[1].get_run(started).run_id, started)
        refused(403, "", asking[1].create_experiment, k.unique("viewed"), namespace=k.namespace)
        experiment = asking[2].create_experiment(k.unique("edited"), namespace=k.namespace).experiment_id
        run = asking[2].create_run_from_pipeline_package(k.file(echo()), run_name=k.unique("edited"), experiment_id=experiment)
        same(k.wait(run.run_id).state, "SUCCEEDED")
        refused(403, "", asking[2].list_runs, namespace="kube-system")
    # The client would not even come to be, after five tries.
    same(k.raw("GET", f"/apis/v2beta1/runs?namespace={k.namespace}", headers={"Authorization": f"Bearer {editor('vault')}"})[0], 401)


def listed(client, name):
    try:
        return client.list_runs(namespace=name).runs
    except ApiException:
        return None


@case
def the_client_of_a_pod_finds_its_token_by_itself(k):
    token = account(k.unique("notebook"), "edit")
    with tempfile.NamedTemporaryFile("w", dir=k.work) as file:
        file.write(token("pipelines.kubeflow.org"))
        file.flush()
        credentials = ServiceAccountTokenVolumeCredentials(path=file.name)
        client = kfp.Client(host=k.server.arguments["host"].removesuffix("/pipeline"), credentials=credentials)
        client.list_runs(namespace=k.namespace)


@case
def a_step_gets_its_launcher_from_the_image_and_no_credentials(k):
    run = k.run(echo(command=["sleep", "600"]))
    running(k, run, "echo")
    pod = pods(run)[0]
    init, main = pod.spec.init_containers[0], pod.spec.containers[0]
    same((init.name, init.image), ("ferroflow-launcher", "ferroflow-launcher:dev"))
    same(main.command, ["/ferroflow/bin/ferroflow-launcher"])
    kinds = {kind for volume in pod.spec.volumes for kind, value in volume.to_dict().items() if value and kind != "name"}
    check("host_path" not in kinds and "secret" not in kinds, kinds)
    k.client.terminate_run(run)
    ended(k, run)
    repeat(lambda: pods(run), lambda left: not left)


@dsl.container_component
def writes(data: dsl.Output[dsl.Dataset], user: dsl.OutputPath(str)):
    script = 'mkdir -p "$(dirname "$0")" "$(dirname "$1")"; echo written >"$0"; printf %s "$(id -u)" >"$1"; if : 2>/dev/null >/probe; then exit 9; fi'
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", script], args=[data.path, user])


@dsl.component(base_image=BARE)
def reads(data: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model]) -> str:
    import os

    with open(data.path) as file, open(model.path, "w") as copy:
        text = file.read().strip()
        copy.write(text)
    model.metadata["by"] = os.getuid()
    return text


@dsl.pipeline(name="restricted")
def restricted():
    written = writes().set_caching_options(False)
    read = reads(data=written.outputs["data"]).set_caching_options(False)
    for task in (written, read):
        platform.set_security_context(task, run_as_user=1000, run_as_group=1000, run_as_non_root=True)
        # The executor of Python components makes a directory there.
        platform.empty_dir_mount(task, volume_name="tmp", mount_path="/tmp")


@case
def a_step_runs_as_another_user_where_the_cluster_restricts_pods(k):
    name = namespace(k, **{"pod-security.kubernetes.io/enforce": "restricted"})
    tree = succeeded(k, started(k, restricted, name))
    same(tree.match("writes")[0].parameters()["user"], "1000")
    same(tree.match("reads")[0].parameters()["Output"], "written")
    same(tree.match("reads")[0].artifacts()["model"][0]["metadata"]["by"], 1000)


@case
def a_step_that_such_a_cluster_refuses_says_so(k):
    name = namespace(k, **{"pod-security.kubernetes.io/enforce": "restricted"})

    @dsl.pipeline(name="unrestricted")
    def unrestricted():
        writes()

    run = started(k, unrestricted, name)
    same(ended(k, run).state, "FAILED")
    told = Tree(k.server.tasks(run)).match("writes")[0].error
    check("PodSecurity" in told and "runAsNonRoot" in told, told)


@case
def a_step_runs_on_a_root_that_is_read_only(k):
    name = namespace(k, **{"beside/read-only": "yes"})
    change = [{"op": "add", "path": "/spec/containers/0/securityContext/readOnlyRootFilesystem", "value": True}]
    with Mutating(k.unique("read-only"), {"beside/read-only": "yes"}, change, k.server.arguments["host"]) as hook:
        succeeded(k, started(k, restricted, name))
    same(hook.changed, 2, "pods that were changed")


@case
def a_step_whose_node_is_drained_begins_anew(k):
    run = k.run(echo(name="drained", command=["sh", "-c", "sleep 8; echo done"]))
    running(k, run, "echo")
    before = pods(run)[0].metadata
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": before.name, "namespace": before.namespace}}
    api().create_namespaced_pod_eviction(before.name, before.namespace, eviction)
    task = succeeded(k, run).match("echo")[0]
    check(task.pods and task.pods[-1] != before.name, f"{before.name} and {task.pods}")


@dsl.container_component
def counts(name: str, out: dsl.OutputPath(str)):
    """Notes in the claim that it ran: a step of which that was lost would be noted twice."""
    script = 'echo "$0" >>/counted/log; sleep 1; mkdir -p "$(dirname "$1")"; printf %s "$0" >"$1"'
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", script], args=[name, out])


@dsl.container_component
def tells(out: dsl.OutputPath(list)):
    script = "import collections, json, pathlib, sys; pathlib.Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True); json.dump(open('/counted/log').read().split(), open(sys.argv[1], 'w'))"
    return dsl.ContainerSpec(image=IMAGE, command=["python3", "-c", script], args=[out])


@dsl.pipeline(name="killed")
def killed(claim: str):
    last = []
    for chain in ("a", "b"):
        before = None
        for number in range(5):
            task = counts(name=f"{chain}{number}").set_caching_options(False)
            platform.mount_pvc(task, pvc_name=claim, mount_path="/counted")
            if before:
                task.after(before)
            before = task
        last.append(before)
    told = tells().after(*last).set_caching_options(False)
    platform.mount_pvc(told, pvc_name=claim, mount_path="/counted")


@case
def no_step_that_succeeded_runs_twice_when_the_server_is_killed(k):
    claim = k.unique("counted").lower()
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "standard", "resources": {"requests": {"storage": "1Mi"}}}
    api().create_namespaced_persistent_volume_claim(k.namespace, {"metadata": {"name": claim}, "spec": spec})
    run = started(k, killed, claim=claim)
    kills, seen = 0, 0
    # Each time that one more step has ended.
    while kills < 4:
        done = repeat(lambda: finished(k, run), lambda number: number > seen)
        if done >= 10:
            break
        seen = done
        kill(k)
        kills += 1
    check(kills >= 3, f"killed {kills} times only")
    counted = succeeded(k, run).match("tells")[0].parameters()["out"]
    same(sorted(counted), sorted(f"{chain}{number}" for chain in "ab" for number in range(5)))
    api().delete_namespaced_persistent_volume_claim(claim, k.namespace)


def finished(k, run):
    return sum(task.state == "SUCCEEDED" for task in Tree(k.server.tasks(run)).match("counts*"))


def kill(k):
    """Ends the server by SIGKILL, and waits until another answers."""
    record = Path(os.environ["FERROFLOW_DATA_DIR"]) / "server.json"
    before = json.loads(record.read_text())["pid"]
    os.kill(before, signal.SIGKILL)

    def answers():
        try:
            return json.loads(record.read_text())["pid"] != before and k.client.get_kfp_healthz() is not None
        except Exception:
            return False

    repeat(answers, bool, 30)
