"""One server with everything on a volume, in a cluster where nothing but the image was brought."""

import os
import subprocess
from pathlib import Path

from api.kit import case, check, repeat, same
from callers import said_twice
from cluster import CORE, kubectl
from removal import uninstalled
from moving import Laptop, package
from setting import APPS, IMAGE, LAUNCHER, NAMESPACE, PATIENCE, PIPELINES

VOLUMES, CLASSES = f"{CORE}/persistentvolumes", "/apis/storage.k8s.io/v1/storageclasses"
GUIDE = Path(__file__).resolve().parents[2] / "docs/cluster.md"
# Whom servers run as.
USER = 65532


def make_volume(k):
    """A directory of a node that belongs to the servers' user, as a provisioner would make it."""
    node = k.kube.get(f"{CORE}/nodes")["items"][0]["metadata"]["name"]
    path = f"/var/lib/{k.name}"
    directory = {"hostPath": {"path": path, "type": "DirectoryOrCreate"}}
    container = {
        "name": "own", "image": "busybox:1.36", "command": ["chown", f"{USER}:{USER}", "/volume"],
        "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
    }  # fmt: skip
    spec = {"nodeName": node, "restartPolicy": "Never", "containers": [container], "volumes": [{"name": "volume", **directory}]}
    k.kube.namespace(k.name)
    k.kube.make(f"{CORE}/namespaces/{k.name}/pods", metadata={"name": "own"}, spec=spec)
    kubectl("--namespace", k.name, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/own", "--timeout=60s")
    k.kube.make(CLASSES, metadata={"name": k.name}, provisioner="kubernetes.io/no-provisioner")
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    spec = {
        "storageClassName": k.name, "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}, **directory,
    }  # fmt: skip
    k.kube.make(VOLUMES, metadata={"name": k.name}, spec=spec)


def ready(k):
    found = k.kube.find(f"{APPS}/deployments/ferroflow") or {}
    return found.get("status", {}).get("readyReplicas") == 1 and k.answers()


def moved_onto_the_volume(k):
    """A laptop's run, by the command of the guide: the server is away while a pod has its volume."""
    laptop, archive = Laptop(k, "to-a-volume"), k.work / "to-a-volume.tar"
    with laptop.up() as client:
        run = client.create_run_from_pipeline_package(package(k), run_name="from-a-laptop").run_id
        same(client.wait_for_run_completion(run, timeout=60, sleep_duration=0.2).state, "SUCCEEDED")
    laptop.run("export", str(archive))
    guide = GUIDE.read_text()
    command = guide[guide.index("kubectl -n ferroflow run import") : guide.index("< laptop.tar\n$ kubectl -n ferroflow scale")]
    command = command.replace("team-a", PIPELINES)
    kubectl("--namespace", NAMESPACE, "scale", "deployment/ferroflow", "--replicas=0")
    kubectl("--namespace", NAMESPACE, "wait", "--for=delete", "pod", "--selector=app.kubernetes.io/component=server", "--timeout=90s", timeout=100)
    done = subprocess.run(["sh", "-c", f"{command} <'{archive}'"], env={**os.environ, "image": IMAGE}, capture_output=True, text=True, timeout=120)
    check(done.returncode == 0 and "1 run" in done.stdout + done.stderr, f"{done.returncode}: {done.stdout} {done.stderr}")
    kubectl("--namespace", NAMESPACE, "scale", "deployment/ferroflow", "--replicas=1")
    repeat(lambda: ready(k), bool, PATIENCE)
    same(k.client(k.editor()).get_run(run).state, "SUCCEEDED", "the run of a laptop")


@case
def one_server_keeps_everything_on_a_volume(k):
    if k.left():
        uninstalled(k, "--delete-data")
        k.nothing_but()
    make_volume(k)
    try:
        words = ["--image", IMAGE, "--launcher-image", LAUNCHER, "--storage-class", k.name, "--size", "1Gi"]
        status, out, said = k.ferroflow("install", *words)
        check(status == 0, f"{out} {said}\n{k.told()}")
        repeat(lambda: ready(k), bool, PATIENCE)
        same(len(k.pods()), 1, "the servers")
        client = k.client(k.editor())
        run = k.started(client, said_twice)
        k.succeeded(client, run)
        # The next one finds what was recorded.
        kubectl("--namespace", NAMESPACE, "delete", "pod", k.pods()[0]["metadata"]["name"], "--timeout=60s")
        repeat(lambda: ready(k), bool, PATIENCE)
        same(k.client(k.editor()).get_run(run).state, "SUCCEEDED", "a run of before")
        status, out, said = k.ferroflow("doctor")
        check(status == 0 and "FAULT" not in out, f"{out} {said}")
        uninstalled(k)
        check(any(kind == "persistentvolumeclaims" for kind, _, _ in k.left()), "the claim is gone, although its data was to stay")
        # The volume is as it was, without a word about it.
        status, out, said = k.ferroflow("install", *words[:4])
        check(status == 0, f"{out} {said}\n{k.told()}")
        repeat(lambda: ready(k), bool, PATIENCE)
        same(k.client(k.editor()).get_run(run).state, "SUCCEEDED", "a run of an earlier installation")
        moved_onto_the_volume(k)
        same(k.client(k.editor()).get_run(run).state, "SUCCEEDED", "a run of before something was moved in")
        status, out, said = k.ferroflow("install", *words[:4], "--storage-class", "another")
        check(status == 1 and "another" in said, f"{status} {out} {said}")
    finally:
        uninstalled(k, "--delete-data")
        k.kube.remove(f"{VOLUMES}/{k.name}")
        k.kube.remove(f"{CLASSES}/{k.name}")
    k.nothing_but()
