"""Runs: lists, states, archive, terminate, retry, clone, logs, and what is refused."""

import json

from kit.tree import Tree

from .kit import case, check, echo, predicate, refused, repeat, same


@case
def a_run_tells_its_states(k):
    run = k.finished()
    same(run.state, "SUCCEEDED")
    history = [one.state for one in run.state_history]
    check(history[0] == "PENDING" and history[-1] == "SUCCEEDED" and "RUNNING" in history, history)
    same(run.storage_state, "AVAILABLE")
    check(run.created_at <= run.finished_at, f"{run.created_at} {run.finished_at}")


@case
def a_new_run_is_pending_and_has_not_ended(k):
    id = k.run(echo(command=["sleep", "600"]))
    run = k.client.get_run(id)
    check(run.state in ("PENDING", "RUNNING"), run.state)
    check(run.finished_at is None or run.finished_at.year == 1970, run.finished_at)
    repeat(lambda: Tree(k.server.tasks(id)).match("echo"), lambda found: found and found[0].state == "RUNNING")
    k.client.terminate_run(id)
    run = k.wait(id)
    check(run.created_at <= run.finished_at, f"{run.created_at} {run.finished_at}")


@case
def parameters_are_kept_as_they_were(k):
    run = k.finished(echo(word="w"), word="given ü \"x\"")
    same(run.runtime_config.parameters, {"word": "given ü \"x\""})
    task = Tree(k.server.tasks(run.run_id)).match("echo")[0]
    same(task.parameters("inputs"), {"word": "given ü \"x\""})
    check("word=given ü" in k.server.log(run.run_id, task.id), "the log is without the word")


@case
def lists_are_filtered_and_sorted(k):
    experiment = k.experiment()
    good = k.finished(experiment=experiment, name=k.unique("a-good"))
    bad = k.finished(echo(code=1), experiment=experiment, name=k.unique("b-bad"))

    def listed(**query):
        found = k.client.list_runs(experiment_id=experiment.experiment_id, page_size=200, **query).runs or []
        return [run.run_id for run in found]

    same(listed(), [good.run_id, bad.run_id], "by creation")
    same(listed(sort_by="created_at desc"), [bad.run_id, good.run_id], "the other way")
    same(listed(sort_by="display_name"), [good.run_id, bad.run_id], "by name")
    same(listed(filter=predicate("state", "FAILED")), [bad.run_id], "those that failed")
    same(listed(filter=predicate("display_name", "a-good", 9)), [good.run_id], "by a part of the name")
    both = {"predicates": [{"operation": 1, "key": "state", "stringValue": "SUCCEEDED"}, {"operation": 9, "key": "name", "stringValue": "b-bad"}]}
    same(listed(filter=json.dumps(both)), [], "by both")
    several = {"predicates": [{"operation": 8, "key": "state", "stringValues": {"values": ["FAILED", "SUCCEEDED"]}}]}
    same(listed(filter=json.dumps(several)), [good.run_id, bad.run_id], "by a set")


@case
def pages_follow_each_other(k):
    experiment = k.experiment()
    made = [k.run(experiment=experiment) for _ in range(5)]
    found, token = [], ""
    while True:
        page = k.client.list_runs(experiment_id=experiment.experiment_id, page_size=2, page_token=token)
        same(page.total_size, 5)
        found += [run.run_id for run in page.runs]
        token = page.next_page_token
        if not token:
            break
    same(found, made)
    page = k.client.list_runs(experiment_id=experiment.experiment_id, page_size=2)
    refused(400, "token", k.client.list_runs, experiment_id=experiment.experiment_id, page_size=2, page_token=page.next_page_token, sort_by="display_name desc")
    for run in made:
        k.wait(run)


@case
def odd_queries_are_refused(k):
    for words, query in (
        ("size", {"page_size": -1}),
        ("colour", {"sort_by": "colour"}),
        ("token", {"page_token": "nonsense"}),
        ("colour", {"filter": predicate("colour", "red")}),
        ("filter", {"filter": "{"}),
        ("operation", {"filter": predicate("state", "FAILED", 99)}),
    ):
        body = refused(400, words, k.client.list_runs, namespace=k.namespace, **query)
        same(body["code"], 3, str(query))


@case
def a_missing_run_is_not_found(k):
    body = refused(404, "not", k.client.get_run, "00000000-0000-0000-0000-000000000000")
    same(body["code"], 5)
    check(isinstance(body.get("details"), list), f"no details: {body}")


@case
def archived_runs_are_told_apart(k):
    run = k.finished()
    k.client.archive_run(run.run_id)
    same(k.client.get_run(run.run_id).storage_state, "ARCHIVED")
    found = k.client.list_runs(experiment_id=run.experiment_id, filter=predicate("storage_state", "ARCHIVED")).runs
    same([one.run_id for one in found], [run.run_id])
    k.client.unarchive_run(run.run_id)
    same(k.client.get_run(run.run_id).storage_state, "AVAILABLE")


@case
def a_deleted_run_is_gone(k):
    run = k.finished()
    k.client.delete_run(run.run_id)
    refused(404, "not", k.client.get_run, run.run_id)


@case
def a_deleted_run_takes_its_pod_along(k):
    id = k.run(echo(command=["sleep", "600"]))
    repeat(lambda: Tree(k.server.tasks(id)).match("echo"), lambda found: found and found[0].state == "RUNNING")
    k.client.delete_run(id)
    refused(404, "not", k.client.get_run, id)


@case
def terminating_ends_as_failed(k):
    id = k.run(echo(command=["sleep", "600"]))
    repeat(lambda: Tree(k.server.tasks(id)).match("echo"), lambda found: found and found[0].state == "RUNNING")
    k.client.terminate_run(id)
    run = k.wait(id)
    same(run.state, "FAILED")
    check("CANCELING" in [one.state for one in run.state_history], [one.state for one in run.state_history])
    refused(400, "", k.client.terminate_run, id)


@case
def only_failed_runs_are_retried(k):
    run = k.finished()
    refused(409, "", k.client.runs.run_service_retry_run, run.run_id)


@case
def a_retry_runs_only_what_failed(k):
    document = echo(name="retried")
    tasks = document["root"]["dag"]["tasks"]
    document["components"]["comp-fail"] = {"executorLabel": "exec-fail"}
    document["deploymentSpec"]["executors"]["exec-fail"] = {"container": {"image": "python:3.11", "command": ["sh", "-c", "exit 1"]}}
    tasks["fail"] = {"cachingOptions": {}, "componentRef": {"name": "comp-fail"}, "taskInfo": {"name": "fail"}, "dependentTasks": ["echo"]}
    run = k.finished(document)
    same(run.state, "FAILED")
    before = {task.path: task for task in Tree(k.server.tasks(run.run_id)).tasks}
    k.client.runs.run_service_retry_run(run.run_id)
    check(k.client.get_run(run.run_id).state in ("PENDING", "RUNNING", "FAILED"), "a retried run is under way again")
    repeat(lambda: Tree(k.server.tasks(run.run_id)).match("fail")[0], lambda task: task.pods and task.pods != before["fail"].pods)
    again = k.wait(run.run_id)
    same(again.state, "FAILED")
    after = {task.path: task for task in Tree(k.server.tasks(run.run_id)).tasks}
    same(after["echo"].pods, before["echo"].pods, "the pod of the step that had succeeded")
    same(after["echo"].state, "SUCCEEDED")


@case
def a_run_is_cloned_by_its_specification(k):
    run = k.finished(echo(word="w"), word="cloned")
    experiment = k.experiment()
    body = {
        "display_name": k.unique("clone"),
        "experiment_id": experiment.experiment_id,
        "pipeline_spec": run.pipeline_spec,
        "runtime_config": {"parameters": run.runtime_config.parameters},
    }
    same(k.wait(k.client.runs.run_service_create_run(run=body).run_id).state, "SUCCEEDED")


@case
def a_service_account_is_kept(k):
    experiment = k.experiment()
    started = k.client.create_run_from_pipeline_package(k.file(echo()), experiment_id=experiment.experiment_id, service_account="default")
    same(k.wait(started.run_id).service_account, "default")


@case
def odd_bodies_are_refused(k):
    create = k.client.runs.run_service_create_run
    experiment = k.experiment().experiment_id
    for words, body in (
        ("", {}),
        ("name", {"experiment_id": experiment, "pipeline_spec": echo()}),
        ("pipeline", {"display_name": "x", "experiment_id": experiment}),
        ("shape", {"display_name": "x", "experiment_id": experiment, "pipeline_spec": echo(), "shape": "round"}),
        ("parameters", {"display_name": "x", "experiment_id": experiment, "pipeline_spec": echo(), "runtime_config": {"parameters": []}}),
    ):
        body = refused(400, words, create, run=body)
        same(body["code"], 3, words)
    missing = {"display_name": "x", "experiment_id": "00000000-0000-0000-0000-000000000000", "pipeline_spec": echo()}
    refused(404, "experiment", create, run=missing)


@case
def logs_are_there_as_before(k):
    run = k.finished(echo(word="told"))
    task = Tree(k.server.tasks(run.run_id)).match("echo")[0]
    text = k.server.call("GET", f"/apis/v1alpha1/runs/{run.run_id}/nodes/{task.pods[0]}/log", raw=True)
    check("word=told" in text, text[:300])


@case
def a_task_is_found_by_its_id(k):
    run = k.finished()
    task = Tree(k.server.tasks(run.run_id)).match("echo")[0]
    same(k.server.call("GET", f"/apis/v2beta1/tasks/{task.id}")["name"], "echo")
    listed = k.server.call("GET", "/apis/v2beta1/tasks", [("run_id", run.run_id)])["tasks"]
    check(task.id in [one["task_id"] for one in listed], [one["name"] for one in listed])


@case
def macros_are_replaced_in_text(k):
    run = k.finished(echo(id="x", now="x", day="x"), id="[[RunUUID]]", now="[[CurrentTime]]", day="at [[CurrentTime.2006-01-02]]")
    inputs = Tree(k.server.tasks(run.run_id)).match("echo")[0].parameters("inputs")
    same(inputs["id"], run.run_id)
    check(len(inputs["now"]) == 14 and inputs["now"].isdigit(), inputs["now"])
    same(inputs["day"], f"at {run.created_at:%Y-%m-%d}")
