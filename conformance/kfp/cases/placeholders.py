"""Placeholders: facts of the run, strings that only look like some, Concat and IfPresent, and the whole executor input."""

from typing import Optional

from kfp import dsl

from _parts import IMAGE, say

ARGUMENTS = "import json, os, sys; os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True); json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"


@dsl.pipeline(name="run-facts")
def run_facts():
    for key, placeholder in (
        ("name", dsl.PIPELINE_JOB_NAME_PLACEHOLDER),
        ("resource", dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER),
        ("id", dsl.PIPELINE_JOB_ID_PLACEHOLDER),
        ("task", dsl.PIPELINE_TASK_NAME_PLACEHOLDER),
        ("created", dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER),
        ("scheduled", dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER),
    ):
        say(text=placeholder).set_display_name(f"whole {key}").set_caching_options(False)
        say(text=f"<{placeholder}|{placeholder}>").set_display_name(f"inside {key}").set_caching_options(False)


@dsl.component
def echo(text: str, maybe: Optional[str] = None) -> str:
    return text


@dsl.pipeline(name="strings-with-values")
def strings_with_values(name: str = "plain", count: int = 3):
    first = echo(text=f"name={name}; count={count}; run={dsl.PIPELINE_JOB_NAME_PLACEHOLDER}")
    echo(text=f"[{first.output}]")


@dsl.pipeline(name="no-second-expansion")
def no_second_expansion(text: str = "{{$.inputs.parameters['maybe']}} {{$.pipeline_job_name}} {{$}}", maybe: str = "expanded"):
    echo(text=text, maybe=maybe)
    say(text=text)


@dsl.container_component
def concatenated(out: dsl.OutputPath(list), name: str = "n", flag: Optional[str] = None, other: Optional[str] = None):
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["python3", "-c", ARGUMENTS],
        args=[
            out,
            dsl.ConcatPlaceholder(["--name=", name, "/", name]),
            dsl.IfPresentPlaceholder(input_name="flag", then=["--flag", flag], else_=["--no-flag"]),
            dsl.IfPresentPlaceholder(input_name="other", then=["--other", other]),
            dsl.ConcatPlaceholder(["all=", dsl.IfPresentPlaceholder(input_name="flag", then=dsl.ConcatPlaceholder(["(", flag, ")"]), else_="none"), ";"]),
            dsl.IfPresentPlaceholder(
                input_name="flag",
                then=[dsl.ConcatPlaceholder(["nested-", flag]), "then"],
                else_=[dsl.IfPresentPlaceholder(input_name="other", then=other, else_="neither")],
            ),
        ],
    )


@dsl.pipeline(name="concat-and-if-present")
def concat_and_if_present(flag: Optional[str] = None, other: Optional[str] = None):
    concatenated(name="a b", flag=flag, other=other)


@dsl.container_component
def inputs_seen(number: int, fields: dict, seen: dsl.OutputPath(dict), data: dsl.Output[dsl.Dataset]):
    """The executor input as text: what is integral must stand there without a fraction."""
    script = "import json, os, sys; text = sys.argv[2]; os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True); given = json.loads(text); json.dump({'text': '1.0' in text or '2.0' in text, 'values': given['inputs']['parameterValues'], 'outputs': sorted(given['outputs']['parameters']), 'artifact': given['outputs']['artifacts']['data']['artifacts'][0]['type'], 'file': os.path.basename(given['outputs']['outputFile']) != ''}, open(sys.argv[1], 'w'))"
    return dsl.ContainerSpec(image=IMAGE, command=["python3", "-c", script], args=[seen, dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER, number, fields, data.uri])


@dsl.pipeline(name="executor-input")
def executor_input(number: int = 1):
    inputs_seen(number=number, fields={"two": 2, "half": 0.5, "list": [1, 2]})


@dsl.container_component
def reads_env(out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", 'mkdir -p "$(dirname "$0")"; printf "%s|%s|%s|%s" "$PLAIN" "$REFERS" "$ESCAPED" "$EMPTY" >"$0"'], args=[out])


@dsl.pipeline(name="environment")
def environment():
    reads_env().set_env_variable("PLAIN", "a b").set_env_variable("REFERS", "$(PLAIN)!").set_env_variable("ESCAPED", "$$(PLAIN)").set_env_variable("EMPTY", "")


@dsl.container_component
def uris(data: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model], out: dsl.OutputPath(list)):
    script = f"{ARGUMENTS}; open(sys.argv[4], 'w').write('m')"
    return dsl.ContainerSpec(image=IMAGE, command=["python3", "-c", script], args=[out, data.uri, data.path, model.path, model.uri])


@dsl.component
def makes_data(data: dsl.Output[dsl.Dataset]):
    with open(data.path, "w") as file:
        file.write("data")


@dsl.pipeline(name="paths-and-uris")
def paths_and_uris():
    uris(data=makes_data().output)
