"""The runs of the chaos: pipelines of several shapes, and what becomes of each where nothing goes wrong."""

from collections import Counter
from pathlib import Path

import yaml
from kfp import compiler, dsl

IMAGE = "python:3.11"
PROGRAM = (Path(__file__).resolve().parent / "pods/step.py").read_text()
COMMAND = ["python3", "-c", PROGRAM]
SECONDS = "3"


@dsl.container_component
def counts(place: str, name: str, failures: str, got: str, wanted: str, out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image=IMAGE, command=COMMAND, args=[place, name, SECONDS, failures, got, wanted, out])


@dsl.container_component
def joins(place: str, name: str, got: list, wanted: str, out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image=IMAGE, command=COMMAND, args=[place, name, SECONDS, "0", got, wanted, out])


@dsl.container_component
def makes(place: str, name: str, data: dsl.Output[dsl.Dataset]):
    return dsl.ContainerSpec(image=IMAGE, command=COMMAND, args=[place, name, SECONDS, "0", "", "", data.path])


@dsl.container_component
def hands_on(place: str, name: str, got: dsl.Input[dsl.Dataset], wanted: str, data: dsl.Output[dsl.Dataset]):
    return dsl.ContainerSpec(image=IMAGE, command=COMMAND, args=[place, name, SECONDS, "0", got.path, wanted, data.path])


def step(place, name, got="", wanted="", failures=0):
    task = counts(place=place, name=name, failures=str(failures), got=got, wanted=wanted)
    return task.set_caching_options(False).set_display_name(name)


@dsl.pipeline(name="chaos-chain")
def chain(place: str):
    got, wanted = "", ""
    for name in "abcdef":
        got, wanted = step(place, name, got, wanted).output, wanted + name


@dsl.pipeline(name="chaos-loop")
def loop(place: str):
    first = step(place, "first")
    with dsl.ParallelFor(["a", "b", "c", "d", "e"]) as item:
        each = step(place, f"each-{item}", first.output, "first")
    wanted = "".join(f"firsteach-{item}" for item in "abcde")
    joins(place=place, name="joins", got=dsl.Collected(each.output), wanted=wanted).set_caching_options(False)


@dsl.pipeline(name="chaos-retries")
def retries(place: str):
    first = step(place, "first")
    second = step(place, "second", first.output, "first", failures=2)
    second.set_retry(num_retries=3, backoff_duration="1s", backoff_factor=1.0)
    step(place, "third", second.output, "firstsecond")


@dsl.pipeline(name="chaos-exit")
def exits(place: str):
    with dsl.ExitHandler(step(place, "exit")):
        first = step(place, "first")
        second = step(place, "second", first.output, "first", failures=99)
        step(place, "never", second.output)


@dsl.pipeline(name="chaos-artifacts")
def artifacts(place: str):
    task, wanted = makes(place=place, name="a").set_caching_options(False), "a"
    for name in "bcdef":
        task = hands_on(place=place, name=name, got=task.output, wanted=wanted).set_caching_options(False)
        wanted += name


class Shape:
    """A pipeline, the state that its runs end in, the states of their tasks, and how often each step ends and fails."""

    def __init__(self, pipeline, state, ends, fails, tasks):
        self.name, self.pipeline, self.state, self.ends, self.fails = pipeline.name.removeprefix("chaos-"), pipeline, state, ends, fails
        self.tasks = tasks

    def spec(self, folder):
        path = folder / f"{self.name}.yaml"
        compiler.Compiler().compile(self.pipeline, str(path))
        return next(yaml.safe_load_all(path.read_text()))


def once(*names):
    return dict.fromkeys(names, 1)


def tasks(*succeeded, state="SUCCEEDED", **others):
    """The tasks of a run by name and state: the root, those that succeeded, and others."""
    names = {name.replace("_", "-"): other for name, other in others.items()}
    return Counter([("root", state), *((name, "SUCCEEDED") for name in succeeded), *names.items()])


def numbered(name, count):
    """As the compiler calls tasks of one component."""
    return [name, *(f"{name}-{number}" for number in range(2, count + 1))]


SHAPES = [
    Shape(chain, "SUCCEEDED", once(*"abcdef"), {}, tasks(*numbered("counts", 6))),
    Shape(
        loop, "SUCCEEDED", once("first", "joins", *(f"each-{item}" for item in "abcde")), {},
        tasks("counts", "for-loop-2", *"01234", *["counts-2"] * 5, "joins"),
    ),
    Shape(retries, "SUCCEEDED", once("first", "second", "third"), {"second": 2}, tasks(*numbered("counts", 3))),
    Shape(
        exits, "FAILED", once("first", "exit"), once("second"),
        tasks("counts", "counts-2", state="FAILED", exit_handler_1="FAILED", counts_3="FAILED", counts_4="SKIPPED"),
    ),
    Shape(artifacts, "SUCCEEDED", once(*"abcdef"), {}, tasks("makes", *numbered("hands-on", 5))),
]  # fmt: skip
