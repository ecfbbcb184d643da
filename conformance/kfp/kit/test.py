"""The harness held to its own promises: `python3 -m unittest kit.test` in this folder's parent."""

import types
import unittest
from datetime import datetime, timezone

from . import compare, table
from .tree import Tree


def task(id, parent, name, kind="RUNTIME", state="SUCCEEDED", **fields):
    pods = [{"name": f"pod-{id}"}] if kind == "RUNTIME" and state in ("SUCCEEDED", "FAILED") else []
    times = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:00:02Z"}
    return {"task_id": id, "parent_task_id": parent, "name": name, "type": kind, "state": state, "pods": pods, **times, **fields}


def tree(*changed):
    given = {
        "r": task("r", None, "root", "ROOT"),
        "l": task("l", "r", "for-loop-1", "LOOP"),
        "i0": task("i0", "l", "for-loop-1", "LOOP_ITERATION", type_attributes={"iteration_index": "0"}),
        "i10": task("i10", "l", "for-loop-1", "LOOP_ITERATION", type_attributes={"iteration_index": "10"}),
        "a": task("a", "i10", "double", outputs={"parameters": [{"name": "Output", "value": 20}]}),
        "b": task("b", "i0", "double", outputs={"parameters": [{"name": "Output", "value": 0}]}),
        "c": task("c", "r", "total", state="CACHED"),
    }
    given.update({one["task_id"]: one for one in changed})
    return Tree(list(given.values()))


def run(state="SUCCEEDED", found=None):
    details = [types.SimpleNamespace(task_id=one.id) for one in (found or tree()).tasks]
    history = [types.SimpleNamespace(state="PENDING"), types.SimpleNamespace(state=state)]
    return types.SimpleNamespace(
        state=state, error=None, state_history=history, finished_at=datetime(2026, 1, 1, tzinfo=timezone.utc), run_details=types.SimpleNamespace(task_details=details)
    )


class Harness(unittest.TestCase):
    def differences(self, fields, found=None, state="SUCCEEDED"):
        found = found or tree()
        return compare.run(table.Row("case", fields), run(state, found), found, lambda _: "said", 1.0)

    def test_paths_hold_numbers_of_iterations_in_their_order(self):
        self.assertEqual([one.path for one in tree().match("for-loop-1/*/double")], ["for-loop-1/0/double", "for-loop-1/10/double"])
        self.assertEqual(len(tree().match("**/double")), 2)
        self.assertEqual(tree().match("double"), [])

    def test_what_is_as_it_should_be_passes(self):
        fields = {
            "tasks": {"total": "SUCCEEDED", "for-loop-1/*/double": {"SUCCEEDED": 2}, "none": "ABSENT"},
            "outputs": {"for-loop-1/*/double:Output": [0, 20]},
            "logs": {"total": "sa.d"},
        }
        self.assertEqual(self.differences(fields), [])

    def test_every_difference_is_found(self):
        failed = task("c", "r", "total", state="FAILED")
        pending = task("c", "r", "total", state="PENDING")
        for fields, found, state in (
            ({}, None, "FAILED"),
            ({"tasks": {"total": "FAILED"}}, None, "SUCCEEDED"),
            ({"tasks": {"total": "ABSENT"}}, None, "SUCCEEDED"),
            ({"tasks": {"none": "SUCCEEDED"}}, None, "SUCCEEDED"),
            ({"tasks": {"for-loop-1/*/double": {"SUCCEEDED": 3}}}, None, "SUCCEEDED"),
            ({"tasks": {"total": {"SUCCEEDED": 1, "CACHED": 0}}}, None, "SUCCEEDED"),
            ({"outputs": {"for-loop-1/0/double:Output": False}}, None, "SUCCEEDED"),
            ({"outputs": {"for-loop-1/0/double:Output": 0.0}}, None, "SUCCEEDED"),
            ({"outputs": {"for-loop-1/0/double:Other": 0}}, None, "SUCCEEDED"),
            ({"outputs": {"for-loop-1/0/double:Output": "ABSENT"}}, None, "SUCCEEDED"),
            ({"errors": {"total": "reason"}}, None, "SUCCEEDED"),
            ({"error": "reason"}, None, "SUCCEEDED"),
            ({"logs": {"total": "shouted"}}, None, "SUCCEEDED"),
            ({"attempts": {"total": 2}}, None, "SUCCEEDED"),
            ({"artifacts": {"total:data": {}}}, None, "SUCCEEDED"),
            ({"order": [["total", "for-loop-1/0/double"]]}, None, "SUCCEEDED"),
            ({"spread": {"tasks": "for-loop-1/*/double", "at_most": 1}}, None, "SUCCEEDED"),
            ({"spread": {"tasks": "for-loop-1/*/double", "at_most": 5, "at_least": 3}}, None, "SUCCEEDED"),
            ({"seconds": 0.5}, None, "SUCCEEDED"),
            ({"lasts": 2}, None, "SUCCEEDED"),
            ({}, tree(failed), "SUCCEEDED"),
            ({}, tree(pending), "SUCCEEDED"),
            ({}, tree(task("c", "r", "total", pods=[])), "SUCCEEDED"),
            ({}, tree(task("c", "r", "total", kind="DAG", pods=[{"name": "p"}])), "SUCCEEDED"),
            ({}, tree(task("c", "r", "total", state="CACHED", pods=[{"name": "p"}])), "SUCCEEDED"),
            ({}, tree(task("c", "x", "total")), "SUCCEEDED"),
        ):
            with self.subTest(fields=fields, state=state):
                self.assertTrue(self.differences(fields, found, state))

    def test_a_second_run_is_counted(self):
        for cached, good in (("all", False), (1, True), (0, False)):
            again = tree(task("c", "r", "total", state="CACHED"))
            self.assertEqual(compare.again(table.Row("case", {"cached": cached}), tree(), run(), again) == [], good, cached)

    def test_tables_say_nothing_that_is_never_compared(self):
        for fields in ({"output": {}}, {"tasks": {"a": "DONE"}}, {"cached": "some"}, {"needs": "luck"}, {"inputs": []}):
            with self.assertRaises(table.Fault):
                table.check("table", table.Row("case", fields))


if __name__ == "__main__":
    unittest.main()
