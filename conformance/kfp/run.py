"""Runs the pipelines of a folder through the unmodified `kfp` client and compares each run with a table.

    run.py FOLDER TABLE --host URL --token TOKEN      for example http://127.0.0.1:8800/pipeline
    run.py FOLDER TABLE --kubeconfig FILE             as `kfp.Client()` without arguments finds a server

FOLDER holds compiled pipelines (YAML), or with --compile Python sources, which the installed SDK compiles first. TABLE says
for each what must become of it; `kit/table.py` tells what can stand there. Prints a line a case and `N passed, N failed, N skipped`.
"""

import argparse
import json
import logging
import os
import re
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True

from kit import compare, inputs, objects, sources, table  # noqa: E402
from kit.server import ApiException, Server, reason  # noqa: E402
from kit.tree import Tree  # noqa: E402

EXPERIMENT = "conformance"


class Skip(Exception):
    """A case that cannot be run here."""


class Failed(Exception):
    """A case that was run and is not as it should be."""


class Harness:
    def __init__(self, server, folder, options):
        self.server = server
        self.folder = folder
        self.options = options
        self.mark = f"{os.getpid()}-{int(time.time())}"

    def case(self, row):
        if "skip" in row:
            raise Skip(row["skip"])
        if row.get("needs", self.options.has[0]) not in self.options.has:
            raise Skip(f"it needs {row['needs']}, which is not here")
        path = self.folder / row.file
        if not path.exists():
            raise Failed(f"there is no {path}")
        if "replace" in row:
            path = self.replaced(row, path)
        if "refused" in row:
            return self.refused(row, path)
        pipeline = self.server.client.upload_pipeline(str(path), pipeline_name=f"{re.sub('[^a-z0-9]+', '-', row.name.lower())[:80].strip('-')}-{self.mark}")
        run, tree, seconds = self.run(row, pipeline, path, 1)
        row.did = {task.path: {"state": task.state, "outputs": task.parameters()} for task in tree.tasks if task.path}
        found = compare.run(row, run, tree, lambda task: self.server.log(run.run_id, task.id), seconds)
        if not found and "cached" in row:
            second, again, _ = self.run(row, pipeline, path, 2)
            found = compare.again(row, tree, second, again)
            tree = again if found else tree
        if found:
            raise Failed("\n".join(found) + f"\n{tree.text()}")

    def replaced(self, row, path):
        """A copy of the file with other words in it."""
        text = path.read_text(encoding="utf-8")
        for old, new in row["replace"].items():
            if old not in text:
                raise Failed(f"there is no {old!r} to replace in {path}")
            text = text.replace(old, new)
        copy = self.options.work / "replaced" / row.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8")
        return copy

    def run(self, row, pipeline, path, number):
        """Runs it and waits: the run, its tasks, and how long it took."""
        client = self.server.client
        began = time.monotonic()
        version = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions[0]
        run = client.run_pipeline(
            experiment_id=self.experiment,
            job_name=f"{row.name} {number}",
            pipeline_id=pipeline.pipeline_id,
            version_id=version.pipeline_version_id,
            params={**self.parameters(row, path), **(row.get("again", {}) if number == 2 else {})},
            pipeline_root=row.get("root"),
        )
        if "terminate" in row:
            self.terminate(run.run_id, row["terminate"])
        try:
            patience = max(row.get("wait", 0), self.options.timeout)
            run = client.wait_for_run_completion(run.run_id, patience, sleep_duration=self.options.pause)
        except TimeoutError:
            tree = Tree(self.server.tasks(run.run_id))
            client.terminate_run(run.run_id)
            raise Failed(f"it did not end within {patience} s\n{tree.text()}") from None
        return run, Tree(self.server.tasks(run.run_id)), time.monotonic() - began

    def parameters(self, row, path):
        """The same for both runs of a row."""
        if not hasattr(row, "parameters"):
            row.parameters = inputs.parameters(path, row.get("inputs", {}))
            row.parameters = json.loads(json.dumps(row.parameters).replace("$WORK", str(self.options.work)))
        return row.parameters

    @property
    def experiment(self):
        return self.options.experiment_id

    def terminate(self, run, path):
        end = time.monotonic() + self.options.timeout
        while time.monotonic() < end:
            if any(task.state == "RUNNING" for task in Tree(self.server.tasks(run)).match(path)):
                return self.server.client.terminate_run(run)
            time.sleep(self.options.pause)
        raise Failed(f"{path} was never running")

    def refused(self, row, path):
        """Upload, or else the start of a run, is answered with 400 and words that name the fault."""
        client = self.server.client
        try:
            pipeline = client.upload_pipeline(str(path), pipeline_name=f"refused-{abs(hash(row.name))}-{self.mark}")
            version = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions[0]
            run = client.run_pipeline(
                experiment_id=self.experiment,
                job_name=row.name,
                pipeline_id=pipeline.pipeline_id,
                version_id=version.pipeline_version_id,
                params=row.get("inputs", {}),
            )
        except ApiException as error:
            status, told = reason(error)
            if status != 400 or not re.search(row["refused"], told):
                raise Failed(f"answered with {status} {told!r}, not with 400 and {row['refused']!r}") from None
            return
        client.terminate_run(run.run_id)
        raise Failed("it was taken, and a run started")


def judged(harness, row):
    """(result, reason, seconds)"""
    began = time.monotonic()
    try:
        harness.case(row)
        return "passed", "", time.monotonic() - began
    except Skip as skip:
        return "skipped", str(skip), 0.0
    except Failed as failed:
        return "failed", str(failed), time.monotonic() - began
    except ApiException as error:
        return "failed", "the server answered %s: %s" % reason(error), time.monotonic() - began
    except Exception:
        return "failed", traceback.format_exc(limit=6), time.monotonic() - began


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("words", nargs="*", help="only cases whose name holds one of these words")
    parser.add_argument("--host", help="where the API is, with /pipeline")
    parser.add_argument("--token", default=os.environ.get("KFP_TOKEN"), help="the bearer token; KFP_TOKEN where it is not given")
    parser.add_argument("--namespace", default="kubeflow", help="where runs and their objects are")
    parser.add_argument("--kubeconfig", help="the cluster that runs the steps; with no --host also the way to the API")
    parser.add_argument("--objects", type=Path, help="objects that cases need, as YAML; made before, removed afterwards")
    parser.add_argument("--has", action="append", default=["the usual"], choices=table.NEEDS, help="what is here and not everywhere")
    parser.add_argument("--group", help="only rows of this group")
    parser.add_argument("--parallel", type=int, default=4, help="pipelines at the same time")
    parser.add_argument("--timeout", type=int, default=120, help="seconds for one run")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two questions for a run's state")
    parser.add_argument("--report", type=Path, help="a JSON file for the results, and what the tasks of each run have come to")
    parser.add_argument("--compile", action="store_true", help="FOLDER holds Python sources, which are compiled first")
    parser.add_argument("--names-only", action="store_true", help="compare the folder's names with the table's, and end")
    return parser.parse_intermixed_args()


def main():
    options = arguments()
    logging.disable(logging.INFO)
    if options.kubeconfig:
        os.environ["KUBECONFIG"] = options.kubeconfig
    if os.environ.get("KUBECONFIG"):
        options.has.append("kubernetes")
    rows = table.chosen(table.read(options.table), options.group, options.words)
    # The client prints links.
    sys.stdout, options.out = open(os.devnull, "w"), sys.stdout
    with tempfile.TemporaryDirectory() as work:
        options.work = Path(work)
        folder = sources.compiled(options.folder, work) if options.compile else options.folder
        if options.names_only:
            return names(rows, folder, options.out)
        server = Server(options.host, options.token)
        options.experiment_id = server.client.create_experiment(EXPERIMENT, namespace=options.namespace).experiment_id
        with objects.made(options.objects if "kubernetes" in options.has else None, options.namespace):
            harness = Harness(server, folder, options)
            with ThreadPoolExecutor(options.parallel) as pool:
                results = [(row, pool.submit(judged, harness, row)) for row in rows]
                return told([(row, result.result()) for row, result in printed(results, options.out)], options)


def printed(results, out):
    """Prints each case as soon as it and those before it are done."""
    for row, result in results:
        outcome, why, seconds = result.result()
        if outcome == "passed":
            print(f"ok       {row.name} ({seconds:.1f} s)", file=out, flush=True)
        elif outcome == "skipped":
            print(f"skipped  {row.name}: {why}", file=out, flush=True)
        else:
            print(f"FAILED   {row.name} ({seconds:.1f} s)\n         " + why.rstrip().replace("\n", "\n         "), file=out, flush=True)
        yield row, result


def told(results, options):
    counts = {name: sum(outcome == name for _, (outcome, _, _) in results) for name in ("passed", "failed", "skipped")}
    if options.report:
        rows = [
            {"name": row.name, "result": outcome, "reason": why, "seconds": round(seconds, 2), "tasks": getattr(row, "did", {})}
            for row, (outcome, why, seconds) in results
        ]
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts), file=options.out)
    return 1 if counts["failed"] else 0


def names(rows, folder, out):
    """Files without a row, and rows without a file."""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".yaml", ".json", ".zip", ".png")}
    named = {row.file for row in rows}
    missing = sorted(row.name for row in rows if not (folder / row.file).exists())
    lacking = sorted(files - named)
    for text in [f"no file for the row {name}" for name in missing] + [f"no row for the file {name}" for name in lacking]:
        print(f"FAILED   {text}", file=out)
    print(f"{len(files & named)} passed, {len(missing) + len(lacking)} failed, 0 skipped", file=out)
    return 1 if missing or lacking else 0


if __name__ == "__main__":
    sys.exit(main())
