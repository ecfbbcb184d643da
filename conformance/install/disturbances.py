"""What goes wrong while runs are under way. Each returns what is told of it, and waits until what it has done is over."""

import re
import signal
import time

import machine
from api.kit import Skip, check, repeat
from cluster import CORE, kubectl
from setting import NAMESPACE, PATIENCE

# Longer than a Lease is held.
AWAY_S, PAUSED_S, KUBELET_S = 10, 13, 15
# A leader that goes on after a pause has ended within that; a probe would end it after a minute.
GONE_S = 20
# A container that ends again and again waits ever longer; a pod of it is replaced instead.
RESTARTS = 3


def leading(chaos):
    """The pod that leads."""
    name = chaos.k.leader()
    return chaos.k.kube.get(f"{CORE}/namespaces/{NAMESPACE}/pods/{name}")


def restarts(pod):
    return pod["status"]["containerStatuses"][0]["restartCount"]


def kill_process(chaos):
    pod = leading(chaos)
    if restarts(pod) >= RESTARTS:
        return delete_pod(chaos)
    pid = machine.of_pod(pod)
    with chaos.takeover("killed"):
        machine.send([pid], signal.SIGKILL)
    return "a leader's process is killed"


def delete_pod(chaos):
    pod = leading(chaos)
    name, pid = pod["metadata"]["name"], machine.of_pod(pod)
    with chaos.takeover("deleted", pid):
        kubectl("--namespace", NAMESPACE, "delete", "pod", name, "--grace-period=0", "--force", "--wait=false")
    return "a leader's pod is deleted by force"


def end_of(chaos, name, container):
    """How a container of a pod has ended, with its last error; None until it is known."""
    status = chaos.k.kube.get(f"{CORE}/namespaces/{NAMESPACE}/pods/{name}")["status"]["containerStatuses"][0]
    ends = [status[where].get("terminated") or {} for where in ("state", "lastState")]
    ended = next((one for one in ends if one.get("containerID") == container), None)
    if not ended:
        return None
    # Until it is started again, its log is the container's.
    words = ["--previous"] if "running" in status["state"] else []
    said = kubectl("--namespace", NAMESPACE, "logs", name, "--tail=20", *words, fails=True)[0]
    said = re.sub(r"\x1b\[[0-9;]*m", "", said)
    return ended, next((line.split("error=")[-1] for line in reversed(said.splitlines()) if "error=" in line), said[-160:])


def pause(chaos):
    pod = leading(chaos)
    name, container = pod["metadata"]["name"], pod["status"]["containerStatuses"][0]["containerID"]
    pid = machine.of_pod(pod)
    began = time.monotonic()
    with machine.stopped(pid):
        with chaos.takeover("paused"):
            pass
        time.sleep(max(0.0, began + PAUSED_S - time.monotonic()))
    goes_on = time.monotonic()
    while machine.is_there(pid) and time.monotonic() < goes_on + GONE_S:
        time.sleep(0.05)
    took = time.monotonic() - goes_on
    if machine.is_there(pid):
        chaos.faults["pauses"].append(f"{name} has not ended {GONE_S} s after its pause")
        return "a leader is paused, and goes on"
    ended, last = repeat(lambda: end_of(chaos, name, container), bool, PATIENCE)
    if restarts(pod) >= RESTARTS:
        kubectl("--namespace", NAMESPACE, "delete", "pod", name, "--wait=false")
    if ended.get("exitCode") in (None, 0, 137, 143):
        chaos.faults["pauses"].append(f"{name} has ended with {ended}: {last}")
    return f"a leader is paused, and ends itself {took:.1f} s after, with {ended.get('exitCode')}, {last}"


def away(chaos, what, *pids, seconds=AWAY_S):
    with machine.stopped(*pids):
        time.sleep(seconds)
    return f"{what} stands still for {seconds} s"


def api_server_still(chaos):
    return away(chaos, "the API server", machine.found("kube-apiserver"))


def api_server_refuses(chaos):
    machine.found("kube-apiserver")
    port = chaos.k.kube.client.configuration.host.rsplit(":", 1)[-1]
    with machine.refused(port):
        time.sleep(AWAY_S)
    return f"the API server's connections are cut and refused for {AWAY_S} s"


def api_server_restarts(chaos):
    """Killed, and started again by what keeps the cluster's programs running."""
    machine.send([machine.found("kube-apiserver")], signal.SIGKILL)
    began = time.monotonic()
    repeat(lambda: is_ready(chaos), bool, PATIENCE)
    return f"the API server is killed, and is back after {time.monotonic() - began:.1f} s"


def is_ready(chaos):
    try:
        return chaos.k.kube.status("GET", "/readyz")[0] == 200
    except Exception:
        # Nothing listens yet.
        return False


def postgres_still(chaos):
    server = machine.found("postgres")
    return away(chaos, "PostgreSQL", server, *machine.children(server))


def postgres_crashes(chaos):
    """A process of a client is killed: the server ends all others, and recovers."""
    server = machine.found("postgres")
    clients = [pid for pid in machine.children(server) if chaos.k.databases[0] in machine.lines_of(pid, "cmdline")]
    check(clients, "no server is connected with PostgreSQL")
    machine.send(clients[:1], signal.SIGKILL)
    return "PostgreSQL crashes and recovers"


def s3_still(chaos):
    return away(chaos, "S3", machine.found("versitygw"))


def node_of(chaos, namespace, name):
    return chaos.k.kube.get(f"{CORE}/namespaces/{namespace}/pods/{name}")["spec"]["nodeName"]


def drain(chaos):
    """Of a node that has not what counts."""
    kept = node_of(chaos, chaos.k.name, "notebook")
    nodes = [node["metadata"]["name"] for node in chaos.k.kube.get(f"{CORE}/nodes")["items"]]
    name = next(node for node in nodes if node != kept)
    try:
        # Steps begin often, and a drain without one shows nothing.
        repeat(lambda: steps_on(chaos, name), bool, PATIENCE)
        words = ["drain", name, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=120s"]
        out, said, _ = kubectl(*words)
    finally:
        kubectl("uncordon", name)
    gone = set(re.findall(r"evicting pod [\w.-]+/([\w.-]+)", out + said))
    chaos.drained |= gone
    return f"{name} is drained of {len(gone)} pods"


def steps_on(chaos, node):
    pods = chaos.k.kube.get(f"{CORE}/namespaces/kubeflow/pods", fieldSelector=f"spec.nodeName={node},status.phase=Running")["items"]
    return [pod["metadata"]["name"] for pod in pods]


def kubelet_still(chaos):
    node = node_of(chaos, NAMESPACE, chaos.k.leader())
    return away(chaos, f"the kubelet of {node}", machine.found("kubelet", f"--hostname-override={node}"), seconds=KUBELET_S)


def kubelet_restarts(chaos):
    node = node_of(chaos, NAMESPACE, chaos.k.leader())
    words = f"--hostname-override={node}"
    before = machine.found("kubelet", words)
    machine.send([before], signal.SIGKILL)
    repeat(lambda: another(before, "kubelet", words), bool, PATIENCE)
    return f"the kubelet of {node} is killed, and started again"


def another(before, program, words):
    try:
        return machine.found(program, words) != before
    except Skip:
        return False


OUTAGES = [
    api_server_still, api_server_refuses, api_server_restarts, postgres_still, postgres_crashes, s3_still, drain, kubelet_still, kubelet_restarts,
]  # fmt: skip
