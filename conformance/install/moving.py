"""From a laptop's data directory into the cluster: what `ferroflow export` writes, and `ferroflow import` adds."""

import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import kfp
from api.kit import case, check, repeat, same
from cluster import asked, kubectl
from kfp import dsl
from setting import API, NAMESPACE, PIPELINES, parsed
from tenants import Team


# What programs of a host see and the image does not have: a step waits on the laptop for what it finds in the cluster.
GATE = "/usr/bin/env"


@dsl.container_component
def weights(model: dsl.Output[dsl.Model]):
    script = 'mkdir -p "$(dirname "$0")"; echo heavy >"$0"; echo trained'
    return dsl.ContainerSpec(image="busybox:1.36", command=["sh", "-ec", script], args=[model.path])


@dsl.container_component
def waits(model: dsl.Input[dsl.Model], gate: str):
    script = 'while [ -e "$1" ]; do sleep 0.1; done; cat "$0"'
    return dsl.ContainerSpec(image="busybox:1.36", command=["sh", "-ec", script], args=[model.path, gate])


@dsl.pipeline(name="moved")
def moved(gate: str = "/nonexistent"):
    waits(model=weights().outputs["model"], gate=gate)


class Laptop:
    """A cluster of its own in a data directory, with steps as processes of this machine."""

    def __init__(self, k, name):
        self.binary, self.data = k.binary, Path(k.work) / name
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("FERROFLOW_", "AWS_", "PG", "KUBE"))}
        self.environment["FERROFLOW_DATA_DIR"] = str(self.data)

    def run(self, *words, fails=False):
        done = subprocess.run([self.binary, *words], env=self.environment, capture_output=True, text=True, timeout=120)
        check(fails or done.returncode == 0, f"ferroflow {' '.join(words)} ended with {done.returncode}: {done.stdout} {done.stderr}")
        return done

    @contextmanager
    def up(self):
        self.run("up", "--detach", "--port=0", "--http-port=0", "--gateway-port=0", "--isolation=environment")
        try:
            place = json.loads((self.data / "server.json").read_text())["gateway"]
            yield kfp.Client(host=f"http://{place}/pipeline", existing_token=(self.data / "admin.token").read_text().strip())
        finally:
            self.run("down", fails=True)


def package(k):
    path = k.work / "moved.yaml"
    kfp.compiler.Compiler().compile(moved, str(path))
    return str(path)


def made(k, laptop):
    """What a laptop has: a pipeline of two versions, a schedule, a run that has succeeded and one that is under way."""
    with laptop.up() as client:
        check("runs already" in laptop.run("export", str(k.work / "early.tar"), fails=True).stderr, "it exports what is being changed")
        pipeline = client.upload_pipeline(package(k), "moved", namespace=PIPELINES)
        version = client.upload_pipeline_version(package(k), "second", pipeline_id=pipeline.pipeline_id)
        experiment = client.create_experiment("laptop", namespace=PIPELINES)
        ids = {"experiment_id": experiment.experiment_id, "pipeline_id": pipeline.pipeline_id, "version_id": version.pipeline_version_id}
        client.create_recurring_run(job_name="nightly", cron_expression="0 0 3 * * *", **ids)
        done = client.run_pipeline(job_name="done", **ids)
        same(client.wait_for_run_completion(done.run_id, timeout=60, sleep_duration=0.2).state, "SUCCEEDED")
        begun = client.run_pipeline(job_name="begun", params={"gate": GATE}, enable_caching=False, **ids)
        running = lambda found: any(task.display_name == "waits" and task.state == "RUNNING" for task in found.run_details.task_details)  # noqa: E731
        repeat(lambda: client.get_run(begun.run_id), running, 60)
    return pipeline.pipeline_id, done.run_id, begun.run_id


def imported(k, archive, *flags):
    """What an import within a server's own container says."""
    words = ["--namespace", NAMESPACE, "exec", "-i", "deployment/ferroflow", "--", "/ferroflow", "import", "-", *flags]
    return kubectl(*words, stdin=Path(archive).read_bytes())[1]


def attempts(k, run):
    tasks = parsed(asked(f"{k.url}{API}/runs/{run}/tasks", token=k.editor())[1])["tasks"]
    return {task["name"]: (task["state"], task.get("pods", [{}])[-1].get("name", "")) for task in tasks}


@case
def what_was_exported_from_a_laptop_is_in_the_cluster_and_goes_on_there(k):
    k.need()
    laptop, archive = Laptop(k, "laptop"), k.work / "laptop.tar"
    pipeline, done, begun = made(k, laptop)
    said = laptop.run("export", str(archive)).stderr
    check("2 versions" in said and "2 runs" in said and "1 recurring run" in said, said)
    said = imported(k, archive)
    check("imported 1 pipeline, 2 versions" in said and "1 run had not ended" in said, said)
    client = k.client(k.editor())
    versions = [one.display_name for one in client.list_pipeline_versions(pipeline).pipeline_versions]
    same(sorted(versions), ["moved", "second"])
    schedule = next(one for one in client.list_recurring_runs(namespace=PIPELINES).recurring_runs if one.display_name == "nightly")
    same(schedule.status, "DISABLED", "a schedule that the laptop may still have")
    same(client.get_run(done).state, "SUCCEEDED")
    same(client.get_run(begun).state, "FAILED")
    before = attempts(k, begun)
    found = parsed(asked(f"{k.url}{API}/artifacts?namespace={PIPELINES}&page_size=200", token=k.editor())[1])["artifacts"]
    model = next(one for one in found if f"/{done}/" in one["uri"])
    status, text = asked(f"{k.url}{API}/artifacts/{model['artifact_id']}:download", token=k.editor())
    same((status, text), (200, "heavy\n"), "the artifact of the laptop")
    # It goes on from where it stood, in a pod of the cluster, with what its first step has made on the laptop.
    same(asked(f"{k.url}{API}/runs/{begun}:retry", "POST", k.editor())[0], 200)
    k.succeeded(client, begun)
    same(attempts(k, begun)["weights"], before["weights"], "the step that had succeeded")
    again = client.run_pipeline(
        job_name="again", experiment_id=client.get_run(done).experiment_id, pipeline_id=pipeline, version_id=client.get_run(done).pipeline_version_reference.pipeline_version_id
    )
    k.succeeded(client, again.run_id)
    said = imported(k, archive)
    check("imported 0 pipelines, 0 versions, 0 experiments, 0 runs" in said and "2 runs there already" in said, said)


@case
def what_a_laptop_has_goes_into_the_namespace_of_a_team(k):
    k.need()
    laptop, archive, team = Laptop(k, "of-a-team"), k.work / "of-a-team.tar", Team(k, "m")
    with laptop.up() as client:
        # Without a word of an experiment: the laptop has one called Default, as has the cluster.
        done = client.create_run_from_pipeline_package(package(k), run_name="default")
        same(client.wait_for_run_completion(done.run_id, timeout=60, sleep_duration=0.2).state, "SUCCEEDED")
    laptop.run("export", str(archive))
    said = imported(k, archive, f"--namespace={team.namespace}")
    check("1 run" in said, said)
    run = team.client.get_run(done.run_id)
    same((run.state, team.client.get_experiment(run.experiment_id).namespace), ("SUCCEEDED", team.namespace))
    # The next run that names no experiment is in the same one, and the cluster's own Default stays what it was.
    again = team.client.create_run_from_pipeline_package(package(k), run_name="again", namespace=team.namespace)
    same(team.client.get_run(again.run_id).experiment_id, run.experiment_id)
    ids = {one.run_id for one in k.client(k.editor()).list_runs(namespace=PIPELINES, page_size=200).runs or []}
    check(done.run_id not in ids, "the run is in the namespace of runs that name none as well")


@case
def what_the_cluster_has_is_exported_too_and_comes_back_to_a_laptop(k):
    k.need()
    words = ["--namespace", NAMESPACE, "exec", "deployment/ferroflow", "--", "/ferroflow", "export", "-", f"--namespace={PIPELINES}"]
    archive = k.work / "cluster.tar"
    with archive.open("wb") as file:
        done = subprocess.run(["kubectl", *words], stdout=file, stderr=subprocess.PIPE, timeout=180)
    same(done.returncode, 0, done.stderr.decode(errors="replace"))
    laptop = Laptop(k, "back")
    laptop.run("import", str(archive))
    there = {run.run_id: run.state for run in k.client(k.editor()).list_runs(namespace=PIPELINES, page_size=200).runs or []}
    with laptop.up() as client:
        back = {run.run_id: run.state for run in client.list_runs(namespace=PIPELINES, page_size=200).runs or []}
    same(back, there, "the runs of the cluster")
    damaged = bytearray(archive.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    (k.work / "damaged.tar").write_bytes(damaged)
    fresh = Laptop(k, "fresh")
    done = fresh.run("import", str(k.work / "damaged.tar"), fails=True)
    check(done.returncode == 1 and "error:" in done.stderr and "hint:" in done.stderr, done.stderr)
