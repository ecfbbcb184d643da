"""Runs `kubectl` in the namespace of a case, and compares what it prints."""

import os
import re
import subprocess

from kit import check

KUBECTL = os.environ.get("KUBECTL", "kubectl")
SECONDS = 60

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: %d
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: busybox:1.36
        command: [sh, -c, "echo started; while :; do sleep 1; done"]
"""

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: %s
  labels: {app: one}
spec:
  terminationGracePeriodSeconds: 1
  restartPolicy: Never
  containers:
  - name: main
    image: busybox:1.36
    command: [sh, -c, %r]
"""

CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: %s
data:
  key: %s
"""


class Result:
    def __init__(self, words, done):
        self.words, self.code, self.out, self.err = " ".join(words), done.returncode, done.stdout, done.stderr

    def shows(self, *patterns):
        """Checks that the output matches every regular expression, over several lines."""
        for pattern in patterns:
            check(re.search(pattern, self.out, re.MULTILINE), f"`{self.words}`: /{pattern}/ is not in:\n{self.out}{self.err}")
        return self

    def prints(self, text):
        """Checks that the output is this text; runs of blanks count as one, ages and names of machines do not."""
        check(table(self.out) == table(text), f"`{self.words}`:\n  expected\n{table(text)}\n  got\n{table(self.out)}\n{self.err}")
        return self

    def complains(self, *patterns):
        for pattern in patterns:
            check(re.search(pattern, self.err, re.MULTILINE), f"`{self.words}`: /{pattern}/ is not in:\n{self.err}")
        return self


def table(text):
    lines = [re.sub(r"\s+", " ", line).strip() for line in text.strip().splitlines()]
    return "\n".join(re.sub(r"(?<= )\d+[smhd](\d+[smh])?(?= |$)", "AGE", line) for line in lines if line)


def start(k, *words):
    """The command line of a call, and its environment; each case has a discovery cache of its own run."""
    return [KUBECTL, "--namespace", k.ns, *words]


def run(k, *words, stdin=None, ok=True, env=None):
    """Runs a command; `ok` None accepts any exit status, a number that one; `env` is added to the environment."""
    line = start(k, *words)
    env = {**os.environ, **(env or {})}
    done = subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False, env=env)
    result = Result(line, done)
    expected = 0 if ok is True else ok
    if expected is not None:
        check(done.returncode == expected, f"`{result.words}`: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return result


def fails(k, *words, stdin=None):
    result = run(k, *words, stdin=stdin, ok=None)
    check(result.code != 0, f"`{result.words}` succeeded: {result.out}")
    return result


def apply(k, text, *words):
    return run(k, "apply", "-f", "-", *words, stdin=text)
