"""Parameters: types on their way in and out, defaults, what is missing, and what is too large or of the wrong kind."""

from typing import Dict, List, Optional

from kfp import dsl

from _parts import IMAGE, shell


@dsl.component
def kinds_of(number: int, ratio: float, flag: bool, text: str, items: list, fields: dict) -> dict:
    """What arrives, with the Python type of each."""
    return {
        "number": [type(number).__name__, number],
        "ratio": [type(ratio).__name__, ratio],
        "flag": [type(flag).__name__, flag],
        "text": [type(text).__name__, text],
        "items": [type(items[0]).__name__, items],
        "fields": [type(fields["deep"][0]).__name__, fields],
    }


@dsl.pipeline(name="python-types")
def python_types(number: int = 7, ratio: float = 2.5, flag: bool = True, text: str = "ü"):
    kinds_of(number=number, ratio=ratio, flag=flag, text=text, items=[1, 2.5, "three", [4, {"five": 6}]], fields={"deep": [1], "empty": {}})


@dsl.component
def returns(number: int) -> int:
    """An integer that arrives as a float would be refused by the executor."""
    return number + 1


@dsl.component
def keeps(fields: dict) -> dict:
    return fields


@dsl.pipeline(name="integers-stay-integers")
def integers_stay_integers(large: int = 9007199254740991, negative: int = -9007199254740991):
    first = returns(number=negative)
    returns(number=first.output).set_display_name("again")
    keeps(fields={"large": large, "nested": [[1, 2], {"three": 3}]})


@dsl.container_component
def texts(number: int, ratio: float, flag: bool, text: str, items: list, fields: dict, out: dsl.OutputPath(list)):
    """What each parameter is as text in an argument."""
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["python3", "-c", "import json, sys, os; os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True); json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"],
        args=[out, number, ratio, flag, text, items, fields],
    )


@dsl.pipeline(name="text-forms")
def text_forms(number: int = 3, ratio: float = 2.0, flag: bool = False):
    texts(number=number, ratio=ratio, flag=flag, text="a b", items=[1, "two", 2.5], fields={"a": {"b": [True, "x"]}})


@dsl.component
def given(required: str, number: int = 3, maybe: Optional[str] = None, items: List[int] = [1, 2], fields: Dict[str, int] = {"a": 1}) -> str:
    return f"{required}|{number}|{maybe}|{items}|{fields}"


@dsl.pipeline(name="defaults")
def defaults(required: str, number: int = 5, maybe: Optional[str] = None):
    given(required=required)
    given(required=required, number=number, maybe=maybe).set_display_name("passed")


@dsl.container_component
def writes(integer: dsl.OutputPath(int), ratio: dsl.OutputPath(float), flag: dsl.OutputPath(bool), text: dsl.OutputPath(str), items: dsl.OutputPath(list), fields: dsl.OutputPath(dict)):
    """Files of output parameters, in all the forms that are read."""
    script = (
        'for f in "$@"; do mkdir -p "$(dirname "$f")"; done; '
        'printf " 7\\n" >"$1"; printf 1e3 >"$2"; printf T >"$3"; printf "line\\n" >"$4"; printf "[1, {\\"a\\": 2.0}]" >"$5"; printf "{\\"b\\": false}" >"$6"'
    )
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", script, "writes"], args=[integer, ratio, flag, text, items, fields])


@dsl.pipeline(name="output-files")
def output_files():
    written = writes()
    shell(script="echo ok").after(written)


@dsl.container_component
def writes_nothing(number: dsl.OutputPath(int)):
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", "echo nothing"], args=[number])


@dsl.pipeline(name="output-missing")
def output_missing():
    writes_nothing()


@dsl.container_component
def writes_words(number: dsl.OutputPath(int)):
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", 'mkdir -p "$(dirname "$0")"; printf seven >"$0"'], args=[number])


@dsl.pipeline(name="output-of-wrong-type")
def output_of_wrong_type():
    writes_words()


@dsl.component
def returns_words() -> int:
    return "seven"


@dsl.pipeline(name="return-of-wrong-type")
def return_of_wrong_type():
    returns_words()


@dsl.component
def takes_integer(number: int) -> int:
    return number


@dsl.pipeline(name="input-of-wrong-type")
def input_of_wrong_type(numbers: list = [1, "two"]):
    with dsl.ParallelFor(numbers) as number:
        takes_integer(number=number)


@dsl.component
def measures(text: str) -> int:
    return len(text)


@dsl.pipeline(name="large-parameter")
def large_parameter(text: str = "x" * 200000):
    measures(text=text)


@dsl.component
def makes(size: int) -> str:
    return "y" * size


@dsl.pipeline(name="large-output")
def large_output():
    measures(text=makes(size=300000).output)


@dsl.pipeline(name="all-required")
def all_required(number: int, ratio: float, flag: bool, text: str, items: list, fields: dict):
    kinds = texts(number=number, ratio=ratio, flag=flag, text=text, items=items, fields=fields)
    shell(script="true").after(kinds)
