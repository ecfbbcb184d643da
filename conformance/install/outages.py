"""Servers of a cluster that are killed, and that are replaced while they are used."""

import json
import subprocess
import threading
import time

from api.kit import case, check, repeat, same
from cluster import asked, kubectl
from kfp import dsl
from setting import API, LEASE, NAMESPACE, PIPELINES

# A leader that is killed is replaced within that.
REPLACED_S = 15
IMAGE = "python:3.11"
CHAINS, STEPS = ("a", "b"), 4


@dsl.container_component
def counts(url: str, out: dsl.OutputPath(str)):
    """Says at a place of its own that it ran: a step of which that was lost would be counted twice."""
    script = (
        "import pathlib, sys, time, urllib.request as r; r.urlopen(r.Request(sys.argv[1], data=b'', method='POST'), timeout=20); "
        "time.sleep(2); p = pathlib.Path(sys.argv[2]); p.parent.mkdir(parents=True, exist_ok=True); p.write_text('counted')"
    )
    return dsl.ContainerSpec(image=IMAGE, command=["python3", "-c", script], args=[url, out])


@dsl.pipeline(name="counted")
def counted(place: str):
    for chain in CHAINS:
        before = None
        for number in range(STEPS):
            task = counts(url=f"{place}/{chain}{number}")
            if before:
                task.after(before)
            before = task


def counted_of(k, key):
    return {path.rsplit("/", 1)[-1]: times for path, times in k.counted().items() if f"/{key}/" in path}


@case
def a_leader_that_is_killed_is_replaced_and_no_step_runs_twice(k):
    k.need()
    k.ready_pod()
    client, key = k.client(k.editor()), k.unique("run")
    wanted = [f"{chain}{number}" for chain in CHAINS for number in range(STEPS)]
    run = k.started(client, counted, place=f"{k.counter()}/{key}")
    repeat(lambda: counted_of(k, key), lambda found: len(found) >= 3)
    same(client.get_run(run).state, "RUNNING")
    leader, holder = k.leader(), k.kube.get(LEASE)["spec"]["holderIdentity"]
    began = time.monotonic()
    kubectl("--namespace", NAMESPACE, "delete", "pod", leader, "--grace-period=0", "--force", "--wait=false")
    # Asked often, since the time counts.
    end = began + 3 * REPLACED_S
    while (now := k.kube.get(LEASE)["spec"].get("holderIdentity")) in (None, "", holder) and time.monotonic() < end:
        time.sleep(0.1)
    took = time.monotonic() - began
    check(now not in (None, "", holder) and took <= REPLACED_S, f"after {took:.1f} s {now!r} leads, and before {holder!r} did")
    check(now.rsplit("_", 1)[0] != leader, f"the pod that was deleted leads: {now}")
    # And it does what a leader does.
    client.create_experiment(k.unique("after"), namespace=PIPELINES)
    k.succeeded(client, run)
    same(counted_of(k, key), dict.fromkeys(wanted, 1), "how often steps ran")
    k.settle()


class Load:
    """Requests to the Service from the pod, twenty a second, until the block ends."""

    def __init__(self, k):
        self.k, self.stop = k, f"/client/{k.unique('stop')}"
        k.within("sh", "-c", "cat >/client/token", stdin=k.editor())
        words = ["kubectl", "--namespace", k.name, "exec", "notebook", "--", "python3", "/client/load.py"]
        self.words = [*words, k.url, "/client/token", self.stop, k.unique("load")]

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = []
        self.begun = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        check(self.begun.wait(60) and self.process.poll() is None, f"requests do not begin: {self.lines}")
        return self

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            self.begun.set()

    def __exit__(self, kind, *_):
        self.k.within("touch", self.stop)
        try:
            self.process.wait(90)
        finally:
            self.process.kill()
            self.reader.join(10)
        if kind is None:
            self.summary = json.loads(self.lines[-1])


@case
def no_request_fails_while_servers_are_replaced_one_after_another(k):
    k.need()
    k.ready_pod()
    before = {pod["metadata"]["uid"] for pod in k.pods()}
    with Load(k) as load:
        kubectl("--namespace", NAMESPACE, "rollout", "restart", "deployment/ferroflow")
        kubectl("--namespace", NAMESPACE, "rollout", "status", "deployment/ferroflow", "--timeout=180s", timeout=200)
        k.settle()
        # Those that were replaced have ended as well, which may take as long as they are given.
        selector = ["--namespace", NAMESPACE, "get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"]
        repeat(lambda: before & set(kubectl(*selector)[0].split()), lambda left: not left, 90)
    told = load.summary
    check(not told["failed"], f"{len(told['failed'])} of {told['requests']} requests failed: " + "\n".join(told["failed"][:10]))
    check(told["requests"] >= 15 * told["seconds"], f"only {told['requests']} requests in {told['seconds']:.0f} s")
    same(before & {pod["metadata"]["uid"] for pod in k.pods()}, set(), "servers that were not replaced")
    check(told["longest"] <= 20, f"a request took {told['longest']:.1f} s")
    # What was acknowledged is there.
    token = k.editor()
    lost = [one for one in told["written"] if asked(f"{k.url}{API}/experiments/{one}", token=token)[0] != 200]
    check(told["written"] and not lost, f"of {len(told['written'])} records {len(lost)} are lost")
