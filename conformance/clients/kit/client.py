"""A plain HTTP client for the cluster of a kubeconfig. It adds nothing to a request that is not asked for."""

import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import urllib.parse

TIMEOUT_SECONDS = 60
# Longer than any wait of a case, so that a silent watch is the case's failure.
WATCH_SECONDS = 40


def load_config():
    """The server and the credentials of the current context, as `kubectl` reads them."""
    kubectl = os.environ.get("KUBECTL", "kubectl")
    words = [kubectl, "config", "view", "--raw", "--minify", "--flatten", "-o", "json"]
    config = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return {"cluster": config["clusters"][0]["cluster"], "user": config["users"][0]["user"]}


def tls_context(cluster, user):
    authority = cluster.get("certificate-authority-data")
    text = base64.b64decode(authority).decode() if authority else None
    context = ssl.create_default_context(cadata=text)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if user.get("client-certificate-data"):
        # The library reads a certificate from files alone.
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for field in ("client-certificate-data", "client-key-data"):
                paths.append(os.path.join(folder, field))
                with open(paths[-1], "wb") as file:
                    file.write(base64.b64decode(user[field]))
            context.load_cert_chain(*paths)
    return context


class Skip(Exception):
    """The case does not apply to this cluster; its text says why."""


class Reply:
    """An answer that has been read to its end."""

    def __init__(self, method, path, status, headers, body):
        self.request, self.status, self.headers, self.body = f"{method} {path}", status, headers, body

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise AssertionError(f"{self.request}: not JSON: {self.body[:300]!r}") from error

    def text(self):
        return self.body.decode()

    def ok(self, *codes):
        """The object, when the status is one of `codes` (by default 200 or 201)."""
        if self.status not in (codes or (200, 201)):
            raise AssertionError(f"{self.request}: {self.status} {self.body[:600].decode(errors='replace')}")
        return self.json() if self.body else None

    def fails(self, code, reason=None, message=None, contains=None, causes=None, details=None):
        """Checks every part of a Status that is named, and returns it."""
        status = self.json()
        found = {"kind": status.get("kind"), "status": status.get("status"), "http": self.status, "code": status.get("code")}
        expected = {"kind": "Status", "status": "Failure", "http": code, "code": code}
        if reason is not None:
            found["reason"], expected["reason"] = status.get("reason"), reason
        if message is not None:
            found["message"], expected["message"] = status.get("message"), message
        if details is not None:
            known = status.get("details") or {}
            found["details"], expected["details"] = {key: known.get(key) for key in details}, details
        if causes is not None:
            known = (status.get("details") or {}).get("causes") or []
            found["causes"] = [(cause.get("reason"), cause.get("field")) for cause in known]
            expected["causes"] = causes
        if found != expected:
            raise AssertionError(f"{self.request}:\n  expected {expected}\n  got      {found}\n  message {status.get('message')!r}")
        for part in [contains] if isinstance(contains, str) else contains or []:
            if part not in (status.get("message") or ""):
                raise AssertionError(f"{self.request}: {part!r} is not in {status.get('message')!r}")
        return status

    def warnings(self):
        """The texts of the Warning headers."""
        texts = self.headers.get_all("Warning") or []
        return [text.split(" ", 2)[2][1:-1].replace('\\"', '"') for text in texts]


class Watch:
    """A watch on a connection of its own. Every read has a bound."""

    def __init__(self, client, path, query, accept="application/json"):
        self.request = path
        self.connection = client.connect(WATCH_SECONDS)
        query = {"watch": "true", **query}
        self.connection.request("GET", path + "?" + urllib.parse.urlencode(query), headers=client.headers(accept))
        self.response = self.connection.getresponse()
        self.status = self.response.status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def failure(self):
        """The refusal, of a watch that was not opened."""
        return Reply("WATCH", self.request, self.status, self.response.headers, self.response.read())

    def next(self):
        """The next event, or None at the end of the stream."""
        if self.status != 200:
            raise AssertionError(f"watch {self.request}: {self.status} {self.response.read()[:300]!r}")
        try:
            line = self.response.readline()
        except (socket.timeout, TimeoutError) as error:
            raise AssertionError(f"watch {self.request}: no event within {WATCH_SECONDS} s") from error
        event = json.loads(line) if line.strip() else None
        if event and event["type"] == "ERROR" and "RequestWatchProgress is disabled" in event["object"].get("message", ""):
            raise Skip("this kube-apiserver's etcd is too old to report progress, so it serves no bookmarks")
        return event

    def take(self, count):
        return [self.next() for _ in range(count)]

    def until(self, wanted):
        """The first event for which `wanted` is true."""
        while (event := self.next()) is not None:
            if wanted(event):
                return event
        raise AssertionError(f"watch {self.request}: it ended before the event that was waited for")

    def rest(self):
        """All events until the server ends the stream."""
        events = []
        while (event := self.next()) is not None:
            events.append(event)
        return events


class Client:
    """Requests to one cluster; safe to share between threads."""

    def __init__(self, config=None, token=None, anonymous=False):
        config = config or load_config()
        self.config = config
        user = {} if anonymous or token else config["user"]
        self.token = token or user.get("token")
        self.agent = "conformance/1 (tests)"
        url = urllib.parse.urlsplit(config["cluster"]["server"])
        self.host, self.port, self.is_tls = url.hostname, url.port, url.scheme == "https"
        self.context = tls_context(config["cluster"], user) if self.is_tls else None
        self.local = threading.local()

    def connect(self, timeout):
        if self.is_tls:
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.context)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def headers(self, accept, more=None):
        headers = {"Accept": accept, "User-Agent": self.agent}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        headers.update(more or {})
        return {name: value for name, value in headers.items() if value is not None}

    def request(self, method, path, body=None, query=None, content="application/json", accept="application/json", headers=None):
        if query:
            path += "?" + urllib.parse.urlencode(query, doseq=True)
        more = dict(headers or {})
        if body is not None:
            if isinstance(body, str):
                body = body.encode()
            elif not isinstance(body, bytes):
                body = json.dumps(body).encode()
            more.setdefault("Content-Type", content)
        for attempt in (1, 2):
            connection = getattr(self.local, "connection", None)
            fresh = connection is None
            if fresh:
                connection = self.local.connection = self.connect(TIMEOUT_SECONDS)
            try:
                connection.request(method, path, body=body, headers=self.headers(accept, more))
                response = connection.getresponse()
                return Reply(method, path, response.status, response.headers, response.read())
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
                # An idle connection may have been closed; a fresh one is not tried twice.
                connection.close()
                self.local.connection = None
                if fresh or attempt == 2:
                    raise
            except Exception:
                connection.close()
                self.local.connection = None
                raise
        raise AssertionError("unreachable")

    def get(self, path, query=None, **more):
        return self.request("GET", path, query=query, **more)

    def post(self, path, body, query=None, **more):
        return self.request("POST", path, body, query, **more)

    def put(self, path, body, query=None, **more):
        return self.request("PUT", path, body, query, **more)

    def delete(self, path, body=None, query=None, **more):
        return self.request("DELETE", path, body, query, **more)

    def merge(self, path, body, query=None, **more):
        return self.request("PATCH", path, body, query, content="application/merge-patch+json", **more)

    def strategic(self, path, body, query=None, **more):
        return self.request("PATCH", path, body, query, content="application/strategic-merge-patch+json", **more)

    def json_patch(self, path, body, query=None, **more):
        return self.request("PATCH", path, body, query, content="application/json-patch+json", **more)

    def apply(self, path, body, manager="one", force=False, query=None, **more):
        query = {"fieldManager": manager, **({"force": "true"} if force else {}), **(query or {})}
        return self.request("PATCH", path, body, query, content="application/apply-patch+yaml", **more)

    def watch(self, path, accept="application/json", **query):
        return Watch(self, path, query, accept)
