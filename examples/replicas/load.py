"""Asks a URL again and again, each time on a connection of its own, and tells who answered how often.

It ends when standard input does, and prints one JSON object: answers by replica, and what failed.
"""

import collections
import http.client
import json
import sys
import threading
import urllib.parse

PAUSE_S = 0.01


def ask(url):
    """The body of one answer."""
    connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=5)
    try:
        connection.request("GET", url.path or "/", headers={"Connection": "close"})
        reply = connection.getresponse()
        body = reply.read().decode().strip()
        if reply.status != 200:
            raise OSError(f"status {reply.status}: {body}")
        return body
    finally:
        connection.close()


def main():
    url = urllib.parse.urlsplit(sys.argv[1])
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    answers, failures = collections.Counter(), []
    while not ended.wait(PAUSE_S):
        try:
            answers[ask(url)] += 1
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{type(error).__name__}: {error}")
    print(json.dumps({"answers": answers, "failures": failures}))


if __name__ == "__main__":
    main()
