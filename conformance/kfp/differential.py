"""Compares with upstream's own code what is handed to a step, and what is said to pipelines with a fault in them.

    differential.py --host URL --token TOKEN [--cases N] [--seed N]

*Words*: a step's command of random placeholders, `Concat`s and `IfPresent`s, run here, and the same words by
`kfp.local.placeholder_utils` with the executor input that the step had. *Changes*: pipelines of `cases/`, compiled by
the SDK, with a random part missing, renamed or of another type: each is taken, or refused with its place.
Prints `N passed, N failed, N skipped`.
"""

import argparse
import copy
import json
import logging
import os
import random
import re
import string
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True

import yaml  # noqa: E402
from kfp import dsl  # noqa: E402
from kfp.local import placeholder_utils  # noqa: E402

from kit import sources  # noqa: E402
from kit.server import ApiException, Server, reason  # noqa: E402
from kit.tree import Tree  # noqa: E402

PROGRAM = "import json, sys; open(sys.argv[1], 'w').write(json.dumps(sys.argv[2:]))"
URI = "s3://bucket/some/data"
METADATA = {"k": "v", "n": 3, "s p": "a b"}
# Facts that upstream's code is handed and this step knows as well.
FACTS = ("pipeline_job_name", "pipeline_job_uuid", "pipeline_task_name", "pipeline_root")
TYPES = {"s": "STRING", "e": "STRING", "n": "NUMBER_INTEGER", "d": "NUMBER_DOUBLE", "b": "BOOLEAN", "l": "LIST", "o": "STRUCT"}
MARKS = string.ascii_letters + string.digits + " _-./:=+,;|&<>()[]{}'\"\\$`~!?*#%^@é漢\n\t"


def text(chance, most=12):
    """Anything but the beginning of a placeholder: upstream looks into what it has put in once more."""
    return "".join(chance.choices(MARKS, k=chance.randint(0, most))).replace("{{", "{ {").replace("}}", "} }").rstrip("{}")


def value(chance, depth=2):
    kind = chance.randrange(4 if depth == 0 else 6)
    if kind == 4:
        return [value(chance, depth - 1) for _ in range(chance.randint(0, 3))]
    if kind == 5:
        return {text(chance, 5): value(chance, depth - 1) for _ in range(chance.randint(0, 3))}
    return [text(chance), chance.randint(-(10**6), 10**6), chance.randint(-99, 99) / 8, chance.random() < 0.5][kind]


def given(chance):
    """Parameters of the run. `none` is optional and is never given."""
    return {
        "s": text(chance), "e": "", "n": chance.randint(-(2**53) + 1, 2**53 - 1), "d": chance.randint(-(10**6), 10**6) / 1024, "b": chance.random() < 0.5,
        "l": [value(chance) for _ in range(chance.randint(0, 3))], "o": {f"k{index}": value(chance) for index in range(chance.randint(0, 3))},
    }  # fmt: skip


def scalar(chance):
    """A placeholder whose text both have in the same form."""
    name = chance.choice(["s", "e", "n", "b"])
    quote = chance.choice(["'", "''"])
    return chance.choice([
        "{{$.inputs.parameters[%s%s%s]}}" % (quote, name, quote),
        "{{$.%s}}" % chance.choice(FACTS),
        "{{$.inputs.artifacts['data'].uri}}", "{{$.inputs.artifacts['data'].name}}", "{{$.inputs.artifacts['data'].path}}",
        "{{$.outputs.artifacts['made'].uri}}", "{{$.outputs.artifacts['made'].path}}", "{{$.outputs.artifacts['made'].name}}",
        "{{$.outputs.parameters['out'].output_file}}", "{{$.outputs.output_file}}", "{{$.outputMetadataUri}}",
        "{{$.inputs.artifacts['data'].metadata['%s']}}" % chance.choice(["k", "n"]),
    ])  # fmt: skip


def words(chance):
    return "".join(scalar(chance) if chance.random() < 0.5 else text(chance, 6) for _ in range(chance.randint(1, 4))) or "x"


def structure(chance, depth=2):
    """A `Concat` or an `IfPresent`, nested as the SDK nests them."""
    part = lambda: words(chance) if depth == 0 or chance.random() < 0.6 else structure(chance, depth - 1)  # noqa: E731
    if chance.random() < 0.5:
        # What is joined are texts: a list is no part of one.
        return {"Concat": [part_of_text(chance, depth) for _ in range(chance.randint(1, 3))]}
    then = [part() for _ in range(chance.randint(1, 3))] if chance.random() < 0.6 else words(chance)
    choice = {"InputName": chance.choice(["s", "e", "none", "data", "missing", "l"]), "Then": then}
    if chance.random() < 0.6:
        choice["Else"] = [part() for _ in range(chance.randint(1, 2))] if chance.random() < 0.5 else words(chance)
    return {"IfPresent": choice}


def part_of_text(chance, depth):
    if depth == 0 or chance.random() < 0.6:
        return words(chance)
    if chance.random() < 0.5:
        return {"Concat": [part_of_text(chance, depth - 1) for _ in range(chance.randint(1, 3))]}
    return {"IfPresent": {"InputName": chance.choice(["s", "none", "data"]), "Then": words(chance), "Else": words(chance)}}


def word(chance):
    kind = chance.randrange(6)
    if kind == 0:
        return chance.choice(["{{$}}", "{{$.inputs.parameters['%s']}}" % chance.choice(["d", "l", "o", "none"]), "{{$.inputs.artifacts['data'].metadata}}"])
    if kind < 4:
        return words(chance)
    # As the compiler writes it, with a blank behind each colon.
    return json.dumps(structure(chance), ensure_ascii=False)


def pipeline(commands):
    """A pipeline of one step for each list of words, all with the same inputs."""
    source = {name: {"componentInputParameter": name} for name in TYPES}
    optional = {"none": {"parameterType": "STRING", "isOptional": True}}
    dataset = {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
    step = {
        "inputDefinitions": {"parameters": {**{name: {"parameterType": kind} for name, kind in TYPES.items()}, **optional}, "artifacts": {"data": dataset}},
        "outputDefinitions": {"parameters": {"out": {"parameterType": "STRING"}}, "artifacts": {"made": {**dataset, "metadata": {"k": "v"}}}},
    }
    executors = {"exec-data": {"importer": {"artifactUri": {"constant": URI}, "typeSchema": dataset["artifactType"], "metadata": METADATA, "reimport": True}}}
    components = {"comp-data": {"executorLabel": "exec-data", "outputDefinitions": {"artifacts": {"artifact": dataset}}}}
    tasks = {"data": {"componentRef": {"name": "comp-data"}, "taskInfo": {"name": "data"}}}
    for index, command in enumerate(commands):
        executors[f"exec-{index}"] = {"container": {"image": "python:3.11", "command": ["python3", "-c", PROGRAM, "{{$.outputs.parameters['out'].output_file}}"], "args": command}}
        components[f"comp-{index}"] = {**step, "executorLabel": f"exec-{index}"}
        tasks[f"step-{index}"] = {
            "componentRef": {"name": f"comp-{index}"}, "taskInfo": {"name": f"step-{index}"}, "cachingOptions": {}, "dependentTasks": ["data"],
            "inputs": {"parameters": source, "artifacts": {"data": {"taskOutputArtifact": {"producerTask": "data", "outputArtifactKey": "artifact"}}}},
        }  # fmt: skip
    inputs = {"parameters": {name: {"parameterType": kind} for name, kind in TYPES.items()}}
    return {
        "pipelineInfo": {"name": "differential"}, "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0", "deploymentSpec": {"executors": executors},
        "components": components, "root": {"dag": {"tasks": tasks}, "inputDefinitions": inputs},
    }  # fmt: skip


def theirs(case, executor_input, facts):
    """What upstream makes of one word, with paths by its own artifacts."""
    for side, name in (("inputs", "data"), ("outputs", "made")):
        artifact = executor_input[side]["artifacts"][name]["artifacts"][0]
        case = case.replace("{{$.%s.artifacts['%s'].path}}" % (side, name), dsl.Dataset(uri=artifact["uri"]).path)
    # A key of metadata is a part of the path there, and quotes are not read.
    return placeholder_utils.replace_placeholders(
        [case], copy.deepcopy(executor_input), facts["pipeline_job_name"], facts["pipeline_task_name"], facts["pipeline_root"], facts["pipeline_job_uuid"]
    )


def same(ours, expected):
    """The same words; where one is a number, a list or an object as a whole, the same value."""
    if ours == expected:
        return True
    if len(ours) != len(expected):
        return False
    return all(one == other or (as_json(one) is not None and as_json(one) == as_json(other)) for one, other in zip(ours, expected))


def as_json(word):
    """JSON in one form, in which 1 is not 1.0; nothing where it is none."""
    try:
        return json.dumps(json.loads(word), sort_keys=True)
    except ValueError:
        return None


def check_words(server, options, work, failures):
    """Runs the words and compares: how many were the same."""
    chance = random.Random(options.seed)
    cases = [word(chance) for _ in range(options.cases)]
    # Between two words there is a mark, so that words that come to none or several are told apart; arguments have bounds.
    size = 500
    commands = [["{{$}}"] + [part for case in cases[at : at + size] for part in (case, "\u241e")] for at in range(0, len(cases), size)]
    commands = [[*command, "{{$.%s}}" % fact] for command in commands for fact in [FACTS[0]]]
    parameters = given(chance)
    path = Path(work) / "differential.yaml"
    path.write_text(yaml.safe_dump(pipeline(commands), allow_unicode=True), encoding="utf-8")
    client = server.client
    run = client.create_run_from_pipeline_package(str(path), arguments=parameters, experiment_name="conformance", enable_caching=False)
    run = client.wait_for_run_completion(run.run_id, 120, sleep_duration=0.2)
    tree = Tree(server.tasks(run.run_id))
    if run.state != "SUCCEEDED":
        failures.append(f"the run is {run.state}: {run.error.message if run.error else ''}\n{tree.text()}")
        return 0
    passed = 0
    for index in range(len(commands)):
        (task,) = tree.match(f"step-{index}")
        said = json.loads(task.parameters()["out"])
        executor_input = json.loads(said[0])
        facts = {"pipeline_job_name": run.display_name, "pipeline_job_uuid": run.run_id, "pipeline_task_name": f"step-{index}", "pipeline_root": "minio://mlpipeline/v2/artifacts"}
        ours, one = [], []
        for part in said[1:-1]:
            if part == "\u241e":
                ours.append(one)
                one = []
            else:
                one.append(part)
        for case, found in zip(cases[index * size :], ours):
            expected = theirs(case, executor_input, facts)
            if same(found, expected):
                passed += 1
            else:
                failures.append(f"{case!r} is {found}, and upstream's {expected}")
    return passed


def change(chance, document):
    """One part of a document missing, renamed, or something else; and what."""
    places = []

    def walk(value, way):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
            places.append((value, key, [*way, str(key)]))
            walk(part, [*way, str(key)])

    walk(document, [])
    holder, key, way = chance.choice([place for place in places if len(place[2]) > 1])
    kind = chance.randrange(3)
    if kind == 0:
        del holder[key]
        return "missing", way
    if kind == 1 and isinstance(holder, dict):
        holder[f"{key}X"] = holder.pop(key)
        return "renamed", way
    holder[key] = chance.choice([None, 7, -0.5, "x", "", True, [{"a": 1}], {"a": {}}])
    return f"now {holder[key]!r}", way


def check_changes(server, options, work, failures):
    """Uploads pipelines that were changed: how many were taken or refused as they should be."""
    chance = random.Random(options.seed)
    folder = sources.compiled(Path(__file__).parent / "cases", work)
    compiled = [list(yaml.safe_load_all(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.yaml")) if path.name != "differential.yaml"]
    changed = []
    for number in range(options.cases // 10):
        documents = copy.deepcopy(chance.choice(compiled))
        what, way = change(chance, chance.choice(documents))
        path = Path(work) / f"changed-{number}.yaml"
        path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        changed.append((path, what, way))

    def ask(number, path, what, way):
        place = ".".join(way)
        try:
            server.client.upload_pipeline(str(path), pipeline_name=f"changed-{os.getpid()}-{time.time_ns()}-{number}")
        except ApiException as error:
            status, told = reason(error)
            # A place is names with dots between; what lacks is told by what holds it.
            has_place = re.search(r"(pipelineInfo|deploymentSpec|schemaVersion|components|root|platforms)\b", told) or any(f'"{part}"' in told for part in way)
            if status != 400 or not has_place:
                return f"{place} is {what}: answered with {status} {told!r}"
        except Exception as error:  # The connection broke, say.
            return f"{place} is {what}: {error!r}"
        return None

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: ask(one[0], *one[1]), enumerate(changed)))
    failures += [text for text in found if text]
    return found.count(None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", help="where the API is, with /pipeline")
    parser.add_argument("--token", default=os.environ.get("KFP_TOKEN"), help="the bearer token; KFP_TOKEN where it is not given")
    parser.add_argument("--cases", type=int, default=1000, help="words; a tenth as many changes")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    server = Server(options.host, options.token)
    out, sys.stdout = sys.stdout, open(os.devnull, "w")  # The client prints links.
    failures, passed = [], 0
    with tempfile.TemporaryDirectory() as work:
        for check in (check_words, check_changes):
            began, before = time.monotonic(), len(failures)
            good = check(server, options, work, failures)
            passed += good
            print(f"{'ok' if len(failures) == before else 'FAILED':8} {check.__name__.removeprefix('check_')}: {good} as they should be ({time.monotonic() - began:.1f} s)", file=out, flush=True)
    for text in failures[:20]:
        print("         " + text, file=out)
    print(f"{passed} passed, {len(failures)} failed, 0 skipped", file=out)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
