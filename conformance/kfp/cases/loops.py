"""Loops: over constants, parameters, outputs and artifacts, nested, empty, limited, and what is collected from them."""

from typing import List

from kfp import dsl

from _parts import IMAGE, double, listed, say, shell, total


@dsl.pipeline(name="loop-over-constants")
def loop_over_constants():
    with dsl.ParallelFor([1, 2, 3]) as number:
        doubled = double(number=number)
    total(numbers=dsl.Collected(doubled.output))


@dsl.pipeline(name="loop-over-fields")
def loop_over_fields():
    with dsl.ParallelFor([{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]) as item:
        say(text=item.a)
        say(text=item.b)


@dsl.pipeline(name="loop-over-parameter")
def loop_over_parameter(items: list):
    with dsl.ParallelFor(items) as item:
        said = say(text=item)
    listed(numbers=dsl.Collected(said.outputs["said"]))


@dsl.component
def makes() -> list:
    return [{"key": "a", "count": 1}, {"key": "b", "count": 2}]


@dsl.pipeline(name="loop-over-output")
def loop_over_output():
    with dsl.ParallelFor(makes().output) as item:
        said = say(text=item.key)
        doubled = double(number=item.count).after(said)
    total(numbers=dsl.Collected(doubled.output))


@dsl.pipeline(name="loop-over-nothing")
def loop_over_nothing(items: list = []):
    with dsl.ParallelFor(items) as item:
        said = say(text=item)
    listed(numbers=dsl.Collected(said.outputs["said"]))


@dsl.component
def add(a: int, b: int) -> int:
    return a + b


@dsl.pipeline(name="loops-in-loops")
def loops_in_loops(offset: int = 100):
    with dsl.ParallelFor([10, 20]) as outer:
        base = add(a=outer, b=offset)
        with dsl.ParallelFor([1, 2, 3]) as inner:
            sums = add(a=base.output, b=inner)
    listed(numbers=dsl.Collected(sums.output))


@dsl.component
def rows() -> List[List[int]]:
    return [[1, 2], [], [3]]


@dsl.pipeline(name="loop-over-item")
def loop_over_item():
    with dsl.ParallelFor(rows().output) as row:
        with dsl.ParallelFor(row) as number:
            double(number=number)


@dsl.pipeline(name="loop-with-limit")
def loop_with_limit():
    with dsl.ParallelFor([1, 2, 3, 4, 5, 6], parallelism=2) as number:
        # Long enough to overlap where a pod takes a second or two to start.
        shell(script=f"sleep 3; echo {number}").set_caching_options(False)


@dsl.component
def is_odd(number: int) -> bool:
    return number % 2 == 1


@dsl.pipeline(name="condition-in-loop")
def condition_in_loop():
    with dsl.ParallelFor([1, 2, 3, 4]) as number:
        odd = is_odd(number=number)
        with dsl.If(odd.output == True):  # noqa: E712
            double(number=number)


@dsl.pipeline(name="loop-in-condition")
def loop_in_condition(go: bool = True):
    with dsl.If(go == True):  # noqa: E712
        with dsl.ParallelFor(["a", "b"]) as item:
            say(text=item)
    with dsl.If(go == False):  # noqa: E712
        with dsl.ParallelFor(["c"]) as item:
            say(text=item)


@dsl.component
def part(number: int, data: dsl.Output[dsl.Dataset]):
    with open(data.path, "w") as file:
        file.write(f"part {number}")
    data.metadata["number"] = number


@dsl.component
def joined(parts: dsl.Input[List[dsl.Dataset]]) -> str:
    return ",".join(f"{open(one.path).read()}={one.metadata['number']}" for one in parts)


@dsl.pipeline(name="collected-artifacts")
def collected_artifacts():
    with dsl.ParallelFor([3, 1, 2]) as number:
        made = part(number=number)
    joined(parts=dsl.Collected(made.outputs["data"]))


@dsl.component
def reads(data: dsl.Input[dsl.Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.pipeline(name="parts")
def _parts_of() -> List[dsl.Dataset]:
    with dsl.ParallelFor([1, 2]) as number:
        made = part(number=number)
    return dsl.Collected(made.outputs["data"])


@dsl.pipeline(name="loop-over-artifacts")
def loop_over_artifacts():
    with dsl.ParallelFor(_parts_of().output) as data:
        reads(data=data)


@dsl.container_component
def fails_on(number: int, bad: int):
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", 'test "$0" != "$1"'], args=[number, bad])


@dsl.pipeline(name="loop-with-failure")
def loop_with_failure():
    with dsl.ParallelFor([1, 2, 3]) as number:
        fails_on(number=number, bad=2)



@dsl.pipeline(name="loop-of-forty")
def loop_of_forty(items: list = list(range(40))):
    with dsl.ParallelFor(items) as number:
        said = say(text=f"item {number}")
    listed(numbers=dsl.Collected(said.outputs["said"]))
