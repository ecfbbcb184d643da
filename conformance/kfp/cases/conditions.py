"""Conditions: every comparison, branches, what depends on a branch that was not taken, and OneOf."""

from kfp import dsl

from _parts import double, say


@dsl.component
def numbers() -> int:
    return 7


@dsl.component
def ratio() -> float:
    return 2.5


@dsl.component
def truth() -> bool:
    return True


@dsl.pipeline(name="comparisons")
def comparisons(word: str = "yes", limit: int = 7, share: float = 2.5, flag: bool = False):
    number, half, yes = numbers(), ratio(), truth()
    tests = {
        "int-eq": (number.output == 7, True),
        "int-ne": (number.output != 7, False),
        "int-lt": (number.output < 8, True),
        "int-le": (number.output <= 6, False),
        "int-gt": (number.output > limit, False),
        "int-ge": (number.output >= limit, True),
        "float-eq": (half.output == share, True),
        "float-gt": (half.output > 2, True),
        "mixed-lt": (half.output < number.output, True),
        "string-eq": (word == "yes", True),
        "string-ne": (word != "yes", False),
        "bool-eq": (yes.output == True, True),  # noqa: E712
        "bool-param": (flag == True, False),  # noqa: E712
    }
    for name, (test, holds) in tests.items():
        with dsl.If(test, name=name):
            say(text="taken" if holds else "wrong")


@dsl.pipeline(name="branches")
def branches(number: int = 2):
    with dsl.If(number == 1):
        one = say(text="one")
    with dsl.Elif(number == 2):
        two = say(text="two")
    with dsl.Elif(number == 3):
        three = say(text="three")
    with dsl.Else():
        other = say(text="other")
    chosen = dsl.OneOf(one.outputs["said"], two.outputs["said"], three.outputs["said"], other.outputs["said"])
    say(text=chosen).set_display_name("chosen")


@dsl.pipeline(name="nested-branches")
def nested_branches(outer: str = "in", inner: int = 5):
    with dsl.If(outer == "in"):
        first = double(number=inner)
        with dsl.If(first.output > 9):
            say(text="deep")
        with dsl.Else():
            say(text="shallow")
    with dsl.Else():
        say(text="outside")


@dsl.component
def writes(text: str, data: dsl.Output[dsl.Dataset]):
    with open(data.path, "w") as file:
        file.write(text)
    data.metadata["text"] = text


@dsl.component
def reads(data: dsl.Input[dsl.Dataset]) -> str:
    with open(data.path) as file:
        return file.read() + "/" + data.metadata["text"]


@dsl.pipeline(name="one-of-artifacts")
def one_of_artifacts(left: bool = False) -> dsl.Dataset:
    with dsl.If(left == True):  # noqa: E712
        one = writes(text="left")
    with dsl.Else():
        two = writes(text="right")
    chosen = dsl.OneOf(one.outputs["data"], two.outputs["data"])
    reads(data=chosen)
    return chosen


@dsl.pipeline(name="quote-in-condition")
def quote_in_condition(word: str = "plain"):
    with dsl.If(word == "it's"):
        say(text="never")
