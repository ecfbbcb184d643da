"""One lightweight component: `compile` prints its pipeline, `local` runs it by kfp.local and prints the seconds."""

import os
import sys
import tempfile
import time

from kfp import compiler, dsl, local


def double(number: int) -> int:
    return 2 * number


def main(word: str) -> None:
    # The SDK reads a component's source from its file.
    component = dsl.component(double, base_image="python:3.11")

    @dsl.pipeline(name="python-step")
    def python_step():
        component(number=21).set_caching_options(False)

    with tempfile.TemporaryDirectory() as folder:
        if word == "compile":
            path = os.path.join(folder, "step.yaml")
            compiler.Compiler().compile(python_step, path)
            print(open(path).read())
            return
        local.init(runner=local.SubprocessRunner(use_venv=True), pipeline_root=folder)
        began = time.monotonic()
        component(number=21)
        print(time.monotonic() - began)


main(sys.argv[1])
