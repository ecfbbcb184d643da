"""What must hold whatever is done."""

import os
import threading

from kit import CASES, check, same

from .world import World, state

FIRST = int(os.environ.get("FERROFLOW_MODEL_SEED", "1"))
SEEDS = int(os.environ.get("FERROFLOW_MODEL_SEEDS", "4"))
STEPS = int(os.environ.get("FERROFLOW_MODEL_STEPS", "120"))


def each_seed(function):
    for seed in range(FIRST, FIRST + SEEDS):
        name = f"{function.__name__.replace('_', ' ')} (seed {seed})"
        CASES.append(("model", name, (), lambda k, seed=seed: function(k, seed)))


def replay(before, events):
    """What a list becomes by the events after it."""
    after = dict(before)
    for event in events:
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            after.pop(name)
        else:
            after[name] = event["object"].get("data", {})
    return after


def version(event):
    return int(event["object"]["metadata"]["resourceVersion"])




@each_seed
def the_newest_state_is_that_of_the_model(k, seed):
    world = World(k, seed)
    for _ in range(STEPS):
        world.step()
        same(world.list()[0], world.past[max(world.past)], "the list after a step")


@each_seed
def a_watch_is_the_difference_of_two_lists(k, seed):
    world = World(k, seed)
    lists = [world.list()]
    for step in range(STEPS):
        world.step()
        if step % 10 == 9:
            lists.append(world.list())
    world.k.post(world.path, {"metadata": {"name": "last", "labels": {"model": ""}}}).ok(201)
    final, newest = world.list()
    first = lists[0]
    with k.watch(world.path, labelSelector="model", resourceVersion=str(first[1])) as watch:
        events = [watch.next()]
        while events[-1]["object"]["metadata"]["name"] != "last":
            events.append(watch.next())
    revisions = [version(event) for event in events]
    check(revisions == sorted(set(revisions)), f"revisions of a watch do not grow: {revisions}")
    same(replay(first[0], events), final, "the last list")
    for before, after in zip(lists, lists[1:]):
        between = [event for event in events if before[1] < version(event) <= after[1]]
        same(replay(before[0], between), after[0], f"the list at {after[1]}")
    check(newest >= revisions[-1], "the list is older than its newest event")


@each_seed
def a_watch_that_is_taken_up_again_loses_and_repeats_nothing(k, seed):
    world = World(k, seed)
    since = world.revision
    for _ in range(STEPS // 2):
        world.step()
    world.k.post(world.path, {"metadata": {"name": "last", "labels": {"model": ""}}}).ok(201)
    _, newest = world.list()
    with k.watch(world.path, labelSelector="model", resourceVersion=str(since)) as watch:
        whole = [watch.next()]
        while whole[-1]["object"]["metadata"]["name"] != "last":
            whole.append(watch.next())
    check(version(whole[-1]) <= newest, "an event of the future")
    for _ in range(5):
        cut = world.random.randrange(len(whole) - 1) if len(whole) > 1 else 0
        with k.watch(world.path, labelSelector="model", resourceVersion=str(version(whole[cut]))) as watch:
            rest = watch.take(len(whole) - cut - 1)
        same([(event["type"], version(event)) for event in rest], [(event["type"], version(event)) for event in whole[cut + 1:]], "the rest")


@each_seed
def continued_pages_are_one_snapshot(k, seed):
    world = World(k, seed)
    for _ in range(20):
        world.step()
    for _ in range(STEPS // 10):
        expected, at = world.list()
        limit = world.random.randrange(1, 4)
        page = k.get(world.path, {"labelSelector": "model", "limit": limit}).ok(200)
        items = list(page["items"])
        while page["metadata"].get("continue"):
            world.step()
            query = {"labelSelector": "model", "limit": limit, "continue": page["metadata"]["continue"]}
            page = k.get(world.path, query).ok(200)
            check(int(page["metadata"]["resourceVersion"]) >= at, "a page of an older revision")
            items += page["items"]
        same(state(items), expected, "the pages")
        same([item["metadata"]["name"] for item in items], sorted(expected), "their order")


@each_seed
def the_past_can_be_read_exactly(k, seed):
    world = World(k, seed)
    for _ in range(STEPS // 2):
        world.step()
    for at in world.random.sample(sorted(world.past), min(10, len(world.past))):
        reply = k.get(world.path, {"labelSelector": "model", "resourceVersion": str(at), "resourceVersionMatch": "Exact"})
        if reply.status == 410:
            continue  # the past may be forgotten, but never told wrongly
        same(state(reply.ok(200)["items"]), world.past[at], f"the list at {at}")


@each_seed
def no_update_is_lost_between_writers(k, seed):
    path = k.core("configmaps", "counter")
    k.post(k.core("configmaps"), {"metadata": {"name": "counter"}, "data": {"n": "0"}}).ok(201)
    rounds, writers, failures = 8, 4, []

    def write():
        done = 0
        try:
            while done < rounds:
                found = k.get(path).ok(200)
                found["data"]["n"] = str(int(found["data"]["n"]) + 1)
                reply = k.put(path, found)
                if reply.status == 409:
                    continue  # another writer was faster; one of them always goes on
                reply.ok(200)
                done += 1
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    same(k.get(path).ok()["data"]["n"], str(rounds * writers), f"the counter (seed {seed})")
