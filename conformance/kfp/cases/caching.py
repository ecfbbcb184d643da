"""The cache: what is in its key, what is not, and steps that run at the same time."""

from kfp import dsl

from _parts import IMAGE, double, leave, shell


@dsl.component
def stamp(text: str) -> str:
    """Differs at each run."""
    import uuid

    return f"{text} {uuid.uuid4()}"


@dsl.component
def size(text: str) -> int:
    return len(text)


@dsl.pipeline(name="cache-of-a-chain")
def cache_of_a_chain():
    size(text=stamp(text="x").output)


@dsl.pipeline(name="cache-off")
def cache_off():
    size(text=stamp(text="x").set_caching_options(False).output)


@dsl.pipeline(name="cache-key")
def cache_key(text: str):
    """The key alone decides: other inputs are a hit with `mine`, and a miss without."""
    keyed = stamp(text=text).set_caching_options(enable_caching=True, cache_key="mine")
    stamp(text=text).set_caching_options(enable_caching=True, cache_key="other").after(keyed)
    stamp(text=text).after(keyed)
    size(text=keyed.output)


@dsl.pipeline(name="cache-in-one-run")
def cache_in_one_run():
    first = double(number=21)
    double(number=21).after(first)
    double(number=22).after(first)


@dsl.pipeline(name="same-step-at-the-same-time")
def same_step_at_the_same_time():
    for _ in range(4):
        shell(script="sleep 2; date +%s%N")


@dsl.container_component
def reads_variable(out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", 'mkdir -p "$(dirname "$0")"; printf %s "$COLOUR" >"$0"'], args=[out])


@dsl.pipeline(name="cache-knows-variables")
def cache_knows_variables():
    red = reads_variable().set_env_variable("COLOUR", "red")
    reads_variable().set_env_variable("COLOUR", "blue").after(red)
    reads_variable().set_env_variable("COLOUR", "red").after(red)


@dsl.pipeline(name="cache-has-no-failures")
def cache_has_no_failures():
    leave(code=2)


@dsl.component
def artifact_of(text: str, data: dsl.Output[dsl.Dataset]):
    with open(data.path, "w") as file:
        file.write(text)
    data.metadata["text"] = text


@dsl.component
def content_of(data: dsl.Input[dsl.Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.pipeline(name="cache-of-artifacts")
def cache_of_artifacts():
    content_of(data=artifact_of(text="kept").outputs["data"])


@dsl.pipeline(name="cache-in-a-loop")
def cache_in_a_loop():
    with dsl.ParallelFor([1, 2, 3]) as number:
        double(number=number)
