"""Artifacts in S3: what `ferroflow up --artifacts` says when it cannot, a run in and out of a bucket, and one that the
server of the bucket leaves alone for ten seconds.

    storage.py --binary PROGRAM --s3 VERSITYGW [WORD…]

Prints a line a case and `N passed, N failed, N skipped`.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request
from pathlib import Path

import kfp
from kfp import dsl

IMAGE = "python:3.11"
PATIENCE = 180
PORTS = ["--port", "0", "--http-port", "0", "--gateway-port", "0"]
KEYS = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "password"}
CASES = []


class Skipped(Exception):
    pass


def case(function):
    CASES.append((function.__name__.replace("_", " "), function))
    return function


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come in {PATIENCE} s")


class Bucket:
    """An S3 server with the bucket `kept`, at an address that stays."""

    def __init__(self, program, work):
        self.program, self.directory, self.process = program, Path(work) / "s3", None
        (self.directory / "kept").mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self):
        words = [self.program, "--port", f"127.0.0.1:{self.port}", "--quiet", "posix", str(self.directory)]
        keys = {"ROOT_ACCESS_KEY_ID": KEYS["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_ACCESS_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}
        self.process = subprocess.Popen(words, env={**os.environ, **keys}, stdout=subprocess.DEVNULL)
        wait_for("the S3 server", self.answers)

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


class Kit:
    def __init__(self, options, work):
        self.binary, self.data = options.binary, str(Path(work) / "data")
        self.bucket = Bucket(options.s3, work)
        self.bucket.start()

    @classmethod
    def of(cls, other, data):
        """One with its data elsewhere, and without a bucket."""
        kit = cls.__new__(cls)
        kit.binary, kit.data, kit.bucket = other.binary, data, None
        return kit

    def ferroflow(self, *words, keys=KEYS):
        self_made = {name: value for name, value in os.environ.items() if not name.startswith(("FERROFLOW_", "AWS_"))}
        words = [self.binary, "--data-dir", self.data, *words]
        return subprocess.run(words, env={**self_made, **keys}, capture_output=True, text=True, timeout=PATIENCE)

    def up(self, *words, place="s3://kept/team/a", endpoint=None, keys=KEYS):
        endpoint = endpoint or self.bucket.url
        images = str(Path(__file__).parent / "images.toml")
        return self.ferroflow("up", "--detach", *PORTS, "--images", images, "--artifacts", place, "--s3-endpoint", endpoint, *words, keys=keys)

    def started(self):
        done = self.ferroflow("env")
        if done.returncode:
            done = self.up()
            assert done.returncode == 0, done.stderr
        self.place()
        return kfp.Client(host=f"{self.gateway}/pipeline", existing_token=self.token)

    def place(self):
        done = self.ferroflow("env")
        lines = (line.removeprefix("export ").split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        said = {name: value.strip("'\"") for name, value in lines}
        self.gateway, self.token = said["FERROFLOW_GATEWAY"], said["FERROFLOW_TOKEN"]

    def get(self, path, body=None, timeout=PATIENCE):
        request = urllib.request.Request(f"{self.gateway}/pipeline/apis/v2beta1/{path}", data=body)
        request.add_header("authorization", f"Bearer {self.token}")
        if body:
            request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read()

    def experiment(self, name, description=""):
        body = json.dumps({"display_name": name, "description": description}).encode()
        return json.loads(self.get("experiments", body, timeout=3))["experiment_id"]

    def tasks(self, run_id):
        return {task["name"]: task for task in json.loads(self.get(f"runs/{run_id}/tasks?page_size=100"))["tasks"]}

    def stop(self):
        self.ferroflow("down")
        self.bucket.stop()


@dsl.component(base_image=IMAGE)
def write(file: dsl.Output[dsl.Dataset], tree: dsl.Output[dsl.Artifact]):
    import os

    with open(file.path, "w") as out:
        out.write("one file")
    os.makedirs(os.path.join(tree.path, "deep"))
    for name in ("top", "deep/below"):
        with open(os.path.join(tree.path, name), "w") as out:
            out.write(name * 1000)


@dsl.component(base_image=IMAGE)
def read(file: dsl.Input[dsl.Dataset], tree: dsl.Input[dsl.Artifact], other: dsl.Input[dsl.Dataset]) -> list:
    import os

    names = [os.path.relpath(os.path.join(at, name), tree.path) for at, _, files in os.walk(tree.path) for name in files]
    return [open(file.path).read(), open(other.path).read(), *sorted(names)]


@dsl.pipeline(name="in-and-out")
def in_and_out(uri: str):
    made = write()
    other = dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, reimport=True)
    read(file=made.outputs["file"], tree=made.outputs["tree"], other=other.output)


@dsl.component(base_image=IMAGE)
def slow(seconds: float, large: dsl.Output[dsl.Dataset]):
    import time

    print("begun", flush=True)
    time.sleep(seconds)
    with open(large.path, "wb") as out:
        for number in range(64):
            out.write(bytes([number]) * 1024 * 1024)


@dsl.component(base_image=IMAGE)
def weigh(large: dsl.Input[dsl.Dataset]) -> int:
    import os

    return os.path.getsize(large.path)


@dsl.pipeline(name="through-an-outage")
def through_an_outage(seconds: float):
    weigh(large=slow(seconds=seconds).outputs["large"])


def run(k, client, pipeline, arguments, **options):
    return client.create_run_from_pipeline_func(pipeline, arguments=arguments, **options).run_id


def succeeds(client, run_id):
    done = client.wait_for_run_completion(run_id, timeout=PATIENCE, sleep_duration=1)
    assert done.state == "SUCCEEDED", (done.state, done.error)


def output_of(task):
    return task["outputs"]["parameters"][0]["value"]


@case
def a_bucket_that_cannot_be_used_is_told_at_start_with_a_way_out(k):
    rows = [
        ({"keys": {}}, "no credentials", "AWS_ACCESS_KEY_ID"),
        ({"keys": {**KEYS, "AWS_SECRET_ACCESS_KEY": "x"}}, "refused", "AWS_SECRET_ACCESS_KEY"),
        ({"place": "s3://elsewhere"}, "no bucket", "make the bucket"),
        ({"place": "/srv/artifacts"}, "s3://", "s3://BUCKET"),
        ({"endpoint": "http://127.0.0.1:1"}, "no usable answer", "--s3-endpoint"),
    ]
    for options, fault, way_out in rows:
        began = time.monotonic()
        done = k.up(**options)
        took = time.monotonic() - began
        assert done.returncode == 1 and took < 30, (done.returncode, took, done.stderr)
        assert "--artifacts" in done.stderr and fault in done.stderr and way_out in done.stderr, done.stderr


@case
def files_and_directories_go_in_and_out_of_the_bucket(k):
    client = k.started()
    plain = k.bucket.directory / "kept" / "given"
    plain.mkdir()
    (plain / "x.csv").write_text("given by others")
    run_id = run(k, client, in_and_out, {"uri": "s3://kept/given/x.csv"}, enable_caching=False)
    succeeds(client, run_id)
    tasks = k.tasks(run_id)
    assert output_of(tasks["read"]) == ["one file", "given by others", "deep/below", "top"], tasks["read"]
    assert tasks["importer"]["type"] == "IMPORTER", tasks["importer"]["type"]
    made = {one["artifact_key"]: one["value"] for one in tasks["write"]["outputs"]["artifacts"]}
    uri = made["file"]["uri"]
    assert uri.startswith("s3://kept/team/a/artifacts/in-and-out/"), uri
    assert (k.bucket.directory / uri.removeprefix("s3://")).read_text() == "one file"
    assert k.get(f"artifacts/{made['file']['artifact_id']}:download") == b"one file"
    assert b"deep/below" in k.get(f"artifacts/{made['tree']['artifact_id']}:download")


@case
def a_minio_uri_is_kept_in_the_bucket_as_well(k):
    client = k.started()
    root = "minio://mlpipeline/mine"
    first = run(k, client, in_and_out, {"uri": "s3://kept/given/x.csv"}, pipeline_root=root, enable_caching=False)
    succeeds(client, first)
    made = {one["artifact_key"]: one["value"] for one in k.tasks(first)["write"]["outputs"]["artifacts"]}
    uri = made["file"]["uri"]
    assert uri.startswith(root), uri
    assert (k.bucket.directory / "kept/team/a/minio" / uri.removeprefix("minio://")).read_text() == "one file"
    second = run(k, client, in_and_out, {"uri": uri}, enable_caching=False)
    succeeds(client, second)
    assert output_of(k.tasks(second)["read"])[1] == "one file"
    client.delete_run(first)
    where = k.bucket.directory / "kept/team/a/minio/mlpipeline/mine/in-and-out" / first
    wait_for("the removal of what the first run has made", lambda: "top" not in files_below(where))
    assert "file" in files_below(where), "the second run's importer names it"


def files_below(where):
    """The names of files there; what is removed meanwhile is left out."""
    return {name for _, _, names in os.walk(where) for name in names}


@case
def a_run_ends_right_though_the_bucket_is_away_for_ten_seconds(k):
    client = k.started()
    run_id = run(k, client, through_an_outage, {"seconds": 2.0}, enable_caching=False)
    wait_for("the step", lambda: k.tasks(run_id).get("slow", {}).get("state") == "RUNNING")
    k.bucket.stop()
    # The outage itself: the step ends in it, and wants to put its output away.
    time.sleep(10)
    assert client.get_run(run_id).state == "RUNNING"
    k.bucket.start()
    succeeds(client, run_id)
    assert output_of(k.tasks(run_id)["weigh"]) == 64 * 1024 * 1024


@case
def a_step_that_was_done_is_found_in_the_bucket(k):
    client = k.started()
    for states in (["SUCCEEDED"], ["CACHED"]):
        run_id = run(k, client, in_and_out, {"uri": "s3://kept/given/x.csv"})
        succeeds(client, run_id)
        assert k.tasks(run_id)["write"]["state"] in states, k.tasks(run_id)["write"]


@case
def a_full_disk_loses_nothing_that_was_acknowledged_and_the_server_goes_on(k):
    if not os.environ.get("FERROFLOW_MAY_MOUNT"):
        raise Skipped("only root may make a small disk")
    disk = Path(k.data + "-small")
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)], check=True)
    small = Kit.of(k, str(disk / "data"))
    try:
        done = small.ferroflow("up", "--detach", "--parts", "control", *PORTS)
        assert done.returncode == 0, done.stderr
        small.place()
        acknowledged = [small.experiment(f"before-{number}") for number in range(5)]
        with open(disk / "filler", "wb", buffering=0) as filler:
            fill(filler)
        refused = None
        # What SQLite has written over before needs no space.
        for number in range(2000):
            try:
                acknowledged.append(small.experiment(f"while-{number}", "x" * 20000))
            except urllib.error.HTTPError as error:
                refused = (error.code, error.read().decode())
                break
            except TimeoutError:
                # The first that finds no space waits for it.
                continue
        assert refused and refused[0] == 503 and "disk is full" in refused[1], refused
        (disk / "filler").unlink()
        wait_for("the next record", lambda: accepted(small))
        listed = json.loads(small.get("experiments?page_size=200"))
        total = int(listed["total_size"])
        ids = {one["experiment_id"] for one in listed["experiments"]}
        while listed.get("next_page_token"):
            listed = json.loads(small.get(f"experiments?page_size=200&page_token={listed['next_page_token']}"))
            ids |= {one["experiment_id"] for one in listed["experiments"]}
        lost = [one for one in acknowledged if one not in ids]
        assert not lost and total == len(ids), (lost, total, len(ids))
        log = (Path(small.data) / "server.log").read_text()
        # What came before that had no space in the log either.
        assert "writing goes on" in log, log[-3000:]
    finally:
        small.ferroflow("down")
        subprocess.run(["umount", "--lazy", str(disk)], check=False)


def fill(file):
    """Writes until there is no space, to the last block."""
    for size in (1 << 20, 4096):
        try:
            while True:
                file.write(b"\0" * size)
        except OSError:
            continue


def accepted(kit):
    try:
        return kit.experiment("after")
    except (urllib.error.HTTPError, TimeoutError):
        return None


@case
def what_is_in_the_bucket_moves_to_a_data_directory_with_the_cache(k):
    client = k.started()
    arguments = {"uri": "s3://kept/given/x.csv"}
    first = run(k, client, in_and_out, arguments, enable_caching=True)
    succeeds(client, first)
    archive, place = str(Path(k.data).parent / "bucket.tar"), ("--artifacts", "s3://kept/team/a", "--s3-endpoint", k.bucket.url)
    k.ferroflow("down")
    done = k.ferroflow("export", archive, *place)
    assert done.returncode == 0, done.stderr
    other = Kit.of(k, str(Path(k.data).parent / "moved"))
    done = other.ferroflow("import", archive)
    assert done.returncode == 0, done.stderr
    images = str(Path(__file__).parent / "images.toml")
    done = other.ferroflow("up", "--detach", *PORTS, "--images", images)
    try:
        assert done.returncode == 0, done.stderr
        client = other.started()
        made = {one["artifact_key"]: one["value"] for one in other.tasks(first)["write"]["outputs"]["artifacts"]}
        assert made["file"]["uri"].startswith("s3://kept/team/a/"), made
        assert other.get(f"artifacts/{made['file']['artifact_id']}:download") == b"one file"
        second = run(other, client, in_and_out, arguments, enable_caching=True)
        succeeds(client, second)
        tasks = other.tasks(second)
        assert tasks["write"]["state"] in ("CACHED", "SKIPPED"), tasks["write"]
        assert output_of(tasks["read"])[:2] == ["one file", "given by others"], tasks["read"]
    finally:
        other.ferroflow("down")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--s3", required=True)
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    passed = failed = skipped = 0
    with tempfile.TemporaryDirectory(prefix="ferroflow-storage-") as work:
        kit = Kit(options, work)
        try:
            for name, function in CASES:
                if options.words and not any(word in name for word in options.words):
                    continue
                began = time.monotonic()
                try:
                    function(kit)
                    passed += 1
                    print(f"ok      {name} ({time.monotonic() - began:.1f} s)")
                except Skipped as reason:
                    skipped += 1
                    print(f"skipped {name}: {reason}")
                except Exception:
                    failed += 1
                    print(f"FAILED  {name}\n{traceback.format_exc()}")
            if failed and (Path(kit.data) / "server.log").exists():
                print((Path(kit.data) / "server.log").read_text()[-6000:])
        finally:
            kit.stop()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
