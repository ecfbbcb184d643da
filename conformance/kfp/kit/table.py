"""Tables of expected results, in TOML: what is in a row, and rows that are no rows.

A row is a table whose name is a file of the folder, with or without `.yaml`; `file#variant` gives the same file another row.

    group          which part of the table it belongs to; `--group` chooses
    skip           why it is not run
    needs          what is not everywhere, and is said to be there with --has: "gpu" a device nvidia.com/gpu, "large-node" the
                   CPUs and memory that upstream's files ask for, "shared-files" steps that see the files of this machine,
                   "busybox" the image ghcr.io/containerd/busybox, whose shell knows `[[`;
                   "kubernetes", objects of the cluster, is there where a kubeconfig is given
    inputs         parameters; those that are required and not named are filled at random by type
    root           pipeline_root of the run
    replace        words of the file and others that stand for them in what is uploaded
    state          how the run ends: SUCCEEDED where nothing is said
    refused        what the error has to say (a regular expression) where upload or run must be answered with 400
    tasks          path or pattern of tasks -> their state, or several with `|` between them, or { STATE = count }; ABSENT
                   where there must be none
    outputs        "path:parameter" -> the value; a pattern gives a list in the tasks' order; "~…" is a regular expression
    artifacts      "path:artifact" -> { type, name, uri, metadata = {…}, count }, each compared as outputs are
    errors         path -> a regular expression for the error of a task
    error          a regular expression for the error of the run
    logs           path -> a regular expression that the task's log holds
    attempts       path -> how often it was tried
    cached         steps that a second run finds in the cache: a number, or "all" that ran in the first
    again          parameters of the second run that are others than those of the first
    spread         { tasks = pattern, at_most = n }: as many overlapped in time, and no more
    order          pairs of paths: the first ended before the second began
    seconds        no longer than this
    lasts          no shorter than this
    wait           seconds to wait for the end, where that of the command line is too short
    terminate      path of a task: once it runs, the run is terminated

A path is the task keys below the root with `/` between them; an iteration is its number: `for-loop-1/0/train`.
"""

import fnmatch
import re
import tomllib
from pathlib import Path

FIELDS = {
    "group": str,
    "skip": str,
    "needs": str,
    "inputs": dict,
    "root": str,
    "replace": dict,
    "state": str,
    "refused": str,
    "tasks": dict,
    "outputs": dict,
    "artifacts": dict,
    "errors": dict,
    "error": str,
    "logs": dict,
    "attempts": dict,
    "cached": (int, str),
    "spread": dict,
    "order": list,
    "seconds": (int, float),
    "lasts": (int, float),
    "wait": int,
    "again": dict,
    "terminate": str,
    "note": str,
}
STATES = ("SUCCEEDED", "CACHED", "SKIPPED", "FAILED", "CANCELED", "PENDING", "RUNNING", "ABSENT")
NEEDS = ("kubernetes", "gpu", "large-node", "shared-files", "busybox")


class Fault(Exception):
    """A table that says something which no run could be compared with."""


class Row(dict):
    """One row: its name, its file, and the fields."""

    def __init__(self, name, fields):
        super().__init__(fields)
        self.name = name
        file = name.split("#", 1)[0]
        self.file = file if Path(file).suffix else f"{file}.yaml"


def read(path):
    """The rows of a table, in its order."""
    with open(path, "rb") as file:
        document = tomllib.load(file)
    rows = []
    for name, fields in document.items():
        if not isinstance(fields, dict):
            raise Fault(f"{path}: {name} is no table")
        row = Row(name, fields)
        check(path, row)
        rows.append(row)
    if not rows:
        raise Fault(f"{path}: there is no row in it")
    return rows


def check(path, row):
    """Refuses what would never be compared: unknown fields, states that there are not, patterns that do not compile."""
    for field, value in row.items():
        if field not in FIELDS:
            raise Fault(f"{path}: {row.name} has a field {field}; there are {', '.join(FIELDS)}")
        if not isinstance(value, FIELDS[field]):
            raise Fault(f"{path}: {row.name}: {field} is {value!r}")
    for pattern, wanted in row.get("tasks", {}).items():
        for state in wanted if isinstance(wanted, dict) else wanted.split("|"):
            if state not in STATES:
                raise Fault(f"{path}: {row.name}: {pattern} cannot be {state}")
    for expression in [row.get("refused"), row.get("error"), *row.get("errors", {}).values(), *row.get("logs", {}).values()]:
        re.compile(expression or "")
    if row.get("needs", "kubernetes") not in NEEDS:
        raise Fault(f"{path}: {row.name} needs {row['needs']}; there are {', '.join(NEEDS)}")
    if row.get("cached", "all") != "all" and not isinstance(row["cached"], int):
        raise Fault(f"{path}: {row.name}: cached is a number or all")


def chosen(rows, group, words):
    """The rows of a group whose names hold one of the words, or match it as a pattern."""
    rows = [row for row in rows if group is None or row.get("group") == group]
    if words:
        rows = [row for row in rows if any(word in row.name or fnmatch.fnmatch(row.name, word) for word in words)]
    return rows
