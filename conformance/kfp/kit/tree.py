"""The tasks of a run with the path of each: task keys below the root, and the number of an iteration."""

import fnmatch
import re
from datetime import datetime

FINAL = ("SUCCEEDED", "CACHED", "SKIPPED", "FAILED", "CANCELED")
STEPS = ("RUNTIME",)


class Task:
    """One task as the server tells it."""

    def __init__(self, raw):
        self.raw = raw
        self.id = raw["task_id"]
        self.parent = raw.get("parent_task_id")
        self.key = raw["name"]
        self.kind = raw.get("type", "")
        self.state = raw.get("state", "")
        self.path = None

    @property
    def iteration(self):
        return int(self.raw.get("type_attributes", {}).get("iteration_index", 0))

    @property
    def pods(self):
        return [pod["name"] for pod in self.raw.get("pods", [])]

    @property
    def attempts(self):
        return int(self.raw.get("attempt", 0)) + 1

    @property
    def error(self):
        return self.raw.get("error", {}).get("message", "")

    def time(self, field):
        text = self.raw.get(field)
        return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None

    def parameters(self, side="outputs"):
        return {one["name"]: one.get("value") for one in self.raw.get(side, {}).get("parameters", [])}

    def artifacts(self, side="outputs"):
        """name -> the artifacts there, a single one as a list of one"""
        found = {}
        for one in self.raw.get(side, {}).get("artifacts", []):
            found.setdefault(one["artifact_key"], []).append(one["value"])
        return found


class Tree:
    """The tasks of one run."""

    def __init__(self, raw):
        self.tasks = [Task(one) for one in raw]
        self.by_id = {task.id: task for task in self.tasks}
        for task in self.tasks:
            self.place(task)
        self.tasks.sort(key=lambda task: [(int(part), "") if part.isdigit() else (-1, part) for part in task.path.split("/")])

    def place(self, task):
        """Gives a task its path, and before that its parents theirs."""
        if task.path is not None:
            return task.path
        parent = self.by_id.get(task.parent) if task.parent else None
        if parent is None:
            task.path = ""
            return task.path
        above = self.place(parent)
        own = str(task.iteration) if task.kind == "LOOP_ITERATION" else task.key
        task.path = f"{above}/{own}" if above else own
        return task.path

    def match(self, pattern):
        """The tasks whose path fits; `*` stands for one part of it, `**` for any."""
        expression = "/".join(".*" if part == "**" else fnmatch.translate(part)[4:-3].replace(".*", "[^/]*") for part in pattern.split("/"))
        return [task for task in self.tasks if task.path and re.fullmatch(expression, task.path)]

    def steps(self):
        return [task for task in self.tasks if task.kind in STEPS]

    def text(self):
        """One line a task, for a report."""
        lines = []
        for task in self.tasks:
            depth = task.path.count("/") + 1 if task.path else 0
            told = f": {task.error.strip().splitlines()[0][:200]}" if task.error else ""
            lines.append(f"{'  ' * depth}{task.path.rsplit('/', 1)[-1] or task.key} {task.kind} {task.state}{told}")
        return "\n".join(lines)
