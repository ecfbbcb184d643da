"""The server, by the unmodified client; and what no client of today asks for: tasks and their logs."""

import json
import threading
import warnings

import kfp
import kfp_server_api

warnings.filterwarnings("ignore", category=FutureWarning, module="kfp")
# The most that the server gives in one page.
PAGE = 200
BASE = "/apis/v2beta1"


class Server:
    """A client for each thread, made as a user makes one: by host and token, or by the kubeconfig alone."""

    def __init__(self, host=None, token=None, namespace=None):
        # A token alone would send the client to port 80 of this machine.
        self.arguments = {key: value for key, value in (("host", host), ("existing_token", host and token), ("namespace", namespace)) if value}
        self.local = threading.local()

    @property
    def client(self):
        if not hasattr(self.local, "client"):
            self.local.client = kfp.Client(**self.arguments)
        return self.local.client

    def call(self, method, path, query=(), body=None, raw=False):
        """A request beside those that the client has, by its own connection and credentials."""
        api = self.client.runs.api_client
        headers = {"Accept": "text/plain" if raw else "application/json", "Content-Type": "application/json"}
        answer = api.call_api(
            path, method, query_params=list(query), header_params=headers, body=body, auth_settings=["Bearer"], _preload_content=False
        )
        text = answer.data.decode(errors="replace")
        return text if raw else json.loads(text or "{}")

    def tasks(self, run):
        """Every task of a run."""
        found, token = [], ""
        while True:
            query = [("page_size", PAGE), *([("page_token", token)] if token else [])]
            page = self.call("GET", f"{BASE}/runs/{run}/tasks", query)
            found += page.get("tasks", [])
            token = page.get("next_page_token", "")
            if not token:
                return found

    def log(self, run, task):
        return self.call("GET", f"{BASE}/runs/{run}/tasks/{task}/log", raw=True)


def reason(error):
    """Status and message of an API error, in whichever of its two shapes it came."""
    try:
        body = json.loads(error.body)
    except (TypeError, ValueError):
        return error.status, str(error.body)
    return error.status, body.get("message") or body.get("error_message") or body.get("error_details") or error.body


ApiException = kfp_server_api.ApiException
