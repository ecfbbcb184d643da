"""A model of one namespace's ConfigMaps, and random operations that run on it and on the cluster alike."""

import random

from kit import check, same

NAMES = ("a", "b", "c", "d", "e", "f")


class World:
    """The objects as they must be, and every state that they have been in."""

    def __init__(self, k, seed):
        self.k, self.random = k, random.Random(seed)
        self.path = k.core("configmaps")
        self.objects = {}
        self.past = {}
        self.stale = []
        self.revision = int(k.get(self.path, {"labelSelector": "model"}).ok()["metadata"]["resourceVersion"])
        self.remember()

    def remember(self):
        """The state at the newest revision that was acknowledged."""
        self.past[self.revision] = {name: one["data"] for name, one in self.objects.items()}

    def advance(self, found, what):
        version = int(found["metadata"]["resourceVersion"])
        check(version > self.revision, f"{what}: revision {version} after {self.revision}")
        self.revision = version

    def keep(self, found, what):
        self.advance(found, what)
        name = found["metadata"]["name"]
        if name in self.objects:
            self.stale.append(self.objects[name])
        self.objects[name] = found
        self.remember()

    def data(self):
        return {f"k{self.random.randrange(3)}": str(self.random.randrange(10**6))}

    def step(self):
        """One random operation."""
        operations = [self.create, self.replace, self.patch, self.apply, self.delete, self.delete_marked, self.stale_replace, self.stale_delete, self.same_again, self.dry]
        weights = [6, 5, 5, 3, 3, 1, 3, 1, 2, 1]
        self.random.choices(operations, weights)[0](self.random.choice(NAMES))

    def create(self, name):
        body = {"metadata": {"name": name, "labels": {"model": ""}}, "data": self.data()}
        reply = self.k.post(self.path, body)
        if name in self.objects:
            reply.fails(409, "AlreadyExists", f'configmaps "{name}" already exists')
        else:
            self.keep(reply.ok(201), "create")

    def replace(self, name):
        if name not in self.objects:
            body = {"metadata": {"name": name}, "data": self.data()}
            self.k.put(f"{self.path}/{name}", body).fails(404, "NotFound", f'configmaps "{name}" not found')
            return
        body = {**self.objects[name], "data": self.data()}
        before = self.objects[name]["data"]
        found = self.k.put(f"{self.path}/{name}", body).ok(200)
        self.changed(found, body["data"], body["data"] == before)

    def patch(self, name):
        patch = {"data": {**self.data(), f"k{self.random.randrange(3)}": None}}
        reply = self.k.merge(f"{self.path}/{name}", patch)
        if name not in self.objects:
            reply.fails(404, "NotFound", f'configmaps "{name}" not found')
            return
        before = self.objects[name]["data"]
        expected = {key: value for key, value in {**before, **patch["data"]}.items() if value is not None}
        self.changed(reply.ok(200), expected, expected == before)

    def apply(self, name):
        if name not in self.objects:
            return
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"applied": str(self.random.randrange(100))}}
        before = self.objects[name]["data"]
        found = self.k.apply(f"{self.path}/{name}", body, manager="model", force=True).ok(200)
        if int(found["metadata"]["resourceVersion"]) == self.version(name):
            same(found["data"], before, "an apply that changed nothing")
            return
        self.changed(found, {**before, **body["data"]}, False)

    def version(self, name):
        return int(self.objects[name]["metadata"]["resourceVersion"])

    def changed(self, found, expected, is_same):
        name = found["metadata"]["name"]
        same(found.get("data", {}), expected, f"data of {name}")
        found.setdefault("data", {})
        if is_same and int(found["metadata"]["resourceVersion"]) == self.version(name):
            return
        self.keep(found, "update")

    def delete(self, name):
        reply = self.k.delete(f"{self.path}/{name}")
        if name not in self.objects:
            reply.fails(404, "NotFound", f'configmaps "{name}" not found')
            return
        same(reply.ok(200)["status"], "Success")
        self.forget(name)

    def forget(self, name):
        self.stale.append(self.objects.pop(name))
        # A deletion has a revision of its own, which only a list or a watch tells.
        self.revision = int(self.k.get(self.path, {"labelSelector": "model"}).ok()["metadata"]["resourceVersion"])
        self.remember()

    def delete_marked(self, name):
        """Deletes an object that a finalizer holds, then lets it go."""
        if name not in self.objects:
            return
        path = f"{self.path}/{name}"
        self.keep(self.k.merge(path, {"metadata": {"finalizers": ["model.example.com/x"]}}).ok(200), "finalizer")
        self.keep(self.k.delete(path).ok(200), "marked")
        self.k.merge(path, {"metadata": {"finalizers": None}}).ok(200)
        same(self.k.get(path).status, 404, "after its last finalizer")
        self.forget(name)

    def stale_replace(self, _name):
        """A replace of an earlier state never wins."""
        if not self.stale:
            return
        old = self.random.choice(self.stale)
        name = old["metadata"]["name"]
        reply = self.k.put(f"{self.path}/{name}", {**old, "data": {"stale": "yes"}})
        if name in self.objects:
            reply.fails(409, "Conflict")
            same(self.k.get(f"{self.path}/{name}").ok().get("data", {}), self.objects[name]["data"], "after a stale replace")
        else:
            check(reply.status in (404, 409), f"{reply.status} {reply.text()}")

    def stale_delete(self, _name):
        if not self.stale:
            return
        old = self.random.choice(self.stale)["metadata"]
        conditions = {"preconditions": {"uid": old["uid"], "resourceVersion": old["resourceVersion"]}}
        reply = self.k.delete(f"{self.path}/{old['name']}", conditions)
        check(reply.status in (404, 409), f"{reply.status} {reply.text()}")

    def same_again(self, name):
        """A write that changes nothing keeps the revision."""
        if name in self.objects:
            found = self.k.put(f"{self.path}/{name}", self.objects[name]).ok(200)
            same(found["metadata"]["resourceVersion"], self.objects[name]["metadata"]["resourceVersion"], "revision")

    def dry(self, name):
        if name in self.objects:
            self.k.delete(f"{self.path}/{name}", query={"dryRun": "All"}).ok(200)
            self.k.merge(f"{self.path}/{name}", {"data": {"dry": "run"}}, {"dryRun": "All"}).ok(200)

    def list(self, **query):
        """A list as the model sees it, and its revision."""
        found = self.k.get(self.path, {"labelSelector": "model", **query}).ok(200)
        return state(found["items"]), int(found["metadata"]["resourceVersion"])


def state(items):
    return {item["metadata"]["name"]: item.get("data", {}) for item in items}
