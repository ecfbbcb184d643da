"""Pipelines in pipelines: outputs, defaults, nulls, depth, and the same one twice."""

from typing import NamedTuple, Optional

from kfp import dsl

from _parts import double, say, total


@dsl.component
def saves(text: str, data: dsl.Output[dsl.Dataset]) -> int:
    with open(data.path, "w") as file:
        file.write(text)
    return len(text)


@dsl.component
def loads(data: dsl.Input[dsl.Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.pipeline(name="inner-outputs")
def _inner(text: str, factor: int = 2) -> NamedTuple("Outputs", [("length", int), ("data", dsl.Dataset)]):
    saved = saves(text=text)
    doubled = double(number=factor).after(saved)  # noqa: F841
    Outputs = NamedTuple("Outputs", [("length", int), ("data", dsl.Dataset)])
    return Outputs(saved.outputs["Output"], saved.outputs["data"])


@dsl.pipeline(name="outputs-of-nested")
def outputs_of_nested():
    first = _inner(text="one")
    second = _inner(text="three", factor=5)
    loads(data=second.outputs["data"])
    double(number=first.outputs["length"])


@dsl.component
def shows(maybe: Optional[str] = None, number: Optional[int] = 4, text: str = "own") -> str:
    return f"{maybe}|{number}|{text}"


@dsl.pipeline(name="inner-nulls")
def _nulls(maybe: Optional[str] = None, number: Optional[int] = None, text: str = "inner"):
    shows(maybe=maybe, number=number, text=text)


@dsl.pipeline(name="nulls-in-nested")
def nulls_in_nested(maybe: Optional[str] = None):
    _nulls()
    _nulls(maybe=maybe).set_display_name("handed on")
    _nulls(maybe="said", number=1, text="given").set_display_name("all given")


@dsl.pipeline(name="third")
def _third(number: int) -> int:
    return double(number=number).output


@dsl.pipeline(name="second")
def _second(number: int) -> int:
    return _third(number=_third(number=number).output).output


@dsl.pipeline(name="depth")
def depth(number: int = 1) -> int:
    with dsl.ParallelFor([1, 2]) as item:
        with dsl.If(item > 0):
            inner = _second(number=item)  # noqa: F841
    return _second(number=number).output


@dsl.pipeline(name="body")
def _body(number: int) -> int:
    return double(number=number).output


@dsl.pipeline(name="nested-in-loop")
def nested_in_loop():
    with dsl.ParallelFor([1, 2, 3], parallelism=2) as number:
        body = _body(number=number)
    total(numbers=dsl.Collected(body.output))
    say(text="beside")
