"""What a row expects, compared with what a run did. Each function gives the differences as lines; none is what is wanted."""

import json
import re

from .tree import FINAL

# What a step that succeeded may be called: the same step in the cache of an earlier run has succeeded as well.
SUCCESS = ("SUCCEEDED", "CACHED")
# Tasks that are no pod: importers, and steps of kfp-kubernetes that are a call to the API.
STUBS = ("importer", "createpvc", "deletepvc")


def run(row, run, tree, log, seconds):
    """Everything of the first run."""
    found = sound(run, tree)
    wanted = row.get("state", "SUCCEEDED")
    if run.state != wanted:
        told = run.error.message if run.error else ""
        found.append(f"the run is {run.state}, not {wanted}: {told}")
    if "error" in row:
        told = run.error.message if run.error else ""
        if not re.search(row["error"], told or ""):
            found.append(f"the run's error is {told!r}, without {row['error']!r}")
    found += states(row.get("tasks", {}), tree)
    found += values(row.get("outputs", {}), tree)
    found += artifacts(row.get("artifacts", {}), tree)
    for path, expression in row.get("errors", {}).items():
        found += [f"error of {task.path}: {task.error!r} is without {expression!r}" for task in one_or_more(path, tree, found) if not re.search(expression, task.error)]
    for path, expression in row.get("logs", {}).items():
        for task in one_or_more(path, tree, found):
            text = log(task)
            if not re.search(expression, text):
                found.append(f"log of {task.path} is without {expression!r}: …{text[-500:]}")
    for path, count in row.get("attempts", {}).items():
        found += [f"{task.path} was tried {task.attempts} times, not {count}" for task in one_or_more(path, tree, found) if task.attempts != count]
    found += order(row.get("order", []), tree)
    if "spread" in row:
        found += spread(row["spread"], tree)
    if seconds > row.get("seconds", seconds):
        found.append(f"it took {seconds:.1f} s, more than {row['seconds']}")
    if seconds < row.get("lasts", seconds):
        found.append(f"it took {seconds:.1f} s, less than {row['lasts']}")
    return found


def sound(run, tree):
    """What holds of every run that has ended, whatever is in it."""
    found = []
    if run.finished_at is None or run.finished_at.year < 2000:
        found.append(f"finished_at of a run that has ended is {run.finished_at}")
    history = [one.state for one in run.state_history or []]
    if not history or history[-1] != run.state:
        found.append(f"state_history is {history}, and the run {run.state}")
    details = {one.task_id: one for one in (run.run_details and run.run_details.task_details) or []}
    for task in tree.tasks:
        if task.state not in FINAL:
            found.append(f"{task.path} is {task.state} though the run is {run.state}")
        if task.parent and task.parent not in tree.by_id:
            found.append(f"{task.path} has a parent that there is not")
        if task.state == "FAILED" and not task.error:
            found.append(f"{task.path} failed without an error")
        began, ended = task.time("start_time"), task.time("end_time")
        if began and ended and ended < began:
            found.append(f"{task.path} ended before it began")
        if task.kind == "RUNTIME" and task.state == "SUCCEEDED" and not task.pods and not task.key.startswith(STUBS):
            found.append(f"{task.path} succeeded without a pod")
        if task.kind != "RUNTIME" and task.pods:
            found.append(f"{task.path} is a {task.kind} and has a pod {task.pods}")
        if task.state == "CACHED" and task.pods:
            found.append(f"{task.path} is from the cache and has a pod {task.pods}")
        if task.path and task.id not in details:
            found.append(f"{task.path} is not among the run's task_details")
    if not any(task.path for task in tree.tasks) and run.state == "SUCCEEDED":
        found.append("a run that succeeded has no tasks")
    return found


def one_or_more(pattern, tree, found):
    tasks = tree.match(pattern)
    if not tasks:
        found.append(f"there is no task {pattern}; there are {paths(tree)}")
    return tasks


def paths(tree):
    return ", ".join(task.path for task in tree.tasks if task.path)[:1500]


def states(wanted, tree):
    found = []
    for pattern, states in wanted.items():
        tasks = tree.match(pattern)
        if states == "ABSENT":
            found += [f"there is a task {task.path}" for task in tasks]
        elif "ABSENT" in states and not tasks:
            continue
        elif isinstance(states, dict):
            counts = {}
            for task in tasks:
                state = "SUCCEEDED" if task.state in SUCCESS and "CACHED" not in states else task.state
                counts[state] = counts.get(state, 0) + 1
            if counts != {state: count for state, count in states.items() if count}:
                found.append(f"{pattern}: {counts}, not {states}; there are {paths(tree)}")
        else:
            allowed = SUCCESS if states == "SUCCEEDED" else states.split("|")
            for task in one_or_more(pattern, tree, found):
                if task.state not in allowed:
                    found.append(f"{task.path} is {task.state}, not {states}: {task.error[:500]}")
    return found


def values(wanted, tree):
    found = []
    for place, value in wanted.items():
        path, _, name = place.rpartition(":")
        tasks = [task for task in one_or_more(path, tree, found)]
        is_pattern = "*" in path
        absent = [task.path for task in tasks if name not in task.parameters()]
        if absent and value != "ABSENT":
            found.append(f"{', '.join(absent)}: there is no output {name}")
            continue
        if value == "ABSENT":
            found += [f"{task.path} has an output {name}" for task in tasks if name in task.parameters()]
            continue
        got = [task.parameters()[name] for task in tasks]
        if tasks and not same(value, got if is_pattern else got[0]):
            found.append(f"{place}: {json.dumps(got if is_pattern else got[0])[:500]}, not {json.dumps(value)[:500]}")
    return found


def same(wanted, got):
    """Equal with the type: 1 is neither 1.0 nor true. A text that begins with `~` is an expression for a text."""
    if isinstance(wanted, str) and wanted.startswith("~"):
        return isinstance(got, str) and re.search(wanted[1:], got) is not None
    if isinstance(wanted, dict):
        return isinstance(got, dict) and wanted.keys() == got.keys() and all(same(wanted[key], got[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(got, list) and len(wanted) == len(got) and all(map(same, wanted, got))
    return type(wanted) is type(got) and wanted == got


def artifacts(wanted, tree):
    found = []
    for place, fields in wanted.items():
        path, _, name = place.rpartition(":")
        for task in one_or_more(path, tree, found):
            there = task.artifacts().get(name, [])
            if len(there) != fields.get("count", 1):
                found.append(f"{task.path} has {len(there)} artifacts {name}, not {fields.get('count', 1)}")
            for artifact in there:
                for field, key in (("type", "schema_title"), ("name", "name"), ("uri", "uri")):
                    if field in fields and not same(fields[field], artifact.get(key)):
                        found.append(f"{field} of {task.path}:{name} is {artifact.get(key)!r}, not {fields[field]!r}")
                metadata = artifact.get("metadata", {})
                for key, value in fields.get("metadata", {}).items():
                    if key not in metadata or not same(value, metadata[key]):
                        found.append(f"metadata {key} of {task.path}:{name} is {metadata.get(key)!r}, not {value!r}")
    return found


def order(pairs, tree):
    found = []
    for first, second in pairs:
        ends = [task.time("end_time") for task in one_or_more(first, tree, found)]
        begins = [task.time("start_time") for task in one_or_more(second, tree, found)]
        if None in ends or None in begins:
            found.append(f"{first} before {second}: there is a time missing")
        elif ends and begins and max(ends) > min(begins):
            found.append(f"{second} began before {first} had ended")
    return found


def spread(wanted, tree):
    """How many of some tasks were under way at the same time."""
    found = []
    tasks = one_or_more(wanted["tasks"], tree, found)
    changes = []
    for task in tasks:
        began, ended = task.time("start_time"), task.time("end_time")
        if began is None or ended is None:
            found.append(f"{task.path} has no times")
        else:
            changes += [(began, 1), (ended, -1)]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    if most > wanted["at_most"]:
        found.append(f"{most} of {wanted['tasks']} ran at the same time, more than {wanted['at_most']}")
    if most < wanted.get("at_least", 1):
        found.append(f"{most} of {wanted['tasks']} ran at the same time, fewer than {wanted['at_least']}")
    return found


def again(row, first, run, tree):
    """The second run of the same pipeline with the same parameters."""
    found = sound(run, tree)
    if run.state != row.get("state", "SUCCEEDED"):
        found.append(f"the second run is {run.state}: {run.error.message if run.error else ''}")
    hits = [task.path for task in tree.steps() if task.state == "CACHED"]
    ran = [task.path for task in first.steps() if task.state in SUCCESS]
    if row["cached"] == "all":
        missed = sorted(set(ran) - set(hits))
        notes = {task.path: task.raw.get("cache", {}).get("reason") for task in tree.steps()}
        found += [f"the second run did not find {path} in the cache: {notes.get(path)}" for path in missed]
        if not ran:
            found.append("no step of the first run succeeded, so that none can be cached")
    elif len(hits) != row["cached"]:
        found.append(f"the second run found {len(hits)} steps in the cache ({', '.join(hits)}), not {row['cached']}")
    return found
