"""Steps in namespaces whose quota has no room for them: they say so, wait for room, and go on or end with their run."""

import kubernetes as cluster
from kfp import compiler, dsl
from kit.tree import Tree

from .kit import case, check, repeat, same

IMAGE = "python:3.11"
REASON = "exceeded quota"


def core():
    return cluster.client.CoreV1Api(cluster.config.new_client_from_config())


def namespace(k, pods):
    """A namespace that takes so many pods that have not ended."""
    name = k.unique("quota")
    core().create_namespace({"metadata": {"name": name}})
    repeat(lambda: [one.metadata.name for one in core().list_namespaced_service_account(name).items], lambda found: "default" in found)
    core().create_namespaced_resource_quota(name, {"metadata": {"name": "few"}, "spec": {"hard": {"pods": str(pods)}}})
    repeat(lambda: core().read_namespaced_resource_quota("few", name).status.hard, lambda hard: hard == {"pods": str(pods)})
    return name


@dsl.container_component
def lasts(seconds: int):
    return dsl.ContainerSpec(image=IMAGE, command=["sleep"], args=[seconds])


@dsl.pipeline(name="two-at-once")
def two():
    lasts(seconds=3)
    lasts(seconds=3)


@dsl.pipeline(name="one")
def one():
    lasts(seconds=0)


def started(k, pipeline, within):
    path = str(k.work / f"{k.unique('pipeline')}.yaml")
    compiler.Compiler().compile(pipeline, path)
    experiment = k.client.create_experiment(k.unique("quota"), namespace=within)
    package = {"run_name": k.unique("run"), "experiment_id": experiment.experiment_id, "enable_caching": False}
    return k.client.create_run_from_pipeline_package(path, **package).run_id


def steps(k, run):
    return Tree(k.server.tasks(run)).match("*")


def waits(k, run):
    """The step that says that there is no room for it."""
    found = repeat(lambda: [task for task in steps(k, run) if REASON in task.error], bool)
    same([task.state for task in found], ["PENDING"] * len(found))
    return found


@case
def a_step_that_a_quota_has_no_room_for_waits_and_says_so(k):
    run = started(k, two, namespace(k, 1))
    same(len(waits(k, run)), 1)
    same(k.wait(run).state, "SUCCEEDED")
    tasks = steps(k, run)
    same([(task.state, task.error, task.attempts) for task in tasks], [("SUCCEEDED", "", 1)] * 2)
    first, second = sorted(tasks, key=lambda task: task.time("start_time"))
    check(second.time("start_time") >= first.time("end_time"), "both ran at the same time")


@case
def a_step_goes_on_once_its_quota_is_raised(k):
    within = namespace(k, 0)
    run = started(k, one, within)
    waits(k, run)
    core().patch_namespaced_resource_quota("few", within, {"spec": {"hard": {"pods": "1"}}})
    same(k.wait(run).state, "SUCCEEDED")


@case
def a_run_that_waits_for_a_quota_can_be_terminated(k):
    run = started(k, one, namespace(k, 0))
    waits(k, run)
    k.client.terminate_run(run)
    same(k.wait(run).state, "FAILED")
    same([task.state for task in steps(k, run)], ["CANCELED"])
