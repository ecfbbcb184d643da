"""Cases of the API: how they are registered, pipelines to run, and what they are handed."""

import json
import os
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from kit.server import ApiException, reason

CASES = []
WAIT_SECONDS = 60


class Skip(Exception):
    """A case that cannot be asked in this way."""


class Failure(AssertionError):
    """The server did something else than it should."""


def case(function):
    CASES.append((f"{function.__module__.rsplit('.', 1)[-1]}: {function.__name__.replace('_', ' ')}", function))
    return function


def check(truth, text):
    if not truth:
        raise Failure(str(text))


def same(got, wanted, what="value"):
    check(got == wanted, f"{what} is {got!r}, not {wanted!r}")


def refused(status, words, call, *arguments, **named):
    """The call is answered with this status and a message that holds the words."""
    try:
        answer = call(*arguments, **named)
    except ApiException as error:
        got, told = reason(error)
        check(got == status and words.lower() in str(told).lower(), f"answered with {got} {told!r}, not with {status} and {words!r}")
        return json.loads(error.body or "{}")
    raise Failure(f"was taken: {str(answer)[:300]}")


def repeat(ask, wanted, seconds=WAIT_SECONDS):
    """Asks until the answer is as wanted; the time has a bound."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if wanted(answer):
            return answer
        check(time.monotonic() < end, f"not within {seconds} s: {str(answer)[:500]}")
        time.sleep(0.2)


def echo(name="api-echo", code=0, command=None, **parameters):
    """A pipeline of one step as its document."""
    declared = {key: {"parameterType": "STRING", "defaultValue": value} for key, value in parameters.items()}
    inputs = {key: {"componentInputParameter": key} for key in parameters}
    text = " ".join(f"{key}={{{{$.inputs.parameters['{key}']}}}}" for key in parameters) or "hello"
    container = {"image": "python:3.11", "command": command or ["sh", "-c", f'echo "$0"; exit {code}'], "args": [] if command else [text]}
    return {
        "components": {"comp-echo": {"executorLabel": "exec-echo", "inputDefinitions": {"parameters": {key: {"parameterType": "STRING"} for key in parameters}}}},
        "deploymentSpec": {"executors": {"exec-echo": {"container": container}}},
        "pipelineInfo": {"name": name},
        "root": {
            "dag": {"tasks": {"echo": {"cachingOptions": {}, "componentRef": {"name": "comp-echo"}, "taskInfo": {"name": "echo"}, "inputs": {"parameters": inputs}}}},
            "inputDefinitions": {"parameters": declared},
        },
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
    }


class Kit:
    """What a case is handed."""

    def __init__(self, server, work, namespace):
        self.server = server
        self.client = server.client
        self.namespace = namespace
        self.work = Path(work)

    def unique(self, stem):
        return f"{stem}-{os.getpid()}-{time.monotonic_ns() % 10**9}-{threading.get_ident() % 9973}"

    def file(self, document, suffix=".yaml"):
        path = self.work / f"{self.unique('file')}{suffix}"
        path.write_text(json.dumps(document), encoding="utf-8")
        return str(path)

    def experiment(self):
        return self.client.create_experiment(self.unique("experiment"), namespace=self.namespace)

    def pipeline(self, document=None):
        return self.client.upload_pipeline(self.file(document or echo()), pipeline_name=self.unique("pipeline"))

    def run(self, document=None, experiment=None, name=None, **parameters):
        experiment = experiment or self.experiment()
        started = self.client.create_run_from_pipeline_package(
            self.file(document or echo()), arguments=parameters, run_name=name or self.unique("run"), experiment_id=experiment.experiment_id
        )
        return started.run_id

    def wait(self, run):
        return self.client.wait_for_run_completion(run, WAIT_SECONDS, sleep_duration=0.3)

    def finished(self, *arguments, **named):
        return self.wait(self.run(*arguments, **named))

    def raw(self, method, path, body=None, headers=None):
        """(status, body) of a request without the client, with no credentials but those in `headers`."""
        host = self.client.runs.api_client.configuration.host
        self.bearer()
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(host + path, data=data, method=method, headers={"Content-Type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def bearer(self):
        """The header that the gateway wants."""
        if "host" not in self.server.arguments:
            raise Skip("it is about the gateway, and the API is asked through the API server")
        return {"Authorization": f"Bearer {self.server.arguments['existing_token']}"}


def predicate(key, value, operation=1):
    return json.dumps({"predicates": [{"operation": operation, "key": key, "stringValue": value}]})
