"""Ferroflow in a cluster while things go wrong (../chaos.sh says how it is called)."""

import argparse
import logging
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kfp")]

import machine  # noqa: E402
from api.kit import Skip, check, repeat, same  # noqa: E402
from cluster import Kube, asked  # noqa: E402
from disturbances import OUTAGES, delete_pod, kill_process, pause  # noqa: E402
from outcome import Outcome, told  # noqa: E402
from run import judged, lacking  # noqa: E402
from setting import API, LEASE, PIPELINES, Setting, parsed  # noqa: E402
from shapes import SHAPES  # noqa: E402

# A leader that is killed or paused is replaced within that; what is slower is waited for, and told.
REPLACED_S, LONGEST_S = 15, 60
# How long a client tries again, and between two tries.
PATIENCE_S, PAUSE_S = 90, 0.5


class Run:
    """A run that a client has asked for, perhaps in vain: `refused` where it was told that nothing was done."""

    def __init__(self, shape, key):
        self.shape, self.key, self.id, self.refused, self.answer = shape, key, None, False, ""

    def told(self):
        return f"{self.key} ({self.id or self.answer})"


class Chaos:
    """Runs, what goes wrong meanwhile, and what was seen of it."""

    def __init__(self, k, out):
        self.k, self.out = k, out
        self.runs, self.written, self.errors = [], [], []
        # (when, holder) of the Lease; (what, when another led, when a write was acknowledged) of disturbances.
        self.changes, self.rows, self.row, self.skipped = [], [], None, 0
        # Pods of the node that was drained; faults by what they are about.
        self.drained, self.faults = set(), defaultdict(list)
        self.due, self.over = 0, threading.Event()
        k.need()
        k.ready_pod()
        self.token, self.place = k.editor(), k.counter()
        self.specs = {shape: shape.spec(k.work) for shape in SHAPES}
        self.experiment = self.ask("POST", "experiments", {"display_name": k.unique("chaos"), "namespace": PIPELINES})["experiment_id"]
        self.url, self.began = k.url, time.monotonic()

    def say(self, text):
        print(f"{time.monotonic() - self.began:7.1f} s  {text}", file=self.out, flush=True)

    def ask(self, method, path, body=None):
        status, text = asked(f"{self.k.url}{API}/{path}", method, self.token, body)
        same(status, 200, f"{method} {path}: {text[:300]}")
        return parsed(text)

    # What goes on meanwhile.

    def watch(self):
        """Who holds the Lease, and since when."""
        kube = Kube()
        while not self.over.is_set():
            try:
                holder = kube.get(LEASE)["spec"].get("holderIdentity") or ""
                if holder and (not self.changes or self.changes[-1][1] != holder):
                    self.changes.append((time.monotonic(), holder))
            except Exception:
                # The API server is away, which is what is tried here.
                pass
            time.sleep(0.1)

    def start(self, wanted):
        """Starts runs as they are due."""
        for number in range(wanted):
            while number >= self.due and not self.over.is_set():
                time.sleep(0.1)
            shape = SHAPES[number % len(SHAPES)]
            end = time.monotonic() + PATIENCE_S
            tries = 0
            while not self.create(shape, f"{shape.name}-{number}-{tries}"):
                tries += 1
                time.sleep(PAUSE_S)
                if time.monotonic() > end:
                    self.faults["requests"].append(f"no run of {shape.name} is begun within {PATIENCE_S} s: {self.runs[-1].answer}")
                    break

    def create(self, shape, key):
        run = Run(shape, key)
        self.runs.append(run)
        body = {"display_name": key, "experiment_id": self.experiment, "pipeline_spec": self.specs[shape]}
        body["runtime_config"] = {"parameters": {"place": f"{self.place}/{key}"}}
        status, text = self.attempt("runs", body)
        run.answer = f"{status}: {text[:200]}"
        run.refused = status == 503 or "Connection refused" in text
        if status == 200:
            run.id = parsed(text)["run_id"]
        return run.id

    def attempt(self, path, body):
        try:
            status, text = asked(f"{self.url}{API}/{path}", "POST", self.token, body, timeout=30)
        except Exception as error:
            status, text = type(error).__name__, str(error)
        if status != 200:
            self.errors.append(f"{path} {status}: {text[:160]}")
        return status, text

    def wrote(self):
        """Writes until it is acknowledged; how long that took."""
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE_S:
            status, text = self.attempt("experiments", {"display_name": self.k.unique("written"), "namespace": PIPELINES})
            if status == 200:
                self.written.append(parsed(text)["experiment_id"])
                return time.monotonic() - began
            time.sleep(PAUSE_S)
        self.faults["requests"].append(f"nothing is written within {PATIENCE_S} s: {status} {text[:200]}")
        return PATIENCE_S

    def keeps_what_was_written(self):
        """And it was written."""
        lost = [one for one in self.written if asked(f"{self.url}{API}/experiments/{one}", token=self.token)[0] != 200]
        check(not lost and self.written, f"of {len(self.written)} records {len(lost)} are lost: {lost}")

    @contextmanager
    def takeover(self, how, pid=None):
        """Waits, after the block, until another leads and a write is acknowledged; counts from when a process has ended, which a
        kubelet may be slow to see to."""
        before, began = self.changes[-1][1], time.monotonic()
        yield
        while pid and machine.is_there(pid) and time.monotonic() < began + LONGEST_S:
            time.sleep(0.02)
        # One that is told to end may let go of the Lease before it has.
        began = time.monotonic() if pid and self.changes[-1][1] == before else began
        while self.changes[-1][1] == before and time.monotonic() < began + LONGEST_S:
            time.sleep(0.02)
        took = self.changes[-1][0] - began if self.changes[-1][1] != before else LONGEST_S
        self.wrote()
        self.row = (f"a leader is {how}", took, time.monotonic() - began)
        if took > REPLACED_S:
            self.faults["takeovers"].append(f"a leader that was {how} is replaced after {took:.1f} s ({before})")

    def disturb(self, act):
        """One disturbance, from which the servers recover."""
        self.row, before = None, len(self.changes)
        try:
            told = act(self)
        except Skip as skip:
            self.say(f"skipped: {act.__name__.replace('_', ' ')}: {skip}")
            self.skipped += 1
            return
        except Exception as error:
            told = f"{act.__name__.replace('_', ' ')} goes wrong: {error}"
            self.faults["disturbances"].append(f"{told}\n{traceback.format_exc(limit=-4)}")
        kind, took, answered = self.row or (act.__name__.replace("_", " "), None, self.wrote())
        self.rows.append((kind, took, answered))
        led = f"another leads after {took:.1f} s, " if took is not None else "another leads, " if len(self.changes) > before else ""
        self.say(f"{told}; {led}a write is acknowledged after {answered:.1f} s")
        try:
            self.k.settle()
        except Exception as error:
            self.faults["disturbances"].append(f"the servers do not recover after that: {told}: {error}\n{self.k.told()}")

    def go_through(self, acts, runs):
        """All of it, until nothing goes wrong any more and all runs are begun."""
        watch = threading.Thread(target=self.watch, daemon=True)
        start = threading.Thread(target=self.start, args=(runs,), daemon=True)
        watch.start()
        repeat(lambda: self.changes, bool)
        start.start()
        try:
            for number, act in enumerate(acts):
                self.due = runs * (number + 1) // len(acts)
                self.disturb(act)
            self.due = runs
            start.join(PATIENCE_S * 2)
        finally:
            self.over.set()
        self.say(f"{len([run for run in self.runs if run.id])} runs are begun; no disturbance any more")

    # What is told.

    def table(self, attempts):
        print("\n| Disturbance | Times | Another leads after: median, longest | A write is acknowledged after: median, longest |\n|---|---|---|---|", file=self.out)
        for kind in dict.fromkeys(kind for kind, _, _ in self.rows):
            led = [took for one, took, _ in self.rows if one == kind and took is not None]
            answered = [after for one, _, after in self.rows if one == kind]
            pairs = [f"{statistics.median(some):.1f} s, {max(some):.1f} s" if some else "" for some in (led, answered)]
            print(f"| {kind} | {len(answered)} | {pairs[0]} | {pairs[1]} |", file=self.out)
        print(f"\n{attempts}. The Lease has had {len(self.changes)} holders. {len(self.errors)} requests were not answered with 200:", file=self.out)
        for text, times in Counter(error.split(": ", 1)[0] for error in self.errors).items():
            example = next(error for error in self.errors if error.startswith(f"{text}: "))
            print(f"  {times} times {text}, as {example[len(text) + 2 :]}", file=self.out)


def checks(chaos, outcome):
    """(what, a function that finds faults)"""

    for name in (
        "every_run_ends_as_it_would_have",
        "no_step_that_had_succeeded_runs_again",
        "every_step_runs_as_often_as_it_should",
        "nothing_that_was_acknowledged_is_lost",
        "nothing_is_there_that_was_refused",
        "no_pod_of_a_step_is_left_running",
    ):
        yield name.replace("_", " "), getattr(outcome, name)
    yield f"a leader is replaced within {REPLACED_S} s", lambda: told(chaos.faults["takeovers"])
    yield "a leader that was paused ends itself", lambda: told(chaos.faults["pauses"])
    yield "a client that tries again is served", lambda: told(chaos.faults["requests"])
    yield "servers recover from everything", lambda: told(chaos.faults["disturbances"])
    yield "what was written in between is there", chaos.keeps_what_was_written


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("words", nargs="*", help="only disturbances whose name holds one of these words")
    parser.add_argument("--short", action="store_true")
    for name in ("runs", "kills", "pauses", "outages", "seed"):
        parser.add_argument(f"--{name}", type=int)
    options = parser.parse_intermixed_args()
    usual = {"runs": 10, "kills": 3, "pauses": 1} if options.short else {"runs": 30, "kills": 20, "pauses": 5}
    sizes = {**usual, "outages": 1, "seed": 1, **{name: size for name, size in vars(options).items() if isinstance(size, int) and not isinstance(size, bool)}}
    acts = [(kill_process, delete_pod)[number % 2] for number in range(sizes["kills"])]
    acts += [pause] * sizes["pauses"] + OUTAGES * sizes["outages"]
    acts = [act for act in acts if not options.words or any(word in act.__name__ for word in options.words)]
    random.Random(sizes["seed"]).shuffle(acts)
    logging.disable(logging.INFO)
    # What was made is removed as well where it is told to end.
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    # The client prints links for notebooks.
    out, sys.stdout = sys.stdout, open(os.devnull, "w")
    with tempfile.TemporaryDirectory(prefix="ferroflow-chaos-") as work:
        setting = Setting(options.binary, work)
        if missing := lacking(setting):
            print(f"the cluster has no {' and no '.join(missing)}\n0 passed, 0 failed, 1 skipped", file=out)
            return 0
        if setting.before:
            print(f"there is something of Ferroflow already: {sorted(setting.before)}\n0 passed, 1 failed, 0 skipped", file=out)
            return 1
        try:
            return whole(setting, acts, sizes["runs"], out)
        finally:
            setting.finish()


def whole(setting, acts, runs, out):
    chaos = Chaos(setting, out)
    chaos.go_through(acts, runs)
    outcome = Outcome(chaos)
    chaos.say("all runs have ended")
    passed = failed = 0
    for name, finds in checks(chaos, outcome):
        word, why, _ = judged(lambda _, finds=finds: finds(), setting)
        passed, failed = passed + (word == "passed"), failed + (word != "passed")
        print(f"{'ok' if word == 'passed' else 'FAILED':8} {name}", file=out, flush=True)
        if why:
            print("         " + why.rstrip().replace("\n", "\n         "), file=out, flush=True)
    if failed:
        print(setting.told(), file=out)
    chaos.table(outcome.attempts_told())
    print(f"{passed} passed, {failed} failed, {chaos.skipped} skipped", file=out)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
