"""From a folder of Python sources to compiled pipelines, by the SDK that is installed; YAML beside them is taken as it is."""

import importlib.util
import shutil
import sys
from pathlib import Path

from kfp import compiler
from kfp.dsl.graph_component import GraphComponent


def compiled(folder, work):
    """Compiles the pipelines of every module of `folder` into `work`, each by its own name, and copies its YAML there."""
    sys.path.insert(0, str(folder))
    seen = {}
    for source in sorted(path for path in Path(folder).glob("*.py") if not path.stem.startswith("_")):
        for pipeline in pipelines(source):
            if pipeline.name in seen:
                raise SystemExit(f"{source} and {seen[pipeline.name]} both have a pipeline {pipeline.name}")
            seen[pipeline.name] = source
            compiler.Compiler().compile(pipeline, str(Path(work) / f"{pipeline.name}.yaml"))
    for path in Path(folder).glob("*.yaml"):
        shutil.copy(path, work)
    return Path(work)


def pipelines(source):
    """The pipelines that a module defines and does not import; not those whose Python name begins with `_`."""
    spec = importlib.util.spec_from_file_location(source.stem, source)
    module = importlib.util.module_from_spec(spec)
    sys.modules[source.stem] = module
    spec.loader.exec_module(module)
    found = [(name, value) for name, value in vars(module).items() if isinstance(value, GraphComponent)]
    own = [value for name, value in found if not name.startswith("_") and value.pipeline_func.__module__ == source.stem]
    return list({value.name: value for value in own}.values())
