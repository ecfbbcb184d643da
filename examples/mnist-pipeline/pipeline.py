"""MNIST from files to a report: load, validate, split, train candidates side by side, pick one, evaluate it, and report.

All steps are lightweight Python components on numpy, so that the same file compiles with `kfp`, runs under `kfp.local`, on
Ferroflow, and on any Kubeflow Pipelines whose image has the data. Where it lies says the parameter `data`; where that is
empty, the variable MNIST_DATA of the step's image (../mnist/images.toml).
"""

from typing import Dict, List, NamedTuple

from kfp import dsl

# Stands for any image with Python; on Ferroflow the rule in ../mnist/images.toml.
IMAGE = "ferroflow/mnist-steps:1"
NUMPY = ["numpy==2.2.6"]
# Share of the test images that must be told right for the gate to open.
WANTED = 0.93


@dsl.component(base_image=IMAGE, packages_to_install=NUMPY)
def load(data: str, train: dsl.Output[dsl.Dataset], test: dsl.Output[dsl.Dataset]):
    """Reads the four IDX files into two archives of numpy."""
    import os
    import pathlib
    import struct

    import numpy as np

    folder = pathlib.Path(data or os.environ["MNIST_DATA"])

    def read(name):
        content = (folder / name).read_bytes()
        zeros, kind, rank = struct.unpack(">HBB", content[:4])
        if zeros != 0 or kind != 8:
            raise ValueError(f"{name} is not an IDX file of bytes")
        shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)

    for prefix, out in (("train", train), ("t10k", test)):
        images = read(f"{prefix}-images-idx3-ubyte")
        labels = read(f"{prefix}-labels-idx1-ubyte")
        with open(out.path, "wb") as file:
            np.savez(file, images=images, labels=labels)
        out.metadata["images"] = len(labels)
        print(f"{prefix}: {images.shape}")


@dsl.component(base_image=IMAGE, packages_to_install=NUMPY)
def validate(train: dsl.Input[dsl.Dataset], test: dsl.Input[dsl.Dataset]) -> dict:
    """Refuses data that is not what the later steps take it to be, and says how often each digit is there."""
    import numpy as np

    counts = {}
    for name, dataset in (("train", train), ("test", test)):
        content = np.load(dataset.path)
        images, labels = content["images"], content["labels"]
        assert images.shape == (len(labels), 28, 28), f"{name}: {images.shape} images and {len(labels)} labels"
        assert images.dtype == np.uint8 and images.max() == 255, f"{name}: pixels are not bytes up to 255"
        digits, numbers = np.unique(labels, return_counts=True)
        assert list(digits) == list(range(10)), f"{name}: the labels are {digits}"
        assert numbers.min() > 0.8 * numbers.mean(), f"{name}: digits are unlike often: {numbers}"
        counts[name] = {str(digit): int(number) for digit, number in zip(digits, numbers)}
    return counts


@dsl.component(base_image=IMAGE, packages_to_install=NUMPY)
def split(data: dsl.Input[dsl.Dataset], counts: dict, held_out: int, seed: int, train: dsl.Output[dsl.Dataset], check: dsl.Output[dsl.Dataset]):
    """Keeps some images back, by which candidates are compared."""
    import numpy as np

    content = np.load(data.path)
    assert sum(counts["train"].values()) == len(content["labels"])
    order = np.random.default_rng(seed).permutation(len(content["labels"]))
    for part, out in ((order[held_out:], train), (order[:held_out], check)):
        with open(out.path, "wb") as file:
            np.savez(file, images=content["images"][part], labels=content["labels"][part])
        out.metadata["images"] = len(part)


@dsl.component(base_image=IMAGE, packages_to_install=NUMPY)
def train_candidate(
    train: dsl.Input[dsl.Dataset], check: dsl.Input[dsl.Dataset], candidate: Dict[str, float], seed: int, model: dsl.Output[dsl.Model], metrics: dsl.Output[dsl.Metrics]
) -> float:
    """One hidden layer with ReLU, trained with Adam; returns its accuracy on the images that were kept back."""
    import os

    # Sums come out the same, whatever else runs.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    import numpy as np

    def rows(dataset):
        content = np.load(dataset.path)
        return content["images"].reshape(-1, 784).astype(np.float32) / 255, content["labels"]

    hidden, rate, steps = int(candidate["hidden"]), candidate["rate"], int(candidate["steps"])
    random = np.random.default_rng(seed)
    images, labels = rows(train)
    parts = [
        random.normal(0, 0.05, (784, hidden)).astype(np.float32),
        np.zeros(hidden, np.float32),
        random.normal(0, 0.05, (hidden, 10)).astype(np.float32),
        np.zeros(10, np.float32),
    ]
    moments = [(np.zeros_like(part), np.zeros_like(part)) for part in parts]
    for step in range(1, steps + 1):
        batch = random.integers(0, len(labels), 100)
        first, first_bias, second, second_bias = parts
        x = images[batch]
        h = np.maximum(x @ first + first_bias, 0)
        outputs = h @ second + second_bias
        slope = np.exp(outputs - outputs.max(1, keepdims=True))
        slope /= slope.sum(1, keepdims=True)
        slope[np.arange(len(batch)), labels[batch]] -= 1
        slope /= len(batch)
        back = (slope @ second.T) * (h > 0)
        scale = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        for part, grad, (mean, square) in zip(parts, (x.T @ back, back.sum(0), h.T @ slope, slope.sum(0)), moments):
            mean += 0.1 * (grad - mean)
            square += 0.001 * (grad * grad - square)
            part -= (scale * mean / (np.sqrt(square) + 1e-8)).astype(np.float32)
    held, truth = rows(check)
    first, first_bias, second, second_bias = parts
    told = (np.maximum(held @ first + first_bias, 0) @ second + second_bias).argmax(1)
    accuracy = round(float((told == truth).mean()), 4)
    with open(model.path, "wb") as file:
        np.savez(file, first=first, first_bias=first_bias, second=second, second_bias=second_bias)
    model.metadata.update({"hidden": hidden, "rate": rate, "steps": steps, "accuracy": accuracy})
    metrics.log_metric("accuracy", accuracy)
    print(f"{hidden} hidden units, rate {rate}: accuracy {accuracy}")
    return accuracy


@dsl.component(base_image=IMAGE)
def pick(accuracies: List[float], models: dsl.Input[List[dsl.Model]], best: dsl.Output[dsl.Model]) -> NamedTuple("Picked", [("number", int), ("accuracies", list)]):
    """Takes the candidate that was best on the images kept back."""
    import shutil
    from collections import namedtuple

    number = max(range(len(accuracies)), key=lambda at: accuracies[at])
    shutil.copy(models[number].path, best.path)
    best.metadata.update(models[number].metadata)
    print(f"candidate {number} of {len(models)} with accuracy {accuracies[number]}")
    return namedtuple("Picked", ["number", "accuracies"])(number, accuracies)


@dsl.component(base_image=IMAGE, packages_to_install=NUMPY)
def evaluate(model: dsl.Input[dsl.Model], test: dsl.Input[dsl.Dataset], metrics: dsl.Output[dsl.Metrics], classes: dsl.Output[dsl.ClassificationMetrics]) -> float:
    """The accuracy on images that no step before has seen, and which digits are taken for which."""
    import numpy as np

    content, parts = np.load(test.path), np.load(model.path)
    images = content["images"].reshape(-1, 784).astype(np.float32) / 255
    told = (np.maximum(images @ parts["first"] + parts["first_bias"], 0) @ parts["second"] + parts["second_bias"]).argmax(1)
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (content["labels"], told), 1)
    accuracy = round(float(np.trace(matrix) / matrix.sum()), 4)
    metrics.log_metric("accuracy", accuracy)
    metrics.log_metric("wrong", int(matrix.sum() - np.trace(matrix)))
    classes.log_confusion_matrix([str(digit) for digit in range(10)], matrix.tolist())
    print(f"accuracy on {matrix.sum()} test images: {accuracy}")
    return accuracy


@dsl.component(base_image=IMAGE, packages_to_install=NUMPY)
def report(model: dsl.Input[dsl.Model], classes: dsl.Input[dsl.ClassificationMetrics], accuracy: float, candidate: int, accuracies: list, page: dsl.Output[dsl.HTML]) -> str:
    """A page for a person: the candidates, the accuracy, and the confusion matrix."""
    rows = classes.metadata["confusionMatrix"]["rows"]
    head = "".join(f"<th>{digit}</th>" for digit in range(10))
    body = "".join(f"<tr><th>{digit}</th>" + "".join(f"<td>{int(cell)}</td>" for cell in row["row"]) + "</tr>" for digit, row in enumerate(rows))
    each = "".join(f"<li>candidate {at}: {one}{' (picked)' if at == candidate else ''}</li>" for at, one in enumerate(accuracies))
    with open(page.path, "w") as file:
        file.write(
            f"<!doctype html><title>MNIST</title><h1>MNIST: {accuracy:.2%} of 10,000 test images</h1>"
            f"<p>{int(model.metadata['hidden'])} hidden units, rate {model.metadata['rate']}</p><ul>{each}</ul>"
            f"<table border=1><tr><td></td>{head}</tr>{body}</table>"
        )
    return f"accuracy {accuracy:.4f} with candidate {candidate}"


@dsl.component(base_image=IMAGE)
def refuse(accuracy: float, wanted: float):
    """Fails the run: a model that is not good enough goes nowhere."""
    raise SystemExit(f"the accuracy is {accuracy}, and {wanted} is wanted")


@dsl.pipeline(name="mnist", description="Trains three networks on MNIST, picks one, and reports on it if it is good enough")
def mnist(
    data: str = "",
    wanted: float = WANTED,
    seed: int = 1,
    candidates: List[Dict[str, float]] = [
        {"hidden": 32, "rate": 0.001, "steps": 400},
        {"hidden": 128, "rate": 0.001, "steps": 600},
        {"hidden": 64, "rate": 0.01, "steps": 400},
    ],
):
    loaded = load(data=data)
    counted = validate(train=loaded.outputs["train"], test=loaded.outputs["test"])
    parts = split(data=loaded.outputs["train"], counts=counted.output, held_out=5000, seed=seed)
    with dsl.ParallelFor(candidates, name="candidates", parallelism=2) as candidate:
        trained = train_candidate(train=parts.outputs["train"], check=parts.outputs["check"], candidate=candidate, seed=seed)
    picked = pick(accuracies=dsl.Collected(trained.outputs["Output"]), models=dsl.Collected(trained.outputs["model"]))
    evaluated = evaluate(model=picked.outputs["best"], test=loaded.outputs["test"])
    with dsl.If(evaluated.outputs["Output"] >= wanted, name="good enough"):
        report(
            model=picked.outputs["best"],
            classes=evaluated.outputs["classes"],
            accuracy=evaluated.outputs["Output"],
            candidate=picked.outputs["number"],
            accuracies=picked.outputs["accuracies"],
        )
    with dsl.Else(name="not good enough"):
        refuse(accuracy=evaluated.outputs["Output"], wanted=wanted)
