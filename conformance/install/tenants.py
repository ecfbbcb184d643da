"""Two teams with a namespace each: neither reads or changes what is the other's, by any path of the API."""

import os

from api.kit import case, check, echo, refused, repeat, same
from cluster import asked
from kfp import compiler, dsl
from setting import API, parsed

# Stands in all that the second team has, and in no answer to the first.
MARK = "bsown"
OLD = "/pipeline/apis/v1alpha1"


@dsl.container_component
def makes(data: dsl.Output[dsl.Dataset], out: dsl.OutputPath(str)):
    script = f'mkdir -p "$(dirname "$0")" "$(dirname "$1")"; echo {MARK} | tee "$0" >"$1"; echo {MARK}'
    return dsl.ContainerSpec(image="python:3.11", command=["sh", "-ec", script], args=[data.path, out])


@dsl.container_component
def fails():
    return dsl.ContainerSpec(image="python:3.11", command=["sh", "-c", f"echo {MARK}; exit 3"])


@dsl.container_component
def stays():
    return dsl.ContainerSpec(image="python:3.11", command=["sleep", "900"])


@dsl.pipeline(name=f"{MARK}-made")
def made():
    makes()


@dsl.pipeline(name=f"{MARK}-failed")
def failed():
    fails()


@dsl.pipeline(name=f"{MARK}-staying")
def staying():
    stays()


@dsl.container_component
def takes(data: dsl.Input[dsl.Dataset]):
    return dsl.ContainerSpec(image="python:3.11", command=["sh", "-c", 'find "$0" -type f -exec cat {} +'], args=[data.path])


@dsl.container_component
def claims(uri: str, data: dsl.Output[dsl.Dataset]):
    # The executor output is beside the artifacts, as the SDK's executor leaves it.
    script = """printf '{"artifacts": {"data": {"artifacts": [{"name": "data", "uri": "%s"}]}}}' "$0" >"$(dirname "$1")/output_metadata.json\""""
    return dsl.ContainerSpec(image="python:3.11", command=["sh", "-ec", script], args=[uri, data.path])


@dsl.pipeline(name="imports")
def imports(uri: str):
    takes(data=dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, reimport=True).output)


@dsl.pipeline(name="claiming")
def claiming(uri: str):
    takes(data=claims(uri=uri).outputs["data"])


class Team:
    """A namespace, and one who may edit in it."""

    def __init__(self, k, letter):
        self.k, self.namespace = k, f"team-{letter}-{os.getpid()}"
        k.namespaces.append(self.namespace)
        k.kube.namespace(self.namespace)
        self.token = k.kube.account(self.namespace, "editor", "edit")
        self.client = k.client(self.token)

    def ask(self, method, path, body=None):
        path = path if path.startswith("/") else f"{API}/{path}"
        return asked(f"{self.k.url}{path}", method, self.token, body)

    def get(self, path):
        status, text = self.ask("GET", path)
        same(status, 200, f"{path}: {text[:300]}")
        return parsed(text)


class Owned:
    """What the second team has: a run that succeeded, one that failed, one that runs, and all that there is beside runs."""

    def __init__(self, k, team):
        self.team, self.namespace = team, team.namespace
        client = team.client
        self.experiment = client.create_experiment(f"{MARK}-experiment", namespace=self.namespace).experiment_id
        self.file = str(k.work / f"{MARK}.yaml")
        compiler.Compiler().compile(made, self.file)
        self.pipeline = client.upload_pipeline(self.file, pipeline_name=f"{MARK}-pipeline", namespace=self.namespace).pipeline_id
        self.version = client.list_pipeline_versions(self.pipeline).pipeline_versions[0].pipeline_version_id
        job = client.create_recurring_run(
            self.experiment, f"{MARK}-job", interval_second=3600, pipeline_id=self.pipeline, version_id=self.version, enabled=False
        )
        self.job = job.recurring_run_id
        self.done, self.failed, self.running = (self.run(k, pipeline) for pipeline in (made, failed, staying))
        same(client.wait_for_run_completion(self.done, 120, sleep_duration=0.5).state, "SUCCEEDED")
        same(client.wait_for_run_completion(self.failed, 120, sleep_duration=0.5).state, "FAILED")
        repeat(lambda: [one["state"] for one in self.tasks(self.running) if one["name"] == "stays"], lambda states: states == ["RUNNING"])
        self.step = next(one for one in self.tasks(self.done) if one["name"] == "makes")
        self.task, self.root = self.step["task_id"], self.step["parent_task_id"]
        artifact = self.step["outputs"]["artifacts"][0]["value"]
        self.artifact, self.uri = artifact["artifact_id"], artifact["uri"]

    def run(self, k, pipeline):
        options = {"run_name": f"{MARK}-{k.unique('run')}", "experiment_id": self.experiment, "enable_caching": False}
        return self.team.client.create_run_from_pipeline_func(pipeline, **options).run_id

    def tasks(self, run):
        return self.team.get(f"runs/{run}/tasks?page_size=100").get("tasks", [])

    def reads(self):
        """Paths that the team itself may read, each of which tells something of it."""
        run, task, named = f"runs/{self.done}", self.task, f"namespace={self.namespace}"
        return [
            run, f"{run}/tasks", f"{run}/tasks/{task}/log", f"runs?{named}", f"runs?experiment_id={self.experiment}",
            f"tasks/{task}", f"tasks?run_id={self.done}", f"tasks?parent_id={self.root}",
            f"artifact_tasks?run_ids={self.done}", f"artifact_tasks?task_ids={task}",
            f"artifacts?{named}", f"artifacts/{self.artifact}", f"artifacts/{self.artifact}:download",
            f"{OLD}/{run}/nodes/{task}/log", f"{OLD}/{run}/nodes/{task}/artifacts/data:read",
            f"experiments/{self.experiment}", f"experiments?{named}",
            f"pipelines/{self.pipeline}", f"pipelines?{named}", f"pipelines/names/{MARK}-pipeline?{named}",
            f"pipelines/{self.pipeline}/versions", f"pipelines/{self.pipeline}/versions/{self.version}",
            f"recurringruns/{self.job}", f"recurringruns?{named}", f"recurringruns?experiment_id={self.experiment}",
            f"auth?{named}",
        ]  # fmt: skip

    def changes(self, other):
        """What the other team must not do to it; `other` is an experiment of theirs."""
        reference = {"pipeline_id": self.pipeline, "pipeline_version_id": self.version}
        new, named = {"display_name": "taken"}, {"display_name": "taken", "namespace": self.namespace}
        spec = {**new, "pipeline_spec": echo()}
        often = {"mode": "DISABLE", "max_concurrency": "1", "trigger": {"periodic_schedule": {"interval_second": "3600"}}}
        return [
            ("POST", f"runs/{self.done}:archive", None),
            ("POST", f"runs/{self.done}:unarchive", None),
            ("POST", f"runs/{self.running}:terminate", None),
            ("POST", f"runs/{self.failed}:retry", None),
            ("DELETE", f"runs/{self.done}", None),
            ("POST", "runs", {**spec, "experiment_id": self.experiment}),
            # Theirs, of a pipeline that they may not read.
            ("POST", "runs", {**new, "experiment_id": other, "pipeline_version_reference": reference}),
            ("POST", "recurringruns", {**spec, **often, "experiment_id": self.experiment}),
            ("POST", "recurringruns", {**new, **often, "experiment_id": other, "pipeline_version_reference": reference}),
            ("POST", f"recurringruns/{self.job}:enable", None),
            ("POST", f"recurringruns/{self.job}:disable", None),
            ("DELETE", f"recurringruns/{self.job}", None),
            ("POST", "experiments", named),
            ("POST", f"experiments/{self.experiment}:archive", None),
            ("POST", f"experiments/{self.experiment}:unarchive", None),
            ("DELETE", f"experiments/{self.experiment}", None),
            ("POST", "pipelines", named),
            ("PATCH", f"pipelines/{self.pipeline}", new),
            ("DELETE", f"pipelines/{self.pipeline}", None),
            ("PATCH", f"pipelines/{self.pipeline}/versions/{self.version}", new),
            ("DELETE", f"pipelines/{self.pipeline}/versions/{self.version}", None),
        ]

    def whole(self):
        """All that the team sees of it, but for what changes by itself."""
        paths = [f"{kind}?namespace={self.namespace}&page_size=100" for kind in ("runs", "experiments", "pipelines", "recurringruns")]
        return [self.team.get(path) for path in paths]


TEAMS = {}


def teams(k):
    """Both, made once."""
    k.need()
    if not TEAMS:
        first, second = Team(k, "a"), Team(k, "b")
        TEAMS["first"], TEAMS["owned"] = first, Owned(k, second)
    return TEAMS["first"], TEAMS["owned"]


def is_refused(team, method, path, body=None):
    """What is wrong with the answer, if something is."""
    status, text = team.ask(method, path, body)
    if status not in (403, 404):
        return f"{method} {path} answers {status} {text[:200]}"
    # A path that holds the mark may be named again.
    return f"{method} {path} tells {text[:300]}" if MARK in text and MARK not in path else None


@case
def a_team_cannot_read_what_is_anothers(k):
    first, owned = teams(k)
    faults = []
    for path in owned.reads():
        status, text = owned.team.ask("GET", path)
        check(status == 200, f"its own team cannot read {path}: {status} {text[:300]}")
        faults.append(is_refused(first, "GET", path))
    check(not any(faults), "\n".join(filter(None, faults)))


@case
def a_team_sees_only_its_own(k):
    first, _ = teams(k)
    for kind in ("runs", "experiments", "pipelines", "recurringruns", "artifacts"):
        status, text = first.ask("GET", f"{kind}?namespace={first.namespace}&page_size=100")
        check(status == 200 and MARK not in text, f"{kind}: {status} {text[:300]}")


def places(owned):
    """URIs by which one might come to what is the second team's: by its run, from above, and through the server's own names."""
    run = owned.uri.split(f"/{owned.done}/")[0] + f"/{owned.done}"
    pipeline = run.rsplit("/", 1)[0]
    root = pipeline.rsplit("/", 1)[0]
    scheme, rest = root.split("://")
    above = [f"{scheme}://" + "/".join(rest.split("/")[:length]) for length in range(1, rest.count("/") + 1)]
    own = ["pipelines/logs", f"pipelines/logs/{owned.done}"] + [f"{one}/own/pipelines/logs" for one in above]
    return [owned.uri, run, pipeline, root, f"{root}/", f"{root}/../{root.rsplit('/', 1)[1]}", *above, *own]


@case
def a_team_reaches_nothing_of_anothers_by_a_uri(k):
    first, owned = teams(k)
    experiment = first.client.create_experiment(k.unique("uris"), namespace=first.namespace).experiment_id
    options = {"experiment_id": experiment, "enable_caching": False}
    tried = [(pipeline, uri) for pipeline in (imports, claiming) for uri in places(owned)]
    runs = [first.client.create_run_from_pipeline_func(pipeline, arguments={"uri": uri}, **options).run_id for pipeline, uri in tried]
    faults = []
    for run, (pipeline, uri) in zip(runs, tried, strict=True):
        what = f"{pipeline.name} of {uri}"
        state = first.client.wait_for_run_completion(run, 300, sleep_duration=0.5).state
        # Some of these are nobody's: then there is nothing, and the step that reads it fails.
        faults.append(f"{what} ends as {state}" if state != "FAILED" else None)
        for task in first.get(f"runs/{run}/tasks?page_size=100").get("tasks", []):
            status, text = first.ask("GET", f"runs/{run}/tasks/{task['task_id']}/log")
            faults.append(f"{what}: the log of {task['name']} tells {text[:300]}" if status == 200 and MARK in text.split() else None)
            for one in task.get("outputs", {}).get("artifacts", []):
                faults.append(is_refused(first, "GET", f"artifacts/{one['value']['artifact_id']}:download"))
    check(not any(faults), "\n".join(filter(None, faults)))


@case
def a_team_imports_what_it_has_made_and_no_other_puts_its_own_there(k):
    first, owned = teams(k)
    options = {"experiment_id": owned.experiment, "enable_caching": False}
    run = owned.team.client.create_run_from_pipeline_func(imports, arguments={"uri": owned.uri}, **options).run_id
    same(owned.team.client.wait_for_run_completion(run, 120, sleep_duration=0.5).state, "SUCCEEDED")
    owned.team.client.delete_run(run)
    experiment = first.client.create_experiment(k.unique("among"), namespace=first.namespace).experiment_id
    body = {"display_name": "among", "experiment_id": experiment, "pipeline_spec": echo(), "runtime_config": {"pipeline_root": owned.uri}}
    status, text = first.ask("POST", "runs", body)
    check(status == 400 and "another namespace" in text, f"a run below another's is taken: {status} {text[:300]}")


@case
def a_team_cannot_change_what_is_anothers(k):
    first, owned = teams(k)
    before = owned.whole()
    other = first.client.create_experiment(k.unique("theirs"), namespace=first.namespace).experiment_id
    faults = [is_refused(first, *row) for row in owned.changes(other)]
    check(not any(faults), "\n".join(filter(None, faults)))
    refused(403, "", first.client.upload_pipeline, owned.file, pipeline_name="taken", namespace=owned.namespace)
    refused(403, "", first.client.upload_pipeline_version, owned.file, "taken", pipeline_id=owned.pipeline)
    same(owned.whole(), before, "what the other team has")


@case
def a_team_may_do_with_its_own_what_another_may_not(k):
    _, owned = teams(k)
    client = owned.team.client
    client.terminate_run(owned.running)
    done = client.wait_for_run_completion(owned.running, 60, sleep_duration=0.5)
    # As upstream: clients wait for no other word of a run that was terminated.
    same(done.state, "FAILED")
    client.archive_run(owned.done)
    same(client.get_run(owned.done).storage_state, "ARCHIVED")
    for run in (owned.done, owned.failed, owned.running):
        client.delete_run(run)
    repeat(lambda: client.list_runs(namespace=owned.namespace).total_size or 0, lambda number: number == 0)
