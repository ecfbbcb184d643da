"""Artifacts: types and metadata, directories, custom paths, lists, importers, and what is embedded in a component."""

from pathlib import Path
from typing import NamedTuple

from kfp import dsl

from _parts import IMAGE

EMBEDDED = str(Path(__file__).parent / "embedded")


@dsl.component
def all_types(
    artifact: dsl.Output[dsl.Artifact],
    dataset: dsl.Output[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    classes: dsl.Output[dsl.ClassificationMetrics],
    page: dsl.Output[dsl.HTML],
    note: dsl.Output[dsl.Markdown],
):
    for one in (artifact, dataset, model, page, note):
        with open(one.path, "w") as file:
            file.write(f"<b>{one.name}</b>")
    artifact.metadata.update({"text": "t", "number": 1, "ratio": 0.5, "flag": True, "list": [1, "two"], "fields": {"a": {"b": 2}}})
    model.metadata["framework"] = "none"
    metrics.log_metric("accuracy", 0.9)
    metrics.log_metric("count", 3)
    classes.log_confusion_matrix(["cat", "dog"], [[5, 1], [2, 7]])
    classes.log_roc_curve([0.0, 0.5, 1.0], [0.0, 0.8, 1.0], [1.0, 0.5, 0.0])


@dsl.pipeline(name="artifact-types")
def artifact_types():
    all_types()


@dsl.component
def writes_tree(tree: dsl.Output[dsl.Dataset]):
    import os

    os.makedirs(os.path.join(tree.path, "deep", "er"))
    for name in ("top", "deep/one", "deep/er/two"):
        with open(os.path.join(tree.path, name), "w") as file:
            file.write(name)
    os.makedirs(os.path.join(tree.path, "empty"))
    os.chmod(os.path.join(tree.path, "top"), 0o755)


@dsl.component
def reads_tree(tree: dsl.Input[dsl.Dataset]) -> list:
    import os

    found = []
    for folder, _, names in os.walk(tree.path):
        for name in names:
            path = os.path.join(folder, name)
            found.append([os.path.relpath(path, tree.path), open(path).read()])
    return sorted(found)


@dsl.pipeline(name="artifact-of-directories")
def artifact_of_directories():
    reads_tree(tree=writes_tree().output)


@dsl.component
def writes_elsewhere(data: dsl.Output[dsl.Dataset]):
    import os
    import tempfile

    place = os.path.join(tempfile.mkdtemp(), "data.txt")
    with open(place, "w") as file:
        file.write("elsewhere")
    data.set_path(place)


@dsl.component
def reads(data: dsl.Input[dsl.Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.pipeline(name="artifact-with-custom-path")
def artifact_with_custom_path():
    reads(data=writes_elsewhere().output)


@dsl.component
def returned(text: str) -> NamedTuple("Outputs", [("data", dsl.Dataset), ("length", int)]):
    import os

    data = dsl.Dataset(uri=dsl.get_uri(suffix="data"), metadata={"by": "return"})
    os.makedirs(os.path.dirname(data.path), exist_ok=True)
    with open(data.path, "w") as file:
        file.write(text)
    Outputs = NamedTuple("Outputs", [("data", dsl.Dataset), ("length", int)])
    return Outputs(data=data, length=len(text))


@dsl.pipeline(name="returned-artifact")
def returned_artifact():
    reads(data=returned(text="returned").outputs["data"])


@dsl.component
def changes_uri(model: dsl.Output[dsl.Model]):
    model.uri = "s3://elsewhere/models/one"
    model.metadata["kept"] = "outside"


@dsl.pipeline(name="artifact-kept-elsewhere")
def artifact_kept_elsewhere():
    changes_uri()


@dsl.component
def makes(text: str, data: dsl.Output[dsl.Dataset]):
    with open(data.path, "w") as file:
        file.write(text)


@dsl.pipeline(name="importer-of-constant")
def importer_of_constant(word: str = "given"):
    dsl.importer(artifact_uri="gs://bucket/data.csv", artifact_class=dsl.Dataset, metadata={"rows": 5, "source": "constant"}, reimport=False)
    dsl.importer(artifact_uri="gs://bucket/data.csv", artifact_class=dsl.Dataset, metadata={"word": word}, reimport=True)


@dsl.container_component
def tells_uri(data: dsl.Input[dsl.Dataset], uri: dsl.OutputPath(str)):
    script = 'mkdir -p "$(dirname "$1")"; printf %s "$0" >"$1"'
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", script], args=[data.uri, uri])


@dsl.pipeline(name="importer-of-output")
def importer_of_output():
    made = makes(text="imported")
    imported = dsl.importer(artifact_uri=tells_uri(data=made.output).outputs["uri"], artifact_class=dsl.Dataset, reimport=True)
    reads(data=imported.output)


@dsl.component(embedded_artifact_path=EMBEDDED)
def reads_embedded(place: dsl.EmbeddedInput[dsl.Dataset]) -> list:
    import os

    return sorted(os.path.relpath(os.path.join(folder, name), place.path) for folder, _, names in os.walk(place.path) for name in names)


@dsl.pipeline(name="embedded-artifact")
def embedded_artifact():
    reads_embedded()


@dsl.component
def maybe_reads(data: dsl.Input[dsl.Dataset] = None) -> bool:
    return data is None


@dsl.pipeline(name="optional-artifact")
def optional_artifact():
    maybe_reads()
    maybe_reads(data=makes(text="there").output)


@dsl.component
def writes_large(megabytes: int, data: dsl.Output[dsl.Dataset]):
    with open(data.path, "wb") as file:
        for _ in range(megabytes):
            file.write(b"\x01" * (1 << 20))


@dsl.component
def measures(data: dsl.Input[dsl.Dataset]) -> int:
    import os

    return os.path.getsize(data.path)


@dsl.pipeline(name="large-artifact")
def large_artifact(megabytes: int = 300):
    measures(data=writes_large(megabytes=megabytes).output)
