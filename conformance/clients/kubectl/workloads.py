"""What runs: rollouts, scale, logs, exec, cp, jobs. These cases need a node."""

import re
import subprocess
import threading
import urllib.request

from kit import case, check, repeat, same

from .tool import DEPLOYMENT, POD, apply, fails, run, start

WAIT = "--timeout=60s"

SERVER = """
apiVersion: v1
kind: Pod
metadata:
  name: server
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: python:3.11
    command:
    - python3
    - -c
    - |
      import http.server
      class Handler(http.server.BaseHTTPRequestHandler):
          def do_GET(self):
              self.send_response(200)
              self.end_headers()
              self.wfile.write(b"forwarded")
      http.server.ThreadingHTTPServer(("127.0.0.1", 18273), Handler).serve_forever()
    readinessProbe:
      periodSeconds: 1
      exec: {command: [python3, -c, "import socket; socket.create_connection(('127.0.0.1', 18273), 5)"]}
"""


def pod(k, script, name="one"):
    apply(k, POD % (name, script))


def ready(k, name="one"):
    run(k, "wait", "--for=condition=Ready", f"pod/{name}", WAIT)


@case(needs="controllers")
def a_deployment_gets_its_replica_set_and_pods(k):
    apply(k, DEPLOYMENT % 2)
    run(k, "wait", "--for=jsonpath={.status.replicas}=2", "deployment/web", WAIT).prints("deployment.apps/web condition met")
    run(k, "get", "replicasets", "-o", "custom-columns=D:.spec.replicas,O:.metadata.ownerReferences[0].kind").prints("D O\n2 Deployment")
    run(k, "get", "pods", "-l", "app=web", "-o", "custom-columns=O:.metadata.ownerReferences[0].kind").prints("O\nReplicaSet\nReplicaSet")


@case(needs="controllers")
def scale_changes_the_number_of_pods(k):
    apply(k, DEPLOYMENT % 1)
    run(k, "scale", "deployment/web", "--replicas=3").prints("deployment.apps/web scaled")
    run(k, "wait", "--for=jsonpath={.status.replicas}=3", "deployment/web", WAIT)
    fails(k, "scale", "deployment/web", "--current-replicas=7", "--replicas=1").complains("Expected replicas to be 7, was 3")
    run(k, "autoscale", "deployment/web", "--min=1", "--max=2").prints("horizontalpodautoscaler.autoscaling/web autoscaled")


@case(needs=("controllers", "node"))
def a_rollout_is_followed_undone_and_remembered(k):
    apply(k, DEPLOYMENT % 1)
    run(k, "rollout", "status", "deployment/web", WAIT).shows('deployment "web" successfully rolled out')
    run(k, "set", "image", "deployment/web", "main=busybox:1.37").prints("deployment.apps/web image updated")
    run(k, "rollout", "status", "deployment/web", WAIT).shows("successfully rolled out")
    run(k, "rollout", "history", "deployment/web").shows("^1 ", "^2 ")
    run(k, "rollout", "undo", "deployment/web").shows("deployment.apps/web rolled back")
    run(k, "rollout", "status", "deployment/web", WAIT)
    run(k, "get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}").prints("busybox:1.36")
    run(k, "rollout", "restart", "deployment/web").prints("deployment.apps/web restarted")
    run(k, "rollout", "status", "deployment/web", WAIT)
    run(k, "rollout", "pause", "deployment/web").prints("deployment.apps/web paused")
    run(k, "rollout", "resume", "deployment/web").prints("deployment.apps/web resumed")


@case(needs="controllers")
def expose_makes_a_service(k):
    apply(k, DEPLOYMENT % 0)
    run(k, "expose", "deployment/web", "--port=80", "--target-port=8080").prints("service/web exposed")
    run(k, "get", "service", "web", "-o", "jsonpath={.spec.selector} {.spec.ports[0].targetPort}").prints('{"app":"web"} 8080')


@case(needs="node")
def logs_are_printed_followed_and_cut(k):
    # At isolation bare the file is the host's.
    go = f"/tmp/{k.ns}-go"
    pod(k, f"for i in 1 2 3; do echo line $i; done; until [ -e {go} ]; do sleep 0.1; done; rm {go}; echo last")
    # A container that is being made has no log, and kubectl does not wait for one.
    ready(k)
    with subprocess.Popen(start(k, "logs", "-f", "pod/one", "--pod-running-timeout=60s"), stdout=subprocess.PIPE, text=True) as follow:
        # A kubectl that says nothing is not waited for.
        bound = threading.Timer(60, follow.kill)
        bound.start()
        try:
            same([follow.stdout.readline() for _ in range(3)], ["line 1\n", "line 2\n", "line 3\n"], "what is there")
            run(k, "exec", "one", "--", "touch", go)
            same((follow.stdout.read(), follow.wait()), ("last\n", 0), "what follows")
        finally:
            bound.cancel()
            follow.kill()
    run(k, "logs", "one", "--tail=2").prints("line 3\nlast")
    run(k, "logs", "one", "--limit-bytes=6").prints("line 1")
    run(k, "logs", "one", "--timestamps", "--tail=1").shows(r"^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d) last$")
    run(k, "logs", "-l", "app=one", "--prefix", "--tail=1").prints("[pod/one/main] last")
    fails(k, "logs", "one", "-c", "none").complains("container none is not valid for pod one")


@case(needs="node")
def exec_runs_a_command_and_hands_its_status_on(k):
    pod(k, "sleep 100")
    ready(k)
    # kubectl before 1.33 drops what comes before it has made its streams, so the command waits for it.
    run(k, "exec", "-i", "one", "--", "sh", "-c", "read go; echo out; echo err >&2", stdin="go\n").prints("out").complains("^err$")
    run(k, "exec", "-i", "one", "--", "cat", stdin="through\n").prints("through")
    run(k, "exec", "one", "--", "sh", "-c", "exit 7", ok=7).complains("command terminated with exit code 7")


@case(needs="node")
def exec_and_attach_go_by_spdy_too(k):
    spdy = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
    pod(k, "sleep 100")
    ready(k)
    run(k, "exec", "-i", "one", "--", "sh", "-c", "read go; echo out; echo err >&2", stdin="go\n", env=spdy).prints("out").complains("^err$")
    many = "".join(f"line {i}\n" for i in range(20000))
    run(k, "exec", "-i", "one", "--", "cat", stdin=many, env=spdy).prints(many)
    run(k, "exec", "one", "--", "sh", "-c", "exit 7", ok=7, env=spdy).complains("command terminated with exit code 7")
    run(k, "run", "twice", "--rm", "-i", "--quiet", "--image=busybox:1.36", "--restart=Never", "--pod-running-timeout=60s", "--", "sh", "-c", "cat; echo done", stdin="in\n", env=spdy).shows("done")


@case(needs="node")
def run_makes_a_pod_and_attaches(k):
    run(k, "run", "once", "--image=busybox:1.36", "--restart=Never", "--", "sh", "-c", "echo hello").prints("pod/once created")
    run(k, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/once", WAIT)
    run(k, "logs", "once").prints("hello")
    run(k, "run", "twice", "--rm", "-i", "--quiet", "--image=busybox:1.36", "--restart=Never", "--pod-running-timeout=60s", "--", "sh", "-c", "cat; echo done", stdin="in\n").shows("done")


@case(needs="node")
def cp_carries_files(k, tmp="/tmp"):
    pod(k, "mkdir -p /tmp/conformance-cp-$$; sleep 100")
    ready(k)
    folder = run(k, "exec", "-i", "one", "--", "sh", "-c", "read go; mktemp -d", stdin="go\n").out.strip()
    run(k, "exec", "one", "--", "sh", "-c", f"echo content > {folder}/file")
    import tempfile

    with tempfile.TemporaryDirectory() as local:
        run(k, "cp", f"one:{folder}/file", f"{local}/file")
        with open(f"{local}/file", encoding="utf-8") as file:
            check(file.read() == "content\n", "another content")
        run(k, "cp", f"{local}/file", f"one:{folder}/back")
    run(k, "exec", "-i", "one", "--", "sh", "-c", f"read go; cat {folder}/back", stdin="go\n").prints("content")
    run(k, "exec", "one", "--", "rm", "-r", folder)


@case(needs="node")
def a_pod_is_described_with_its_events(k):
    pod(k, "exit 3")
    run(k, "wait", "--for=jsonpath={.status.phase}=Failed", "pod/one", WAIT)
    run(k, "describe", "pod", "one").shows("^Status: +Failed$", "^    State: +Terminated$", "^      Exit Code: +3$", "^      Reason: +Error$", "Scheduled .*Successfully assigned", "Started .*")
    run(k, "get", "pod", "one").shows(r"^one +0/1 +Error +0 ")


@case(needs=("controllers", "node"))
def a_job_completes_and_takes_its_pods_along(k):
    run(k, "create", "job", "j", "--image=busybox:1.36", "--", "sh", "-c", "echo worked")
    run(k, "wait", "--for=condition=Complete", "job/j", WAIT).prints("job.batch/j condition met")
    run(k, "get", "job", "j").shows(r"^j +Complete +1/1 ")
    run(k, "logs", "job/j").prints("worked")
    run(k, "delete", "job", "j").shows('job.batch "j" deleted')
    run(k, "wait", "--for=delete", "pod", "-l", "batch.kubernetes.io/job-name=j", WAIT)


@case(needs=("controllers", "node"))
def deleting_a_deployment_takes_its_pods_along(k):
    apply(k, DEPLOYMENT % 1)
    run(k, "rollout", "status", "deployment/web", WAIT)
    run(k, "delete", "deployment", "web", "--cascade=foreground", WAIT)
    check(run(k, "get", "pods", "-l", "app=web", "-o", "name").out.strip() == "", "a pod is left")


@case(needs=("controllers", "node"))
def what_does_not_fit_says_why(k):
    text = (POD % ("big", "true")).replace("    command:", "    resources: {requests: {example.com/none: 1}, limits: {example.com/none: 1}}\n    command:")
    apply(k, text)
    run(k, "wait", "--for=jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=Unschedulable", "pod/big", WAIT)
    words = ("get", "pod", "big", "-o", "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}")
    wanted = re.compile(r"0/\d+ nodes are available: .*Insufficient example.com/none").match
    # While another case has cordoned the node, that is the reason.
    message = repeat(lambda: run(k, *words).out, wanted)
    check(wanted(message), message)


@case(needs="node")
def a_port_is_forwarded(k):
    apply(k, SERVER)
    run(k, "wait", "--for=condition=Ready", "pod/server", WAIT)
    # What a server in a pod binds to loopback is reached by a forwarded port alone.
    with subprocess.Popen(start(k, "port-forward", "pod/server", ":18273"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as forward:
        # A kubectl that says nothing is not waited for.
        bound = threading.Timer(30, forward.kill)
        bound.start()
        try:
            line = forward.stdout.readline()
            told = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> 18273", line)
            if told is None:
                forward.terminate()
                check(False, f"no port is forwarded: {line}{forward.stderr.read()}")
            for _ in range(3):
                with urllib.request.urlopen(f"http://127.0.0.1:{told[1]}/", timeout=20) as answer:
                    same((answer.status, answer.read()), (200, b"forwarded"))
        finally:
            bound.cancel()
            forward.terminate()


@case(needs="node")
def a_wait_that_is_not_met_fails_in_time(k):
    pod(k, "sleep 100")
    fails(k, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/one", "--timeout=1s").complains("timed out waiting for the condition on pods/one")
