"""The processes of a cluster of `cargo xtask cluster up`, which are processes of this machine: found, killed, and stopped."""

import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

from api.kit import Skip


def lines_of(pid, file):
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        # It has ended.
        return ""


def numbers():
    return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]


def network(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def found(program, *words):
    """The process of a program of this cluster, by words of its command line; on the first node where there are none."""
    for pid in numbers():
        command = lines_of(pid, "cmdline")
        if command.split(" ")[0].rsplit("/", 1)[-1] != program or any(word not in command for word in words):
            continue
        if words or network(pid) == network("self"):
            return pid
    raise Skip(f"no process {program} of the cluster is on this machine")


def of_pod(pod):
    """The process of the only container of a pod."""
    name = pod["status"]["containerStatuses"][0]["containerID"].rsplit("/", 1)[-1]
    # Where the container is about to end there may be none.
    pids = [pid for pid in numbers() if name in lines_of(pid, "cgroup")]
    if not pids:
        raise Skip(f"no process of {pod['metadata']['name']} is on this machine")
    return min(pids)


def is_there(pid):
    state = lines_of(pid, "stat").rsplit(")", 1)[-1].split()
    return bool(state) and state[0] not in "ZX"


def children(pid):
    return [one for one in numbers() if lines_of(one, "stat").rsplit(")", 1)[-1].split()[1:2] == [str(pid)]]


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


@contextmanager
def stopped(*pids):
    """Processes that stand still for as long as the block lasts."""
    send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        send(pids, signal.SIGCONT)


@contextmanager
def refused(port):
    """Connections to a port of the first node are cut, and new ones refused, as where nothing listens."""
    rule = ["INPUT", "-p", "tcp", "--dport", str(port), "-j", "REJECT", "--reject-with", "tcp-reset"]
    subprocess.run(["iptables", "-w", "-I", *rule], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["iptables", "-w", "-D", *rule], check=True, capture_output=True)
