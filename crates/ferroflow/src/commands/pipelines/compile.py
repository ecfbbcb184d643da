"""Compiles one pipeline function of a file: compile.py FILE FUNCTION OUT, where an empty FUNCTION takes the only one."""

import importlib.util
import pathlib
import sys
import warnings

warnings.simplefilter("ignore")
file, function, out = sys.argv[1:4]


def give_up(text):
    print(text, file=sys.stderr)
    sys.exit(3)


try:
    from kfp import compiler
    from kfp.dsl.graph_component import GraphComponent
except ImportError as error:
    give_up(f"this Python has no kfp: {error}")

sys.path.insert(0, str(pathlib.Path(file).resolve().parent))
sys.argv = [file]
spec = importlib.util.spec_from_file_location(pathlib.Path(file).stem, file)
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)

# Those that are imported, and those that another one calls, are there too: the function's own module tells the former.
found = {name: value for name, value in vars(module).items() if isinstance(value, GraphComponent) and value.pipeline_func.__module__ == spec.name}
if function:
    chosen = {name: value for name, value in found.items() if function in (name, value.name)}
    if not chosen:
        give_up(f"{file} has no pipeline {function}; it has {', '.join(sorted(found)) or 'none'}")
else:
    chosen = found
if not chosen:
    give_up(f"{file} has no function with the decorator @dsl.pipeline")
if len({id(value) for value in chosen.values()}) > 1:
    give_up(f"{file} has several pipelines: {', '.join(sorted(chosen))}; choose one with --function")
compiler.Compiler().compile(next(iter(chosen.values())), out)
