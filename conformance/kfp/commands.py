"""The command line of pipelines: `ferroflow run`, `runs` and `pipelines`, against a gateway.

    commands.py --binary PROGRAM --gateway URL --token TOKEN [--python PYTHON] [WORD…]

With --python its packages compile what is Python, and not an environment of the command's own.

Prints a line a case and `N passed, N failed, N skipped`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True

from api.kit import echo  # noqa: E402

CASES = []
PATIENCE = 180
TWO = """
from kfp import dsl

@dsl.component
def double(number: int) -> int:
    print("doubling", number)
    return 2 * number

@dsl.pipeline(name="cli-one")
def one(number: int, ratio: float = 0.5, flag: bool = False, items: list = [], fields: dict = {}):
    double(number=number)

@dsl.pipeline(name="cli-two")
def two():
    double(number=1)
"""


def case(function):
    CASES.append((function.__name__.replace("_", " "), function))
    return function


class Failure(AssertionError):
    pass


class Ended:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def is_(self, code, out="", err=""):
        if self.code != code or not re.search(out, self.out) or not re.search(err, self.err):
            raise Failure(f"exit code {self.code}, not {code}, or without {out!r} or {err!r}\nstdout: {self.out[-1500:]}\nstderr: {self.err[-1500:]}")
        return self


class Kit:
    def __init__(self, options, work):
        self.options = options
        self.work = Path(work)
        self.data = self.work / "data"
        self.count = 0

    def run(self, *words, place=True):
        where = ["--gateway", self.options.gateway, "--token", self.options.token] if place else []
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FERROFLOW")}
        if self.options.python and words[0] == "run":
            where += ["--python", self.options.python]
        command = [self.options.binary, "--data-dir", str(self.data), *words, *where]
        return Ended(subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment, stdin=subprocess.DEVNULL))

    def file(self, content, suffix=".yaml"):
        self.count += 1
        path = self.work / f"file-{self.count}{suffix}"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    def unique(self, stem):
        self.count += 1
        return f"{stem}-{os.getpid()}-{int(time.time())}-{self.count}"


@case
def a_run_that_succeeds_ends_with_0(k):
    k.run("run", k.file(echo(name="cli-good")), "--name", k.unique("good")).is_(0, r"^[0-9a-f-]{36} SUCCEEDED [0-9.]+ s\n$", "echo  succeeded")


@case
def a_run_that_fails_ends_with_1_and_says_why(k):
    k.run("run", k.file(echo(name="cli-bad", code=3))).is_(1, "FAILED", r"(?s)error: echo: .*3")


@case
def json_is_all_of_the_run(k):
    ended = k.run("run", k.file(echo(name="cli-json")), "-o", "json").is_(0)
    run = json.loads(ended.out)
    if run["state"] != "SUCCEEDED" or "echo" not in [task["name"] for task in run["tasks"]]:
        raise Failure(ended.out[:1000])


@case
def python_is_compiled_first(k):
    source = k.file(TWO, ".py")
    k.run("run", source, "-p", "number=4").is_(1, "", "several pipelines: one, two.*--function")
    k.run("run", source, "--function", "three").is_(1, "", "no pipeline three; it has one, two")
    k.run("run", source, "--function", "two").is_(0, "SUCCEEDED")
    values = ["-p", "number=4", "-p", "ratio=2", "-p", "flag=true", "-p", 'items=[1, "a"]', "-p", 'fields={"a": 1}']
    ended = k.run("run", source, "--function", "cli-one", "-o", "json", *values).is_(0)
    given = json.loads(ended.out)["runtime_config"]["parameters"]
    if given != {"number": 4, "ratio": 2, "flag": True, "items": [1, "a"], "fields": {"a": 1}}:
        raise Failure(str(given))
    k.run("run", k.file("from nowhere import nothing\n", ".py")).is_(1, "", "ModuleNotFoundError")
    k.run("run", k.file("x = 1\n", ".py")).is_(1, "", "no function with the decorator")


@case
def parameters_are_checked_before_anything_is_sent(k):
    file = k.file(TWO, ".py")
    for words, told in (
        ([], "needs a value for the parameter .number."),
        (["-p", "number=four"], "is an integer, and .four. is not(?s:.*)-p number=3"),
        (["-p", "number=1", "-p", "zeal=2"], "no parameter .zeal.(?s:.*)fields \\(struct\\)"),
        (["-p", "number=1", "-p", "flag=yes"], "is a boolean"),
        (["-p", "number=1", "-p", "items=1"], "is a list"),
    ):
        k.run("run", file, "--function", "one", *words).is_(1, "^$", told)


@case
def what_is_no_pipeline_is_told_with_its_place(k):
    document = echo(name="cli-odd")
    document["root"]["dag"]["tasks"]["echo"]["colour"] = "red"
    k.run("run", k.file(document)).is_(1, "^$", "colour")
    k.run("run", k.file("x", ".txt")).is_(1, "^$", "neither Python nor")
    k.run("run", str(k.work / "none.yaml")).is_(1, "^$", "cannot be read")


@case
def runs_are_listed_shown_and_read(k):
    name = k.unique("shown")
    id = k.run("run", k.file(echo(name="cli-shown", word="w")), "-p", "word=said", "--name", name, "--experiment", "cli").is_(0).out.split()[0]
    k.run("runs", "list", "--experiment", "cli").is_(0, f"RUN .*\n(?s:.*){id} +SUCCEEDED .*{name}")
    k.run("runs", "get", id[:13]).is_(0, f"(?s)name +{name}.*parameter +word=said.*✓ echo")
    k.run("runs", "get", name, "-o", "json").is_(0, id)
    k.run("runs", "logs", name).is_(0, r"echo \| word=said")
    k.run("runs", "logs", name, "echo", "-f").is_(0, "^word=said\n")
    k.run("runs", "logs", name, "none").is_(1, "^$", "no step .none.(?s:.*)it has echo")
    k.run("runs", "get", "none-of-them").is_(1, "^$", "no run")
    k.run("runs", "list", "--state", "failed", "--experiment", "cli").is_(0)


@case
def a_run_is_ended_and_a_failed_one_retried(k):
    id = k.run("run", k.file(echo(name="cli-long", command=["sleep", "600"])), "--no-wait").is_(0, "^[0-9a-f-]{36}\n$").out.strip()
    k.run("runs", "terminate", id).is_(0, id)
    k.run("runs", "retry", k.run("run", k.file(echo(name="cli-again", code=1))).is_(1).out.split()[0]).is_(1, "FAILED")


@case
def pipelines_are_kept(k):
    name = k.unique("kept")
    file = k.file(echo(name="cli-kept", word="w"))
    k.run("pipelines", "upload", file, "--name", name).is_(0, "^[0-9a-f-]{36}")
    k.run("pipelines", "upload", file, "--name", name, "--version", f"{name} 2").is_(0, "^[0-9a-f-]{36} [0-9a-f-]{36}")
    k.run("pipelines", "list").is_(0, name)
    k.run("pipelines", "get", name).is_(0, f'(?s)name +{name}.*parameter +word: STRING = "w".*{name} 2')
    k.run("pipelines", "get", "none-of-them").is_(1, "^$", "no pipeline")


@case
def without_a_server_it_says_so(k):
    k.run("runs", "list", place=False).is_(3, "^$", "ferroflow up")
    Kit.run(k, "runs", "list", "--gateway", "http://127.0.0.1:1", "--token", "x", place=False).is_(1, "^$", "does not answer")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only cases whose name holds one of these words")
    parser.add_argument("--binary", required=True)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--token", default=os.environ.get("KFP_TOKEN"))
    parser.add_argument("--python", help="a Python that has kfp")
    options = parser.parse_intermixed_args()
    counts = {"passed": 0, "failed": 0}
    with tempfile.TemporaryDirectory() as work:
        kit = Kit(options, work)
        for name, function in CASES:
            if options.words and not any(word in name for word in options.words):
                continue
            began = time.monotonic()
            try:
                function(kit)
                outcome, why = "passed", ""
            except Failure as failure:
                outcome, why = "failed", str(failure)
            except Exception:
                outcome, why = "failed", traceback.format_exc(limit=-4)
            counts[outcome] += 1
            print(f"{'ok      ' if outcome == 'passed' else 'FAILED  '} {name} ({time.monotonic() - began:.1f} s)", flush=True)
            if why:
                print("         " + why.rstrip().replace("\n", "\n         "), flush=True)
    print("{passed} passed, {failed} failed, 0 skipped".format(**counts))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
