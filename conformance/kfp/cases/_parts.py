"""Steps that several cases use. All run in the image `python:3.11`, so that a cluster needs no other."""

from kfp import dsl

IMAGE = "python:3.11"


@dsl.container_component
def say(text: str, said: dsl.OutputPath(str)):
    """Prints a text and hands it out."""
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["sh", "-c", 'mkdir -p "$(dirname "$1")" && printf %s "$0" | tee "$1"'],
        args=[text, said],
    )


@dsl.container_component
def sleep(seconds: str):
    """Takes its time."""
    return dsl.ContainerSpec(image=IMAGE, command=["sleep"], args=[seconds])


@dsl.container_component
def leave(code: int):
    """Says goodbye and ends with an exit code."""
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", 'echo "going with $0"; exit "$0"'], args=[code])


@dsl.container_component
def shell(script: str, out: dsl.OutputPath(str)):
    """Runs a script whose standard output, without the last newline, is what it hands out."""
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["sh", "-ec", 'mkdir -p "$(dirname "$1")"; text="$(sh -ec "$0")"; echo "$text"; printf %s "$text" >"$1"'],
        args=[script, out],
    )


@dsl.component
def double(number: int) -> int:
    return 2 * number


@dsl.component
def total(numbers: list) -> int:
    return sum(numbers)


@dsl.component
def listed(numbers: list) -> list:
    return numbers
