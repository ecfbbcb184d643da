"""What has become of the runs of the chaos, compared with what becomes of them where nothing goes wrong."""

import time
from collections import Counter, defaultdict

from api.kit import check, same
from cluster import CORE, asked
from setting import API, PIPELINES, parsed

# Runs end within that once nothing goes wrong any more.
SETTLED_S = 300
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
# How many faults a check tells.
TOLD = 20


def told(faults):
    check(not faults, "\n".join([*faults[:TOLD], *(["and more"] if len(faults) > TOLD else [])]))


class Outcome:
    """Reads everything once, when all is over."""

    def __init__(self, chaos):
        self.k, self.runs, self.drained = chaos.k, chaos.runs, chaos.drained
        self.token, self.experiment = self.k.editor(), chaos.experiment
        self.found, self.late = {}, []
        end = time.monotonic() + SETTLED_S
        for run in self.acknowledged():
            self.found[run.id] = self.ended(run, end)
        self.listed = self.pages(f"runs?namespace={PIPELINES}&experiment_id={self.experiment}", "runs")
        self.attempts = self.read_attempts()

    def acknowledged(self):
        return [run for run in self.runs if run.id]

    def get(self, path):
        status, text = asked(f"{self.k.url}{API}/{path}", token=self.token)
        same(status, 200, f"{path}: {text[:300]}")
        return parsed(text)

    def pages(self, path, kind):
        found, page = [], ""
        while True:
            answer = self.get(f"{path}{'&' if '?' in path else '?'}page_size=100{page}")
            found += answer.get(kind, [])
            if not answer.get("next_page_token"):
                return found
            page = f"&page_token={answer['next_page_token']}"

    def ended(self, run, end):
        while (found := self.get(f"runs/{run.id}")).get("state") not in ENDED and time.monotonic() < end:
            time.sleep(0.5)
        return found

    def read_attempts(self):
        """By the key of a run and its step: pod and word of what was counted, in order."""
        order = self.k.kube.get(f"{CORE}/namespaces/{self.k.name}/pods/notebook:9000/proxy/order")
        found = defaultdict(list)
        for path in order:
            parts = path.strip("/").split("/")
            if len(parts) == 4:
                found[parts[0], parts[1]].append((parts[2], parts[3]))
        return found

    # The checks.

    def every_run_ends_as_it_would_have(self):
        faults = []
        for run in self.acknowledged():
            found = self.found[run.id]
            if found.get("state") != run.shape.state:
                faults.append(f"{run.told()} is {found.get('state')}: {self.why(run)}")
                continue
            tasks = Counter((task["name"], task["state"]) for task in self.tasks(run))
            if tasks != run.shape.tasks:
                faults.append(f"{run.told()} has other tasks: beyond {dict(tasks - run.shape.tasks)}, missing {dict(run.shape.tasks - tasks)}: {self.why(run)}")
        told(faults)

    def tasks(self, run):
        return self.pages(f"runs/{run.id}/tasks", "tasks")

    def why(self, run):
        """What is said of the tasks that did not succeed, and what the cluster says of their pods."""
        said = []
        for task in self.tasks(run):
            if task["state"] in ("SUCCEEDED", "SKIPPED", "CACHED"):
                continue
            said.append(f"  {task['name']} {task['state']}: {task.get('error', {}).get('message', '')}")
            for pod in [one["name"] for one in task.get("pods", [])]:
                events = self.k.kube.get(f"{CORE}/namespaces/{PIPELINES}/events", fieldSelector=f"involvedObject.name={pod}")["items"]
                said.append(f"    {pod}{' (drained)' if pod in self.drained else ''}: " + ", ".join(event["reason"] for event in events))
        return "\n".join(["", *said])

    def no_step_that_had_succeeded_runs_again(self):
        faults = []
        for (key, name), order in self.attempts.items():
            words = [word for _, word in order]
            ends = words.count("end")
            if ends > 1 or "begin" in words[words.index("end") if ends else len(words) :]:
                faults.append(f"{key}/{name}: {order}")
        told(faults)

    def every_step_runs_as_often_as_it_should(self):
        """One that was killed with its node runs again; nothing else does."""
        faults = []
        for run in self.acknowledged():
            names = {name for key, name in self.attempts if key == run.key} | set(run.shape.ends) | set(run.shape.fails)
            for name in sorted(names):
                order = self.attempts.get((run.key, name), [])
                words = Counter(word for _, word in order)
                done = {pod for pod, word in order if word in ("end", "fail")}
                broken = {pod for pod, word in order if word == "begin"} - done
                wanted = (run.shape.ends.get(name, 0), run.shape.fails.get(name, 0), 0)
                got = (words["end"], words["fail"], words["wrong"])
                if got != wanted or words["begin"] != len(done | broken):
                    faults.append(f"{run.told()} {name} has ended, failed and been wrong {got} times, not {wanted}: {order}")
                elif broken - self.drained:
                    faults.append(f"{run.told()} {name} was broken off though no node was drained: {order}")
        told(faults)

    def nothing_that_was_acknowledged_is_lost(self):
        listed = {one["run_id"] for one in self.listed}
        faults = [f"{run.told()} is not listed" for run in self.acknowledged() if run.id not in listed]
        faults += [f"{run.told()} has no tasks" for run in self.acknowledged() if not self.tasks(run)]
        check(self.acknowledged(), "no run was acknowledged")
        told(faults)

    def nothing_is_there_that_was_refused(self):
        """A client that is told to try again has not begun a run."""
        names = Counter(one["display_name"] for one in self.listed)
        faults = [f"{run.told()} is there" for run in self.runs if run.refused and names[run.key]]
        faults += [f"{name} is there {times} times" for name, times in names.items() if times > 1]
        told(faults)

    def no_pod_of_a_step_is_left_running(self):
        def running():
            pods = self.k.kube.get(f"{CORE}/namespaces/{PIPELINES}/pods")["items"]
            return [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") in ("Pending", "Running")]

        end = time.monotonic() + 60
        while (left := running()) and time.monotonic() < end:
            time.sleep(0.5)
        told(left)

    def attempts_told(self):
        words = Counter(word for order in self.attempts.values() for _, word in order)
        return f"{len(self.attempts)} steps of {len(self.acknowledged())} runs began {words['begin']} times: {words['end']} ended well, {words['fail']} failed as they should"
