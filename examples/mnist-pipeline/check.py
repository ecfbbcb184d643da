"""Runs the pipeline through the unmodified client three times and says what became of it, a fact a line.

    check.py PIPELINE.yaml [DATA]

The server is the one that `kfp.Client()` finds by itself: that of KF_PIPELINES_ENDPOINT with the token FERROFLOW_TOKEN, as
`ferroflow env` prints them beside another cluster, or the kubeconfig's. DATA is where the four IDX files are for the steps; without it
their image says so.
"""

import json
import os
import sys
import time
import warnings

warnings.simplefilter("ignore")

import kfp  # noqa: E402

# Seconds for one run; on two cores the first takes about thirty, with its Python environment made anew a minute more.
PATIENCE = 300
WANTED = 0.93
FACTS = {"passed": 0, "failed": 0}


def fact(name, truth, told=""):
    FACTS["passed" if truth else "failed"] += 1
    print(f"{'ok     ' if truth else 'FAILED '} {name}" + (f": {told}" if told and not truth else ""), flush=True)


def run(client, package, arguments, name):
    """The run after its end, its steps by path, and how long it took."""
    began = time.monotonic()
    started = client.create_run_from_pipeline_package(package, arguments=arguments, run_name=name, experiment_name="mnist")
    ended = client.wait_for_run_completion(started.run_id, PATIENCE, sleep_duration=0.5)
    return ended, steps(client, started.run_id), time.monotonic() - began


def steps(client, run_id):
    """Every step that a program was run for or would have been, as the API of tasks tells it."""
    found, token = [], ""
    while True:
        query = [("page_size", 200), *([("page_token", token)] if token else [])]
        answer, *_ = client.runs.api_client.call_api(
            f"/apis/v2beta1/runs/{run_id}/tasks", "GET", query_params=query, auth_settings=["Bearer"], response_type="object"
        )
        found += answer.get("tasks", [])
        token = answer.get("next_page_token")
        if not token:
            return [task for task in found if task["type"] == "RUNTIME"]


def named(steps, name):
    return [step for step in steps if step["name"] == name and step["state"] != "SKIPPED"]


def output(step, name):
    return {one["name"]: one["value"] for one in step["outputs"].get("parameters", [])}[name]


def artifact(step, name):
    return next(one["value"] for one in step["outputs"]["artifacts"] if one["artifact_key"] == name)


def main(package, data=""):
    client = kfp.Client(existing_token=os.environ.get("FERROFLOW_TOKEN") if "KF_PIPELINES_ENDPOINT" in os.environ else None)
    given = {"data": data, "wanted": WANTED}
    first, ran, seconds = run(client, package, given, "mnist, the first time")
    fact("the first run succeeds", first.state == "SUCCEEDED", f"{first.state}: {first.error and first.error.message}")
    if first.state != "SUCCEEDED":
        return
    print(f"        in {seconds:.1f} s, {len(ran)} steps")
    candidates = [output(step, "Output") for step in named(ran, "train-candidate")]
    fact("three candidates are trained", len(candidates) == 3, candidates)
    picked = named(ran, "pick")[0]
    fact("the best of them is picked", candidates and output(picked, "accuracies")[output(picked, "number")] == max(candidates), candidates)
    evaluated = named(ran, "evaluate")[0]
    accuracy = output(evaluated, "Output")
    fact(f"it tells at least {WANTED:.0%} of the test images right", accuracy >= WANTED, accuracy)
    print(f"        accuracy {accuracy}")
    fact("the metrics say so too", artifact(evaluated, "metrics")["metadata"]["accuracy"] == accuracy)
    matrix = artifact(evaluated, "classes")["metadata"]["confusionMatrix"]
    fact("the confusion matrix counts every test image", sum(sum(row["row"]) for row in matrix["rows"]) == 10000, json.dumps(matrix)[:200])
    fact("the gate opens, and a page is written", [artifact(step, "page")["schema_title"] for step in named(ran, "report")] == ["system.HTML"])
    fact("what is behind the other side of the gate does not run", not named(ran, "refuse"))

    again, hits, seconds = run(client, package, given, "mnist, the second time")
    fact("the second run succeeds", again.state == "SUCCEEDED", again.state)
    missed = {step["name"]: step.get("cache", {}).get("reason") for step in hits if step["state"] not in ("CACHED", "SKIPPED")}
    fact("every step of it is found in the cache", not missed and any(step["state"] == "CACHED" for step in hits), missed)
    print(f"        in {seconds:.1f} s")

    strict, gated, seconds = run(client, package, {**given, "wanted": 0.999}, "mnist, with a higher gate")
    refused = named(gated, "refuse")
    fact("a gate that is too high fails the run", strict.state == "FAILED" and len(refused) == 1, strict.state)
    fact("its error says what was wanted", bool(refused) and "0.999 is wanted" in refused[0].get("error", {}).get("message", ""), refused)
    fact("and nothing is trained again", all(step["state"] == "CACHED" for step in named(gated, "train-candidate")))


if __name__ == "__main__":
    main(*sys.argv[1:])
    print("{passed} passed, {failed} failed, 0 skipped".format(**FACTS))
    sys.exit(1 if FACTS["failed"] else 0)
