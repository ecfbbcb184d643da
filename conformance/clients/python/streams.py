"""`kubernetes`: logs, exec and attach. These cases need a node."""

from kubernetes import client, watch
from kubernetes.stream import stream

from kit import case, same

from .shared import api_client, meta, pod, refused


def core():
    return client.CoreV1Api(client.ApiClient(configuration=api_client().configuration))


def start(k, script, phase, name="p"):
    core().create_namespaced_pod(k.ns, pod(name, script))
    k.wait_for(k.core("pods"), name, lambda one: one.get("status", {}).get("phase") == phase)


@case(needs="node")
def a_log_is_read(k):
    start(k, "echo one; echo two", "Succeeded")
    same(core().read_namespaced_pod_log("p", k.ns), "one\ntwo\n")
    same(core().read_namespaced_pod_log("p", k.ns, tail_lines=1), "two\n")
    found = core().read_namespaced_pod("p", k.ns).status.container_statuses[0]
    same((found.state.terminated.exit_code, found.state.terminated.reason), (0, "Completed"))


@case(needs="node")
def a_log_is_followed(k):
    # It runs until it is told to end, however late that it runs is seen. At isolation bare the file is the host's.
    go = f"/tmp/{k.ns}-go"
    start(k, f"echo 1; echo 2; until [ -e {go} ]; do sleep 0.1; done; rm {go}; echo 3", "Running")
    lines = watch.Watch().stream(core().read_namespaced_pod_log, "p", k.ns)
    same([next(lines), next(lines)], ["1", "2"])
    stream(core().connect_get_namespaced_pod_exec, "p", k.ns, command=["touch", go], stderr=True, stdin=False, stdout=True, tty=False)
    same(list(lines), ["3"])


@case(needs="node")
def a_command_is_run_inside(k):
    start(k, "sleep 100", "Running")
    out = stream(core().connect_get_namespaced_pod_exec, "p", k.ns, command=["sh", "-c", "echo hello"], stderr=True, stdin=False, stdout=True, tty=False)
    same(out, "hello\n")


@case(needs="node")
def a_command_talks_and_ends_with_its_status(k):
    start(k, "sleep 100", "Running")
    session = stream(core().connect_get_namespaced_pod_exec, "p", k.ns, command=["sh"], stderr=True, stdin=True, stdout=True, tty=False, _preload_content=False)
    session.write_stdin("echo out; echo err >&2; exit 3\n")
    session.run_forever(timeout=20)
    same((session.read_stdout(), session.read_stderr(), session.returncode), ("out\n", "err\n", 3))
    session.close()


@case(needs="node")
def the_log_of_nothing_is_refused(k):
    refused(lambda: core().read_namespaced_pod_log("none", k.ns), 404, "NotFound")


@case(needs=("controllers", "node"))
def a_job_is_followed_to_its_end(k):
    batch = client.BatchV1Api(client.ApiClient(configuration=api_client().configuration))
    template = client.V1PodTemplateSpec(spec=pod("x", "echo done").spec)
    batch.create_namespaced_job(k.ns, client.V1Job(metadata=meta("j"), spec=client.V1JobSpec(template=template, completions=2, parallelism=2)))
    k.wait_for(k.url("batch/v1", "jobs"), "j", lambda one: one.get("status", {}).get("succeeded") == 2)
    found = batch.read_namespaced_job("j", k.ns).status
    same([one.type for one in found.conditions if one.status == "True"], ["SuccessCriteriaMet", "Complete"])
    batch.delete_namespaced_job("j", k.ns, propagation_policy="Foreground")
    k.wait_gone(k.url("batch/v1", "jobs"), "j")
